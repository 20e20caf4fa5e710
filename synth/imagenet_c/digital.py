"""Brightness, contrast, elastic transform, pixelation, JPEG compression and saturation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Image, Sample
from synth.imagenet_c.published import Constants, Corruption, CorruptionParams, published
from synth.noise import Field
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, SeverityTable
from synth.warp import Points, Warp, warp_frame


@register
@dataclass(frozen=True)
class Brightness(Corruption):
    """The value of HSV raised; what is black becomes grey."""

    name: ClassVar[str] = "imagenet_c/brightness"
    table: ClassVar[SeverityTable] = published("added value", (0.1, 0.2, 0.3, 0.4, 0.5), "of white")
    constants: ClassVar = ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,))

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        values = np.arange(256) / 255.0
        factors = np.minimum(values + constants[0], 1.0) / np.maximum(values, 1e-9)
        grey = int(255 * min(constants[0], 1.0))
        out = np.empty_like(image)
        _scale_value(image.reshape(-1, 3), factors.astype(np.float32), grey, out.reshape(-1, 3))
        return out


@register
@dataclass(frozen=True)
class Contrast(Corruption):
    """Differences from the mean of each channel made smaller."""

    name: ClassVar[str] = "imagenet_c/contrast"
    table: ClassVar[SeverityTable] = published("contrast left", (0.4, 0.3, 0.2, 0.1, 0.05))
    constants: ClassVar = ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,))

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        means = np.array(cv2.mean(image)[:3])
        codes = np.arange(256)[:, None]
        table = np.clip((codes - means) * constants[0] + means + 1e-6, 0, 255).astype(np.uint8)
        out: Image = cv2.LUT(image, table[:, None, :])
        return out


@register
@dataclass(frozen=True)
class ElasticTransform(Corruption):
    """A smooth random displacement of a few pixels; labels move with the picture."""

    name: ClassVar[str] = "imagenet_c/elastic_transform"
    changes: ClassVar[Change] = "geometry"
    table: ClassVar[SeverityTable] = published("gain of the displacement", (12.5, 16.25, 21.25, 25, 30))
    constants: ClassVar = ((12.5,), (16.25,), (21.25,), (25.0,), (30.0,))

    def apply(self, sample: Sample, params: CorruptionParams) -> Sample:
        dx, dy = _displacement(sample.height, sample.width, params.constants[0], params.seed)
        rows, columns = np.ogrid[0.5 : sample.height, 0.5 : sample.width]
        warp = Warp(
            x=columns.astype(np.float32) + dx,
            y=rows.astype(np.float32) + dy,
            forward=lambda points: _forward(points, dx, dy),
        )
        return warp_frame(replace(sample, image=np.ascontiguousarray(sample.image)), warp)


@register
@dataclass(frozen=True)
class Pixelate(Corruption):
    """Made smaller by averaging and larger again by repeating."""

    name: ClassVar[str] = "imagenet_c/pixelate"
    table: ClassVar[SeverityTable] = published("share of the width kept", (0.6, 0.5, 0.4, 0.3, 0.25))
    constants: ClassVar = ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,))

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        height, width = image.shape[:2]
        rows, columns = max(1, int(height * constants[0])), max(1, int(width * constants[0]))
        small = np.empty((rows, columns, 3), np.uint8)
        _box(image, *_cells(height, rows), *_cells(width, columns), small)
        out = np.empty_like(image)
        _repeat(small, _nearest(height, rows), _nearest(width, columns), out)
        return out


@register
@dataclass(frozen=True)
class JpegCompression(Corruption):
    """JPEG at a low quality, colour at half the resolution."""

    name: ClassVar[str] = "imagenet_c/jpeg_compression"
    table: ClassVar[SeverityTable] = published("quality", (25, 18, 15, 10, 7))
    constants: ClassVar = ((25,), (18,), (15,), (10,), (7,))

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        done, data = cv2.imencode(
            ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, round(constants[0])]
        )
        if not done:
            raise InputError(f"{self.name}: OpenCV could not encode a picture of {image.shape[1]}x{image.shape[0]}")
        out: Image = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return out


@register
@dataclass(frozen=True)
class Saturate(Corruption):
    """The saturation of HSV scaled and raised; severities 1 and 2 take colour away, 3 to 5 add it."""

    name: ClassVar[str] = "imagenet_c/saturate"
    table: ClassVar[SeverityTable] = published("factor of the saturation", (0.3, 0.1, 2, 5, 20))
    constants: ClassVar = ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2))  # factor, offset

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        out = np.empty_like(image)
        gain, offset = np.float32(constants[0]), np.float32(constants[1])
        _saturate(image.reshape(-1, 3), gain, offset, out.reshape(-1, 3))
        return out


@njit(cache=True, nogil=True)
def _scale_value(image, factors, grey, out):  # type: ignore[no-untyped-def]  # numba infers: (P, 3) uint8
    for i in range(len(image)):
        r, g, b = image[i, 0], image[i, 1], image[i, 2]
        value = max(r, max(g, b))
        if value == 0:
            out[i, 0] = out[i, 1] = out[i, 2] = np.uint8(grey)
            continue
        factor = factors[value]
        little = np.float32(1e-3)
        out[i, 0] = np.uint8(np.int32(min(np.float32(r) * factor + little, np.float32(255))))
        out[i, 1] = np.uint8(np.int32(min(np.float32(g) * factor + little, np.float32(255))))
        out[i, 2] = np.uint8(np.int32(min(np.float32(b) * factor + little, np.float32(255))))


@njit(cache=True, nogil=True)
def _saturate(image, gain, offset, out):  # type: ignore[no-untyped-def]  # numba infers: (P, 3) uint8
    one = np.float32(1)
    for i in range(len(image)):
        r, g, b = np.float32(image[i, 0]), np.float32(image[i, 1]), np.float32(image[i, 2])
        high, low = max(r, max(g, b)), min(r, min(g, b))
        if high == low:  # a grey has hue 0, which is red
            out[i, 0] = image[i, 0]
            out[i, 1] = out[i, 2] = np.uint8(np.int32(high * (one - min(offset, one))))
            continue
        was = (high - low) / high
        factor = min(max(was * gain + offset, np.float32(0)), one) / was
        little = np.float32(1e-3)
        out[i, 0] = np.uint8(np.int32(max(high - (high - r) * factor + little, np.float32(0))))
        out[i, 1] = np.uint8(np.int32(max(high - (high - g) * factor + little, np.float32(0))))
        out[i, 2] = np.uint8(np.int32(max(high - (high - b) * factor + little, np.float32(0))))


def _displacement(height: int, width: int, gain: float, seed: int) -> tuple[Field, Field]:
    """Return dx, dy (H, W) px: uniform noise of +-0.5 % of the height, blurred by 1 % of each side, times a gain.

    Made on a grid of half a deviation, whose white noise has the same power per area, and interpolated.
    """
    sigma_y, sigma_x = 0.01 * height, 0.01 * width
    step_y, step_x = max(1.0, sigma_y / 2), max(1.0, sigma_x / 2)
    rows, columns = int(height / step_y) + 3, int(width / step_x) + 3
    deviation = gain * 0.005 * height / np.sqrt(3.0 * step_y * step_x)
    size = 2 * int(3 * sigma_x / step_x + 0.5) + 1, 2 * int(3 * sigma_y / step_y + 0.5) + 1
    matrix = np.array([[1 / step_x, 0, 1], [0, 1 / step_y, 1]], np.float32)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    fields = []
    for axis in ("x", "y"):
        grid = (Rng(seed, "elastic", axis).normals(rows, columns) * deviation).astype(np.float32)
        grid = cv2.GaussianBlur(
            grid, size, max(sigma_x / step_x, 1e-3), sigmaY=max(sigma_y / step_y, 1e-3), borderType=cv2.BORDER_REFLECT
        )
        fields.append(
            cv2.warpAffine(
                grid.reshape(rows, columns), matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT
            ).reshape(height, width)
        )
    return fields[0], fields[1]


def _forward(points: Points, dx: Field, dy: Field) -> Points:
    """Return where old points (K, 2) go: the new point whose displacement leads back to the old one."""
    new = points.copy()
    for _ in range(12):
        x, y = (new[:, 0] - 0.5).astype(np.float32)[None], (new[:, 1] - 0.5).astype(np.float32)[None]
        for axis, field in enumerate((dx, dy)):
            there = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            new[:, axis] = points[:, axis] - there.reshape(-1)
    return new


def _cells(size: int, made: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and last + 1 pixel of each cell, as Pillow's box filter takes them: all of one weight."""
    scale = size / made
    centre = (np.arange(made) + 0.5) * scale
    start = np.maximum((centre - 0.5 * scale + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + 0.5 * scale + 0.5).astype(np.int64), size)
    return start, np.maximum(end, start + 1)


