"""A stage to look at, and what rays through its pixels meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.town.light import Weather
from scenes.town.materials import Pattern, Textures
from scenes.town.soup import Float, Soup, cross, dot, unit
from scenes.town.tracer import Hits, Layers

OFFSET_M = 2e-3  # how far from a surface the rays that leave it start


@dataclass(frozen=True, eq=False)
class Stage:
    """All that the shader needs: the soup of all triangles, layer by layer, their tracer, textures, light, patterns."""

    soup: Soup
    tracer: Layers
    textures: Textures
    weather: Weather
    patterns: Mapping[int, tuple[Pattern, NDArray[np.float64]]]  # instance id -> pattern, world to object (4, 4)


@dataclass(frozen=True, eq=False)
class Geometry:
    """Of R rays that hit: position (R, 3), shading and true normals (R, 3) towards the viewer, view direction (R, 3)
    unit, distance (R,), face (R,), uv (R, 2)."""

    position: Float
    normal: Float
    flat: Float
    view: Float
    distance: Float
    face: NDArray[np.int32]
    uv: Float


def directions(camera: Camera, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> Float:
    """Return world directions (R, 3) through pixel coordinates, scaled so that t is depth along the optical axis."""
    K = camera.K
    rows = (y - K[1, 2]) / K[1, 1]
    columns = (x - K[0, 2]) / K[0, 0] - K[0, 1] / K[0, 0] * rows
    local = np.stack([columns, rows, np.ones_like(rows)], axis=1)
    return (local @ camera.world_to_cam[:3, :3]).astype(np.float32)


def trace(
    stage: Stage, camera: Camera, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]
) -> tuple[Hits, Float]:
    """Return first hits through pixel coordinates, and the directions."""
    rays = directions(camera, x, y)
    origins = np.broadcast_to(camera.position.astype(np.float32), rays.shape)
    return stage.tracer.first(origins, rays), rays


def geometry(stage: Stage, camera: Camera, hits: Hits, rays: Float, at: NDArray[np.int64]) -> Geometry:
    """Return what is needed for light at the rays `at`, all of which hit."""
    soup, face = stage.soup, hits.face[at]
    t, direction = hits.t[at], rays[at]
    length = np.sqrt(dot(direction, direction))
    view = direction / length[:, None]
    tri = soup.tri[face]
    flat = unit(cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]))
    flat *= np.where(dot(flat, view) > 0, np.float32(-1), np.float32(1))[:, None]
    w1, w2 = hits.bary[at, 0][:, None], hits.bary[at, 1][:, None]
    w0 = 1 - w1 - w2
    corners, uv = soup.normal[face], soup.uv[face]
    normal = unit(corners[:, 0] * w0 + corners[:, 1] * w1 + corners[:, 2] * w2)
    normal *= np.where(dot(normal, flat) < 0, np.float32(-1), np.float32(1))[:, None]
    return Geometry(
        position=camera.position.astype(np.float32) + t[:, None] * direction,
        normal=normal,
        flat=flat,
        view=view,
        distance=t * length,
        face=face,
        uv=uv[:, 0] * w0 + uv[:, 1] * w1 + uv[:, 2] * w2,
    )
