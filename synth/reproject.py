"""See a frame from another camera through its depth: every pixel is a small tilted square that is drawn again.

Inverse depth is linear over a plane in the image, so a pixel's square follows its surface (gradient by minmod, which
takes the flatter side at an edge and so never stretches a foreground over its background). Squares are drawn with a
depth test; what no square reaches was hidden or out of view: it is filled from the background, and marked (depth NaN,
segmentation ignore, no instance). Lens distortion is not undone: the camera is taken for a pinhole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Annotations, Boxes, Depth, Sample
from synth.fill import fill_background
from synth.regions import Mask, ignore_value, object_region
from synth.relabel import boxes_of_masks, note_visible
from synth.warp import Points, clip_boxes, flat_index, forward_boxes, pull, warp_masks

_OVERLAP_PX = 0.03  # squares are drawn this much wider than a pixel, so that rounding leaves no crack
_NEAREST_M = 0.05
_MOST_STRETCHED = 12.0  # a pixel that would cover more is left out: no surface in front of a road camera grows so much


@dataclass(frozen=True, eq=False)
class View:
    """What of the old frame a new camera sees.

    x, y:    (H, W) float32 old pixels, centres at halves; inverse_depth: (H, W) of the new camera, 0 = sky, -1 = hole
    stretch: (H, W) new pixels that each old pixel would cover if it were alone and the frame endless
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    inverse_depth: NDArray[np.float32]
    stretch: NDArray[np.float32]

    @property
    def known(self) -> Mask:
        known: Mask = self.inverse_depth >= 0
        return known


