"""Road wheels: a tyre of revolution around a rim with spokes; and the spoked wheels of bicycles."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from scenes.town.actors.shapes import Solid, ball, circle, cylinder, loft, paint, revolved, rgb, together
from scenes.town.mesh import Mesh, Part, Surface, join

TYRE = rgb("#202022")
RIM = rgb("#c3c6ca")
DARK = rgb("#17181a")
SEGMENTS = 20


@lru_cache(maxsize=64)
def wheel(radius: float, width: float, spokes: int = 5, rim: float = 0.66) -> Mesh:
    """Return a wheel on the origin with its outer face towards +y. rim: rim radius / tyre radius."""
    r, h = radius, width / 2
    tyre = revolved([(rim * r, -h), (0.93 * r, -h), (r, -0.7 * h), (r, 0.7 * h), (0.93 * r, h), (rim * r, h)], SEGMENTS)
    barrel = _annulus(rim * r, 0.0, h - 0.035 - 0.1 * width, h - 0.035 - 0.1 * width)
    lip = _annulus(rim * r, (rim - 0.06) * r, h + 0.003, h + 0.006)
    parts = [
        paint(tyre, TYRE, smooth=True),
        paint(barrel, DARK),
        paint(lip, RIM, Surface.METAL),
        paint(_star(spokes, rim * r * 0.97, h + 0.004), RIM, Surface.METAL),
        paint(cylinder(0.17 * r, 0.012, 8).moved(z=h), rgb("#8f9296"), Surface.METAL),
    ]
    flat = join(parts)
    turned = Solid(flat.vertices.astype(np.float64), flat.faces.astype(np.int64)).turned("x", -np.pi / 2)
    return replace_vertices(flat, turned)


def replace_vertices(m: Mesh, solid: Solid) -> Mesh:
    """Return a mesh with the vertices and winding of a solid of the same topology."""
    return replace(m, vertices=solid.vertices.astype(np.float32), faces=solid.faces.astype(np.int32))


def moved(m: Mesh, x: float, y: float, z: float) -> Mesh:
    """Return a mesh shifted."""
    return replace_vertices(m, Solid(m.vertices + np.array([x, y, z]), m.faces.astype(np.int64)))


def mirrored(m: Mesh) -> Mesh:
    """Return the image of an untextured mesh at y = 0."""
    return replace_vertices(m, Solid(m.vertices.astype(np.float64), m.faces.astype(np.int64)).mirrored())


def axle(m: Mesh, x: float, y: float, z: float) -> list[Mesh]:
    """Return a wheel and its image on both ends of an axle at x; y: middle of the wheel."""
    left = moved(m, x, y, z)
    return [left, mirrored(left)]


def _annulus(outer: float, inner: float, z_outer: float, z_inner: float) -> Solid:
    c = circle(SEGMENTS)
    rings = np.empty((2, SEGMENTS, 3))
    rings[0, :, :2], rings[0, :, 2] = outer * c, z_outer
    rings[1, :, :2], rings[1, :, 2] = max(inner, 1e-4) * c, z_inner
    return loft(rings)


def _star(spokes: int, reach: float, z: float) -> Solid:
    """Return flat spokes at height z."""
    angle = np.arange(spokes) * 2 * np.pi / spokes + np.pi / 2
    out = np.stack([np.cos(angle), np.sin(angle)], -1)
    side = np.stack([-np.sin(angle), np.cos(angle)], -1)
    wide, narrow = 0.75 / spokes, 0.52 / spokes
    quads = [out * 0.12 - side * narrow, out - side * wide * 0.9, out + side * wide * 0.9, out * 0.12 + side * narrow]
    flat = np.stack(quads, axis=1) * reach
    points = np.concatenate([flat, np.full((spokes, 4, 1), z)], axis=2)
    faces = np.array([[0, 1, 2], [0, 2, 3]])[None] + 4 * np.arange(spokes)[:, None, None]
    return Solid(points.reshape(-1, 3), faces.reshape(-1, 3))


def torus(radius: float, tube: float, n: int = 20, m: int = 6) -> Solid:
    """Return a ring around the y axis."""
    around, across = circle(n), circle(m)
    rings = np.empty((n + 1, m, 3))
    spin = np.concatenate([around, around[:1]])
    r = radius + tube * across[None, :, 0]
    rings[..., 0], rings[..., 2] = spin[:, :1] * r, spin[:, 1:] * r
    rings[..., 1] = tube * across[None, :, 1]
    return loft(rings)


@lru_cache(maxsize=16)
def cycle_wheel(radius: float, tube: float, spokes: int = 10) -> Mesh:
    """Return a bicycle or motorcycle wheel around the y axis, part SECOND."""
    rods = []
    for k in range(spokes):
        spoke = ball(0.006, 0.006, radius / 2, 4, 4).moved(z=radius / 2)
        rods.append(spoke.turned("y", 2 * np.pi * k / spokes))
    hub = ball(0.035, 0.05, 0.035, 6, 4)
    rim = torus(radius - 2.0 * tube, 0.5 * tube, 20, 4)
    return join(
        [
            paint(torus(radius - tube, tube), TYRE, smooth=True, part=Part.SECOND),
            paint(together([rim, *rods, hub]), rgb("#b9bcc0"), Surface.METAL, part=Part.SECOND),
        ]
    )
