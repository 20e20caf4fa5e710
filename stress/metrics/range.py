"""How far away objects are, where the sample knows it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scenes.sample import Sample


def distances_m(sample: Sample) -> NDArray[np.float32]:
    """Return (N,) metres from the camera to each object, NaN where nothing tells.

    By its 3D box (distance to the centre), else by the median depth over its own pixels, else over its box.
    """
    notes = sample.annotations
    count = len(notes.boxes)
    found = np.full(count, np.nan, np.float32)
    if notes.boxes_3d is not None and sample.camera is not None and count:
        centres = np.asarray(notes.boxes_3d[:, :3], np.float64)
        seen = centres @ sample.camera.world_to_cam[:3, :3].T + sample.camera.world_to_cam[:3, 3]
        found = np.linalg.norm(seen, axis=1).astype(np.float32)
    if sample.depth is not None:
        for i in np.flatnonzero(~np.isfinite(found)):
            found[i] = _by_depth(sample, int(i))
    return found


def _by_depth(sample: Sample, row: int) -> float:
    assert sample.depth is not None  # the caller looked
    x1, y1 = np.floor(np.maximum(sample.annotations.boxes[row, :2], 0)).astype(int)
    x2, y2 = np.ceil(np.maximum(sample.annotations.boxes[row, 2:], 0)).astype(int)
    depth = sample.depth[y1:y2, x1:x2]
    own = np.ones(depth.shape, np.bool_)
    if sample.instances is not None:
        mine = sample.instances[y1:y2, x1:x2] == sample.annotations.instance_ids[row]
        own = mine if mine.any() else own
    known = depth[own & np.isfinite(depth)]
    return float(np.median(known)) if len(known) else float("nan")