def reproject(sample: Sample, camera: Camera) -> Sample:
    """Return the frame that `camera` sees, with labels; sample needs depth (m) without NaN, and its camera."""
    if sample.depth is None or sample.camera is None:
        lacking = "depth" if sample.depth is None else "camera"
        raise InputError(f"reprojection needs {lacking}; sample {sample.sample_id!r} has none: complete it first")
    view = look_again(sample, camera)
    known, index = view.known, flat_index(view.x, view.y)
    image = cv2.remap(sample.image, view.x - 0.5, view.y - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    image = fill_background(image, ~known, view.inverse_depth, avoid=_objects(sample, index, known))
    with np.errstate(divide="ignore"):
        depth = np.where(known, 1.0 / np.maximum(view.inverse_depth, 0), np.nan).astype(np.float32)
    annotations, fractions = _annotations(sample, camera, view, index)
    result = replace(
        sample,
        image=image,
        depth=depth,
        camera=camera,
        instances=None if sample.instances is None else pull(sample.instances, index, known, 0),
        annotations=annotations,
        meta={**sample.meta, "disoccluded_share": float(1 - known.mean())},
    )
    return note_visible(result, fractions)


def _objects(sample: Sample, index: NDArray[np.intp], known: Mask) -> Mask | None:
    """Return (H, W) where the new frame shows objects, a little widened; None where no pixels are labelled."""
    notes = sample.annotations
    if sample.instances is not None:
        old = sample.instances > 0
    elif notes.masks is not None and len(notes):
        old = notes.masks[~notes.ignore].any(axis=0)  # a crowd's mask may cover half the frame
    else:
        return None
    there = pull(old.astype(np.uint8), index, known, 0)
    widened: Mask = cv2.dilate(there, np.ones((5, 5), np.uint8)) > 0
    return widened


def look_again(sample: Sample, camera: Camera) -> View:
    """Draw the squares of a frame as another camera sees them."""
    if sample.depth is None or sample.camera is None:
        raise InputError(f"reprojection needs depth and camera; sample {sample.sample_id!r} lacks one")
    inverse = inverse_depth(sample.depth)
    motion = camera.world_to_cam @ sample.camera.cam_to_world
    turn = camera.K @ motion[:3, :3] @ np.linalg.inv(sample.camera.K)
    shift = camera.K @ motion[:3, 3]
    stretch = np.zeros(inverse.shape, np.float32)
    x, y, seen = (np.full((camera.height, camera.width), value, np.float32) for value in (0.5, 0.5, -1.0))
    _draw_squares(inverse, turn, shift, x, y, seen, stretch)
    return View(x=x, y=y, inverse_depth=seen, stretch=stretch)


def inverse_depth(depth: Depth) -> NDArray[np.float32]:
    """Return (H, W) 1/m, 0 = sky; unknown pixels (NaN) take the mean of the known."""
    inverse = (1.0 / np.maximum(depth, _NEAREST_M)).astype(np.float32)
    unknown = np.isnan(inverse)
    if unknown.any():
        inverse[unknown] = 0.0 if unknown.all() else float(inverse[~unknown].mean())
    return inverse


@njit(cache=True)
def _minmod(a: float, b: float) -> float:
    if a * b <= 0.0:
        return 0.0
    return a if abs(a) < abs(b) else b


@njit(cache=True)
def _draw_squares(inverse, turn, shift, out_x, out_y, out_inverse, out_stretch):  # type: ignore[no-untyped-def]  # numba infers
    """inverse (H, W) 1/m; turn (3, 3), shift (3,): q = turn @ (x, y, 1) + inverse * shift.

    q[2] is new depth over old depth. Writes source x, y and inverse depth of the nearest square to each new pixel.
    """
    height, width = inverse.shape
    new_height, new_width = out_inverse.shape
    half = 0.5 + _OVERLAP_PX
    for i in range(height):
        for j in range(width):
            d = inverse[i, j]
            gx = 0.0
            gy = 0.0
            if 0 < j < width - 1:
                gx = _minmod(inverse[i, j + 1] - d, d - inverse[i, j - 1])
            elif width > 1:
                gx = inverse[i, 1] - d if j == 0 else d - inverse[i, j - 1]
                if abs(gx) > 0.05 * d:
                    gx = 0.0
            if 0 < i < height - 1:
                gy = _minmod(inverse[i + 1, j] - d, d - inverse[i - 1, j])
            elif height > 1:
                gy = inverse[1, j] - d if i == 0 else d - inverse[i - 1, j]
                if abs(gy) > 0.05 * d:
                    gy = 0.0
            x = j + 0.5
            y = i + 0.5
            q2 = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] + d * shift[2]
            if q2 < 0.02 or (d > 0 and q2 < 0.05 * d):
                continue
            u = (turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] + d * shift[0]) / q2
            v = (turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] + d * shift[1]) / q2
            w = d / q2
            # derivatives along source x (a) and source y (b)
            q2a = turn[2, 0] + gx * shift[2]
            q2b = turn[2, 1] + gy * shift[2]
            ua = (turn[0, 0] + gx * shift[0] - u * q2a) / q2
            va = (turn[1, 0] + gx * shift[1] - v * q2a) / q2
            ub = (turn[0, 1] + gy * shift[0] - u * q2b) / q2
            vb = (turn[1, 1] + gy * shift[1] - v * q2b) / q2
            determinant = ua * vb - ub * va
            if determinant < 1e-3 or determinant > _MOST_STRETCHED:  # seen from the side or behind; torn apart
                continue
            out_stretch[i, j] = determinant
            hu = half * (abs(ua) + abs(ub))
            hv = half * (abs(va) + abs(vb))
            if u + hu < 0 or v + hv < 0 or u - hu > new_width or v - hv > new_height:
                continue
            wa = (gx - w * q2a) / q2
            wb = (gy - w * q2b) / q2
            for row in range(max(0, int(np.ceil(v - hv - 0.5))), min(new_height - 1, int(np.floor(v + hv - 0.5))) + 1):
                for column in range(
                    max(0, int(np.ceil(u - hu - 0.5))), min(new_width - 1, int(np.floor(u + hu - 0.5))) + 1
                ):
                    du = column + 0.5 - u
                    dv = row + 0.5 - v
                    a = (du * vb - dv * ub) / determinant
                    b = (dv * ua - du * va) / determinant
                    if abs(a) > half or abs(b) > half:
                        continue
                    nearness = max(0.0, w + a * wa + b * wb)
                    if nearness > out_inverse[row, column]:
                        out_inverse[row, column] = nearness
                        out_x[row, column] = x + min(max(a, -0.499), 0.499)
                        out_y[row, column] = y + min(max(b, -0.499), 0.499)


