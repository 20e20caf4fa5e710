"""The camera at another place across the lane: the other side of the windscreen, a lane edge, the next lane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scenes.camera import Camera
from synth.pose.camera import CameraMove, carried, leftward
from synth.registry import register
from synth.shift import SeverityTable


@register
@dataclass(frozen=True)
class Lateral(CameraMove):
    """The camera carried to its left or right, looking the same way."""

    name: ClassVar[str] = "pose/lateral"
    table: ClassVar[SeverityTable] = SeverityTable(
        "carried sideways by",
        "m",
        (0.2, 0.4, 0.8, 1.3, 2.0),
        "Bojarski et al. (2016) train on cameras about 0.5 m aside; half a lane is 1.75 m (RAL, AASHTO)",
    )

    def moved(self, camera: Camera, amount: float) -> Camera:
        return carried(camera, amount * leftward(camera))
