"""Render a sample's scene again, and put the result into the order and under the ids of the sample."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scenes.camera import Camera
from scenes.edits import Edit, Move, Remove, Reshape, Turn
from scenes.errors import InputError
from scenes.sample import Annotations, Sample
from synth.regions import Mask, object_region, pixel_window
from synth.relabel import note

EXACT = "exact"
UNKNOWN_ABOVE = 0.5  # an object is unknown if more of it than this was not seen: its outline is a guess
NEAREST_M = 0.05  # what is nearer to the camera, or behind it, has no outline in the frame
_FAR_M = 1e4  # where depth is unknown: turns and lenses do not depend on it


def render_again(sample: Sample, *, who: str, camera: Camera | None = None, edits: Sequence[Edit] = ()) -> Sample:
    """Return the sample's scene seen by a camera (its own unless given) after edits; `who` asks, for the error."""
    if sample.scene is None:
        raise InputError(f"{who} needs a scene; sample {sample.sample_id!r} has none: use the town or a fitted scene")
    view = camera or sample.camera
    if view is None:
        raise InputError(f"{who} needs a camera; sample {sample.sample_id!r} has none: complete it first")
    rendered = sample.scene.render(view, edits)
    annotations = in_order(sample.annotations, rendered.annotations)
    meta = {**sample.meta, "renderer": rendered.meta.get("renderer", EXACT)}
    unseen = rendered.meta.get("unseen")
    if camera is not None and annotations.visibility is not None and not _counts_beyond_frame(sample):
        visibility = annotations.visibility.copy()
        visibility[: len(sample.annotations)] *= share_inside(sample, camera)
        annotations = replace(annotations, visibility=visibility)
    result = replace(
        sample,
        image=rendered.image,
        annotations=annotations,
        depth=rendered.depth,
        instances=rendered.instances,
        camera=rendered.camera,
        previous=None if camera is not None else sample.previous,
        meta=meta if unseen is None else {**meta, "unseen": unseen},
    )
    if unseen is None:
        return result
    touched = {edit.instance_id for edit in edits if isinstance(edit, Turn | Move | Reshape | Remove)}
    return note(result, "destroyed", unknown_objects(result, view, unseen, touched))


def _counts_beyond_frame(sample: Sample) -> bool:
    """Tell whether the scene's own visibility already takes off what the frame's edge cuts, as fitted scenes' does."""
    return bool(getattr(sample.scene, "whole_visibility", False))


def renderer_of(sample: Sample) -> str:
    """Return by which renderer a sample's scene is seen again: "exact" unless the scene says another."""
    return str(getattr(sample.scene, "renderer", EXACT))


def lacks_scene(sample: Sample) -> str:
    """Say what keeps a sample from a shift that edits its scene, "" where nothing does."""
    if sample.scene is None:
        return "needs a scene (the town or a fitted one)"
    if not getattr(sample.scene, "editable", True):
        return "needs a scene with objects that can be changed (the town or Gaussian splats, not a NeRF)"
    return ""


def unknown_objects(sample: Sample, camera: Camera, unseen: Mask, touched: Collection[int] = ()) -> dict[int, str]:
    """Return the reason for each object of a re-rendered sample that stands where no training view tells what is.

    unseen:  (H, W) where the scene is not known
    touched: objects whose place an edit changed; when they are gone, it was the edit

    An object with pixels is unknown if most of them are; one without, if most of its projected 3D box is.
    """
    found: dict[int, str] = {}
    notes = sample.annotations
    for row, key in enumerate(notes.instance_ids.tolist()):
        region = object_region(sample, row)
        if region is not None:
            part, of_object = unseen[region.slices], region.mask
            share = float(part[of_object].mean())
        elif key not in touched and notes.boxes_3d is not None:
            window = _window_of_box(notes.boxes_3d[row], camera)
            share = 0.0 if window is None else float(unseen[window].mean())
        else:
            continue
        if share > UNKNOWN_ABOVE:
            found[key] = f"no two training views of the scene saw {share:.0%} of where it is"
    return found


def _window_of_box(box: NDArray[np.float32], camera: Camera) -> tuple[slice, slice] | None:
    """Return the pixels of the frame around a projected 3D box (10,); None where none of it is in the frame."""
    if not np.isfinite(box).all():
        return None
    turn = Rotation.from_quat(np.roll(box[6:10].astype(np.float64), -1)).as_matrix()
    signs = np.stack(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5]), axis=-1).reshape(-1, 3)
    pixels, depth = camera.project(box[:3] + (signs * box[3:6]) @ turn.T)
    if (depth <= NEAREST_M).any():
        return None
    around = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]).astype(np.float32)
    window = pixel_window(around, camera.height, camera.width)
    return None if window is None else (slice(window[1], window[3]), slice(window[0], window[2]))


def share_inside(sample: Sample, camera: Camera) -> NDArray[np.float32]:
    """Return (N,) the share of each object's visible pixels that a camera still has in its frame.

    The town's visibility is that of what is in the frame; what the frame's edge cuts is hidden as well.
    """
    shares = np.ones(len(sample.annotations), np.float32)
    if sample.camera is None:
        return shares
    motion = camera.world_to_cam @ sample.camera.cam_to_world
    inverse_K = np.linalg.inv(sample.camera.K)
    for row in range(len(shares)):
        region = object_region(sample, row)
        if region is None:
            continue
        rows, columns = np.nonzero(region.mask)
        thin = max(1, len(rows) // 2000)
        rows, columns = rows[::thin] + region.window[1], columns[::thin] + region.window[0]
        depth = np.full(len(rows), _FAR_M) if sample.depth is None else sample.depth[rows, columns].astype(np.float64)
        depth = np.where(np.isfinite(depth), depth, _FAR_M)
        rays = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], axis=1) @ inverse_K.T
        points = (rays * depth[:, None]) @ motion[:3, :3].T + motion[:3, 3]
        pixels = points @ camera.K.T
        x, y = (pixels[:, i] / np.maximum(pixels[:, 2], 1e-6) for i in (0, 1))
        inside = (points[:, 2] > 0.05) & (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height)
        shares[row] = inside.mean()
    return shares


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
