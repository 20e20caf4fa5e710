"""What the readers and writers of all formats share: an index by name, decoding when asked, clear errors."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from scenes.errors import InputError, did_you_mean
from scenes.images import SUFFIXES, StoredPicture, write_jpeg, write_png
from scenes.sample import Dataset, Image, Sample, Task

SPLIT_NAMES = ("train", "training", "val", "valid", "validation", "test", "testing")
ImageFormat = Literal["png", "jpeg"]


class FolderDataset:
    """A data set in a folder: names are indexed at opening, each sample is decoded when it is asked for.

    A subclass fills `_files` (sample_id to image path below `root`) through `_index` and implements `_read`.
    Iteration and look-up raise `InputError` for a bad sample; `iterate` skips it by name.
    """

    format: ClassVar[str]

    def __init__(
        self,
        root: Path,
        *,
        class_names: Sequence[str],
        tasks: tuple[Task, ...],
        files: Mapping[str, str],
        splits: Sequence[str] = (),
        groups: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
        detail: str = "",
    ) -> None:
        if not files:
            raise InputError(f"data set {root}: no images found (read as {self.format})")
        self.root = root
        self.name = root.resolve().name
        self.class_names = tuple(class_names)
        self.tasks = tasks
        self.splits = tuple(splits)
        self.groups: Mapping[str, str] = dict(groups or {})
        self.notes = tuple(notes)
        self._files = dict(files)
        self._detail = detail

    @property
    def sample_ids(self) -> tuple[str, ...]:
        return tuple(self._files)

    @property
    def description(self) -> str:
        """One line for people: format, splits, size, classes."""
        parts = [self.format + (f" ({self._detail})" if self._detail else "")]
        if self.splits:
            parts.append(f"split{'s' if len(self.splits) > 1 else ''} {', '.join(self.splits)}")
        parts.append(count(len(self), "image"))
        parts.append(count(len(self.class_names), "class", "classes") if self.class_names else "no labels")
        return ", ".join(parts)

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[Sample]:
        for sample_id in self._files:
            yield self[sample_id]

    def __getitem__(self, sample_id: str) -> Sample:
        if sample_id not in self._files:
            check_named(sample_id, self.name)
            near = did_you_mean(sample_id, self._files)
            raise InputError(f"data set {self.name!r}: no sample {sample_id!r}{near}; it has {len(self)}")
        try:
            sample = self._read(sample_id)  # shifts look for the road by class name
            return replace(sample, meta={"class_names": self.class_names, **sample.meta})
        except InputError:
            raise
        except ValueError as error:  # a field that the data model refuses
            raise InputError(f"{self.image_path(sample_id)} ({self.format}): {error}") from error

    def image_path(self, sample_id: str) -> Path:
        """Return the file that holds the picture of a sample."""
        return self.root / self._files[sample_id]

    def _read(self, sample_id: str) -> Sample:
        raise NotImplementedError


class Subset:
    """Some samples of a data set, in the order given; everything else is the data set's own."""

    def __init__(self, dataset: Dataset, sample_ids: Iterable[str], *, note: str = "") -> None:
        known = set(dataset.sample_ids)
        chosen = tuple(dict.fromkeys(sample_ids))
        missing = [sample_id for sample_id in chosen if sample_id not in known]
        if missing:
            near = did_you_mean(missing[0], dataset.sample_ids)
            raise InputError(f"data set {dataset.name!r}: no sample {missing[0]!r}{near}")
        if not chosen:
            raise InputError(f"data set {dataset.name!r}: a subset of no samples was asked for")
        self.dataset = dataset
        self.sample_ids = chosen
        self.note = note
        self._known = frozenset(chosen)

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.dataset.class_names

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.dataset.tasks

    @property
    def groups(self) -> Mapping[str, str]:
        return {k: v for k, v in self.dataset.groups.items() if k in self._known}

    @property
    def format(self) -> str:
        return str(getattr(self.dataset, "format", type(self.dataset).__name__))

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(getattr(self.dataset, "splits", ()))

    @property
    def root(self) -> Path | None:
        return getattr(self.dataset, "root", None)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(getattr(self.dataset, "notes", ()))

    @property
    def description(self) -> str:
        whole = getattr(self.dataset, "description", self.dataset.name)
        return f"{whole}; {self.note or 'of these'} {len(self)}"

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __iter__(self) -> Iterator[Sample]:
        for sample_id in self.sample_ids:
            yield self.dataset[sample_id]

    def __getitem__(self, sample_id: str) -> Sample:
        if sample_id not in self._known:
            check_named(sample_id, self.name)
            raise InputError(f"data set {self.name!r}: no sample {sample_id!r} in this subset of {len(self)}")
        return self.dataset[sample_id]


def check_named(sample_id: Any, name: str) -> None:
    """Raise where a sample is asked for by anything but its name."""
    if not isinstance(sample_id, str):
        raise InputError(
            f"data set {name!r}: samples are looked up by name, got {sample_id!r}: see .sample_ids, "
            "e.g. data[data.sample_ids[0]]"
        )


def subset(dataset: Dataset, sample_ids: Iterable[str]) -> Subset:
    """Return a data set of these samples only, in this order (a name given twice counts once)."""
    return Subset(dataset, sample_ids)


