"""Posts and piers of steel, wood or concrete before objects.

See synth/occlusion/target.py for how the fraction is met and what follows for the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synth.occlusion.target import CoverShift
from synth.registry import register


@register
@dataclass(frozen=True)
class Pole(CoverShift):
    """Poles before objects until a wanted fraction of each is left visible."""

    name: ClassVar[str] = "occlusion/pole"
    kinds: ClassVar[tuple[str, ...]] = ("pole",)
