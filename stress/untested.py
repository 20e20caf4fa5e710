"""Frames that a run was not tested on.

Leakage is guarded by group (the sequence of a frame where known, else the frame), and across folders by pixels too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scenes.datasets import limited
from scenes.datasets.base import SPLIT_NAMES, subset
from scenes.datasets.source import DataSource, data_source
from scenes.errors import InputError
from scenes.fingerprint import pixel_hash
from scenes.progress import Report
from scenes.sample import Dataset
from stress.frames import Frame
from stress.results import Results

TOWN = re.compile(r"^town(:(?P<seed>\d+)(:(?P<n>\d+))?)?$")
TOWN_FRAMES = 4  # of a drive
TOWN_TAKEN = ("/00", "/03")  # first and last: building a street takes longer than a second look at it
TRAINING = ("train", "training")
LEAST_FRAMES = 24  # to choose from


@dataclass(frozen=True)
class Tested:
    """What a run was tested on: groups, names of samples, where they were read from."""

    groups: frozenset[str]
    sample_ids: frozenset[str]
    path: str | None
    options: Mapping[str, Any]

    @classmethod
    def of(cls, results: Results, identity: Mapping[str, Any]) -> Tested:
        table = results.table("samples")
        data = identity["dataset"]
        groups = frozenset(table.column("group").to_pylist())
        ids = frozenset(table.column("sample_id").to_pylist())
        return cls(groups, ids, data["path"], dict(data["options"]))


@dataclass(frozen=True)
class Pool:
    """The data set that frames may be taken of, and those that share no group with the run.

    other_root: it is not the folder that the run read, so that pixels are compared as well
    """

    data: DataSource
    opened: Dataset
    sample_ids: tuple[str, ...]
    other_root: bool


def pool_of(
    tested: Tested, *, dataset: str | Path | Dataset | None, split: str | None, frames: int | None, images: int
) -> Pool:
    """Return frames that the run was not tested on; raises where there are none.

    frames: how many, evenly spread; when not given as many as images, and twice as many where they are only read
    """
    if dataset is None and tested.path is None:
        raise InputError("the run was given an opened data set: name the training data with --dataset (dataset=...)")
    named = tested.path if dataset is None else dataset
    town = TOWN.match(named) if isinstance(named, str) else None
    rendered = town is not None and not Path(str(named)).exists()
    frames = frames or max(LEAST_FRAMES, images if rendered else 2 * images)
    if town is not None and rendered:
        data = _town(town, tested, split, frames)
    else:
        same = dataset is None or str(dataset) == tested.path
        options = {"format": tested.options.get("format") if same else None}
        data = _source(named, options, split, tested)
    opened = data.open(None)
    left = _untested(opened, tested)
    if not left:
        raise InputError(_nothing_left(opened, data, tested))
    if rendered:
        left = [name for name in left if name.endswith(TOWN_TAKEN)]
    chosen = limited(subset(opened, left), frames) if len(left) > frames else subset(opened, left)
    other = dataset is not None and str(dataset) != tested.path and not rendered
    return Pool(data, opened, tuple(chosen.sample_ids), other_root=other)


def _town(parts: re.Match[str], tested: Tested, split: str | None, frames: int) -> DataSource:
    """Return enough frames of the town: its drives are without end, and those of the run can be left out."""
    used = len(tested.groups) if tested.options.get("split", "train") == (split or "train") else 0
    n = (-(-frames // len(TOWN_TAKEN)) + used) * TOWN_FRAMES
    return data_source(f"town:{parts['seed'] or 0}:{n}", {"split": split or "train"})


def _source(
    named: str | Path | Dataset | None, options: Mapping[str, Any], split: str | None, tested: Tested
) -> DataSource:
    """Return the source of the training split: the one asked for, else `train` where there is one."""
    if isinstance(named, Dataset):
        return data_source(named, {"split": split})
    assert named is not None  # the caller looked
    if str(named) == tested.path and not Path(str(named)).expanduser().exists() and ":" not in str(named):
        raise InputError(f"data set {str(named)!r} of the run is not there any more: name where it is with --dataset")
    if split is None:
        known = getattr(data_source(named, options).open(None), "splits", ())
        split = next((name for name in TRAINING if name in known), None)
    return data_source(named, {**options, "split": split})


def _all_ids(data: DataSource) -> Sequence[str]:
    if data.spec is None:
        return data.open(None).sample_ids
    return replace(data, options={k: v for k, v in data.options.items() if k != "split"}).open(None).sample_ids


def _untested(opened: Dataset, tested: Tested) -> list[str]:
    known = opened.groups
    return [i for i in opened.sample_ids if i not in tested.sample_ids and known.get(i, i) not in tested.groups]


def _nothing_left(opened: Dataset, data: DataSource, tested: Tested) -> str:
    split = data.options.get("split")
    place = f"data set {opened.name!r}{f', split {split}' if split else ''}"
    splits = {name.partition("/")[0] for name in _all_ids(data)}
    others = [name for name in SPLIT_NAMES if split and name in splits and name != split]
    hint = f"name another --split ({', '.join(others)}) or" if others else "name"
    groups = f"{len(tested.groups)} group{'s' * (len(tested.groups) != 1)} (sequences, else frames)"
    return (
        f"{place}: all of its {len(opened)} frames belong to the {groups} that the run was tested on, so "
        f"none may be trained on; {hint} another data set with --dataset, or test on "
        "fewer frames (--limit, --split)"
    )


def without_tested_pixels(frames: Sequence[Frame], tested: Tested, pool: Pool, report: Report) -> list[Frame]:
    """Return the frames whose pixels the run has not seen, under whatever name; for data of another folder."""
    if tested.path is None:
        return list(frames)
    try:
        opened = data_source(tested.path, tested.options).open(None)
    except InputError as error:
        if tested.sample_ids <= set(_all_ids(pool.data)):
            return list(frames)  # the same data in another place: names and groups are enough
        raise InputError(
            f"the data that the run was tested on cannot be read to compare pixels with: {error}; "
            "put it where it was, or take the training frames from the same data set"
        ) from error
    names = [name for name in opened.sample_ids if name in tested.sample_ids]
    seen = set()
    for number, name in enumerate(names, 1):
        seen.add(pixel_hash(opened[name].image))
        report("tested frames read", number, len(names))
    return [frame for frame in frames if frame.sha256 not in seen]
