"""A camera that looks to the side: mounted, knocked or driven askew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scenes.camera import Camera
from synth.pose.camera import CameraMove, turned
from synth.registry import register
from synth.shift import SeverityTable


@register
@dataclass(frozen=True)
class Yaw(CameraMove):
    """The camera turned about its own axis, to either side."""

    name: ClassVar[str] = "pose/yaw"
    table: ClassVar[SeverityTable] = SeverityTable(
        "yaw",
        "deg",
        (1, 2, 4, 7, 10),
        "calibration tolerance about 0.5 deg; a crab angle or a knocked mount reaches several degrees",
    )

    def moved(self, camera: Camera, amount: float) -> Camera:
        return turned(camera, yaw_deg=amount)
