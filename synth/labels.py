"""Labels of a variant as they may be written: nothing that was made up, invalid objects set aside, what a format holds.

An invalid object of which something is in the picture (destroyed by the edit) becomes an ignore region; formats without
those leave it out (YOLO), the others write `iscrowd` (COCO), DontCare (KITTI), `ignored` (BDD100K), the bare class id
(Cityscapes). One without a pixel in the picture is left out everywhere; the manifest has its verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scenes.datasets.cityscapes import CLASS_NAMES as CITYSCAPES
from scenes.datasets.cityscapes import FIRST_THING
from scenes.errors import InputError
from scenes.sample import Annotations, Sample
from synth.audit import Verdict, apply_verdicts
from synth.pipeline import Shifted

_ROWS = ("boxes", "labels", "instance_ids", "ignore", "boxes_amodal", "masks", "visibility", "boxes_3d", "track_ids")
_HOLDS_DEPTH = ("kitti",)  # of our own formats
_HOLDS_INSTANCES = ("cityscapes",)
_NO_IGNORE = ("yolo",)
_HOLDS_OBJECTS = ("coco", "yolo", "kitti", "bdd100k")  # and nothing else that says what is in the picture
_HOLDS_AREAS = ("cityscapes", "masks", "camvid")  # every picture has to have its segmentation
_OWN = ("coco", "yolo", "kitti", "bdd100k", "cityscapes", "masks", "camvid", "image_folder")


def told_truly(source: Sample, result: Shifted) -> Sample:
    """Return a variant with the labels that are true of it: no assumed camera or depth, no objects that are gone."""
    sample = result.sample
    camera = sample.camera if source.camera is not None else None
    depth = sample.depth if source.depth is not None else None
    if depth is not None and "depth" in result.completed:  # holes were filled: only what was measured counts
        same = source.camera is None or sample.camera is source.camera
        depth = source.depth if same and not _moved(source, sample) else None
    sample = replace(sample, camera=camera, depth=depth)
    return _without(apply_verdicts(sample, result.verdicts), gone(sample, result.verdicts))


def gone(sample: Sample, verdicts: tuple[Verdict, ...]) -> NDArray[np.bool_]:
    """Return (N,) True for invalid objects of which no pixel is in the picture."""
    boxes, masks = sample.annotations.boxes, sample.annotations.masks
    invalid = np.array([verdict.kind == "invalid" for verdict in verdicts], np.bool_)
    x1, y1, x2, y2 = boxes.T if len(boxes) else np.zeros((4, 0), np.float32)
    seen = (x2 > x1) & (y2 > y1) & (x2 > 0) & (y2 > 0) & (x1 < sample.width) & (y1 < sample.height)
    if masks is not None:
        seen &= masks.any(axis=(1, 2))
    missing: NDArray[np.bool_] = invalid & ~seen
    return missing


def _moved(source: Sample, sample: Sample) -> bool:
    """Tell whether anything but the look of the picture changed."""
    before, after = source.annotations, sample.annotations
    same = len(before) == len(after) and np.array_equal(before.boxes, after.boxes)
    if before.segmentation is not None and after.segmentation is not None:
        same = same and np.array_equal(before.segmentation, after.segmentation)
    return not same


def _without(sample: Sample, rows: NDArray[np.bool_]) -> Sample:
    if not rows.any():
        return sample
    notes, keep = sample.annotations, ~rows
    fields = {name: value[keep] for name in _ROWS if (value := getattr(notes, name)) is not None}
    attributes = tuple(a for a, kept in zip(notes.attributes, keep.tolist(), strict=True) if kept)
    annotations = Annotations(**fields, segmentation=notes.segmentation, label=notes.label, attributes=attributes)
    return replace(sample, annotations=annotations)


def _things_only(sample: Sample) -> tuple[Sample, list[str]]:
    """Return the sample without objects of classes that Cityscapes knows as areas only, and what is said of them."""
    labels = sample.annotations.labels
    areas = labels < FIRST_THING
    if not areas.any():
        return sample, []
    kinds = ", ".join(CITYSCAPES[label] for label in np.unique(labels[areas]).tolist())
    said = f"objects: {int(areas.sum())} of {kinds}; Cityscapes holds these classes as areas only"
    return _without(sample, areas), [said]


def check_holds(tasks: Sequence[str], name: str, format: str) -> None:
    """Raise where the format holds no labels of the kinds that a data set has: all would be empty, or missing."""
    if format in _HOLDS_OBJECTS and tasks and "detection" not in tasks:
        known = " and ".join(tasks)
        raise InputError(
            f"data set {name!r} has {known} only, and {format} holds nothing but objects: its labels would be empty; "
            f"name a --format that holds {known}, or leave it out to keep the source's own"
        )
    wanted = "classification" if format == "image_folder" else "segmentation" if format in _HOLDS_AREAS else None
    if wanted and wanted not in tasks and (tasks or wanted == "segmentation"):
        known = f"{' and '.join(tasks)} only" if tasks else "no labels"
        holds = "one class for each picture" if wanted == "classification" else "the class of every pixel"
        raise InputError(
            f"data set {name!r} has {known}, and {format} holds {holds}: name another --format, or leave it out to "
            "keep the source's own"
        )


def fitting(sample: Sample, format: str) -> tuple[Sample, list[str]]:
    """Return the sample without what a format of ours cannot hold, and what of it is said in the manifest."""
    dropped: list[str] = []
    if format not in _OWN:
        return sample, dropped
    if format == "kitti" and sample.camera is not None and any(sample.camera.distortion):
        sample = replace(sample, camera=None)
        dropped.append("camera: KITTI holds no lens distortion")
    if format == "kitti" and sample.camera is None:
        if sample.annotations.boxes_3d is not None:
            dropped.append("boxes_3d: KITTI needs the camera for them")
        sample = replace(sample, depth=None, annotations=replace(sample.annotations, boxes_3d=None))
    if format == "cityscapes":
        sample, areas = _things_only(sample)
        dropped += areas
    ignored = int(sample.annotations.ignore.sum())
    if format in _NO_IGNORE and ignored:
        dropped.append(f"ignore: {ignored} ignore region{'s' * (ignored != 1)}; {format} holds none")
    if format not in _HOLDS_DEPTH:
        sample = replace(sample, depth=None)
    if format not in _HOLDS_INSTANCES:
        sample = replace(sample, instances=None)
    return sample, dropped
