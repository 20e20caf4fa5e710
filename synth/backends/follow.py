"""Labels that follow a transform of which only one thing is known: where it takes the coordinates of the pixels.

Every pixel carries its column and row, counted from 1; the transform moves them as it would a label map, and 0 is what
it leaves where nothing of the old picture is. All labels are then read off that map, so that any transform will do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Annotations, Boxes, Image, Sample
from synth.regions import Mask, ignore_value, object_region, tight_box
from synth.relabel import boxes_of_masks, note_visible
from synth.warp import clip_boxes, pull, warp_masks

Coordinates = NDArray[np.float32]  # (H, W, 2) column + 1, row + 1; 0 = none


def coordinates_of(sample: Sample) -> Coordinates:
    """Return the coordinates of a frame nobody has touched."""
    columns, rows = np.arange(1, sample.width + 1), np.arange(1, sample.height + 1)
    return np.stack(np.meshgrid(columns, rows), axis=-1).astype(np.float32)


def follow(sample: Sample, image: Image, moved: Any | None) -> Sample:
    """Return the frame with a new picture and the labels where `moved`, (h, w, 2) coordinates, says.

    A picture of another size is scaled back to the frame's. `boxes_3d` are no longer known where anything moved; the
    camera stays what it was before the transform.
    """
    size = (sample.width, sample.height)
    if image.shape[:2] != size[::-1]:
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    if moved is None:
        return replace(sample, image=image)
    where = np.asarray(moved, np.float32)
    if where.shape[:2] != size[::-1]:
        where = cv2.resize(where, size, interpolation=cv2.INTER_NEAREST)
    known = (where > 0.5).all(axis=-1)
    columns, rows = (np.clip(np.rint(where[..., i]).astype(np.intp) - 1, 0, size[i] - 1) for i in (0, 1))
    index = rows * sample.width + columns
    stays = index == np.arange(index.size).reshape(index.shape)
    if (stays & known).all():
        return replace(sample, image=image)
    return _moved(sample, image, index, known, displaced=bool((known & ~stays).any()))


def _moved(sample: Sample, image: Image, index: NDArray[np.intp], known: Mask, *, displaced: bool) -> Sample:
    old = sample.annotations
    shown = _shown(index, known)
    share = np.array([_share(sample, row, shown) for row in range(len(old))], np.float32)
    masks = None if old.masks is None else warp_masks(old.masks, index, known)
    boxes = _boxes(sample, index, known) if masks is None else boxes_of_masks(masks)
    hidden = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1) | (share <= 0)
    boxes[hidden] = 0.0
    share[hidden] = 0.0
    if masks is not None:
        masks[hidden] = False
    instances = None if sample.instances is None else pull(sample.instances, index, known, 0)
    if instances is not None:
        instances[np.isin(instances, old.instance_ids[hidden])] = 0
    notes = replace(
        old,
        boxes=boxes,
        masks=masks,
        segmentation=None if old.segmentation is None else pull(old.segmentation, index, known, ignore_value(old)),
        visibility=None if old.visibility is None else old.visibility * share,
        boxes_amodal=_amodal(old, index, known) if displaced else old.boxes_amodal,
        boxes_3d=np.full_like(old.boxes_3d, np.nan) if displaced and old.boxes_3d is not None else old.boxes_3d,
    )
    depth = None if sample.depth is None else pull(sample.depth, index, known, np.nan)
    fractions = {int(i): float(f) for i, f in zip(old.instance_ids, share, strict=True) if f < 1.0}
    result = replace(sample, image=image, annotations=notes, depth=depth, instances=instances)
    return note_visible(result, fractions)


def _shown(index: NDArray[np.intp], known: Mask) -> Mask:
    """Return (H, W) which old pixels the new picture shows; gaps between samples of a smaller picture are closed."""
    height, width = index.shape
    hit = np.zeros(height * width, np.uint8)
    hit[index[known]] = 1
    rows, columns = np.divmod(index, width)
    steps = [1.0]
    for axis in (0, 1):
        both = np.take(known, np.arange(1, known.shape[axis]), axis) & np.take(
            known, np.arange(known.shape[axis] - 1), axis
        )
        if both.any():
            steps.append(float(np.percentile(np.abs(np.diff(columns, axis=axis))[both], 75)))
            steps.append(float(np.percentile(np.abs(np.diff(rows, axis=axis))[both], 75)))
    side = 2 * int(np.ceil(min(max(steps), 64.0))) + 1
    closed = cv2.morphologyEx(hit.reshape(height, width), cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    shown: Mask = closed.reshape(height, width) > 0
    return shown


def _share(sample: Sample, row: int, shown: Mask) -> float:
    """Return how much of what was visible of an object the new picture shows."""
    region = object_region(sample, row)
    if region is None:
        return 0.0
    return float(np.count_nonzero(shown[region.slices] & region.mask) / region.pixels)


def _boxes(sample: Sample, index: NDArray[np.intp], known: Mask) -> Boxes:
    """Return boxes whose edges moved as far as the outline of the pixels that come from inside them."""
    out = sample.annotations.boxes.copy()
    rows, columns = np.divmod(index, sample.width)
    for i, box in enumerate(sample.annotations.boxes):
        if (box[2:] <= box[:2]).any():
            continue
        x1, y1 = np.floor(box[:2])
        x2, y2 = np.ceil(box[2:])
        after = known & (columns >= x1) & (columns < x2) & (rows >= y1) & (rows < y2)
        whole = np.array([x1, y1, x2, y2], np.float32)
        out[i] = box + (np.array(tight_box(after), np.float32) - whole) if after.any() else 0.0
    return clip_boxes(out, (sample.width, sample.height))


def _amodal(old: Annotations, index: NDArray[np.intp], known: Mask) -> Boxes | None:
    """Return amodal boxes by the affine map that fits the pixels of each box best, or of the frame where none are."""
    if old.boxes_amodal is None:
        return None
    new_rows, new_columns = np.nonzero(known)
    if len(new_rows) < 3:
        return old.boxes_amodal
    rows, columns = np.divmod(index[known], index.shape[1])
    before = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], axis=1)
    after = np.stack([new_columns + 0.5, new_rows + 0.5], axis=1)
    out = old.boxes_amodal.copy()
    for i, box in enumerate(old.boxes_amodal):
        if (box[2:] <= box[:2]).any():
            continue
        inside = ((before[:, :2] >= box[:2]) & (before[:, :2] < box[2:])).all(axis=1)
        chosen = np.flatnonzero(inside) if np.count_nonzero(inside) >= 50 else np.arange(len(before))
        chosen = chosen[:: max(1, len(chosen) // 2000)]
        fit, *_ = np.linalg.lstsq(before[chosen], after[chosen], rcond=None)
        corners = np.array([(x, y, 1.0) for x in box[[0, 2]] for y in box[[1, 3]]]) @ fit
        out[i] = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return out
