"""City buses: a body lofted upward from a rounded plan, with a window band, doors and route boards."""

from __future__ import annotations

import numpy as np

from scenes.random import Rng
from scenes.town.actors.lettering import route_board
from scenes.town.actors.shapes import (
    Color,
    apply_looks,
    ball,
    both_sides,
    box,
    circle,
    disc,
    loft,
    paint,
    panel,
    pick,
    rgb,
    rod,
    shade,
    vec,
)
from scenes.town.actors.wheels import axle, wheel
from scenes.town.mesh import Mesh, Surface, join, mesh

BUS_PAINTS = (("#c4161c", 26), ("#f0f0ec", 20), ("#1d5fa8", 16), ("#e8b417", 16), ("#2f8a45", 14), ("#d76a1a", 8))
ACCENTS = ("#d3202a", "#1668b3", "#f0a018", "#2a8f4d", "#5a3b8c", "#f0f0ec")
GLASS = rgb("#141a1f")
TRIM = rgb("#1a1b1d")


def build_bus(rng: Rng) -> Mesh:
    """Return a single-deck city bus, doors on the right."""
    length, width, height = rng.uniform(10.6, 12.4), rng.uniform(2.48, 2.56), rng.uniform(2.95, 3.2)
    color, accent = pick(rng, BUS_PAINTS), rgb(rng.choice(ACCENTS))
    line = rng.integer(1, 299)
    parts = [_bus_shell(length, width, height, color, accent if rng.uniform() < 0.6 else color)]
    parts += _bus_ends(length, width, height, line, rng) + _bus_doors(length, width)
    axles = (length / 2 - 2.65, -length / 2 + 3.2)
    parts += _wheel_sets(axles, width, 0.48, 0.3, 0.62)
    pod = ball(0.3 * length * 0.5, 0.7, 0.16, 12, 6, 0.5).moved(x=-0.12 * length, z=height)
    parts.append(paint(pod, shade(color, 0.9), Surface.PAINT, smooth=True))
    return join(parts)


def _bus_shell(length: float, width: float, height: float, color: Color, skirt: Color) -> Mesh:
    """Return walls and roof. Along the sides every 1.4 m a narrow pillar parts two windows."""
    n = max(5, round((length - 0.9) / 1.45))
    edges = np.linspace(length / 2 - 0.55, -length / 2 + 0.5, n + 1)
    side = np.concatenate([[e + 0.05, e - 0.05] for e in edges])
    corner = np.stack(
        [np.cos(np.linspace(0.1, np.pi / 2 - 0.05, 5)), np.sin(np.linspace(0.1, np.pi / 2 - 0.05, 5))], -1
    )
    front = corner * 0.28 + vec(length / 2 - 0.28, width / 2 - 0.28)
    rear = corner[::-1] * [-0.22, 0.22] + vec(-length / 2 + 0.22, width / 2 - 0.22)
    left = np.concatenate([front, np.column_stack([side, np.full(len(side), width / 2)]), rear])
    plan = np.concatenate([left, left[::-1] * [1, -1]])
    levels = [(0.30, 0.985), (0.36, 1.0), (0.62, 1.0), (1.02, 1.0), (1.10, 0.998), (height - 0.72, 0.985),
              (height - 0.66, 0.983), (height - 0.22, 0.965), (height - 0.08, 0.925), (height - 0.01, 0.8)]  # fmt: skip
    rings = np.array([np.column_stack([plan * [0.5 + 0.5 * k, k], np.full(len(plan), z)]) for z, k in levels])
    solid = loft(rings, rings[0].mean(axis=0), rings[-1].mean(axis=0) + vec(0, 0, 0.02))
    m = mesh(solid.vertices, solid.faces, color, surface=Surface.PAINT, recolour=True)
    column, level = np.arange(len(plan))[None], np.arange(len(levels) - 1)[:, None]
    middle = 0.5 * (plan + np.roll(plan, -1, axis=0))
    wide = np.linalg.norm(np.roll(plan, -1, axis=0) - plan, axis=1) > 0.5
    window = wide[None] & (level == 4) & (np.abs(middle[:, 0]) < length / 2 - 0.3)[None]
    frame = (np.abs(middle[:, 0]) < length / 2 - 0.3)[None] & ((level == 3) | (level == 4) | (level == 5))
    looks = [
        (level + 0 * column == 0, rgb("#101012"), Surface.MATTE),
        ((level == 1) | (level == 2) & (column >= 0), skirt, Surface.PAINT),
        (frame, TRIM, Surface.MATTE),
        (window, GLASS, Surface.GLASS),
    ]
    apply_looks(m, looks, (len(levels) - 1, len(plan)))
    return m


