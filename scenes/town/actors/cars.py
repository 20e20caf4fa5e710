"""Passenger cars and delivery vans: a lofted skin with wheels, lamps, grille, plates, mirrors and handles."""

from __future__ import annotations

from dataclasses import replace

from scenes.random import Rng
from scenes.town.actors.bodies import BODIES, GLASS, TRIM, Body, Skin
from scenes.town.actors.shapes import Color, ball, both_sides, box, paint, pick, rgb, shade
from scenes.town.actors.wheels import axle, wheel
from scenes.town.mesh import Mesh, Surface, join

PAINTS = (
    ("#f2f2f0", 22), ("#16171a", 18), ("#6d7177", 17), ("#b9bdc2", 13), ("#1f3f77", 9), ("#3c75b5", 3), ("#a5161d", 9),
    ("#5e1420", 2), ("#2d4a35", 3), ("#d9a813", 2), ("#d2601a", 2), ("#6d5c49", 3), ("#7fa3a8", 2),
)  # fmt: skip
VAN_PAINTS = (("#f4f4f2", 60), ("#c9ccd0", 12), ("#e0b21b", 8), ("#2b4f86", 6), ("#8e1b20", 4), ("#4b4f55", 10))
STRIPES = ("#d3202a", "#1668b3", "#f0a018", "#2a8f4d", "#5a3b8c", "#e35f14")


def build_car(kind: str, rng: Rng) -> Mesh:
    """Return a hatchback, sedan, estate, suv or van."""
    base = BODIES[kind]
    length, width, height = base.size
    grow = rng.uniform(0.94, 1.06)
    scale = (length * grow, width * (0.5 + 0.5 * grow) * rng.uniform(0.99, 1.01), height * rng.uniform(0.965, 1.035))
    body = replace(base, size=scale, wheel=base.wheel * rng.uniform(0.97, 1.05))
    color = pick(rng, VAN_PAINTS if kind == "van" else PAINTS)
    spokes = rng.choice((5, 6, 7, 10))
    stripe = rgb(rng.choice(STRIPES)) if kind == "van" and rng.uniform() < 0.6 else None
    skin = Skin(body)
    parts = [skin.painted(color, stripe), *_under(body), *_wheels(body, spokes), *_front(body, skin, rng)]
    parts += _rear(body, skin, color, kind) + _side_details(body, skin, color)
    return join(parts)


def _under(body: Body) -> list[Mesh]:
    length, width, _ = body.size
    black = rgb("#08080a")
    wells = [
        box(2.1 * body.wheel, width - 0.56, 0.9 * body.wheel).moved(length * (0.5 - share), 0, 1.5 * body.wheel)
        for share in body.axles
    ]
    return [
        paint(box(0.94 * length, width - 0.56, 0.3).moved(z=body.floor + 0.16), black),
        *(paint(w, black) for w in wells),
    ]


def _wheels(body: Body, spokes: int) -> list[Mesh]:
    length, width, _ = body.size
    tyre = 0.215 if body.wheel > 0.34 else 0.195
    one = wheel(round(body.wheel, 3), tyre, spokes, 0.62 if body.rear_screen is None else 0.7)
    return [
        m for share in body.axles for m in axle(one, length * (0.5 - share), width / 2 - tyre / 2 - 0.015, body.wheel)
    ]


def _plate(x: float, z: float, facing: int) -> list[Mesh]:
    return [
        paint(box(0.02, 0.52, 0.115).moved(x=x, z=z), rgb("#f3f3ee")),
        paint(box(0.01, 0.4, 0.06).moved(x=x + facing * 0.008, z=z), rgb("#2a2a2c")),
        paint(box(0.022, 0.045, 0.113).moved(x=x, y=facing * -0.24, z=z), rgb("#1d3f9b")),
    ]


def _front(body: Body, skin: Skin, rng: Rng) -> list[Mesh]:
    length, width, _ = body.size
    x, w = length / 2, width / 2
    nose = float(skin.top[0])
    is_van = body.rear_screen is None
    lamp_z = nose + (0.10 if is_van else 0.045)
    slim = rng.uniform(0.075, 0.1) * (1.5 if is_van else 1.0)
    lamp = both_sides(ball(0.16, 0.2, slim, 10, 6, 0.7).turned("z", -0.5).moved(x - 0.17, 0.7 * w, lamp_z))
    core = both_sides(ball(0.1, 0.075, slim * 0.75, 8, 5).moved(x - 0.075, 0.64 * w, lamp_z - 0.005))
    grille_w = rng.uniform(0.42, 0.62) * w
    grille_h = rng.uniform(0.05, 0.085) * (1.6 if is_van else 1.0)
    floor = float(skin.bottom()[0])
    intake_z = floor + 0.075
    parts = [
        paint(lamp, rgb("#d4d9de"), Surface.GLASS, smooth=True),
        paint(core, rgb("#ffffff"), Surface.METAL, smooth=True),
        paint(
            ball(0.1, grille_w, grille_h, 12, 6, 0.55).moved(x - 0.055, 0, lamp_z - 0.035), rgb("#0d0d0f"), smooth=True
        ),
        paint(ball(0.1, 0.6 * w, 0.055, 12, 6, 0.55).moved(x - 0.07, 0, intake_z), rgb("#0d0d0f"), smooth=True),
        paint(
            ball(0.02, 0.06, 0.06, 8, 4).moved(x + 0.045, 0, lamp_z - 0.03), rgb("#dcdfe2"), Surface.METAL, smooth=True
        ),
        paint(
            both_sides(ball(0.05, 0.07, 0.045, 8, 5).moved(x - 0.1, 0.66 * w, intake_z)), rgb("#9a9fa6"), Surface.METAL
        ),
    ]
    bar = box(0.03, 2 * grille_w, 0.016).moved(x + 0.03, 0, lamp_z - 0.035)
    return [*parts, paint(bar, rgb("#c9ccd0"), Surface.METAL), *_plate(x + 0.035, 0.5 * (lamp_z + intake_z) - 0.015, 1)]


