"""Rendered pictures to 8 bits, and fog before what they show."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.edits import SetFog
from scenes.sample import Image
from scenes.splats.editing import to_linear, to_srgb


def to_image(picture: NDArray[np.floating[Any]]) -> Image:
    """Return (H, W, 3) uint8 of values in [0, 1]."""
    image: Image = np.rint(255 * picture.clip(0, 1)).astype(np.uint8)
    return image


def fogged(
    picture: NDArray[np.float32], depth: NDArray[np.float32], camera: Camera, fog: SetFog
) -> NDArray[np.float32]:
    """Put fog before the picture: Koschmieder (1924) along each ray, in linear light; unknown depth counts as far."""
    length = np.linalg.norm(camera.rays(), axis=2)
    distance = np.where(np.isnan(depth), np.inf, depth) * length
    left = torch.from_numpy(np.exp(math.log(0.05) * distance / fog.visibility_m))[..., None]
    linear = to_linear(torch.from_numpy(picture.clip(0, 1)).double()) * left + fog.airlight * (1 - left)
    return to_srgb(linear.clamp(0, 1)).float().numpy()
