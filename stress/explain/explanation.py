"""The result of an explanation: two maps on one scale, and how far the attention moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]  # (H, W), >= 0, in the units of the method


@dataclass(frozen=True, eq=False)
class Explanation:
    """What the model looked at in the clean and in the shifted frame, for one target.

    method:   "gradcam", "hirescam", "rise" or "d-rise"
    layer:    name of the explained layer in the model; None for black-box methods
    target:   what was explained, in words
    cam_*:    (H, W) float32 >= 0, both in the same units, so that they can be compared
    scale:    the shared maximum of both maps; 0 where the target depends on nothing
    note:     what a reader must know, e.g. why a black-box method was used
    energy_*: share of the map's energy inside the object (Wang et al., Score-CAM, 2020: energy-based pointing game);
              None where there is no object region or no energy
    same_layer: whether both maps were read at one layer; layers of other resolution spread the same energy otherwise
    drift:    energy_shifted - energy_clean; None where one of them is None or the layers differ
    """

    method: str
    layer: str | None
    target: str
    cam_clean: Map
    cam_shifted: Map
    note: str | None = None
    energy_clean: float | None = None
    energy_shifted: float | None = None
    same_layer: bool = True

    @property
    def scale(self) -> float:
        return float(max(self.cam_clean.max(initial=0.0), self.cam_shifted.max(initial=0.0)))

    @property
    def drift(self) -> float | None:
        if self.energy_clean is None or self.energy_shifted is None or not self.same_layer:
            return None
        return self.energy_shifted - self.energy_clean


def energy_inside(cam: Map, region: NDArray[np.bool_] | None) -> float | None:
    """Return the share of a map's energy inside a region (H, W); None without region or without energy.

    >>> cam = np.array([[1.0, 3.0]], np.float32)
    >>> energy_inside(cam, np.array([[False, True]]))
    0.75
    """
    if region is None or not region.any():
        return None
    total = float(cam.sum(dtype=np.float64))
    return float(cam[region].sum(dtype=np.float64)) / total if total > 0 else None


def box_region(box: Sequence[float], height: int, width: int) -> NDArray[np.bool_]:
    """Return (H, W) True at the pixels whose area a box xyxy touches."""
    region = np.zeros((height, width), np.bool_)
    x1, y1 = np.floor(np.asarray(box[:2], np.float64)).astype(int)
    x2, y2 = np.ceil(np.asarray(box[2:], np.float64)).astype(int)
    region[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = True
    return region
