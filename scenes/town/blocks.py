"""What lines the streets: rows of houses, offices, detached houses with gardens, parks, and the far skyline."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scenes.random import Rng
from scenes.town.buildings import building, draw_style
from scenes.town.cast import Cast
from scenes.town.classes import INDEX
from scenes.town.mesh import Surface
from scenes.town.soup import Quads, linear
from scenes.town.streets import KERB_HEIGHT_M, Plan, Street

FENCE, WALL = INDEX["fence"], INDEX["wall"]
HEDGE = linear("#4f6f34")


def line_streets(quads: Quads, cast: Cast, plan: Plan, rng: Rng) -> None:
    """Fill both sides of every street."""
    for side in (-1, 1):
        for low, high in plan.main.free():
            _block(quads, cast, plan.main, side, max(low, -50.0), min(high, 260.0), rng)
    depth = plan.main.outer_m + 17.0
    for street in plan.sides:
        for side in (-1, 1):
            for sign in (-1, 1):
                low, high = sorted((sign * depth, sign * 95.0))
                _block(quads, cast, street, side, low, high, rng)
    _skyline(quads, cast, plan, rng)


def _block(quads: Quads, cast: Cast, street: Street, side: int, low: float, high: float, rng: Rng) -> None:
    kind = rng.choice(("town", "town", "houses", "mixed", "mixed", "park"))
    margin = 3.6
    s = low + margin if street.gaps else low
    first = True
    while s < high - 5.0:
        here = kind if kind != "mixed" else rng.choice(("town", "town", "houses", "park"))
        if here == "town":
            s = _row_house(quads, street, side, s, high, rng, start=first)
            first = False
        elif here == "houses":
            s = _garden_house(quads, cast, street, side, s, high, rng)
            first = True
        else:
            s = _park(quads, cast, street, side, s, high, rng)
            first = True


def _frontage(
    street: Street, side: int, s: float, width: float, setback: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the front left corner (2,) and direction along the front (2,) of a plot, seen from the street."""
    d = side * (street.outer_m + setback)
    a, b = street.path.at(np.array([s, s + width]), np.array([d, d]))
    start, end = (a, b) if side > 0 else (b, a)
    along = end - start
    along = along / np.hypot(*along)
    inward = np.array([along[1], -along[0]])
    outward_d = street.path.at(s, side * (street.outer_m + setback + 1.0)) - street.path.at(s, d)
    if inward @ outward_d < 0:
        start, along = end, -along
    return start, along


def _row_house(quads: Quads, street: Street, side: int, s: float, high: float, rng: Rng, *, start: bool) -> float:
    office = rng.uniform() < 0.22
    width = min(rng.uniform(14.0, 24.0) if office else rng.uniform(7.5, 15.0), high - s)
    if width < 5.5:
        return high
    corner, along = _frontage(street, side, s, width, rng.choice((0.0, 0.0, 0.0, 0.5)))
    style = draw_style(rng, kind="office" if office else "town")
    gap = rng.uniform(1.5, 4.0) if rng.uniform() < 0.15 else 0.0
    end = s + width + gap > high - 5.0
    sides = (start or gap > 0, end or gap > 0)
    right, left = sides if side > 0 else sides[::-1]
    windows = (True, right, False, left)
    building(quads, rng, corner, along, width - 0.02, rng.uniform(10.0, 14.0), style, windows=windows)
    return s + width + gap


def _garden_house(quads: Quads, cast: Cast, street: Street, side: int, s: float, high: float, rng: Rng) -> float:
    plot = rng.uniform(14.0, 20.0)
    if high - s < 12.0:
        return _park(quads, cast, street, side, s, high, rng)
    plot = min(plot, high - s)
    setback = rng.uniform(3.5, 7.0)
    width = min(rng.uniform(8.0, 12.0), plot - 2.5)
    corner, along = _frontage(street, side, s + (plot - width) / 2, width, setback)
    building(quads, rng, corner, along, width, rng.uniform(8.0, 10.0), draw_style(rng, kind="house"))
    _border(quads, street, side, s + 0.3, s + plot - 0.3, rng)
    for _ in range(rng.integer(1, 4)):
        along_street, behind = s + rng.uniform(0.5, plot - 0.5), rng.uniform(1.2, setback - 0.8)
        spot = street.path.at(along_street, side * (street.outer_m + behind))
        cast.tree(spot, rng.choice(("bush", "bush", "tree_round", "tree_conifer")), rng.uniform(0.45, 0.8))
    return s + plot


def _park(quads: Quads, cast: Cast, street: Street, side: int, s: float, high: float, rng: Rng) -> float:
    length = min(rng.uniform(18.0, 40.0), high - s)
    for _ in range(int(length / 3.2)):
        spot = street.path.at(s + rng.uniform(0.0, length), side * (street.outer_m + rng.uniform(2.0, 18.0)))
        cast.tree(spot, rng.choice(("tree_round", "tree_round", "tree_conifer", "bush")), rng.uniform(0.7, 1.15))
    if rng.uniform() < 0.85:
        _border(quads, street, side, s, s + length, rng)
    return s + length


