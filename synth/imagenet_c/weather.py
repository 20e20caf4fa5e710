"""Snow, frost, fog and spatter as ImageNet-C paints them: over the picture, knowing no depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numba import njit

from scenes.sample import Image
from synth.imagenet_c.bits import normals
from synth.imagenet_c.blur import zoom_matrix
from synth.imagenet_c.crystals import frost_layer
from synth.imagenet_c.plasma import plasma
from synth.imagenet_c.published import Constants, Corruption, published
from synth.imagenet_c.taps import blur_taps, motion_taps
from synth.noise import Field
from synth.random import Rng
from synth.registry import register
from synth.shift import SeverityTable


@register
@dataclass(frozen=True)
class Snow(Corruption):
    """Blurred flakes over a picture that is bleached."""

    name: ClassVar[str] = "imagenet_c/snow"
    table: ClassVar[SeverityTable] = published("mean of the flakes' noise", (0.1, 0.2, 0.55, 0.55, 0.55))
    # mean and deviation of the noise, its zoom, threshold, half length and deviation of the trail, share of the picture
    constants: ClassVar = (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        mean, deviation, zoom, threshold, radius, sigma, kept = constants
        flakes = _zoomed_noise(image.shape[0], image.shape[1], zoom, seed) * np.float32(deviation) + np.float32(mean)
        _, flakes = cv2.threshold(flakes, threshold - 1e-7, 0, cv2.THRESH_TOZERO)
        codes = cv2.convertScaleAbs(flakes, alpha=255.0).reshape(flakes.shape)
        angle = Rng(seed, "angle").uniform(-135, -45)
        layer = blur_taps(codes, motion_taps(round(radius), sigma, angle, (image.shape[0], image.shape[1])))
        out = np.empty_like(image)
        _snow(image, layer, np.float32(kept), out)
        return out


@register
@dataclass(frozen=True)
class Frost(Corruption):
    """Ice crystals over the picture.

    The published corruption lays photographs of frost over the picture; these crystals are drawn, with the mean, spread
    and frequency of each of the photographs.
    """

    name: ClassVar[str] = "imagenet_c/frost"
    table: ClassVar[SeverityTable] = published("weight of the frost", (0.4, 0.6, 0.7, 0.7, 0.75))
    constants: ClassVar = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))  # weights: picture, frost

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        layer = frost_layer(image.shape[0], image.shape[1], Rng(seed, "frost"))
        out = np.empty_like(image)
        _weigh(
            image.reshape(-1), layer.reshape(-1), np.float32(constants[0]), np.float32(constants[1]), out.reshape(-1)
        )
        return out


@register
@dataclass(frozen=True)
class Fog(Corruption):
    """A cloud of diamond-square noise added, the whole dimmed to the old range."""

    name: ClassVar[str] = "imagenet_c/fog"
    table: ClassVar[SeverityTable] = published("strength of the cloud", (1.5, 2, 2.5, 2.5, 3), "of white")
    constants: ClassVar = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))  # strength, decay of detail

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        strength, decay = constants
        brightest = float(image.max()) / 255.0
        dim = brightest / (brightest + strength)
        out = np.empty_like(image)
        cloud = plasma(image.shape[0], image.shape[1], decay, seed)
        _cloud(image, cloud, np.float32(dim), np.float32(255.0 * strength * dim), out)
        return out


@register
@dataclass(frozen=True)
class Spatter(Corruption):
    """Drops of water (severities 1 to 3) or of mud (4 and 5) on the lens."""

    name: ClassVar[str] = "imagenet_c/spatter"
    table: ClassVar[SeverityTable] = published("size of the drops", (4, 3, 2, 1, 1), "px")
    # mean and deviation of the noise, its blur (px), threshold, strength or softness (px), 1 = mud
    constants: ClassVar = (
        (0.65, 0.3, 4, 0.69, 0.6, 0),
        (0.65, 0.3, 3, 0.68, 0.6, 0),
        (0.65, 0.3, 2, 0.68, 0.5, 0),
        (0.65, 0.3, 1, 0.65, 1.5, 1),
        (0.67, 0.4, 1, 0.65, 1.5, 1),
    )

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        mean, deviation, sigma, threshold, strength, mud = constants
        noise = normals(image.shape[0], image.shape[1], Rng(seed, "spatter").seed())
        size = 2 * int(4 * sigma + 0.5) + 1
        blurred = cv2.GaussianBlur(noise, (size, size), sigma, borderType=cv2.BORDER_REPLICATE).reshape(noise.shape)
        liquid = np.float32(mean) + np.float32(deviation) * blurred
        out = np.empty_like(image)
        if mud < 0.5:
            _wet(image, _water(liquid, threshold, strength), out)
        else:
            _muddy(image, _mud(liquid, threshold, strength), out)
        return out


def _zoomed_noise(height: int, width: int, zoom: float, seed: int) -> Field:
    """Return (H, W) normal noise seen through a zoom: of a centre part, interpolated between its pixels."""
    rows, columns = int(np.ceil(height / zoom)), int(np.ceil(width / zoom))
    noise = normals(rows, columns, seed)
    (sy, _), (sx, _) = zoom_matrix(height, zoom), zoom_matrix(width, zoom)
    matrix = np.array([[sx, 0, 0], [0, sy, 0]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    zoomed: Field = cv2.warpAffine(noise, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return zoomed.reshape(height, width)


def _water(liquid: Field, threshold: float, strength: float) -> Field:
    """Return (H, W) how much of its own light the water sends: drops with a bright rim on one side."""
    layer = np.where(liquid < np.float32(threshold), np.float32(0), np.minimum(liquid, np.float32(1)) * np.float32(255))
    drops = layer.astype(np.uint8)
    rim = cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5)
    rim = cv2.blur(np.minimum(rim, np.float32(20)), (3, 3)).astype(np.uint8).reshape(drops.shape)
    rim = cv2.equalizeHist(rim)
    rim = cv2.filter2D(rim, cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]))
    rim = cv2.blur(rim, (3, 3)).reshape(drops.shape)
    shine: Field = cv2.multiply(drops, rim, dtype=cv2.CV_32F).reshape(drops.shape)
    return shine * np.float32(strength / max(float(shine.max()), 1e-9))


def _mud(liquid: Field, threshold: float, softness: float) -> Field:
    """Return (H, W) cover of the mud; soft edges below 0.8 are cut."""
    spots = (liquid > np.float32(threshold)).astype(np.float32)
    size = 2 * int(4 * softness + 0.5) + 1
    cover = cv2.GaussianBlur(spots, (size, size), softness, borderType=cv2.BORDER_REPLICATE)
    _, cover = cv2.threshold(cover, 0.8 - 1e-7, 0, cv2.THRESH_TOZERO)
    done: Field = cover.reshape(spots.shape)
    return done


_WATER = np.array([175, 238, 238], np.float32)  # pale turquoise
_MUD = np.array([63, 42, 20], np.float32)


@njit(cache=True, nogil=True)
def _wet(image, shine, out):  # type: ignore[no-untyped-def]  # numba infers: (H, W, 3) uint8, (H, W) float32
    for y in range(len(image)):
        for x in range(image.shape[1]):
            for c in range(3):
                out[y, x, c] = np.uint8(np.int32(min(image[y, x, c] + shine[y, x] * _WATER[c], np.float32(255))))


@njit(cache=True, nogil=True)
def _muddy(image, cover, out):  # type: ignore[no-untyped-def]  # numba infers: (H, W, 3) uint8, (H, W) float32
    for y in range(len(image)):
        for x in range(image.shape[1]):
            m = cover[y, x]
            for c in range(3):
                mixed = np.float32(image[y, x, c]) * (np.float32(1) - m) + m * _MUD[c] + np.float32(1e-3)
                out[y, x, c] = np.uint8(np.int32(min(mixed, np.float32(255))))


@njit(cache=True, nogil=True)
def _cloud(image, cloud, dim, strength, out):  # type: ignore[no-untyped-def]  # numba infers
    for y in range(len(image)):
        for x in range(image.shape[1]):
            light = strength * cloud[y, x]
            for c in range(3):
                value = np.float32(image[y, x, c]) * dim + light
                out[y, x, c] = np.uint8(np.int32(min(max(value, np.float32(0)), np.float32(255))))


@njit(cache=True, nogil=True)
def _weigh(image, layer, mine, its, out):  # type: ignore[no-untyped-def]  # numba infers: (K,) uint8
    for i in range(image.size):
        value = mine * np.float32(image[i]) + its * np.float32(layer[i]) + np.float32(1e-3)
        out[i] = np.uint8(np.int32(min(value, np.float32(255))))


@njit(cache=True, nogil=True)
def _snow(image, layer, kept, out):  # type: ignore[no-untyped-def]  # numba infers: (H, W, 3) and (H, W) uint8
    """Bleach the picture and add flakes, once as they are and once turned by 180 degrees."""
    rows, columns = layer.shape
    rest = np.float32(1) - kept
    for y in range(rows):
        for x in range(columns):
            flakes = np.float32(layer[y, x]) + np.float32(layer[rows - 1 - y, columns - 1 - x])
            r, g, b = np.float32(image[y, x, 0]), np.float32(image[y, x, 1]), np.float32(image[y, x, 2])
            grey = np.float32(0.299) * r + np.float32(0.587) * g + np.float32(0.114) * b
            pale = np.float32(1.5) * grey + np.float32(127.5)
            for c in range(3):
                value = np.float32(image[y, x, c])
                value = kept * value + rest * max(value, pale) + flakes
                out[y, x, c] = np.uint8(np.int32(min(value, np.float32(255))))
