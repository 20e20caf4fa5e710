"""Traffic signs and traffic lights: the face or head is part MAIN, its pole part SECOND. They look along +x."""

from __future__ import annotations

import numpy as np

from scenes.random import Rng
from scenes.town.actors import lettering
from scenes.town.actors.shapes import (
    Floats,
    Solid,
    ball,
    box,
    circle,
    cylinder,
    disc,
    loft,
    outline_panel,
    paint,
    rgb,
    together,
)
from scenes.town.mesh import Mesh, Part, Surface, join

GREY = rgb("#9a9ea3")
LAMPS = {"red": rgb("#ff1a10"), "amber": rgb("#ff9a08"), "green": rgb("#12e07a")}
OFF = {"red": rgb("#3a0d0c"), "amber": rgb("#3d2a0a"), "green": rgb("#0b2f1c")}
PLACES = ("Centre", "Station", "Harbour", "Airport", "Museum", "Stadium", "Lakeside", "Hospital", "Zoo", "Westend")


def _pole(height: float, y: float = 0.0) -> Mesh:
    """Return the post of a sign."""
    return paint(cylinder(0.032, height, 8).moved(y=y), GREY, Surface.METAL, smooth=True, part=Part.SECOND)


def _plate(outline: Floats, height: float, face: lettering.Picture) -> list[Mesh]:
    """Return a sheet-metal plate 45 mm before the pole's axis, with its face and grey back."""
    x, depth = 0.045, 0.012
    rings = np.zeros((2, len(outline), 3))
    rings[:, :, 1:], rings[0, :, 0], rings[1, :, 0] = outline, x - depth, x
    rings[:, :, 2] += height
    back = together([loft(rings), disc(rings[0][::-1])])
    return [outline_panel(outline, x + 0.001, height, face, Surface.RETRO), paint(back, GREY)]


def build_sign(kind: str, rng: Rng) -> Mesh:
    """Return a sign on a pole."""
    height = rng.uniform(2.2, 2.7)
    size = rng.uniform(0.36, 0.42)
    if kind == "sign_stop":
        outline, face = circle(8, np.pi / 8) * size / np.cos(np.pi / 8), lettering.stop_face()
    elif kind == "sign_yield":
        corners = np.array([[-1.0, 0.72], [0.0, -1.0], [1.0, 0.72]])
        outline, face = corners * size * 1.15, lettering.yield_face()
    elif kind == "sign_speed":
        outline, face = circle(24) * size * 0.92, lettering.speed_face(rng.choice((20, 30, 30, 40, 50, 50, 60, 70, 80)))
    elif kind == "sign_no_entry":
        outline, face = circle(24) * size * 0.92, lettering.no_entry_face()
    elif kind == "sign_crossing":
        outline, face = (
            np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]) * size * 0.85,
            lettering.crossing_face(),
        )
    else:
        outline, face = np.array([[-1.0, -0.5], [1.0, -0.5], [1.0, 0.5], [-1.0, 0.5]]) * 0.95, _direction(rng)
    parts = _plate(outline, height, face)
    if kind == "sign_direction":
        return join([*parts, _pole(height + 0.4, -0.6), _pole(height + 0.4, 0.6)])
    top = height + float(outline[:, 1].max())
    return join([*parts, _pole(top - 0.02)])


def _direction(rng: Rng) -> lettering.Picture:
    first = rng.choice(PLACES)
    second = rng.choice([p for p in PLACES if p != first])
    return lettering.direction_face(first, second, rng.choice(("#154889", "#12683a", "#f2c414")), rng.integer(1, 9))


def build_traffic_light(rng: Rng) -> Mesh:
    """Return a traffic light with one lamp lit, on a pole; three in ten hang on an arm over the road."""
    lit = rng.choice(("red", "red", "red", "green", "green", "green", "amber"))
    height = rng.uniform(2.5, 2.9)
    parts = _head(0.0, height, lit, 1.0)
    parts.append(_post(height + 1.05))
    if rng.uniform() < 0.3:
        tall, reach = rng.uniform(5.2, 5.8), rng.uniform(2.6, 3.6)
        parts[-1] = _post(tall)
        arm = cylinder(0.05, reach, 8).turned("x", -np.pi / 2).moved(0, 0, tall - 0.1)
        parts.append(paint(arm, rgb("#4a4e53"), Surface.METAL, smooth=True, part=Part.SECOND))
        parts += _head(reach - 0.1, tall - 1.0, lit, 1.15)
    return join(parts)


def _post(height: float) -> Mesh:
    post = [cylinder(0.065, height, 10), cylinder(0.11, 0.5, 10)]
    return paint(together(post), rgb("#4a4e53"), Surface.METAL, smooth=True, part=Part.SECOND)


def _head(y: float, low: float, lit: str, scale: float) -> list[Mesh]:
    """Return a head whose housing begins at height `low`: three lamps under hoods before a backplate."""
    x = 0.2
    black = rgb("#101113")
    tall = 1.0 * scale
    housing = ball(0.11, 0.165 * scale, tall / 2, 12, 8, 0.35).moved(x, y, low + tall / 2)
    plate = box(0.02, 0.56 * scale, 1.22 * scale).moved(x - 0.01, y, low + tall / 2)
    edge = box(0.016, 0.60 * scale, 1.26 * scale).moved(x - 0.016, y, low + tall / 2)
    clamp = [box(0.16, 0.06, 0.05).moved(0.09, y, low + tall * k) for k in (0.2, 0.8)]
    parts = [paint(housing, black, smooth=True), paint(plate, black), paint(edge, rgb("#e9e9e6"), Surface.RETRO)]
    parts += [paint(c, rgb("#4a4e53"), part=Part.SECOND) for c in clamp]
    for k, name in enumerate(("green", "amber", "red")):
        z = low + tall * (0.19 + 0.31 * k)
        on = name == lit
        lens = ball(0.04, 0.115 * scale, 0.115 * scale, 14, 8).moved(x + 0.1, y, z)
        parts.append(
            paint(lens, LAMPS[name] if on else OFF[name], Surface.EMISSIVE if on else Surface.GLASS, smooth=True)
        )
        parts.append(paint(_hood(0.135 * scale).moved(x + 0.1, y, z), black))
    return parts


def _hood(radius: float) -> Solid:
    """Return a visor: the upper three fifths of a tube along x, both its sides."""
    angle = np.linspace(-0.2, np.pi + 0.2, 11)
    arc = np.stack([np.cos(angle), np.sin(angle)], -1) * radius
    outline = np.concatenate([arc, arc[::-1] * 0.93])
    rings = np.zeros((2, len(outline), 3))
    rings[:, :, 1:] = outline
    rings[1, :, 0] = 0.06 + 0.13 * np.clip(outline[:, 1] / radius, 0, 1)
    return loft(rings)
