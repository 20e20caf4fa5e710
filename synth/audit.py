"""What a change of the picture did to each object: a matter of geometry, never of predictions.

kept      nothing of it is hidden, and it is itself; its picture may be foggy, noisy or seen by another camera
modified  nothing of it is hidden, but the shift changed the object itself (repainted, deformed, turned)
occluded  part of what was visible is hidden, cut off or painted over; `visible_fraction` says how much is left
invalid   no pixel of it is visible, it is out of the frame, or the edit destroyed it: an ignore region from then on

A shift may leave four notes in `Sample.meta` for objects whose fate the labels alone do not tell:

`destroyed`         {instance id: reason}: the edit left nothing of the object that could still be called it
`edited`            {instance id: reason}: the object itself was changed (repainted, deformed, turned)
`hidden_by`         {instance id: reason}: what hides it
`visible_fraction`  {instance id: part of what was visible in the clean frame}, for labels without `visibility`

Contrast follows Peli (1990), "Contrast in complex images": the root mean square departure of the object's luminance
from the mean of its surroundings, over that mean, in linear light. The threshold is the 5 % by which the World
Meteorological Organization defines the meteorological optical range (WMO No. 8). Light scattered in the lens (ISO 9358,
about 1 % of white) is added below, so that differences in the blackest codes do not count as contrast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Annotations, Sample
from synth.radiometry import luminance, to_linear

THRESHOLD = 0.05  # contrast at the meteorological optical range (WMO No. 8)
VEILING_GLARE = 0.01  # of white (ISO 9358: glare index of ordinary lenses)
LOST_CONTRAST = 0.7  # hard to see only if the shift took at least 30 % of the contrast
OCCLUDED_BELOW = 0.98  # hiding less than 2 % is within the accuracy of outlines
MOVED_PX = 1.5  # box corners that move less are within the accuracy of outlines
_PATCH = 24  # objects are compared as patches of at most this many pixels a side, which averages noise

Kind = Literal["kept", "modified", "occluded", "invalid"]


@dataclass(frozen=True)
class Verdict:
    """What the audit says of one object after a shift.

    visible_fraction: visible part of what was visible in the clean frame (1 where nothing hides it)
    hard_to_see:      contrast to its surroundings is below what the physics leaves; never changes the headline figure
    """

    instance_id: int
    kind: Kind
    visible_fraction: float
    reason: str = ""
    hard_to_see: bool = False


def audit(before: Sample, after: Sample) -> tuple[Verdict, ...]:
    """Return a verdict for each object of `after.annotations`, in order; objects are matched by instance id."""
    rows = {int(i): row for row, i in enumerate(before.annotations.instance_ids)}
    same_picture = before.image is after.image
    verdicts = []
    for row, instance_id in enumerate(after.annotations.instance_ids.tolist()):
        old = rows.get(instance_id)
        verdict = _judge(before, after, instance_id, old, row)
        if verdict.kind != "invalid" and not same_picture and hard_to_see(before, after, old, row):
            verdict = replace(verdict, hard_to_see=True)
        verdicts.append(verdict)
    return tuple(verdicts)


def apply_verdicts(sample: Sample, verdicts: tuple[Verdict, ...]) -> Sample:
    """Return the sample with every invalid object an ignore region: neither missed nor a false positive."""
    invalid = np.array([verdict.kind == "invalid" for verdict in verdicts], np.bool_)
    annotations = sample.annotations
    if len(invalid) != len(annotations):
        raise ValueError(f"verdicts: expected {len(annotations)} to match the objects, got {len(invalid)}")
    if not (invalid & ~annotations.ignore).any():
        return sample
    return replace(sample, annotations=replace(annotations, ignore=annotations.ignore | invalid))


def _judge(before: Sample, after: Sample, instance_id: int, old: int | None, row: int) -> Verdict:
    destroyed = _notes(after, "destroyed")
    if instance_id in destroyed and (old is None or instance_id not in _notes(before, "destroyed")):
        reason = destroyed[instance_id] or "the edit destroyed it"
        return Verdict(instance_id, "invalid", 0.0, reason)
    x1, y1, x2, y2 = after.annotations.boxes[row].tolist()
    area = x2 > x1 and y2 > y1
    if area and (x2 <= 0 or y2 <= 0 or x1 >= after.width or y1 >= after.height):
        return Verdict(instance_id, "invalid", 0.0, "it is out of the frame")
    if not area or _pixels(after.annotations, row) == 0:
        return Verdict(instance_id, "invalid", 0.0, _why_gone(before, after, old, row))
    if old is None:
        return Verdict(instance_id, "kept", 1.0, "the shift put it there")
    fraction = visible_fraction(before, after, old, row)
    if fraction <= 0:
        return Verdict(instance_id, "invalid", 0.0, "no pixel of it is visible")
    if fraction < OCCLUDED_BELOW:
        by = _news(before, after, "hidden_by", instance_id)
        reason = f"{fraction:.0%} of what was visible is left" + (f": {by}" if by else "")
        return Verdict(instance_id, "occluded", fraction, reason)
    edited = _news(before, after, "edited", instance_id)
    if edited is not None:
        return Verdict(instance_id, "modified", fraction, edited or "the edit changed it")
    moved = float(np.abs(after.annotations.boxes[row] - before.annotations.boxes[old]).max())
    if moved <= MOVED_PX:
        return Verdict(instance_id, "kept", fraction, "nothing of it is hidden or moved")
    if _camera_changed(before, after):
        return Verdict(instance_id, "kept", fraction, "seen by a changed camera")
    if fraction < 1.0:
        return Verdict(instance_id, "occluded", fraction, f"{fraction:.1%} of what was visible is left")
    return Verdict(instance_id, "modified", fraction, f"its outline moved by up to {moved:.0f} px")


def _news(before: Sample, after: Sample, key: str, instance_id: int) -> str | None:
    """Return what a note says of an object since this step, None where it says nothing new."""
    now = _notes(after, key).get(instance_id)
    return None if now is None or now == _notes(before, key).get(instance_id) else str(now)


def _why_gone(before: Sample, after: Sample, old: int | None, row: int) -> str:
    """Return why an object without a pixel has none: it left the frame, or something hides it."""
    gone, hidden = "it is out of the frame", "no pixel of it is visible"
    if after.annotations.boxes_amodal is not None:
        x1, y1, x2, y2 = after.annotations.boxes_amodal[row].tolist()
        if x2 > x1 and y2 > y1:
            return gone if x2 <= 0 or y2 <= 0 or x1 >= after.width or y1 >= after.height else hidden
    if old is None or before.camera is None or after.camera is None or not _camera_changed(before, after):
        return hidden
    x1, y1, x2, y2 = before.annotations.boxes[old].astype(np.float64).tolist()
    if x2 <= x1 or y2 <= y1:
        return hidden
    depth_m = 1e4
    if before.depth is not None:
        part = before.depth[max(0, int(y1)) : int(np.ceil(y2)), max(0, int(x1)) : int(np.ceil(x2))]
        part = part[np.isfinite(part)]
        depth_m = float(np.median(part)) if part.size else depth_m
    corners = np.array([[x1, y1, 1], [x2, y1, 1], [x1, y2, 1], [x2, y2, 1]]) @ np.linalg.inv(before.camera.K).T
    world = np.concatenate([corners * depth_m, np.ones((4, 1))], axis=1) @ before.camera.cam_to_world.T
    pixels, depth = after.camera.project(world[:, :3])
    front = pixels[depth > 0]  # what is behind the camera is not in its frame
    if not len(front):
        return gone
    low, high = front.min(axis=0), front.max(axis=0)
    outside = high[0] <= 0 or high[1] <= 0 or low[0] >= after.width or low[1] >= after.height
    return gone if outside else hidden


def visible_fraction(before: Sample, after: Sample, old: int, row: int) -> float:
    """Return how much of what was visible of an object still is, from the best source there is.

    Visibility of both frames, else the shift's own count (`meta`), else mask pixels; 1 where nothing tells.
    """
    was, now = before.annotations.visibility, after.annotations.visibility
    if was is not None and now is not None and was[old] > 0:
        return float(min(1.0, now[row] / was[old]))
    instance_id = int(after.annotations.instance_ids[row])
    noted = _notes(after, "visible_fraction").get(instance_id)
    if noted is not None:
        return float(min(1.0, noted / (_notes(before, "visible_fraction").get(instance_id) or 1.0)))
    pixels_before, pixels_after = _pixels(before.annotations, old), _pixels(after.annotations, row)
    if pixels_before and pixels_after is not None and not _camera_changed(before, after):
        return min(1.0, pixels_after / pixels_before)
    return 1.0


def hard_to_see(before: Sample, after: Sample, old: int | None, row: int) -> bool:
    """Tell whether an object's contrast is below the threshold of visibility, and the shift took it."""
    left = contrast(after, row)
    if left is None or left >= THRESHOLD:
        return False
    clean = None if old is None else contrast(before, old)
    return clean is None or left < LOST_CONTRAST * clean