def _rear(body: Body, skin: Skin, color: Color, kind: str) -> list[Mesh]:
    length, width, height = body.size
    x, w = -length / 2, width / 2
    red = rgb("#cf1016")
    floor = float(skin.bottom()[-1])
    bumper = paint(ball(0.09, 0.88 * w, 0.07, 12, 6, 0.5).moved(x + 0.06, 0, floor + 0.07), TRIM, smooth=True)
    if kind == "van":
        lamps = both_sides(box(0.05, 0.13, 0.5).moved(x - 0.005, 0.86 * w, 0.45 * height))
        windows = both_sides(box(0.02, 0.62 * w, 0.3 * height).moved(x - 0.03, 0.42 * w, 0.7 * height))
        gap = box(0.02, 0.02, 0.74 * height).moved(x - 0.025, 0, 0.56 * height)
        return [
            bumper,
            paint(lamps, red, Surface.GLASS),
            paint(windows, GLASS, Surface.GLASS),
            paint(gap, TRIM),
            paint(box(0.03, 0.3, 0.04).moved(x - 0.02, 0.15, 0.5 * height), TRIM),
            *_plate(x - 0.02, 0.36 * height, -1),
        ]
    z = float(skin.top[-1]) - (0.06 if kind == "sedan" else 0.02)
    tall = 0.075 if kind == "sedan" else 0.13
    depth = 0.16 if kind == "sedan" else 0.2
    lamp = both_sides(ball(depth, 0.24 * w, tall, 10, 6, 0.6).turned("z", 0.3).moved(x + depth + 0.025, 0.755 * w, z))
    reverse = both_sides(ball(0.05, 0.09 * w, tall * 0.4, 8, 4, 0.7).moved(x + 0.04, 0.62 * w, z - 0.01))
    parts = [bumper, paint(lamp, red, Surface.GLASS, smooth=True), paint(reverse, rgb("#e8e4e0"), Surface.GLASS)]
    parts.append(paint(ball(0.02, 0.05, 0.05, 8, 4).moved(x - 0.015, 0, z + 0.04), rgb("#dcdfe2"), Surface.METAL))
    return parts + _plate(x - 0.028, z - 0.06 if kind == "sedan" else z - 0.12, -1)


def _side_details(body: Body, skin: Skin, color: Color) -> list[Mesh]:
    length, width, height = body.size
    w = width / 2
    belt = height * body.belt
    is_van = body.rear_screen is None
    mirror_x = length * (0.5 - body.side_glass[0] - 0.012)
    tall = 0.15 if is_van else 0.08
    mirror = both_sides(ball(0.085, 0.115, tall, 8, 6, 0.7).moved(mirror_x, w + 0.07, belt + 0.06 + tall / 2))
    back = both_sides(box(0.01, 0.16, tall * 1.4).moved(mirror_x - 0.085, w + 0.075, belt + 0.06 + tall / 2))
    stalk = both_sides(box(0.05, 0.14, 0.035).moved(mirror_x, w - 0.02, belt + 0.03))
    parts = [
        paint(mirror, TRIM if is_van else color, Surface.PAINT, smooth=True, recolour=not is_van),
        paint(back, rgb("#5b6670"), Surface.GLASS),
        paint(stalk, TRIM),
    ]
    for p in body.seams[1 : 3 if not is_van else 2]:
        handle = box(0.19, 0.03, 0.03).moved(length * (0.5 - p) + 0.16, w - 0.008, belt - 0.1)
        parts.append(paint(both_sides(handle), shade(color, 0.55), Surface.PAINT))
    if body.rails:
        x0, x1 = (length * (0.5 - s) for s in (0.46, 0.84))
        rail = box(x0 - x1, 0.03, 0.03).moved((x0 + x1) / 2, 0.66 * w, height * 0.98)
        parts.append(paint(both_sides(rail), rgb("#aeb2b6"), Surface.METAL))
    return parts
