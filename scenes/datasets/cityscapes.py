"""Cityscapes (Cordts et al. 2016): `leftImg8bit/<split>/<city>/` beside `gtFine/<split>/<city>/`.

Of the masks `*_labelIds.png` is read (else `*_labelTrainIds.png`); the 19 classes that the benchmark counts keep their
names and order, all others are ignored. `*_instanceIds.png`, where present, gives the objects: ids from 1000 on are
class x 1000 + number and stay the instance ids; smaller ids of things (a crowd drawn as one) are ignore regions.
Pictures of one sequence (city and the number after it) are one group.

Written: segmentation as labelIds, objects as instanceIds (their pixels from the instance map, else from masks).
Not held: which void class an ignored pixel is, objects of other classes, boxes that are not around pixels, instances
that hide one another's pixels, more than one ignore region of a class, attributes, ids that are not class x 1000 +
number, visibility, track ids, amodal and 3D boxes, depth, camera.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scenes.datasets.base import (
    SPLIT_NAMES,
    FolderDataset,
    ImageFormat,
    checked_id,
    choose_splits,
    find_images,
    index_files,
    new_folder,
    write_picture,
)
from scenes.datasets.masks import ClassTable
from scenes.datasets.objects import Objects
from scenes.datasets.registry import register_format
from scenes.datasets.shapes import mask_box
from scenes.errors import InputError
from scenes.images import Orientation, fit_mask, read_mask, read_oriented, write_png
from scenes.sample import Dataset, Sample

CLASS_NAMES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)  # of the classes above
_N_LABEL_IDS = 34
FIRST_THING = 11  # index of `person`: from there on classes have instances
_LICENSE_PLATE = 65535  # -1 in the devkit, in 16 bits
_LABEL_TABLE = ClassTable(
    CLASS_NAMES,
    {**dict.fromkeys(range(_N_LABEL_IDS), -1), **{i: row for row, i in enumerate(LABEL_IDS)}, 255: -1},
)
_TRAIN_TABLE = ClassTable.of(CLASS_NAMES)
_KINDS = {"labelIds": _LABEL_TABLE, "labelTrainIds": _TRAIN_TABLE}
_IMAGE_ENDING = re.compile(r"_leftImg8bit$")
_SEQUENCE = re.compile(r"^(?P<city>[^_]+)_(?P<sequence>\d{6})_\d{6}(_v\d+)?$")  # _v1: a synthesised variant


class CityscapesDataset(FolderDataset):
    """Pictures with class masks and, where there, instance masks."""

    format: ClassVar[str] = "cityscapes"

    def __init__(self, path: Path, *, split: str | None = None, strict: bool = False) -> None:
        labels = label_folder(path)
        if labels is None:
            raise InputError(f"data set {path}: expected leftImg8bit/ beside gtFine/ or gtCoarse/")
        known = [s for s in SPLIT_NAMES if (path / "leftImg8bit" / s).is_dir() and (path / labels / s).is_dir()]
        splits = choose_splits(split, known, owner=f"data set {path}")
        pictures = [f"{s}/{name}" for s in splits for name in find_images(path / "leftImg8bit" / s)]
        files = index_files(
            ((_base(name) + Path(name).suffix, f"leftImg8bit/{name}") for name in pictures), owner=f"data set {path}"
        )
        self._masks = {f"{s}/{name}": f"{labels}/{s}/{name}" for s in splits for name in find_images(path / labels / s)}
        self._ending = f"_{labels}"
        has_instances = any(name.endswith("_instanceIds.png") for name in self._masks)
        matches = {sample_id: _SEQUENCE.match(sample_id.rpartition("/")[2]) for sample_id in files}
        super().__init__(
            path,
            class_names=CLASS_NAMES,
            tasks=("segmentation", "detection") if has_instances else ("segmentation",),
            files=files,
            splits=splits,
            groups={i: f"{match['city']}/{match['sequence']}" for i, match in matches.items() if match},
        )

    def _read(self, sample_id: str) -> Sample:
        image, orientation = read_oriented(self.image_path(sample_id))
        kind = next((kind for kind in _KINDS if self._name(sample_id, kind) in self._masks), None)
        if kind is None:
            raise InputError(
                f"{self.image_path(sample_id)}: expected a mask {self._name(sample_id, 'labelIds')}, found none"
            )
        mask, path = self._mask(sample_id, kind, orientation)
        segmentation = _KINDS[kind].apply(mask, path)
        objects, instances = Objects(), None
        if self._name(sample_id, "instanceIds") in self._masks:
            ids, path = self._mask(sample_id, "instanceIds", orientation)
            instances = _add_instances(objects, ids, path)
        annotations = objects.annotations(orientation, with_masks=instances is not None, segmentation=segmentation)
        return Sample(sample_id=sample_id, image=image, annotations=annotations, instances=instances)

    def _name(self, sample_id: str, kind: str) -> str:
        return f"{sample_id}{self._ending}_{kind}.png"

    def _mask(self, sample_id: str, kind: str, orientation: Orientation) -> tuple[NDArray[np.integer[Any]], Path]:
        path = self.root / self._masks[self._name(sample_id, kind)]
        mask = fit_mask(read_mask(path), orientation, path)
        if mask.ndim != 2:
            raise InputError(f"mask {path}: expected ids (H, W), got colours of shape {mask.shape}")
        return mask, path


def label_folder(path: Path) -> str | None:
    """Return gtFine or gtCoarse where it stands beside leftImg8bit."""
    if not (path / "leftImg8bit").is_dir():
        return None
    return next((name for name in ("gtFine", "gtCoarse") if (path / name).is_dir()), None)


def _base(name: str) -> str:
    return _IMAGE_ENDING.sub("", name.rpartition(".")[0])


def _add_instances(objects: Objects, ids: NDArray[np.integer[Any]], path: Path) -> NDArray[np.int32]:
    """Add the objects of an instance mask; return the instance map (H, W) int32 with their ids, 0 = none."""
    things = {LABEL_IDS[row]: row for row in range(FIRST_THING, len(CLASS_NAMES))}
    instances = ids.astype(np.int32)
    for value in np.unique(instances).tolist():
        label_id = value // 1000 if value >= 1000 else value
        row = things.get(label_id)
        if row is None:
            if label_id >= _N_LABEL_IDS and value != _LICENSE_PLATE:
                raise InputError(f"mask {path}: expected ids of class or class x 1000 + number, got {value}")
            instances[instances == value] = 0
            continue
        mask = instances == value
        objects.add(mask_box(mask), row, ignore=value < 1000, mask=mask, instance_id=value)
    return instances


@register_format
class Cityscapes:
    """Cityscapes."""

    name: ClassVar[str] = "cityscapes"
    fallback: ClassVar[bool] = False

    @staticmethod
    def recognise(path: Path) -> str | None:
        """Recognise leftImg8bit/ beside gtFine/ or gtCoarse/."""
        labels = label_folder(path) if path.is_dir() else None
        return f"leftImg8bit/ and {labels}/" if labels else None

    @staticmethod
    def open(path: Path, *, split: str | None = None, strict: bool = False) -> Dataset:
        return CityscapesDataset(path, split=split, strict=strict)

    @staticmethod
    def write(
        samples: Iterable[Sample],
        out: Path,
        *,
        class_names: Sequence[str],
        split: str = "train",
        image_format: ImageFormat = "png",
    ) -> Path:
        """Write leftImg8bit/ and gtFine/; a sample_id that starts with a split goes there, others to `split`."""
        if tuple(class_names) != CLASS_NAMES:
            raise InputError(_other_classes(class_names))
        with new_folder(out) as folder:
            seen: set[str] = set()
            for sample in samples:
                sample_id = checked_id(sample, seen)
                place = sample_id if sample_id.split("/")[0] in SPLIT_NAMES else f"{split}/{sample_id}"
                write_picture(folder / "leftImg8bit", f"{place}_leftImg8bit", sample.image, image_format)
                _write_masks(folder / "gtFine", place, sample)
            if not seen:
                raise InputError(f"cannot write {out}: there are no samples")
        return out


def _other_classes(names: Sequence[str]) -> str:
    """Say what is not as in Cityscapes: names that it does not have, names that are missing, else their order."""
    strange = [repr(name) for name in names if name not in CLASS_NAMES]
    missing = [repr(name) for name in CLASS_NAMES if name not in names]
    what = f"without {', '.join(missing)}" if missing else f"{', '.join(map(repr, names))}, in another order"
    if strange:
        what = f"{', '.join(strange[:5])}{f' and {len(strange) - 5} more' if len(strange) > 5 else ''}"
    return f"class_names: Cityscapes has its own 19 classes in their order, got {what}: write as `masks` instead"


def _write_masks(folder: Path, place: str, sample: Sample) -> None:
    annotations = sample.annotations
    segmentation, ignored = annotations.segmentation, annotations.segmentation_ignore
    if segmentation is None or ignored is None:
        raise InputError(
            f"sample {sample.sample_id!r}: segmentation: expected one, got none: Cityscapes cannot hold it"
        )
    known = segmentation[~ignored]
    if known.size and int(known.max()) >= len(CLASS_NAMES):
        raise InputError(
            f"sample {sample.sample_id!r}: segmentation: expected classes below 19, got {int(known.max())}"
        )
    table = np.array([*LABEL_IDS, 0], np.uint8)
    label_ids = table[np.where(ignored, len(LABEL_IDS), segmentation).astype(np.int64)]
    write_png(folder / f"{place}_gtFine_labelIds.png", label_ids)
    if len(annotations) or sample.instances is not None:
        ids = _instance_ids(sample, label_ids)
        write_png(folder / f"{place}_gtFine_instanceIds.png", ids)


def _instance_ids(sample: Sample, label_ids: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """(H, W) class x 1000 + number for objects, the label id elsewhere."""
    annotations = sample.annotations
    ids = label_ids.astype(np.uint16)
    taken: set[int] = set()
    for row in range(len(annotations)):
        label = int(annotations.labels[row])
        instance = int(annotations.instance_ids[row])
        if not FIRST_THING <= label < len(CLASS_NAMES):
            kind = repr(CLASS_NAMES[label]) if 0 <= label < len(CLASS_NAMES) else f"no class of its own ({label})"
            raise InputError(
                f"sample {sample.sample_id!r}: labels: object {row} is of {kind}, and Cityscapes has objects of "
                f"{', '.join(CLASS_NAMES[FIRST_THING:])} only: leave it out, its pixels stay in the segmentation"
            )
        if sample.instances is not None:
            mask = sample.instances == instance
        elif annotations.masks is not None:
            mask = annotations.masks[row]
        else:
            raise InputError(f"sample {sample.sample_id!r}: Cityscapes needs masks or an instance map to hold objects")
        ids[mask] = LABEL_IDS[label] if annotations.ignore[row] else _number(LABEL_IDS[label], instance, taken)
    return ids


def _number(label_id: int, instance: int, taken: set[int]) -> int:
    """Return a free class x 1000 + number, the instance id itself where it is one."""
    value = instance if instance // 1000 == label_id and instance not in taken else label_id * 1000
    while value in taken:
        value += 1
    taken.add(value)
    return value
