"""Bring pictures to the size and numbers that a network was made for, and its answers back to the picture.

Letters: H, W of the picture; h, w of the network's input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Image


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Where a picture lies in an input of `size` (h, w): input x = picture x * scale x + offset x, in pixels from the
    corner of the picture, and likewise y."""

    picture: tuple[int, int]  # H, W
    size: tuple[int, int]  # h, w
    scale: tuple[float, float]  # x, y
    offset: tuple[int, int]  # x, y, pixels of padding left and above

    @classmethod
    def of(cls, picture: tuple[int, int], size: tuple[int, int] | None, fit: Literal["letterbox", "resize"]) -> Fit:
        """Letterbox keeps the aspect and pads evenly, as YOLO does; resize stretches; no size leaves it alone."""
        height, width = picture
        if size is None:
            return cls(picture=picture, size=picture, scale=(1.0, 1.0), offset=(0, 0))
        if fit == "resize":
            return cls(picture=picture, size=size, scale=(size[1] / width, size[0] / height), offset=(0, 0))
        factor = min(size[0] / height, size[1] / width)
        inner = (max(1, round(height * factor)), max(1, round(width * factor)))
        offset = ((size[1] - inner[1]) // 2, (size[0] - inner[0]) // 2)
        return cls(picture=picture, size=size, scale=(inner[1] / width, inner[0] / height), offset=offset)

    @property
    def inner(self) -> tuple[int, int]:
        """(rows, columns) that the picture covers in the input."""
        return round(self.picture[0] * self.scale[1]), round(self.picture[1] * self.scale[0])

    @property
    def window(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 of the picture inside the input, as shares of it."""
        (rows, columns), (x, y), (h, w) = self.inner, self.offset, self.size
        return x / w, y / h, (x + columns) / w, (y + rows) / h

    def apply(self, image: Image, pad: int) -> Image:
        """Return the input (h, w, 3) uint8."""
        rows, columns = self.inner
        if image.shape[:2] != (rows, columns):
            method = cv2.INTER_AREA if rows * columns < image.shape[0] * image.shape[1] else cv2.INTER_LINEAR
            image = cv2.resize(image, (columns, rows), interpolation=method)
        if (rows, columns) == self.size:
            return image
        filled = np.full((*self.size, 3), pad, np.uint8)
        filled[self.offset[1] : self.offset[1] + rows, self.offset[0] : self.offset[0] + columns] = image
        return filled

    def boxes_back(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (N, 4) in pixels of the input to pixels of the picture, cut at its border."""
        moved = (boxes - np.tile(self.offset, 2)) / np.tile(self.scale, 2)
        height, width = self.picture
        cut: NDArray[np.float32] = np.clip(moved, 0, [width, height, width, height]).astype(np.float32)
        return cut

    def dense_back(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Planes (C, h', w') that cover the input, at any resolution, to (C, H, W) of the picture, bilinear."""
        h, w = self.size
        if planes.shape[1:] != (h, w):
            planes = _resized(planes, h, w)
        rows, columns = self.inner
        x, y = self.offset
        return _resized(planes[:, y : y + rows, x : x + columns], *self.picture)


def _resized(planes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    if planes.shape[1:] == (height, width):
        return planes
    return np.stack([cv2.resize(p, (width, height), interpolation=cv2.INTER_LINEAR) for p in planes])
