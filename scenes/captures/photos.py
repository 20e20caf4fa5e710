"""Photographs with a lens: read, taken out of their distortion, and given as pinhole views."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from scenes.camera import Camera, Matrix
from scenes.capture import Capture, View, resized_camera
from scenes.errors import InputError
from scenes.images import image_size, read_image
from scenes.sample import Image, Sample

FOCAL_OF_SIZE = (0.05, 50.0)  # of the longer side: fields of view of 169 and 1.1 degrees
SAME_SHAPE = 0.02  # how far aspect ratios of photo and intrinsics may differ


@dataclass(frozen=True)
class Lens:
    """Intrinsics: fx, fy, cx, cy in pixels of a width x height picture, cx and cy from the corner of the first pixel.

    distortion: OpenCV's k1 k2 p1 p2 [k3 [k4 k5 k6]], or k1 k2 k3 k4 of its fisheye model
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: tuple[float, ...] = ()
    model: Literal["opencv", "fisheye"] = "opencv"

    @property
    def K(self) -> Matrix:
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def checked(self, *, owner: str) -> Lens:
        """Raise for intrinsics that no camera has."""
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not np.isfinite(numbers).all():
            raise InputError(f"{owner}: intrinsics: expected finite numbers, got {numbers}")
        if self.width < 1 or self.height < 1:
            raise InputError(f"{owner}: expected a picture of at least 1x1, got {self.width}x{self.height}")
        if min(self.fx, self.fy) <= 0:
            raise InputError(f"{owner}: expected focal lengths > 0, got {self.fx} and {self.fy}")
        least, most = (f * max(self.width, self.height) for f in FOCAL_OF_SIZE)
        if min(self.fx, self.fy) < least or max(self.fx, self.fy) > most:
            raise InputError(
                f"{owner}: expected focal lengths of {least:.0f} to {most:.0f} pixels for a picture of {self.width}x"
                f"{self.height}, got {self.fx} and {self.fy}; are they in pixels?"
            )
        if not (0 <= self.cx <= self.width and 0 <= self.cy <= self.height):
            size = f"{self.width}x{self.height}"
            raise InputError(f"{owner}: expected a principal point inside {size}, got ({self.cx}, {self.cy})")
        return self

    def fitted(self, width: int, height: int, *, owner: str) -> Lens:
        """Return the lens for a photo of another size; one of another shape belongs to another camera."""
        if abs(width / height * self.height / self.width - 1) > SAME_SHAPE:
            wanted, got = f"{self.width}x{self.height}", f"{width}x{height}"
            raise InputError(f"{owner}: the intrinsics are for {wanted}, the photo has {got}, which is no resize of it")
        x, y = width / self.width, height / self.height
        return replace(self, fx=self.fx * x, fy=self.fy * y, cx=self.cx * x, cy=self.cy * y, width=width, height=height)

    @property
    def distorted(self) -> bool:
        return any(self.distortion)


@dataclass(frozen=True, eq=False)
class Photo:
    """A view from a file."""

    name: str
    path: Path
    lens: Lens
    world_to_cam: Matrix
    size: tuple[int, int] | None = None  # (width, height) to return; the photo's own unless given
    timestamp_s: float | None = field(default=None)

    @cached_property
    def _straight(self) -> Camera:
        """The pinhole of the full-size picture: of all that see no pixel beyond the photo, the widest."""
        lens, size = self.lens, (self.lens.width, self.lens.height)
        if not lens.distorted:
            return Camera(K=lens.K, width=size[0], height=size[1], world_to_cam=self.world_to_cam)
        K = Camera(K=lens.K, width=size[0], height=size[1]).opencv_K
        distortion = np.array(lens.distortion)
        if lens.model == "fisheye":
            new = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(K, distortion, size, np.eye(3), balance=0.0)
        else:
            new, _ = cv2.getOptimalNewCameraMatrix(K, distortion, size, 0.0)
        return Camera.from_opencv(np.asarray(new), *size, world_to_cam=self.world_to_cam)

    @property
    def camera(self) -> Camera:
        return self._straight if self.size is None else resized_camera(self._straight, *self.size)

    def resized(self, width: int, height: int) -> Photo:
        return replace(self, size=(width, height))

    def load(self) -> Sample:
        """Return the photo, undistorted and resized."""
        image = read_image(self.path)
        if (image.shape[1], image.shape[0]) != (self.lens.width, self.lens.height):
            got, wanted = f"{image.shape[1]}x{image.shape[0]}", f"{self.lens.width}x{self.lens.height}"
            raise InputError(f"image {self.path}: expected {wanted} as its header said, got {got}")
        if self.lens.distorted:
            image = self._undistort(image)
        if self.size is not None:
            shrink = self.size[0] < image.shape[1]
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
        return Sample(sample_id=self.name, image=image, camera=self.camera, timestamp_s=self.timestamp_s)

    def _undistort(self, image: Image) -> Image:
        K = Camera(K=self.lens.K, width=self.lens.width, height=self.lens.height).opencv_K
        distortion, new = np.array(self.lens.distortion), self._straight.opencv_K
        size = (self.lens.width, self.lens.height)
        rectify = cv2.fisheye.initUndistortRectifyMap if self.lens.model == "fisheye" else cv2.initUndistortRectifyMap
        columns, rows = rectify(K, distortion, np.eye(3), new, size, cv2.CV_32FC1)
        done: Image = cv2.remap(image, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return done


def photo(name: str, path: Path, lens: Lens, world_to_cam: Matrix, *, timestamp_s: float | None = None) -> Photo:
    """Return a view whose lens fits the size of the file."""
    width, height = image_size(path)
    fitted = lens.checked(owner=str(path)).fitted(width, height, owner=str(path))
    return Photo(name, path, fitted, world_to_cam, timestamp_s=timestamp_s)


def missing(root: Path, names: list[str]) -> tuple[str, ...]:
    """Say which photos are not there."""
    if not names:
        return ()
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (f"{len(names)} of the frames of {root} skipped, their photos are not there: {shown}",)


def some(views: list[View], *, owner: str) -> list[View]:
    """Raise where no view is left."""
    if not views:
        raise InputError(f"capture {owner}: none of its photos is there")
    return views


__all__ = ["Capture", "Lens", "Photo", "missing", "photo", "some"]
