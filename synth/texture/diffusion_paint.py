"""Objects in another coat by a diffusion pipeline, inside their outlines.

See `synth.diffusion`; no pipeline comes along: name one by the option model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synth.diffusion.parts import PaintedObjects
from synth.registry import register
from synth.shift import Family


@register
@dataclass(frozen=True)
class DiffusionPaint(PaintedObjects):
    """Objects in a coat that a diffusion pipeline of yours paints, inside their outlines.

    Options: see `synth.diffusion.base.Diffusion` and `synth.diffusion.parts.PaintedObjects`.
    """

    name: ClassVar[str] = "texture/diffusion_paint"
    family: ClassVar[Family] = "texture"
