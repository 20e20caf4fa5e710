"""Another season or place by a diffusion pipeline: the whole frame is edited.

See `synth.diffusion`; no pipeline comes along: name one by the option model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from synth.diffusion.frames import WholeFrame
from synth.diffusion.templates import PLACES, Template
from synth.registry import register
from synth.shift import Family


@register
@dataclass(frozen=True)
class DiffusionSeason(WholeFrame):
    """Another season or place as a diffusion pipeline of yours paints it.

    Options: see `synth.diffusion.base.Diffusion` and `synth.diffusion.frames.WholeFrame`.
    """

    name: ClassVar[str] = "context/diffusion_season"
    family: ClassVar[Family] = "context"
    templates: ClassVar[Mapping[str, Template]] = PLACES
