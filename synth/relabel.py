"""Labels that follow the picture when something is put in front of objects, or beside them.

Every function returns new arrays; objects stay in order under their ids. What is hidden gets a box of zero area and
visibility 0. Surroundings that were painted over say nothing any more (segmentation = ignore).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.sample import Annotations, Image, Sample
from synth.regions import Mask, ignore_value, object_region, tight_box


def covered(
    sample: Sample,
    image: Image,
    cover: Mask,
    *,
    depth_m: NDArray[np.float32] | float | None = None,
    spare: int | None = None,
) -> Sample:
    """Return the sample with new pixels where `cover` (H, W) stands in front of everything.

    depth_m: depth of the cover, a number or (H, W); None = unknown (NaN)
    spare:   row of an object that belongs to the cover itself and loses nothing
    """
    annotations, fractions = hide_objects(sample, cover, spare=spare)
    segmentation = annotations.segmentation
    if segmentation is not None:
        segmentation = segmentation.copy()
        segmentation[cover] = ignore_value(annotations)
        annotations = replace(annotations, segmentation=segmentation)
    depth, instances = sample.depth, sample.instances
    if depth is not None:
        depth = np.where(cover, np.float32(np.nan) if depth_m is None else np.asarray(depth_m, np.float32), depth)
    if instances is not None:
        spared = 0 if spare is None else int(annotations.instance_ids[spare])
        instances = np.where(cover & (instances != spared), np.int32(0), instances)
    result = replace(sample, image=image, annotations=annotations, depth=depth, instances=instances)
    return note_visible(result, fractions)


def hide_objects(sample: Sample, cover: Mask, *, spare: int | None = None) -> tuple[Annotations, dict[int, float]]:
    """Take the covered pixels from every object; return the annotations and the fraction each touched object keeps.

    Objects without a mask keep the part of their box that is not covered; their fraction is counted over the ellipse
    in the box.
    """
    annotations = sample.annotations
    boxes = annotations.boxes.copy()
    masks = None if annotations.masks is None else annotations.masks & ~cover
    if masks is not None and spare is not None and annotations.masks is not None:
        masks[spare] = annotations.masks[spare]
    visibility = None if annotations.visibility is None else annotations.visibility.copy()
    fractions: dict[int, float] = {}
    for row in range(len(annotations)):
        region = object_region(sample, row) if row != spare else None
        if region is None or not (hidden := cover[region.slices] & region.mask).any():
            continue
        fraction = 1.0 - np.count_nonzero(hidden) / region.pixels
        x1, y1, _, _ = region.window
        left = region.mask & ~hidden if region.exact else ~cover[region.slices]
        boxes[row] = _shrunk(boxes[row], tight_box(left, x1, y1)) if fraction > 0 else 0.0
        fractions[region.key] = float(fraction)
        if visibility is not None:
            visibility[row] *= fraction
    return replace(annotations, boxes=boxes, masks=masks, visibility=visibility), fractions


def _shrunk(box: NDArray[np.float32], tight: tuple[float, float, float, float]) -> NDArray[np.float32]:
    """Return the tight box inside the old one: sides on which nothing was hidden keep their fractions of a pixel."""
    new = np.array(tight, np.float32)
    new[:2] = np.maximum(new[:2], box[:2])
    new[2:] = np.maximum(np.minimum(new[2:], box[2:]), new[:2])
    return new


def painted_over(sample: Sample, bare: Mapping[int, float]) -> Sample:
    """Record what is left of the surface of painted objects {id: share}: less is visible, their outline stays."""
    notes = sample.annotations
    known = {key: share for key, share in bare.items() if (notes.instance_ids == key).any()}
    if not known:
        return sample
    if notes.visibility is not None:
        visibility = notes.visibility.copy()
        for key, share in known.items():
            visibility[notes.instance_ids == key] *= share
        return replace(sample, annotations=replace(notes, visibility=visibility))
    return note_visible(sample, known)


def note_visible(sample: Sample, fractions: Mapping[int, float]) -> Sample:
    """Record what is left of objects whose labels have no visibility (see synth/audit.py); chains multiply."""
    if sample.annotations.visibility is not None or not fractions:
        return sample
    known: dict[int, float] = dict(sample.meta.get("visible_fraction", {}))
    for key, fraction in fractions.items():
        known[key] = known.get(key, 1.0) * fraction
    return replace(sample, meta={**sample.meta, "visible_fraction": known})


def note(sample: Sample, key: str, reasons: Mapping[int, str]) -> Sample:
    """Record `edited`, `destroyed` or `hidden_by` with a reason for each object (see synth/audit.py)."""
    if not reasons:
        return sample
    return replace(sample, meta={**sample.meta, key: {**dict(sample.meta.get(key, {})), **reasons}})


def add_object(
    sample: Sample, mask: Mask, label: int, *, depth_m: float | None = None, attributes: Mapping[str, Any] | None = None
) -> Sample:
    """Append an object that the shift put in front, whole pixels `mask` (H, W), all of them visible.

    Its pixels must have been hidden from the others first (`covered`). It gets the next free instance id.
    """
    old = sample.annotations
    new_id = 1 + max([0, *old.instance_ids.tolist()])
    if sample.instances is not None:
        new_id = max(new_id, 1 + int(sample.instances.max()))
    box = np.array([tight_box(mask)], np.float32)
    annotations = replace(
        old,
        boxes=np.concatenate([old.boxes, box]),
        labels=np.append(old.labels, np.int64(label)),
        instance_ids=np.append(old.instance_ids, np.int32(new_id)),
        ignore=np.append(old.ignore, False),
        attributes=(*old.attributes, dict(attributes or {})),
        boxes_amodal=None if old.boxes_amodal is None else np.concatenate([old.boxes_amodal, box]),
        masks=None if old.masks is None else np.concatenate([old.masks, mask[None]]),
        visibility=None if old.visibility is None else np.append(old.visibility, np.float32(1.0)),
        boxes_3d=None if old.boxes_3d is None else np.concatenate([old.boxes_3d, np.full((1, 10), np.nan, np.float32)]),
        track_ids=None if old.track_ids is None else np.append(old.track_ids, np.int64(-1)),
    )
    instances = None if sample.instances is None else np.where(mask, np.int32(new_id), sample.instances)
    depth = sample.depth
    if depth is not None:
        depth = np.where(mask, np.float32(np.nan if depth_m is None else depth_m), depth)
    return replace(sample, annotations=annotations, instances=instances, depth=depth)


def boxes_of_masks(masks: Mask) -> NDArray[np.float32]:
    """Return the (N, 4) tight boxes of (N, H, W) masks."""
    return np.array([tight_box(mask) for mask in masks], np.float32).reshape(-1, 4)