def _bus_ends(length: float, width: float, height: float, line: int, rng: Rng) -> list[Mesh]:
    x, w = length / 2, width / 2
    ends = ("Central Station", "Harbour", "University", "Airport", "Old Town", "North Park", "Hospital", "Stadium")
    board = route_board(line, rng.choice(ends))
    front_window = box(0.05, 2 * w - 0.34, height - 1.62).moved(x + 0.003, 0, 0.5 * (height - 0.55) + 0.46)
    rear_window = box(0.04, 2 * w - 0.7, 0.75).moved(-x - 0.002, 0, height - 1.1)
    lamps = both_sides(ball(0.05, 0.2, 0.1, 10, 6, 0.7).moved(x - 0.012, w - 0.44, 0.66))
    tails = both_sides(box(0.05, 0.16, 0.46).moved(-x, w - 0.18, 0.97))
    amber = both_sides(box(0.05, 0.16, 0.14).moved(-x, w - 0.18, 1.28))
    wipers = [rod((x + 0.035, s * 0.1, 0.95), (x + 0.035, s * 0.75, 1.35), 0.014, 4) for s in (-1, 1)]
    mirror = both_sides(box(0.1, 0.18, 0.36).moved(x + 0.16, w + 0.1, height - 0.85))
    arm = both_sides(box(0.3, 0.04, 0.04).moved(x + 0.05, w + 0.02, height - 0.62))
    z, dy = height - 0.37, 0.78
    sign = [
        [x + 0.034, -dy, z + 0.16],
        [x + 0.034, -dy, z - 0.16],
        [x + 0.034, dy, z - 0.16],
        [x + 0.034, dy, z + 0.16],
    ]
    dark = box(0.04, 1.9, 0.42).moved(x + 0.008, 0, z)
    parts = [paint(s, TRIM) for s in (*wipers, mirror, arm, dark)]
    parts += [paint(front_window, GLASS, Surface.GLASS), paint(rear_window, GLASS, Surface.GLASS)]
    parts += [paint(lamps, rgb("#eef0f2"), Surface.METAL, smooth=True), paint(tails, rgb("#cf1016"), Surface.GLASS)]
    parts += [paint(amber, rgb("#d9790f"), Surface.GLASS), paint(box(0.05, 2 * w - 0.5, 0.12).moved(x, 0, 0.4), TRIM)]
    parts.append(paint(box(0.03, 1.3, 0.35).moved(-x, 0, 0.75), rgb("#26272a")))
    parts.append(paint(box(0.02, 0.52, 0.12).moved(x + 0.02, 0, 0.52), rgb("#f3f3ee")))
    number = [
        [-x - 0.026, 0.62, z + 0.13],
        [-x - 0.026, 0.62, z - 0.13],
        [-x - 0.026, -0.62, z - 0.13],
        [-x - 0.026, -0.62, z + 0.13],
    ]
    parts.append(paint(box(0.04, 1.34, 0.32).moved(-x - 0.004, 0, z), TRIM))
    parts.append(paint(box(0.05, 2 * w - 0.3, 0.14).moved(-x, 0, 0.42), TRIM))
    parts.append(paint(box(0.03, 0.52, 0.12).moved(-x - 0.02, 0, 0.52), rgb("#f3f3ee")))
    return [*parts, panel(sign, board), panel(number, route_board(line, ""))]


def _bus_doors(length: float, width: float) -> list[Mesh]:
    parts = []
    for x in (length / 2 - 1.15, -0.35):
        parts.append(paint(box(1.34, 0.03, 2.12).moved(x, -width / 2 - 0.004, 1.44), TRIM))
        for dx in (-0.32, 0.32):
            parts.append(paint(box(0.54, 0.03, 1.94).moved(x + dx, -width / 2 - 0.012, 1.45), GLASS, Surface.GLASS))
    return parts


def _wheel_sets(axles: tuple[float, ...], width: float, radius: float, tyre: float, arch: float) -> list[Mesh]:
    """Return wheels in dark half-round arches set 6 mm before the body side."""
    parts = []
    one = wheel(radius, tyre, 8, 0.6)
    half = circle(24)[:13] * arch
    for x in axles:
        outline = np.column_stack([half[:, 0] + x, np.full(13, width / 2 + 0.006), half[:, 1] + radius])
        low = [[x - arch, width / 2 + 0.006, 0.34], [x + arch, width / 2 + 0.006, 0.34]]
        shape = disc(np.concatenate([outline, low])[::-1])
        parts.append(paint(both_sides(shape), rgb("#0b0b0c")))
        parts += axle(one, x, width / 2 - tyre / 2 + 0.02, radius)
    return parts
