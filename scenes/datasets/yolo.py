"""YOLO text labels: `class cx cy w h` or `class x1 y1 x2 y2 ...` a line, relative to the size of the upright picture.

    data.yaml            path, train, val, test (a folder, a list of folders, or a .txt with a picture a line), names
    images/[split/]...   labels/[split/]...        the label of a picture: last `images` of its path becomes `labels`

Without data.yaml (or data.yml) class names come from `classes.txt` (a name a line), else they are the numbers found.
A picture without a label file has no objects; how many there are is said in `notes`. Lines of five fields are boxes,
longer ones polygons, which become masks through pycocotools. Coordinates up to 1 % outside are accepted, as
Ultralytics does. In a data set with polygons an object given as a box only has an empty mask.
Written: boxes and classes, or masks (where a sample has them) as one polygon along pixel edges that covers exactly the
mask, separate parts and holes joined by bridges of zero width; its box is then the box around the mask.
Not held: ignore regions and KITTI's class for them, DontCare (left out), attributes, ids, visibility, depth, camera,
anything in 3D, segmentation, boxes outside the picture (clipped), objects of which no pixel is visible (left out).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml

from scenes.datasets.base import (
    SPLIT_NAMES,
    FolderDataset,
    ImageFormat,
    check_labels,
    checked_id,
    choose_splits,
    count,
    find_images,
    index_files,
    is_image,
    new_folder,
    write_picture,
)
from scenes.datasets.kitti_write import DONT_CARE
from scenes.datasets.objects import Objects, has_own_mask
from scenes.datasets.registry import register_format
from scenes.datasets.shapes import mask_polygon, polygons_mask
from scenes.errors import InputError
from scenes.images import Orientation, read_oriented, write_bytes
from scenes.sample import Annotations, Dataset, Sample

YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml")
CLASS_FILE = "classes.txt"
_OUTSIDE = 0.01  # relative coordinates may be so far beyond 0 and 1


class YoloDataset(FolderDataset):
    """Pictures with a text file of labels each."""

    format: ClassVar[str] = "yolo"

    def __init__(self, path: Path, *, split: str | None = None, strict: bool = False) -> None:
        file = _yaml_of(path)
        root, names, places = _from_yaml(file) if file else _from_folders(path)
        splits = choose_splits(split, [name for name in places if name], owner=f"data set {path}")
        chosen = {name: places[name] for name in (splits or places)}
        pairs = [pair for name, listed in chosen.items() for place in listed for pair in _pictures(root, name, place)]
        files = index_files(pairs, owner=f"data set {path}")
        labels = {sample_id: root / label_path(picture) for sample_id, picture in files.items()}
        self._labels = {sample_id: label for sample_id, label in labels.items() if label.is_file()}
        self._has_masks, highest = _scan(self._labels.values(), everything=names is None)
        notes = []
        if len(self._labels) < len(files):
            first = next(s for s in files if s not in self._labels)
            notes.append(
                f"data set {path}: {count(len(files) - len(self._labels), 'picture')} without a label file "
                f"count as empty, first {first!r}"
            )
        if files and not self._labels:
            raise InputError(
                f"data set {path}: no label file found for any picture, e.g. {next(iter(labels.values()))}"
            )
        if strict and notes:
            raise InputError(notes[0])
        super().__init__(
            root,
            class_names=names if names is not None else [str(row) for row in range(highest + 1)],
            tasks=("detection",),
            files=files,
            splits=splits,
            notes=notes,
            detail=file.name if file else "",
        )

    def _read(self, sample_id: str) -> Sample:
        image, orientation = read_oriented(self.image_path(sample_id))
        objects = Objects()
        label = self._labels.get(sample_id)
        for number, line in enumerate(_lines(label) if label else (), start=1):
            if line.strip():
                self._add(objects, line.split(), orientation, f"{label}: line {number}")
        annotations = objects.annotations(orientation, with_masks=self._has_masks)
        return Sample(sample_id=sample_id, image=image, annotations=annotations)

    def _add(self, objects: Objects, fields: list[str], orientation: Orientation, owner: str) -> None:
        """Add one line."""
        label, values = _parse(fields, owner)
        if label >= len(self.class_names):
            raise InputError(f"{owner}: expected a class below {len(self.class_names)}, got {label}")
        width, height = orientation.size
        if len(values) == 4:
            cx, cy, w, h = values
            box = ((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height)
            objects.add(box, label)
            return
        points = np.array(values).reshape(-1, 2) * (width, height)
        (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        mask = polygons_mask([points.reshape(-1).tolist()], width, height, owner=owner)
        objects.add((x1, y1, x2, y2), label, mask=mask)


def label_path(picture: str) -> str:
    """Return where the labels of a picture stand: the last `images` folder becomes `labels`, the suffix .txt.

    >>> label_path("images/train/a.jpg"), label_path("a.jpg")
    ('labels/train/a.txt', 'a.txt')
    """
    parts = picture.split("/")
    for position in range(len(parts) - 2, -1, -1):
        if parts[position] == "images":
            parts[position] = "labels"
            break
    return "/".join(parts).rpartition(".")[0] + ".txt"


def _parse(fields: list[str], owner: str) -> tuple[int, list[float]]:
    if len(fields) != 5 and (len(fields) < 7 or len(fields) % 2 == 0):
        raise InputError(
            f"{owner}: expected class cx cy w h, or class and at least 3 x y pairs, got {len(fields)} fields"
        )
    try:
        label, values = float(fields[0]), [float(field) for field in fields[1:]]
    except ValueError as error:
        raise InputError(f"{owner}: expected numbers, got {' '.join(fields)[:80]!r}") from error
    if not label.is_integer() or label < 0:
        raise InputError(f"{owner}: expected a whole class number >= 0, got {fields[0]!r}")
    bad = [value for value in values if not -_OUTSIDE <= value <= 1 + _OUTSIDE]
    if bad:
        raise InputError(f"{owner}: expected coordinates in [0, 1] (relative to the picture), got {bad[0]!r}")
    if len(values) == 4 and min(values[2:]) < 0:
        raise InputError(f"{owner}: expected a width and height >= 0, got {values[2:]} (the box is inverted)")
    return int(label), values


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _scan(labels: Iterable[Path], *, everything: bool) -> tuple[bool, int]:
    """Return whether there are polygons and the highest class; without need for the latter, up to the first line."""
    has_masks, highest = False, -1
    for path in labels:
        for number, line in enumerate(_lines(path), start=1):
            fields = line.split()
            if not fields:
                continue
            has_masks = has_masks or len(fields) > 5
            if everything and len(fields) >= 5:
                highest = max(highest, _parse(fields, f"{path}: line {number}")[0])
            elif not everything:
                return has_masks, highest
    return has_masks, highest


def _yaml_of(path: Path) -> Path | None:
    if path.is_file():
        return path
    return next((path / name for name in YAML_NAMES if (path / name).is_file()), None)


def _from_yaml(path: Path) -> tuple[Path, list[str], dict[str, list[str]]]:
    """Root, class names, and of each split its folders or lists, below the root."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected keys path, train, val, names, got {type(data).__name__}")
    names = _names(data.get("names"), path)
    root = path.parent
    if isinstance(data.get("path"), str) and (path.parent / data["path"]).is_dir():
        root = path.parent / data["path"]
    places: dict[str, list[str]] = {}
    for key in ("train", "val", "test"):
        value = data.get(key)
        if value is None:
            continue
        listed = value if isinstance(value, list) else [value]
        places[key] = [_place(root, path, key, item) for item in listed]
    if not places:
        raise InputError(f"{path}: expected at least one of train, val, test, got {', '.join(map(str, data))}")
    if len({tuple(listed) for listed in places.values()}) == 1:
        key, listed = next(iter(places.items()))
        if not any(
            key in part for item in listed for part in item.split("/")
        ):  # all keys say `images`: there are no splits
            return root, names, {"": listed}
    return root, names, places


