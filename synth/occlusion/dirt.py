"""Mud on lens or windscreen, out of focus, where it hides objects.

See synth/occlusion/target.py for how the fraction is met and what follows for the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synth.occlusion.target import CoverShift
from synth.registry import register


@register
@dataclass(frozen=True)
class Dirt(CoverShift):
    """Dirt on the lens over objects until a wanted fraction of each is left visible."""

    name: ClassVar[str] = "occlusion/dirt"
    kinds: ClassVar[tuple[str, ...]] = ("dirt",)
