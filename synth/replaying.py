"""`synth.remake`: the pictures and labels of a manifest made again, and how near they come to what they were.

In the environment of the first time every byte is the same. In another, classical shifts agree within one grey level;
a shift that goes through a codec or a learned model states its own tolerance (`replay_tolerance`, in grey levels).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from scenes.datasets.source import DataSource
from scenes.errors import InputError
from scenes.fingerprint import pixel_hash
from scenes.images import read_image
from scenes.progress import Report
from synth import manifest
from synth.depth import CUTOUT_NAME, PRIOR_NAME
from synth.produce import Job
from synth.recipe import Recipe
from synth.registry import resolve
from synth.synthesis import SHARD, run, work_folder

OWN_DEPTH = (
    PRIOR_NAME,
    CUTOUT_NAME,
    "lidar, filled",
    "depth with holes, filled",
)  # what the pipeline comes up with by itself
GREY_LEVELS = 1.0  # by which a classical shift may differ in another environment


@dataclass(frozen=True)
class Remade:
    """What came of a replay, as sample ids.

    within:    not the same bytes, but within the tolerance of their shifts
    different: beyond it, with the largest difference in grey levels
    unknown:   not the same bytes, and the first pictures are not there to compare with
    labels:    whose labels differ
    versions:  {package: (then, now)} where they differ
    """

    path: Path
    identical: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    different: Mapping[str, float] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    versions: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)

    @property
    def faithful(self) -> bool:
        """True where every picture is the same or within tolerance, and every label is the same."""
        return not (self.different or self.unknown or self.labels)


def remake(
    manifest_file: str | Path,
    out: str | Path,
    *,
    dataset: str | Path | None = None,
    workers: int | None = None,
    progress: bool | Report | None = None,
    depth: str | None = None,
    allow_download: bool = False,
) -> Remade:
    """Make the data set of a manifest again.

    manifest_file: the file, or the data set that holds it
    dataset:       where the source is now; where the manifest says unless given
    depth:         the source of depth that was given the first time, if any
    """
    path = Path(manifest_file)
    rows = manifest.read_manifest(path)
    _need_depth(rows, depth, path)
    source = _source(rows, dataset)
    opened = source.open(None)
    by_frame: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_frame.setdefault(row["source"]["sample_id"], []).append(row)
    missing = [frame for frame in by_frame if frame not in set(opened.sample_ids)]
    if missing:
        raise InputError(
            f"manifest {str(path)!r}: data set {str(source.spec)!r} has no sample {missing[0]!r} "
            f"({len(missing)} of {len(by_frame)} are missing): name the right one with --dataset"
        )
    job = Job(
        data=source, recipe=_recipe(rows), format=_one(rows, "format", path), work=work_folder(Path(out)),
        sample_ids=tuple(by_frame), shard_size=SHARD, strict=True, depth=depth, allow_download=allow_download,
        names={(row["source"]["sample_id"], int(row["variant"])): row["sample_id"] for row in rows},
        source={key: rows[0]["source"].get(key) for key in ("dataset", "format", "split")}, rows=by_frame,
    )  # fmt: skip
    made = run(job, opened, Path(out), workers=workers, progress=progress)
    folder = path if path.is_dir() else path.parent
    return compare(rows, manifest.read_manifest(made.path), folder, made.path)


def compare(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], then: Path, now: Path) -> Remade:
    """Return how the rows of two manifests agree; then, now: the folders that may hold their pictures."""
    again = {row["sample_id"]: row for row in after}
    identical, within, unknown, labels = [], [], [], []
    different: dict[str, float] = {}
    for old in before:
        name, new = old["sample_id"], again[old["sample_id"]]
        if old["labels_sha256"] != new["labels_sha256"]:
            labels.append(name)
        if old["sha256"] == new["sha256"]:
            identical.append(name)
            continue
        distance = _distance(old, new, then, now)
        if distance is None:
            unknown.append(name)
        elif distance <= max([GREY_LEVELS, *(_tolerance(part["name"]) for part in old["shifts"])]):
            within.append(name)
        else:
            different[name] = distance
    return Remade(now, tuple(identical), tuple(within), different, tuple(unknown), tuple(labels), _versions(before))


def _distance(old: Mapping[str, Any], new: Mapping[str, Any], then: Path, now: Path) -> float | None:
    """Return the largest difference of two pictures in grey levels; None where one is not there."""
    if not old.get("image") or not new.get("image") or not (then / old["image"]).is_file():
        return None
    first, second = read_image(then / old["image"]), read_image(now / new["image"])
    if first.shape != second.shape or pixel_hash(first) != old["sha256"]:
        return None
    return float(np.abs(first.astype(np.int16) - second).max())


def _tolerance(name: str) -> float:
    return float(getattr(resolve(name), "replay_tolerance", GREY_LEVELS))


def _versions(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str | None, str | None]]:
    then, now = rows[0].get("versions") or {}, manifest.versions()
    return {name: (then.get(name), now.get(name)) for name in {**then, **now} if then.get(name) != now.get(name)}


def _need_depth(rows: Sequence[Mapping[str, Any]], depth: str | None, path: Path) -> None:
    """Raise where an estimator gave the depth the first time and none is named now."""
    used = {row.get("completed", {}).get("depth") for row in rows} - {None, *OWN_DEPTH}
    if used and depth is None:
        named = ", ".join(sorted(used))
        raise InputError(f"manifest {str(path)!r}: its pictures have depth from {named}: name it with --depth")


def _source(rows: Sequence[Mapping[str, Any]], dataset: str | Path | None) -> DataSource:
    said = rows[0]["source"]
    options = {key: said[key] for key in ("format", "split") if said.get(key) is not None}
    spec = str(dataset if dataset is not None else said["dataset"])
    try:
        source = DataSource(spec=spec, options=options)
        source.open(None)
    except InputError as error:
        if dataset is not None:
            raise
        raise InputError(f"{error} (the source that the manifest names; say where it is now with --dataset)") from error
    return source


def _recipe(rows: Sequence[Mapping[str, Any]]) -> Recipe:
    """Return a recipe that says how pictures are encoded; what is in them comes from the rows."""
    suffixes = {PurePosixPath(row["image"]).suffix for row in rows if row.get("image")}
    image_format = "jpeg" if suffixes == {".jpg"} else "png"
    return Recipe.make({"shifts": "all", "image_format": image_format, "seed": int(rows[0]["seed"])})


def _one(rows: Sequence[Mapping[str, Any]], key: str, path: Path) -> str:
    found = {str(row[key]) for row in rows}
    if len(found) > 1:
        raise InputError(f"manifest {str(path)!r}: expected one {key} in all lines, got {', '.join(sorted(found))}")
    return found.pop()
