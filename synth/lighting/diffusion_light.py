"""Another time of day by a diffusion pipeline: the whole frame is edited.

See `synth.diffusion`; no pipeline comes along: name one by the option model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from synth.diffusion.frames import WholeFrame
from synth.diffusion.templates import LIGHTING, Template
from synth.registry import register
from synth.shift import Family


@register
@dataclass(frozen=True)
class DiffusionLight(WholeFrame):
    """Night, dusk, dawn or a low sun as a diffusion pipeline of yours paints it.

    Options: see `synth.diffusion.base.Diffusion` and `synth.diffusion.frames.WholeFrame`.
    """

    name: ClassVar[str] = "lighting/diffusion_light"
    family: ClassVar[Family] = "lighting"
    templates: ClassVar[Mapping[str, Template]] = LIGHTING
