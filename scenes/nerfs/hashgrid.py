"""The multi-resolution hash grid of Müller et al. (Instant-NGP, 2022) on CPU, in place of nerfstudio's torch version.

nerfstudio's `HashEncoding.pytorch_fwd` is the readable twin: the same numbers come out, six times as fast forwards and
fifteen times with the gradient. Gradients go to the table alone, not to the points: who fits cameras or normals needs
the twin. Letters: N points, L levels, F = 2 features of a level.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from scenes.splats.threads import each, split

Array = NDArray[Any]
PRIME_Y, PRIME_Z = np.uint32(2654435761), np.uint32(805459861)  # Instant-NGP, equation 4; x is taken as it is
FEATURES = 2
ONE, TWO = np.uint32(1), np.uint32(2)


@njit(cache=True, nogil=True, inline="always")
def _corner(points: Array, n: int, scale: Any, one: Any) -> Any:
    """Return the lower corner of the cell around a point (three uint32) and the place within it (three in [0, 1))."""
    x, y, z = points[n, 0] * scale, points[n, 1] * scale, points[n, 2] * scale
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    return np.uint32(fx), np.uint32(fy), np.uint32(fz), x - fx, y - fy, z - fz, one - (x - fx)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def encode_kernel(
    first: int, last: int,
    points: Array,  # (N, 3) in [0, 1]
    table: Array,  # (L * size, 2)
    scales: Array,  # (L,) cells along an axis
    mask: Any,  # uint32, size - 1; size is a power of two
    one: Any,
    out: Array,  # out (N, L * 2)
) -> None:  # fmt: skip
    """Interpolate the features of the eight corners around points `first` to `last`, level by level."""
    for level in range(len(scales)):
        base = np.uint32(level) * (mask + ONE)
        at = 2 * level
        for n in range(first, last):
            x, y, z, u, v, w, left = _corner(points, n, scales[level], one)
            y0, z0 = y * PRIME_Y, z * PRIME_Z
            y1, z1 = y0 + PRIME_Y, z0 + PRIME_Z
            a = b = one - one
            for yz, share in (
                (y0 ^ z0, (one - v) * (one - w)), (y1 ^ z0, v * (one - w)),
                (y0 ^ z1, (one - v) * w), (y1 ^ z1, v * w),
            ):  # fmt: skip
                i, j = base + ((x ^ yz) & mask), base + (((x + ONE) ^ yz) & mask)
                a += share * (left * table[i, 0] + u * table[j, 0])
                b += share * (left * table[i, 1] + u * table[j, 1])
            out[n, at], out[n, at + 1] = a, b


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def gradient_kernel(
    first: int, last: int, part: int, points: Array, scales: Array, mask: Any, one: Any,
    above: Array,  # (N, L * 2) gradient of what was encoded
    out: Array,  # (parts, L * size, 2) gradient of the table, added to
) -> None:  # fmt: skip
    """Give every corner its share of the gradients of points `first` to `last`."""
    for level in range(len(scales)):
        base = np.uint32(level) * (mask + ONE)
        at = 2 * level
        for n in range(first, last):
            a, b = above[n, at], above[n, at + 1]
            x, y, z, u, v, w, left = _corner(points, n, scales[level], one)
            y0, z0 = y * PRIME_Y, z * PRIME_Z
            y1, z1 = y0 + PRIME_Y, z0 + PRIME_Z
            for yz, share in (
                (y0 ^ z0, (one - v) * (one - w)), (y1 ^ z0, v * (one - w)),
                (y0 ^ z1, (one - v) * w), (y1 ^ z1, v * w),
            ):  # fmt: skip
                i, j = base + ((x ^ yz) & mask), base + (((x + ONE) ^ yz) & mask)
                out[part, i, 0] += share * left * a
                out[part, i, 1] += share * left * b
                out[part, j, 0] += share * u * a
                out[part, j, 1] += share * u * b


class Encode(torch.autograd.Function):
    """points (N, 3) in [0, 1], table (L * size, 2), scales (L,) -> features (N, L * 2); no gradient of the points."""

    @staticmethod
    def forward(ctx: Any, points: torch.Tensor, table: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(points, scales)
        ctx.rows = len(table)
        places, cells = _plain(points), _plain(scales)
        values, out = _plain(table), np.empty((len(places), FEATURES * len(cells)), np.float32)
        mask = np.uint32(ctx.rows // len(cells) - 1)
        each(encode_kernel, split(len(places)), places, values, cells, mask, np.float32(1), out)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *above: torch.Tensor) -> tuple[None, torch.Tensor, None]:
        points, scales = ctx.saved_tensors
        places, cells, steep = _plain(points), _plain(scales), _plain(above[0])
        parts = split(len(places))
        out = np.zeros((len(parts), ctx.rows, FEATURES), np.float32)
        mask = np.uint32(ctx.rows // len(cells) - 1)
        runs = [(first, last, part) for part, (first, last) in enumerate(parts)]
        each(gradient_kernel, runs, places, cells, mask, np.float32(1), steep, out)
        return None, torch.from_numpy(out[0] if len(parts) == 1 else out.sum(axis=0)), None


def _plain(values: torch.Tensor) -> Array:
    return np.ascontiguousarray(values.detach().numpy(), np.float32)


def accelerate(model: torch.nn.Module) -> int:
    """Put faster twins behind every hash grid and contraction of a model on torch's operations; return how many."""
    from nerfstudio.field_components.encodings import HashEncoding
    from nerfstudio.field_components.spatial_distortions import SceneContraction

    done = 0
    for module in list(model.modules()):
        if isinstance(module, HashEncoding) and module.tcnn_encoding is None and module.features_per_level == FEATURES:
            module.pytorch_fwd = _Fast(module)
            done += 1
        elif isinstance(module, SceneContraction) and module.order == float("inf"):
            module.forward = contracted
            done += 1
    return done


def contracted(places: torch.Tensor) -> torch.Tensor:
    """Return places (..., 3) drawn into the cube of half side 2 (Mip-NeRF 360, equation 10, with the maximum norm)."""
    size = places.abs().amax(dim=-1, keepdim=True)
    safe = size.clamp(min=1.0)
    return torch.where(size < 1, places, (2 - 1 / safe) * (places / safe))


class _Fast:
    """What stands in for `pytorch_fwd` of one grid."""

    def __init__(self, grid: Any) -> None:
        self._grid = (grid,)  # in a tuple: the grid must not become a child of what it holds

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        (grid,) = self._grid
        flat = Encode.apply(points.reshape(-1, 3), grid.hash_table, grid.scalings)
        return flat.reshape(*points.shape[:-1], -1)
