"""More road users in the scene, by a re-render: others of those that are there, standing on visible ground.

Needs a scene and depth. They are objects like any other, labelled by the renderer, hidden and hiding as their place
has it. In splats the side that the capture saw is turned to the camera, as nothing is known of the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.edits import Add
from scenes.errors import InputError
from scenes.sample import Sample
from synth.inscene import edited, largest
from synth.random import Rng
from synth.registry import register
from synth.rerender import renderer_of
from synth.shift import Change, Family, Need, SeverityTable

_MOST = 12
_TRIES = 96  # places drawn for each
_NEAREST_M, _FARTHEST_M = 6.0, 30.0
_KERB_M = 0.2  # road and pavement are one ground: so much higher or lower than the feet of those who are there
_SAME_DEPTH = (0.05, 0.13)  # of the distance, at least and at most, that the depth there may differ by
_AROUND = (0.8, 1.0, 1.2)  # of the distance: a wall is not seen at all three depths
_CLEAR_M = 1.0  # between one object and the next
_JITTER_RAD = 0.25
_STEP_M = 0.5  # objects whose foot is so much higher hang on something

Place = tuple[float, float, float]  # x, y, heading in the world


@dataclass(frozen=True)
class InsertedParams:
    """donors: instance ids of which there is one more; x_m, y_m, headings_rad: where, in the world."""

    donors: tuple[int, ...]
    x_m: tuple[float, ...]
    y_m: tuple[float, ...]
    headings_rad: tuple[float, ...]
    renderer: str = "exact"


@register
@dataclass(frozen=True)
class Inserted:
    """Others of the scene's objects put on free ground in view. A frame without objects or free ground stays.

    min_side_px: objects that are smaller are not multiplied
    """

    name: ClassVar[str] = "context/inserted"
    family: ClassVar[Family] = "context"
    needs: ClassVar[frozenset[Need]] = frozenset({"scene", "camera", "depth"})
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "objects put in",
        "1",
        (1, 2, 4, 7, 12),
        "one more road user to a crowded street; Dvornik et al. (2018): context decides where objects are expected",
    )
    params_type: ClassVar[type[InsertedParams]] = InsertedParams

    min_side_px: float = 8.0

    def draw(self, sample: Sample, severity: float, rng: Rng) -> InsertedParams:
        rows = [row for row in largest(sample, min_side_px=self.min_side_px) if _stands(sample, row)]
        taken: list[tuple[float, float, float]] = _standing(sample)
        found: list[tuple[int, Place]] = []
        for _ in range(_MOST):
            which, jitter = rng.uniform(), rng.uniform(-_JITTER_RAD, _JITTER_RAD)
            drawn = rng.uniforms(_TRIES, 2)
            if not rows or sample.camera is None:
                continue
            row = rows[int(which * len(rows))]
            place = _free(sample, drawn, taken, _radius(sample, row))
            if place is not None:
                taken.append((*place, _radius(sample, row)))
                heading = _heading(sample, row, sample.camera, place) + jitter
                found.append((int(sample.annotations.instance_ids[row]), (*place, heading)))
        found = found[: round(self.table.at(severity))]
        return InsertedParams(
            donors=tuple(key for key, _ in found),
            x_m=tuple(at[0] for _, at in found),
            y_m=tuple(at[1] for _, at in found),
            headings_rad=tuple(at[2] for _, at in found),
            renderer=renderer_of(sample),
        )

    def apply(self, sample: Sample, params: InsertedParams) -> Sample:
        for name, given in (("a scene", sample.scene), ("a camera", sample.camera), ("depth", sample.depth)):
            if given is None:
                raise InputError(
                    f"{self.name} needs {name}; sample {sample.sample_id!r} has none: use the town or a scene"
                )
        places = zip(params.donors, params.x_m, params.y_m, params.headings_rad, strict=True)
        return edited(sample, [Add(f"copy:{key}", x, y, heading) for key, x, y, heading in places], {}, who=self.name)


def _standing(sample: Sample) -> list[tuple[float, float, float]]:
    """Return where objects of known place stand: x, y and radius in metres."""
    boxes = sample.annotations.boxes_3d
    if boxes is None:
        return []
    return [
        (float(b[0]), float(b[1]), 0.5 * math.hypot(float(b[3]), float(b[4]))) for b in boxes if np.isfinite(b).all()
    ]


def _stands(sample: Sample, row: int) -> bool:
    """Tell whether an object stands on the ground: signs and lights on posts do not; of unknown places it may."""
    boxes = sample.annotations.boxes_3d
    if boxes is None or not np.isfinite(boxes[row]).all():
        return True
    return bool(abs(float(boxes[row, 2]) - 0.5 * float(boxes[row, 5]) - _ground_m(sample)) < _STEP_M)


def _radius(sample: Sample, row: int) -> float:
    boxes = sample.annotations.boxes_3d
    if boxes is None or not np.isfinite(boxes[row]).all():
        return 1.0
    return 0.5 * math.hypot(float(boxes[row, 3]), float(boxes[row, 4]))


def _free(
    sample: Sample, drawn: NDArray[np.float64], taken: list[tuple[float, float, float]], radius: float
) -> tuple[float, float] | None:
    """Return the first drawn place (x, y) on visible level ground with nothing on it; None where none is."""
    for x, y in _visible_ground(sample, drawn):
        if all(math.hypot(x - a, y - b) > radius + r + _CLEAR_M for a, b, r in taken):
            return x, y
    return None


def _visible_ground(sample: Sample, drawn: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return those of the drawn places (x, y) where ground is seen, and before and behind them: no wall."""
    camera, depth = sample.camera, sample.depth
    if camera is None or depth is None:
        return []
    far = 1 / ((1 - drawn[:, 0]) / _NEAREST_M + drawn[:, 0] / _FARTHEST_M)  # even in the picture
    column = (0.05 + 0.9 * drawn[:, 1]) * camera.width
    rays = np.stack([(column - camera.K[0, 2]) / camera.K[0, 0], np.zeros_like(far), np.ones_like(far)], axis=1)
    away = (rays @ camera.cam_to_world[:3, :3].T)[:, :2] * far[:, None]
    ground = _ground_m(sample)
    same = float(np.clip(_KERB_M / max(abs(float(camera.position[2]) - ground), 1e-6), *_SAME_DEPTH))
    seen = np.ones(len(far), np.bool_)
    for share in _AROUND:
        spots = np.empty((len(far), 3))
        spots[:, :2], spots[:, 2] = camera.position[:2] + share * away, ground
        pixels, z = camera.project(spots)
        j, i = np.floor(np.nan_to_num(pixels, nan=-1.0).clip(-1, max(depth.shape))).astype(np.int64).T
        inside = (z > 0) & (i >= 0) & (i < depth.shape[0]) & (j >= 0) & (j < depth.shape[1])
        there = depth[np.where(inside, i, 0), np.where(inside, j, 0)].astype(np.float64)
        seen &= inside & (np.abs(there - z) <= same * z)
    places: list[tuple[float, float]] = (camera.position[:2] + away)[seen].tolist()
    return [(x, y) for x, y in places]


def _ground_m(sample: Sample) -> float:
    """Return the height that the objects in view stand on; 0 where their places are unknown."""
    boxes = sample.annotations.boxes_3d
    feet = [] if boxes is None else [float(b[2]) - 0.5 * float(b[5]) for b in boxes if np.isfinite(b).all()]
    return float(np.median(feet)) if feet else 0.0


def _heading(sample: Sample, row: int, camera: Camera, place: tuple[float, float]) -> float:
    """Return the heading at which a copy shows the camera the side that the donor does."""
    boxes = sample.annotations.boxes_3d
    if boxes is None or not np.isfinite(boxes[row]).all():
        return 0.0
    box = boxes[row].astype(np.float64)
    w, x, y, z = box[6:10]
    yaw = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    eye = camera.position
    before = math.atan2(box[1] - eye[1], box[0] - eye[0])
    after = math.atan2(place[1] - eye[1], place[0] - eye[0])
    return yaw + after - before
