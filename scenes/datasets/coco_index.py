"""The index of a COCO label file: which pictures it names, and at which bytes it says what of each."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from scenes.datasets.base import SPLIT_NAMES, count, strip_suffix
from scenes.datasets.jsonindex import JsonFile, Piece, read_elements
from scenes.errors import InputError

_HEAD = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_PEEK_BYTES = 1 << 20
_PROBE_IMAGES = 50  # so many pictures are looked for to find their folder


class CocoFile:
    """One instances file, parsed once; of each annotation only its two byte offsets are kept.

    files:      sample_id to the path of its picture below the root
    categories: class name to the category as the file has it, in the file's order
    groups:     sample_id to `group` or `video_id` where an image has one
    """

    def __init__(self, root: Path, path: Path, split: str) -> None:
        self.path = path
        self.files: dict[str, str] = {}
        self.categories: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, str] = {}
        self.notes: list[str] = []
        self.has_masks = False
        self._spans: dict[str, tuple[int, int]] = {}  # bytes of the image entry
        self._rows: dict[str, tuple[int, int]] = {}  # rows of the two arrays below
        self._images: dict[Any, tuple[str, int, int, Any]] = {}  # image id to file_name, bytes, group; while indexing
        self._owners: list[Any] = []  # image id of each annotation; while indexing
        self._starts, self._ends = array("q"), array("q")
        seen = set()
        for piece in JsonFile(path).walk():
            seen.add(piece.key)
            if piece.element:
                self._take(piece)
        missing = [key for key in ("images", "categories") if key not in seen]
        if missing:
            raise InputError(
                f"{path}: expected COCO with images, annotations and categories; {missing[0]} is missing or empty"
            )
        self._join(root, split)

    def image(self, sample_id: str) -> dict[str, Any]:
        """Return what the file says of a picture."""
        entry: dict[str, Any] = read_elements(self.path, [self._spans[sample_id]])[0]
        return entry

    def annotations(self, sample_id: str) -> list[dict[str, Any]]:
        """Return what the file says of the objects of a picture."""
        start, end = self._rows[sample_id]
        return read_elements(self.path, list(zip(self._starts[start:end], self._ends[start:end], strict=True)))

    def _take(self, piece: Piece) -> None:
        if piece.key not in ("images", "annotations", "categories"):
            return
        value = piece.value
        if not isinstance(value, dict):
            raise InputError(f"{self.path}: {piece.key}: expected objects, got {value!r}")
        if piece.key == "annotations":
            self._owners.append(_hashable(value.get("image_id"), self.path, "annotations.image_id"))
            self._starts.append(piece.start)
            self._ends.append(piece.end)
            self.has_masks = self.has_masks or bool(value.get("segmentation"))
            return
        identity = _hashable(value.get("id"), self.path, f"{piece.key}.id")
        if piece.key == "images":
            name = value.get("file_name")
            if not isinstance(name, str) or not name or PurePosixPath(name).is_absolute() or ".." in name.split("/"):
                raise InputError(f"{self.path}: image {identity!r}: file_name: expected a relative path, got {name!r}")
            if identity in self._images:
                raise InputError(
                    f"{self.path}: images: id {identity!r} twice: {self._images[identity][0]!r} and {name!r}"
                )
            self._images[identity] = (name, piece.start, piece.end, value.get("group", value.get("video_id")))
            return
        name = value.get("name")
        if not isinstance(name, str) or not name:
            raise InputError(f"{self.path}: category {identity!r}: name: expected a text, got {name!r}")
        if name in self.categories or any(known["id"] == identity for known in self.categories.values()):
            raise InputError(f"{self.path}: categories: id {identity!r} or name {name!r} stands there twice")
        self.categories[name] = value

    def _join(self, root: Path, split: str) -> None:
        """Sort the annotations' offsets by picture, pictures by name."""
        rows: dict[Any, list[int]] = {}
        for row, owner in enumerate(self._owners):
            rows.setdefault(owner, []).append(row)
        lost = [owner for owner in rows if owner not in self._images]
        if lost:
            n = sum(len(rows[owner]) for owner in lost)
            self.notes.append(f"{self.path}: {count(n, 'annotation')} with an unknown image_id (first: {lost[0]!r})")
        folder = _image_folder(root, self.path, split, [entry[0] for entry in self._images.values()])
        starts, ends = array("q"), array("q")
        for identity, (name, start, end, group) in sorted(self._images.items(), key=lambda item: item[1][0]):
            sample_id = strip_suffix(PurePosixPath(name).as_posix())
            if split and not sample_id.startswith(f"{split}/"):
                sample_id = f"{split}/{sample_id}"
            if sample_id in self.files:
                raise InputError(f"{self.path}: two images would both be sample {sample_id!r}; rename one of them")
            self.files[sample_id] = (folder / name).relative_to(root).as_posix()
            self._spans[sample_id] = (start, end)
            if group is not None:
                self.groups[sample_id] = str(group)
            mine = rows.get(identity, [])
            self._rows[sample_id] = (len(starts), len(starts) + len(mine))
            starts.extend(self._starts[row] for row in mine)
            ends.extend(self._ends[row] for row in mine)
        self._starts, self._ends, self._owners, self._images = starts, ends, [], {}


def label_files(path: Path) -> tuple[Path, dict[str, Path]]:
    """Return the root of a data set and its label files by split ("" where there is one file and no split)."""
    if path.is_file():
        return (path.parent.parent if path.parent.name == "annotations" else path.parent), {"": path}
    by_folder = {folder: _coco_files(path / folder) for folder in SPLIT_NAMES}
    by_folder = {folder: files for folder, files in by_folder.items() if len(files) == 1}
    if by_folder:  # each split with its label file beside the pictures
        return path, {folder: files[0] for folder, files in by_folder.items()}
    for folder in (path, path / "annotations"):
        files = _coco_files(folder)
        instances = [file for file in files if file.stem.startswith("instances")]
        files = instances or files
        if len(files) == 1 and files[0].stem in ("instances", "annotations", "_annotations.coco", "labels"):
            return path, {"": files[0]}
        if files:
            return path, {file.stem.removeprefix("instances_"): file for file in files}
    return path, {}


def _coco_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [file for file in sorted(folder.glob("*.json")) if file.is_file() and looks_like_coco(file)]


def looks_like_coco(path: Path) -> bool:
    """Tell from the beginning and the end of a file whether its top object has `images` and other lists of COCO."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_PEEK_BYTES)
            size = stream.seek(0, 2)
            stream.seek(max(len(head), size - _PEEK_BYTES))
            text = head + stream.read()
    except OSError:
        return False
    return text.lstrip()[:1] == b"{" and len(set(_HEAD.findall(text))) >= 2 and b'"file_name"' in text


def _image_folder(root: Path, path: Path, split: str, names: Sequence[str]) -> Path:
    """Find the folder that the file names count from."""
    candidates = [path.parent, root / "images", root / "images" / split, root / split, root, root / "data"]
    probes = names[:: max(1, len(names) // _PROBE_IMAGES)]
    best = max(candidates, key=lambda folder: sum((folder / name).is_file() for name in probes))
    if names and not any((best / name).is_file() for name in probes):
        tried = ", ".join(dict.fromkeys(str(folder) for folder in candidates if folder.is_dir()))
        raise InputError(f"{path}: none of its images is there, e.g. {probes[0]!r}; looked in {tried}")
    return best


def _hashable(value: Any, path: Path, what: str) -> Any:
    if isinstance(value, int | str):
        return value
    raise InputError(f"{path}: {what}: expected a number or text, got {value!r}")
