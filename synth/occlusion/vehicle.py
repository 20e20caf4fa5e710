"""A car, van, truck or bus in front of an object: of the frame where it has one large enough, else rendered.

See synth/occlusion/front.py for size and place. It is labelled where the data set has a class for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synth.occlusion.object import FrontShift
from synth.registry import register
from synth.sprites import VEHICLES


@register
@dataclass(frozen=True)
class Vehicle(FrontShift):
    """A vehicle nearer to the camera hides objects until a wanted fraction of each is left visible."""

    name: ClassVar[str] = "occlusion/vehicle"
    kinds: ClassVar[tuple[str, ...]] = VEHICLES
