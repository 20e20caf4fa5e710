"""Objects of which only a box or an area is known, deformed by bending the picture in and around them.

The displacement is whole inside the box and fades around it; boxes of neighbours follow the picture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Boxes, Sample
from synth.canvas import Window, grown
from synth.noise import Field
from synth.radiometry import to_linear, to_srgb
from synth.regions import Mask, Region, object_region, tight_box
from synth.shape.objects import Deformation, Plan
from synth.warp import clip_boxes, forward_boxes


def bend(sample: Sample, plan: Plan) -> Sample:
    """Return the picture and its labels bent around one object after the other, where it is by then."""
    old = sample.annotations
    notes = replace(
        old,
        boxes=old.boxes.copy(),
        boxes_amodal=None if old.boxes_amodal is None else old.boxes_amodal.copy(),
        boxes_3d=None if old.boxes_3d is None else old.boxes_3d.copy(),
        segmentation=None if old.segmentation is None else old.segmentation.copy(),
    )
    result = replace(
        sample,
        image=sample.image.copy(),
        annotations=notes,
        depth=None if sample.depth is None else sample.depth.copy(),
        instances=None if sample.instances is None else sample.instances.copy(),
    )
    for region, deformation in plan:
        there = region if region.row < 0 else object_region(result, region.row)
        if there is not None:
            again = Deformation.of(there, deformation.kind, deformation.amount, deformation.sign, deformation.seed)
            _bend_one(result, there, again)
    return result


def _bend_one(own: Sample, region: Region, deformation: Deformation) -> None:
    """Bend around one object, in place: `own` holds copies."""
    notes = own.annotations
    box = deformation.moved(region.window)
    margin = max(4.0, 1.8 * _reach(region, deformation, box))
    hull = np.concatenate([np.floor(box[:2] - margin), np.ceil(box[2:] + margin)]).astype(int).tolist()
    window = grown((hull[0], hull[1], hull[2], hull[3]), 0, (own.height, own.width))
    if window[2] <= window[0] or window[3] <= window[1]:
        return
    columns, rows = np.arange(window[0], window[2])[None, :] + 0.5, np.arange(window[1], window[3])[:, None] + 0.5
    outside = np.maximum(np.maximum(box[0] - columns, columns - box[2]), np.maximum(box[1] - rows, rows - box[3]))
    left = np.clip(1 - outside / margin, 0, 1)
    weight = (left * left * (3 - 2 * left)).astype(np.float32)
    x, y, shade = deformation.maps(window)
    x, y = ((columns + (x - columns) * weight).astype(np.float32), (rows + (y - rows) * weight).astype(np.float32))
    part = np.s_[window[1] : window[3], window[0] : window[2]]
    own.image[part] = cv2.remap(own.image, x - 0.5, y - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    at = (np.clip(y, 0, own.height - 1).astype(np.intp), np.clip(x, 0, own.width - 1).astype(np.intp))
    for layer in (notes.segmentation, own.depth, own.instances):
        if layer is not None:
            layer[part] = layer[at]
    if shade is not None:
        _shade(own.image[part], shade, _pulled_mask(region, x, y))
    boxes = notes.boxes.copy()
    notes.boxes[:] = clip_boxes(_carried(boxes, x, y, window), (own.width, own.height))
    if notes.boxes_amodal is not None:
        amodal = notes.boxes_amodal.copy()
        notes.boxes_amodal[:] = _carried(amodal, x, y, window)
    if region.row >= 0:
        this = slice(region.row, region.row + 1)
        notes.boxes[this] = clip_boxes(forward_boxes(boxes[this], deformation.forward), (own.width, own.height))
        if notes.boxes_amodal is not None:
            notes.boxes_amodal[this] = forward_boxes(amodal[this], deformation.forward)
    if notes.boxes_3d is not None:
        notes.boxes_3d[np.abs(notes.boxes - boxes).max(axis=1) > 1.0] = np.nan
        if region.row >= 0:
            notes.boxes_3d[region.row] = np.nan


def _reach(region: Region, deformation: Deformation, box: NDArray[np.float32]) -> float:
    """Return how far, in pixels, the box around an object or any point of its outline goes."""
    grows = float(np.abs(box - np.array(region.window, np.float32)).max())
    x1, y1, x2, y2 = region.window
    step = np.linspace(0.0, 1.0, 17)
    x, y = x1 + (x2 - x1) * step, y1 + (y2 - y1) * step
    sides = [(x, np.full(17, y1)), (x, np.full(17, y2)), (np.full(17, x1), y), (np.full(17, x2), y)]
    points = np.concatenate([np.stack(side, axis=1) for side in sides]).astype(np.float64)
    away = float(np.abs(deformation.forward(points) - points).max())
    return max(grows, away if deformation.kind == "crumple" else 0.0)


def _pulled_mask(region: Region, x: Field, y: Field) -> Field:
    """Return (h, w) how much of each new pixel is the object."""
    mask = region.mask.astype(np.float32)
    soft: Field = cv2.remap(
        mask, x - region.window[0] - 0.5, y - region.window[1] - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return soft


def _shade(image: NDArray[np.uint8], shade: Field, share: Field) -> None:
    """Multiply the light of a picture, in place."""
    factor = 1 + (cv2.GaussianBlur(shade, (3, 3), 0.7) - 1) * share
    image[:] = to_srgb(to_linear(np.ascontiguousarray(image)) * factor[..., None])


def _carried(boxes: Boxes, x: Field, y: Field, window: Window) -> Boxes:
    """Return boxes (N, 4) whose edges moved as far as the outline of the pixels that come from inside them.

    x, y: (h, w) where the pixels of the window come from; the picture outside of it stays. A box that shows nowhere
    any more gets zeros.
    """
    out = boxes.copy()
    for row, box in enumerate(boxes):
        apart = (box[:2] >= window[2:]).any() or (box[2:] <= window[:2]).any()
        if apart or (box[2:] <= box[:2]).any():
            continue
        before, after = _seen(box, *_still(window), window), _seen(box, x, y, window)
        if before is None:
            continue
        out[row] = box + np.subtract(after, before).astype(np.float32) if after is not None else 0.0
    return out


def _still(window: Window) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.arange(window[0], window[2])[None, :] + 0.5, np.arange(window[1], window[3])[:, None] + 0.5


def _seen(
    box: NDArray[np.float32], x: NDArray[Any], y: NDArray[Any], window: Window
) -> tuple[float, float, float, float] | None:
    """Return the tight box of what comes from the object in a box: pixels of the window, and the box outside it.

    The superellipse in the box (`regions.ellipse`) stands for the object: corners of a box are not its own.
    """
    u = (x - 0.5 * (box[0] + box[2])) / (0.5 * (box[2] - box[0]))
    v = (y - 0.5 * (box[1] + box[3])) / (0.5 * (box[3] - box[1]))
    inside: Mask = np.square(u * u) + np.square(v * v) <= 1.0
    found = [tight_box(inside, window[0], window[1])] if inside.any() else []
    x1, y1, x2, y2 = (float(round(v)) for v in box.tolist())
    left, top, right, bottom = window
    strips = (
        (x1, y1, min(x2, left), y2), (max(x1, right), y1, x2, y2), (x1, y1, x2, min(y2, top)),
        (x1, max(y1, bottom), x2, y2),
    )  # fmt: skip
    found += [strip for strip in strips if strip[2] > strip[0] and strip[3] > strip[1]]
    if not found:
        return None
    low, high = np.min(found, axis=0), np.max(found, axis=0)
    return float(low[0]), float(low[1]), float(high[2]), float(high[3])
