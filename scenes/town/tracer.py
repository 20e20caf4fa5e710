"""First hits and shadows by Embree, over layers that are built once (streets, parked) or for a frame (moving)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.town.soup import Float, Weld

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

    def __init__(self, tri: Float, weld: Weld | None = None) -> None:  # tri (F, 3, 3)
        self.size = len(tri)
        self._scene = _scene(tri, weld) if self.size else None

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


class Layers:
    """Several sets of triangles traced as one; face indices count through the layers in order."""

    def __init__(self, *layers: Tracer) -> None:
        self._layers = [layer for layer in layers if layer.size]
        self._starts = np.cumsum([0, *(layer.size for layer in self._layers)])

    def first(self, origins: Float, directions: Float) -> Hits:
        """Return the nearest hit of each ray (R, 3) in any layer."""
        best: Hits | None = None
        for layer, start in zip(self._layers, self._starts, strict=False):
            new = layer.first(origins, directions)
            if best is None:
                best = new
                continue
            nearer = np.flatnonzero(new.t < best.t)
            best.t[nearer] = new.t[nearer]
            best.face[nearer] = new.face[nearer] + np.int32(start)
            best.bary[nearer] = new.bary[nearer]
        return best or Tracer(np.zeros((0, 3, 3), np.float32)).first(origins, directions)

    def occluded(self, origins: Float, directions: Float, reach: float = FAR) -> NDArray[np.bool_]:
        """Return (R,) True where any layer blocks the ray."""
        blocked = np.zeros(len(origins), np.bool_)
        free = np.arange(len(origins))
        for layer in self._layers:
            hit = layer.occluded(origins[free], directions[free], reach)
            blocked[free[hit]] = True
            free = free[~hit]
        return blocked


def _scene(tri: Float, weld: Weld | None) -> Any:
    from embreex import rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    corners = np.ascontiguousarray(tri.reshape(-1, 3), np.float32)
    scene = rtcore_scene.EmbreeScene()
    if weld is None:
        TriangleMesh(scene, corners, np.arange(len(corners), dtype=np.int32).reshape(-1, 3))
    else:
        TriangleMesh(scene, corners[weld.first], weld.faces)
    return scene


def _f32(values: NDArray[np.floating[Any]]) -> Float:
    return np.ascontiguousarray(values, np.float32)
