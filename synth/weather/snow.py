"""Falling snow of a given visibility: flakes near the camera by size, speed and focus, and the veil of all the others.

How many flakes there are follows from the visibility: large particles take away twice the light that meets them, so
extinction = 2 N pi/4 <D^2>, with exponentially distributed diameters (Gunn and Marshall 1958), <D^2> = 2 mean^2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from scenes.camera import Camera
from scenes.edits import SetSnow
from scenes.sample import Sample
from synth import anchored, particles
from synth.atmosphere import Air, Colour, airlight_of, depth_and_camera, extinction_per_m
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable, check_option
from synth.veil import veil

FARTHEST_M = 4.5  # flakes beyond are under half a pixel: they are the veil
LARGEST_M = 0.012
BRIGHTNESS = 1.1  # flakes are lit from all around, and brighter than the veil at the horizon
SUN_LOST = 0.4  # snow clouds are bright: the ground sends light back up


@dataclass(frozen=True)
class SnowParams:
    """One drawn snowfall. Sizes in mm, speeds in m/s (camera: forward, wind: to the right)."""

    visibility_m: float
    mean_size_mm: float
    exposure_ms: float
    speed_mps: float
    wind_mps: float
    cloud_base_m: float
    airlight: tuple[float, float, float]
    seed: int
    places: str = "camera"


@register
@dataclass(frozen=True)
class Snow:
    """Snow before and around the camera. Options: exposure and speed of the car, drawn unless given.

    places: of the flakes: camera, or world, where two cameras and the frames of a drive see the same ones
    seed:   of the flakes in the world, for all frames; drawn for each unless given
    """

    name: ClassVar[str] = "weather/snow"
    family: ClassVar[Family] = "weather"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "visibility",
        "m",
        (1000.0, 600.0, 350.0, 200.0, 100.0),
        "snow is light over 1000 m, moderate over 500 m, heavy below (WMO No. 8, NWS); 100 m is a snow squall",
        "reciprocal",
    )
    params_type: ClassVar[type[SnowParams]] = SnowParams

    exposure_ms: float | None = None
    speed_mps: float | None = None
    places: anchored.Places = "camera"
    seed: int | None = None

    def __post_init__(self) -> None:
        check_option(self.name, "exposure_ms", self.exposure_ms, 0.001, 1000, "ms")
        check_option(self.name, "speed_mps", self.speed_mps, -100, 100, "m/s")
        anchored.check_places(self.places, self.seed)

    def draw(self, sample: Sample, severity: float, rng: Rng) -> SnowParams:
        exposure, speed, dimming = rng.uniform(3.0, 10.0), rng.uniform(0.0, 10.0), rng.uniform(0.8, 0.95)
        red, green, blue = airlight_of(sample.image)
        return SnowParams(
            visibility_m=self.table.at(severity),
            mean_size_mm=rng.uniform(2.0, 3.5),
            exposure_ms=exposure if self.exposure_ms is None else self.exposure_ms,
            speed_mps=speed if self.speed_mps is None else self.speed_mps,
            wind_mps=2.0 * rng.normal(),
            cloud_base_m=rng.uniform(300.0, 900.0),
            airlight=(dimming * red, dimming * green, dimming * blue),
            seed=anchored.seed(rng.seed(), self.seed),
            places=self.places,
        )

    def apply(self, sample: Sample, params: SnowParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        if params.places == "world":
            found = anchored.streaks(SetSnow(params.visibility_m), sample, camera, params)
        else:
            found = streaks(params, camera)
        hidden = particles.cover(depth, found)
        light = particles.surroundings(sample.image, airlight=params.airlight, sky_share=0.9) * np.float32(BRIGHTNESS)
        air = Air(extinction_per_m(params.visibility_m), params.airlight, layer_m=params.cloud_base_m)
        dim: Colour = (1.0 - 0.5 * SUN_LOST,) * 3
        shown = veil(sample.image, depth, camera, air, gain=dim, grey=0.5 * SUN_LOST, cover=hidden, light=light)
        return replace(sample, image=shown)


def streaks(params: SnowParams, camera: Camera) -> particles.Array:
    """Return the streaks (M, 7) of the flakes near the camera."""
    mean_m = 1e-3 * params.mean_size_mm
    reach = particles.farthest_m(camera, size_m=3e-3, limit_m=FARTHEST_M)
    density = flakes_per_m3(params.visibility_m, mean_m)
    count = particles.count_in_view(camera, per_m3=density, farthest_m=reach)
    position, numbers = particles.place(params.seed, count, camera, farthest_m=reach)
    size_m = np.minimum(np.float32(-mean_m) * np.log1p(-numbers[:, 0]), np.float32(LARGEST_M))
    velocity = np.empty((count, 3), np.float32)
    velocity[:, 0] = np.float32(params.wind_mps - 0.6) + np.float32(1.2) * numbers[:, 1]  # flakes flutter
    velocity[:, 1] = np.float32(0.7) + np.float32(0.8) * numbers[:, 2]  # 0.7 to 1.5 m/s (Locatelli and Hobbs 1974)
    velocity[:, 2] = -params.speed_mps
    return particles.streaks(position, velocity, size_m, camera, exposure_s=1e-3 * params.exposure_ms)


def flakes_per_m3(visibility_m: float, mean_size_m: float) -> float:
    """Return how many flakes in a cubic metre leave that visibility."""
    return extinction_per_m(visibility_m) / (2.0 * math.pi / 4.0 * 2.0 * mean_size_m**2)
