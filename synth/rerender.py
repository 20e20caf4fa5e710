"""Render a sample's scene again, and put the result into the order and under the ids of the sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scenes.camera import Camera
from scenes.edits import Edit
from scenes.errors import InputError
from scenes.sample import Annotations, Sample


def render_again(sample: Sample, *, who: str, camera: Camera | None = None, edits: Sequence[Edit] = ()) -> Sample:
    """Return the sample's scene seen by a camera (its own unless given) after edits; `who` asks, for the error."""
    if sample.scene is None:
        raise InputError(f"{who} needs a scene; sample {sample.sample_id!r} has none: use the town or a fitted scene")
    view = camera or sample.camera
    if view is None:
        raise InputError(f"{who} needs a camera; sample {sample.sample_id!r} has none: complete it first")
    rendered = sample.scene.render(view, edits)
    return replace(
        sample,
        image=rendered.image,
        annotations=in_order(sample.annotations, rendered.annotations),
        depth=rendered.depth,
        instances=rendered.instances,
        camera=rendered.camera,
        previous=None if camera is not None else sample.previous,
    )


def in_order(old: Annotations, new: Annotations) -> Annotations:
    """Return new annotations with every old object first, in the old order; what is gone has an empty box.

    Objects are matched by instance id; those that the old ones lack follow.
    """
    rows = {int(i): row for row, i in enumerate(new.instance_ids)}
    known = set(old.instance_ids.tolist())
    order = [rows.get(int(i), -1) for i in old.instance_ids]
    order += [row for i, row in rows.items() if i not in known]
    take = np.array(order, np.intp)
    gone = take < 0
    n_old = len(old)

    def arranged(name: str, empty: Any) -> Any:
        values = getattr(new, name)
        if values is None:
            return None
        if not len(values):
            return np.full((len(take), *values.shape[1:]), empty, values.dtype)
        out = values[np.maximum(take, 0)]
        if gone.any():
            out = out.copy()
            out[gone] = empty
        return out

    def kept(name: str, values: Any) -> Any:
        before = getattr(old, name)
        if values is None or before is None:
            return values
        values = values.copy()
        values[np.flatnonzero(gone)] = before[np.flatnonzero(gone)]
        return values

    labels, ids = arranged("labels", 0), arranged("instance_ids", 0)
    labels[:n_old], ids[:n_old] = old.labels, old.instance_ids
    ignore = arranged("ignore", False)
    ignore[:n_old] |= old.ignore
    attributes: list[Mapping[str, Any]] = [*old.attributes, *(new.attributes[row] for row in order[n_old:])]
    return Annotations(
        boxes=arranged("boxes", 0.0),
        labels=labels,
        instance_ids=ids,
        ignore=ignore,
        boxes_amodal=arranged("boxes_amodal", 0.0),
        masks=arranged("masks", False),
        segmentation=new.segmentation,
        label=old.label,
        visibility=arranged("visibility", 0.0),
        boxes_3d=kept("boxes_3d", arranged("boxes_3d", np.nan)),
        track_ids=kept("track_ids", arranged("track_ids", -1)),
        attributes=tuple(attributes),
    )
