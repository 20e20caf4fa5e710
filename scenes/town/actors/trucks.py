"""Trucks: a forward-control cab, a chassis, and a box body, a tipper or a flatbed with load."""

from __future__ import annotations

import numpy as np

from scenes.random import Rng
from scenes.town.actors.lettering import side_print
from scenes.town.actors.shapes import (
    Color,
    Floats,
    Solid,
    apply_looks,
    ball,
    both_sides,
    box,
    circle,
    disc,
    extruded,
    loft,
    paint,
    panel,
    pick,
    rgb,
    shade,
    vec,
)
from scenes.town.actors.wheels import axle, wheel
from scenes.town.mesh import Mesh, Surface, join, mesh

CAB_PAINTS = (
    ("#f1f1ef", 34), ("#b5141b", 16), ("#1f4f95", 16), ("#2d6b3c", 6),
    ("#e0a412", 8), ("#33363b", 14), ("#c45a15", 6),
)  # fmt: skip
BOX_PAINTS = (("#f2f2ef", 50), ("#d8dadc", 14), ("#20508f", 10), ("#a8181e", 8), ("#d8a51c", 8), ("#2f6e45", 10))
ACCENTS = ("#d3202a", "#1668b3", "#f0a018", "#2a8f4d", "#5a3b8c", "#1b1b1d", "#e35f14")
GLASS = rgb("#141a1f")
TRIM = rgb("#1a1b1d")


def build_truck(rng: Rng) -> Mesh:
    """Return a truck with a box body (7 of 10), a flatbed with load, or a tipper."""
    body = rng.choice(("box",) * 7 + ("flatbed", "tipper", "tipper"))
    length = rng.uniform(7.6, 9.6) if body != "tipper" else rng.uniform(7.2, 8.0)
    width = 2.5
    cab_color = pick(rng, CAB_PAINTS)
    cab_length, cab_height = 1.95, rng.uniform(2.75, 3.1)
    parts = _cab(length / 2, width - 0.08, cab_length, cab_height, cab_color)
    back, front = -length / 2, length / 2 - cab_length - 0.18
    parts += _chassis(length, front, back)
    axles = (length / 2 - 1.3, back + 1.5) if length < 8.4 else (length / 2 - 1.3, back + 2.35, back + 1.2)
    parts += _axles(axles, width)
    if body == "box":
        parts += _cargo_box(front, back, width, rng.uniform(3.3, 3.75), rng)
    elif body == "tipper":
        parts += _tipper(front, back, width, rng)
    else:
        parts += _flatbed(front, back, width, rng)
    return join(parts)


def _axles(axles: tuple[float, ...], width: float) -> list[Mesh]:
    one = wheel(0.5, 0.32, 8, 0.58)
    parts = []
    for k, x in enumerate(axles):
        parts += axle(one, x, width / 2 - 0.18, 0.5)
        if k:
            guard = extruded([(x - 0.6, 0.78), (x - 0.42, 1.07), (x + 0.42, 1.07), (x + 0.6, 0.78)], 0.36)
            parts.append(paint(both_sides(guard.moved(y=width / 2 - 0.2)), TRIM))
    return parts