def limited(dataset: Dataset, n: int) -> Dataset:
    """Return n samples, evenly spaced over the data set's order: those at positions floor(i N / n), i = 0 .. n - 1.

    The choice depends on nothing but N and n. A data set of n samples or fewer is returned as it is.
    """
    if n < 1:
        raise InputError(f"limit: expected at least 1 sample, got {n}")
    ids = dataset.sample_ids
    if len(ids) <= n:
        return dataset
    return Subset(dataset, [ids[i * len(ids) // n] for i in range(n)], note="limited to")


def iterate(
    dataset: Dataset, *, strict: bool = False, on_skip: Callable[[str, InputError], None] | None = None
) -> Iterator[Sample]:
    """Yield the samples; a bad one is handed to `on_skip(sample_id, error)` and left out, or raised when strict."""
    for sample_id in dataset.sample_ids:
        try:
            sample = dataset[sample_id]
        except InputError as error:
            if strict:
                raise
            if on_skip is not None:
                on_skip(sample_id, error)
            continue
        yield sample


def count(n: int, one: str, many: str = "") -> str:
    """Say a number of things.

    >>> count(1, "image"), count(1200, "image")
    ('1 image', '1200 images')
    """
    return f"{n} {one if n == 1 else many or one + 's'}"


def is_image(name: str) -> bool:
    """Tell by its suffix whether a file is a picture; hidden files are none."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def has_images(folder: Path) -> bool:
    """Tell whether a folder holds a picture directly."""
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(is_image(entry.name) and entry.is_file() for entry in entries)


def find_images(folder: Path) -> list[str]:
    """Return POSIX paths of all pictures below a folder, relative to it, sorted; hidden folders are left out."""
    found: list[str] = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(parent).relative_to(folder)
        found += [(inside / name).as_posix() for name in names if is_image(name)]
    return sorted(found)


def index_files(paths: Iterable[tuple[str, str]], *, owner: str) -> dict[str, str]:
    """Turn (sample_id with suffix, path below the root) pairs into an index; two pictures of one id are an error."""
    files: dict[str, str] = {}
    for name, path in paths:
        sample_id = strip_suffix(name)
        if sample_id in files:
            raise InputError(
                f"{owner}: {files[sample_id]} and {path} would both be sample {sample_id!r}: rename or remove one"
            )
        files[sample_id] = path
    return files


def strip_suffix(name: str) -> str:
    """Return a POSIX path without the suffix of a picture.

    >>> strip_suffix("left/000017.png"), strip_suffix("clip.v2/000017")
    ('left/000017', 'clip.v2/000017')
    """
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name


def choose_splits(split: str | None, known: Sequence[str], *, owner: str) -> tuple[str, ...]:
    """Return the splits to use: all of them, or those named (several with commas)."""
    if split is None:
        return tuple(known)
    if not known:
        raise InputError(f"{owner}: split {split!r} was asked for, but this data set has no splits")
    chosen = tuple(dict.fromkeys(part.strip() for part in split.split(",") if part.strip()))
    for part in chosen:
        if part not in known:
            raise InputError(f"{owner}: no split {part!r}{did_you_mean(part, known)}; it has {', '.join(known)}")
    if not chosen:
        raise InputError(f"{owner}: split: expected one of {', '.join(known)}, got {split!r}")
    return chosen


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder beside `out` to fill; it takes the name `out` only when all went well.

    Raises where `out` already holds something: nobody's files are mixed or overwritten.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"cannot write {out}: it exists and is not an empty folder; choose another name")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp"))
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from error
    try:
        yield temporary
        temporary.chmod(0o755)
        os.replace(temporary, out)
    except OSError as error:
        full = " (the disk is full)" if error.errno == errno.ENOSPC else ""
        raise InputError(f"cannot write {out}: {error.strerror or error}{full}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def checked_id(sample: Sample, seen: set[str]) -> str:
    """Return the id of a sample to write; it must be a new relative path below the folder, with no hidden part."""
    sample_id = sample.sample_id
    path = PurePosixPath(sample_id)
    hidden = not path.parts or any(part.startswith(".") for part in path.parts)  # ".." is one of them
    if hidden or path.is_absolute() or path.as_posix() != sample_id:
        raise InputError(f"sample {sample_id!r}: sample_id: expected a relative POSIX path, got {sample_id!r}")
    if sample_id in seen:
        raise InputError(f"sample {sample_id!r}: written twice: sample ids must be unique in a data set")
    seen.add(sample_id)
    return sample_id


def write_picture(folder: Path, name: str, image: Image, image_format: ImageFormat = "png") -> str:
    """Write one picture below a folder; return its name with suffix. What is encoded already keeps its format."""
    if isinstance(image, StoredPicture):
        image.place = folder / f"{name}{image.file.suffix}"
        link(image.file, image.place)
        return image.place.relative_to(folder).as_posix()
    if image_format == "png":
        write_png(folder / f"{name}.png", image)
        return f"{name}.png"
    if image_format == "jpeg":
        write_jpeg(folder / f"{name}.jpg", image)
        return f"{name}.jpg"
    raise InputError(f"image_format: expected png or jpeg, got {image_format!r}")


def link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no such links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def check_labels(sample: Sample, class_names: Sequence[str]) -> None:
    """Raise where an object has a class that the list of names does not hold."""
    labels = sample.annotations.labels
    if len(labels) and int(labels.max()) >= len(class_names):
        wanted = f"class indices below {len(class_names)}"
        raise InputError(f"sample {sample.sample_id!r}: labels: expected {wanted}, got {int(labels.max())}")


def plain(value: Any) -> Any:
    """Return a value that JSON can hold (numpy scalars become Python's)."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value.item() if hasattr(value, "item") and not isinstance(value, str) else value
