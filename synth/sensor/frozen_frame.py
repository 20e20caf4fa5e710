"""Frozen frame: the camera delivers an older picture than the moment it is used for.

The labels stay those of now, for that is what the model should have seen: an object that moved since counts where it
is. A sample that knows the frames before it (`Sample.previous`, with time stamps) delivers the one whose age is nearest
to the wanted one; what is missing in age, and samples of single pictures, are seen through depth by the camera as it
stood earlier on its way (nothing but the camera moves then; the pipeline records that no frame before was known).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Image, Sample
from synth.atmosphere import depth_and_camera
from synth.fill import fill_background
from synth.random import Rng
from synth.registry import register
from synth.reproject import look_again
from synth.shift import Change, Family, Need, SeverityTable

SPEED_M_PER_S = 8.3  # 30 km/h, where the data says nothing
_CLOSE_S = 0.01


@dataclass(frozen=True)
class FrozenFrameParams:
    """age_s: of the picture; frames_back: how many frames before are delivered; beyond_m: way driven on top of that."""

    age_s: float
    frames_back: int
    beyond_m: float


@register
@dataclass(frozen=True)
class FrozenFrame:
    """A picture that should have been replaced by a newer one."""

    name: ClassVar[str] = "sensor/frozen_frame"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera", "previous"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "age of the picture",
        "s",
        (0.067, 0.133, 0.267, 0.5, 0.8),
        "2, 4, 8, 15 and 24 frames at 30 Hz; fault handling times of camera functions are some 0.1 to 0.5 s (ISO 26262)",
    )
    params_type: ClassVar[type[FrozenFrameParams]] = FrozenFrameParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> FrozenFrameParams:
        age = self.table.at(severity)
        speed = float(sample.meta.get("ego_speed_m_per_s", SPEED_M_PER_S)) * rng.uniform(0.9, 1.1)
        back, known = _nearest(sample, age)
        beyond = age - known
        return FrozenFrameParams(
            age_s=age, frames_back=back, beyond_m=0.0 if abs(beyond) < _CLOSE_S else speed * beyond
        )

    def apply(self, sample: Sample, params: FrozenFrameParams) -> Sample:
        depth_and_camera(sample, self.name)
        shown = sample
        for _ in range(params.frames_back):
            if shown.previous is None:
                raise InputError(
                    f"{self.name}: its params need {params.frames_back} frames before sample {sample.sample_id!r}, "
                    "which are not there: read the data with its sequences, or draw anew"
                )
            shown = shown.previous
        if params.beyond_m == 0:
            return replace(sample, image=shown.image.copy())
        return replace(sample, image=seen_earlier(shown, sample, params.beyond_m))


def _nearest(sample: Sample, age_s: float) -> tuple[int, float]:
    """Return how many frames back the one of nearest age is, and its age; 0 where the sample itself is nearest."""
    best, found, one, back = 0, 0.0, sample, 0
    while one.previous is not None and one.previous.image.shape == sample.image.shape:
        one, back = one.previous, back + 1
        if one.timestamp_s is None or sample.timestamp_s is None or one.depth is None or one.camera is None:
            break
        known = sample.timestamp_s - one.timestamp_s
        if abs(known - age_s) < abs(found - age_s):
            best, found = back, known
    return best, found


def seen_earlier(shown: Sample, now: Sample, back_m: float) -> Image:
    """Return a picture from `back_m` metres back on the camera's way; it drives where it looks, level."""
    view = look_again(shown, _carried(shown.camera or now.camera, -back_m, now.sample_id))
    image = cv2.remap(shown.image, view.x - 0.5, view.y - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    filled: Image = fill_background(image.reshape(shown.image.shape), ~view.known, view.inverse_depth)
    return filled


def _carried(camera: Camera | None, forward_m: float, sample_id: str) -> Camera:
    if camera is None:
        raise InputError(f"sensor/frozen_frame needs a camera; sample {sample_id!r} has none: complete it first")
    ahead = camera.world_to_cam[2, :3] * np.array([1.0, 1.0, 0.0])
    length = math.hypot(*ahead[:2])
    step = (ahead / length if length > 0.1 else camera.world_to_cam[2, :3]) * forward_m
    matrix = camera.world_to_cam.copy()
    matrix[:3, 3] -= matrix[:3, :3] @ step
    return replace(camera, world_to_cam=matrix)