def _cab(x: float, width: float, length: float, height: float, color: Color) -> list[Mesh]:
    """Return a forward-control cab whose front is at x."""
    w, rear = width / 2, x - length
    corner = circle(24)[1:6]

    def plan(front: float, inset: float) -> Floats:
        side = np.array([x - 0.5, x - 0.56, x - 1.35, x - 1.41])
        arc = corner * 0.22 + vec(front - 0.22, w - inset - 0.22)
        left = np.concatenate([arc, np.column_stack([side, np.full(4, w - inset)]), [[rear, w - inset]]])
        return np.concatenate([left, left[::-1] * [1, -1]])

    levels = [(0.42, x - 0.05, 0.02), (0.5, x, 0), (1.0, x, 0), (1.42, x - 0.02, 0), (1.52, x - 0.03, 0.0),
              (height - 0.5, x - 0.19, 0.05), (height - 0.42, x - 0.21, 0.055), (height - 0.1, x - 0.33, 0.09),
              (height, x - 0.6, 0.2)]  # fmt: skip
    rings = np.array([np.column_stack([plan(front, inset), np.full(20, z)]) for z, front, inset in levels])
    solid = loft(rings, rings[0].mean(axis=0), rings[-1].mean(axis=0) + vec(0, 0, 0.03))
    m = mesh(solid.vertices, solid.faces, color, surface=Surface.PAINT, recolour=True)
    level, column = np.arange(len(levels) - 1)[:, None], np.arange(20)[None]
    side_window, front_face = (column == 6) | (column == 12), (column == 19) | (column <= 1) | (column >= 17)
    looks = [
        ((level == 0) & (column >= 0), TRIM, Surface.MATTE),
        ((level == 4) & (side_window | front_face), GLASS, Surface.GLASS),
        ((level >= 1) & (level <= 4) & ((column == 7) | (column == 11)), TRIM, Surface.MATTE),
    ]
    apply_looks(m, looks, (len(levels) - 1, 20))
    arch = circle(24)[:13] * 0.6
    outline = np.column_stack([arch[:, 0] + x - 1.3, np.full(13, w + 0.006), arch[:, 1] + 0.5])
    well = disc(np.concatenate([outline, [[x - 1.9, w + 0.006, 0.42], [x - 0.7, w + 0.006, 0.42]]])[::-1])
    lamps = both_sides(ball(0.05, 0.19, 0.1, 10, 6, 0.6).moved(x - 0.01, w - 0.36, 0.66))
    mirror = both_sides(box(0.1, 0.2, 0.5).moved(x - 0.12, w + 0.16, 1.85))
    arm = both_sides(box(0.05, 0.22, 0.05).moved(x - 0.16, w + 0.03, 2.05))
    visor = box(0.16, 2 * w - 0.3, 0.14).moved(x - 0.13, 0, height - 0.42)
    slats = [box(0.03, 2 * w - 0.75, 0.075).moved(x + 0.003, 0, z) for z in (1.08, 1.2, 1.32)]
    parts = [m, paint(both_sides(well), rgb("#0b0b0c")), paint(lamps, rgb("#eef0f2"), Surface.METAL, smooth=True)]
    parts += [paint(s, TRIM) for s in (mirror, arm, visor, *slats)]
    parts.append(paint(box(0.08, 2 * w - 0.1, 0.24).moved(x, 0, 0.48), TRIM))
    parts.append(paint(box(0.02, 0.52, 0.12).moved(x + 0.045, 0, 0.5), rgb("#f3f3ee")))
    return parts


def _chassis(length: float, front: float, back: float) -> list[Mesh]:
    rails = box(length - 0.6, 0.85, 0.28).moved(x=-0.2, z=0.86)
    tank = ball(0.55, 0.28, 0.3, 10, 6, 0.4).moved((front + back) / 2 + 0.9, 0.95, 0.72)
    crate = box(0.9, 0.5, 0.5).moved((front + back) / 2 + 0.8, -0.98, 0.74)
    guard = box(0.08, 2.3, 0.12).moved(back + 0.12, 0, 0.52)
    hangers = both_sides(box(0.06, 0.08, 0.45).moved(back + 0.14, 0.6, 0.7))
    lamps = both_sides(box(0.06, 0.42, 0.17).moved(back + 0.04, 0.92, 0.74))
    plate = box(0.02, 0.52, 0.12).moved(back + 0.07, 0, 0.53)
    parts = [paint(s, rgb("#1c1d20")) for s in (rails, crate, hangers)]
    parts += [paint(tank, rgb("#a6a9ad"), Surface.METAL, smooth=True), paint(guard, rgb("#d9d9d6"))]
    return [*parts, paint(lamps, rgb("#cf1016"), Surface.GLASS), paint(plate, rgb("#f3f3ee"))]


