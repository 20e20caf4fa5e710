"""Objects before a background that a diffusion pipeline paints.

See `synth.diffusion`; no pipeline comes along: name one by the option model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synth.diffusion.parts import Background
from synth.registry import register
from synth.shift import Family


@register
@dataclass(frozen=True)
class DiffusionBackground(Background):
    """Everything but the objects painted anew by a diffusion pipeline of yours.

    Options: see `synth.diffusion.base.Diffusion` and `synth.diffusion.parts.Background`.
    """

    name: ClassVar[str] = "context/diffusion_background"
    family: ClassVar[Family] = "context"
