"""Dusk: the sun is down, the sky lights the street from a warm rim at the horizon to deep blue overhead.

Light comes from the sky alone: level ground sees all of it, upright surfaces half. The camera opens up as the light
goes, but keeps some of the dark; at civil twilight it is at its limit, and noise shows. Lamps gain on their
surroundings, and the car's own low beams begin to count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Sample
from synth.atmosphere import depth_and_camera
from synth.lighting.relight import DAY_LUX, LARGEST_GAIN, Light, relit
from synth.lighting.sky import reduced_directions, sky_matte
from synth.radiometry import Linear
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

SUNSET_LUX = 400.0
TWILIGHT_LUX = 3.4  # the sun 6 degrees down: the end of civil twilight
UPRIGHT = 0.55  # of the skylight on the ground: half the sky, and what the ground sends back
KEPT_DARK = 0.16  # exponent by which the exposed level falls with light: 6 EV of light cost 1 EV


@dataclass(frozen=True)
class DuskParams:
    """One drawn dusk: light on the ground, where the sun went down (right of straight ahead), own low beams."""

    illuminance_lux: float
    sun_azimuth_rad: float
    glow: float
    beam: float
    read_noise_e: float
    seed: int


@register
@dataclass(frozen=True)
class Dusk:
    """Dusk after sunset, to the end of civil twilight, with the glow in the sky ahead."""

    name: ClassVar[str] = "lighting/dusk"
    family: ClassVar[Family] = "lighting"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "illuminance",
        "lx",
        (400.0, 120.0, 40.0, 12.0, 3.4),
        "clear sky: 400 lx at sunset to 3.4 lx when the sun is 6 degrees down, the end of civil twilight "
        "(Seidelmann 1992, Explanatory Supplement to the Astronomical Almanac)",
        "log",
    )
    params_type: ClassVar[type[DuskParams]] = DuskParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DuskParams:
        return DuskParams(
            illuminance_lux=self.table.at(severity),
            sun_azimuth_rad=math.radians(rng.uniform(-60.0, 60.0)),
            glow=rng.uniform(0.5, 1.2),
            beam=rng.uniform(0.7, 1.8),
            read_noise_e=rng.uniform(1.5, 3.0),
            seed=rng.seed(),
        )

    def apply(self, sample: Sample, params: DuskParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        light = Light(
            ambient=(params.illuminance_lux * _tint(params.illuminance_lux)).astype(np.float32),
            upright=UPRIGHT,
            beam=params.beam,
            sky=dusk_sky(camera, params),
            sky_detail=0.5,
            gain=exposure_gain(params.illuminance_lux),
            read_noise_e=params.read_noise_e,
            seed=params.seed,
        )
        share = sky_matte(sample.image, depth, camera)
        return replace(sample, image=relit(sample.image, depth, camera, share, light))


def exposure_gain(lux: float) -> float:
    """Return how much more than by day (10,000 lux) a camera exposes: nearly what the light lost, up to its limit.

    >>> [round(lux * exposure_gain(lux) / 10_000, 2) for lux in (10_000, 400, 3.4)]  # how bright white comes out
    [1.0, 0.6, 0.18]
    """
    return min(LARGEST_GAIN, (DAY_LUX / lux) ** (1.0 - KEPT_DARK))


def _late(lux: float) -> float:
    """Return how far dusk has gone: 0 at sunset, 1 at the end of civil twilight."""
    return min(1.0, max(0.0, math.log(SUNSET_LUX / lux) / math.log(SUNSET_LUX / TWILIGHT_LUX)))


def _tint(lux: float) -> NDArray[np.float64]:
    """Return (3,) colour of skylight on the ground, of luminance 1: about 9,000 K at sunset, bluer later (ozone)."""
    colour = np.array([0.86, 0.98, 1.25]) + _late(lux) * np.array([-0.16, -0.02, 0.30])
    scaled: NDArray[np.float64] = colour / (colour @ [0.2126, 0.7152, 0.0722])
    return scaled


def dusk_sky(camera: Camera, params: DuskParams) -> Linear:
    """Return (h, w, 3) lux of the sky: orange at the horizon over the sun, pale above, blue overhead and away from it.

    A sky of even luminance would have the lux of the ground; the rim has up to three times that, the zenith half.
    """
    azimuth, elevation = reduced_directions(camera)
    degrees = np.degrees(np.maximum(elevation, 0.0))
    late = _late(params.illuminance_lux)
    toward = np.exp(-(((azimuth - params.sun_azimuth_rad) / math.radians(48.0)) ** 2))
    rim = params.glow * (0.25 + 0.75 * toward) * np.exp(-degrees / (7.5 - 3.5 * late))
    pale = (0.4 + 0.6 * toward) * np.exp(-degrees / (19.0 - 5.0 * late))
    overhead = 0.45 + 0.35 * np.exp(-degrees / 25.0)
    blue = np.array([0.29, 0.50, 1.0]) + late * np.array([-0.14, -0.14, 0.0])
    sky = (
        rim[..., None] * np.array([2.1, 0.86, 0.18])
        + 0.55 * pale[..., None] * np.array([1.0, 0.74, 0.52])
        + overhead[..., None] * blue
    )
    lux: Linear = (params.illuminance_lux * sky).astype(np.float32)
    return lux