def _cargo_box(front: float, back: float, width: float, height: float, rng: Rng) -> list[Mesh]:
    color, accent = pick(rng, BOX_PAINTS), rng.choice(ACCENTS)
    low, w, length = 1.08, width / 2, front - back
    middle = (front + back) / 2
    hull = box(length, width, height - low).moved(middle, 0, (height + low) / 2)
    edges = [
        box(length + 0.03, 0.06, 0.07).moved(middle, s * w, z) for s in (-1, 1) for z in (low + 0.02, height - 0.02)
    ]
    posts = [box(0.07, 0.06, height - low).moved(x, s * w, (height + low) / 2) for s in (-1, 1) for x in (front, back)]
    parts = [paint(hull, color, Surface.PAINT, recolour=True)]
    parts += [paint(s, rgb("#b4b7bb"), Surface.METAL) for s in (*edges, *posts)]
    parts.append(paint(box(0.02, 0.03, height - low - 0.1).moved(back - 0.006, 0, (height + low) / 2), TRIM))
    for y in (-0.75, -0.2, 0.2, 0.75):
        parts.append(
            paint(box(0.03, 0.035, height - low - 0.2).moved(back - 0.012, y, (height + low) / 2), rgb("#8c9095"))
        )
    for s in (-1, 1):
        parts.append(
            paint(
                box(0.03, 0.06, height - low - 0.1).moved(back - 0.028, s * (w - 0.03), (height + low) / 2),
                rgb("#c8141c"),
                Surface.RETRO,
            )
        )
        parts.append(
            paint(
                box(length * 0.34, 0.03, 0.3).moved(middle + 0.09 * length, s * (w - 0.03), 0.72),
                rgb("#b9bcc0"),
                Surface.METAL,
            )
        )
    parts.append(paint(box(0.03, width - 0.1, 0.06).moved(back - 0.028, 0, low + 0.06), rgb("#c8141c"), Surface.RETRO))
    if rng.uniform() < 0.8:
        texture = side_print(rng.choice(_FIRMS), color, accent, rng.integer(0, 3))
        z1, z0, x1, x0 = height - 0.1, low + 0.1, front - 0.08, back + 0.08
        y = w + 0.006
        left = [[x1, y, z1], [x1, y, z0], [x0, y, z0], [x0, y, z1]]
        right = [[x0, -y, z1], [x0, -y, z0], [x1, -y, z0], [x1, -y, z1]]
        parts += [panel(left, texture), panel(right, texture)]
    return parts


_FIRMS = (
    "NORDFRACHT",
    "FreshLine",
    "ROLLO",
    "KARGO",
    "Paketo",
    "MOVEX",
    "Alpina",
    "BREAD & CO",
    "transline",
    "AquaPur",
)


def _tipper(front: float, back: float, width: float, rng: Rng) -> list[Mesh]:
    color = pick(rng, (("#d27a14", 4), ("#e0b01a", 4), ("#8d9299", 3), ("#2c5d3a", 2), ("#9c2b1d", 2)))
    low, high, w = 1.05, 2.25, width / 2
    outline = [(back + 0.1, low), (back - 0.12, high), (front, high), (front, low)]
    hull = extruded(outline, width)
    ribs = [
        box(0.1, width + 0.1, high - low).moved(x, 0, (low + high) / 2) for x in np.linspace(back + 0.6, front - 0.4, 5)
    ]
    rim = box(front - back + 0.1, width + 0.08, 0.1).moved((front + back) / 2, 0, high)
    load = ball((front - back) * 0.46, w * 0.86, 0.45, 12, 6).moved((front + back) / 2, 0, high)
    parts = [paint(hull, color, Surface.PAINT, recolour=True)]
    parts += [paint(s, shade(color, 0.8), Surface.PAINT, recolour=True) for s in (*ribs, rim)]
    shield = box(0.7, width * 0.9, 0.08).moved(front + 0.3, 0, high + 0.28)
    return [*parts, paint(load, rgb("#8a7351")), paint(shield, shade(color, 0.8), Surface.PAINT)]


def _flatbed(front: float, back: float, width: float, rng: Rng) -> list[Mesh]:
    middle, length = (front + back) / 2, front - back
    deck = box(length, width, 0.12).moved(middle, 0, 1.1)
    boards = both_sides(box(length, 0.05, 0.42).moved(middle, width / 2, 1.36))
    tail = box(0.05, width, 0.42).moved(back, 0, 1.36)
    head = box(0.08, width, 1.3).moved(front - 0.04, 0, 1.7)
    color = pick(rng, CAB_PAINTS)
    parts = [paint(deck, rgb("#6b5238")), paint(head, TRIM)]
    parts += [paint(s, shade(color, 0.8), Surface.PAINT, recolour=True) for s in (boards, tail)]
    tones = ("#9a7747", "#b58c55", "#7b5c36", "#8c9299")
    for k in range(4):
        size = rng.uniform(0.9, 1.25)
        crate: Solid = box(1.15, size * 1.3, size).moved(back + 0.9 + k * (length - 1.4) / 4, 0, 1.16 + size / 2)
        parts.append(paint(crate, rgb(rng.choice(tones))))
    return parts
