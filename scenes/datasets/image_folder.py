"""Classification by folders: the name of the folder is the class, as torchvision's ImageFolder has it.

    root/<class>/...                 classes
    root/train/<class>/... , val/    splits and classes (split folders: train, val, test and their long forms)
    root/*.png, root/**/*.png        pictures without labels: `class_names` and `tasks` are empty, so shifts can be
                                     applied and looked at, but no model can be scored

Classes are in sorted order (what a model trained with ImageFolder counts by), unless `classes.txt` in the root lists
them, one a line. A folder of nothing but pictures has no labels; so has a split folder of nothing but pictures.
Written: `label`, into `<class>/`, and `classes.txt`. Not held: everything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

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
    write_picture,
)
from scenes.datasets.registry import register_format
from scenes.errors import InputError
from scenes.images import read_image
from scenes.sample import Annotations, Dataset, Sample

CLASS_FILE = "classes.txt"
# German traffic signs: 30 pictures of one sign share a track; _v1: a synthesised variant
_GTSRB = re.compile(r"^(?P<track>\d{5})_\d{5}(_v\d+)?$")


class ImageFolderDataset(FolderDataset):
    """Pictures in class folders, or a plain folder of pictures."""

    format: ClassVar[str] = "image_folder"

    def __init__(self, path: Path, *, split: str | None = None, strict: bool = False) -> None:
        known = split_folders(path)
        splits = choose_splits(split, known, owner=f"data set {path}")
        parts = [path / name for name in splits] if known else [path]
        labelled = [part for part in parts if not has_images(part)]
        if labelled and len(labelled) < len(parts):
            raise InputError(
                f"data set {path}: some splits have class folders and some only images: pick one with --split"
            )
        notes: list[str] = []
        names = _class_names(path, [path / name for name in known] if known else [path], notes) if labelled else []
        files = index_files(
            ((f"{prefix}{name}",) * 2 for part, prefix in _prefixed(path, parts) for name in find_images(part)),
            owner=f"data set {path}",
        )
        if not names:
            notes += _labels_beside(path.resolve())
        if strict and notes:
            raise InputError("; ".join(notes))
        self._label = {name: row for row, name in enumerate(names)}
        self._depth = 1 if known else 0  # of the class in the path
        super().__init__(
            path,
            class_names=names,
            tasks=("classification",) if names else (),
            files=files,
            splits=splits,
            groups=_tracks(files),
            notes=notes,
        )

    def _read(self, sample_id: str) -> Sample:
        annotations = Annotations()
        if self.class_names:
            folder = self._files[sample_id].split("/")[self._depth]
            if folder not in self._label:
                raise InputError(f"{self.image_path(sample_id)}: class {folder!r} is not in {self.root / CLASS_FILE}")
            annotations = Annotations(label=self._label[folder])
        return Sample(sample_id=sample_id, image=read_image(self.image_path(sample_id)), annotations=annotations)


def split_folders(path: Path) -> list[str]:
    """Return the split folders of a root: only where all its folders with pictures are named like splits."""
    folders = [name for name in _folders(path) if find_images(path / name)]
    return [name for name in SPLIT_NAMES if name in folders] if set(folders) <= set(SPLIT_NAMES) else []


def _class_names(root: Path, parts: Sequence[Path], notes: list[str]) -> list[str]:
    listed = root / CLASS_FILE
    if listed.is_file():
        names = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
        if len(set(names)) < len(names):
            raise InputError(f"{listed}: expected each class once, got {len(names)} lines of {len(set(names))} classes")
        return names
    found = sorted({name for part in parts for name in _folders(part)})
    empty = [name for name in found if not any(find_images(part / name) for part in parts)]
    if empty:
        notes.append(f"{root}: {count(len(empty), 'folder')} without images left out, first {empty[0]!r}")
    return [name for name in found if name not in empty]


def _labels_beside(path: Path) -> list[str]:
    """Return a note where labels stand beside a folder that was opened on its own, as in CamVid, KITTI and YOLO."""
    beside = {"image_2": ("label_2",), "images": ("labels", "masks", "annotations")}.get(path.name, ())
    found = next((name for name in (f"{path.name}annot", *beside) if (path.parent / name).is_dir()), None)
    if found is None:
        return []
    split = f" with --split {path.name}" if found.endswith("annot") else ""
    return [f"{path}: pictures alone, without labels: those in {found}/ beside it need {path.parent}{split}"]


def _folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _prefixed(root: Path, parts: Iterable[Path]) -> list[tuple[Path, str]]:
    return [(part, "" if part == root else f"{part.name}/") for part in parts]


def _tracks(files: Mapping[str, str]) -> dict[str, str]:
    """Pictures of one physical sign, where all names follow GTSRB."""
    groups = {}
    for sample_id in files:
        folder, _, name = sample_id.rpartition("/")
        match = _GTSRB.match(name)
        if match is None or not folder:
            return {}
        groups[sample_id] = f"{folder}/{match['track']}"
    return groups


@register_format
class ImageFolder:
    """Class folders, or pictures without labels."""

    name: ClassVar[str] = "image_folder"
    fallback: ClassVar[bool] = True

    @staticmethod
    def recognise(path: Path) -> str | None:
        """Recognise any folder with pictures in it."""
        if not path.is_dir():
            return None
        if has_images(path):
            return "images without labels"
        splits = split_folders(path)
        if splits and has_images(path / splits[0]):
            return f"images without labels in {', '.join(splits)}"
        if splits:
            return f"class folders in {', '.join(splits)}"
        n = sum(bool(find_images(path / name)) for name in _folders(path))
        return count(n, "class folder") if n else None

    @staticmethod
    def open(path: Path, *, split: str | None = None, strict: bool = False) -> Dataset:
        if not path.is_dir():
            raise InputError(f"data set {path}: expected a folder of images")
        return ImageFolderDataset(path, split=split, strict=strict)

    @staticmethod
    def write(
        samples: Iterable[Sample], out: Path, *, class_names: Sequence[str], image_format: ImageFormat = "png"
    ) -> Path:
        """Write `<class>/<sample_id>` (a sample_id that starts with its class keeps its place) and `classes.txt`.

        Without class names all pictures stand under their sample ids, without labels. Split folders stay: a
        sample_id `train/car/7` of class car goes where it was.
        """
        with new_folder(out) as folder:
            seen: set[str] = set()
            for sample in samples:
                place = _place(sample, checked_id(sample, seen), class_names)
                write_picture(folder, place, sample.image, image_format)
            if not seen:
                raise InputError(f"cannot write {out}: there are no samples")
            if class_names:
                (folder / CLASS_FILE).write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")
        return out


def _place(sample: Sample, sample_id: str, class_names: Sequence[str]) -> str:
    label = sample.annotations.label
    if not class_names:
        return sample_id
    if label is None or label >= len(class_names):
        wanted = f"a class index below {len(class_names)}"
        raise InputError(f"sample {sample_id!r}: label: expected {wanted}, got {label}")
    name = class_names[label]
    if not name or "/" in name or name.startswith("."):
        raise InputError(f"class {name!r}: an image folder cannot hold this name")
    parts = sample_id.split("/")
    if len(parts) > 1 and parts[0] == name:
        return sample_id
    if len(parts) > 2 and parts[0] in SPLIT_NAMES and parts[1] == name:
        return sample_id
    return f"{name}/{sample_id}"
