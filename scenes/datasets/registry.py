"""One door for our own and foreign formats: decorator, entry points, `module:attr`, `file.py:attr`."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from scenes.errors import InputError, did_you_mean
from scenes.plugins import load_attribute, looks_like_attribute
from scenes.sample import Dataset, Sample

OWN = ("coco", "yolo", "kitti", "bdd100k", "cityscapes", "masks", "image_folder")  # modules of this package


@runtime_checkable
class Format(Protocol):
    """A kind of data set on disk. The class itself is registered; its functions are static.

    name:     what `--format` takes
    fallback: True where almost any folder fits, so that it is asked only when no other format recognises a folder
    """

    name: ClassVar[str]
    fallback: ClassVar[bool]

    @staticmethod
    def recognise(path: Path) -> str | None:
        """Return why this path is of the format ("found instances.json"), None where it is not."""
        ...

    @staticmethod
    def open(path: Path, *, split: str | None, strict: bool) -> Dataset:
        """Return the data set; problems of the whole set raise `InputError` here."""
        ...

    @staticmethod
    def write(samples: Iterable[Sample], out: Path, *, class_names: Sequence[str], **options: Any) -> Path:
        """Write a new data set to `out`, whole or not at all, one sample in memory at a time."""
        ...


T = TypeVar("T", bound=type)
_FORMATS: dict[str, type[Any]] = {}


def register_format(cls: T) -> T:
    """Add a format class under its `name`; raises where the name is taken or a part of `Format` is missing."""
    where = f"{cls.__module__}.{cls.__qualname__}"
    missing = [part for part in ("name", "fallback", "recognise", "open", "write") if not hasattr(cls, part)]
    if missing:
        raise InputError(f"format {where}: expected name, fallback, recognise, open, write; missing {missing}")
    name: str = cls.name  # type: ignore[attr-defined]  # checked above; a TypeVar bound to type cannot say it
    known = _FORMATS.get(name)
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise InputError(f"format {name!r}: {where} offers it, but {known.__module__} already does; rename one")
    _FORMATS[name] = cls
    return cls


@cache
def _load_all() -> None:
    for module in OWN:
        importlib.import_module(f"scenes.datasets.{module}")
    for point in entry_points(group="roadproof.datasets"):
        register_format(point.load())


def formats() -> Mapping[str, type[Any]]:
    """Return every registered format by name, our own first."""
    _load_all()
    own = [f"{__package__}.{module}" for module in OWN]
    place = {name: own.index(c.__module__) if c.__module__ in own else len(own) for name, c in _FORMATS.items()}
    return dict(sorted(_FORMATS.items(), key=lambda item: place[item[0]]))


def resolve_format(name: str) -> type[Any]:
    """Return the format of a name, `module:attr` or `file.py:attr`."""
    if looks_like_attribute(name):
        cls = load_attribute(name, what="format")
        if not isinstance(cls, type):
            raise InputError(f"format {name!r}: expected a class, got {type(cls).__name__}")
        return register_format(cls)
    known = formats()
    if name not in known:
        raise InputError(f"format {name!r}: no such format{did_you_mean(name, known)}; known are {', '.join(known)}")
    return known[name]


def recognised(path: Path) -> tuple[type[Any], str]:
    """Return the format of a path and the reason; none or several are errors that say what to do."""
    found = [(cls, why) for cls in formats().values() if not cls.fallback and (why := cls.recognise(path))]
    if not found:
        _refuse_several(path)
        found = [(cls, why) for cls in formats().values() if cls.fallback and (why := cls.recognise(path))]
    if len(found) == 1:
        return found[0]
    known = ", ".join(formats())
    if not found:
        raise InputError(
            f"data set {path}: no format recognises it; known are {known}: name one with --format to see what it lacks"
        )
    said = " and ".join(f"{cls.name} ({why})" for cls, why in found)
    raise InputError(f"data set {path}: could be {said}; choose with --format")


def _refuse_several(path: Path) -> None:
    """Raise where folders of a folder are data sets of their own: their names are not classes."""
    if not path.is_dir():
        return
    inside: dict[str, str] = {}
    for folder in sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")):
        said = [
            f"{cls.name}: {why}" for cls in formats().values() if not cls.fallback and (why := cls.recognise(folder))
        ]
        if said:
            inside[folder.name] = " or ".join(said)
    if inside:
        kind = "several data sets" if len(inside) > 1 else "the parent folder of a data set"
        listed = ", ".join(f"{name} ({why})" for name, why in inside.items())
        raise InputError(f"data set {path}: looks like {kind}: {listed}: name one, such as {path / next(iter(inside))}")
