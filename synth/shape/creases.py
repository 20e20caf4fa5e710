"""A crumpled sheet: part of an object pushed in from one side and folded into flat facets.

The object's own coordinates carry a mesh of triangles. Towards the side that was hit its vertices are pushed inwards,
most where the blow fell, and a little to and fro; no triangle turns over, so the map has an inverse. A sheet that is
pushed together keeps its length and buckles: a facet shortened to a share r of its length stands at acos(r) to where it
lay, and is shaded by Lambert's law under light from above.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from synth.noise import Field
from synth.random import Rng

Points = NDArray[np.float64]  # (K, 2) x y

_FACETS = 9  # along the longer side of an object
_FAR = 4.0  # the mesh goes on so far, in half sizes, moving as its edge does
_LIGHT = (-0.28, -0.56, 0.78)  # from the upper left, before the object; x right, y down, z towards the camera
_AMBIENT = 0.35
_WIDTH = 0.75  # of the blow, in half sizes across
_SHORTEST = 0.4  # share of its length to which the sheet is pushed together at most


@dataclass(frozen=True, eq=False)
class Creases:
    """old, new: (K, 2) vertices in pixels; triangles: (T, 3) into them; shade: (T,) light on each over light before."""

    old: Points
    new: Points
    triangles: NDArray[np.int64]
    shade: Field

    def maps(self, window: tuple[int, int, int, int]) -> tuple[Field, Field, Field]:
        """Return (h, w) where the pixels of a window come from, x and y, and the shade on them."""
        height, width = window[3] - window[1], window[2] - window[0]
        x = np.broadcast_to(np.arange(window[0], window[2], dtype=np.float32) + 0.5, (height, width)).copy()
        y = np.broadcast_to(np.arange(window[1], window[3], dtype=np.float32)[:, None] + 0.5, (height, width)).copy()
        shade = np.ones((height, width), np.float32)
        _draw(self.new, self.old, self.triangles, self.shade, window[0], window[1], x, y, shade)
        return x, y, shade

    def forward(self, points: Points) -> Points:
        """Return where old points (K, 2) go; those off the mesh stay."""
        out = np.ascontiguousarray(points, np.float64).copy()
        _move(self.old, self.new, self.triangles, out)
        return out


def crumpled(centre: tuple[float, float], half: tuple[float, float], depth: float, seed: int) -> Creases:
    """Return the creases of an object around a centre with half sizes (px); depth: crush, share of its extent."""
    rng = Rng(seed, "crumple")
    angle = math.pi * rng.uniform(-0.06, 1.06)  # from the right over the top to the left: its foot stands
    across, zone = rng.uniform(-0.45, 0.45), max(0.5, 2 * depth / (1 - _SHORTEST))
    unit, pitch = _vertices(half, rng)
    old = unit * half
    normal = np.array([math.cos(angle), -math.sin(angle)])
    along_extent, across_extent = float(np.abs(normal) @ half), float(np.abs(normal[::-1]) @ half)
    inner = np.clip(unit, -1.0, 1.0) * half  # what lies off the object moves as its edge does
    s, t = inner @ normal / along_extent, (inner[:, 0] * normal[1] - inner[:, 1] * normal[0]) / across_extent
    reached = np.clip((s - 1 + zone) / zone, 0, 1)
    force = np.exp(-(((t - across) / _WIDTH) ** 2))
    push = 2 * depth * along_extent * force * reached**1.2
    strain = np.clip(2 * depth / zone * force, 0, 1 - _SHORTEST) * (reached > 0)
    shake = rng.uniforms(len(unit), 2) - 0.5
    standing = np.clip((1 - inner[:, 1] / half[1]) / 0.4, 0, 1)[:, None] * (0, 1) + (1, 0)
    new, jitter = old, 1.1
    triangles = _triangles(pitch.shape)
    for _ in range(12):
        moved = shake * (jitter * strain * pitch.ravel())[:, None] - push[:, None] * normal
        new = old + moved * standing
        if (_areas(new, triangles) > 0.12 * _areas(old, triangles)).all():
            break
        jitter *= 0.6
        push = push * (0.94 if jitter < 0.2 else 1.0)
    slope = np.tan(np.arccos(1 - strain))
    up = (
        0.5
        * pitch.ravel()
        * slope
        * (2 * (rng.uniforms(len(unit)) > 0.5) - 1)
        * (0.35 + 0.65 * rng.uniforms(len(unit)))
    )
    return Creases(old + centre, new + centre, triangles, _shade(new, up, strain, triangles))


def _vertices(half: tuple[float, float], rng: Rng) -> tuple[Points, NDArray[np.float64]]:
    """Return (K, 2) jittered grid points in half sizes, and (R, C) the pitch of the grid in pixels."""
    longer = max(half)
    counts = [max(3, round(_FACETS * side / longer)) for side in half]
    lines = [np.concatenate([[-_FAR], np.linspace(-1.02, 1.02, n + 1), [_FAR]]) for n in counts]
    u, v = np.meshgrid(lines[0], lines[1])
    shake = (rng.uniforms(*u.shape, 2) - 0.5) * 0.45  # no triangle turns over by it
    shake[[0, -1], :], shake[:, [0, -1]] = 0, 0
    steps = [2.04 / n for n in counts]
    unit = np.stack([u + shake[..., 0] * steps[0], v + shake[..., 1] * steps[1]], axis=-1).reshape(-1, 2)
    return unit, np.full(u.shape, min(steps[0] * half[0], steps[1] * half[1]))


def _triangles(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return (T, 3) vertex numbers: every cell of an (R, C) grid cut in two, by turns along either diagonal."""
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    rows, columns = np.indices((shape[0] - 1, shape[1] - 1))
    odd = ((rows + columns) % 2 == 1).ravel()[:, None]
    first = np.where(odd, np.stack([a, b, d], 1), np.stack([a, b, c], 1))
    second = np.where(odd, np.stack([a, d, c], 1), np.stack([b, d, c], 1))
    return np.concatenate([first, second]).astype(np.int64)


