"""Triangle soup: what the tracer and the shader take. One row per triangle, all arrays of one length F."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.town.mesh import Mesh, Part

Float = NDArray[np.float32]


class Ground(IntEnum):
    """Surfaces of the static world, continuing `mesh.Surface`; their uv is in metres."""

    ROAD = 32
    MARKING = 33
    PAVEMENT = 34
    KERB = 35
    GRASS = 36
    PLASTER = 37
    BRICK = 38
    ROOF = 39
    WINDOW = 40  # building glass
    GRAVEL = 41


@dataclass(frozen=True, eq=False)
class Weld:
    """Which corners of a soup are one vertex: first (V,) a corner of each vertex, counted through the triangles;
    faces (F, 3) vertices of each triangle. Embree copies a welded mesh twice as fast."""

    first: NDArray[np.int64]
    faces: NDArray[np.int32]


def weld_all(welds: Sequence[Weld]) -> Weld:
    """Return the weld of soups put one after the other."""
    corners = np.cumsum([0, *(3 * len(w.faces) for w in welds)])
    vertices = np.cumsum([0, *(len(w.first) for w in welds)])
    first = [w.first + start for w, start in zip(welds, corners, strict=False)]
    faces = [w.faces + np.int32(start) for w, start in zip(welds, vertices, strict=False)]
    return Weld(np.concatenate([*first, np.zeros(0, np.int64)]), np.concatenate([*faces, np.zeros((0, 3), np.int32)]))


@dataclass(frozen=True, eq=False)
class Soup:
    """tri (F, 3, 3) world metres; normal (F, 3, 3) of each corner; color (F, 3) linear RGB; surface (F,) uint8 of
    `mesh.Surface` or `Ground`; semantic (F,) uint8 class index; object (F,) int32 instance id, 0 = none;
    texture (F,) int32 into the texture list, -1 = none; uv (F, 3, 2)."""

    tri: Float
    normal: Float
    color: Float
    surface: NDArray[np.uint8]
    semantic: NDArray[np.uint8]
    object: NDArray[np.int32]
    texture: NDArray[np.int32]
    uv: Float

    def __len__(self) -> int:
        return len(self.tri)


def concatenate(soups: Sequence[Soup]) -> Soup:
    """Return one soup of several."""
    if not soups:
        return empty()
    return Soup(**{f.name: np.concatenate([getattr(s, f.name) for s in soups]) for f in fields(Soup)})


def empty() -> Soup:
    """Return a soup without triangles."""
    return Soup(
        tri=np.zeros((0, 3, 3), np.float32),
        normal=np.zeros((0, 3, 3), np.float32),
        color=np.zeros((0, 3), np.float32),
        surface=np.zeros(0, np.uint8),
        semantic=np.zeros(0, np.uint8),
        object=np.zeros(0, np.int32),
        texture=np.zeros(0, np.int32),
        uv=np.zeros((0, 3, 2), np.float32),
    )


def face_normals(tri: Float) -> Float:
    """Return unit normals (F, 3); zero for triangles without area."""
    return unit(cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]))


def dot(a: Float, b: Float) -> Float:
    """Return (R,) products of rows (R, 3); numpy's own sum over three columns is many times slower."""
    x, y, z = a[:, 0] * b[:, 0], a[:, 1] * b[:, 1], a[:, 2] * b[:, 2]
    return np.asarray(x + y + z)


def cross(a: Float, b: Float) -> Float:
    """Return (R, 3) cross products of rows."""
    ax, ay, az, bx, by, bz = a[:, 0], a[:, 1], a[:, 2], b[:, 0], b[:, 1], b[:, 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)


def unit(a: Float) -> Float:
    """Return rows (R, 3) of length 1; zero rows stay zero."""
    rows: Float = (a / np.maximum(np.sqrt(dot(a, a)), 1e-12)[:, None]).astype(np.float32)
    return rows


