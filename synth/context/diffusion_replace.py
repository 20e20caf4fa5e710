"""Objects replaced by others of their class by a diffusion pipeline.

See `synth.diffusion`; no pipeline comes along: name one by the option model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synth.diffusion.parts import ReplacedObjects
from synth.registry import register
from synth.shift import Family


@register
@dataclass(frozen=True)
class DiffusionReplace(ReplacedObjects):
    """Other objects of the same class that a diffusion pipeline of yours paints.

    Options: see `synth.diffusion.base.Diffusion` and `synth.diffusion.parts.ReplacedObjects`.
    """

    name: ClassVar[str] = "context/diffusion_replace"
    family: ClassVar[Family] = "context"
