"""People in front of an object: of the frame where one is large enough, else rendered, as many as the object is wide.

See synth/occlusion/front.py for size and place. Each is labelled where the data set has a class for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synth.occlusion.object import FrontShift
from synth.registry import register
from synth.sprites import PEOPLE


@register
@dataclass(frozen=True)
class Person(FrontShift):
    """People nearer to the camera hide objects until a wanted fraction of each is left visible."""

    name: ClassVar[str] = "occlusion/person"
    kinds: ClassVar[tuple[str, ...]] = PEOPLE
