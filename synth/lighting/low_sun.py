"""Low sun ahead: disc, glare and flare, with everything else against the light.

Light scattered in lens and windscreen falls with the square of the angle from the sun, as in the eye (Stiles-Holladay);
the sun stands where there is sky, and what is in front of its disc hides the disc but not the glare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Sample
from synth.atmosphere import depth_and_camera, sky_share
from synth.ground import ground_frame
from synth.radiometry import Linear, decode, encode
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.wet import ground_cover

DISC_RAD = math.radians(0.6)  # the sun is 0.27 degrees in radius; over-exposure makes it look twice as wide
CORE_RAD = math.radians(2.0)  # the law of scatter flattens inside
TEN_DEGREES = math.radians(10.0)
_TRIES = 12
_REDUCED = 4


@dataclass(frozen=True)
class LowSunParams:
    """One drawn sun. Position in pixels (may be outside the picture), glare as share of white at 10 degrees from it."""

    sun_x: float
    sun_y: float
    glare: float
    seen: float
    star_rad: float
    blades: int
    ghosts: float


@register
@dataclass(frozen=True)
class LowSun:
    """Driving towards a low sun."""

    name: ClassVar[str] = "lighting/low_sun"
    family: ClassVar[Family] = "lighting"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "veiling light 10 degrees from the sun",
        "% of white",
        (3.0, 7.0, 15.0, 30.0, 55.0),
        "scatter falls with the square of the angle (Stiles-Holladay, CIE 146); clean optics to a dirty windscreen",
        "log",
    )
    params_type: ClassVar[type[LowSunParams]] = LowSunParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> LowSunParams:
        depth, camera = depth_and_camera(sample, self.name)
        tries = [(rng.uniform(0.08, 0.92), math.radians(rng.uniform(3.0, 12.0))) for _ in range(_TRIES)]
        star, blades, ghosts = rng.uniform(0.0, math.pi), rng.choice((6, 8, 14)), rng.uniform(0.3, 1.0)
        sun_x, sun_y, seen = _place(depth, camera, tries)
        return LowSunParams(
            sun_x=sun_x,
            sun_y=sun_y,
            glare=0.01 * self.table.at(severity),
            seen=seen,
            star_rad=star,
            blades=blades,
            ghosts=ghosts,
        )

    def apply(self, sample: Sample, params: LowSunParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        image = np.ascontiguousarray(sample.image)
        added = _scattered(params, depth, camera)
        share = sky_share(image, depth)
        out = np.empty_like(image)
        # The camera stops down, and sees the shadow sides of things.
        against = np.float32(1.0 / (1.0 + 1.2 * min(params.glare, 0.6) ** 0.5))
        sun = np.array([params.sun_x, params.sun_y, DISC_RAD * camera.K[0, 0]], np.float32)
        _combine(image, share, added, against, sun, out)
        return replace(sample, image=out)


def _place(depth: Depth, camera: Camera, tries: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Return where the sun stands in pixels, and how much of it is seen: at the first place tried with sky around it.

    Where no place has sky, the sun is behind what is in front of it, and only its light that is bent around reaches us.
    """
    best = (0.0, 0.0, -1.0)
    for across, elevation in tries:
        x = across * camera.width
        y = _row_of(camera, x, elevation)
        seen = _sky_around(depth, x, y, reach=max(1.0, DISC_RAD * float(camera.K[0, 0])))
        if seen > best[2]:
            best = (x, y, seen)
        if seen > 0.7:
            break
    return best


def _row_of(camera: Camera, x: float, elevation_rad: float) -> float:
    """Return the row in which a column looks up by an elevation over the horizon."""
    up, _ = ground_frame(camera)
    ray_x = (x - camera.K[0, 2]) / camera.K[0, 0]
    # up . (ray_x, ray_y, 1) = tan(elevation) x horizontal length, taken as that of a level ray
    ray_y = (math.tan(elevation_rad) * math.hypot(1.0, ray_x) - up[0] * ray_x - up[2]) / up[1]
    return float(camera.K[1, 1] * ray_y + camera.K[1, 2])


def _sky_around(depth: Depth, x: float, y: float, *, reach: float) -> float:
    """Return the share of sky in a square around a pixel; outside the picture the nearest border counts."""
    height, width = depth.shape
    column, row = min(max(int(x), 0), width - 1), min(max(int(y), 0), height - 1)
    r = math.ceil(2 * reach)
    window = depth[max(row - r, 0) : row + r + 1, max(column - r, 0) : column + r + 1]
    return float(np.isinf(window).mean())


