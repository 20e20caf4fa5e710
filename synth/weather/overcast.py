"""Overcast: the sun goes, and with it hard shadows; light comes from the whole of a grey sky, cooler and flatter.

Shade is told from paint by size and contrast: the picture's base, a guided filter of the logarithm of its luminance
(He, Sun, Tang 2013), is drawn towards the wide mean, most on the ground, which is of one material. What is darker is
drawn up more than what is brighter is drawn down: shade goes, paint stays. Shade was lit by blue sky alone and loses
its blue. The sky is grey with clouds of little contrast, and brighter overhead: less than the CIE standard overcast
sky, (1 + 2 sin elevation) / 3 of the zenith, for cameras leave little of that at the top of their range.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
from numba import njit

from scenes.camera import Camera
from scenes.sample import Depth, Image, Sample
from synth.atmosphere import airlight_of, depth_and_camera, sky_codes
from synth.noise import lookup_noise
from synth.radiometry import FAST, decode_row, encode_row, rows_of
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.veil import decay
from synth.weather.surfaces import Map, ground_share, plane_of, shrunk, stretch, stretch_row

SUN_LUX, DIFFUSE_LUX = 100_000.0, 8_000.0  # with a clear sun, and where clouds let none of it through
ADAPTATION = 0.82  # share of a change of light, in stops, that the camera's exposure takes up
FLATTER = 0.35  # of the shade taken from what stands up; of the ground, all
COOL = (0.97, 1.0, 1.035)  # overcast sky of 6500 K against sun and sky of 5500 K, about
COLOUR_LOST = 0.18
BLUE_OF_SHADE = 0.14  # exponent by which a shadow is bluer than what the sun shines on
BRIGHTER = 0.4  # share of the change for what is brighter than its surroundings: paint, or the sun's own light
CONTRAST = 0.25  # of the logarithm of luminance: variance over which the base keeps an edge
_STEP = 4
_LOG = np.log(np.maximum(((np.arange(256) / 255.0 + 0.055) / 1.055) ** 2.4, 0.004)).astype(np.float32)


@dataclass(frozen=True)
class OvercastParams:
    """One drawn sky: illuminance on open ground, linear radiance at the horizon (grey), contrast of clouds, seed."""

    illuminance_lux: float
    horizon: float
    clouds: float
    seed: int


@register
@dataclass(frozen=True)
class Overcast:
    """A closed cloud cover, from thin high cloud to the dark before a storm."""

    name: ClassVar[str] = "weather/overcast"
    family: ClassVar[Family] = "weather"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "illuminance",
        "lx",
        (40_000.0, 20_000.0, 10_000.0, 4_000.0, 1_000.0),
        "full sun gives 100,000 lx, an overcast day 1,000 to 20,000 lx (IES Lighting Handbook); over 8,000 lx some sun "
        "comes through",
        "log",
    )
    params_type: ClassVar[type[OvercastParams]] = OvercastParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> OvercastParams:
        level, clouds = rng.uniform(0.9, 1.1), rng.uniform(0.05, 0.14)
        return OvercastParams(
            illuminance_lux=self.table.at(severity),
            horizon=level * airlight_of(sample.image)[1],
            clouds=clouds,
            seed=rng.seed(),
        )

    def apply(self, sample: Sample, params: OvercastParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        image = np.ascontiguousarray(sample.image)
        size = (max(1, sample.width // _STEP), max(1, sample.height // _STEP))
        if min(sample.height, sample.width) < 8 * _STEP:
            size = (sample.width, sample.height)
        lost, dim = sun_lost(params.illuminance_lux), exposure(params.illuminance_lux)
        maps = np.concatenate([_shade(image, depth, camera, size, lost), _sky(params, camera, size, dim)])
        gain = np.array([dim * (1.0 + lost * (c - 1.0)) for c in COOL], np.float32)
        out = np.empty_like(image)
        _cloud(
            rows_of(image),
            sky_codes(image, depth),
            maps,
            gain,
            np.float32(COLOUR_LOST * lost),
            np.float32(lost),
            rows_of(out),
        )
        return replace(sample, image=out)


def sun_lost(illuminance_lux: float) -> float:
    """Return how much of the direct sun clouds take, 0 to 1."""
    return min(1.0, 1.0 - (illuminance_lux - DIFFUSE_LUX) / (SUN_LUX - DIFFUSE_LUX))


def exposure(illuminance_lux: float) -> float:
    """Return by how much the picture gets darker: what the camera does not take up of the loss of light."""
    return (illuminance_lux / SUN_LUX) ** (1.0 - ADAPTATION)


def _shade(image: Image, depth: Depth, camera: Camera, size: tuple[int, int], lost: float) -> Map:
    """Return (3, h, w) a, b, c: the light of a pixel is changed by exp(a - b x logarithm - c) of its luminance."""
    grey = cv2.cvtColor(shrunk(image, _STEP if size[0] < image.shape[1] else 1), cv2.COLOR_RGB2GRAY)
    level = _LOG[grey.reshape(size[1], size[0])]
    coarse = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST).reshape(level.shape)
    ground = np.empty(level.shape, np.float32)
    _ground(coarse, plane_of(camera, level.shape), ground)
    upright = np.where(np.isinf(coarse), np.float32(0.0), np.float32(1.0) - ground)
    wide = (max(1, size[0] // 2) | 1, max(1, size[1] // 2) | 1), (max(1, size[0] // 5) | 1, max(1, size[1] // 5) | 1)
    light = np.exp(level)
    target = ground * _mean(light, ground, wide[0]) + (np.float32(1.0) - ground) * _mean(light, upright, wide[1])
    target = np.log(np.maximum(target, np.float32(0.004)))
    near = (max(1, size[0] // 40) | 1,) * 2
    weight = np.isfinite(coarse).astype(np.float32)
    mean = _mean(level, weight, near)
    variance = np.maximum(_mean(level * level, weight, near) - mean * mean, np.float32(0.0))
    slope = variance / (variance + np.float32(CONTRAST**2))
    strength = np.float32(lost) * (ground + np.float32(FLATTER) * (np.float32(1.0) - ground))
    spread = cv2.blur(slope, near).reshape(slope.shape)
    offset = _mean(mean * (np.float32(1.0) - slope), weight, near)
    return np.stack([strength * target, strength * spread, strength * offset]).astype(np.float32)


def _mean(values: Map, weights: Map, window: tuple[int, int]) -> Map:
    """Return the weighted mean of (h, w) values in a window around each; 0 where nothing has weight."""
    total = cv2.blur(weights, window, borderType=cv2.BORDER_REFLECT).reshape(values.shape)
    some = cv2.blur(values * weights, window, borderType=cv2.BORDER_REFLECT).reshape(values.shape)
    return some / np.maximum(total, np.float32(1e-3))


@njit(cache=True, nogil=True)
def _ground(depth, plane, share):  # type: ignore[no-untyped-def]  # numba infers
    for i in range(depth.shape[0]):
        for j in range(depth.shape[1]):
            rise = plane[0] * np.float32(j) + plane[1] * np.float32(i) + plane[2]
            share[i, j] = ground_share(depth[i, j], rise, plane[3])


def _sky(params: OvercastParams, camera: Camera, size: tuple[int, int], dim: float) -> Map:
    """Return (1, h, w) radiance of the sky: brighter overhead, with the undersides of clouds."""
    a, b, c, _ = plane_of(camera, size[::-1])
    columns, rows = np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32)
    rise = np.maximum(a * columns[None, :] + (b * rows + c)[:, None], np.float32(0.0))
    sine = rise / np.sqrt(np.float32(1.0) + rise * rise)
    away = np.float32(1.0) / (rise + np.float32(0.12))  # clouds get smaller towards the horizon
    slope = (columns + np.float32(0.5)) * np.float32(camera.width / size[0]) - np.float32(camera.K[0, 2])
    across = slope[None, :] / np.float32(camera.K[0, 0]) * away
    texture, up = np.zeros(rise.shape, np.float32), rise > 0
    texture[up] = lookup_noise(params.seed, across[up], away[up], cell=1.3, octaves=4, gain=0.55)
    fade = np.minimum(rise * np.float32(6.0), np.float32(1.0))
    light = np.float32(params.horizon * dim**0.7) * (np.float32(1.0) + np.float32(0.8) * sine)
    return (light * (np.float32(1.0) + np.float32(params.clouds) * fade * texture))[None]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _cloud(image, sky, maps, gain, grey, lost, out):  # type: ignore[no-untyped-def]  # numba infers
    """Flatten, dim and cool the picture by coarse maps (4, h, w), and lay the grey sky where `sky` (H, W) is."""
    rows, columns = sky.shape
    red, green, blue = np.empty(columns, np.float32), np.empty(columns, np.float32), np.empty(columns, np.float32)
    steps, line = np.empty((3, columns), np.uint16), np.empty(maps.shape[2], np.float32)
    change, here, one = np.empty(columns, np.float32), np.empty((4, columns), np.float32), np.float32(1.0)
    left, right, near = stretch(columns, maps.shape[2])
    upper, lower, down = stretch(rows, maps.shape[1])
    g0, g1, g2 = gain
    less = one - grey
    for i in range(rows):
        row = image[i]
        decode_row(row, red, green, blue)
        stretch_row(maps, upper[i], lower[i], down[i], left, right, near, line, here)
        for j in range(columns):
            code = np.uint32(77) * row[3 * j] + np.uint32(150) * row[3 * j + 1] + np.uint32(29) * row[3 * j + 2]
            change[j] = _LOG[code >> np.uint32(8)]
        for j in range(columns):
            brighter = min(max(here[1, j] * change[j] + here[2, j] - here[0, j], np.float32(-1.5)), np.float32(1.5))
            brighter *= np.float32(BRIGHTER) if brighter > 0 else one
            change[j] = brighter * (one - np.float32(sky[i, j]) * np.float32(1.0 / 255.0))
        for j in range(columns):
            light = grey * (np.float32(0.2126) * red[j] + np.float32(0.7152) * green[j] + np.float32(0.0722) * blue[j])
            part = np.float32(sky[i, j]) * np.float32(1.0 / 255.0) * lost
            r = (less * red[j] + light) * g0 * decay(np.float32(1.0 + BLUE_OF_SHADE) * change[j])
            g = (less * green[j] + light) * g1 * decay(change[j])
            b = (less * blue[j] + light) * g2 * decay(np.float32(1.0 - BLUE_OF_SHADE) * change[j])
            red[j] = r + part * (here[3, j] * np.float32(0.99) - r)
            green[j] = g + part * (here[3, j] - g)
            blue[j] = b + part * (here[3, j] * np.float32(1.03) - b)
        encode_row(red, green, blue, steps, out[i])