def _annotations(
    sample: Sample, camera: Camera, view: View, index: NDArray[np.intp]
) -> tuple[Annotations, dict[int, float]]:
    old, known = sample.annotations, view.known
    segmentation = old.segmentation
    if segmentation is not None:
        segmentation = pull(segmentation, index, known, ignore_value(old))
    masks = None if old.masks is None else warp_masks(old.masks, index, known)
    follow = [_follow_object(sample, camera, row) for row in range(len(old))]
    frame = (camera.width, camera.height)
    boxes = boxes_of_masks(masks) if masks is not None else clip_boxes(_moved(old.boxes, follow), frame)
    fractions = _fractions(sample, view, index, boxes)
    visibility = None
    if old.visibility is not None:
        visibility = np.clip(old.visibility * np.array(list(fractions.values()), np.float32), 0, 1)
    notes = replace(
        old,
        boxes=boxes,
        masks=masks,
        segmentation=segmentation,
        visibility=visibility,
        boxes_amodal=None if old.boxes_amodal is None else _moved(old.boxes_amodal, follow),
    )
    return notes, fractions


def _fractions(sample: Sample, view: View, index: NDArray[np.intp], boxes: Boxes) -> dict[int, float]:
    """Return for each object how much of what was visible still is: its drawn pixels over those it has when alone.

    Every object counts its own pixels, so that objects may overlap and their order says nothing.
    """
    drawn = np.bincount(index[view.known], minlength=view.stretch.size).reshape(view.stretch.shape)
    shares = np.zeros(len(boxes))
    for row in np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1)).tolist():
        region = object_region(sample, row)
        if region is not None:
            alone = float(view.stretch[region.slices][region.mask].sum(dtype=np.float64))
            shares[row] = min(1.0, float(drawn[region.slices][region.mask].sum()) / max(alone, 1e-6))
    shares[shares > 0.98] = 1.0  # outlines are no more accurate than that
    return {int(i): float(s) for i, s in zip(sample.annotations.instance_ids, shares, strict=True)}


Follow = Callable[[Points], Points]


def _follow_object(sample: Sample, camera: Camera, row: int) -> tuple[Boxes, Boxes] | Follow:
    """Return how an object's box moves: its projected 3D box before and after, else points at its median depth."""
    notes = sample.annotations
    old_camera = sample.camera
    if old_camera is None:
        raise InputError(f"reprojection needs a camera; sample {sample.sample_id!r} has none")
    if notes.boxes_3d is not None and np.isfinite(notes.boxes_3d[row]).all():
        before, after = (_project_box(notes.boxes_3d[row], one) for one in (old_camera, camera))
        if before is not None and after is not None:
            return before, after
    inverse = _object_inverse_depth(sample, row)
    motion = camera.world_to_cam @ old_camera.cam_to_world
    turn = camera.K @ motion[:3, :3] @ np.linalg.inv(old_camera.K)
    shift = camera.K @ motion[:3, 3] * inverse

    def forward(points: Points) -> Points:
        moved = points @ turn[:, :2].T + turn[:, 2] + shift
        return moved[:, :2] / np.maximum(moved[:, 2:], 0.05)

    return forward


def _object_inverse_depth(sample: Sample, row: int) -> float:
    region = object_region(sample, row)
    if region is None or sample.depth is None:
        return 0.0
    return float(np.median(inverse_depth(sample.depth[region.slices][region.mask])))


def _project_box(box: NDArray[np.float32], camera: Camera) -> Boxes | None:
    """Return (4,) the bounds of a 3D box (10,) in the picture, None where a corner lies behind the camera."""
    w, x, y, z = box[6:].astype(np.float64)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    corners = np.array([(i, j, k) for i in (-0.5, 0.5) for j in (-0.5, 0.5) for k in (-0.5, 0.5)])
    pixels, depth = camera.project(corners * box[3:6] @ rotation.T + box[:3])
    if (depth < 0.3).any():
        return None
    return np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]).astype(np.float32)


def _moved(boxes: Boxes, follow: list[Any]) -> Boxes:
    """Return boxes (N, 4) moved with their objects; beside a 3D box, sides keep their place relative to it."""
    out = boxes.copy()
    for row, how in enumerate(follow):
        if (boxes[row, 2:] <= boxes[row, :2]).any():
            continue
        if callable(how):
            out[row] = forward_boxes(boxes[row : row + 1], how)[0]
            continue
        before, after = how
        size = np.tile(np.maximum(before[2:] - before[:2], 1e-3), 2)
        scale = np.tile(after[2:] - after[:2], 2) / size
        out[row] = after + (boxes[row] - before) * scale
    return out
