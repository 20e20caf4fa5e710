"""Buildings: four facades and a roof."""

from __future__ import annotations

import math

import numpy as np

from scenes.random import Rng
from scenes.town.facades import BUILDING, Style, Vec, Wall, draw_style, facade
from scenes.town.mesh import Surface
from scenes.town.soup import Ground, Quads, linear
from scenes.town.streets import KERB_HEIGHT_M

__all__ = ["building", "draw_style"]


def building(
    quads: Quads,
    rng: Rng,
    corner: Vec,
    along: Vec,
    width: float,
    depth: float,
    style: Style,
    *,
    windows: tuple[bool, bool, bool, bool] = (True, True, False, True),
) -> float:
    """Add a block and return its height.

    `corner` (2,) is its front left seen from the street, `along` (2,) unit; `windows`: which of front, right, back,
    left have them.
    """
    u = np.array([along[0], along[1], 0.0])
    inward = np.array([along[1], -along[0], 0.0])  # to the right of `along`
    base = np.array([corner[0], corner[1], KERB_HEIGHT_M - 0.03])
    height = style.ground_m + (style.floors - 1) * style.floor_m
    walls = (
        Wall(base, u, -inward, width),
        Wall(base + u * width, inward, u, depth),
        Wall(base + u * width + inward * depth, -u, inward, width),
        Wall(base + inward * depth, -inward, -u, depth),
    )
    for index, wall in enumerate(walls):
        facade(quads, rng, wall, style, front=index == 0, plain=not windows[index])
    if style.roof == "flat":
        _flat_roof(quads, base, u, inward, width, depth, height, style)
    else:
        _pitched_roof(quads, base, u, inward, width, depth, height, style, rng)
    return height


def _flat_roof(
    quads: Quads, base: Vec, u: Vec, v: Vec, width: float, depth: float, height: float, style: Style
) -> None:
    up = np.array([0, 0, 1.0])
    p = 0.22
    corners = np.array(
        [
            base - p * u - p * v,
            base + (width + p) * u - p * v,
            base + (width + p) * u + (depth + p) * v,
            base - p * u + (depth + p) * v,
        ]
    ) + up * (height + 0.02)
    quads.add(corners, style.trim, Surface.MATTE, BUILDING)
    inner = np.array([base, base + width * u, base + width * u + depth * v, base + depth * v]) + up * height
    for k in range(4):
        a, b = inner[k], inner[(k + 1) % 4]
        quads.add(
            np.array([a, b, b + up * 0.6, a + up * 0.6]),
            style.wall,
            style.surface,
            BUILDING,
            np.array([[0, 0], [width, 0], [width, 0.6], [0, 0.6]]),
        )


def _pitched_roof(
    quads: Quads, base: Vec, u: Vec, v: Vec, width: float, depth: float, height: float, style: Style, rng: Rng
) -> None:
    """A gable roof with the ridge along the street, or across it."""
    up = np.array([0, 0, 1.0])
    over = 0.45
    across = rng.uniform() < 0.25 and width < 12
    a, b, la, lb = (v, u, depth, width) if across else (u, v, width, depth)  # ridge along a
    pitch = rng.uniform(0.55, 0.95)
    rise = min(pitch * lb / 2, 6.0)
    eave = base + up * height
    drop = rise * over / (lb / 2)
    ends = np.array([-0.15, la + 0.15])
    ridge = [eave + a * e + b * (lb / 2) + up * rise for e in ends]
    for t in (-over, lb + over):
        low = [eave + a * e + b * t - up * drop for e in ends]
        length = math.hypot(rise + drop, lb / 2 + over)
        uv = np.array([[0, 0], [la, 0], [la, length], [0, length]])
        quads.add(np.array([low[0], low[1], ridge[1], ridge[0]]), style.roof_color, Ground.ROOF, BUILDING, uv)
        edge = np.array([low[0], low[1], low[1] - up * 0.16, low[0] - up * 0.16])
        quads.add(edge, style.trim, Surface.MATTE, BUILDING)
    for e in (0.0, la):
        foot = eave + a * e
        gable = np.array([foot, foot + b * lb, foot + b * (lb / 2) + up * rise, foot + b * (lb / 2) + up * rise])
        uv = np.array([[0, 0], [lb, 0], [lb / 2, rise], [lb / 2, rise]])
        quads.add(gable, style.wall, style.surface, BUILDING, uv)
    if rng.uniform() < 0.7:
        spot = eave + a * (la * rng.uniform(0.2, 0.8)) + b * (lb / 2 + 0.6)
        for d1, d2 in ((u, v), (v, -u), (-u, -v), (-v, u)):
            c = spot + 0.3 * d2
            a1, b1, top = c - 0.3 * d1, c + 0.3 * d1, up * (rise + 0.9)
            face = np.array([a1, b1, b1 + top, a1 + top])
            quads.add(face, linear("#8c4a38"), Ground.BRICK, BUILDING, np.array([[0, 0], [0.6, 0], [0.6, 3], [0, 3]]))
