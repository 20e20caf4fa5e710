"""Facades: recessed windows, doors, shops, balconies, bands; every storey a grid of cells made at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.random import Rng
from scenes.town.classes import INDEX
from scenes.town.mesh import Surface
from scenes.town.soup import Ground, Quads, linear

BUILDING = INDEX["building"]
Vec = NDArray[np.float64]
Color = tuple[float, float, float]

PLASTER = [
    linear(c)
    for c in (
        "#e8d9b8",
        "#d9b382",
        "#c98f6b",
        "#e6cfc0",
        "#b9c4a6",
        "#a9bccb",
        "#d8d2c6",
        "#f0e6d2",
        "#c4765a",
        "#e3c46f",
        "#93a7b5",
        "#ead0d0",
        "#8fa58c",
        "#d49a7c",
        "#cdbfae",
    )
]
BRICKS = [linear(c) for c in ("#a5583f", "#8c4a38", "#b9734f", "#7d5244", "#c08a62")]
ROOFS = [linear(c) for c in ("#9c4a34", "#7b3f31", "#5b5a5e", "#6d5547", "#484c55")]
TRIM = [linear(c) for c in ("#f4f1ea", "#e5e0d6", "#d5cfc4", "#6b6058")]
DOORS = [linear(c) for c in ("#5a3b28", "#2f4a3a", "#7a2f2a", "#2c3e5c", "#3b3b3d", "#a07c4a")]
SIGNS = [linear(c) for c in ("#b3332c", "#1f5f8b", "#2e7d4f", "#d9942b", "#3a3a3c", "#7d3c82", "#e0dccf")]
CURTAINS = [linear(c) for c in ("#d8d0c0", "#c9b59a", "#e6e2da", "#a9a39a")]


@dataclass(frozen=True)
class Style:
    """What all storeys of one building share. Lengths in metres."""

    wall: Color
    surface: int
    trim: Color
    frame: Color
    floors: int
    floor_m: float
    ground_m: float
    cell_m: float
    window: tuple[float, float]  # share of a cell's width, and of a storey's height
    shop: bool
    roof: str  # flat | pitched
    roof_color: Color
    bands: bool
    balconies: bool


def draw_style(rng: Rng, *, kind: str) -> Style:
    """Draw the look of a building: town | office | house."""
    brick = rng.uniform() < 0.35
    wall = rng.choice(BRICKS) if brick else rng.choice(PLASTER)
    floors = {"town": rng.integer(2, 6), "office": rng.integer(4, 9), "house": rng.integer(1, 3)}[kind]
    window = {
        "town": (rng.uniform(0.36, 0.55), rng.uniform(0.5, 0.64)),
        "office": (rng.uniform(0.72, 0.9), rng.uniform(0.5, 0.75)),
        "house": (rng.uniform(0.35, 0.5), rng.uniform(0.42, 0.52)),
    }[kind]
    if kind == "office":
        wall = rng.choice([linear("#c9ccd0"), linear("#8d949c"), linear("#d9d2c4"), linear("#6f7a86"), wall])
    return Style(
        wall=wall,
        surface=Ground.BRICK if brick and kind != "office" else Ground.PLASTER,
        trim=rng.choice(TRIM),
        frame=rng.choice([linear("#f2f0ea"), linear("#f2f0ea"), linear("#4a4038"), linear("#2f3338")]),
        floors=floors,
        floor_m=rng.uniform(2.9, 3.5),
        ground_m=rng.uniform(3.4, 4.2) if kind != "house" else 2.9,
        cell_m=rng.uniform(2.4, 3.4) if kind != "office" else rng.uniform(1.8, 3.0),
        window=window,
        shop=(kind == "town" and rng.uniform() < 0.55) or (kind == "office" and rng.uniform() < 0.5),
        roof="pitched" if kind == "house" or (kind == "town" and rng.uniform() < 0.5) else "flat",
        roof_color=rng.choice(ROOFS),
        bands=rng.uniform() < 0.5,
        balconies=kind == "town" and rng.uniform() < 0.3,
    )


def _dim(color: Color, factor: float) -> Color:
    return (color[0] * factor, color[1] * factor, color[2] * factor)


@dataclass(frozen=True, eq=False)
class Wall:
    """A vertical plane: origin (3,), unit vector along it, unit normal out of the building."""

    origin: Vec
    along: Vec
    normal: Vec
    width: float

    def at(self, x: Vec, z: Vec, out: float) -> Vec:
        """Return world points (..., 3) of coordinates (...) along and up, at a distance out of the wall."""
        points = np.empty((*x.shape, 3))
        for axis in range(3):
            points[..., axis] = x * self.along[axis] + (self.origin[axis] + out * self.normal[axis])
        points[..., 2] += z
        return points


def facade(quads: Quads, rng: Rng, wall: Wall, style: Style, *, front: bool, plain: bool) -> None:
    """Add one face of a building: a ground floor and the storeys above it."""
    columns = max(1, int(wall.width / style.cell_m))
    cell = wall.width / columns
    top = style.ground_m + (style.floors - 1) * style.floor_m
    if plain:
        _panel(quads, wall, (0.0, wall.width), (0.0, top), 0.0, style.wall, style.surface)
        return
    if front and style.shop:
        _shops(quads, rng, wall, style)
    else:
        _storeys(quads, rng, wall, style, cell, columns, 0.0, style.ground_m, 1, door=front)
    if style.floors > 1:
        _storeys(quads, rng, wall, style, cell, columns, style.ground_m, style.floor_m, style.floors - 1, door=False)
    if style.bands:
        for k in range(style.floors - 1):
            z = style.ground_m + k * style.floor_m
            _box(quads, wall, (0.0, wall.width), (z - 0.1, z + 0.08), 0.07, style.trim)
    _box(quads, wall, (0.0, wall.width), (0.0, 0.45), 0.05, _dim(style.wall, 0.62))
    _box(quads, wall, (-0.1, wall.width + 0.1), (top - 0.28, top + 0.02), 0.22, style.trim)


def _storeys(
    quads: Quads,
    rng: Rng,
    wall: Wall,
    style: Style,
    cell: float,
    columns: int,
    base: float,
    height: float,
    count: int,
    *,
    door: bool,
) -> None:
    """Add `count` equal storeys of windows; in the first, a door takes the place of one window."""
    w, h = style.window[0] * cell, style.window[1] * height
    x0, z0 = np.meshgrid(np.arange(columns) * cell, base + np.arange(count) * height)
    x0, z0 = x0.ravel(), z0.ravel()
    sill = z0 + max(0.32 * height if style.window[0] < 0.6 else 0.2 * height, 0.0)
    sill = np.minimum(sill, z0 + height - h - 0.25)
    left = x0 + (cell - w) / 2
    right, head = left + w, sill + h
    is_door = np.zeros(len(x0), np.bool_)
    if door:
        is_door[columns // 2] = True
        sill = np.where(is_door, z0 + 0.02, sill)
        head = np.where(is_door, z0 + 2.35, head)
        left = np.where(is_door, x0 + cell / 2 - 0.55, left)
        right = np.where(is_door, x0 + cell / 2 + 0.55, right)
    _around(quads, wall, style, (x0, x0 + cell), (z0, z0 + height), (left, right), (sill, head))
    _reveals(quads, wall, (left, right), (sill, head), 0.16, style.trim)
    windows = ~is_door
    _glazing(quads, rng, wall, style, left[windows], right[windows], sill[windows], head[windows])
    if is_door.any():
        at = np.flatnonzero(is_door)[0]
        _panel(quads, wall, (left[at], right[at]), (sill[at], head[at]), -0.14, rng.choice(DOORS), Surface.MATTE)
        _panel(
            quads,
            wall,
            (left[at] + 0.2, right[at] - 0.2),
            (head[at] - 0.75, head[at] - 0.2),
            -0.13,
            (0.03, 0.035, 0.04),
            Ground.WINDOW,
        )
    if style.balconies and base > 0:
        _balconies(quads, rng, wall, style, x0, z0, cell)


def _around(
    quads: Quads,
    wall: Wall,
    style: Style,
    x: tuple[Vec, Vec],
    z: tuple[Vec, Vec],
    hole_x: tuple[Vec, Vec],
    hole_z: tuple[Vec, Vec],
) -> None:
    """The wall of each cell left, right, below and above its opening."""
    for xs, zs in (
        ((x[0], hole_x[0]), z),
        ((hole_x[1], x[1]), z),
        (hole_x, (z[0], hole_z[0])),
        (hole_x, (hole_z[1], z[1])),
    ):
        _panel(quads, wall, xs, zs, 0.0, style.wall, style.surface)


def _panel(
    quads: Quads,
    wall: Wall,
    x: tuple[Vec | float, Vec | float],
    z: tuple[Vec | float, Vec | float],
    out: float,
    color: Vec | Color,
    surface: int,
) -> None:
    n = max(np.size(v) for v in (*x, *z))
    xs, zs = np.empty((n, 4)), np.empty((n, 4))
    xs[:, 0] = xs[:, 3] = x[0]
    xs[:, 1] = xs[:, 2] = x[1]
    zs[:, 0] = zs[:, 1] = z[0]
    zs[:, 2] = zs[:, 3] = z[1]
    uv = np.empty((n, 4, 2))
    uv[..., 0], uv[..., 1] = xs, zs
    quads.add(wall.at(xs, zs, out), color, surface, BUILDING, uv)


def _reveals(quads: Quads, wall: Wall, x: tuple[Vec, Vec], z: tuple[Vec, Vec], depth: float, color: Color) -> None:
    """The four faces between the wall and what is set back in it."""
    for xs, zs in (
        ((x[0], x[0]), z),
        ((x[1], x[1]), z),
        (x, (z[0], z[0])),
        (x, (z[1], z[1])),
    ):
        front = wall.at(np.stack(xs, -1), np.stack(zs, -1), 0.0)
        back = wall.at(np.stack(xs, -1), np.stack(zs, -1), -depth)
        quads.add(np.stack([front[:, 0], front[:, 1], back[:, 1], back[:, 0]], axis=1), color, Surface.MATTE, BUILDING)


def _glazing(quads: Quads, rng: Rng, wall: Wall, style: Style, left: Vec, right: Vec, sill: Vec, head: Vec) -> None:
    """Glass, curtains, frame with a mullion, and a sill."""
    n = len(left)
    if n == 0:
        return
    shade = 0.02 + 0.05 * rng.uniforms(n, 1)
    glass = shade * np.array([0.9, 1.0, 1.15])
    _panel(quads, wall, (left, right), (sill, head), -0.16, glass, Ground.WINDOW)
    drawn = rng.uniforms(n)
    curtain = drawn < 0.45
    if curtain.any():
        color = np.array(rng.choice(CURTAINS)) * (0.35 + 0.3 * rng.uniforms(int(curtain.sum()), 1))
        low = head - (head - sill) * np.clip(drawn * 2.4, 0.2, 1.0)
        drawn_x, drawn_z = (left[curtain], right[curtain]), (low[curtain], head[curtain])
        _panel(quads, wall, drawn_x, drawn_z, -0.155, color, Ground.WINDOW)
    edge = 0.06
    bars = [
        ((left, left + edge), (sill, head)),
        ((right - edge, right), (sill, head)),
        ((left, right), (sill, sill + edge)),
        ((left, right), (head - edge, head)),
    ]
    middle = (left + right) / 2
    if style.window[0] < 0.6:
        bars.append(((middle - 0.035, middle + 0.035), (sill, head)))
    for xs, zs in bars:
        _panel(quads, wall, xs, zs, -0.12, style.frame, Surface.MATTE)
    top = wall.at(np.stack([left - 0.08, right + 0.08], -1), np.stack([sill, sill], -1), 0.0)
    lip = wall.at(np.stack([left - 0.08, right + 0.08], -1), np.stack([sill, sill], -1), 0.12)
    under = wall.at(np.stack([left - 0.08, right + 0.08], -1), np.stack([sill - 0.08, sill - 0.08], -1), 0.12)
    for a, b in ((top, lip), (lip, under)):
        quads.add(np.stack([a[:, 0], a[:, 1], b[:, 1], b[:, 0]], axis=1), style.trim, Surface.MATTE, BUILDING)


def _box(
    quads: Quads,
    wall: Wall,
    x: tuple[float, float],
    z: tuple[float, float],
    out: float,
    color: Color,
    surface: int = Surface.MATTE,
) -> None:
    """A bar that stands out of the wall."""
    _panel(quads, wall, x, z, out, color, surface)
    near, far = (wall.at(np.array([x[0], x[1], x[1], x[0]]), np.array([z[0], z[0], z[1], z[1]]), o) for o in (0.0, out))
    order = np.array([[0, 1], [1, 2], [2, 3], [3, 0]])
    sides = np.concatenate([near[order], far[order[:, ::-1]]], axis=1)
    quads.add(sides, color, surface, BUILDING)


def _shops(quads: Quads, rng: Rng, wall: Wall, style: Style) -> None:
    """A ground floor of shop windows, doors, name boards and awnings."""
    count = max(1, round(wall.width / rng.uniform(4.5, 7.0)))
    bay = wall.width / count
    high = style.ground_m
    base = _dim(style.wall, 0.55) if rng.uniform() < 0.5 else style.trim
    for k in range(count):
        x = k * bay
        board = rng.choice(SIGNS)
        left, right = np.array([x + 0.35]), np.array([x + bay - 0.35])
        sill, head = np.array([0.45]), np.array([high - 1.0])
        cell = (np.array([x]), np.array([x + bay])), (np.array([0.0]), np.array([high]))
        shop = Style(**{**style.__dict__, "wall": base, "surface": Surface.MATTE})
        _around(quads, wall, shop, cell[0], cell[1], (left, right), (sill, head))
        _reveals(quads, wall, (left, right), (sill, head), 0.25, _dim(base, 0.7))
        glow = np.array([0.10, 0.085, 0.06]) * rng.uniform(0.5, 1.6)
        _panel(quads, wall, (left, right), (sill, head), -0.25, glow, Ground.WINDOW)
        door = x + 0.5 if rng.uniform() < 0.5 else x + bay - 1.5
        _panel(quads, wall, (door, door + 1.0), (0.05, high - 1.05), -0.2, rng.choice(DOORS), Surface.MATTE)
        _panel(quads, wall, (door + 0.12, door + 0.88), (0.9, high - 1.2), -0.19, (0.04, 0.045, 0.05), Ground.WINDOW)
        for bar in np.arange(x + 0.35, x + bay - 0.3, max((bay - 0.7) / 3, 0.9)):
            _panel(quads, wall, (bar - 0.04, bar + 0.04), (0.45, high - 1.0), -0.2, style.frame, Surface.MATTE)
        _box(quads, wall, (x + 0.2, x + bay - 0.2), (high - 0.85, high - 0.25), 0.12, board)
        letters = np.arange(x + bay * 0.28, x + bay * 0.72, 0.42)
        widths = 0.16 + 0.18 * rng.uniforms(len(letters))
        ink = (0.85, 0.83, 0.78) if sum(board) < 1.2 else (0.05, 0.05, 0.06)
        _panel(quads, wall, (letters, letters + widths), (high - 0.68, high - 0.42), 0.13, ink, Surface.MATTE)
        if rng.uniform() < 0.5:
            _awning(quads, wall, (x + 0.3, x + bay - 0.3), high - 0.9, rng.choice(SIGNS))


def _awning(quads: Quads, wall: Wall, x: tuple[float, float], z: float, color: Color) -> None:
    stripes = np.linspace(x[0], x[1], max(4, int((x[1] - x[0]) / 0.4)))
    a, b = stripes[:-1], stripes[1:]
    tint = np.where((np.arange(len(a)) % 2 == 0)[:, None], np.array(color), np.array([0.8, 0.78, 0.72]))
    high = wall.at(np.stack([a, b], -1), np.full((len(a), 2), z), 0.05)
    low = wall.at(np.stack([a, b], -1), np.full((len(a), 2), z - 0.45), 1.15)
    hem = wall.at(np.stack([a, b], -1), np.full((len(a), 2), z - 0.65), 1.15)
    for p, q in ((high, low), (low, hem)):
        quads.add(np.stack([p[:, 0], p[:, 1], q[:, 1], q[:, 0]], axis=1), tint, Surface.MATTE, BUILDING)


def _balconies(quads: Quads, rng: Rng, wall: Wall, style: Style, x0: Vec, z0: Vec, cell: float) -> None:
    """A slab and railing before some of the windows."""
    has = rng.uniforms(len(x0)) < 0.45
    rail = _dim(style.trim, 0.25)
    offsets = np.arange(0.15, cell - 0.14, 0.22)
    for x, z in zip(x0[has], z0[has], strict=True):
        span = (float(x) + 0.15, float(x) + cell - 0.15)
        _box(quads, wall, span, (float(z) + 0.05, float(z) + 0.2), 0.95, style.trim)
        bars = float(x) + offsets
        _panel(quads, wall, (bars - 0.02, bars + 0.02), (float(z) + 0.2, float(z) + 1.1), 0.93, rail, Surface.METAL)
        _panel(quads, wall, span, (float(z) + 1.08, float(z) + 1.15), 0.94, rail, Surface.METAL)
