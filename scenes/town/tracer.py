"""First hits and shadows by Embree: a static scene built once and a scene of moving objects built per frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.town.soup import Float

FAR = 1.0e6


@dataclass(frozen=True, eq=False)
class Hits:
    """t (R,) in units of the direction, inf = none; face (R,) index into the soups in order, -1 = none;
    bary (R, 2): weights of corners 1 and 2."""

    t: Float
    face: NDArray[np.int32]
    bary: Float


class Tracer:
    """Rays against one set of triangles."""

    def __init__(self, tri: Float) -> None:  # (F, 3, 3)
        self.size = len(tri)
        self._scene = _scene(tri) if self.size else None

    def first(self, origins: Float, directions: Float) -> Hits:
        """Return the nearest hit of each ray (R, 3)."""
        rays = len(origins)
        if self._scene is None or rays == 0:
            return Hits(np.full(rays, np.inf, np.float32), np.full(rays, -1, np.int32), np.zeros((rays, 2), np.float32))
        out = self._scene.run(_f32(origins), _f32(directions), query="INTERSECT", output=True)
        hit = out["primID"] >= 0
        return Hits(
            t=np.where(hit, out["tfar"], np.inf).astype(np.float32),
            face=np.where(hit, out["primID"], -1).astype(np.int32),
            bary=np.stack([out["u"], out["v"]], axis=1),
        )

    def occluded(self, origins: Float, directions: Float, reach: float = FAR) -> NDArray[np.bool_]:
        """Return (R,) True where something lies within `reach` (in units of the direction)."""
        if self._scene is None or len(origins) == 0:
            return np.zeros(len(origins), np.bool_)
        reaches = np.full(len(origins), reach, np.float32)
        blocked: NDArray[np.bool_] = self._scene.run(_f32(origins), _f32(directions), reaches, query="OCCLUDED") >= 0
        return blocked


class Pair:
    """Static and moving triangles traced as one; face indices count the static ones first."""

    def __init__(self, static: Tracer, moving: Tracer) -> None:
        self.static, self.moving = static, moving

    def first(self, origins: Float, directions: Float) -> Hits:
        """Return the nearest hit of each ray (R, 3) in either scene."""
        a = self.static.first(origins, directions)
        b = self.moving.first(origins, directions)
        nearer = b.t < a.t
        return Hits(
            t=np.where(nearer, b.t, a.t),
            face=np.where(nearer, b.face + self.static.size, a.face).astype(np.int32),
            bary=np.where(nearer[:, None], b.bary, a.bary),
        )

    def occluded(self, origins: Float, directions: Float, reach: float = FAR) -> NDArray[np.bool_]:
        """Return (R,) True where either scene blocks the ray."""
        blocked = self.moving.occluded(origins, directions, reach)
        free = np.flatnonzero(~blocked)
        blocked[free] = self.static.occluded(origins[free], directions[free], reach)
        return blocked


def _scene(tri: Float) -> Any:
    from embreex import rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    scene = rtcore_scene.EmbreeScene()
    faces = np.arange(3 * len(tri), dtype=np.int32).reshape(-1, 3)
    TriangleMesh(scene, np.ascontiguousarray(tri.reshape(-1, 3), np.float32), faces)
    return scene


def _f32(values: NDArray[np.floating]) -> Float:
    return np.ascontiguousarray(values, np.float32)
