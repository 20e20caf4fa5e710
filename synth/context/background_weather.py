"""Foreign weather or light behind the objects: everything but them in fog, snow, rain or at night.

The weather is that of the registered shift; objects keep their pixels, with a soft outline and no rim of the old
surroundings, so what a model sees of them is unchanged and only their context is new. Without masks the ellipse in the
box is kept; frames with a segmentation only keep their areas of things; a classification image keeps its middle. A
frame without any of these stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from scenes.errors import InputError
from scenes.sample import Sample
from synth.context.background import kept_objects, outlined, without_rim
from synth.pipeline import params_as_mapping, params_from
from synth.radiometry import Linear, to_linear, to_srgb
from synth.random import Rng
from synth.registry import register, shift_classes
from synth.shift import Change, Family, Need, SeverityTable, Shift

WEATHER: Mapping[str, str] = {
    "fog": "weather/fog",
    "snow": "weather/snow",
    "rain": "weather/rain",
    "night": "lighting/night",
}


@dataclass(frozen=True)
class BackgroundWeatherParams:
    """weather: a key of WEATHER; inner: drawn params of its shift; objects: how many are kept (0 = nothing is done)."""

    weather: str
    inner: Mapping[str, Any]
    objects: int


@register
@dataclass(frozen=True)
class BackgroundWeather:
    """Objects left as they are in front of surroundings in another weather or light.

    weather: "any" draws one
    """

    name: ClassVar[str] = "context/background_weather"
    family: ClassVar[Family] = "context"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "severity of the weather behind the objects",
        "1",
        (1, 2, 3, 4, 5),
        "the tables of weather/fog (m), weather/snow and weather/rain (mm/h) and lighting/night (lux)",
    )
    params_type: ClassVar[type[BackgroundWeatherParams]] = BackgroundWeatherParams

    weather: Literal["any", "fog", "snow", "rain", "night"] = "any"

    def __post_init__(self) -> None:
        if self.weather not in ("any", *WEATHER):
            raise ValueError(f"weather: expected any, {', '.join(WEATHER)}, got {self.weather!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> BackgroundWeatherParams:
        drawn, seed = rng.choice(tuple(WEATHER)), rng.seed()
        weather = drawn if self.weather == "any" else self.weather
        params = _shift(weather).draw(sample, self.table.at(severity), Rng(seed, weather))
        plain = json.loads(json.dumps(params_as_mapping(params)))
        return BackgroundWeatherParams(weather=weather, inner=plain, objects=len(kept_objects(sample)))

    def apply(self, sample: Sample, params: BackgroundWeatherParams) -> Sample:
        if sample.camera is None or sample.depth is None:
            lacking = "camera" if sample.camera is None else "depth"
            raise InputError(f"{self.name} needs {lacking}; sample {sample.sample_id!r} has none: complete it first")
        if params.objects == 0:
            return sample
        shift = _shift(params.weather)
        behind = shift.apply(sample, params_from(shift, params.inner)).image
        objects, matte = outlined(sample, kept_objects(sample))
        old, alpha = without_rim(sample, objects), matte[..., None]
        light: Linear = to_linear(behind)
        image = to_srgb(light + (old - light) * alpha)
        image[matte <= 0] = behind[matte <= 0]
        whole = matte >= 1
        image[whole] = sample.image[whole]
        return replace(sample, image=image)


def _shift(weather: str) -> Shift[Any]:
    if weather not in WEATHER:
        raise InputError(f"params: weather: expected {', '.join(WEATHER)}, got {weather!r}")
    shift: Shift[Any] = shift_classes()[WEATHER[weather]]()
    return shift
