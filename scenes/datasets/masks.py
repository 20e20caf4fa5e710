"""Pictures and class masks in two folders: `images/` beside `masks/`, and the CamVid layout `train/ trainannot/`.

A mask holds class ids (grey PNG of 8 or 16 bits, or palette indices) or colours. `classes.txt` (also `labels.txt`,
`label_colors.txt`) in the root names the classes: one `name` a line in the order of the ids, or `name r g b` / `r g b
name`, and then colour and palette masks are looked up by colour. A class called void, ignore, unlabeled or unlabelled,
and the ids 255 and 65535, are ignored; any other id or colour that no line names makes the sample a bad one.
CamVid (Brostow et al. 2009, the 11 classes of SegNet) needs no such file: its ids are 0 to 10, and 11 is void.

Written: `segmentation` as ids (8 bits, 255 = ignore; 16 bits and 65535 from 256 classes on) and the class names.
Not held: objects of any kind, depth, camera, a label of the whole picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    count,
    find_images,
    has_images,
    index_files,
    new_folder,
    strip_suffix,
    write_picture,
)
from scenes.datasets.registry import register_format
from scenes.errors import InputError
from scenes.images import fit_mask, mask_palette, read_mask, read_oriented, write_png
from scenes.sample import Annotations, Dataset, Sample

CAMVID = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
CLASS_FILES = ("classes.txt", "labels.txt", "label_colors.txt")
MASK_FOLDERS = ("masks", "annotations", "labels")
_VOID = frozenset({"void", "ignore", "unlabeled", "unlabelled"})
_MASK_ENDINGS = ("", "_mask", "_label", "_labels", "_L")  # what mask names add to the picture's
_CAMVID_SEQUENCE = re.compile(r"^(\d{4}[A-Z0-9]{2}|Seq05VD)_")  # 0001TP_006690: sequence, frame


@dataclass(frozen=True, eq=False)
class ClassTable:
    """Which class an id or a colour of a mask means.

    ids:    class index of each id in the file, -1 = ignore
    colors: class index of each colour r << 16 | g << 8 | b, where the file gives colours
    """

    names: tuple[str, ...]
    ids: Mapping[int, int]
    colors: Mapping[int, int] | None = None

    @classmethod
    def of(cls, names: Sequence[str], colors: Sequence[int] | None = None) -> ClassTable:
        """Make the table of the names by id, void ones included; raises where a name stands there twice."""
        kept = [name for name in names if name.lower() not in _VOID]
        if len(set(kept)) < len(kept):
            twice = next(name for name in kept if kept.count(name) > 1)
            raise InputError(f"classes: {twice!r} stands there twice")
        rows = {name: row for row, name in enumerate(kept)}
        indices = [rows.get(name, -1) for name in names]
        ids = {255: -1, 65535: -1, **dict(enumerate(indices))}
        return cls(tuple(kept), ids, None if colors is None else dict(zip(colors, indices, strict=True)))

    @classmethod
    def read(cls, root: Path) -> ClassTable | None:
        """Return the table of a root, None where it has no class file."""
        path = next((root / name for name in CLASS_FILES if (root / name).is_file()), None)
        if path is None:
            return None
        try:
            lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: expected UTF-8 text: {error}") from error
        colored = [_colored(line) for line in lines]
        if lines and all(entry is not None for entry in colored):
            pairs = [entry for entry in colored if entry is not None]
            return cls.of([name for name, _ in pairs], [color for _, color in pairs])
        return cls.of([" ".join(line) for line in lines])

    def apply(self, mask: NDArray[np.integer[Any]], path: Path) -> NDArray[np.uint8] | NDArray[np.int16]:
        """Return the (H, W) segmentation of a mask of ids (H, W) or colours (H, W, 3)."""
        keys, table = mask.astype(np.int64), self.ids
        if mask.ndim == 3:
            if self.colors is None:
                raise InputError(f"mask {path}: has colours, but no class file ({', '.join(CLASS_FILES)}) names them")
            keys, table = keys[..., 0] << 16 | keys[..., 1] << 8 | keys[..., 2], self.colors
        found = np.unique(keys)
        unknown = [int(key) for key in found if int(key) not in table]
        if unknown:
            row, column = np.argwhere(keys == unknown[0])[0]
            got = f"id {unknown[0]}"
            if mask.ndim == 3:
                got = f"colour {tuple(int(v) for v in mask[row, column])}"
            raise InputError(f"mask {path}: expected {len(self.names)} known classes, got {got} at x {column}, y {row}")
        small = len(self.names) <= 255
        values = np.array([table[int(key)] for key in found], np.int16)
        if small:
            values = np.where(values < 0, 255, values).astype(np.uint8)
        return values[np.searchsorted(found, keys)]


class MaskDataset(FolderDataset):
    """Pictures, each with the mask that says the class of every pixel."""

    format: ClassVar[str] = "masks"

    def __init__(self, root: Path, table: ClassTable, masks: Mapping[str, str], **rest: Any) -> None:
        self._table = table
        self._masks = dict(masks)
        super().__init__(root, class_names=table.names, tasks=("segmentation",), **rest)

    def _read(self, sample_id: str) -> Sample:
        image, orientation = read_oriented(self.image_path(sample_id))
        if sample_id not in self._masks:
            raise InputError(f"{self.image_path(sample_id)}: expected a mask of this picture, found none")
        path = self.root / self._masks[sample_id]
        mask = read_mask(path)
        palette = mask_palette(path) if mask.ndim == 2 and self._table.colors is not None else None
        if palette is not None:
            mask = palette[mask]
        segmentation = self._table.apply(fit_mask(mask, orientation, path), path)
        return Sample(sample_id=sample_id, image=image, annotations=Annotations(segmentation=segmentation))


class CamvidDataset(MaskDataset):
    """The layout of CamVid."""

    format: ClassVar[str] = "camvid"


def _colored(line: Sequence[str]) -> tuple[str, int] | None:
    """Name and colour of `name r g b` or `r g b name`, None for any other line."""
    for rgb, words in ((line[-3:], line[:-3]), (line[:3], line[3:])):
        if words and len(rgb) == 3 and all(v.isdecimal() and int(v) < 256 for v in rgb):
            red, green, blue = map(int, rgb)
            return " ".join(words), red << 16 | green << 8 | blue
    return None


def _pair(
    root: Path, parts: Sequence[tuple[str, str, str]], *, strict: bool
) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Index pictures and their masks; parts are (prefix of the id, image folder, mask folder) below the root."""
    pictures: list[tuple[str, str]] = []
    masks: dict[str, str] = {}
    for prefix, images, labels in parts:
        pictures += [(f"{prefix}{name}", f"{images}/{name}") for name in find_images(root / images)]
        for name in find_images(root / labels):
            masks[f"{prefix}{strip_suffix(name)}"] = f"{labels}/{name}"
    files = index_files(pictures, owner=f"data set {root}")
    found: dict[str, str] = {}
    for sample_id in files:
        key = next((sample_id + ending for ending in _MASK_ENDINGS if sample_id + ending in masks), None)
        if key is not None:
            found[sample_id] = masks.pop(key)
    notes = []
    if masks:
        notes.append(f"data set {root}: {count(len(masks), 'mask')} without a picture, first {min(masks.values())}")
    if strict and notes:
        raise InputError(notes[0])
    return files, found, notes