def _border(quads: Quads, street: Street, side: int, low: float, high: float, rng: Rng) -> None:
    """A picket, board or iron fence, a garden wall or a hedge along the pavement."""
    what = rng.choice(("picket", "boards", "boards", "iron", "wall", "wall", "wall", "hedge"))
    d = side * (street.outer_m + 0.25)
    if what in ("wall", "hedge"):
        height, half = (rng.uniform(0.7, 1.2), 0.12) if what == "wall" else (rng.uniform(0.9, 1.5), 0.35)
        stone = rng.choice((linear("#b9a68c"), linear("#9c9890"), linear("#a5654a")))
        color, surface = (stone, Surface.MATTE) if what == "wall" else (HEDGE, Surface.FOLIAGE)
        semantic = WALL if what == "wall" else INDEX["vegetation"]
        s = np.linspace(low, high, max(2, int((high - low) / 3.0) + 1))
        _bar(quads, street, s, (d - half, d + half), (0.0, height), color, surface, semantic)
        return
    wood = what != "iron"
    color = rng.choice((linear("#efece4"), linear("#8a6544"), linear("#c9b08a"))) if wood else linear("#2f3a35")
    surface = Surface.MATTE if wood else Surface.METAL
    step, wide, height = {
        "picket": (0.15, 0.115, rng.uniform(0.9, 1.15)),
        "boards": (0.16, 0.15, rng.uniform(1.2, 1.8)),
        "iron": (0.14, 0.03, rng.uniform(1.1, 1.5)),
    }[what]
    s = np.arange(low, high, step)
    corners_s = np.stack([s, s + wide, s + wide, s], axis=1)
    xy = street.path.at(corners_s, d)
    z = np.broadcast_to(np.array([0.08, 0.08, height, height]) + KERB_HEIGHT_M, corners_s.shape)
    quads.add(np.concatenate([xy, z[..., None]], axis=2), color, surface, FENCE)
    rails = np.linspace(low, high, max(2, int((high - low) / 3.0) + 1))
    for z0 in (0.25, height - 0.2):
        _bar(quads, street, rails, (d - 0.03, d + 0.03), (z0, z0 + 0.07), color, surface, FENCE)


def _bar(
    quads: Quads,
    street: Street,
    s: NDArray[np.float64],
    d: tuple[float, float],
    z: tuple[float, float],
    color: tuple[float, float, float],
    surface: int,
    semantic: int,
) -> None:
    """A bar of rectangular section along the street."""
    z = (z[0] + KERB_HEIGHT_M, z[1] + KERB_HEIGHT_M)
    ring = [(d[0], z[0]), (d[0], z[1]), (d[1], z[1]), (d[1], z[0])]
    for (d0, z0), (d1, z1) in zip(ring, ring[1:] + ring[:1], strict=True):
        a, b = street.path.at(s, d0), street.path.at(s, d1)
        low = np.concatenate([a, np.full((len(s), 1), z0)], axis=1)
        high = np.concatenate([b, np.full((len(s), 1), z1)], axis=1)
        quads.add(np.stack([low[:-1], low[1:], high[1:], high[:-1]], axis=1), color, surface, semantic)
    for end in (0, -1):
        p = [np.append(street.path.at(s[end], dd), zz) for dd, zz in ring]
        quads.add(np.array(p), color, surface, semantic)


def _skyline(quads: Quads, cast: Cast, plan: Plan, rng: Rng) -> None:
    """Blocks and trees far away, off the streets, that close the view."""
    centre = plan.main.path.at(90.0)
    streets = [plan.main.path.at(np.arange(-90.0, 420.0, 10.0))]
    streets += [street.path.at(np.arange(-220.0, 221.0, 10.0)) for street in plan.sides]
    lines = np.concatenate(streets)
    for k in range(70):
        angle = 2 * math.pi * (k + rng.uniform()) / 70
        radius = rng.uniform(150.0, 330.0)
        spot = centre + radius * np.array([math.cos(angle), math.sin(angle)])
        if np.hypot(*(lines - spot).T).min() < 42.0:
            continue
        if rng.uniform() < 0.55:
            style = replace(draw_style(rng, kind=rng.choice(("office", "town", "town"))), balconies=False)
            turn = rng.uniform(0, math.pi)
            along = np.array([math.cos(turn), math.sin(turn)])
            inward = np.array([along[1], -along[0]])
            to_us = centre - spot
            windows = (-inward @ to_us > 0, along @ to_us > 0, inward @ to_us > 0, -along @ to_us > 0)
            building(quads, rng, spot, along, rng.uniform(14.0, 26.0), rng.uniform(12.0, 18.0), style, windows=windows)
        else:
            for _ in range(4):
                offset = np.array([rng.uniform(-14, 14), rng.uniform(-14, 14)])
                cast.tree(spot + offset, rng.choice(("tree_round", "tree_conifer")), rng.uniform(0.9, 1.4))
    end = plan.main.path.at(400.0, np.arange(-30.0, 31.0, 6.0))
    for spot in end:
        cast.tree(spot, "tree_round", rng.uniform(1.1, 1.6))
