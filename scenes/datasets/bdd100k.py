"""BDD100K labels (Yu et al. 2020), the Scalabel format: one JSON list of frames, or one JSON file a picture.

    images/[100k/][split/]*.jpg      labels/**/*.json or *.json: a list, {"frames": [...], "config": {...}}, or a file
                                     of the picture's name with {"name", "frames": [{"objects": [...]}]}

Boxes `box2d` are x1 y1 x2 y2 with the last pixel included (Scalabel counts width as x2 - x1 + 1), so ours end one
pixel later. Closed `poly2d` (Bezier corners too) and `rle` become masks. `crowd` and `ignored` make ignore regions.
Attributes of a frame (weather, scene, timeofday) are in `meta["attributes"]`, those of an object (occluded,
truncated, ...) are its own. A numeric `id` is the track id in frames with `videoName`, else the instance id.
Lanes, drivable areas and open lines are no objects and are left out; so is `box3d`. Pictures without a label are left
out and counted in `notes`.

Written: the list form with boxes, classes, masks as `rle`, ignore regions, attributes, one id an object (the track id
where there is one), frame attributes, time in whole milliseconds, `videoName` (from `groups`).
Not held: instance ids beside track ids, visibility, amodal boxes, 3D boxes, depth, camera, segmentation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

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
    new_folder,
    plain,
    strip_suffix,
    write_picture,
)
from scenes.datasets.jsonindex import JsonFile, read_elements
from scenes.datasets.objects import Box, Objects, has_own_mask
from scenes.datasets.registry import register_format
from scenes.datasets.shapes import Mask, checked_box, mask_box, mask_rle, polygons_mask, rle_mask
from scenes.errors import InputError
from scenes.images import read_oriented
from scenes.sample import Dataset, Sample

CLASSES_2020 = (
    "pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle", "traffic light", "traffic sign",
)  # fmt: skip
CLASSES_2018 = (
    "person", "rider", "car", "truck", "bus", "train", "motor", "bike", "traffic light", "traffic sign",
)  # fmt: skip
_RELEASES = ("100k", "10k", "track", "seg_track_20")  # folders of images/ that are no split
_NO_OBJECTS = ("lane", "area", "drivable area")
_PEEK_BYTES = 1 << 16
_CURVE_STEPS = 16
_Span = tuple[Path, int, int]  # bytes [start, end) of a frame in a file


class Bdd100kDataset(FolderDataset):
    """Pictures with Scalabel frames; keeps byte offsets, not labels."""

    format: ClassVar[str] = "bdd100k"

    def __init__(self, path: Path, *, split: str | None = None, strict: bool = False) -> None:
        root, labels = label_files(path)
        if not labels:
            raise InputError(f"data set {path}: no BDD100K label file (*.json or labels/**/*.json) found")
        places = root / "images" if (root / "images").is_dir() else root
        pictures = index_files(
            ((_without_release(name), (places / name).relative_to(root).as_posix()) for name in find_images(places)),
            owner=f"data set {path}",
        )
        self._spans: dict[str, _Span] = {}
        files: dict[str, str] = {}
        groups: dict[str, str] = {}
        categories: set[str] = set()
        listed: list[str] = []
        self._has_masks = False
        for file, frame, span in _frames(labels, listed):
            sample_id, picture = _match(frame, file, pictures, places.relative_to(root).as_posix())
            if sample_id in files:
                raise InputError(f"{file}: sample {sample_id!r} is labelled twice; also in {self._spans[sample_id][0]}")
            files[sample_id], self._spans[sample_id] = picture, span
            labels_here = [label for label in _labels(frame, file) if _is_object(label)]
            categories |= {str(label.get("category")) for label in labels_here}
            self._has_masks = self._has_masks or any(_has_mask(label) for label in labels_here)
            if frame.get("videoName"):
                groups[sample_id] = str(frame["videoName"])
        if files and not any(sample_id in pictures for sample_id in files):
            raise InputError(
                f"data set {path}: none of the labelled pictures is there, e.g. {next(iter(files.values()))}"
            )
        known = [s for s in SPLIT_NAMES if any(sample_id.startswith(f"{s}/") for sample_id in files)]
        splits = choose_splits(split, known, owner=f"data set {path}")
        files = {i: files[i] for i in sorted(files) if not splits or i.split("/")[0] in splits}
        notes = _notes(root, pictures, files, splits)
        if strict and notes:
            raise InputError(notes[0])
        names = class_names(categories, listed)
        self._row = {name: row for row, name in enumerate(names)}
        super().__init__(
            root,
            class_names=names,
            tasks=("detection",),
            files=files,
            splits=splits,
            groups={i: group for i, group in groups.items() if i in files},
            notes=notes,
            detail=labels[0].relative_to(root).as_posix() if len(labels) == 1 else count(len(labels), "label file"),
        )

    def _read(self, sample_id: str) -> Sample:
        file, start, end = self._spans[sample_id]
        frame = read_elements(file, [(start, end)])[0]
        image, orientation = read_oriented(self.image_path(sample_id))
        objects = Objects()
        for label in filter(_is_object, _labels(frame, file)):
            owner = f"{file}: {sample_id}: label {label.get('id')!r}"
            _add(objects, label, self._row, orientation.size, owner, tracked=bool(frame.get("videoName")))
        _unique_ids(objects)
        timestamp = frame.get("timestamp", _first(frame).get("timestamp"))
        attributes = frame.get("attributes") or {}
        return Sample(
            sample_id=sample_id,
            image=image,
            annotations=objects.annotations(orientation, with_masks=self._has_masks),
            timestamp_s=timestamp / 1000 if isinstance(timestamp, int | float) else None,
            meta={"attributes": attributes} if attributes else {},
        )


def class_names(found: Iterable[str], listed: Sequence[str] = ()) -> tuple[str, ...]:
    """Return names in the order of the file's own list, else of the release that fits; further ones follow sorted."""
    found = set(found)
    release = (
        CLASSES_2018 if found & {"person", "motor", "bike"} and not found & set(CLASSES_2020[:1]) else CLASSES_2020
    )
    order = list(dict.fromkeys(listed)) or (list(release) if found & set(release) else [])
    return (*order, *sorted(found - set(order)))