def _generic_layout(path: Path) -> tuple[str, list[str]] | None:
    """Mask folder and splits of `images/ masks/`."""
    if not (path / "images").is_dir():
        return None
    for folder in MASK_FOLDERS:
        if (path / folder).is_dir():
            splits = [s for s in SPLIT_NAMES if (path / "images" / s).is_dir() and (path / folder / s).is_dir()]
            places = [path / folder / s for s in splits] or [path / folder]
            if any(find_images(place) for place in places):
                return folder, splits
    return None


def _camvid_splits(path: Path) -> list[str]:
    return [s for s in SPLIT_NAMES if has_images(path / s) and has_images(path / f"{s}annot")] if path.is_dir() else []


def _segmentation(sample: Sample, names: Sequence[str], void: int | None = None) -> NDArray[Any]:
    """Ids to write; void replaces the usual value of ignored pixels."""
    segmentation, ignored = sample.annotations.segmentation, sample.annotations.segmentation_ignore
    owner = f"sample {sample.sample_id!r}: segmentation"
    if segmentation is None or ignored is None:
        raise InputError(f"{owner}: expected one, got none: masks cannot hold this sample")
    known = segmentation[~ignored]
    if known.size and not 0 <= int(known.min()) <= int(known.max()) < len(names):
        raise InputError(f"{owner}: expected class indices below {len(names)}, got {known.min()} to {known.max()}")
    wide = len(names) > 255
    nothing = void if void is not None else (65535 if wide else 255)
    ids: NDArray[Any] = np.where(ignored, nothing, segmentation).astype(np.uint16 if wide else np.uint8)
    return ids


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if name.lower() in _VOID or name != " ".join(name.split()) or not name or _colored(name.split()):
            raise InputError(f"class {name!r}: a class file cannot hold this name")


