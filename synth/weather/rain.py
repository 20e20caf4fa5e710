"""Rain of a given rate: streaks of the drops near the camera, and the veil of all the others.

Drop sizes after Marshall and Palmer (1948), N(D) = 8000 exp(-4.1 R^-0.21 D) per m3 and mm; terminal speed after Atlas
(1973), 9.65 - 10.3 exp(-0.6 D) m/s; extinction 0.312 R^0.67 per km; a drop refracts a wide cone of the scene, mostly
sky, and sends 94 % of it on (Garg and Nayar 2007).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.edits import SetRain
from scenes.sample import Sample
from synth import anchored, particles
from synth.atmosphere import Air, Colour, airlight_of, depth_and_camera
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable, check_option
from synth.veil import veil
from synth.wet import water_on

SMALLEST_MM = 0.7  # smaller drops make no streak that a camera resolves
FARTHEST_M = 3.6  # drops beyond change a pixel by less than about a grey level each: they are the veil
THROUGHPUT = 0.94
ZENITH = 1.4  # an overcast sky is brighter overhead than at the horizon (CIE overcast: 3 to 1)


@dataclass(frozen=True)
class RainParams:
    """One drawn rain. Speeds in m/s (camera: forward, wind: to the right); the cloud base is over the camera.

    places: of the drops; in the world the wind is that of the seed
    """

    rate_mm_per_h: float
    exposure_ms: float
    speed_mps: float
    wind_mps: float
    cloud_base_m: float
    airlight: tuple[float, float, float]
    seed: int
    places: str = "camera"


@register
@dataclass(frozen=True)
class Rain:
    """Rain before and around the camera. Options: exposure and speed of the car, drawn unless given; wet ground.

    places: of the drops: camera, or world, where two cameras and the frames of a drive see the same ones
    seed:   of the drops in the world, for all frames; drawn for each unless given
    """

    name: ClassVar[str] = "weather/rain"
    family: ClassVar[Family] = "weather"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "rain rate",
        "mm/h",
        (5.0, 15.0, 30.0, 60.0, 120.0),
        "over 7.6 mm/h is heavy (AMS), over 50 violent (Met Office); Tremblay 2020 renders 5 to 200 mm/h",
        "log",
    )
    params_type: ClassVar[type[RainParams]] = RainParams

    exposure_ms: float | None = None
    speed_mps: float | None = None
    wet_ground: bool = True
    places: anchored.Places = "camera"
    seed: int | None = None

    def __post_init__(self) -> None:
        check_option(self.name, "exposure_ms", self.exposure_ms, 0.001, 1000, "ms")
        check_option(self.name, "speed_mps", self.speed_mps, -100, 100, "m/s")
        anchored.check_places(self.places, self.seed)

    def draw(self, sample: Sample, severity: float, rng: Rng) -> RainParams:
        exposure, speed, dimming = rng.uniform(2.5, 6.0), rng.uniform(0.0, 14.0), rng.uniform(0.55, 0.75)
        red, green, blue = airlight_of(sample.image)
        return RainParams(
            rate_mm_per_h=self.table.at(severity),
            exposure_ms=exposure if self.exposure_ms is None else self.exposure_ms,
            speed_mps=speed if self.speed_mps is None else self.speed_mps,
            wind_mps=1.5 * rng.normal(),
            cloud_base_m=rng.uniform(500.0, 1200.0),
            airlight=(dimming * red, dimming * green, dimming * blue),
            seed=anchored.seed(rng.seed(), self.seed),
            places=self.places,
        )

    def apply(self, sample: Sample, params: RainParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        film = film_mm(params.rate_mm_per_h) if self.wet_ground else 0.0
        water = water_on(sample, depth, camera, film_mm=film, seed=params.seed, ruffled=True)
        lost = 0.5 * sun_lost(params.rate_mm_per_h)
        if params.places == "world":
            found = anchored.streaks(SetRain(params.rate_mm_per_h), sample, camera, params)
        else:
            found = streaks(params, camera)
        hidden = particles.cover(depth, found)
        light = particles.surroundings(sample.image, airlight=params.airlight, sky_share=0.7)
        shade = light * np.float32(THROUGHPUT * ZENITH)
        air = Air(extinction_per_m(params.rate_mm_per_h), params.airlight, layer_m=params.cloud_base_m)
        dim: Colour = (1.0 - lost, 1.0 - lost, 1.0 - lost)
        options: dict[str, Any] = {"gain": dim, "grey": lost, "cover": hidden, "light": shade, "water": water}
        return replace(sample, image=veil(sample.image, depth, camera, air, **options))


def streaks(params: RainParams, camera: Camera) -> particles.Array:
    """Return the streaks (M, 7) of the drops near the camera."""
    reach = particles.farthest_m(camera, size_m=2e-3, limit_m=FARTHEST_M)
    count = particles.count_in_view(camera, per_m3=drops_per_m3(params.rate_mm_per_h), farthest_m=reach)
    position, numbers = particles.place(params.seed, count, camera, farthest_m=reach)
    size_mm = drop_sizes_mm(numbers[:, 0], params.rate_mm_per_h)
    velocity = np.empty((count, 3), np.float32)
    velocity[:, 0] = np.float32(params.wind_mps) * (np.float32(0.7) + np.float32(0.6) * numbers[:, 1])
    velocity[:, 1] = fall_speed_mps(size_mm)
    velocity[:, 2] = -params.speed_mps
    size_m = np.float32(1e-3) * size_mm
    return particles.streaks(position, velocity, size_m, camera, exposure_s=1e-3 * params.exposure_ms)


def film_mm(rate_mm_per_h: float) -> float:
    """Return the mean film of water that rain leaves on a road: it grows with the root of the rate (RRL, 1968).

    The factor is ours: 0.2 mm in moderate rain and 1 mm in a cloudburst, half of what that formula gives for the foot
    of a lane.
    """
    return 0.1 * rate_mm_per_h**0.5


def sun_lost(rate_mm_per_h: float) -> float:
    """Return how much of the sun the rain clouds take, 0 to 1: the more it rains the dimmer and greyer."""
    return min(0.3 + 0.004 * rate_mm_per_h, 0.7)


def extinction_per_m(rate_mm_per_h: float) -> float:
    """Return the extinction coefficient of rain, 0.312 R^0.67 per km."""
    return 0.312e-3 * rate_mm_per_h**0.67


def drops_per_m3(rate_mm_per_h: float) -> float:
    """Return the number of drops over SMALLEST_MM in a cubic metre: the integral of Marshall and Palmer's N(D)."""
    slope = 4.1 * rate_mm_per_h**-0.21
    return 8000.0 / slope * math.exp(-slope * SMALLEST_MM)


def drop_sizes_mm(uniform: NDArray[np.float32], rate_mm_per_h: float) -> NDArray[np.float32]:
    """Return diameters (M,) of drops over SMALLEST_MM from numbers in [0, 1); drops over 6 mm break up."""
    slope = 4.1 * rate_mm_per_h**-0.21
    return np.minimum(np.float32(SMALLEST_MM) - np.log1p(-uniform) / np.float32(slope), np.float32(6.0))


def fall_speed_mps(size_mm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return terminal speeds (M,) of drops by diameter (M,), after Atlas (1973)."""
    return np.float32(9.65) - np.float32(10.3) * np.exp(np.float32(-0.6) * size_mm)
