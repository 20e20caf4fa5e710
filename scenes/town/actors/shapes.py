"""Shapes that the actors are made of: lofts, limbs, boxes, ellipsoids, discs, and the colours to paint them with.

Every closed shape is wound outward (right-hand rule). Lengths in metres, angles in radians.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scenes.random import Rng
from scenes.town.mesh import Mesh, Part, Surface, mesh

Color = tuple[float, float, float]  # linear RGB
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Solid(NamedTuple):
    """Vertices (V, 3) in metres and faces (F, 3)."""

    vertices: Floats
    faces: Ints

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Solid:
        """Return it shifted."""
        return Solid(self.vertices + np.array([x, y, z]), self.faces)

    def scaled(self, x: float, y: float, z: float) -> Solid:
        """Return it stretched by positive factors."""
        return Solid(self.vertices * np.array([x, y, z]), self.faces)

    def turned(self, axis: str, angle: float) -> Solid:
        """Return it turned about the axis x, y or z through the origin."""
        return Solid(self.vertices @ rotation(axis, angle).T, self.faces)

    def mirrored(self) -> Solid:
        """Return its image at the plane y = 0, still wound outward."""
        return Solid(self.vertices * np.array([1.0, -1.0, 1.0]), self.faces[:, ::-1])


def rotation(axis: str, angle: float) -> Floats:
    """Return the 3x3 matrix that turns by an angle about x, y or z."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def vec(*values: float) -> Floats:
    """Return numbers as a vector, to be added to points."""
    return np.array(values, np.float64)


def together(solids: Sequence[Solid]) -> Solid:
    """Return several solids as one."""
    starts = np.cumsum([0, *(len(s.vertices) for s in solids[:-1])])
    faces = [s.faces + start for s, start in zip(solids, starts, strict=True)]
    return Solid(np.concatenate([s.vertices for s in solids]), np.concatenate(faces))


def both_sides(solid: Solid) -> Solid:
    """Return a solid and its image on the other side of y = 0."""
    return together([solid, solid.mirrored()])


@lru_cache(maxsize=256)
def _grid(rings: int, points: int, start: bool, end: bool) -> Ints:
    i, j = np.meshgrid(np.arange(rings - 1), np.arange(points), indexing="ij")
    k = (j + 1) % points
    a, b, c, d = i * points + j, i * points + k, (i + 1) * points + k, (i + 1) * points + j
    faces = [np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2).reshape(-1, 3)]
    ring, after = np.arange(points), (np.arange(points) + 1) % points
    n = rings * points
    if start:
        faces.append(np.stack([after, ring, np.full(points, n)], -1))
    if end:
        last = (rings - 1) * points
        faces.append(np.stack([ring + last, after + last, np.full(points, n + int(start))], -1))
    return np.concatenate(faces)


def loft(rings: ArrayLike, start: ArrayLike | None = None, end: ArrayLike | None = None) -> Solid:
    """Return the skin over rings (S, R, 3), closed by fans to the points `start` and `end` where given.

    Seen from the end, rings run counter-clockwise. Faces come ring by ring, two for each of the R sides.
    """
    ring_points = np.asarray(rings, np.float64)
    tips = [np.asarray(tip, np.float64).reshape(1, 3) for tip in (start, end) if tip is not None]
    faces = _grid(*ring_points.shape[:2], start is not None, end is not None)
    return Solid(np.concatenate([ring_points.reshape(-1, 3), *tips]), faces)


@lru_cache(maxsize=64)
def circle(n: int, phase: float = 0.0) -> Floats:
    """Return (n, 2) points of the unit circle, counter-clockwise."""
    angle = np.arange(n) * (2 * np.pi / n) + phase
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def revolved(profile: ArrayLike, n: int = 12) -> Solid:
    """Return the solid of revolution about z of (K, 2) pairs (radius, z) from below to above, ends closed."""
    pairs = np.asarray(profile, np.float64)
    c = circle(n)
    rings = np.empty((len(pairs), n, 3))
    rings[..., :2] = pairs[:, None, :1] * c
    rings[..., 2] = pairs[:, 1:]
    return loft(rings, (0, 0, pairs[0, 1]), (0, 0, pairs[-1, 1]))


