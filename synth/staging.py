"""Finished pictures of a synthesis on their way into the new data set: encoded pixels, labels, what came of each.

A part is a folder that appears whole: `rows.json`, `labels.npz` and the pictures as they will stand in the data set.
Everything is plain (no pickles): masks as packed bits of the window they fill.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.datasets.base import plain
from scenes.folders import TEMPORARY, disk_errors
from scenes.images import StoredPicture
from scenes.sample import Annotations, Sample

ROWS, LABELS = "rows.json", "labels.npz"
_ARRAYS = (
    "boxes", "labels", "instance_ids", "ignore", "boxes_amodal", "segmentation", "visibility", "boxes_3d", "track_ids",
)  # fmt: skip
_UNWRITTEN = ("class_names", "visible_fraction", "edited", "destroyed", "unseen")  # notes of shifts and readers
_CAMERA = ("K", "world_to_cam", "distortion")


@dataclass
class Made:
    """One picture of the new set, or why there is none.

    row:     what the manifest says of it, the place of the picture still missing
    sample:  its labels; None where it was left out
    picture: encoded pixels with their suffix; looks: what near duplicates are known by
    left_out, detail: a reason of `filters.REASONS`, and more of it in words
    """

    sample_id: str
    variant: int
    row: dict[str, Any] = field(default_factory=dict)
    sample: Sample | None = None
    picture: tuple[bytes, str] | None = None
    looks: dict[str, str] | None = None
    left_out: str | None = None
    detail: str = ""


def write_part(folder: Path, made: Sequence[Made]) -> None:
    """Write a part, whole or not at all."""
    temporary = folder.with_name(f"{TEMPORARY}{os.getpid()}-{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    arrays: dict[str, NDArray[Any]] = {}
    rows = []
    with disk_errors(folder):
        temporary.mkdir(parents=True)
        try:
            for number, one in enumerate(made):
                row = {key: getattr(one, key) for key in ("sample_id", "variant", "row", "looks", "left_out", "detail")}
                if one.sample is not None and one.picture is not None:
                    data, suffix = one.picture
                    (temporary / f"{number}{suffix}").write_bytes(data)
                    row["file"] = f"{number}{suffix}"
                    row["labels"] = _packed(one.sample, str(number), arrays)
                rows.append(row)
            np.savez(temporary / LABELS, **arrays)
            (temporary / ROWS).write_text(json.dumps(rows, allow_nan=False), encoding="utf-8")
            os.rename(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def read_part(folder: Path) -> list[Made]:
    """Read a part; the samples have a stand-in for their pixels (`StoredPicture`)."""
    rows = json.loads((folder / ROWS).read_text(encoding="utf-8"))
    made = []
    with np.load(folder / LABELS, allow_pickle=False) as arrays:
        for number, row in enumerate(rows):
            file, labels = row.pop("file", None), row.pop("labels", None)
            one = Made(**row)
            if file is not None:
                one.sample = _unpacked(one.sample_id, folder / file, labels, str(number), arrays)
            made.append(one)
    return made


def outline_part(folder: Path) -> list[tuple[Made, Path | None]]:
    """Read what a part says of its pictures, without their labels, and where the pictures are."""
    rows = json.loads((folder / ROWS).read_text(encoding="utf-8"))
    found = []
    for row in rows:
        file, _ = row.pop("file", None), row.pop("labels", None)
        found.append((Made(**row), None if file is None else folder / file))
    return found


def _packed(sample: Sample, prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Put the arrays of a sample under a prefix; return the rest as plain values."""
    notes = sample.annotations
    for name in _ARRAYS:
        if getattr(notes, name) is not None:
            arrays[f"{prefix}/{name}"] = getattr(notes, name)
    for name in ("depth", "instances"):
        if getattr(sample, name) is not None:
            arrays[f"{prefix}/{name}"] = getattr(sample, name)
    if sample.camera is not None:
        for name in _CAMERA:
            arrays[f"{prefix}/{name}"] = np.asarray(getattr(sample.camera, name), np.float64)
    if notes.masks is not None:
        arrays[f"{prefix}/windows"], arrays[f"{prefix}/bits"] = pack_masks(notes.masks)
    known = plain({key: value for key, value in sample.meta.items() if key not in _UNWRITTEN})
    meta = {key: value for key, value in known.items() if _jsonable(value)}
    return {
        "size": [sample.height, sample.width],
        "label": notes.label,
        "attributes": [plain(a) for a in notes.attributes],
        "timestamp_s": sample.timestamp_s,
        "meta": meta,
    }


def _unpacked(sample_id: str, file: Path, labels: Mapping[str, Any], prefix: str, arrays: Any) -> Sample:
    known = {name: arrays[f"{prefix}/{name}"] for name in (*_ARRAYS, "depth", "instances", *_CAMERA, "windows", "bits")
             if f"{prefix}/{name}" in arrays}  # fmt: skip
    height, width = labels["size"]
    camera = None
    if "K" in known:
        distortion = tuple(known["distortion"].tolist())
        camera = Camera(
            K=known["K"], width=width, height=height, world_to_cam=known["world_to_cam"], distortion=distortion
        )
    masks = unpack_masks(known["windows"], known["bits"], height, width) if "windows" in known else None
    annotations = Annotations(
        **{name: known[name] for name in _ARRAYS if name in known},
        masks=masks,
        label=labels["label"],
        attributes=tuple(labels["attributes"]),
    )
    return Sample(
        sample_id=sample_id,
        image=StoredPicture.of(file, height, width),
        annotations=annotations,
        depth=known.get("depth"),
        instances=known.get("instances"),
        camera=camera,
        timestamp_s=labels["timestamp_s"],
        meta=labels["meta"],
    )


def pack_masks(masks: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return (N, 4) windows x1 y1 x2 y2 that masks (N, H, W) fill, and the bits in them one after another."""
    windows = np.zeros((len(masks), 4), np.int32)
    bits: list[NDArray[np.uint8]] = []
    for row, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            windows[row] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            x1, y1, x2, y2 = windows[row]
            bits.append(np.packbits(mask[y1:y2, x1:x2]))
    return windows, np.concatenate(bits) if bits else np.zeros(0, np.uint8)


def unpack_masks(windows: NDArray[np.int32], bits: NDArray[np.uint8], height: int, width: int) -> NDArray[np.bool_]:
    """Return the (N, H, W) masks of what `pack_masks` gave."""
    masks = np.zeros((len(windows), height, width), np.bool_)
    at = 0
    for mask, (x1, y1, x2, y2) in zip(masks, windows.tolist(), strict=True):
        count = (y2 - y1) * (x2 - x1)
        n_bytes = -(-count // 8)
        mask[y1:y2, x1:x2] = np.unpackbits(bits[at : at + n_bytes], count=count).reshape(y2 - y1, x2 - x1)
        at += n_bytes
    return masks


def _jsonable(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def with_pixels(sample: Sample) -> Sample:
    """Return the sample with its pixels read, for writers that are not ours and may look at them."""
    if not isinstance(sample.image, StoredPicture):
        return sample
    from scenes.images import read_image

    return replace(sample, image=read_image(sample.image.file))
