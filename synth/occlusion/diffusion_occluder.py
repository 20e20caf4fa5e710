"""Things before objects, painted by a diffusion pipeline.

See `synth.diffusion`; no pipeline comes along: name one by the option model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synth.diffusion.parts import InFront
from synth.registry import register
from synth.shift import Family


@register
@dataclass(frozen=True)
class DiffusionOccluder(InFront):
    """Something in front of objects that a diffusion pipeline of yours paints.

    Options: see `synth.diffusion.base.Diffusion` and `synth.diffusion.parts.InFront`.
    """

    name: ClassVar[str] = "occlusion/diffusion_occluder"
    family: ClassVar[Family] = "occlusion"
