"""COCO instances JSON (Lin et al. 2014): boxes, polygons, run lengths, crowds.

Boxes are x y width height in pixel-corner coordinates, so xyxy is half-open as it stands. `iscrowd` (and `ignore`)
make an ignore region. Polygons and run lengths become masks through pycocotools; among objects with masks one without
gets the pixels of its box and the attribute `mask_from_box`, and is written without a mask again. The recorded width
and height of a picture say whether its labels belong to the stored or to the upright one (see scenes/images.py).

Written: `boxes, labels, ignore, masks, attributes` (further keys of annotations found while reading count as
attributes), and under keys that other readers pass over `instance_id, track_id, visibility, bbox_amodal, bbox_3d`
of objects and `camera, timestamp_s, group` of pictures.
Not held: depth, instance map, segmentation, a label of the whole picture. Polygons are written as run lengths, `area`
is counted anew from the mask, keypoints are left out.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from scenes.camera import Camera
from scenes.datasets.base import (
    FolderDataset,
    ImageFormat,
    check_labels,
    checked_id,
    choose_splits,
    new_folder,
    plain,
    write_picture,
)
from scenes.datasets.coco_index import CocoFile, label_files, looks_like_coco
from scenes.datasets.objects import Box, Objects, has_own_mask
from scenes.datasets.registry import register_format
from scenes.datasets.shapes import Mask, checked_box, mask_box, mask_rle, polygons_mask, rle_mask
from scenes.errors import InputError
from scenes.images import Orientation, read_oriented
from scenes.sample import Dataset, Sample

_OBJECT_KEYS = frozenset(
    [
        "id",
        "image_id",
        "category_id",
        "bbox",
        "segmentation",
        "area",
        "iscrowd",
        "ignore",
        "attributes",
        "instance_id",
        "track_id",
        "visibility",
        "bbox_amodal",
        "bbox_3d",
        "keypoints",
        "num_keypoints",
    ]
)
_IMAGE_KEYS = frozenset(["file_name", "width", "height", "camera", "timestamp_s", "group"])


class CocoDataset(FolderDataset):
    """Reads one or several instances files; keeps byte offsets, not annotations."""

    format: ClassVar[str] = "coco"

    def __init__(self, path: Path, *, split: str | None = None, strict: bool = False) -> None:
        root, labels = label_files(path)
        if not labels:
            raise InputError(f"data set {path}: no COCO label file (*.json or annotations/*.json) found")
        splits = choose_splits(split, [name for name in labels if name], owner=f"data set {path}")
        indexes = [CocoFile(root, file, name) for name, file in labels.items() if not splits or name in splits]
        self._of: dict[str, CocoFile] = {}
        self.categories: dict[str, dict[str, Any]] = {}
        files: dict[str, str] = {}
        for index in indexes:
            both = files.keys() & index.files.keys()
            if both:
                raise InputError(f"data set {path}: two label files have a sample {min(both)!r}: pick one with --split")
            files.update(index.files)
            self._of.update(dict.fromkeys(index.files, index))
            for name, category in index.categories.items():
                self.categories.setdefault(name, category)
        notes = [note for index in indexes for note in index.notes]
        if strict and notes:
            raise InputError("; ".join(notes))
        self._row = {name: row for row, name in enumerate(self.categories)}
        self._has_masks = any(index.has_masks for index in indexes)
        super().__init__(
            root,
            class_names=tuple(self.categories),
            tasks=("detection",),
            files=files,
            splits=splits,
            groups={sample_id: group for index in indexes for sample_id, group in index.groups.items()},
            notes=notes,
            detail=", ".join(index.path.relative_to(root).as_posix() for index in indexes),
        )

    @property
    def category_ids(self) -> tuple[Any, ...]:
        """The id that the (first) label file gives to each class name, in order."""
        return tuple(category["id"] for category in self.categories.values())

    def _read(self, sample_id: str) -> Sample:
        index = self._of[sample_id]
        entry = index.image(sample_id)
        image, orientation = read_oriented(self.image_path(sample_id))
        stored = self._check_size(index, entry, orientation)
        size = (orientation.stored_width, orientation.stored_height) if stored else orientation.size
        classes = {category["id"]: self._row[name] for name, category in index.categories.items()}
        objects = Objects()
        for annotation in index.annotations(sample_id):
            _add(objects, annotation, classes, size, f"{index.path}: annotation {annotation.get('id')!r}")
        meta = {key: value for key, value in entry.items() if key not in _IMAGE_KEYS}
        return Sample(
            sample_id=sample_id,
            image=image,
            annotations=objects.annotations(orientation, stored=stored, with_masks=self._has_masks),
            camera=_camera(entry.get("camera"), orientation),
            timestamp_s=entry.get("timestamp_s"),
            meta={"coco": meta},
        )

    @staticmethod
    def _check_size(index: CocoFile, entry: Mapping[str, Any], orientation: Orientation) -> bool:
        """Return whether the labels belong to the stored picture; raise where the recorded size fits neither."""
        width, height = entry.get("width"), entry.get("height")
        if (width, height) == orientation.size or width is None or height is None:
            return False
        if orientation.labels_are_stored(width, height):
            return True
        got = "x".join(map(str, orientation.size))
        name = entry.get("file_name")
        raise InputError(f"{index.path}: image {name!r}: the file says {width}x{height}, the picture is {got}")


def _add(
    objects: Objects, annotation: Mapping[str, Any], classes: Mapping[Any, int], size: tuple[int, int], owner: str
) -> None:
    """Add one annotation; owner is how errors name it."""
    category = annotation.get("category_id")
    if category not in classes:
        raise InputError(f"{owner}: category_id: expected one of the {len(classes)} categories' ids, got {category!r}")
    mask = _mask(annotation.get("segmentation"), size, owner)
    box = _box(annotation.get("bbox"), f"{owner}: bbox") if "bbox" in annotation else None
    if box is None:
        if mask is None:
            raise InputError(f"{owner}: expected a bbox or a segmentation, got neither")
        box = mask_box(mask)
    attributes = annotation.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise InputError(f"{owner}: attributes: expected an object, got {attributes!r}")
    extra = {key: value for key, value in annotation.items() if key not in _OBJECT_KEYS}
    amodal = annotation.get("bbox_amodal")
    box_3d = annotation.get("bbox_3d")
    objects.add(
        box,
        classes[category],
        ignore=bool(annotation.get("iscrowd")) or bool(annotation.get("ignore")),
        attributes={**extra, **attributes},
        mask=mask,
        instance_id=annotation.get("instance_id"),
        track_id=_whole(annotation.get("track_id"), f"{owner}: track_id"),
        visibility=annotation.get("visibility"),
        box_amodal=None if amodal is None else _box(amodal, f"{owner}: bbox_amodal"),
        box_3d=None if box_3d is None else [np.nan if v is None else float(v) for v in box_3d],
    )


def _box(bbox: Any, owner: str) -> Box:
    """xyxy of x y width height."""
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise InputError(f"{owner}: expected [x, y, width, height], got {bbox!r}")
    x, y, width, height = bbox
    numbers = all(isinstance(v, int | float) for v in bbox)
    if numbers and (width < 0 or height < 0):
        raise InputError(f"{owner}: expected a width and height >= 0, got {bbox} (the box is inverted)")
    corners = [x, y, x + width, y + height] if numbers else bbox
    return checked_box(corners, owner=owner, wanted="[x, y, width, height]")


def _mask(segmentation: Any, size: tuple[int, int], owner: str) -> Mask | None:
    width, height = size
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        return polygons_mask(segmentation, width, height, owner=f"{owner}: segmentation")
    mask = rle_mask(segmentation, owner=f"{owner}: segmentation")
    if mask.shape != (height, width):
        got = f"{mask.shape[1]}x{mask.shape[0]}"
        raise InputError(f"{owner}: segmentation: expected the size of the picture {width}x{height}, got {got}")
    return mask


def _whole(value: Any, owner: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise InputError(f"{owner}: expected a whole number, got {value!r}")


def _camera(entry: Any, orientation: Orientation) -> Camera | None:
    if entry is None:
        return None
    width, height = orientation.size
    return Camera(
        K=np.array(entry["K"], np.float64),
        width=width,
        height=height,
        world_to_cam=np.array(entry["world_to_cam"], np.float64),
        distortion=tuple(entry["distortion"]),
    )


@register_format
class Coco:
    """COCO instances."""

    name: ClassVar[str] = "coco"
    fallback: ClassVar[bool] = False

    @staticmethod
    def recognise(path: Path) -> str | None:
        """Recognise a label file, or a folder with label files in it, in `annotations/` or in each split."""
        if path.is_file():
            return path.name if path.suffix == ".json" and looks_like_coco(path) else None
        root, labels = label_files(path)
        return ", ".join(file.relative_to(root).as_posix() for file in labels.values()) or None

    @staticmethod
    def open(path: Path, *, split: str | None = None, strict: bool = False) -> Dataset:
        return CocoDataset(path, split=split, strict=strict)

    @staticmethod
    def write(
        samples: Iterable[Sample],
        out: Path,
        *,
        class_names: Sequence[str],
        categories: Sequence[Mapping[str, Any]] | None = None,
        groups: Mapping[str, str] | None = None,
        image_format: ImageFormat = "png",
    ) -> Path:
        """Write `images/` and `instances.json`.

        categories: one mapping for each class with at least `id` and `name` (`CocoDataset.categories.values()`), to
                    keep the ids of another file; without it ids count from 1
        """
        listed = [{"id": row + 1, "name": name} for row, name in enumerate(class_names)]
        if categories is not None:
            listed = [dict(category) for category in categories]
            if [category.get("name") for category in listed] != list(class_names):
                raise InputError(f"categories: expected the names {list(class_names)}, got {listed}")
        with new_folder(out) as folder:
            with (folder / "instances.json").open("wb") as stream, (folder / ".objects").open("w+b") as later:
                stream.write(b'{"images": [')
                seen: set[str] = set()
                n_objects = 0
                for number, sample in enumerate(samples, start=1):
                    sample_id = checked_id(sample, seen)
                    check_labels(sample, class_names)
                    name = write_picture(folder / "images", sample_id, sample.image, image_format)
                    entry = _image_entry(sample, number, name, (groups or {}).get(sample_id))
                    stream.write((b",\n" if number > 1 else b"\n") + _json(entry))
                    for row in range(len(sample.annotations)):
                        n_objects += 1
                        later.write(
                            (b",\n" if n_objects > 1 else b"\n")
                            + _json(_object_entry(sample, row, n_objects, number, listed))
                        )
                if not seen:
                    raise InputError(f"cannot write {out}: there are no samples")
                stream.write(b'\n],\n"annotations": [')
                later.seek(0)
                shutil.copyfileobj(later, stream)
                stream.write(b'\n],\n"categories": ' + _json(listed) + b"}\n")
            (folder / ".objects").unlink()
        return out


def _image_entry(sample: Sample, number: int, name: str, group: str | None) -> dict[str, Any]:
    kept = sample.meta.get("coco", {})
    entry: dict[str, Any] = {**plain(kept), "id": number, "file_name": name}
    entry.update(width=sample.width, height=sample.height)
    if sample.camera is not None:
        camera = sample.camera
        entry["camera"] = {
            "K": camera.K.tolist(),
            "world_to_cam": camera.world_to_cam.tolist(),
            "distortion": list(camera.distortion),
        }
    if sample.timestamp_s is not None:
        entry["timestamp_s"] = sample.timestamp_s
    if group is not None:
        entry["group"] = group
    return entry


def _object_entry(
    sample: Sample, row: int, identity: int, image_id: int, listed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    annotations = sample.annotations
    x1, y1, x2, y2 = annotations.boxes[row].tolist()
    entry: dict[str, Any] = {
        "id": identity,
        "image_id": image_id,
        "category_id": listed[int(annotations.labels[row])]["id"],
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": int(annotations.ignore[row]),
        "instance_id": int(annotations.instance_ids[row]),
    }
    if annotations.masks is not None and has_own_mask(annotations, row):
        entry["segmentation"] = mask_rle(annotations.masks[row])
        entry["area"] = int(annotations.masks[row].sum())
    if annotations.attributes[row]:
        entry["attributes"] = plain(annotations.attributes[row])
    if annotations.track_ids is not None:
        entry["track_id"] = int(annotations.track_ids[row])
    if annotations.visibility is not None:
        entry["visibility"] = float(annotations.visibility[row])
    if annotations.boxes_amodal is not None:
        a1, b1, a2, b2 = annotations.boxes_amodal[row].tolist()
        entry["bbox_amodal"] = [a1, b1, a2 - a1, b2 - b1]
    if annotations.boxes_3d is not None:
        entry["bbox_3d"] = [None if v != v else v for v in annotations.boxes_3d[row].tolist()]
    return entry


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()
