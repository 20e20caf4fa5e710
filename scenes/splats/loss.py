"""What a fit makes small: 0.8 L1 + 0.2 (1 - SSIM), as 3DGS (Kerbl et al. 2023, eq. 7); and the PSNR it reports.

SSIM after Wang et al. (2004): Gaussian window of 11 pixels and deviation 1.5, zeros beyond the picture, its gradient
written out (the window is symmetric, so that carrying a gradient back through it is to apply it again).
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
SSIM_WEIGHT = 0.2
C1, C2 = 0.01**2, 0.03**2
WINDOW, DEVIATION = 11, 1.5


def blur(image: Array) -> Array:
    """Apply the window to (H, W, 3)."""
    taps = cv2.getGaussianKernel(WINDOW, DEVIATION, cv2.CV_32F if image.dtype == np.float32 else cv2.CV_64F)
    out: Array = cv2.sepFilter2D(image, -1, taps, taps, borderType=cv2.BORDER_CONSTANT)
    return out


@njit(cache=True, nogil=True)
def _similarity(
    mean_x: Array, mean_y: Array, xx: Array, yy: Array, xy: Array,  # flat, blurred
    by_mean: Array, by_xx: Array, by_xy: Array,  # out: derivatives of SSIM by the blurred x, xx and xy
) -> float:  # fmt: skip
    """Return the sum of SSIM over all pixels and channels."""
    total = 0.0
    for i in range(len(mean_x)):
        mx, my = mean_x[i], mean_y[i]
        a1, a2 = 2 * mx * my + C1, 2 * (xy[i] - mx * my) + C2
        b1, b2 = mx * mx + my * my + C1, xx[i] - mx * mx + yy[i] - my * my + C2
        ssim = a1 * a2 / (b1 * b2)
        total += ssim
        d_xx, d_xy = -ssim / b2, 2 * a1 / (b1 * b2)
        by_mean[i] = 2 * my * a2 / (b1 * b2) - 2 * mx * ssim / b1 - 2 * mx * d_xx - my * d_xy
        by_xx[i], by_xy[i] = d_xx, d_xy
    return total


class Photometric(torch.autograd.Function):
    """Loss of a picture (H, W, 3) against the photo it should be; scalar."""

    @staticmethod
    def forward(ctx: Any, picture: torch.Tensor, photo: Array) -> torch.Tensor:
        x = np.ascontiguousarray(picture.detach().numpy())
        blurred = [blur(image) for image in (x, photo, x * x, photo * photo, x * photo)]
        slopes = [np.empty_like(x) for _ in range(3)]
        ssim = _similarity(*(image.reshape(-1) for image in (*blurred, *slopes))) / x.size
        difference = x - photo
        back = blur(slopes[0]) + 2 * x * blur(slopes[1]) + photo * blur(slopes[2])
        ctx.slope = ((1 - SSIM_WEIGHT) * np.sign(difference) - SSIM_WEIGHT * back) / x.size
        value = (1 - SSIM_WEIGHT) * float(np.abs(difference).mean()) + SSIM_WEIGHT * (1 - ssim)
        return picture.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return torch.from_numpy(ctx.slope).to(grads[0].dtype) * grads[0], None


def photometric(picture: torch.Tensor, photo: Array) -> torch.Tensor:
    """Return 0.8 L1 + 0.2 (1 - SSIM) of (H, W, 3) pictures in [0, 1]."""
    if picture.is_cuda:
        return photometric_twin(picture, torch.from_numpy(photo).to(picture.device))
    return Photometric.apply(picture, photo)


def photometric_twin(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the same in plain torch: the readable twin, and what CUDA tensors go through."""
    taps = torch.exp(-0.5 * ((torch.arange(WINDOW, device=x.device) - WINDOW // 2) / DEVIATION) ** 2).to(x.dtype)
    window = torch.outer(taps, taps) / taps.sum() ** 2

    def mean(image: torch.Tensor) -> torch.Tensor:
        planes = image.permute(2, 0, 1)[:, None]
        return torch.nn.functional.conv2d(planes, window[None, None], padding=WINDOW // 2)

    mx, my = mean(x), mean(y)
    xx, yy, xy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    ssim = (2 * mx * my + C1) * (2 * xy + C2) / ((mx * mx + my * my + C1) * (xx + yy + C2))
    return (1 - SSIM_WEIGHT) * (x - y).abs().mean() + SSIM_WEIGHT * (1 - ssim.mean())


def psnr(picture: Array, photo: Array) -> float:
    """Return the peak signal-to-noise ratio in dB of pictures in [0, 1]; equal ones have 100."""
    error = float(np.mean(np.square(np.asarray(picture, np.float64) - photo)))
    return min(100.0, -10 * math.log10(max(error, 1e-10)))
