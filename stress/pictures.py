"""Pictures of the evidence: frames, attention maps and error maps, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Image
from stress.folder import replacing
from stress.metrics.segmentation import IGNORED

SMALL_PX = 192 * 192  # pictures up to this are kept without loss
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]
WRONG, RIGHT = np.array([230, 70, 20], np.float32), np.array([40, 110, 190], np.float32)  # sRGB; told apart by all


def suffix(image: Image) -> str:
    """Return the suffix of a picture's file."""
    return ".png" if image.shape[0] * image.shape[1] <= SMALL_PX else ".jpg"


def write_picture(path: Path, image: Image | NDArray[np.uint8]) -> None:
    """Write a (H, W, 3) sRGB or (H, W) grey picture as its suffix says."""
    ordered = image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])
    done, data = cv2.imencode(path.suffix, ordered, JPEG if path.suffix == ".jpg" else [])
    if not done:
        raise ValueError(f"picture {path}: shape {image.shape} cannot be written")
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())


def map_picture(cam: NDArray[np.float32], scale: float) -> NDArray[np.uint8]:
    """Return an attention map (H, W) as grey codes, 255 = scale.

    >>> map_picture(np.array([[0.0, 2.0]], np.float32), 2.0).tolist()
    [[0, 255]]
    """
    if scale <= 0:
        return np.zeros(cam.shape, np.uint8)
    return np.rint(np.clip(cam / scale, 0.0, 1.0) * 255.0).astype(np.uint8)


def error_picture(image: Image, truth: NDArray[np.int32], predicted: NDArray[np.int32]) -> Image:
    """Return the picture with wrong pixels vermilion, right ones blue, and what is not evaluated in grey."""
    grey = np.repeat(image.mean(axis=2, keepdims=True, dtype=np.float32), 3, axis=2) * 0.6
    counted = truth != IGNORED
    colour = np.where((truth == predicted)[..., None], RIGHT, WRONG)
    mixed = np.where(counted[..., None], 0.45 * grey + 0.55 * colour, grey)
    picture: Image = np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
    return picture


def largest_region(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], tuple[float, float, float, float]] | None:
    """Return the largest connected region (8 neighbours) of a mask and its xyxy box; None where the mask is empty."""
    if not mask.any():
        return None
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    x, y, w, h = (float(v) for v in stats[best, :4])
    return labels == best, (x, y, x + w, y + h)


def plain_size(image: Image) -> list[Any]:
    """Return [width, height]."""
    return [int(image.shape[1]), int(image.shape[0])]