def _names(value: Any, path: Path) -> list[str]:
    if isinstance(value, dict) and sorted(value) == list(range(len(value))):
        value = [value[row] for row in range(len(value))]
    if not isinstance(value, list) or not value:
        raise InputError(f"{path}: names: expected a list, or a mapping from 0, 1, ..., got {value!r}")
    names = [str(name) for name in value]
    if len(set(names)) < len(names):
        raise InputError(f"{path}: names: expected each class once, got {names}")
    return names


def _place(root: Path, path: Path, key: str, item: Any) -> str:
    """Folder or list below the root; files that other people move around often say ../train/images."""
    if not isinstance(item, str):
        raise InputError(f"{path}: {key}: expected a path, got {item!r}")
    tries = [item, item.removeprefix("../"), *([item.removeprefix(f"{root}/")] if Path(item).is_absolute() else [])]
    for text in tries:
        if not Path(text).is_absolute() and (root / text).exists():
            return text.rstrip("/")
    raise InputError(f"{path}: {key}: no folder or list {item!r} below {root}")


def _from_folders(path: Path) -> tuple[Path, list[str] | None, dict[str, list[str]]]:
    if not (path / "images").is_dir():
        raise InputError(f"data set {path}: expected YOLO with data.yaml, or images/ and labels/")
    listed = path / CLASS_FILE
    names = [line.strip() for line in _lines(listed) if line.strip()] if listed.is_file() else None
    splits = [name for name in SPLIT_NAMES if (path / "images" / name).is_dir()]
    if not splits:
        return path, names, {"": ["images"]}
    return path, names, {name: [f"images/{name}"] for name in splits}