def corner_normals(mesh: Mesh) -> Float:
    """Return (F, 3, 3): normals averaged over the smooth faces at a vertex (by area), flat ones elsewhere."""
    tri = mesh.vertices[mesh.faces]
    weighted = cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0])
    corners = np.repeat(unit(weighted)[:, None], 3, axis=1)
    if not mesh.smooth.any():
        return corners
    smooth = mesh.faces[mesh.smooth]
    sums = np.stack(
        [
            np.bincount(smooth.ravel(), np.repeat(weighted[mesh.smooth, axis], 3), minlength=len(mesh.vertices))
            for axis in range(3)
        ],
        axis=1,
    )
    corners[mesh.smooth] = unit(sums.astype(np.float32))[smooth]
    return corners


LEVELS = 6  # of a texture, each half the size of the one before
Pyramid = tuple[Float, ...]  # LEVELS images (h, w, 3) linear RGB


def pyramid(image: NDArray[np.uint8]) -> Pyramid:
    """Return a texture (h, w, 3) sRGB and its halved versions."""
    x = image.astype(np.float32) / np.float32(255)
    levels = [np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** np.float32(2.4)).astype(np.float32)]
    while len(levels) < LEVELS:
        levels.append(_halve(levels[-1]))
    return tuple(levels)


def _halve(image: Float) -> Float:
    h, w = max(image.shape[0] // 2, 1), max(image.shape[1] // 2, 1)
    rows = image[: 2 * h].reshape(h, -1, *image.shape[1:]).mean(axis=1) if image.shape[0] > 1 else image
    halved: Float = rows[:, : 2 * w].reshape(h, w, -1, 3).mean(axis=2) if image.shape[1] > 1 else rows
    return halved


@dataclass(frozen=True, eq=False)
class Body:
    """A mesh made ready for placing: triangles and corner normals in the object frame."""

    mesh: Mesh
    tri: Float  # (F, 3, 3)
    normal: Float  # (F, 3, 3)

    @classmethod
    def of(cls, mesh: Mesh) -> Body:
        return cls(mesh=mesh, tri=mesh.vertices[mesh.faces].astype(np.float32), normal=corner_normals(mesh))

    @cached_property
    def weld(self) -> Weld:
        """The vertices that its triangles share."""
        faces = self.mesh.faces
        first = np.zeros(len(self.mesh.vertices), np.int64)
        first[faces.ravel()[::-1]] = np.arange(faces.size)[::-1]
        return Weld(first, faces)

    @cached_property
    def pyramids(self) -> tuple[Pyramid, ...]:
        """Its textures, ready to be sampled."""
        return tuple(pyramid(image) for image in self.mesh.textures)

    @cached_property
    def extent(self) -> dict[int, tuple[Float, Float]]:
        """Lowest and highest corner (3,) of each part, in the object frame."""
        parts = (self.tri[self.mesh.part == part].reshape(-1, 3) for part in Part)
        return {k: (points.min(axis=0), points.max(axis=0)) for k, points in enumerate(parts) if len(points)}


def place(
    body: Body,
    pose: NDArray[np.float64],  # (4, 4) object to world
    *,
    semantic: tuple[int, int],  # of Part.MAIN and Part.SECOND
    ids: tuple[int, int],  # instance ids of the two parts
    texture_start: int,
    color: Float | None = None,
) -> Soup:
    """Return the body's triangles in the world."""
    mesh = body.mesh
    linear = pose[:3, :3].astype(np.float32)
    normal_matrix = np.linalg.inv(pose[:3, :3]).astype(np.float32)  # row vectors: n' = n @ inv(A)
    normal = unit(body.normal.reshape(-1, 3) @ normal_matrix)
    tri = body.tri.reshape(-1, 3) @ linear.T + pose[:3, 3].astype(np.float32)
    second = mesh.part == Part.SECOND
    return Soup(
        tri=tri.reshape(-1, 3, 3),
        normal=normal.reshape(-1, 3, 3),
        color=mesh.color if color is None else color,
        surface=mesh.surface,
        semantic=np.where(second, semantic[1], semantic[0]).astype(np.uint8),
        object=np.where(second, ids[1], ids[0]).astype(np.int32),
        texture=np.where(mesh.texture >= 0, mesh.texture.astype(np.int32) + texture_start, -1),
        uv=mesh.uv,
    )


def thinned(mesh: Mesh, keep: int = 5, grow: float = 2.0) -> Mesh:
    """Return a tree for the distance: of its single leaves every `keep`th stays, `grow` times as large."""
    uses = np.bincount(mesh.faces.ravel(), minlength=len(mesh.vertices))
    leaf = (uses[mesh.faces] == 1).all(axis=1)
    kept = ~leaf
    kept[np.flatnonzero(leaf)[::keep]] = True
    vertices = mesh.vertices.copy()
    corners = mesh.faces[leaf]
    middle = vertices[corners].mean(axis=1, keepdims=True)
    vertices[corners] = middle + grow * (vertices[corners] - middle)
    rows = ("faces", "color", "surface", "part", "recolour", "smooth", "texture", "uv")
    return replace(mesh, vertices=vertices, **{name: getattr(mesh, name)[kept] for name in rows})


class Quads:
    """Collects quads of the static world; turned into triangles once."""

    def __init__(self) -> None:
        self._corners: list[Float] = []
        self._color: list[Float] = []
        self._surface: list[int] = []
        self._semantic: list[int] = []
        self._uv: list[Float] = []

    def add(
        self,
        corners: NDArray[np.floating[Any]],  # (Q, 4, 3) or (4, 3), around the quad
        color: NDArray[np.floating[Any]] | tuple[float, float, float],  # (3,) or (Q, 3) linear RGB
        surface: int,
        semantic: int,
        uv: NDArray[np.floating[Any]] | None = None,  # (Q, 4, 2) metres; world x y unless given
    ) -> None:
        """Add quads of one surface."""
        corners = np.asarray(corners, np.float32).reshape(-1, 4, 3)
        self._corners.append(corners)
        self._color.append(np.asarray(color, np.float32).reshape(-1, 3))
        self._surface.append(surface)
        self._semantic.append(semantic)
        self._uv.append(corners[..., :2] if uv is None else np.asarray(uv, np.float32).reshape(-1, 4, 2))

    def weld(self) -> Weld:
        """Return the vertices that the two triangles of each quad share."""
        quad = np.arange(sum(len(corners) for corners in self._corners))
        first = quad[:, None] * 6 + np.array([0, 1, 2, 5])
        faces = quad[:, None, None] * 4 + np.array([[0, 1, 2], [0, 2, 3]])
        return Weld(first.ravel(), faces.reshape(-1, 3).astype(np.int32))

    def soup(self) -> Soup:
        """Return two triangles a quad."""
        if not self._corners:
            return empty()
        counts = np.array([len(c) for c in self._corners])
        shades = [np.repeat(c, n, axis=0) if len(c) != n else c for c, n in zip(self._color, counts, strict=True)]
        corners = np.concatenate(self._corners)
        uv = np.concatenate(self._uv)
        tri = corners[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 3)
        return Soup(
            tri=tri,
            normal=np.repeat(face_normals(tri)[:, None], 3, axis=1),
            color=np.repeat(np.concatenate(shades), 2, axis=0),
            surface=np.repeat(np.array(self._surface, np.uint8), 2 * counts),
            semantic=np.repeat(np.array(self._semantic, np.uint8), 2 * counts),
            object=np.zeros(len(tri), np.int32),
            texture=np.full(len(tri), -1, np.int32),
            uv=uv[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 2),
        )


def linear(color: str) -> tuple[float, float, float]:
    """Return the linear RGB of an sRGB hex colour.

    >>> [round(c, 3) for c in linear("#ff8000")]
    [1.0, 0.216, 0.0]
    """
    values = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return (r, g, b)
