"""Data sets of any format behind one call; see docs/datasets.md for what each format holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scenes.datasets.base import Subset, iterate, limited, subset
from scenes.datasets.registry import Format, formats, recognised, register_format, resolve_format
from scenes.errors import InputError, did_you_mean
from scenes.plugins import load_attribute, looks_like_attribute
from scenes.sample import Dataset, Sample

__all__ = [
    "Format",
    "Subset",
    "formats",
    "iterate",
    "limited",
    "open_dataset",
    "recognise",
    "register_format",
    "subset",
    "write_dataset",
]

_SCENE = re.compile(r"^(?P<shown>scene|rendered):(?P<folder>.+)$")
_TOWN = re.compile(r"^town(:(?P<seed>[^:]*)(:(?P<n>[^:]*))?)?$")


def open_dataset(
    path_or_name: str | Path,
    *,
    format: str | None = None,
    split: str | None = None,
    strict: bool = False,
    limit: int | None = None,
) -> Dataset:
    """Open a folder (or label file) of any known format, `town[:SEED[:N]]`, `scene:DIR`, or a data set of one's own.

    path_or_name: a path; `town`, `town:7`, `town:7:100`; `scene:DIR` (views of a fitted scene; `rendered:DIR` shows
                  renders in place of photos); or `module:attr` / `file.py:attr` of a `Dataset`, or of a
                  class or function without parameters that makes one
    format:       a registered format, `module:attr` or `file.py:attr`; recognised when not given
    split:        one split, or several with commas; all when not given
    strict:       what is otherwise left out and listed in `notes` (labels of no image, ...) is an error
    limit:        so many samples, evenly spaced (see `limited`)
    """
    dataset = _open(str(path_or_name), format=format, split=split, strict=strict)
    return dataset if limit is None else limited(dataset, limit)


def recognise(path: str | Path) -> str:
    """Return the format of a path and why, for people: "coco (instances.json)"."""
    cls, why = recognised(_existing(str(path)))
    return f"{cls.name} ({why})"


def write_dataset(
    samples: Iterable[Sample], out: str | Path, *, format: str, class_names: Sequence[str], **options: Any
) -> Path:
    """Write samples as a new data set; `out` appears when all is written, and must not hold anything before."""
    cls = resolve_format(format)
    written: Path = cls.write(samples, Path(out), class_names=tuple(class_names), **options)
    return written


def _open(name: str, *, format: str | None, split: str | None, strict: bool) -> Dataset:
    town = _TOWN.match(name)
    if town and not Path(name).exists():
        return _open_town(name, town, format=format, split=split)
    scene = _SCENE.match(name)
    if scene and not Path(name).exists():
        return _open_scene(name, scene, format=format, split=split)
    if looks_like_attribute(name) and not Path(name).exists():
        return _open_attribute(name, format=format, split=split)
    path = _existing(name)
    cls = resolve_format(format) if format else recognised(path)[0]
    dataset: Dataset = cls.open(path, split=split, strict=strict)
    return dataset


def _existing(name: str) -> Path:
    path = Path(name).expanduser()
    if path.exists():
        return path
    near = did_you_mean(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
    raise InputError(f"data set {name!r}: no such folder{near}; `town` is the built-in one")


def _open_town(name: str, parts: re.Match[str], *, format: str | None, split: str | None) -> Dataset:
    if format is not None:
        raise InputError(f"data set {name!r}: the built-in town takes no format, got {format!r}")
    options: dict[str, Any] = {} if split is None else {"split": split}
    for key in ("seed", "n"):
        text = parts[key]
        if text is None:
            continue
        if not text.isdecimal() or (key == "n" and int(text) < 1):
            raise InputError(
                f"data set {name!r}: expected town, town:SEED or town:SEED:N with whole numbers, got {text!r}"
            )
        options[key] = int(text)
    from scenes.town import TownDataset

    town: Dataset = TownDataset(**options)
    return town


def _open_scene(name: str, parts: re.Match[str], *, format: str | None, split: str | None) -> Dataset:
    for option, value in (("format", format), ("split", split)):
        if value is not None:
            raise InputError(f"data set {name!r}: a fitted scene takes no {option}, got {value!r}")
    from scenes.datasets.scene import SceneDataset

    scene: Dataset = SceneDataset(parts["folder"], photos=parts["shown"] == "scene")
    return scene


def _open_attribute(name: str, *, format: str | None, split: str | None) -> Dataset:
    for option, value in (("format", format), ("split", split)):
        if value is not None:
            raise InputError(f"data set {name!r}: a data set from Python takes no {option}, got {value!r}")
    made = load_attribute(name, what="data set")
    if isinstance(made, type) or (callable(made) and not isinstance(made, Dataset)):
        made = made()
    if not isinstance(made, Dataset):
        wanted = "name, class_names, tasks, sample_ids, groups, length, iteration and look-up"
        raise InputError(f"data set {name!r}: expected an object with {wanted}, got {type(made).__name__}")
    return made
