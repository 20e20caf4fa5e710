"""Graffiti sprayed over signs, vehicles and whatever else is labelled.

See synth/occlusion/target.py for how the fraction is met and what follows for the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synth.occlusion.target import CoverShift
from synth.registry import register


@register
@dataclass(frozen=True)
class Graffiti(CoverShift):
    """Paint on objects until a wanted fraction of the surface of each is left bare."""

    name: ClassVar[str] = "occlusion/graffiti"
    kinds: ClassVar[tuple[str, ...]] = ("graffiti",)