def _nearest(size: int, made: int) -> NDArray[np.int64]:
    """Return the cell of each pixel; the step is added up, as Pillow does, for its rounding decides at the borders."""
    steps = np.full(size, made / size)
    steps[0] *= 0.5
    return np.minimum(np.add.accumulate(steps).astype(np.int64), made - 1)


@njit(cache=True, nogil=True)
def _box(image, top, bottom, left, right, small):  # type: ignore[no-untyped-def]  # numba infers
    half = np.float32(0.5)
    for i in range(len(small)):
        for j in range(small.shape[1]):
            r = g = b = 0
            for y in range(top[i], bottom[i]):
                for x in range(left[j], right[j]):
                    r += image[y, x, 0]
                    g += image[y, x, 1]
                    b += image[y, x, 2]
            scale = np.float32(1.0) / np.float32((bottom[i] - top[i]) * (right[j] - left[j]))
            small[i, j, 0] = np.uint8(np.int32(r * scale + half))
            small[i, j, 1] = np.uint8(np.int32(g * scale + half))
            small[i, j, 2] = np.uint8(np.int32(b * scale + half))


@njit(cache=True, nogil=True)
def _repeat(small, rows, columns, out):  # type: ignore[no-untyped-def]  # numba infers
    for y in range(len(out)):
        if y and rows[y] == rows[y - 1]:
            out[y] = out[y - 1]
            continue
        line = small[rows[y]]
        for x in range(out.shape[1]):
            column = columns[x]
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = line[column, 0], line[column, 1], line[column, 2]
