"""Dirt on the front lens, far out of focus: it takes light away and scatters other light into the picture.

I = I0 (1 - a) + s a <I0>: a is the share of the aperture that dirt covers as seen from a pixel, s its albedo, <I0> the
scene's light from a wide cone (Gu, Ramamoorthi, Belhumeur and Nayar 2009, "Removing image artifacts due to dirty camera
lenses and thin occluders"). Spots are as wide as the lens makes them, whatever their own size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Image, Sample
from synth.noise import smooth_noise
from synth.radiometry import decode, encode, to_linear
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

_MAP_PX = 160  # dirt so far out of focus has no finer detail than this many steps across the picture
DENSEST = 0.93  # share of the light that the middle of a thick spot takes


@dataclass(frozen=True)
class LensDirtParams:
    """blocked: mean share of light that dirt takes; albedo: (3,) of the dirt, linear; spot: width, share of a side."""

    blocked: float
    albedo: tuple[float, float, float]
    spot: float
    seed: int


@register
@dataclass(frozen=True)
class LensDirt:
    """Mud, dust and salt on the front lens."""

    name: ClassVar[str] = "sensor/lens_dirt"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "light blocked",
        "%",
        (4, 9, 18, 30, 45),
        "soiling data sets (Uricar et al. 2019, SoilingNet) range from single spots to half of the lens covered",
    )
    params_type: ClassVar[type[LensDirtParams]] = LensDirtParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> LensDirtParams:
        brown = rng.uniform(0.0, 1.0)  # grey dust and salt to mud
        bright = rng.uniform(0.12, 0.35)
        return LensDirtParams(
            blocked=0.01 * self.table.at(severity),
            albedo=(bright, bright * (1.0 - 0.25 * brown), bright * (1.0 - 0.5 * brown)),
            spot=rng.uniform(0.05, 0.12),
            seed=rng.seed(),
        )

    def apply(self, sample: Sample, params: LensDirtParams) -> Sample:
        image = np.ascontiguousarray(sample.image)
        size = (sample.width, sample.height)
        share = cv2.resize(dirt_map(*size, params), size, interpolation=cv2.INTER_LINEAR)
        light = _wide_light(image) * np.array(params.albedo, np.float32)
        out = np.empty_like(image)
        _soil(image, share.reshape(size[::-1]), light, out)
        return replace(sample, image=out)


def dirt_map(width: int, height: int, params: LensDirtParams) -> NDArray[np.float32]:
    """Return a coarse map (h, w) of the share of light that dirt takes, its mean as the params say."""
    scale = min(1.0, _MAP_PX / width)
    columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
    side = max(columns, rows)
    cloud = smooth_noise(params.seed, rows, columns, cell_px=max(0.35 * side, 2.0), octaves=2)
    field = 0.45 * cloud + 1.5 * _spots(params, rows, columns, side)
    blur = max(0.12 * params.spot * side, 0.5)
    field = cv2.GaussianBlur(field.astype(np.float32), (0, 0), blur, borderType=cv2.BORDER_REPLICATE).reshape(
        rows, columns
    )
    low, high = float(field.min()) - 1.0, float(field.max()) + 1.0
    for _ in range(30):  # the level above which dirt is seen, found by halving
        level = 0.5 * (low + high)
        if float(_opacity(field, level).mean()) > params.blocked:
            low = level
        else:
            high = level
    return _opacity(field, level)


def _opacity(field: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    opacity: NDArray[np.float32] = np.clip((field - np.float32(level)) / np.float32(0.7), 0.0, 1.0)
    return np.float32(DENSEST) * opacity * (np.float32(2.0) - opacity)


def _spots(params: LensDirtParams, rows: int, columns: int, side: int) -> NDArray[np.float32]:
    """Return (rows, columns) spots laid over one another, the largest values in their middles."""
    field = np.zeros((rows, columns), np.float32)
    for u, v, size, weight in Rng(params.seed, "spots").uniforms(70, 4):
        radius = max(params.spot * side * (0.25 + 1.6 * size**4), 0.7)
        reach = int(1.2 * radius) + 1
        y = np.arange(max(int(v * rows) - reach, 0), min(int(v * rows) + reach + 1, rows))
        x = np.arange(max(int(u * columns) - reach, 0), min(int(u * columns) + reach + 1, columns))
        away = (((y - v * rows) ** 2)[:, None] + ((x - u * columns) ** 2)[None, :]) / (radius * radius)
        part = field[y[0] : y[-1] + 1, x[0] : x[-1] + 1]
        np.maximum(part, (0.3 + 0.7 * weight) * np.clip(1.25 - away, 0.0, 1.0), out=part, casting="same_kind")
    return field


def _wide_light(image: Image) -> NDArray[np.float32]:
    """Return a small map (h, w, 3) of linear light from a wide cone around each place."""
    small = cv2.resize(image, (min(image.shape[1], 24), min(image.shape[0], 16)), interpolation=cv2.INTER_AREA)
    wide = cv2.GaussianBlur(to_linear(small), (0, 0), 5.0, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(wide, np.float32).reshape(small.shape)


@njit(cache=True, fastmath=True)
def _soil(image, share, light, out):  # type: ignore[no-untyped-def]  # numba infers
    """Mix; the small map of light (h, w, 3) is read between its cells."""
    rows, columns = share.shape
    h, w = light.shape[:2]
    half, one = np.float32(0.5), np.float32(1.0)
    line = np.empty((w + 1, 3), np.float32)
    for i in range(rows):
        y = min(max((np.float32(i) + half) * np.float32(h) / np.float32(rows) - half, 0), h - 1)
        top = min(int(y), h - 1)
        below = min(top + 1, h - 1)
        part = np.float32(y - top)
        for k in range(w + 1):
            for c in range(3):
                upper = light[top, min(k, w - 1), c]
                line[k, c] = upper + part * (light[below, min(k, w - 1), c] - upper)
        for j in range(columns):
            a = share[i, j]
            if a < np.float32(0.002):
                for c in range(3):
                    out[i, j, c] = image[i, j, c]
                continue
            x = (np.float32(j) + half) * np.float32(w) / np.float32(columns) - half
            x = min(max(x, np.float32(0.0)), np.float32(w - 1))
            left = int(x)
            d = x - np.float32(left)
            for c in range(3):
                scattered = line[left, c] + d * (line[left + 1, c] - line[left, c])
                out[i, j, c] = encode(decode(image[i, j, c]) * (one - a) + a * scattered)
