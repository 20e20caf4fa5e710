"""Other weather by a diffusion pipeline: the whole frame is edited.

See `synth.diffusion`; no pipeline comes along: name one by the option model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from synth.diffusion.frames import WholeFrame
from synth.diffusion.templates import WEATHER, Template
from synth.registry import register
from synth.shift import Family


@register
@dataclass(frozen=True)
class DiffusionWeather(WholeFrame):
    """Rain, snow, fog, storm or dust as a diffusion pipeline of yours paints it.

    Options: see `synth.diffusion.base.Diffusion` and `synth.diffusion.frames.WholeFrame`.
    """

    name: ClassVar[str] = "weather/diffusion_weather"
    family: ClassVar[Family] = "weather"
    templates: ClassVar[Mapping[str, Template]] = WEATHER