def contrast(sample: Sample, row: int) -> float | None:
    """Return the contrast of one object against the ring around it, in linear light; None where it has no pixel.

    sqrt(mean((L - Lb)^2)) / (Lb + glare): L over the object, Lb the mean of the ring, a quarter of the box wide.
    """
    x1, y1, x2, y2 = sample.annotations.boxes[row].tolist()
    margin = max(2.0, 0.25 * min(x2 - x1, y2 - y1))
    left, top = max(0, int(x1 - margin)), max(0, int(y1 - margin))
    right, bottom = min(sample.width, int(x2 + margin + 1)), min(sample.height, int(y2 + margin + 1))
    if x2 <= x1 or y2 <= y1 or right <= left or bottom <= top:
        return None
    crop = sample.image[top:bottom, left:right]
    inside = _inside(sample.annotations, row, (left, top, right, bottom))
    size = (min(_PATCH, crop.shape[1]), min(_PATCH, crop.shape[0]))
    light = cv2.resize(luminance(to_linear(_thinned(crop))), size, interpolation=cv2.INTER_AREA)
    weight = cv2.resize(inside, size, interpolation=cv2.INTER_AREA)
    return _contrast(light, weight)


def _thinned(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a large crop at no more than four patches a side, so that its cost does not grow with the object."""
    shape = (min(4 * _PATCH, crop.shape[1]), min(4 * _PATCH, crop.shape[0]))
    return crop if shape == crop.shape[1::-1] else cv2.resize(crop, shape, interpolation=cv2.INTER_AREA)


def _contrast(light: NDArray[np.float32], inside: NDArray[np.float32]) -> float | None:
    """light: (h, w) luminance; inside: (h, w) how much of each patch pixel is the object."""
    of_object, of_ring = inside >= 0.5, inside < 0.05
    if not of_object.any():
        of_object = inside >= 0.5 * inside.max()
    if not of_ring.any() or not of_object.any() or inside.max() <= 0:
        return None
    around = float(light[of_ring].mean())
    departure = float(np.sqrt(np.square(light[of_object] - around).mean()))
    return departure / (around + VEILING_GLARE)


def _inside(annotations: Annotations, row: int, window: tuple[int, int, int, int]) -> NDArray[np.float32]:
    left, top, right, bottom = window
    if annotations.masks is not None:
        return annotations.masks[row, top:bottom, left:right].astype(np.float32)
    inside = np.zeros((bottom - top, right - left), np.float32)
    x1, y1, x2, y2 = annotations.boxes[row].tolist()
    inside[max(0, int(y1) - top) : int(np.ceil(y2)) - top, max(0, int(x1) - left) : int(np.ceil(x2)) - left] = 1.0
    return inside


def _pixels(annotations: Annotations, row: int) -> int | None:
    """Count the visible pixels of an object; None without masks."""
    if annotations.masks is None:
        return None
    x1, y1, x2, y2 = annotations.boxes[row].tolist()
    crop = annotations.masks[row, max(0, int(y1)) : int(np.ceil(y2)), max(0, int(x1)) : int(np.ceil(x2))]
    return int(np.count_nonzero(crop)) or int(np.count_nonzero(annotations.masks[row]))


def _camera_changed(before: Sample, after: Sample) -> bool:
    a, b = before.camera, after.camera
    if a is None or b is None or a is b:
        return False
    same = np.array_equal(a.K, b.K) and np.array_equal(a.world_to_cam, b.world_to_cam)
    return not (same and tuple(a.distortion) == tuple(b.distortion))


def _notes(sample: Sample, key: str) -> Mapping[int, Any]:
    notes = sample.meta.get(key, {})
    return notes if isinstance(notes, Mapping) else {int(i): "" for i in notes}
