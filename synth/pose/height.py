"""The camera of another vehicle: higher above the road, as in a van, a truck or a bus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scenes.camera import Camera
from synth.pose.camera import CameraMove, carried
from synth.registry import register
from synth.shift import SeverityTable


@register
@dataclass(frozen=True)
class Height(CameraMove):
    """The camera carried upwards, looking the same way."""

    name: ClassVar[str] = "pose/height"
    table: ClassVar[SeverityTable] = SeverityTable(
        "raised by",
        "m",
        (0.15, 0.3, 0.6, 1.2, 1.8),
        "windscreen heights: car about 1.3 m, SUV +0.3, van +0.7, truck and bus +1.2 to +1.8",
    )
    chance_of_minus: ClassVar[float] = 0.0  # there is little room below a car's camera

    def moved(self, camera: Camera, amount: float) -> Camera:
        return carried(camera, np.array([0.0, 0.0, amount]))
