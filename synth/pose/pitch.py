"""A camera that looks up or down: braking, load, a speed bump, a slipped mount."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scenes.camera import Camera
from synth.pose.camera import CameraMove, turned
from synth.registry import register
from synth.shift import SeverityTable


@register
@dataclass(frozen=True)
class Pitch(CameraMove):
    """The camera turned about its own axis, to either side."""

    name: ClassVar[str] = "pose/pitch"
    table: ClassVar[SeverityTable] = SeverityTable(
        "pitch",
        "deg",
        (0.5, 1, 2, 4, 6),
        "UN ECE R48 levels headlamps over about 1.5 deg of load pitch; braking dives 1-2 deg, speed bumps 3-6 deg",
    )

    def moved(self, camera: Camera, amount: float) -> Camera:
        return turned(camera, pitch_deg=amount)
