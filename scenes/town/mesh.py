"""Triangle meshes of the town: what the builders make and the renderer takes.

Object frame: x forward, y left, z up, metres, origin on the ground under the middle of the object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Surface(IntEnum):
    """How a face answers light."""

    MATTE = 0  # Lambert
    PAINT = 1  # car body: Lambert under a clear coat that mirrors the sky
    GLASS = 2  # dark, mirrors the sky
    METAL = 3
    EMISSIVE = 4  # lit lamp: adds `color` whatever the sun does
    FOLIAGE = 5  # leaves: Lambert with noise and light from behind
    RETRO = 6  # sign face


class Part(IntEnum):
    """Which semantic part of an object a face belongs to, where one object has several (rider and bicycle)."""

    MAIN = 0
    SECOND = 1


@dataclass(frozen=True, eq=False)
class Mesh:
    """vertices (V, 3) float32 metres; faces (F, 3) int32; per face: color (F, 3) linear RGB, surface (F,) uint8,
    part (F,) uint8, recolour (F,) bool (follows `Recolour` edits), texture (F,) int16 index into `textures`, -1 = none,
    uv (F, 3, 2) float32 in [0, 1], v downwards; smooth (F,) bool (shade with interpolated vertex normals)."""

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    color: NDArray[np.float32]
    surface: NDArray[np.uint8]
    part: NDArray[np.uint8]
    recolour: NDArray[np.bool_]
    smooth: NDArray[np.bool_]
    texture: NDArray[np.int16]
    uv: NDArray[np.float32]
    textures: tuple[NDArray[np.uint8], ...] = ()  # (h, w, 3) sRGB

    @property
    def bounds(self) -> NDArray[np.float32]:
        """(2, 3) lowest and highest corner."""
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])


def mesh(
    vertices: NDArray[np.floating[Any]],
    faces: NDArray[np.integer[Any]],
    color: tuple[float, float, float],
    *,
    surface: Surface = Surface.MATTE,
    part: Part = Part.MAIN,
    recolour: bool = False,
    smooth: bool = False,
    texture: NDArray[np.uint8] | None = None,
    uv: NDArray[np.floating[Any]] | None = None,
) -> Mesh:
    """Return a mesh of one material. color: linear RGB; texture: (h, w, 3) sRGB with uv (F, 3, 2)."""
    f = len(faces)
    return Mesh(
        vertices=np.asarray(vertices, np.float32).reshape(-1, 3),
        faces=np.asarray(faces, np.int32).reshape(-1, 3),
        color=np.tile(np.asarray(color, np.float32), (f, 1)),
        surface=np.full(f, surface, np.uint8),
        part=np.full(f, part, np.uint8),
        recolour=np.full(f, recolour),
        smooth=np.full(f, smooth),
        texture=np.full(f, -1 if texture is None else 0, np.int16),
        uv=np.zeros((f, 3, 2), np.float32) if uv is None else np.asarray(uv, np.float32),
        textures=() if texture is None else (texture,),
    )


def join(meshes: Sequence[Mesh]) -> Mesh:
    """Return one mesh of several, materials and textures kept."""
    vertex_start, texture_start = 0, 0
    faces: list[NDArray[np.int32]] = []
    textures: list[NDArray[np.uint8]] = []
    texture: list[NDArray[np.int16]] = []
    for m in meshes:
        faces.append(m.faces + vertex_start)
        texture.append(np.where(m.texture >= 0, m.texture + texture_start, -1).astype(np.int16))
        textures.extend(m.textures)
        vertex_start += len(m.vertices)
        texture_start += len(m.textures)
    return Mesh(
        vertices=np.concatenate([m.vertices for m in meshes]),
        faces=np.concatenate(faces),
        color=np.concatenate([m.color for m in meshes]),
        surface=np.concatenate([m.surface for m in meshes]),
        part=np.concatenate([m.part for m in meshes]),
        recolour=np.concatenate([m.recolour for m in meshes]),
        smooth=np.concatenate([m.smooth for m in meshes]),
        texture=np.concatenate(texture),
        uv=np.concatenate([m.uv for m in meshes]),
        textures=tuple(textures),
    )