def label_files(path: Path) -> tuple[Path, list[Path]]:
    """Return the root and its label files, lists or one a picture."""
    if path.is_file():
        root = path.parent
        while root.name not in ("", "labels") and not (root / "images").is_dir() and "labels" in root.parts:
            root = root.parent
        return (root.parent if root.name == "labels" else root), [path]
    candidates = [*sorted(path.glob("*.json")), *sorted((path / "labels").rglob("*.json"))]
    if not any(looks_like_bdd(file) for file in candidates[:3]):
        return path, []
    return path, candidates


def looks_like_bdd(path: Path) -> bool:
    """Tell from the beginning of a file whether it holds Scalabel frames."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_PEEK_BYTES)
    except OSError:
        return False
    frames = head.lstrip()[:1] == b"[" or b'"frames"' in head
    return (
        frames
        and b'"name"' in head
        and any(key in head for key in (b'"labels"', b'"objects"', b'"box2d"', b'"config"'))
    )


def _frames(files: Sequence[Path], listed: list[str]) -> Iterator[tuple[Path, dict[str, Any], _Span]]:
    """Yield every frame of every file; category names of a `config` are added to `listed`."""
    for file in files:
        whole: dict[str, Any] = {}
        objects: list[Any] = []
        for key, value, start, end, element in JsonFile(file).walk():
            if (
                element
                and key in ("", "frames")
                and isinstance(value, dict)
                and "name" in value
                and "objects" not in value
            ):
                yield file, value, (file, start, end)
            elif element and key == "frames":
                objects.append(value)
            elif element and key == "":
                raise InputError(f"{file}: expected frames with a name, got {str(value)[:60]!r}")
            elif not element:
                whole[key] = value
        if isinstance(whole.get("config"), dict):
            listed += _leaves(whole["config"].get("categories") or [])
        elif isinstance(whole.get("name"), str):  # one file a picture
            name = whole["name"] if Path(whole["name"]).suffix else f"{file.stem}.jpg"
            yield file, {**whole, "name": name, "frames": objects}, (file, 0, file.stat().st_size)


def _leaves(categories: Sequence[Any]) -> list[str]:
    names: list[str] = []
    for category in categories:
        inner = category.get("subcategories")
        names += _leaves(inner) if inner else [str(category["name"])]
    return names


def _match(frame: Mapping[str, Any], file: Path, pictures: Mapping[str, str], places: str) -> tuple[str, str]:
    """Return sample_id and picture of a frame; a picture that is not there keeps the place where it should be."""
    name = str(frame["name"])
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"{file}: name: expected a relative path, got {name!r}")
    stem, video = strip_suffix(name), frame.get("videoName")
    hints = [s for s in SPLIT_NAMES if s in file.parts or file.stem.endswith(f"_{s}") or file.stem == s]
    tries = [stem, *(f"{split}/{stem}" for split in hints)]
    tries += [f"{prefix}{video}/{stem}" for prefix in ("", *(f"{split}/" for split in hints)) if video]
    found = next((sample_id for sample_id in tries if sample_id in pictures), None)
    if found is not None:
        return found, pictures[found]
    return (f"{hints[0]}/{stem}" if hints else stem), f"{places}/{hints[0] + '/' if hints else ''}{name}"


def _without_release(name: str) -> str:
    first, _, rest = name.partition("/")
    return rest if first in _RELEASES and rest else name


def _notes(root: Path, pictures: Mapping[str, str], files: Mapping[str, str], splits: Sequence[str]) -> list[str]:
    bare = [i for i in pictures if i not in files and (not splits or i.split("/")[0] in splits)]
    return (
        [f"data set {root}: {count(len(bare), 'picture')} without labels left out, first {bare[0]!r}"] if bare else []
    )


def _first(frame: Mapping[str, Any]) -> dict[str, Any]:
    inner = frame.get("frames")
    return inner[0] if isinstance(inner, list) and inner and isinstance(inner[0], dict) else {}


def _labels(frame: Mapping[str, Any], file: Path) -> list[dict[str, Any]]:
    labels = frame.get("labels") or _first(frame).get("objects") or []
    if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
        raise InputError(f"{file}: {frame.get('name')!r}: labels: expected a list of objects, got {str(labels)[:60]!r}")
    return labels


def _is_object(label: Mapping[str, Any]) -> bool:
    """Tell objects from lanes, drivable areas and open lines."""
    if str(label.get("category")).split("/")[0] in _NO_OBJECTS:
        return False
    return label.get("box2d") is not None or _has_mask(label) or label.get("poly2d") is None


def _has_mask(label: Mapping[str, Any]) -> bool:
    return label.get("rle") is not None or bool(_closed(label.get("poly2d")))


def _closed(poly2d: Any) -> list[tuple[list[Any], str]]:
    """Vertices and types (L, C) of the closed polygons, in either notation."""
    if not isinstance(poly2d, list) or not poly2d:
        return []
    if isinstance(poly2d[0], list):  # 2018, one file a picture: [[x, y, "L"], ...], closed
        return [([point[:2] for point in poly2d], "".join(str(point[2]) for point in poly2d))]
    shapes = [shape for shape in poly2d if isinstance(shape, dict) and shape.get("closed", True)]
    return [(shape["vertices"], shape.get("types") or "L" * len(shape["vertices"])) for shape in shapes]


def _add(
    objects: Objects,
    label: Mapping[str, Any],
    rows: Mapping[str, int],
    size: tuple[int, int],
    owner: str,
    *,
    tracked: bool,
) -> None:
    """Add one label."""
    category = str(label.get("category"))
    if category not in rows:
        raise InputError(f"{owner}: category: expected one of {', '.join(rows)}, got {category!r}")
    mask = _mask(label, size, owner)
    box2d = label.get("box2d")
    if box2d is not None:
        box = _box(box2d, f"{owner}: box2d")
    elif mask is not None:
        box = mask_box(mask)
    else:
        raise InputError(f"{owner}: expected box2d, a closed poly2d or rle, got none of them")
    attributes = dict(label.get("attributes") or {})
    ignore = bool(attributes.pop("ignored", False)) or bool(attributes.get("crowd"))
    text = str(label.get("id", ""))
    identity = int(text) if text.isdecimal() and int(text) < 2**31 else None
    objects.add(
        box,
        rows[category],
        ignore=ignore,
        attributes=attributes,
        mask=mask,
        instance_id=None if tracked else identity,
        track_id=identity if tracked else None,
    )


def _box(box2d: Any, owner: str) -> Box:
    values: list[Any] = [box2d.get(key) for key in ("x1", "y1", "x2", "y2")] if isinstance(box2d, dict) else [box2d]
    if all(isinstance(v, int | float) for v in values) and len(values) == 4:
        values = [values[0], values[1], values[2] + 1, values[3] + 1]  # the last pixel is part of the box
    return checked_box(values, owner=owner, wanted="x1 y1 x2 y2")


def _mask(label: Mapping[str, Any], size: tuple[int, int], owner: str) -> Mask | None:
    width, height = size
    if label.get("rle") is not None:
        mask = rle_mask(label["rle"], owner=f"{owner}: rle")
        if mask.shape != (height, width):
            got = f"{mask.shape[1]}x{mask.shape[0]}"
            raise InputError(f"{owner}: rle: expected the size of the picture {width}x{height}, got {got}")
        return mask
    try:
        shapes = [_flat(vertices, types) for vertices, types in _closed(label.get("poly2d"))]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{owner}: poly2d: expected vertices [x, y] and types of L and C: {error!r}") from error
    return polygons_mask(shapes, width, height, owner=f"{owner}: poly2d") if shapes else None


def _flat(vertices: Sequence[Sequence[float]], types: str) -> list[float]:
    """x1 y1 x2 y2 ... of a closed outline; three C in a row are two handles and the end of a cubic Bezier curve."""
    points = [(float(x), float(y)) for x, y in vertices]
    flat, position = list(points[0]), 1
    while position < len(points):
        if types[position] != "C":
            flat += points[position]
            position += 1
            continue
        a = (flat[-2], flat[-1])
        b, c, d = (points[(position + step) % len(points)] for step in range(3))
        for step in range(1, _CURVE_STEPS + 1):
            t = step / _CURVE_STEPS
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            flat += [sum(w * p[axis] for w, p in zip(weights, (a, b, c, d), strict=True)) for axis in (0, 1)]
        position += 3
    return flat


def _unique_ids(objects: Objects) -> None:
    """Forget ids from the file where they cannot be instance ids: not unique, or zero."""
    ids = [value for value in objects.instance_ids if value]
    if len(set(ids)) < len(objects.instance_ids):
        objects.instance_ids = [None] * len(objects.instance_ids)


@register_format
class Bdd100k:
    """BDD100K and Scalabel JSON."""

    name: ClassVar[str] = "bdd100k"
    fallback: ClassVar[bool] = False

    @staticmethod
    def recognise(path: Path) -> str | None:
        """Recognise Scalabel JSON in the folder or in labels/."""
        if path.is_file():
            return path.name if path.suffix == ".json" and looks_like_bdd(path) else None
        labels = label_files(path)[1]
        return labels[0].relative_to(path).as_posix() if labels else None

    @staticmethod
    def open(path: Path, *, split: str | None = None, strict: bool = False) -> Dataset:
        return Bdd100kDataset(path, split=split, strict=strict)

    @staticmethod
    def write(
        samples: Iterable[Sample],
        out: Path,
        *,
        class_names: Sequence[str],
        groups: Mapping[str, str] | None = None,
        image_format: ImageFormat = "png",
    ) -> Path:
        """Write `images/`, `labels/labels.json`; samples with track ids get a `videoName` (by default their folder)."""
        with new_folder(out) as folder:
            (folder / "labels").mkdir()
            with (folder / "labels" / "labels.json").open("wb") as stream:
                seen: set[str] = set()
                for sample in samples:
                    sample_id = checked_id(sample, seen)
                    check_labels(sample, class_names)
                    name = write_picture(folder / "images", sample_id, sample.image, image_format)
                    frame = _frame(sample, name, class_names, (groups or {}).get(sample_id))
                    stream.write((b",\n" if len(seen) > 1 else b'{"frames": [\n') + json.dumps(frame).encode())
                if not seen:
                    raise InputError(f"cannot write {out}: there are no samples")
                config = {"categories": [{"name": name} for name in class_names]}
                stream.write(b'\n],\n"config": ' + json.dumps(config).encode() + b"}\n")
        return out


def _frame(sample: Sample, name: str, class_names: Sequence[str], group: str | None) -> dict[str, Any]:
    annotations = sample.annotations
    frame: dict[str, Any] = {"name": name}
    if group is None and annotations.track_ids is not None:
        group = sample.sample_id.rpartition("/")[0] or "sequence"
    if group is not None:
        frame["videoName"] = group
    if sample.timestamp_s is not None:
        frame["timestamp"] = round(sample.timestamp_s * 1000)
    if sample.meta.get("attributes"):
        frame["attributes"] = plain(sample.meta["attributes"])
    frame["labels"] = [_label(sample, row, class_names) for row in range(len(annotations))]
    return frame


def _label(sample: Sample, row: int, class_names: Sequence[str]) -> dict[str, Any]:
    annotations = sample.annotations
    x1, y1, x2, y2 = annotations.boxes[row].tolist()
    attributes = dict(plain(annotations.attributes[row]))
    if annotations.ignore[row] and not attributes.get("crowd"):
        attributes["ignored"] = True
    identity = int(annotations.instance_ids[row])
    if annotations.track_ids is not None:
        identity = int(annotations.track_ids[row])
    label: dict[str, Any] = {
        "id": str(identity),
        "category": class_names[int(annotations.labels[row])],
        "attributes": attributes,
        "box2d": {"x1": x1, "y1": y1, "x2": x2 - 1, "y2": y2 - 1},
    }
    if annotations.masks is not None and has_own_mask(annotations, row):
        label["rle"] = mask_rle(annotations.masks[row])
    return label
