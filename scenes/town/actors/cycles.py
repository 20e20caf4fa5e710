"""Two-wheelers and their riders: the rider is part MAIN, the machine part SECOND."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scenes.random import Rng
from scenes.town.actors.people import TOPS, Look, arm, draw_look, head, joint, leg, torso
from scenes.town.actors.shapes import (
    Color,
    Floats,
    ball,
    both_sides,
    box,
    cylinder,
    limb,
    paint,
    pick,
    rgb,
    rod,
    shade,
    together,
    vec,
)
from scenes.town.actors.wheels import cycle_wheel, moved
from scenes.town.mesh import Mesh, Part, Surface, join

FRAMES = (
    ("#b3181f", 14), ("#1c1d20", 22), ("#1f5fa8", 14), ("#e8e6e0", 12),
    ("#2f8a5a", 10), ("#d98a1a", 8), ("#7d8288", 12),
)  # fmt: skip
DARK = rgb("#1a1b1d")


def build_cyclist(rng: Rng) -> Mesh:
    """Return a rider on a bicycle, one pedal down or up."""
    look = replace(draw_look(rng, child_share=0.0), garment=rng.choice(("trousers", "trousers", "shorts")), headgear="")
    k = 0.6 + 0.4 * look.stature / 1.72
    radius = 0.345 * (0.85 + 0.15 * k)
    color = pick(rng, FRAMES)
    spin = rng.uniform(0, 2 * np.pi)
    crank = np.array([-0.02, 0.0, 0.285])
    saddle = np.array([-0.24 * k, 0.0, 0.93 * k])
    bar = np.array([0.40 * k, 0.0, 0.98 * k + rng.uniform(-0.06, 0.08)])
    front, rear = np.array([0.58 * k, 0, radius]), np.array([-0.50 * k, 0, radius])
    parts = _bicycle(color, radius, crank, saddle, bar, front, rear, spin, rng)
    helmet = pick(rng, TOPS) if rng.uniform() < 0.65 else None
    sport = replace(look, stature=look.stature, long_hair=look.long_hair and helmet is None)
    return join(parts + _rider(sport, crank, saddle, bar, spin, helmet))


def _bicycle(
    color: Color,
    radius: float,
    crank: Floats,
    saddle: Floats,
    bar: Floats,
    front: Floats,
    rear: Floats,
    spin: float,
    rng: Rng,
) -> list[Mesh]:
    head_low, head_high = bar + vec(0.07, 0, -0.30), bar + vec(0.0, 0, -0.10)
    seat = saddle + vec(0.02, 0, -0.16)
    tube = 0.021
    frame = [
        rod(list(crank), list(seat), tube),
        rod(list(seat), list(head_high), tube),
        rod(list(crank), list(head_low), tube * 1.15),
        rod(list(head_low), list(head_high), tube * 1.2),
        *(rod(list(rear + vec(0, y, 0)), list(crank + vec(0, y, 0)), 0.013, 5) for y in (-0.05, 0.05)),
        *(rod(list(rear + vec(0, y, 0)), list(seat), 0.012, 5) for y in (-0.05, 0.05)),
        *(rod(list(front + vec(0, y, 0)), list(head_low), 0.015, 5) for y in (-0.05, 0.05)),
    ]
    grips = both_sides(limb([bar, bar + vec(0, 0.2, 0.01), bar + vec(-0.08, 0.29, 0.0)], [0.014, 0.014, 0.018], 6))
    post = rod(list(seat), list(saddle + vec(0, 0, -0.03)), 0.014, 5)
    stem = rod(list(head_high), list(bar), 0.016, 5)
    pedals = []
    for side, angle in ((1, spin), (-1, spin + np.pi)):
        foot = crank + vec(0.17 * np.cos(angle), side * 0.11, 0.17 * np.sin(angle))
        pedals += [rod(list(crank + vec(0, side * 0.06, 0)), list(foot), 0.012, 5), box(0.1, 0.09, 0.025).moved(*foot)]
    chain = cylinder(0.1, 0.012, 14).turned("x", np.pi / 2).moved(crank[0], -0.04, crank[2])
    metal = [grips, post, stem, *pedals, chain]
    wheel = cycle_wheel(round(radius, 2), 0.021 if rng.uniform() < 0.7 else 0.03)
    tilt = radius - round(radius, 2)
    parts = [moved(wheel, *(front - vec(0, 0, tilt))), moved(wheel, *(rear - vec(0, 0, tilt)))]
    parts.append(paint(together(frame), color, Surface.PAINT, smooth=True, part=Part.SECOND, recolour=True))
    parts.append(paint(together(metal), DARK, part=Part.SECOND))
    parts.append(paint(ball(0.14, 0.075, 0.035, 10, 6, 0.8).moved(*saddle), DARK, part=Part.SECOND))
    parts.append(
        paint(ball(0.02, 0.03, 0.03, 6, 4).moved(*(saddle + vec(-0.12, 0, -0.1))), rgb("#c01016"), part=Part.SECOND)
    )
    parts.append(
        paint(ball(0.04, 0.035, 0.035, 6, 4).moved(*(bar + vec(0.06, 0, -0.06))), rgb("#e5e7ea"), part=Part.SECOND)
    )
    if rng.uniform() < 0.35:
        basket = box(0.26, 0.34, 0.22).moved(*(bar + vec(0.2, 0, -0.12)))
        parts.append(paint(basket, rgb("#7a5c38"), part=Part.SECOND))
    return parts


def _rider(look: Look, crank: Floats, saddle: Floats, bar: Floats, spin: float, helmet: Color | None) -> list[Mesh]:
    h = look.stature
    hip = saddle + vec(0.02, 0, 0.07)
    lean = np.arctan2(bar[0] - hip[0] - 0.28 * h, 0.55 * h) + 0.42
    neck = hip + np.array([np.sin(lean), 0, np.cos(lean)]) * 0.29 * h
    parts = torso(look, tuple(hip), tuple(neck))
    shoulder_y = 0.1 * h
    for side, angle in ((1, spin), (-1, spin + np.pi)):
        foot = crank + vec(0.17 * np.cos(angle) - 0.03, side * 0.1, 0.17 * np.sin(angle) + 0.085)
        parts += leg(look, hip + vec(0, side * 0.055 * h, 0), foot, 0.15)
        shoulder = neck + vec(-0.01, side * shoulder_y, -0.02 * h)
        hand = bar + vec(-0.05, side * 0.27, 0.02)
        elbow = joint(shoulder, hand, 0.18 * h, 0.17 * h, np.array([-0.3, side * 0.5, -1.0]))
        parts += arm(look, shoulder, elbow, hand)
    return parts + head(look, (float(neck[0] + 0.03), 0.0, float(neck[2])), helmet=helmet)


def build_motorcyclist(rng: Rng) -> Mesh:
    """Return a rider in a full helmet on a motorcycle."""
    look = replace(draw_look(rng, child_share=0.0), garment="trousers", sleeves=True, headgear="", long_hair=False)
    if rng.uniform() < 0.6:
        look = replace(look, top=rgb("#1b1c1f"), legs=rgb("#1a1b1e"))
    color = pick(
        rng, (("#b3181f", 20), ("#1c1d20", 20), ("#1f4fa0", 15), ("#2f8a3a", 12), ("#e8e6e0", 10), ("#d9a010", 8))
    )
    helmet = pick(rng, (*TOPS, ("#f0f0ee", 20)))
    seat, bar = np.array([-0.28, 0, 0.80]), np.array([0.38, 0, 1.04])
    front, rear = np.array([0.73, 0, 0.31]), np.array([-0.70, 0, 0.31])
    return join(_motorcycle(color, seat, bar, front, rear) + _moto_rider(look, seat, bar, helmet))


def _motorcycle(color: Color, seat: Floats, bar: Floats, front: Floats, rear: Floats) -> list[Mesh]:
    wheel = cycle_wheel(0.31, 0.062, 6)
    metal = rgb("#a9adb2")
    engine = ball(0.27, 0.17, 0.2, 10, 6, 0.5).moved(0.04, 0, 0.45)
    tank = ball(0.28, 0.155, 0.15, 12, 7, 0.8).turned("y", -0.12).moved(0.12, 0, 0.86)
    tail = ball(0.32, 0.11, 0.08, 10, 6, 0.8).turned("y", 0.15).moved(-0.55, 0, 0.83)
    saddle = ball(0.34, 0.13, 0.06, 10, 6, 0.7).moved(-0.3, 0, 0.84)
    fender = ball(0.2, 0.075, 0.06, 10, 6).moved(0.73, 0, 0.64)
    forks = both_sides(rod([0.73, 0.09, 0.31], [0.42, 0.09, 1.0], 0.025))
    swing = both_sides(rod([-0.7, 0.09, 0.31], [-0.05, 0.08, 0.4], 0.025))
    pipe = limb([[0.2, -0.16, 0.33], [-0.3, -0.17, 0.3], [-0.75, -0.18, 0.42]], [0.03, 0.04, 0.06], 8)
    grips = both_sides(limb([bar, bar + vec(0, 0.24, 0.03), bar + vec(-0.1, 0.38, 0.0)], [0.016, 0.016, 0.02], 6))
    lamp = ball(0.08, 0.1, 0.1, 10, 6).moved(0.55, 0, 0.93)
    glass = ball(0.05, 0.085, 0.085, 10, 6).moved(0.6, 0, 0.93)
    mirrors = both_sides(
        together(
            [rod([0.38, 0.28, 1.05], [0.4, 0.34, 1.2], 0.008, 4), ball(0.02, 0.06, 0.04, 8, 4).moved(0.4, 0.36, 1.22)]
        )
    )
    parts = [moved(wheel, *front), moved(wheel, *rear)]
    for solid in (tank, tail, fender):
        parts.append(paint(solid, color, Surface.PAINT, smooth=True, part=Part.SECOND, recolour=True))
    for solid, tone in ((engine, rgb("#3a3c40")), (forks, metal), (swing, metal), (pipe, metal)):
        parts.append(paint(solid, tone, Surface.METAL, smooth=True, part=Part.SECOND))
    for solid in (saddle, grips, lamp, mirrors):
        parts.append(paint(solid, DARK, smooth=True, part=Part.SECOND))
    parts.append(paint(glass, rgb("#f4f4f0"), Surface.METAL, smooth=True, part=Part.SECOND))
    parts.append(paint(box(0.05, 0.16, 0.06).moved(-0.87, 0, 0.82), rgb("#b80f14"), part=Part.SECOND))
    parts.append(paint(box(0.02, 0.2, 0.16).moved(-0.92, 0, 0.62), rgb("#f0f0ea"), part=Part.SECOND))
    return parts


def _moto_rider(look: Look, seat: Floats, bar: Floats, helmet: Color) -> list[Mesh]:
    h = look.stature
    hip = seat + vec(0.0, 0, 0.11)
    neck = hip + np.array([0.34, 0, 0.94]) * 0.29 * h
    parts = torso(look, tuple(hip), tuple(neck))
    for side in (1, -1):
        foot = np.array([-0.06, side * 0.21, 0.37])
        parts += leg(look, hip + vec(0, side * 0.06 * h, 0), foot, 0.1)
        shoulder = neck + vec(-0.01, side * 0.105 * h, -0.02 * h)
        hand = bar + vec(-0.07, side * 0.34, 0.02)
        elbow = joint(shoulder, hand, 0.18 * h, 0.17 * h, np.array([-0.2, side * 0.9, -0.7]))
        parts += arm(look, shoulder, elbow, hand)
    tone = shade(helmet, 1.0)
    return parts + head(look, (float(neck[0] + 0.03), 0.0, float(neck[2])), helmet=tone, full=True)
