"""How far a variant is from its clean picture: MS-SSIM, and LPIPS where the weights of its backbone are at hand.

MS-SSIM: Wang, Simoncelli & Bovik, Asilomar 2003, with their five weights; SSIM constants K1 = 0.01, K2 = 0.03, a
Gaussian window of 11 x 11 with sigma 1.5, channels apart; contrast over windows that lie wholly inside the picture,
the coarsest scale's SSIM over all of it, mirrored at its border, as torchmetrics has it.
LPIPS: Zhang et al., CVPR 2018, by the `lpips` package.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Image

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales, finest first
WINDOW = 11  # pixels
SIGMA = 1.5  # pixels
RIM = WINDOW // 2
SMALLEST = WINDOW * 2 ** (len(WEIGHTS) - 1)  # shorter side from which all five scales hold a window
C1, C2 = 0.01**2, 0.03**2
BACKBONES = {  # of LPIPS: file that torchvision keeps under torch's hub folder
    "alex": "alexnet-owt-7be5be79.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
    "vgg": "vgg16-397923af.pth",
}

Plane = NDArray[np.float32]


def ms_ssim(one: Image, other: Image) -> float | None:
    """Return MS-SSIM of two pictures (H, W, 3) uint8, 1 for the same; None where the shorter side is under 176 pixels.

    >>> picture = np.random.default_rng(0).integers(0, 256, (200, 180, 3), dtype=np.uint8)
    >>> round(ms_ssim(picture, picture), 6)
    1.0
    """
    if one.shape != other.shape:
        raise InputError(f"MS-SSIM: expected two pictures of one size, got {one.shape} and {other.shape}")
    if min(one.shape[:2]) < SMALLEST:
        return None
    a, b = (picture.astype(np.float32) / np.float32(255) for picture in (one, other))
    product = np.ones(3)
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            a, b = _halved(a), _halved(b)
        luminance, contrast = _ssim_parts(a, b)
        last = scale == len(WEIGHTS) - 1
        part = luminance if last else contrast
        product *= np.maximum(part, 0.0) ** weight
    return float(product.mean())


def _halved(picture: Plane) -> Plane:
    """Average blocks of 2x2; an odd last row or column is left off."""
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    whole = picture[: 2 * height, : 2 * width]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)


def _ssim_parts(a: Plane, b: Plane) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (3,) mean SSIM and mean contrast-structure term of each channel."""
    mean_a, mean_b = _windowed(a), _windowed(b)
    shared = 2 * (_windowed(a * b) - mean_a * mean_b) + C2
    spread = _windowed(a * a) - mean_a * mean_a + _windowed(b * b) - mean_b * mean_b + C2
    contrast = shared / spread
    light = (2 * mean_a * mean_b + C1) / (mean_a * mean_a + mean_b * mean_b + C1)
    inside = contrast[RIM:-RIM, RIM:-RIM] if min(contrast.shape[:2]) > 2 * RIM else contrast
    return (light * contrast).mean(axis=(0, 1), dtype=np.float64), inside.mean(axis=(0, 1), dtype=np.float64)


def _windowed(picture: Plane) -> Plane:
    """Return Gaussian means around each pixel."""
    return cv2.GaussianBlur(picture, (WINDOW, WINDOW), SIGMA, borderType=cv2.BORDER_REFLECT_101)


def lpips_backbone(net: str = "alex") -> Path:
    """Return where the weights of a backbone of LPIPS are looked for."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / BACKBONES[net]


def lpips_distance(net: str = "alex") -> Callable[[Image, Image], float]:
    """Return LPIPS as a function of two pictures; raises where the backbone is not there, and says where to put it."""
    weights = lpips_backbone(net)
    if not weights.is_file():
        raise InputError(
            f"LPIPS needs {weights.name}, which is not at {weights}: put it there "
            f"(https://download.pytorch.org/models/{weights.name}), then run it again"
        )
    return _LPIPS(net)


class _LPIPS:
    def __init__(self, net: str) -> None:
        import warnings

        import lpips

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # lpips calls torchvision by names that it will drop
            self.model = lpips.LPIPS(net=net, verbose=False).eval()

    def __call__(self, one: Image, other: Image) -> float:
        import torch

        pair = [
            torch.from_numpy(np.ascontiguousarray(p)).permute(2, 0, 1)[None].float() / 127.5 - 1 for p in (one, other)
        ]
        with torch.inference_mode():
            return float(self.model(*pair))
