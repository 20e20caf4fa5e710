"""Snow that lies: on road, pavement, grass, car tops, roofs and whatever else looks up, with tyre tracks in it.

Where snow is D deep it hides 1 - exp(-D / 0.7 cm) of the ground (snow's albedo is reached at 2 to 3 cm, Warren 1982).
Tyres press it to a twelfth, so that tracks are bare in thin snow and packed white in deep snow. What stands up gets
snow where its surface, by the normal of the depth map, looks up, and a cap as thick as the snow on its upper edge. Deep
snow is uneven: walls of ruts and lumps turn towards the light or away from it, and ruts see less of the sky.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Image, Sample
from synth.atmosphere import airlight_of, depth_and_camera
from synth.noise import lookup_noise
from synth.radiometry import FAST, decode_row, encode_row, luminance, rows_of, to_linear
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.weather.standing_snow import HIDES_CM, upward_cover
from synth.weather.surfaces import (
    ROAD,
    Codes,
    Map,
    ground_map,
    kinds_of,
    plane_of,
    stretch,
    stretch_row,
)

ALBEDO_OVER_AIR = 1.05  # snow in the open sends a little more than the sky at the horizon
ALBEDO_OVER_ROAD = 7.0  # 0.8 of snow, 0.12 of asphalt
FAR_M = 400.0
LANE_M, GAUGE_M, TYRE_M = 3.5, 1.55, 0.26  # width of a lane, distance of a car's tyres, half the width of a track
PRESSED = 1.0 / 12.0
LUMPS, LUMPS_CM = 0.35, 10.0  # height of lumps over depth; no higher than in snow so deep
RELIEF = 0.5  # how much more, or less, light a wall gets that stands upright
PACKED = 0.85  # albedo of snow that tyres pressed, over that of fresh snow (Warren 1982)
SLUSH = 0.6  # what thin snow wets is as dark as wet asphalt


@dataclass(frozen=True)
class SnowCoverParams:
    """One drawn cover: depth, where the lane's middle is to the right of the camera, radiance of snow in the open."""

    depth_cm: float
    lane_m: float
    radiance: float
    seed: int


