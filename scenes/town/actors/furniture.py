"""Street furniture: lamps, poles, bollards, bins, benches, hydrants, cones, barriers, post boxes, bus shelters."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from scenes.random import Rng
from scenes.town.actors import lettering
from scenes.town.actors.shapes import (
    Color,
    ball,
    box,
    cylinder,
    limb,
    loft,
    paint,
    panel,
    pick,
    revolved,
    rgb,
    shade,
    together,
)
from scenes.town.mesh import Mesh, Surface, join

STEEL = rgb("#6b7076")
DARK = rgb("#1d1f22")
WOOD = (("#8a6238", 3), ("#9a7448", 3), ("#6e4c2c", 2), ("#5e6b58", 1))


def build_lamp(rng: Rng) -> Mesh:
    """Return a street lamp whose arm reaches along +x over the road, or an old lantern."""
    if rng.uniform() < 0.25:
        return _lantern(rng)
    height, reach = rng.uniform(6.5, 8.5), rng.uniform(1.1, 1.9)
    tone = rgb(rng.choice(("#7d8288", "#4a4f54", "#2d3a33")))
    mast = revolved([(0.14, 0), (0.14, 0.9), (0.085, 0.95), (0.055, height - 0.5), (0.05, height - 0.4)], 10)
    bow = limb(
        [[0, 0, height - 0.5], [0.12, 0, height - 0.12], [0.5, 0, height], [reach, 0, height + 0.08]],
        [0.05, 0.048, 0.042, 0.036],
    )
    shell = ball(0.46, 0.18, 0.085, 12, 6, 0.7).turned("y", -0.06).moved(reach + 0.3, 0, height + 0.09)
    glass = ball(0.34, 0.12, 0.05, 10, 5, 0.7).turned("y", -0.06).moved(reach + 0.3, 0, height + 0.045)
    parts = [paint(together([mast, bow, shell]), tone, Surface.METAL, smooth=True)]
    return join([*parts, paint(glass, rgb("#e8ebe4"), smooth=True)])


def _lantern(rng: Rng) -> Mesh:
    height = rng.uniform(3.6, 4.4)
    tone = rgb(rng.choice(("#1d2420", "#22262b")))
    profile = [(0.17, 0), (0.17, 0.25), (0.1, 0.4), (0.065, 0.9), (0.045, height - 0.1), (0.11, height)]
    roof = revolved([(0.26, 0), (0.2, 0.08), (0.05, 0.2), (0.03, 0.3)], 8).moved(z=height + 0.5)
    glass = cylinder(0.12, 0.5, 6, 0.22).moved(z=height)
    return join(
        [paint(together([revolved(profile, 10), roof]), tone, Surface.METAL, smooth=True), paint(glass, rgb("#e9e2c8"))]
    )


def build_pole(rng: Rng) -> Mesh:
    """Return a bare mast of steel or wood."""
    height, wood = rng.uniform(4.5, 8.0), rng.uniform() < 0.4
    body = revolved([(0.12, 0), (0.1, 0.3 * height), (0.08, height)], 10)
    if not wood:
        return join([paint(body, STEEL, Surface.METAL, smooth=True), paint(cylinder(0.16, 0.12, 10), DARK)])
    bar = box(0.1, 1.6, 0.1).moved(0, 0, height - 0.5)
    knobs = [cylinder(0.035, 0.14, 6).moved(0, y, height - 0.45) for y in (-0.7, -0.35, 0.35, 0.7)]
    brown = pick(rng, WOOD)
    return join(
        [
            paint(body, shade(brown, 0.7), smooth=True),
            paint(bar, shade(brown, 0.6)),
            paint(together(knobs), rgb("#d8d8d2")),
        ]
    )


def build_bollard(rng: Rng) -> Mesh:
    """Return a bollard with a reflecting ring."""
    height, r = rng.uniform(0.8, 1.05), rng.uniform(0.06, 0.1)
    tone = rgb(rng.choice(("#2a2d31", "#1f3b2c", "#8a8f95", "#3b2a22")))
    body = revolved(
        [(1.25 * r, 0), (1.25 * r, 0.08), (r, 0.1), (r, height - r), (0.75 * r, height - 0.25 * r), (0.2 * r, height)],
        12,
    )
    ring = cylinder(1.06 * r, 0.09, 12).moved(z=0.74 * height)
    return join([paint(body, tone, smooth=True), paint(ring, rgb(rng.choice(("#f2f2ee", "#c1121c"))), Surface.RETRO)])


def build_bin(rng: Rng) -> Mesh:
    """Return a litter bin, or a wheeled bin."""
    if rng.uniform() < 0.45:
        return _wheelie(rng)
    tone = rgb(rng.choice(("#2d5b3b", "#33373c", "#d8701a", "#3c5f86")))
    body = revolved([(0.2, 0.1), (0.24, 0.75), (0.25, 0.78)], 14)
    lid = revolved([(0.27, 0.86), (0.25, 0.93), (0.08, 0.99)], 14)
    slot = cylinder(0.21, 0.1, 14).moved(z=0.77)
    posts = [cylinder(0.02, 0.2, 6).moved(s * 0.22, 0, 0.7) for s in (-1, 1)]
    foot = cylinder(0.09, 0.12, 10)
    return join(
        [
            paint(body, tone, smooth=True, recolour=True),
            paint(lid, shade(tone, 0.6), smooth=True),
            paint(slot, rgb("#0a0a0a")),
            paint(together([*posts, foot]), DARK),
        ]
    )


def _wheelie(rng: Rng) -> Mesh:
    tone = rgb(rng.choice(("#2e3236", "#1f5a37", "#24508a", "#6b4a2c")))
    lids = (tone, rgb("#e0b41c"), rgb("#2468a8"))
    rings = np.array([[[sx * x, sy * y, z] for sx, sy in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
                      for x, y, z in ((0.22, 0.2, 0.08), (0.3, 0.27, 0.95))])  # fmt: skip
    body = loft(rings, rings[0].mean(0), rings[1].mean(0))
    lid = ball(0.34, 0.3, 0.08, 12, 6, 0.4).turned("y", 0.08).moved(0.02, 0, 0.99)
    handle = box(0.05, 0.5, 0.05).moved(-0.34, 0, 0.95)
    wheels = [cylinder(0.1, 0.05, 12).turned("x", np.pi / 2).moved(-0.22, y, 0.1) for y in (-0.2, 0.25)]
    return join(
        [
            paint(body, tone, recolour=True),
            paint(lid, rng.choice(lids), smooth=True),
            paint(together([handle, *wheels]), DARK),
        ]
    )


def build_bench(rng: Rng) -> Mesh:
    """Return a park bench that faces +x."""
    wide, wood = rng.uniform(1.5, 2.0), pick(rng, WOOD)
    seat = [box(0.11, wide, 0.04).moved(x, 0, 0.45) for x in (-0.13, 0.0, 0.13, 0.26)]
    back = [box(0.035, wide, 0.11).turned("y", -0.2).moved(-0.24 - 0.025 * k, 0, 0.58 + 0.135 * k) for k in range(3)]
    frame = []
    for y in (-wide / 2 + 0.18, wide / 2 - 0.18):
        frame += [box(0.05, 0.05, 0.43).moved(0.24, y, 0.215), box(0.05, 0.05, 0.43).moved(-0.16, y, 0.215)]
        frame += [
            box(0.5, 0.05, 0.05).moved(0.04, y, 0.41),
            box(0.04, 0.05, 0.52).turned("y", -0.2).moved(-0.27, y, 0.65),
        ]
        frame += [box(0.42, 0.05, 0.035).moved(0.02, y, 0.64), box(0.04, 0.045, 0.2).moved(0.22, y, 0.54)]
    return join([paint(together([*seat, *back]), wood, recolour=True), paint(together(frame), DARK, Surface.METAL)])


def build_hydrant(rng: Rng) -> Mesh:
    """Return a fire hydrant."""
    tone = rgb(rng.choice(("#c1171d", "#c1171d", "#d9a416", "#c9511a")))
    profile = [(0.17, 0), (0.17, 0.05), (0.12, 0.07), (0.115, 0.5), (0.15, 0.51), (0.15, 0.55), (0.125, 0.57),
               (0.11, 0.66), (0.06, 0.72), (0.03, 0.73), (0.03, 0.78)]  # fmt: skip
    cap = rgb("#d8d8d2") if rng.uniform() < 0.5 else shade(tone, 0.75)
    nozzles = [
        cylinder(0.055, 0.34, 10).turned("x", np.pi / 2).moved(0, 0.17, 0.43),
        cylinder(0.07, 0.17, 10).turned("y", np.pi / 2).moved(0, 0, 0.4),
    ]
    return join([paint(revolved(profile, 14), tone, smooth=True, recolour=True), paint(together(nozzles), cap)])


def build_cone(rng: Rng) -> Mesh:
    """Return a traffic cone: orange with white bands."""
    k = rng.uniform(0.8, 1.2)
    orange = rgb("#f0560f")
    edges = [(0.155, 0.03), (0.125, 0.2), (0.098, 0.36), (0.078, 0.46), (0.055, 0.58), (0.03, 0.7)]
    parts = [paint(box(0.4, 0.4, 0.035).moved(z=0.0175), shade(orange, 0.75))]
    for n, ((r0, z0), (r1, z1)) in enumerate(pairwise(edges)):
        white = n in (1, 3)
        band = cylinder(r0, z1 - z0, 16, r1).moved(z=z0)
        parts.append(
            paint(band, rgb("#f4f4f0") if white else orange, Surface.RETRO if white else Surface.MATTE, smooth=True)
        )
    m = join(parts)
    m.vertices[:] *= np.float32(k)
    return m


def build_barrier(rng: Rng) -> Mesh:
    """Return a red-and-white construction barrier across +x."""
    wide, bars = rng.uniform(1.6, 2.2), rng.choice((1, 2))
    n = 8
    step = wide / n
    parts = []
    for b in range(bars):
        z = 0.88 - 0.38 * b
        for k in range(n):
            stripe = box(0.04, step, 0.22).moved(0, -wide / 2 + (k + 0.5) * step, z)
            shear = stripe.vertices.copy()
            shear[:, 1] += 0.35 * (shear[:, 2] - z)
            tone = rgb("#c8141c") if k % 2 else rgb("#f4f4f0")
            parts.append(paint(stripe._replace(vertices=shear), tone, Surface.RETRO))
    feet = [box(0.6, 0.08, 0.07).moved(0, y, 0.035) for y in (-wide / 2 + 0.2, wide / 2 - 0.2)]
    posts = [box(0.05, 0.05, 0.96).moved(-0.045, y, 0.5) for y in (-wide / 2 + 0.2, wide / 2 - 0.2)]
    parts.append(paint(together([*feet, *posts]), rgb("#8d9298")))
    if rng.uniform() < 0.6:
        for y in (-wide / 2 + 0.2, wide / 2 - 0.2):
            parts.append(
                paint(
                    ball(0.05, 0.09, 0.09, 12, 6).moved(-0.03, y, 1.08), rgb("#ff9a10"), Surface.EMISSIVE, smooth=True
                )
            )
    return join(parts)


def build_postbox(rng: Rng) -> Mesh:
    """Return a post box: a yellow or blue box on a foot, or a red pillar."""
    m = _pillar_box() if rng.uniform() < 0.5 else _post_on_foot(rgb(rng.choice(("#f0b90e", "#f0b90e", "#1d4f9e"))))
    m.vertices[:] *= np.float32(rng.uniform(0.92, 1.05))
    return m


def _pillar_box() -> Mesh:
    profile = [
        (0.24, 0.0), (0.24, 0.12), (0.21, 0.14), (0.21, 1.3), (0.25, 1.34), (0.25, 1.42), (0.18, 1.5), (0.05, 1.54),
    ]  # fmt: skip
    return join(
        [
            paint(revolved(profile, 18), rgb("#b5121b"), Surface.PAINT, smooth=True, recolour=True),
            paint(box(0.05, 0.22, 0.04).moved(0.2, 0, 1.18), rgb("#0b0b0b")),
            paint(box(0.03, 0.14, 0.2).moved(0.205, 0, 0.95), rgb("#f0f0ec")),
            paint(cylinder(0.245, 0.12, 18), rgb("#141414")),
        ]
    )


def _post_on_foot(tone: Color) -> Mesh:
    body = ball(0.2, 0.27, 0.36, 12, 8, 0.35).moved(z=1.05)
    return join(
        [
            paint(body, tone, Surface.PAINT, smooth=True, recolour=True),
            paint(box(0.05, 0.36, 0.045).moved(0.185, 0, 1.2), rgb("#0b0b0b")),
            paint(box(0.02, 0.2, 0.24).moved(0.195, 0, 0.98), rgb("#f4f4f0")),
            paint(box(0.12, 0.12, 0.72).moved(-0.02, 0, 0.36), DARK),
        ]
    )


def build_bus_stop(rng: Rng) -> Mesh:
    """Return a bus shelter open towards +x, with bench, poster and flag."""
    wide, deep, height = rng.uniform(3.2, 4.2), 1.45, 2.4
    tone = rgb(rng.choice(("#3a3f45", "#8b9096", "#22332b")))
    x0, x1 = -deep / 2, deep / 2
    posts = [
        box(0.08, 0.08, height).moved(x, y, height / 2)
        for x in (x0, x1 - 0.25)
        for y in (-wide / 2, 0, wide / 2)
        if x < 0 or y
    ]
    rails = [box(0.05, wide, 0.06).moved(x0, 0, z) for z in (0.3, height - 0.06)]
    roof = ball(deep * 0.58, wide * 0.54, 0.09, 12, 6, 0.35).moved(z=height + 0.06)
    panes = [
        box(0.02, wide / 2 - 0.14, height - 0.48).moved(x0, s * wide / 4, 0.3 + (height - 0.4) / 2) for s in (-1, 1)
    ]
    end = box(deep - 0.5, 0.02, height - 0.5).moved(-0.2, wide / 2, height / 2 + 0.1)
    seat = [box(0.12, wide * 0.6, 0.05).moved(x0 + 0.25 + 0.14 * k, -0.1, 0.48) for k in range(3)]
    legs = [box(0.3, 0.06, 0.46).moved(x0 + 0.38, y, 0.23) for y in (-wide * 0.25, wide * 0.2)]
    case = box(0.95, 0.14, 1.9).moved(-0.1, -wide / 2, 1.3)
    picture = lettering.poster(rng.integer(0, 8))
    y, dx, z0, z1 = -wide / 2 + 0.075, 0.4, 0.45, 2.15
    inner = [[-0.1 - dx, y, z1], [-0.1 - dx, y, z0], [-0.1 + dx, y, z0], [-0.1 + dx, y, z1]]
    yo = -wide / 2 - 0.075
    outer = [[-0.1 - dx, yo, z1], [-0.1 - dx, yo, z0], [-0.1 + dx, yo, z0], [-0.1 + dx, yo, z1]]
    flag_y = wide / 2 + 0.7
    mast = cylinder(0.04, 2.9, 8).moved(x1 - 0.3, flag_y, 0)
    plate = box(0.03, 0.5, 0.5).moved(x1 - 0.3, flag_y, 2.65)
    xf = x1 - 0.3 + 0.017
    face = [[xf, flag_y - 0.24, 2.89], [xf, flag_y - 0.24, 2.41], [xf, flag_y + 0.24, 2.41], [xf, flag_y + 0.24, 2.89]]
    return join(
        [
            paint(together([*posts, *rails, mast, *legs, case]), tone, Surface.METAL),
            paint(roof, shade(tone, 0.8), smooth=True, recolour=True),
            paint(together([*panes, end]), rgb("#5d7078"), Surface.GLASS),
            paint(together(seat), pick(rng, WOOD)),
            paint(plate, rgb("#d8b010")),
            panel(face, lettering.bus_flag()),
            panel(outer, picture),
            panel(inner[::-1], picture),
        ]
    )
