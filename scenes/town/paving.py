"""Surfaces of the streets: carriageway, markings, kerbs, pavements, verges."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scenes.random import Rng
from scenes.town.classes import INDEX
from scenes.town.soup import Ground, Quads, linear
from scenes.town.streets import CORNER_RADIUS_M, KERB_HEIGHT_M, LANE_M, Crossing, Path, Plan, Street

YARD_M = 24.0  # width of the grass behind the pavements

ROAD, PAVEMENT, TERRAIN = INDEX["road"], INDEX["sidewalk"], INDEX["terrain"]
WHITE = linear("#e9e8e2")


def ribbon(
    path: Path, s: tuple[float, float], d: tuple[float, float], z: float, step: float = 4.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return quads (Q, 4, 3) of a strip between two offsets, face up, and uv (Q, 4, 2) = (s, d)."""
    n = max(1, math.ceil((s[1] - s[0]) / step)) if len(path.s) > 2 else 1
    stations = np.linspace(s[0], s[1], n + 1)
    corners_s = np.stack([stations[:-1], stations[1:], stations[1:], stations[:-1]], axis=1)
    corners_d = np.broadcast_to(np.array([d[0], d[0], d[1], d[1]]), corners_s.shape)
    xy = path.at(corners_s, corners_d)
    quads = np.concatenate([xy, np.full((*xy.shape[:2], 1), z)], axis=2)
    return quads, np.stack([corners_s, corners_d], axis=2)


def build_streets(plan: Plan, rng: Rng) -> Quads:
    """Return all surfaces of the ground."""
    quads = Quads()
    far = 1500.0
    plain = np.array([[-far, -far, -0.06], [far, -far, -0.06], [far, far, -0.06], [-far, far, -0.06]])
    quads.add(plain, GRASS, Ground.GRASS, TERRAIN)
    tint = rng.uniform(0.85, 1.15)
    for street in (plan.main, *plan.sides):
        _carriageway(quads, street)
        _pavements(quads, street, tint)
        _lines(quads, street)
    for crossing, side in zip(plan.crossings, plan.sides, strict=True):
        _corners(quads, plan.main, side, crossing, tint)
        _crossing_marks(quads, plan.main, side, crossing)
    for s in plan.zebras:
        zebra(quads, plan.main, s)
    return quads


GRASS = linear("#667f3f")
ASPHALT = linear("#6a6a6c")
SLABS = linear("#b3aca1")
KERB = linear("#c4c0b8")


def _carriageway(quads: Quads, street: Street) -> None:
    strip, uv = ribbon(street.path, street.reach, (-street.half_m, street.half_m), 0.0)
    quads.add(strip, ASPHALT, Ground.ROAD, ROAD, uv)


def _pavements(quads: Quads, street: Street, tint: float) -> None:
    slabs = np.array(SLABS) * tint
    inner, outer = street.half_m, street.outer_m
    for s in street.free():
        for side in (-1, 1):
            kerb, uv = ribbon(street.path, s, _ordered(side, inner, inner + 0.16), KERB_HEIGHT_M)
            quads.add(kerb, KERB, Ground.KERB, PAVEMENT, uv)
            quads.add(_step(street.path, s, side * inner), np.array(KERB) * 0.8, Ground.KERB, PAVEMENT)
            edge = inner + 0.16
            if street.verge_m:
                grass, uv = ribbon(street.path, s, _ordered(side, edge, inner + street.verge_m), KERB_HEIGHT_M)
                quads.add(grass, GRASS, Ground.GRASS, TERRAIN)
                edge = inner + street.verge_m
            walk, uv = ribbon(street.path, s, _ordered(side, edge, outer), KERB_HEIGHT_M)
            quads.add(walk, slabs, Ground.PAVEMENT, PAVEMENT, uv)
            yard, uv = ribbon(street.path, s, _ordered(side, outer, outer + YARD_M), KERB_HEIGHT_M - 0.02)
            quads.add(yard, GRASS, Ground.GRASS, TERRAIN)


def _ordered(side: int, a: float, b: float) -> tuple[float, float]:
    return (a, b) if side > 0 else (-b, -a)


def _step(path: Path, s: tuple[float, float], d: float) -> NDArray[np.float64]:
    """Return the upright face of a kerb."""
    low, _ = ribbon(path, s, (d, d), 0.0)
    high, _ = ribbon(path, s, (d, d), KERB_HEIGHT_M)
    return np.stack([low[:, 0], low[:, 1], high[:, 1], high[:, 0]], axis=1)


def _mark(quads: Quads, path: Path, s: tuple[float, float], d: tuple[float, float], z: float = 0.006) -> None:
    strip, uv = ribbon(path, s, d, z)
    quads.add(strip, WHITE, Ground.MARKING, ROAD, uv)


def _lines(quads: Quads, street: Street) -> None:
    """Dashed lane lines, a double or dashed centre line, and an edge line along the parking lane."""
    for low, high in street.free():
        if street.lanes == 1:
            _dashes(quads, street.path, (low, high), 0.0, dash=3.0, gap=4.0)
        else:
            for d in (-0.12, 0.12):
                _mark(quads, street.path, (low, high), (d - 0.06, d + 0.06))
            for d in (-LANE_M, LANE_M):
                _dashes(quads, street.path, (low, high), d, dash=3.0, gap=6.0)
        edge = street.lanes * LANE_M
        for side, parked in ((-1, street.parking[0]), (1, street.parking[1])):
            if parked:
                _dashes(quads, street.path, (low, high), side * edge, dash=1.0, gap=1.0)
                _bays(quads, street, (low, high), side)
            else:
                inset = street.half_m - 0.25
                _mark(quads, street.path, (low, high), _ordered(side, inset - 0.06, inset + 0.06))


