"""What steers a ControlNet: the depth, segmentation or edges of a sample as the picture its training showed it."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from scenes.errors import InputError
from scenes.sample import Image, Sample

Control = Literal["", "depth", "segmentation", "edges"]
CONTROLS = ("", "depth", "segmentation", "edges")
CANNY = (100, 200)  # thresholds of the ControlNet authors' own example (Zhang et al., ICCV 2023)


def control_of(sample: Sample, kind: Control) -> Image | None:
    """Return (H, W, 3) uint8, None for no control; raises InputError where the sample lacks what it takes."""
    if kind == "":
        return None
    if kind == "edges":
        edges = cv2.Canny(cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY), *CANNY)
        return np.repeat(edges[..., None], 3, axis=2)
    if kind == "depth":
        if sample.depth is None:
            raise InputError(f"control depth: sample {sample.sample_id!r} has no depth")
        return _inverse(sample)
    segmentation = sample.annotations.segmentation
    if segmentation is None:
        raise InputError(f"control segmentation: sample {sample.sample_id!r} has no segmentation; use edges or depth")
    return colours(256)[np.asarray(segmentation, np.int64) % 256]


def _inverse(sample: Sample) -> Image:
    """Return inverse depth, near is white, between its 2nd and 98th percentile, as MiDaS gives it."""
    near = 1.0 / np.maximum(np.nan_to_num(np.asarray(sample.depth, np.float32), nan=np.inf), 1e-3)
    low, high = np.percentile(near, (2, 98))
    grey = np.clip((near - low) / max(high - low, 1e-9), 0, 1) * 255
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def colours(count: int) -> Image:
    """Return (count, 3): a colour for each class, by the bits of its number (the VOC colour map)."""
    index = np.arange(count, dtype=np.int64)
    table = np.zeros((count, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            table[:, channel] |= ((index >> channel) & 1) << (7 - bit)
        index = index >> 3
    return table.astype(np.uint8)
