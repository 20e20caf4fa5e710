"""The labels of a rendered frame, read off the Gaussian that contributes most to each pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Annotations
from scenes.splats.editing import SplatObject

SPECK = 0.03  # of the largest piece of an object
SOLID = 0.5  # alpha from which a pixel shows something
Mask = NDArray[np.bool_]
Alone = Callable[[int], tuple[Mask, int, int]]  # object -> its silhouette (h, w) alone, and where (0, 0) of it lies


def box_around(mask: Mask) -> tuple[float, float, float, float]:
    """Return xyxy, half-open, around the set pixels; zeros where there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def without_specks(instances: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the map without pieces of an object smaller than a `SPECK` of its largest: Gaussians gone astray.

    A speck of one pixel far from its object would stretch the box around it.
    """
    from scipy.ndimage import find_objects, label

    out = instances.copy()
    for number, window in enumerate(find_objects(instances), start=1):
        if window is None:
            continue
        pieces, count = label(instances[window] == number, structure=np.ones((3, 3)))
        if count > 1:
            sizes = np.bincount(pieces.ravel())
            sizes[0] = sizes[1:].max()
            out[window][(sizes < SPECK * sizes[1:].max())[pieces]] = 0
    return out


def annotate(
    instances: NDArray[np.int32],  # (H, W)
    segmentation: NDArray[Any] | None,
    objects: Mapping[int, SplatObject],
    camera: Camera,
    alone: Alone,
) -> Annotations:
    """Return the annotations of all objects of which a pixel is visible, by instance id."""
    ids = [int(i) for i in np.unique(instances) if i > 0 and int(i) in objects]
    masks = instances[None] == np.array(ids, np.int32)[:, None, None]
    boxes, amodal, visibility = [], [], []
    for number, mask in zip(ids, masks, strict=True):
        silhouette, x, y = alone(number)
        seen = box_around(mask)
        whole = np.add(box_around(silhouette), (x, y, x, y))
        boxes.append(seen)
        amodal.append((*np.minimum(whole[:2], seen[:2]), *np.maximum(whole[2:], seen[2:])))
        visibility.append(min(1.0, mask.sum() / max(1, silhouette.sum())))
    known = [objects[number].box_3d for number in ids]
    unknown = np.full(10, np.nan, np.float32)
    return Annotations(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array([objects[number].label for number in ids], np.int64),
        instance_ids=np.array(ids, np.int32),
        ignore=np.array([objects[number].ignore for number in ids], np.bool_),
        boxes_amodal=np.array(amodal, np.float32).reshape(-1, 4),
        masks=masks,
        segmentation=segmentation,
        visibility=np.array(visibility, np.float32),
        boxes_3d=np.array([unknown if box is None else box for box in known], np.float32).reshape(-1, 10),
        track_ids=np.array(ids, np.int64),
        attributes=tuple(_attributes(objects[number], camera) for number in ids),
    )


def _attributes(thing: SplatObject, camera: Camera) -> dict[str, Any]:
    if thing.box_3d is None or not np.isfinite(thing.box_3d).all():
        return dict(thing.attributes)
    return {**thing.attributes, "distance_m": round(float(np.linalg.norm(thing.box_3d[:3] - camera.position)), 2)}