@register_format
class Masks:
    """`images/` and `masks/`."""

    name: ClassVar[str] = "masks"
    fallback: ClassVar[bool] = False

    @staticmethod
    def recognise(path: Path) -> str | None:
        """Recognise `images/` beside a folder of masks that are pictures."""
        layout = _generic_layout(path) if path.is_dir() else None
        return f"images/ and {layout[0]}/" if layout else None

    @staticmethod
    def open(path: Path, *, split: str | None = None, strict: bool = False) -> Dataset:
        layout = _generic_layout(path)
        if layout is None:
            raise InputError(f"data set {path}: expected images/ beside {' or '.join(MASK_FOLDERS)}/ with masks")
        folder, known = layout
        splits = choose_splits(split, known, owner=f"data set {path}")
        table = ClassTable.read(path)
        if table is None:
            raise InputError(
                f"data set {path}: expected classes.txt in it, one class name a line in the order of the ids"
            )
        parts = [(f"{s}/", f"images/{s}", f"{folder}/{s}") for s in splits] or [("", "images", folder)]
        files, masks, notes = _pair(path, parts, strict=strict)
        return MaskDataset(path, table, masks, files=files, splits=splits, notes=notes)

    @staticmethod
    def write(
        samples: Iterable[Sample], out: Path, *, class_names: Sequence[str], image_format: ImageFormat = "png"
    ) -> Path:
        """Write `images/`, `masks/` and `classes.txt`."""
        _check_names(class_names)
        with new_folder(out) as folder:
            seen: set[str] = set()
            for sample in samples:
                sample_id = checked_id(sample, seen)
                write_picture(folder / "images", sample_id, sample.image, image_format)
                write_png(folder / "masks" / f"{sample_id}.png", _segmentation(sample, class_names))
            if not seen:
                raise InputError(f"cannot write {out}: there are no samples")
            (folder / CLASS_FILES[0]).write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")
        return out


@register_format
class Camvid:
    """CamVid: `train/ trainannot/ val/ valannot/ test/ testannot/`."""

    name: ClassVar[str] = "camvid"
    fallback: ClassVar[bool] = False

    @staticmethod
    def recognise(path: Path) -> str | None:
        """Recognise a split folder beside its annot folder."""
        return ", ".join(f"{s}/ {s}annot/" for s in _camvid_splits(path)) or None

    @staticmethod
    def open(path: Path, *, split: str | None = None, strict: bool = False) -> Dataset:
        known = _camvid_splits(path)
        if not known:
            raise InputError(f"data set {path}: expected the CamVid layout train/ trainannot/ val/ valannot/")
        splits = choose_splits(split, known, owner=f"data set {path}")
        table = ClassTable.read(path) or ClassTable.of([*CAMVID, "void"])
        files, masks, notes = _pair(path, [(f"{s}/", s, f"{s}annot") for s in splits], strict=strict)
        matches = {sample_id: _CAMVID_SEQUENCE.match(sample_id.rpartition("/")[2]) for sample_id in files}
        groups = {sample_id: match[1] for sample_id, match in matches.items() if match}
        return CamvidDataset(path, table, masks, files=files, splits=splits, groups=groups, notes=notes)

    @staticmethod
    def write(
        samples: Iterable[Sample],
        out: Path,
        *,
        class_names: Sequence[str],
        split: str = "train",
        image_format: ImageFormat = "png",
    ) -> Path:
        """Write `<split>/ <split>annot/`; a sample_id that starts with a split goes there, others to `split`."""
        own = tuple(class_names) == CAMVID
        _check_names(class_names)
        with new_folder(out) as folder:
            seen: set[str] = set()
            for sample in samples:
                sample_id = checked_id(sample, seen)
                first, _, rest = sample_id.partition("/")
                place, name = (first, rest) if first in SPLIT_NAMES and rest else (split, sample_id)
                ids = _segmentation(sample, class_names, len(CAMVID) if own else None)
                write_picture(folder / place, name, sample.image, image_format)
                write_png(folder / f"{place}annot" / f"{name}.png", ids)
            if not seen:
                raise InputError(f"cannot write {out}: there are no samples")
            if not own:
                (folder / CLASS_FILES[0]).write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")
        return out
