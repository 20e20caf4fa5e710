"""Gaussians to pixels, front to back: colour, depth, alpha and the strongest Gaussian of each pixel in one pass.

alpha = min(0.999, opacity exp(-sigma)), skipped below 1/255; a pixel is full before its transmittance falls to 1e-4
(constants of 3DGS and gsplat). Channels go through in groups of four, each of which is a pass of its own.

What the kernels look like is for the vectoriser of LLVM: per tile one flat scratch array with constant offsets,
unsigned indices, masks as arithmetic. Arithmetic stays in the type of the arrays: constants come in as `numbers`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from scenes.splats.threads import balance, count, each, split
from scenes.splats.tiles import TILE, Tiles

Array = NDArray[Any]
GROUP = 4  # channels a pass
GRADIENTS = 6 + GROUP  # mean x, y, conic xx, xy, yy, opacity, channels
PIXELS = np.uint64(TILE * TILE)
FAST = {"contract", "reassoc", "nsz", "arcp"}  # sums may be reordered; infinities and NaN keep their meaning
CHECK_EVERY = 16  # Gaussians between two looks at whether the tile is full

# offsets into the scratch array of a tile
X, Y, LIVE, LEFT, SUM0, SUM1, SUM2, SUM3, BEST, BEST_AT = (np.uint64(TILE * TILE * k) for k in range(10))
BEHIND = BEST  # in the backward pass
SCRATCH = 10 * TILE * TILE

ALPHA_MAX, ALPHA_MIN, LEFT_MIN, SIGMA_MAX = 0.999, 1.0 / 255.0, 1e-4, 6.0


def numbers_of(dtype: Any) -> Array:
    """Return the constants of the kernels in their type: 0, 1/2, 1, the limits, and those of exp(-x) (see `_falls`)."""
    series = [(-1 / 16) ** k / math.factorial(k) for k in range(8)]
    return np.array([0.0, 0.5, 1.0, ALPHA_MAX, ALPHA_MIN, LEFT_MIN, SIGMA_MAX, 0.0, *series], dtype)


@njit(cache=True, nogil=True, inline="always")
def _start(scratch: Array, numbers: Array) -> None:
    """Set a tile's pixels to empty, and their centres relative to its corner."""
    for i in range(TILE * TILE):
        scratch[X + np.uint64(i)], scratch[Y + np.uint64(i)] = (i % TILE) + 0.5, (i // TILE) + 0.5
    scratch[LIVE : LEFT + PIXELS] = numbers[2]
    scratch[LEFT + PIXELS :] = numbers[0]


@njit(cache=True, nogil=True, inline="always")
def _rows(y: float, high: float) -> Any:
    """Return the first and last pixel of the tile, half-open, in the rows whose centres lie within y +- high."""
    top = min(max(math.ceil(y - high - 0.5), 0), TILE)
    bottom = min(max(math.floor(y + high - 0.5) + 1, top), TILE)
    return np.uint64(top * TILE), np.uint64(bottom * TILE)


@njit(cache=True, nogil=True)
def _write(
    start: int, corner_x: int, corner_y: int, width: int, height: int, group: int,
    scratch: Array, entries: Array, background: Array,
    out: Array, left_out: Array, best: Array,
) -> None:  # fmt: skip
    """Write a finished tile to the pictures."""
    for v in range(corner_y, min(corner_y + TILE, height)):
        for u in range(corner_x, min(corner_x + TILE, width)):
            i = np.uint64((v - corner_y) * TILE + u - corner_x)
            left = scratch[LEFT + i]
            out[v, u, group] = scratch[SUM0 + i] + left * background[group]
            out[v, u, group + 1] = scratch[SUM1 + i] + left * background[group + 1]
            out[v, u, group + 2] = scratch[SUM2 + i] + left * background[group + 2]
            out[v, u, group + 3] = scratch[SUM3 + i] + left * background[group + 3]
            left_out[v, u] = left
            best[v, u] = entries[start + np.int64(scratch[BEST_AT + i])] if scratch[BEST + i] > 0 else -1


@njit(cache=True, nogil=True)
def _read(
    corner_x: int, corner_y: int, width: int, height: int, group: int,
    g_out: Array, g_alpha: Array, out: Array, left_out: Array,
    scratch: Array,
) -> None:  # fmt: skip
    """Put the gradients of a tile's pixels where the sums were, and the whole sum R (see `backward_kernel`) beside."""
    for v in range(corner_y, min(corner_y + TILE, height)):
        for u in range(corner_x, min(corner_x + TILE, width)):
            i = np.uint64((v - corner_y) * TILE + u - corner_x)
            g0, g1, g2, g3 = g_out[v, u, group], g_out[v, u, group + 1], g_out[v, u, group + 2], g_out[v, u, group + 3]
            scratch[SUM0 + i], scratch[SUM1 + i], scratch[SUM2 + i], scratch[SUM3 + i] = g0, g1, g2, g3
            whole = g0 * out[v, u, group] + g1 * out[v, u, group + 1]
            whole += g2 * out[v, u, group + 2] + g3 * out[v, u, group + 3]
            scratch[BEHIND + i] = whole - g_alpha[v, u] * left_out[v, u]


@njit(cache=True, nogil=True, inline="always")
def _full(scratch: Array, zero: float) -> bool:
    """Tell whether every pixel of the tile is full."""
    alive = zero
    for k in range(PIXELS):
        alive += scratch[LIVE + k]
    return alive == zero


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def forward_kernel(
    first: int, last: int,  # tiles
    flat: Array, features: Array, group: int,  # (M, 8), (M, channels), first channel of the group
    starts: Array, entries: Array, columns: int, width: int, height: int,
    background: Array, numbers: Array,
    out: Array, left_out: Array, best: Array,  # (H, W, channels), (H, W) transmittance, (H, W) row of `flat` or -1
) -> None:  # fmt: skip
    """Composite tiles `first` to `last`."""
    scratch = np.empty(SCRATCH, flat.dtype)
    zero, half, most = numbers[0], numbers[1], numbers[3]
    least, full, far = numbers[4], numbers[5], numbers[6]
    e0, e1, e2, e3, e4, e5, e6, e7 = (numbers[8], numbers[9], numbers[10], numbers[11], numbers[12], numbers[13],
                                      numbers[14], numbers[15])  # fmt: skip
    for tile in range(first, last):
        _start(scratch, numbers)
        corner_x, corner_y = (tile % columns) * TILE, (tile // columns) * TILE
        for at in range(starts[tile], starts[tile + 1]):
            m = entries[at]
            x, y = flat[m, 0] - np.float32(corner_x), flat[m, 1] - np.float32(corner_y)
            a, b, c, opacity = half * flat[m, 2], flat[m, 3], half * flat[m, 4], flat[m, 5]
            f0, f1, f2, f3 = features[m, group], features[m, group + 1], features[m, group + 2], features[m, group + 3]
            label = np.float32(at - starts[tile])
            i0, i1 = _rows(y, flat[m, 6])
            for i in range(i0, i1):
                dx, dy = scratch[X + i] - x, scratch[Y + i] - y
                sigma = a * dx * dx + c * dy * dy + b * dx * dy
                s = min(sigma, far)
                e = e0 + s * (e1 + s * (e2 + s * (e3 + s * (e4 + s * (e5 + s * (e6 + s * e7))))))
                e *= e
                e *= e
                e *= e
                e *= e
                alpha = min(most, opacity * e)
                alpha = alpha * scratch[LIVE + i] if (alpha >= least) & (sigma >= zero) else zero
                left = scratch[LEFT + i]
                weight, after = alpha * left, left - alpha * left
                kept = after > full
                weight = weight if kept else zero
                scratch[LIVE + i] = scratch[LIVE + i] if kept else zero
                scratch[LEFT + i] = after if kept else left
                scratch[SUM0 + i] += weight * f0
                scratch[SUM1 + i] += weight * f1
                scratch[SUM2 + i] += weight * f2
                scratch[SUM3 + i] += weight * f3
                stronger = weight > scratch[BEST + i]
                scratch[BEST_AT + i] = label if stronger else scratch[BEST_AT + i]
                scratch[BEST + i] = weight if stronger else scratch[BEST + i]
            if (at - starts[tile]) % CHECK_EVERY == CHECK_EVERY - 1 and _full(scratch, zero):
                break
        _write(
            starts[tile], corner_x, corner_y, width, height, group, scratch, entries, background, out, left_out, best
        )


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def backward_kernel(
    part: int, first: int, last: int,  # which sum of `sums` to add to, tiles
    flat: Array, features: Array, group: int,
    starts: Array, entries: Array, columns: int, width: int, height: int,
    numbers: Array,
    out: Array, left_out: Array,  # what `forward_kernel` returned
    g_out: Array, g_alpha: Array,  # (H, W, channels), (H, W) gradients; alpha is 1 - transmittance
    sums: Array,  # (parts, M, 10) out, added to
) -> None:  # fmt: skip
    """Carry gradients back through `forward_kernel`, front to back once more.

    With w the weights, g the gradient of the pixel times the features of a Gaussian and R the sum of w g over all
    behind it (the background among them), the gradient of its alpha is T g - R / (1 - alpha). R starts whole.
    """
    scratch = np.empty(SCRATCH, flat.dtype)
    zero, half, one, most = numbers[0], numbers[1], numbers[2], numbers[3]
    least, full, far = numbers[4], numbers[5], numbers[6]
    e0, e1, e2, e3, e4, e5, e6, e7 = (numbers[8], numbers[9], numbers[10], numbers[11], numbers[12], numbers[13],
                                      numbers[14], numbers[15])  # fmt: skip
    for tile in range(first, last):
        if starts[tile] == starts[tile + 1]:
            continue
        _start(scratch, numbers)
        corner_x, corner_y = (tile % columns) * TILE, (tile // columns) * TILE
        _read(corner_x, corner_y, width, height, group, g_out, g_alpha, out, left_out, scratch)
        for at in range(starts[tile], starts[tile + 1]):
            m = entries[at]
            x, y = flat[m, 0] - np.float32(corner_x), flat[m, 1] - np.float32(corner_y)
            a, b, c, opacity = half * flat[m, 2], flat[m, 3], half * flat[m, 4], flat[m, 5]
            f0, f1, f2, f3 = features[m, group], features[m, group + 1], features[m, group + 2], features[m, group + 3]
            t0 = t1 = t2 = t3 = t = tx = ty = txx = txy = tyy = zero
            i0, i1 = _rows(y, flat[m, 6])
            for i in range(i0, i1):
                dx, dy = scratch[X + i] - x, scratch[Y + i] - y
                sigma = a * dx * dx + c * dy * dy + b * dx * dy
                s = min(sigma, far)
                e = e0 + s * (e1 + s * (e2 + s * (e3 + s * (e4 + s * (e5 + s * (e6 + s * e7))))))
                e *= e
                e *= e
                e *= e
                e *= e
                raw = opacity * e
                alpha = min(most, raw)
                alpha = alpha * scratch[LIVE + i] if (alpha >= least) & (sigma >= zero) else zero
                left = scratch[LEFT + i]
                weight, after = alpha * left, left - alpha * left
                kept = after > full
                alpha = alpha if kept else zero
                weight = weight if kept else zero
                scratch[LIVE + i] = scratch[LIVE + i] if kept else zero
                scratch[LEFT + i] = after if kept else left
                g0, g1, g2, g3 = scratch[SUM0 + i], scratch[SUM1 + i], scratch[SUM2 + i], scratch[SUM3 + i]
                g = f0 * g0 + f1 * g1 + f2 * g2 + f3 * g3
                behind = scratch[BEHIND + i] - weight * g
                scratch[BEHIND + i] = behind
                # gradient of the logarithm of alpha, which is that of -sigma; none where alpha is cut off at its most
                h = weight * g - alpha * behind / (one - alpha)
                h = h if raw <= most else zero
                t0 += weight * g0
                t1 += weight * g1
                t2 += weight * g2
                t3 += weight * g3
                hx, hy = h * dx, h * dy
                t += h
                tx += hx
                ty += hy
                txx += hx * dx
                txy += hx * dy
                tyy += hy * dy
            total = sums[part, m]
            total[0] += flat[m, 2] * tx + b * ty
            total[1] += b * tx + flat[m, 4] * ty
            total[2] -= half * txx
            total[3] -= txy
            total[4] -= half * tyy
            total[5] += t / opacity
            total[6] += t0
            total[7] += t1
            total[8] += t2
            total[9] += t3
            if (at - starts[tile]) % CHECK_EVERY == CHECK_EVERY - 1 and _full(scratch, zero):
                break


@njit(cache=True, nogil=True)
def scatter_kernel(
    first: int, last: int, order: Array, sums: Array, group: int,
    g_means2d: Array, g_conics: Array, g_opacities: Array, g_features: Array,  # out, over all N, added to
) -> None:  # fmt: skip
    """Add up the parts of `sums`, from depth order back to the order of the Gaussians."""
    for m in range(first, last):
        n = order[m]
        for part in range(len(sums)):
            one = sums[part, m]
            g_means2d[n, 0] += one[0]
            g_means2d[n, 1] += one[1]
            g_conics[n, 0] += one[2]
            g_conics[n, 1] += one[3]
            g_conics[n, 2] += one[4]
            g_opacities[n] += one[5]
            for k in range(GROUP):
                g_features[n, group + k] += one[6 + k]


class Composite(torch.autograd.Function):
    """Of one camera: means2d (N, 2), conics (N, 3), opacities (N,), features (N, D) with D a multiple of four, and
    background (D,) -> picture (H, W, D), alpha (H, W), strongest Gaussian (H, W) int32, -1 where none."""

    @staticmethod
    def forward(
        ctx: Any, means2d: torch.Tensor, conics: torch.Tensor, opacities: torch.Tensor, features: torch.Tensor,
        background: Array, tiles: Tiles, width: int, height: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
        channels = features.shape[1]
        numbers = numbers_of(tiles.flat.dtype)
        sorted_features = features.detach().numpy()[tiles.order]
        picture = means2d.new_empty((height, width, channels))
        left = means2d.new_empty((height, width))
        best = torch.empty((height, width), dtype=torch.int32)
        parts = balance(np.diff(tiles.starts) + 8, 4 * count())
        for group in range(0, channels, GROUP):
            each(
                forward_kernel, parts, tiles.flat, sorted_features, group, tiles.starts, tiles.entries, tiles.columns,
                width, height, background, numbers, picture.numpy(), left.numpy(), best.numpy(),
            )  # fmt: skip
        ctx.save_for_backward(means2d, conics, opacities, features, picture, left)
        ctx.tiles, ctx.sorted_features, ctx.numbers = tiles, sorted_features, numbers
        ids = best.numpy()
        np.take(np.append(tiles.order, -1).astype(np.int32), ids, out=ids)
        ctx.mark_non_differentiable(best)
        return picture, 1 - left, best

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        means2d, conics, opacities, features, picture, left = (t.detach() for t in ctx.saved_tensors)
        g_picture, g_alpha = grads[0].contiguous().numpy(), grads[1].contiguous().numpy()
        tiles, numbers = ctx.tiles, ctx.numbers
        out = [means2d.new_zeros(t.shape) for t in (means2d, conics, opacities, features)]
        runs = [(i, *run) for i, run in enumerate(balance(np.diff(tiles.starts) + 8, count()))]
        height, width, channels = picture.shape
        for group in range(0, channels, GROUP):
            sums = np.zeros((len(runs), len(tiles.order), GRADIENTS), tiles.flat.dtype)
            each(
                backward_kernel, runs, tiles.flat, ctx.sorted_features, group, tiles.starts, tiles.entries,
                tiles.columns, width, height, numbers, picture.numpy(), left.numpy(), g_picture,
                g_alpha if group == 0 else np.zeros_like(g_alpha), sums,
            )  # fmt: skip
            each(scatter_kernel, split(len(tiles.order)), tiles.order, sums, group, *(t.numpy() for t in out))
        return (*out, None, None, None, None)
