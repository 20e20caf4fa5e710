"""Elastic deformation of the whole frame after Simard, Steinkraus and Platt (2003): all labels follow the same map.

Independent random displacements in x and y are smoothed and scaled to a wanted root mean square. Simard's Gaussian is a
cubic B-spline over a random grid here (near to a Gaussian, and without its tails), so that its width costs nothing.
At the frame's border nothing moves across it: no pixel is invented and none is lost. The gradient of the displacement
stays below 1, so the map never folds and has an inverse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Sample
from synth.noise import Field
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.warp import Points, Warp, warp_frame

_ROWS = 720  # the table's pixels are those of a frame of so many rows
_STEEPEST = 0.95  # largest allowed gradient of the displacement, pixels per pixel
_STEPS = 100  # of the fixed point that inverts the map; slopes are mostly far below the steepest


@dataclass(frozen=True)
class ElasticParams:
    """displacement: root mean square, in frame heights; cell: spacing of the random grid, in frame heights."""

    displacement: float
    cell: float
    seed: int


@register
@dataclass(frozen=True)
class Elastic:
    """The whole frame bent smoothly, as if it were printed on rubber or seen through uneven glass.

    cell_px: spacing of the bends at 720 rows, 1.7 times the standard deviation of Simard's Gaussian; where it is small
    the displacement is held back so that nothing folds
    """

    name: ClassVar[str] = "shape/elastic"
    family: ClassVar[Family] = "shape"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "geometry"
    table: ClassVar[SeverityTable] = SeverityTable(
        "root mean square displacement at 720 rows",
        "px",
        (1.5, 3, 5.5, 8.5, 12),
        "from the wave of a poor windscreen to the steepest bend that does not fold; Simard et al. (2003) displace "
        "characters by about 1/25 of their size, as severity 5 does an object of 300 px",
    )
    params_type: ClassVar[type[ElasticParams]] = ElasticParams

    cell_px: float = 120.0

    def __post_init__(self) -> None:
        if not 8 <= self.cell_px <= 720:
            raise ValueError(f"cell_px: expected 8 to 720 pixels at 720 rows, got {self.cell_px!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> ElasticParams:
        return ElasticParams(self.table.at(severity) / _ROWS, float(self.cell_px) / _ROWS, rng.seed())

    def apply(self, sample: Sample, params: ElasticParams) -> Sample:
        dx, dy = displacement(sample.height, sample.width, params)
        columns = np.arange(sample.width, dtype=np.float32) + np.float32(0.5)
        rows = (np.arange(sample.height, dtype=np.float32) + np.float32(0.5))[:, None]
        warp = Warp(x=dx + columns, y=dy + rows, forward=lambda points: _forward(points, dx, dy))
        return warp_frame(sample, warp)


def displacement(height: int, width: int, params: ElasticParams) -> tuple[Field, Field]:
    """Return (H, W) pixels from each new pixel to where it comes from, along x and along y."""
    cell = max(params.cell * height, 2.0)
    step = min(8, max(1, int(cell / 12)))  # the field is made this coarsely, which it is too smooth to show
    rows, columns = -(-height // step), -(-width // step)
    ramp = min(cell, 0.5 * max(height, width))
    held = [_held(size, step, ramp).reshape(shape) for size, shape in ((width, (1, -1)), (height, (-1, 1)))]
    field = np.stack([_spline(Rng(params.seed, "elastic", axis), rows, columns, cell / step) for axis in (0, 1)])
    shown = np.stack([field[axis] * held[axis] for axis in (0, 1)])
    scale = params.displacement * height / max(math.sqrt(float((shown**2).mean())), 1e-9)
    steep = sum(float(np.abs(np.diff(shown, axis=axis)).max(initial=0.0)) for axis in (1, 2)) / step
    field *= min(scale, _STEEPEST / max(steep, 1e-9))
    fine = [cv2.resize(part, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR) for part in field]
    dx = fine[0][:height, :width] * _held(width, 1, ramp)
    dy = fine[1][:height, :width] * _held(height, 1, ramp)[:, None]
    return dx, dy


def _spline(rng: Rng, rows: int, columns: int, cell: float) -> Field:
    """Return (rows, columns) of a cubic B-spline with normal coefficients every `cell` elements."""
    grid = rng.normals(math.ceil(rows / cell) + 4, math.ceil(columns / cell) + 4)
    smooth: Field = (_basis(rows, grid.shape[0], cell) @ grid @ _basis(columns, grid.shape[1], cell).T).astype(
        np.float32
    )
    return smooth


def _basis(count: int, knots: int, cell: float) -> NDArray[np.float64]:
    """Return (count, knots) weights of the uniform cubic B-spline at 0, 1, ... elements."""
    t = np.abs(np.arange(count)[:, None] / cell + 1 - np.arange(knots)[None, :])
    near, far = 2 / 3 - t**2 + t**3 / 2, np.clip(2 - t, 0, None) ** 3 / 6
    weights: NDArray[np.float64] = np.where(t < 1, near, far)
    return weights


def _held(size: int, step: int, ramp: float) -> NDArray[np.float32]:
    """Return how much may move across a frame's border: nothing at both ends, all from `ramp` px inwards; every
    `step` px."""
    centres = (np.arange(-(-size // step)) + 0.5) * step
    inwards = np.clip(np.minimum(centres, size - centres) / ramp, 0, 1)
    held: NDArray[np.float32] = np.sin(0.5 * np.pi * inwards).astype(np.float32)
    return held


def _forward(points: Points, dx: Field, dy: Field) -> Points:
    """Return where old points (K, 2) go: the new point whose displacement leads back to each."""
    new = np.ascontiguousarray(points, np.float64).copy()
    _invert(new, dx, dy)
    return new


@njit(cache=True, nogil=True)
def _invert(points, dx, dy):  # type: ignore[no-untyped-def]  # numba infers
    """Replace points (K, 2) by the fixed points of new = old - displacement(new), bilinear, the border continued."""
    height, width = dx.shape
    for k in range(len(points)):
        old_x, old_y = points[k, 0], points[k, 1]
        x, y = old_x, old_y
        for _ in range(_STEPS):
            u = min(max(x - 0.5, 0.0), width - 1.0)
            v = min(max(y - 0.5, 0.0), height - 1.0)
            j, i = int(u), int(v)
            j1, i1 = min(j + 1, width - 1), min(i + 1, height - 1)
            a, b = u - j, v - i
            move_x = (dx[i, j] * (1 - a) + dx[i, j1] * a) * (1 - b) + (dx[i1, j] * (1 - a) + dx[i1, j1] * a) * b
            move_y = (dy[i, j] * (1 - a) + dy[i, j1] * a) * (1 - b) + (dy[i1, j] * (1 - a) + dy[i1, j1] * a) * b
            done = abs(old_x - move_x - x) + abs(old_y - move_y - y) < 1e-4
            x, y = old_x - move_x, old_y - move_y
            if done:
                break
        points[k, 0], points[k, 1] = x, y
