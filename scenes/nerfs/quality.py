"""How near a NeRF's pictures are to photographs: PSNR, SSIM and LPIPS by torchmetrics, as nerfstudio measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scenes.nerfs.model import NoLpips
from scenes.sample import Sample
from scenes.splats.loss import psnr

SMALLEST = 11  # pixels a side: the window of SSIM
SMALLEST_LPIPS = 31  # pixels a side that AlexNet's poolings leave something of


@dataclass(frozen=True)
class Quality:
    """PSNR (dB), SSIM (None below 11 pixels a side), LPIPS (None where its backbone is not at hand)."""

    psnr_db: float
    ssim: float | None
    lpips: float | None


def measure(model: Any, picture: NDArray[np.float32], truth: Sample) -> Quality:
    """Compare a picture (H, W, 3) in [0, 1] with a photograph."""
    wanted = truth.image / 255.0
    one, other = (torch.from_numpy(np.float32(p)).permute(2, 0, 1)[None] for p in (picture, wanted))
    side = min(truth.width, truth.height)
    from torchmetrics.functional.image import structural_similarity_index_measure

    with torch.no_grad():
        ssim = float(structural_similarity_index_measure(one, other, data_range=1.0)) if side >= SMALLEST else None
        device = next(iter(model.parameters())).device
        known = not isinstance(model.lpips, NoLpips) and side >= SMALLEST_LPIPS
        lpips = float(model.lpips(one.to(device), other.to(device))) if known else None
    return Quality(psnr(picture, wanted), ssim, lpips)