def cylinder(radius: float, height: float, n: int = 12, top: float | None = None) -> Solid:
    """Return an upright cylinder or cone stump on the origin; sides and lids share no vertices."""
    rings = np.zeros((2, n, 3))
    rings[0, :, :2], rings[1, :, :2] = radius * circle(n), (radius if top is None else top) * circle(n)
    rings[1, :, 2] = height
    return together([loft(rings), disc(rings[1]), disc(rings[0][::-1])])


def disc(outline: ArrayLike) -> Solid:
    """Return the flat convex face inside an outline (n, 3), counter-clockwise seen from outside."""
    points = np.asarray(outline, np.float64)
    n = len(points)
    ring = np.arange(n)
    faces = np.stack([ring, (ring + 1) % n, np.full(n, n)], -1)
    return Solid(np.concatenate([points, points.mean(axis=0, keepdims=True)]), faces)


@lru_cache(maxsize=1)
def _cube() -> Solid:
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return Solid(corners, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]))


def box(x: float, y: float, z: float) -> Solid:
    """Return a box of that size around the origin."""
    return _cube().scaled(x, y, z)


@lru_cache(maxsize=32)
def _superellipsoid(n: int, m: int, power: float) -> Solid:
    latitude = np.linspace(-np.pi / 2, np.pi / 2, m + 1)[1:-1]

    def bend(v: Floats) -> Floats:
        bent: Floats = np.sign(v) * np.abs(v) ** power
        return bent

    c = bend(circle(n, np.pi / n))
    rings = np.empty((len(latitude), n, 3))
    rings[..., :2] = bend(np.cos(latitude))[:, None, None] * c
    rings[..., 2] = bend(np.sin(latitude))[:, None]
    return loft(rings, (0, 0, -1), (0, 0, 1))


def ball(x: float, y: float, z: float, n: int = 10, m: int = 6, power: float = 1.0) -> Solid:
    """Return an ellipsoid of those half axes; power below 1 makes it boxy (superellipsoid, Barr 1981)."""
    return _superellipsoid(n, m, power).scaled(x, y, z)


