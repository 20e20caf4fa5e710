"""Ambient occlusion: how much of the sky the first hits of a frame see nearby."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.town.soup import Float, cross, dot, unit
from scenes.town.tracer import Hits
from scenes.town.view import OFFSET_M, Geometry, Stage, geometry

AO_REACH_M = 4.0
AO_RAYS = 4
AO_STEP = 2  # one occlusion sample per block of this many pixels squared
_BAYER = np.array([0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5])


class Ambient:
    """How open to the sky the first hits are: short rays on a coarse grid, smoothed and looked up where they fit."""

    def __init__(self, stage: Stage, camera: Camera, hits: Hits, rays: Float) -> None:
        h, w = camera.height, camera.width
        rows, columns = np.mgrid[0:h:AO_STEP, 0:w:AO_STEP]
        self.shape = rows.shape
        index = (rows * w + columns).ravel()
        self.depth = hits.t[index]
        self.normal = np.zeros((len(index), 3), np.float32)
        self.value = np.ones(len(index), np.float32)
        at = np.flatnonzero(hits.face[index] >= 0)
        if len(at):
            g = geometry(stage, camera, hits, rays, index[at])
            self.normal[at] = g.normal
            self.value[at] = self._measure(stage, g, rows.ravel()[at] // AO_STEP, columns.ravel()[at] // AO_STEP)
            self._smooth()

    def _measure(self, stage: Stage, g: Geometry, row: NDArray[np.int64], column: NDArray[np.int64]) -> Float:
        """Cosine-weighted rays: a 4x4 tile of pixels shares 16 x AO_RAYS directions."""
        start = g.position + g.flat * (OFFSET_M + 1e-4 * g.distance[:, None])
        side = np.where(
            np.abs(g.normal[:, 2:3]) < 0.9, np.array([0, 0, 1], np.float32), np.array([1, 0, 0], np.float32)
        )
        t1 = unit(cross(g.normal, side))
        t2 = cross(g.normal, t1)
        cell = (row % 4) * 4 + column % 4
        order = _BAYER[cell]
        total = np.zeros(len(start), np.float32)
        for k in range(AO_RAYS):
            number = k * 16 + order
            radius = np.sqrt((number + 0.5) / (16 * AO_RAYS)).astype(np.float32)
            angle = (number * 2.399963).astype(np.float32)  # golden angle
            up = np.sqrt(1 - radius**2)
            ray = t1 * (radius * np.cos(angle))[:, None] + t2 * (radius * np.sin(angle))[:, None]
            ray += g.normal * up[:, None]
            total += ~stage.tracer.occluded(start, ray, AO_REACH_M)
        return 0.12 + 0.88 * total / AO_RAYS

    def _smooth(self) -> None:
        """Average a 4x4 tile where depth and normal agree."""
        h, w = self.shape
        depth, value = self.depth.reshape(h, w), self.value.reshape(h, w)
        nx, ny, nz = (self.normal[:, k].reshape(h, w) for k in range(3))
        sums, weights = value.copy(), np.ones_like(value)
        with np.errstate(invalid="ignore"):
            for dy in range(-2, 2):
                for dx in range(-2, 2):
                    if dx == 0 and dy == 0:
                        continue
                    rows = np.clip(np.arange(h) + dy, 0, h - 1)[:, None]
                    columns = np.clip(np.arange(w) + dx, 0, w - 1)[None]
                    near = np.abs(depth[rows, columns] - depth) < 0.06 * depth
                    alike = nx[rows, columns] * nx + ny[rows, columns] * ny + nz[rows, columns] * nz
                    fits = near & (alike > 0.9)
                    sums += np.where(fits, value[rows, columns], 0.0)
                    weights += fits
        self.value = (sums / weights).ravel()

    def at(self, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]], depth: Float, normal: Float) -> Float:
        """Return openness (R,) at pixel coordinates of points with a depth and normal."""
        h, w = self.shape
        gx, gy = (x - 0.5) / AO_STEP, (y - 0.5) / AO_STEP
        x0, y0 = np.floor(gx).astype(np.int64), np.floor(gy).astype(np.int64)
        fx, fy = (gx - x0).astype(np.float32), (gy - y0).astype(np.float32)
        total, weight = np.zeros(len(x), np.float32), np.full(len(x), 1e-6, np.float32)
        with np.errstate(invalid="ignore"):
            for dy, wy in ((0, 1 - fy), (1, fy)):
                for dx, wx in ((0, 1 - fx), (1, fx)):
                    index = np.clip(y0 + dy, 0, h - 1) * w + np.clip(x0 + dx, 0, w - 1)
                    near = np.abs(self.depth[index] - depth) < 0.06 * depth + 0.1
                    alike = np.clip(dot(self.normal[index], normal), 0.0, 1.0) ** 2
                    share = wx * wy * (np.where(near, alike, 0.0) + 1e-3) + 1e-5
                    total += share * self.value[index]
                    weight += share
        return total / weight