def _pictures(root: Path, split: str, place: str) -> list[tuple[str, str]]:
    """(name, path below the root) of the pictures of a folder or a list; names start with their split."""
    if (root / place).is_dir():
        inside = [(name, f"{place}/{name}") for name in find_images(root / place)]
    else:
        lines = [line.strip().removeprefix("./") for line in _lines(root / place)]
        inside = [(line.removeprefix("images/"), line) for line in lines if line and is_image(Path(line).name)]
    prefix = f"{split}/" if split else ""
    return [(name if name.startswith(prefix) else f"{prefix}{name}", picture) for name, picture in inside]


@register_format
class Yolo:
    """YOLO text labels."""

    name: ClassVar[str] = "yolo"
    fallback: ClassVar[bool] = False

    @staticmethod
    def recognise(path: Path) -> str | None:
        """Recognise data.yaml with `names`, or `images/` beside `labels/` with text files."""
        file = _yaml_of(path) if path.is_dir() or path.suffix in (".yaml", ".yml") else None
        if file is not None:
            try:
                data = yaml.safe_load(file.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, yaml.YAMLError):
                return None
            return file.name if isinstance(data, dict) and "names" in data else None
        if (path / "images").is_dir() and next((path / "labels").rglob("*.txt"), None):
            return "images/ and labels/*.txt"
        return None

    @staticmethod
    def open(path: Path, *, split: str | None = None, strict: bool = False) -> Dataset:
        return YoloDataset(path, split=split, strict=strict)

    @staticmethod
    def write(
        samples: Iterable[Sample], out: Path, *, class_names: Sequence[str], image_format: ImageFormat = "png"
    ) -> Path:
        """Write `images/`, `labels/`, `data.yaml`; a sample_id that starts with train, val or test is in that split."""
        names = class_names[:-1] if class_names and class_names[-1] == DONT_CARE else class_names
        if not names:
            raise InputError("class_names: YOLO needs at least one, got none")
        with new_folder(out) as folder:
            seen: set[str] = set()
            for sample in samples:
                sample_id = checked_id(sample, seen)
                check_labels(sample, class_names)
                _check_ignored(sample, len(names))
                write_picture(folder / "images", sample_id, sample.image, image_format)
                text = "".join(_line(sample, row) for row in range(len(sample.annotations)))
                write_bytes(folder / "labels" / f"{sample_id}.txt", text.encode())
            if not seen:
                raise InputError(f"cannot write {out}: there are no samples")
            text = yaml.safe_dump(_index(seen, names), sort_keys=False, allow_unicode=True)
            (folder / YAML_NAMES[0]).write_text(text, encoding="utf-8")
        return out


def _check_ignored(sample: Sample, n_names: int) -> None:
    """Raise where an object of DontCare, which is no class here, counts."""
    notes = sample.annotations
    if bool(((notes.labels >= n_names) & ~notes.ignore).any()):
        raise InputError(f"sample {sample.sample_id!r}: an object is {DONT_CARE}: expected ignore = True, got False")


def _index(sample_ids: Iterable[str], class_names: Sequence[str]) -> Mapping[str, Any]:
    splits = {sample_id.split("/")[0] for sample_id in sample_ids}
    by_split = splits <= {"train", "val", "test"} and all("/" in sample_id for sample_id in sample_ids)
    places: Mapping[str, str] = (
        {name: f"images/{name}" for name in ("train", "val", "test") if name in splits} if by_split else {}
    )
    return {"path": ".", **(places or {"train": "images"}), "names": dict(enumerate(class_names))}


def _line(sample: Sample, row: int) -> str:
    annotations: Annotations = sample.annotations
    if annotations.ignore[row]:
        return ""
    scale = np.array([sample.width, sample.height], np.float64)
    if annotations.masks is not None and has_own_mask(annotations, row):
        points = np.array(mask_polygon(annotations.masks[row])).reshape(-1, 2) / scale
        values = points.reshape(-1).tolist()
    else:
        corners = np.clip(annotations.boxes[row].astype(np.float64).reshape(2, 2) / scale, 0.0, 1.0)
        size = corners[1] - corners[0]
        values = [*corners.mean(axis=0).tolist(), *size.tolist()] if size.min() > 0 else []
    return f"{int(annotations.labels[row])} {' '.join(map(repr, values))}\n" if values else ""