@register
@dataclass(frozen=True)
class SnowCover:
    """Lying snow of a given depth. Option: tracks, off for a road on which nobody has driven."""

    name: ClassVar[str] = "weather/snow_cover"
    family: ClassVar[Family] = "weather"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "snow depth",
        "cm",
        (0.3, 1.0, 3.0, 8.0, 20.0),
        "under 1 cm the ground shows through; roads are ploughed from 3 to 5 cm on (winter service guidelines); 20 cm "
        "is what a car with summer ground clearance can still push through",
        "log",
    )
    params_type: ClassVar[type[SnowCoverParams]] = SnowCoverParams

    tracks: bool = True

    def draw(self, sample: Sample, severity: float, rng: Rng) -> SnowCoverParams:
        lane, level = rng.uniform(-0.3, 0.3), rng.uniform(0.92, 1.08)
        return SnowCoverParams(
            depth_cm=self.table.at(severity),
            lane_m=lane,
            radiance=level * snow_radiance(sample.image),
            seed=rng.seed(),
        )

    def apply(self, sample: Sample, params: SnowCoverParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        image, kinds = np.ascontiguousarray(sample.image), kinds_of(sample)
        ground = ground_map(sample, depth, camera)
        lying = _lying(image, kinds, ground, camera, params, tracks=self.tracks)
        capped = _outlined(sample)
        standing = upward_cover(image, depth, camera, kinds, ground, depth_cm=params.depth_cm, capped=capped)
        out = np.empty_like(image)
        _lay(rows_of(image), ground, standing, lying, np.float32(params.radiance), rows_of(out))
        return replace(sample, image=out)


def snow_radiance(image: Image) -> float:
    """Return the linear radiance of snow in the open: sky over it, and so many times the road's as its albedo is."""
    lower = image[int(0.6 * image.shape[0]) :: max(1, image.shape[0] // 90), :: max(1, image.shape[1] // 160)]
    road = float(np.percentile(luminance(to_linear(np.ascontiguousarray(lower))), 60))
    return min(ALBEDO_OVER_AIR * airlight_of(image)[1], ALBEDO_OVER_ROAD * road + 0.05, 0.8)


def _outlined(sample: Sample) -> bool:
    """Tell whether labels say where things end: by assumed depth alone, hills and trees would get caps of cars."""
    notes = sample.annotations
    return sample.instances is not None or notes.masks is not None or notes.segmentation is not None


def _lying(image: Image, kinds: Codes, ground: Codes, camera: Camera, params: SnowCoverParams, *, tracks: bool) -> Map:
    """Return (2, h, w) at half the size: cover of the ground, and light that snow sends there over that in the open."""
    height, width = ground.shape
    step = 2 if min(height, width) >= 64 else 1
    size = (width // step, height // step)
    plane = plane_of(camera, size[::-1])
    a, b, c, over = (float(v) for v in plane)
    rise = a * 0.5 * size[0] + b * np.arange(size[1]) + c
    forward = (over / np.maximum(-rise, over / FAR_M)).astype(np.float32)  # of the middle of each row
    bend = 0.16 * lookup_noise(params.seed + 1, np.zeros_like(forward), forward, cell=9.0, octaves=2)
    rng = Rng(params.seed, "tracks")
    worn = np.array([rng.uniform(0.6, 1.0) for _ in range(15)], np.float32)
    worn[7] = 1.0  # the lane of the camera has been driven on
    slope = ((np.arange(size[0]) + 0.5) * (width / size[0]) - camera.K[0, 2]) / camera.K[0, 0]
    maps = np.zeros((2, size[1], size[0]), np.float32)
    maps[1] = _shade(image, ground, rise, size)
    thin = np.ascontiguousarray(kinds[::step, ::step][: size[1], : size[0]])
    known = bool((thin == ROAD).any())
    grid = rng.uniforms(64, 64).astype(np.float32) * 2 - 1
    sun = -1.0 if rng.uniform() < 0.5 else 1.0  # the side the light comes from
    numbers = np.array([params.depth_cm, params.lane_m, 1.0 if tracks else 0.0, sun], np.float32)
    _lie(plane, slope.astype(np.float32), bend, worn, grid, thin, known, numbers, maps)
    return maps


@njit(cache=True, inline="always")
def _noise(grid, x, y):  # type: ignore[no-untyped-def]  # numba infers
    """Return a bilinear value of a periodic grid (64, 64)."""
    column, row = np.floor(x), np.floor(y)
    u, v = x - column, y - row
    i, j = int(row) & 63, int(column) & 63
    i1, j1 = (i + 1) & 63, (j + 1) & 63
    upper = grid[i, j] + u * (grid[i, j1] - grid[i, j])
    lower = grid[i1, j] + u * (grid[i1, j1] - grid[i1, j])
    return upper + v * (lower - upper)


@njit(cache=True, nogil=True, error_model="numpy")
def _lie(plane, slope, bend, worn, grid, kinds, known, numbers, maps):  # type: ignore[no-untyped-def]  # numba infers
    """Fill maps (2, h, w) on the ground: cover, and by how much packed and uneven snow changes the light in there."""
    a, b, c, over = plane
    depth_cm, lane_m, tracks, sun = numbers
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    lump = np.float32(LUMPS) * min(depth_cm, np.float32(LUMPS_CM))
    rut = np.float32(0.01 * (1.0 - PRESSED)) * depth_cm
    seen = np.float32(TYRE_M) / np.sqrt(np.float32(TYRE_M * TYRE_M) + rut * rut)  # of the sky, from within a rut
    packed = one - np.float32(PACKED) * seen
    for i in range(maps.shape[1]):
        before = zero
        for j in range(maps.shape[2]):
            rise = a * np.float32(j) + b * np.float32(i) + c
            if rise >= 0:
                continue
            ahead = over / max(-rise, over / np.float32(FAR_M))
            across = slope[j] * ahead
            drift = _noise(grid, across * np.float32(0.8), ahead * np.float32(0.4))
            drift += half * _noise(grid, across * np.float32(2.1), ahead * np.float32(1.3) + np.float32(17.0))
            # what is smaller than a pixel is gone
            fine = one / (one + ahead * ahead * np.float32(0.004))
            grain = zero
            if fine > np.float32(0.1):
                grain = _noise(grid, across * np.float32(9.0) + np.float32(5.0), ahead * np.float32(6.0))
                grain += half * _noise(grid, across * np.float32(23.0), ahead * np.float32(17.0))
                grain *= fine - np.float32(0.1)
            coarse = one / (one + ahead * ahead * np.float32(0.001))
            clod = coarse * _noise(grid, across * np.float32(4.5) + np.float32(31.0), ahead * np.float32(3.0))
            pressed = zero
            if tracks > 0 and (kinds[i, j] == ROAD or (not known and abs(across) < np.float32(5.4))):
                place = (across - lane_m + bend[i]) / np.float32(LANE_M)
                lane = np.rint(place)
                off = (abs(place - lane) * np.float32(LANE_M) - np.float32(0.5 * GAUGE_M)) / np.float32(TYRE_M)
                off = off * (one + np.float32(0.25) * grain) + np.float32(0.25) * drift
                which = min(max(int(lane) + 7, 0), 14)
                pressed = worn[which] / (one + off * off * off * off * off * off)
            amount = max(one + np.float32(0.6) * drift + np.float32(0.5) * grain, np.float32(0.05))
            amount *= depth_cm * (one - np.float32(1.0 - PRESSED) * pressed)
            maps[0, i, j] = one - np.exp(np.float32(-1.0 / HIDES_CM) * amount)
            high = depth_cm * (one - np.float32(1.0 - PRESSED) * pressed) * (one + np.float32(0.15) * drift)
            high = np.float32(0.01) * (high + lump * (clod + np.float32(0.2) * grain))
            steep = (high - before) / max(ahead * (slope[j] - slope[max(j - 1, 0)]), np.float32(1e-6))
            steep = zero if j == 0 or before == zero else steep
            before = high
            maps[1, i, j] += np.float32(0.05) * grain + np.float32(0.04) * drift * fine
            maps[1, i, j] *= one + np.float32(RELIEF) * sun * steep / np.sqrt(one + steep * steep)
            maps[1, i, j] *= one - packed * pressed


def _shade(image: Image, ground: Codes, rise: NDArray[np.float64], size: tuple[int, int]) -> Map:
    """Return (h, w) light that falls on the ground over that in the open, 0.3 to 1, no lane markings nor objects."""
    step = 8 if min(size) >= 64 else 1
    thin = np.ascontiguousarray(image[::step, ::step])
    grey = cv2.cvtColor(thin, cv2.COLOR_RGB2GRAY).reshape(thin.shape[:2])
    window = max(3, grey.shape[1] // 40) | 1
    smooth = cv2.blur(cv2.medianBlur(grey, window), (3, 3)).reshape(grey.shape)
    near = smooth[min(int(np.count_nonzero(rise >= -0.05) * grey.shape[0] / size[1]), grey.shape[0] - 1) :]
    open_code = max(float(np.percentile(near, 80)), 8.0)
    table = np.clip((np.arange(256) / open_code) ** 1.3, 0.3, 1.0).astype(np.float32)  # codes are not linear
    light = cv2.LUT(smooth, table).reshape(grey.shape)
    bare = cv2.erode((ground[::step, ::step] > 200).astype(np.float32), np.ones((3, 3), np.uint8)).reshape(grey.shape)
    reach = (4 * window + 1, 4 * window + 1)
    around = cv2.blur(light * bare, reach) / np.maximum(cv2.blur(bare, reach), 1e-3)
    light = np.where(bare > 0, light, np.where(around > 0, around, light)).astype(np.float32)
    shade: Map = cv2.resize(light, size, interpolation=cv2.INTER_LINEAR).reshape(size[::-1])
    return shade


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _lay(image, ground, standing, lying, radiance, out):  # type: ignore[no-untyped-def]  # numba infers
    """Mix the picture (H, W, 3) with snow in its shade; bare ground in snow is wet."""
    rows, columns = ground.shape
    red, green, blue = np.empty(columns, np.float32), np.empty(columns, np.float32), np.empty(columns, np.float32)
    steps, line = np.empty((3, columns), np.uint16), np.empty(lying.shape[2], np.float32)
    here, one = np.empty((2, columns), np.float32), np.float32(1.0)
    part, keep, snow = np.empty(columns, np.float32), np.empty(columns, np.float32), np.empty(columns, np.float32)
    flat = np.empty(columns, np.float32)
    left, right, near = stretch(columns, lying.shape[2])
    upper, lower, down = stretch(rows, lying.shape[1])
    for i in range(rows):
        decode_row(image[i], red, green, blue)
        stretch_row(lying, upper[i], lower[i], down[i], left, right, near, line, here)
        for j in range(columns):
            flat[j] = np.float32(ground[i, j]) * np.float32(1.0 / 255.0)
        for j in range(columns):
            # what is as bright as snow already is sky between leaves, or white
            room = np.float32(4.0) - np.float32(4.0) * green[j] / (radiance * here[1, j])
            upper_part = standing[i, j] * min(max(room, np.float32(0.0)), one)
            part[j] = upper_part + flat[j] * (here[0, j] - upper_part)
        for j in range(columns):
            keep[j] = one - flat[j] * np.float32(1.0 - SLUSH) * min(np.float32(3.0) * part[j], one)
            keep[j] *= one - part[j]
        for j in range(columns):
            snow[j] = part[j] * radiance * here[1, j]
        for j in range(columns):
            cold = np.float32(0.10) * max(one - here[1, j], np.float32(0.0))
            red[j] = red[j] * keep[j] + snow[j] * (one - cold)
            blue[j] = blue[j] * keep[j] + snow[j] * (one + cold)
        for j in range(columns):
            green[j] = green[j] * keep[j] + snow[j]
        encode_row(red, green, blue, steps, out[i])
