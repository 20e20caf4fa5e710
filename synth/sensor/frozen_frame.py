"""Frozen frame: the camera delivers an older picture than the moment it is used for.

The labels stay those of now, for that is what the model should have seen: an object that moved since counts where it
is now. The older picture is the frame before (`Sample.previous`, with time stamps) whose age fits; else it is rendered
from the sample's scene by the camera as it stood earlier on its way, while nothing else moves. A sample with neither is
refused: an older picture cannot be made of a newer one without inventing its borders.

In a chain it comes first: neither the frames before nor the scene know of the shifts that were applied to this one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Sample
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

SPEED_M_PER_S = 8.3  # 30 km/h, where the data says nothing
FITS = 0.25  # share of the wanted age by which that of a known frame may miss it, where there is a scene to render


@dataclass(frozen=True)
class FrozenFrameParams:
    """age_s: of the picture; frames_back: which frame before is delivered, 0 = rendered from the scene instead;
    driven_m: way driven since the picture, for what is rendered."""

    age_s: float
    frames_back: int
    driven_m: float


@register
@dataclass(frozen=True)
class FrozenFrame:
    """A picture that should have been replaced by a newer one."""

    name: ClassVar[str] = "sensor/frozen_frame"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "previous"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "age of the picture",
        "s",
        (0.067, 0.133, 0.233, 0.333, 0.5),
        "2, 4, 7, 10 and 15 frames at 30 Hz; faults of cameras are handled within 0.1 to 0.5 s (ISO 26262 concept)",
    )
    params_type: ClassVar[type[FrozenFrameParams]] = FrozenFrameParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> FrozenFrameParams:
        wanted = self.table.at(severity)
        speed = float(sample.meta.get("ego_speed_m_per_s", SPEED_M_PER_S)) * rng.uniform(0.9, 1.1)
        back, age = _nearest(sample, wanted)
        if sample.scene is not None and (back == 0 or abs(age - wanted) > FITS * wanted):
            return FrozenFrameParams(age_s=wanted, frames_back=0, driven_m=speed * wanted)
        return FrozenFrameParams(age_s=age, frames_back=max(back, 1), driven_m=0.0)

    def apply(self, sample: Sample, params: FrozenFrameParams) -> Sample:
        camera = sample.camera
        if camera is None:
            raise InputError(f"{self.name} needs a camera; sample {sample.sample_id!r} has none: complete it first")
        if params.frames_back:
            return replace(sample, image=_before(sample, params.frames_back).image)
        if sample.scene is None:
            raise InputError(f"{self.name} needs a scene; sample {sample.sample_id!r} has none any more")
        earlier = sample.scene.render(carried_back(camera, params.driven_m))
        return replace(sample, image=earlier.image)


def _nearest(sample: Sample, age_s: float) -> tuple[int, float]:
    """Return how many frames back the one of nearest age is, and its age; 0 where none of the same size is known.

    Frames without time stamps are taken to be as old as wanted, at the first.
    """
    best, found, one, back = 0, math.inf, sample, 0
    while one.previous is not None and one.previous.image.shape == sample.image.shape:
        one, back = one.previous, back + 1
        if one.timestamp_s is None or sample.timestamp_s is None:
            return (1, age_s) if best == 0 else (best, found)
        known = sample.timestamp_s - one.timestamp_s
        if best == 0 or abs(known - age_s) < abs(found - age_s):
            best, found = back, known
    return best, found if best else 0.0


def _before(sample: Sample, frames: int) -> Sample:
    """Return the sample so many frames before."""
    one = sample
    for _ in range(frames):
        if one.previous is None or one.previous.image.shape != sample.image.shape:
            raise InputError(
                f"sensor/frozen_frame needs {frames} frame(s) before sample {sample.sample_id!r}, of its size, or a "
                "scene to render one from: read the data as sequences, or leave this shift out"
            )
        one = one.previous
    return one


def carried_back(camera: Camera, metres: float) -> Camera:
    """Return the camera as it stood on its way before: behind where it looks, at the same height."""
    ahead = camera.world_to_cam[2, :3] * np.array([1.0, 1.0, 0.0])
    length = math.hypot(*ahead[:2])
    step = ahead / length if length > 0.1 else camera.world_to_cam[2, :3]
    matrix = camera.world_to_cam.copy()
    matrix[:3, 3] += matrix[:3, :3] @ step * metres
    return replace(camera, world_to_cam=matrix)