def _scattered(params: LowSunParams, depth: Depth, camera: Camera) -> Linear:
    """Return (H, W, 3) light that lens and windscreen spread from the sun: glow, diffraction star and ghosts."""
    height, width = camera.height, camera.width
    step = _REDUCED if min(height, width) >= 8 * _REDUCED else 1
    size = (max(1, width // step), max(1, height // step))
    focal = float(camera.K[0, 0])
    x = ((np.arange(size[0]) + 0.5) * width / size[0] - params.sun_x).astype(np.float32)[None, :] / np.float32(focal)
    y = ((np.arange(size[1]) + 0.5) * height / size[1] - params.sun_y).astype(np.float32)[:, None] / np.float32(focal)
    angle2 = x * x + y * y
    strength = params.glare * (0.35 + 0.65 * params.seen)
    glow = 1.3 * strength * TEN_DEGREES**2 / (angle2 + CORE_RAD**2)
    spokes = np.abs(np.cos(0.5 * params.blades * (np.arctan2(y, x) - params.star_rad))) ** 60
    star = 0.5 * params.seen * strength * TEN_DEGREES**1.5 / (angle2 + CORE_RAD**2) ** 0.75 * np.exp(-angle2 / 0.03)
    glow += star * spokes
    colour = np.array([1.0, 0.86, 0.62], np.float32)  # the sun through 5 to 10 atmospheres
    white = np.array([1.0, 0.96, 0.88], np.float32)  # near the sun every channel is full
    mixed = glow[..., None] * (colour + (white - colour) * np.minimum(glow, 1.0)[..., None])
    mixed += _ghosts(params, camera, size)
    coarse = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST).reshape(size[::-1])
    mixed += _sheen(params, x, *ground_cover(coarse, camera))[..., None] * colour
    full: Linear = cv2.resize(mixed.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return full.reshape(height, width, 3)


def _sheen(
    params: LowSunParams, x: NDArray[np.float32], cover: NDArray[np.float32], fall: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (h, w) sunlight that asphalt throws forward below the sun: a long lobe, strongest at grazing angles."""
    lobe = np.exp(-((x / 0.10) ** 2)) * np.exp(-((fall / 0.22) ** 2))
    sheen: NDArray[np.float32] = (0.4 * params.seen * params.glare**0.5 * cover * lobe).astype(np.float32)
    return sheen


def _ghosts(params: LowSunParams, camera: Camera, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return (h, w, 3) reflections between lens surfaces: soft discs on the line from the sun through the centre."""
    width, height = camera.width, camera.height
    out = np.zeros((size[1], size[0], 3), np.float32)
    strength = 0.12 * params.ghosts * params.glare**0.7 * params.seen
    to_centre = (0.5 * width - params.sun_x, 0.5 * height - params.sun_y)
    columns = ((np.arange(size[0]) + 0.5) * width / size[0])[None, :]
    rows = ((np.arange(size[1]) + 0.5) * height / size[1])[:, None]
    for along, radius, colour in (
        (0.55, 0.020, (0.9, 0.8, 0.4)),
        (1.25, 0.035, (0.4, 0.8, 0.5)),
        (1.60, 0.012, (0.9, 0.5, 0.3)),
        (1.95, 0.055, (0.35, 0.5, 0.9)),
    ):
        x, y = params.sun_x + along * to_centre[0], params.sun_y + along * to_centre[1]
        distance = np.hypot(columns - x, rows - y) / (radius * width)
        edge = 1.0 / (1.0 + np.exp(np.clip(18.0 * (distance - 1.0), -30.0, 30.0)))
        disc = strength * edge * (0.55 + 0.45 * np.minimum(distance, 1.0))
        out += (disc[..., None] * np.array(colour)).astype(np.float32)
    return out


@njit(cache=True)
def _combine(image, share, added, against, sun, out):  # type: ignore[no-untyped-def]  # numba infers
    rows, columns = share.shape
    one = np.float32(1.0)
    for i in range(rows):
        for j in range(columns):
            sky = share[i, j]
            dim = against + sky * (one - against)
            dx, dy = np.float32(j) + np.float32(0.5) - sun[0], np.float32(i) + np.float32(0.5) - sun[1]
            rim = sun[2] + np.float32(0.5) - np.sqrt(dx * dx + dy * dy)
            disc = sky * min(max(rim, np.float32(0.0)), one)
            for c in range(3):
                day = decode(image[i, j, c]) * dim
                # a film-like shoulder: glare fills what is left to white, and never cuts off
                out[i, j, c] = encode(day + (one - day) * (one - np.exp(-added[i, j, c])) + disc)
