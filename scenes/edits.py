"""Exact edits of a scene: plain numbers that any renderer behind the `Scene` interface understands.

Objects are named by their instance id. Lengths in metres, angles in radians, colours linear RGB in [0, 1].
A scene raises `InputError` for an edit that it cannot carry out; it never ignores one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from scenes.errors import InputError


@dataclass(frozen=True)
class Turn:
    """Rotate an object about its own centre on the ground: yaw to the left, pitch up, roll onto its right side."""

    instance_id: int
    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    roll_rad: float = 0.0


@dataclass(frozen=True)
class Move:
    """Translate an object in the world."""

    instance_id: int
    x_m: float = 0.0
    y_m: float = 0.0
    z_m: float = 0.0


@dataclass(frozen=True)
class Recolour:
    """Give the coloured parts of an object another colour (linear RGB)."""

    instance_id: int
    red: float
    green: float
    blue: float


@dataclass(frozen=True)
class Retexture:
    """Cover an object with a pattern; `scale_m` is the size of its elements, `share` how much of its own it covers."""

    instance_id: int
    pattern: Literal["stripes", "checker", "camouflage", "rust", "noise"]
    scale_m: float = 0.3
    seed: int = 0
    share: float = 1.0


@dataclass(frozen=True)
class Reshape:
    """Scale an object along its own axes."""

    instance_id: int
    length: float = 1.0
    width: float = 1.0
    height: float = 1.0


@dataclass(frozen=True)
class Remove:
    """Take an object out of the scene."""

    instance_id: int


@dataclass(frozen=True)
class Add:
    """Put an object of a kind the scene knows (car, van, truck, bus, person, pole, tree, ...) on the ground.

    `copy:ID` is another of an object that is there already. It gets the next free instance id.
    """

    kind: str
    x_m: float
    y_m: float
    yaw_rad: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class SetSun:
    """Direction to the sun, azimuth from world x to the left, and its strength (1 = clear noon, 0 = none)."""

    azimuth_rad: float
    elevation_rad: float
    strength: float = 1.0


@dataclass(frozen=True)
class SetSky:
    """Sky from clear (0) to overcast (1), and its brightness relative to noon."""

    overcast: float
    brightness: float = 1.0


@dataclass(frozen=True)
class SetFog:
    """Homogeneous fog of a meteorological optical range (contrast 5 %); airlight is linear, 1 = white."""

    visibility_m: float
    airlight: float = 0.7


@dataclass(frozen=True)
class SetRain:
    """Falling rain: drops at places in the world, the same from every camera, and the veil of all the others.

    seed: which drops; time_s: when; exposure_s: how long the shutter is open; speed_mps: of the camera, forwards
    wind: metres per second along world x and y; airlight: linear, 1 = white
    """

    rate_mm_per_h: float
    seed: int = 0
    time_s: float = 0.0
    exposure_s: float = 0.004
    speed_mps: float = 0.0
    wind_x_mps: float = 0.0
    wind_y_mps: float = 0.0
    airlight: float = 0.45


@dataclass(frozen=True)
class SetSnow:
    """Falling snow that leaves a meteorological optical range; the other fields as those of `SetRain`."""

    visibility_m: float
    seed: int = 0
    time_s: float = 0.0
    exposure_s: float = 0.006
    speed_mps: float = 0.0
    wind_x_mps: float = 0.0
    wind_y_mps: float = 0.0
    airlight: float = 0.65


@dataclass(frozen=True)
class SetGround:
    """Surface of road and pavement."""

    kind: Literal["dry", "wet", "snow", "gravel", "brick", "cracked"]


Weather = SetRain | SetSnow
Edit = Turn | Move | Recolour | Retexture | Reshape | Remove | Add | SetSun | SetSky | SetFog | SetGround | Weather


def check_numbers(edit: Edit) -> None:
    """Raise for NaN and infinity, which would spread through a whole picture; a visibility may be infinite."""
    for field in fields(edit):
        value = getattr(edit, field.name)
        if isinstance(value, str) or math.isfinite(value) or (field.name == "visibility_m" and value == math.inf):
            continue
        raise InputError(f"{type(edit).__name__}: expected a finite {field.name}, got {value}")