def limb(points: ArrayLike, radii: ArrayLike, n: int = 8, flat: float = 1.0) -> Solid:
    """Return a round-ended limb along points (K, 3) with a radius at each; `flat` squeezes it along y."""
    p, r = np.asarray(points, np.float64), np.asarray(radii, np.float64)
    tangent = np.gradient(p, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    centre = np.concatenate([p[:1] - 0.6 * r[0] * tangent[:1], p, p[-1:] + 0.6 * r[-1] * tangent[-1:]])
    radius = np.concatenate([r[:1] * 0.72, r, r[-1:] * 0.72])
    tangent = np.concatenate([tangent[:1], tangent, tangent[-1:]])
    reference = np.eye(3)[np.argmin(np.abs(tangent).max(axis=0))]
    u = np.cross(reference, tangent)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = np.cross(tangent, u)
    c = circle(n)[None, :, :, None]
    offset = c[:, :, 0] * u[:, None] + c[:, :, 1] * v[:, None]
    if flat != 1.0:
        offset[..., 1] *= flat
    rings = centre[:, None] + offset * radius[:, None, None]
    return loft(rings, p[0] - r[0] * tangent[0], p[-1] + r[-1] * tangent[-1])


def rod(a: Sequence[float], b: Sequence[float], radius: float, n: int = 6) -> Solid:
    """Return a thin straight limb from a to b."""
    return limb([a, b], [radius, radius], n)


@lru_cache(maxsize=4)
def icosphere(level: int) -> Solid:
    """Return the unit icosphere: 20 * 4^level faces."""
    g = (1 + 5**0.5) / 2
    v = [[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0], [0, -1, g], [0, 1, g]]
    v += [[0, -1, -g], [0, 1, -g], [g, 0, -1], [g, 0, 1], [-g, 0, -1], [-g, 0, 1]]
    rows = "0 11 5 0 5 1 0 1 7 0 7 10 0 10 11 1 5 9 5 11 4 11 10 2 10 7 6 7 1 8 "
    rows += "3 9 4 3 4 2 3 2 6 3 6 8 3 8 9 4 9 5 2 4 11 6 2 10 8 6 7 9 8 1"
    vertices, faces = np.array(v, np.float64), np.array(rows.split(), np.int64).reshape(-1, 3)
    for _ in range(level):
        edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        unique, index = np.unique(edges, axis=0, return_inverse=True)
        middle = index.reshape(-1, 3) + len(vertices)
        vertices = np.concatenate([vertices, vertices[unique].mean(axis=1)])
        a, b, c = faces.T
        d, e, f = middle.T
        faces = np.concatenate([np.stack(t, -1) for t in ((a, d, f), (d, b, e), (f, e, c), (d, e, f))])
    return Solid(vertices / np.linalg.norm(vertices, axis=1, keepdims=True), faces)


def extruded(outline: ArrayLike, width: float) -> Solid:
    """Return a convex outline (n, 2) of (x, z), clockwise seen from the left, made `width` thick along y."""
    flat = np.asarray(outline, np.float64)
    rings = np.zeros((2, len(flat), 3))
    rings[..., 0], rings[..., 2] = flat[:, 0], flat[:, 1]
    rings[0, :, 1], rings[1, :, 1] = width / 2, -width / 2
    return outward(together([loft(rings), disc(rings[1]), disc(rings[0][::-1])]))


def outward(solid: Solid) -> Solid:
    """Return a closed solid wound so that its volume is positive."""
    a, b, c = (solid.vertices[solid.faces[:, k]] for k in range(3))
    return solid if np.einsum("ij,ij->", a, np.cross(b, c)) >= 0 else Solid(solid.vertices, solid.faces[:, ::-1])


@lru_cache(maxsize=512)
def rgb(code: str) -> Color:
    """Return the linear colour of an sRGB hex code.

    >>> rgb("#ffffff")
    (1.0, 1.0, 1.0)
    """
    r, g, b = (int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return (_linear(r), _linear(g), _linear(b))


def _linear(v: float) -> float:
    return float(v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4)


def shade(color: Color, factor: float) -> Color:
    """Return a colour made lighter or darker, at most 1."""
    return (min(color[0] * factor, 1.0), min(color[1] * factor, 1.0), min(color[2] * factor, 1.0))


def pick(rng: Rng, weighted: Sequence[tuple[str, float]]) -> Color:
    """Return one colour of (hex code, weight), with a little variation in lightness."""
    total = rng.uniform() * sum(weight for _, weight in weighted)
    factor = rng.uniform(0.88, 1.12)
    for code, weight in weighted:
        total -= weight
        if total < 0:
            return shade(rgb(code), factor)
    return shade(rgb(weighted[-1][0]), factor)


def paint(
    solid: Solid,
    color: Color,
    surface: Surface = Surface.MATTE,
    *,
    smooth: bool = False,
    part: Part = Part.MAIN,
    recolour: bool = False,
) -> Mesh:
    """Return a solid of one material."""
    return mesh(solid.vertices, solid.faces, color, surface=surface, part=part, recolour=recolour, smooth=smooth)


def panel(corners: ArrayLike, texture: NDArray[np.uint8], surface: Surface = Surface.MATTE) -> Mesh:
    """Return a textured rectangle. corners (4, 3): top left, bottom left, bottom right, top right, for its viewer."""
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    uv = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])[faces]
    return mesh(np.asarray(corners, np.float64), faces, (1.0, 1.0, 1.0), surface=surface, texture=texture, uv=uv)


def outline_panel(outline: ArrayLike, x: float, z: float, texture: NDArray[np.uint8], surface: Surface) -> Mesh:
    """Return a flat face that looks along +x at (x, 0, z); its texture covers the bounding box.

    outline: (n, 2) of (y, z), convex, counter-clockwise as seen from the front.
    """
    points = np.asarray(outline, np.float64)
    solid = disc(np.column_stack([np.full(len(points), x), points[:, 0], points[:, 1] + z]))
    flat = solid.vertices[:, 1:] - np.array([0.0, z])
    low, high = points.min(axis=0), points.max(axis=0)
    unit = np.clip((flat - low) / (high - low), 0.0, 1.0)
    uv = np.stack([unit[:, 0], 1.0 - unit[:, 1]], -1)[solid.faces]
    return mesh(solid.vertices, solid.faces, (1.0, 1.0, 1.0), surface=surface, texture=texture, uv=uv)


def apply_looks(m: Mesh, looks: list[tuple[NDArray[np.bool_], Color, Surface]], grid: tuple[int, int]) -> None:
    """Paint quads of a fresh loft of grid (levels, columns)."""
    rest = np.zeros(len(m.faces) - 2 * grid[0] * grid[1], bool)
    for where, color, surface in looks:
        mask = np.concatenate([np.repeat(np.broadcast_to(where, grid).ravel(), 2), rest])
        m.color[mask], m.surface[mask], m.recolour[mask] = color, surface, False