def _areas(points: Points, triangles: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (T,) signed areas, px^2."""
    p, q, r = (points[triangles[:, k]] for k in range(3))
    areas: NDArray[np.float64] = 0.5 * (
        (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])
    )
    return areas


def _shade(points: Points, up: NDArray[np.float64], strain: NDArray[np.float64], triangles: NDArray[np.int64]) -> Field:
    """Return (T,) light that falls on each facet over that on a flat sheet. up: (K,) px that vertices stand out."""
    corners = np.concatenate([points, up[:, None]], axis=1)[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    lambert = np.clip(normal @ _LIGHT, 0, 1) / _LIGHT[2]
    hidden = 1 - 0.25 * strain[triangles].mean(axis=1)  # less of the sky is seen from within a fold
    shade: Field = (hidden * (_AMBIENT + (1 - _AMBIENT) * lambert)).astype(np.float32)
    return shade


@njit(cache=True, nogil=True)
def _draw(new, old, triangles, light, left, top, x, y, shade):  # type: ignore[no-untyped-def]  # numba infers
    """Write, for each pixel (h, w) of a window at (left, top) in a new triangle, its old place x, y and its shade."""
    height, width = x.shape
    for number in range(len(triangles)):
        p, q, r = triangles[number, 0], triangles[number, 1], triangles[number, 2]
        px, py = new[p, 0], new[p, 1]
        ax, ay, bx, by = new[q, 0] - px, new[q, 1] - py, new[r, 0] - px, new[r, 1] - py
        area = ax * by - ay * bx
        if area == 0.0:
            continue
        x1 = max(int(np.floor(min(px, px + ax, px + bx))) - left, 0)
        x2 = min(int(np.ceil(max(px, px + ax, px + bx))) - left + 1, width)
        y1 = max(int(np.floor(min(py, py + ay, py + by))) - top, 0)
        y2 = min(int(np.ceil(max(py, py + ay, py + by))) - top + 1, height)
        for i in range(y1, y2):
            for j in range(x1, x2):
                u, v = left + j + 0.5 - px, top + i + 0.5 - py
                a, b = (u * by - v * bx) / area, (v * ax - u * ay) / area
                if a >= 0.0 and b >= 0.0 and a + b <= 1.0:
                    x[i, j] = old[p, 0] + a * (old[q, 0] - old[p, 0]) + b * (old[r, 0] - old[p, 0])
                    y[i, j] = old[p, 1] + a * (old[q, 1] - old[p, 1]) + b * (old[r, 1] - old[p, 1])
                    shade[i, j] = light[number]


@njit(cache=True, nogil=True)
def _move(old, new, triangles, points):  # type: ignore[no-untyped-def]  # numba infers
    """Move points (K, 2) with the triangle that each lies in."""
    for k in range(len(points)):
        x, y = points[k, 0], points[k, 1]
        for number in range(len(triangles)):
            p, q, r = triangles[number, 0], triangles[number, 1], triangles[number, 2]
            u, v = x - old[p, 0], y - old[p, 1]
            ax, ay = old[q, 0] - old[p, 0], old[q, 1] - old[p, 1]
            bx, by = old[r, 0] - old[p, 0], old[r, 1] - old[p, 1]
            area = ax * by - ay * bx
            if area == 0.0:
                continue
            a, b = (u * by - v * bx) / area, (v * ax - u * ay) / area
            if a >= -1e-12 and b >= -1e-12 and a + b <= 1.0 + 1e-12:
                points[k, 0] = new[p, 0] + a * (new[q, 0] - new[p, 0]) + b * (new[r, 0] - new[p, 0])
                points[k, 1] = new[p, 1] + a * (new[q, 1] - new[p, 1]) + b * (new[r, 1] - new[p, 1])
                break
