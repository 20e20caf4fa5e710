"""How near a NeRF's pictures are to photographs: PSNR and SSIM as of every scene, LPIPS by nerfstudio's model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from scenes.fidelity import similarity
from scenes.nerfs.model import NoLpips
from scenes.sample import Image

SMALLEST_LPIPS = 31  # pixels a side that AlexNet's poolings leave something of


@dataclass(frozen=True)
class Quality:
    """PSNR (dB), SSIM, and LPIPS (None where its backbone is not at hand)."""

    psnr_db: float
    ssim: float
    lpips: float | None


def measure(model: Any, picture: Image, truth: Image) -> Quality:
    """Compare a picture (H, W, 3) with a photograph."""
    psnr_db, ssim = similarity(picture, truth)
    if isinstance(model.lpips, NoLpips) or min(truth.shape[:2]) < SMALLEST_LPIPS:
        return Quality(psnr_db, ssim, None)
    device = next(iter(model.parameters())).device
    one, other = (torch.from_numpy(np.float32(p / 255.0)).permute(2, 0, 1)[None].to(device) for p in (picture, truth))
    with torch.no_grad():
        return Quality(psnr_db, ssim, float(model.lpips(one, other)))
