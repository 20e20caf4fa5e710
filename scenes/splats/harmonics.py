"""Colour by direction: real spherical harmonics up to degree 3, after Sloan (2013), in the order and signs of 3DGS.

A colour is max(0, sum of basis times coefficient + 0.5), as in gsplat and the original CUDA code.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from scenes.splats.threads import each, split

Array = NDArray[Any]
MAX_DEGREE = 3
C0 = 0.28209479177387814  # sqrt(1 / pi) / 2
C1 = 0.4886025119029199  # sqrt(3 / pi) / 2
C2 = (1.0925484305920792, 0.31539156525252005, 0.5462742152960396)
C3 = (0.5900435899266435, 2.890611442640554, 0.4570457994644658, 0.3731763325901154, 1.445305721320277)
C2A, C2B, C2C = C2
C3A, C3B, C3C, C3D, C3E = C3


@njit(cache=True, nogil=True)
def _basis(degree: int, x: float, y: float, z: float, out: Array) -> None:
    """Write the (degree + 1)^2 basis functions at a unit direction."""
    out[0] = C0
    if degree < 1:
        return
    out[1], out[2], out[3] = -C1 * y, C1 * z, -C1 * x
    if degree < 2:
        return
    xx, yy, zz = x * x, y * y, z * z
    out[4], out[5], out[6] = C2A * x * y, -C2A * y * z, C2B * (2 * zz - xx - yy)
    out[7], out[8] = -C2A * x * z, C2C * (xx - yy)
    if degree < 3:
        return
    out[9], out[10], out[11] = -C3A * y * (3 * xx - yy), C3B * x * y * z, -C3C * y * (4 * zz - xx - yy)
    out[12], out[13] = C3D * z * (2 * zz - 3 * xx - 3 * yy), -C3C * x * (4 * zz - xx - yy)
    out[14], out[15] = C3E * z * (xx - yy), -C3A * x * (xx - 3 * yy)


@njit(cache=True, nogil=True)
def _gradient(degree: int, x: float, y: float, z: float, w: Array) -> Any:
    """Return the gradient over x, y, z of the sum of w[k] times basis k (as polynomials, before normalising)."""
    gx = gy = gz = 0.0
    if degree > 0:
        gx, gy, gz = -C1 * w[3], -C1 * w[1], C1 * w[2]
    if degree > 1:
        gx += C2A * (y * w[4] - z * w[7]) - 2 * C2B * x * w[6] + 2 * C2C * x * w[8]
        gy += C2A * (x * w[4] - z * w[5]) - 2 * C2B * y * w[6] - 2 * C2C * y * w[8]
        gz += -C2A * (y * w[5] + x * w[7]) + 4 * C2B * z * w[6]
    if degree > 2:
        xx, yy, zz, xy, xz, yz = x * x, y * y, z * z, x * y, x * z, y * z
        gx += -6 * C3A * xy * w[9] + C3B * yz * w[10] + 2 * C3C * xy * w[11] - 6 * C3D * xz * w[12]
        gx += -C3C * (4 * zz - 3 * xx - yy) * w[13] + 2 * C3E * xz * w[14] - 3 * C3A * (xx - yy) * w[15]
        gy += -3 * C3A * (xx - yy) * w[9] + C3B * xz * w[10] - C3C * (4 * zz - xx - 3 * yy) * w[11]
        gy += -6 * C3D * yz * w[12] + 2 * C3C * xy * w[13] - 2 * C3E * yz * w[14] + 6 * C3A * xy * w[15]
        gz += C3B * xy * w[10] - 8 * C3C * yz * w[11] + 3 * C3D * (2 * zz - xx - yy) * w[12]
        gz += -8 * C3C * xz * w[13] + C3E * (xx - yy) * w[14]
    return gx, gy, gz


@njit(cache=True, nogil=True, error_model="numpy")
def colour_kernel(
    first: int, last: int,
    degree: int,
    means: Array,  # (N, 3) world
    eye: Array,  # (3,) camera centre in the world
    coefficients: Array,  # (N, K, 3), K >= (degree + 1)^2
    radii: Array,  # (N,) 0 = not in view
    colors: Array,  # out (N, 3)
) -> None:  # fmt: skip
    """Give the Gaussians in view their colour as seen from `eye`."""
    basis = np.zeros(16)
    bases = (degree + 1) * (degree + 1)
    for n in range(first, last):
        red = green = blue = 0.0
        if radii[n] > 0:
            x, y, z = means[n, 0] - eye[0], means[n, 1] - eye[1], means[n, 2] - eye[2]
            length = max(math.sqrt(x * x + y * y + z * z), 1e-12)
            _basis(degree, x / length, y / length, z / length, basis)
            red = green = blue = 0.5
            for k in range(bases):
                red += basis[k] * coefficients[n, k, 0]
                green += basis[k] * coefficients[n, k, 1]
                blue += basis[k] * coefficients[n, k, 2]
        colors[n, 0], colors[n, 1], colors[n, 2] = max(red, 0.0), max(green, 0.0), max(blue, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def colour_back_kernel(
    first: int, last: int,
    degree: int, means: Array, eye: Array, coefficients: Array, radii: Array, colors: Array,
    g_colors: Array,  # (N, 3) gradient
    g_means: Array, g_coefficients: Array,  # out, added to
) -> None:  # fmt: skip
    """Carry gradients back through `colour_kernel`; a channel that was cut off at 0 has none."""
    basis, weights = np.zeros(16), np.zeros(16)
    bases = (degree + 1) * (degree + 1)
    for n in range(first, last):
        if radii[n] == 0:
            continue
        red = g_colors[n, 0] if colors[n, 0] > 0 else 0.0
        green = g_colors[n, 1] if colors[n, 1] > 0 else 0.0
        blue = g_colors[n, 2] if colors[n, 2] > 0 else 0.0
        if red == 0 and green == 0 and blue == 0:
            continue
        x, y, z = means[n, 0] - eye[0], means[n, 1] - eye[1], means[n, 2] - eye[2]
        length = max(math.sqrt(x * x + y * y + z * z), 1e-12)
        x, y, z = x / length, y / length, z / length
        _basis(degree, x, y, z, basis)
        for k in range(bases):
            g_coefficients[n, k, 0] += basis[k] * red
            g_coefficients[n, k, 1] += basis[k] * green
            g_coefficients[n, k, 2] += basis[k] * blue
            weights[k] = coefficients[n, k, 0] * red + coefficients[n, k, 1] * green + coefficients[n, k, 2] * blue
        gx, gy, gz = _gradient(degree, x, y, z, weights)
        along = gx * x + gy * y + gz * z
        g_means[n, 0] += (gx - along * x) / length
        g_means[n, 1] += (gy - along * y) / length
        g_means[n, 2] += (gz - along * z) / length


class Colour(torch.autograd.Function):
    """(means (N, 3), coefficients (N, K, 3)) seen from eyes (C, 3) -> colours (C, N, 3), at least 0."""

    @staticmethod
    def forward(
        ctx: Any, means: torch.Tensor, coefficients: torch.Tensor, radii: torch.Tensor, eyes: Array, degree: int
    ) -> torch.Tensor:
        coefficients = coefficients.contiguous()
        colors = means.new_empty((len(radii), len(means), 3))
        inputs = [t.detach().contiguous().numpy() for t in (means, coefficients)]
        for c in range(len(radii)):
            arrays = (degree, inputs[0], eyes[c], inputs[1], radii[c].numpy(), colors[c].numpy())
            each(colour_kernel, split(len(means)), *arrays)
        ctx.save_for_backward(means, coefficients, radii, colors)
        ctx.eyes, ctx.degree = eyes, degree
        return colors

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        means, coefficients, radii, colors = (t.detach().contiguous() for t in ctx.saved_tensors)
        g_means, g_coefficients = torch.zeros_like(means), torch.zeros_like(coefficients)
        given = grads[0].contiguous()
        for c in range(len(radii)):
            seen = (means.numpy(), ctx.eyes[c], coefficients.numpy(), radii[c].numpy(), colors[c].numpy())
            arrays = (*seen, given[c].numpy(), g_means.numpy(), g_coefficients.numpy())
            each(colour_back_kernel, split(len(means)), ctx.degree, *arrays)
        return g_means, g_coefficients, None, None, None
