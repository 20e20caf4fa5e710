"""Rain and snow at places in the world instead of places before the camera; see scenes/falling.py.

Two cameras at one moment see a drop at the same place, and the frames of a drive (by their timestamps) see it fall.
Frames agree when they share the seed, which the option `seed` of the shifts gives.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.edits import SetRain, SetSnow
from scenes.falling import in_view
from scenes.sample import Sample
from synth.random import Rng

Places = Literal["camera", "world"]


def check_places(places: str, seed: int | None) -> None:
    """Raise unless an option names one of the two; a seed for all frames makes sense in the world alone."""
    if places not in ("camera", "world"):
        raise ValueError(f"places: expected camera or world, got {places!r}")
    if seed is not None and (places == "camera" or seed < 0):
        raise ValueError(f"seed: expected a number from 0 on together with places 'world', got {seed!r}, {places!r}")


def seed(drawn: int, given: int | None) -> int:
    """Return the seed of the option where it is given, else the drawn one."""
    return drawn if given is None else given


class Drawn(Protocol):
    """What the params of rain and of snow have in common."""

    @property
    def seed(self) -> int: ...
    @property
    def exposure_ms(self) -> float: ...
    @property
    def speed_mps(self) -> float: ...


def streaks(weather: SetRain | SetSnow, sample: Sample, camera: Camera, params: Drawn) -> NDArray[np.float32]:
    """Return (M, 7) what `synth.particles.cover` draws at a sample's time: ends, width, share of the exposure, depth.

    The wind is a matter of the seed alone: drops that one frame sees have to be where the next one expects them.
    """
    rng = Rng(params.seed, "wind")
    heading, strength = rng.uniform(0, 2 * math.pi), 1.5 * abs(rng.normal())
    seen = in_view(
        camera,
        replace(
            weather,
            seed=params.seed,
            time_s=sample.timestamp_s or 0.0,
            exposure_s=1e-3 * params.exposure_ms,
            speed_mps=params.speed_mps,
            wind_x_mps=strength * math.cos(heading),
            wind_y_mps=strength * math.sin(heading),
        ),
    )
    return np.concatenate([seen.streaks, seen.depth[:, None]], axis=1).astype(np.float32)
