"""A camera that leans: body roll in a bend, a banked road, a tilted mount."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scenes.camera import Camera
from synth.pose.camera import CameraMove, turned
from synth.registry import register
from synth.shift import SeverityTable


@register
@dataclass(frozen=True)
class Roll(CameraMove):
    """The camera turned about its own axis, to either side."""

    name: ClassVar[str] = "pose/roll"
    table: ClassVar[SeverityTable] = SeverityTable(
        "roll",
        "deg",
        (1, 2, 4, 7, 10),
        "cars roll 3-6 deg per g in bends (Gillespie, Fundamentals of Vehicle Dynamics); banked roads reach 7-10 deg",
    )

    def moved(self, camera: Camera, amount: float) -> Camera:
        return turned(camera, roll_deg=amount)