def _dashes(quads: Quads, path: Path, s: tuple[float, float], d: float, *, dash: float, gap: float) -> None:
    for start in np.arange(s[0] + 1.0, s[1] - dash, dash + gap):
        _mark(quads, path, (float(start), float(start) + dash), (d - 0.06, d + 0.06))


def _bays(quads: Quads, street: Street, s: tuple[float, float], side: int) -> None:
    edge = street.lanes * LANE_M
    for start in np.arange(s[0] + 2.0, s[1] - 2.0, 6.2):
        _mark(quads, street.path, (float(start), float(start) + 0.1), _ordered(side, edge + 0.1, street.half_m - 0.1))


def zebra(quads: Quads, street: Street, s: float, width: float = 3.4) -> None:
    """Paint bars across the whole carriageway."""
    for d in np.arange(-street.half_m + 0.35, street.half_m - 0.5, 1.0):
        _mark(quads, street.path, (s - width / 2, s + width / 2), (float(d), float(d) + 0.5), z=0.009)


def _crossing_marks(quads: Quads, main: Street, side: Street, crossing: Crossing) -> None:
    """Stop lines, and zebras on all four arms."""
    across = side.half_m + CORNER_RADIUS_M
    along = main.half_m + CORNER_RADIUS_M
    lane = main.lanes * LANE_M
    for sign in (-1, 1):
        centre = crossing.s + sign * (across - 1.4)
        if crossing.zebra:
            zebra(quads, main, centre)
            zebra(quads, side, sign * (along - 1.4), width=3.0)
        stop = crossing.s + sign * (across + 1.6)
        lanes = (-lane, -0.15) if sign < 0 else (0.15, lane)
        _mark(quads, main.path, (stop - 0.2, stop + 0.2), lanes, z=0.009)
        stop = sign * (along + 1.6)
        lanes = (-side.lanes * LANE_M, -0.15) if sign < 0 else (0.15, side.lanes * LANE_M)
        _mark(quads, side.path, (stop - 0.2, stop + 0.2), lanes, z=0.009)


def _corners(quads: Quads, main: Street, side: Street, crossing: Crossing, tint: float) -> None:
    """The crossing's carriageway and its four rounded pavement corners."""
    r = CORNER_RADIUS_M
    a, b = side.half_m, main.half_m
    size_a, size_b = max(side.pavement_m, r), max(main.pavement_m + main.verge_m, r)
    origin, heading = main.path.at(crossing.s), float(main.path.heading_at(crossing.s))
    rotation = np.array([[math.cos(heading), math.sin(heading)], [-math.sin(heading), math.cos(heading)]])

    def world(points: NDArray[np.float64], z: float) -> NDArray[np.float64]:
        xy = points @ rotation + origin
        return np.concatenate([xy, np.full((*xy.shape[:-1], 1), z)], axis=-1)

    for at in ((-a - r, a + r, -b, b), (-a, a, -b - r, b + r)):
        patch = np.array([[at[0], at[2]], [at[1], at[2]], [at[1], at[3]], [at[0], at[3]]])
        quads.add(world(patch, 0.0), ASPHALT, Ground.ROAD, ROAD)
    square = np.array([[a, b], [a + r, b], [a + r, b + r], [a, b + r]])
    angle = np.linspace(math.pi, 1.5 * math.pi, 9)
    arc = np.stack([a + r + r * np.cos(angle), b + r + r * np.sin(angle)], axis=1)
    arc_back = np.stack([a + r + (r - 0.16) * np.cos(angle), b + r + (r - 0.16) * np.sin(angle)], axis=1)
    rim = np.concatenate([[[a, b + size_b]], arc, [[a + size_a, b]]])
    far = np.array([a + size_a, b + size_b])
    for sx in (-1, 1):
        for sy in (-1, 1):
            flip = np.array([sx, sy], np.float64)
            quads.add(world(square * flip, 0.0), ASPHALT, Ground.ROAD, ROAD)
            fan = np.stack([np.broadcast_to(far, rim[:-1].shape), rim[:-1], rim[1:], rim[1:]], axis=1) * flip
            quads.add(world(fan, KERB_HEIGHT_M), np.array(SLABS) * tint, Ground.PAVEMENT, PAVEMENT)
            kerb = np.stack([arc[:-1], arc[1:], arc_back[1:], arc_back[:-1]], axis=1) * flip
            quads.add(world(kerb, KERB_HEIGHT_M + 0.002), KERB, Ground.KERB, PAVEMENT)
            low, high = world(arc * flip, 0.0), world(arc * flip, KERB_HEIGHT_M)
            faces = np.stack([low[:-1], low[1:], high[1:], high[:-1]], axis=1)
            quads.add(faces, np.array(KERB) * 0.8, Ground.KERB, PAVEMENT)
