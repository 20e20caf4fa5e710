"""`roadproof feedback`: from the failures of a run to a labelled training set that is aimed at them.

Frames that the run was not tested on are looked at; those that show what it lost are put through the shifts that it was
lost under (more are made than asked for), and the pictures that differ most among those are kept, beside clean frames.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenes.datasets.base import count
from scenes.datasets.registry import formats
from scenes.environment import own_version
from scenes.errors import InputError
from scenes.folders import differences, no_empty_folders, read_json
from scenes.progress import Report, reporting
from scenes.sample import Dataset
from stress.aim import Aim, aim_of
from stress.curation import Curation, FeedbackFiles
from stress.folder import RunFolder, identity_key
from stress.frames import Frame, scan
from stress.results import Results, read
from stress.selection import Wanted, planned, unlike
from stress.untested import Pool, Tested, pool_of, without_tested_pixels
from synth.filters import REASONS
from synth.labels import check_holds
from synth.produce import Job
from synth.recipe import Recipe
from synth.synthesis import SHARD, run, work_folder

SCHEMA = "roadproof.feedback/1"
LEAST_IMAGES = 8
EMBEDDER = "zoo:classifier"


@dataclass(frozen=True)
class Weight:
    """A row of weights.csv; clean frames have an empty shift and no severity."""

    sample_id: str
    weight: float
    shift: str
    severity: float | None
    source: str
    group: str


@dataclass(frozen=True)
class Feedback:
    """A finished feedback set: its folder, feedback.json, and a row of weights.csv for each picture."""

    path: Path
    summary: Mapping[str, Any]
    weights: tuple[Weight, ...]
    already_done: bool = False

    @property
    def n_images(self) -> int:
        return len(self.weights)

    def words(self) -> list[str]:
        """Return what was made in a few lines."""
        s = self.summary
        lines = [f"made   {s['n_images']} pictures, {s['n_clean']} of them clean frames, as {s['dataset']['format']}"]
        lines += [f"       {n:6}  {name}" for name, n in sorted(s["shifts"].items(), key=lambda item: -item[1])]
        lines += [f"aimed  {count(one['n_images'], 'picture')} at: {one['slice']}" for one in s["slices"][:5]]
        lines += [f"left out {count(n, 'candidate')}: {REASONS[reason]}" for reason, n in s["left_out"].items()]
        return lines + [f"note   {note}" for note in s["notes"]]


def make_feedback(
    run_dir: str | Path,
    out: str | Path,
    *,
    images: int,
    clean_share: float = 0.5,
    hold_out: Sequence[str] | str = (),
    dataset: str | Path | Dataset | None = None,
    split: str | None = None,
    seed: int = 0,
    frames: int | None = None,
    embedder: str = EMBEDDER,
    workers: int | None = None,
    progress: bool | Report | None = None,
    command: str | None = None,
) -> Feedback:
    """Make a training set of `images` pictures in the folder `out`, aimed at what a finished run lost.

    clean_share: share of clean frames, 0 to 0.9; hold_out: families whose shifts are never used
    dataset:     where frames are taken from, the run's own data when not given; split: `train` where there is one
    frames:      that are looked at and chosen from; as many as images when not given, twice that where read from disk
    embedder:    whose `embed` says which pictures differ: zoo:classifier, or any model that has one

    The same call resumes what was stopped, and gives the same bytes whatever the number of workers.
    """
    results = read(run_dir)
    identity = read_json(RunFolder(results.path).plan)
    families = _families(hold_out)
    _check(images, clean_share, results)
    request = {
        "run": {"path": str(results.path.resolve()), "key": identity_key(identity)},
        "images": images, "clean_share": clean_share, "hold_out": list(families), "seed": seed, "frames": frames,
        "dataset": None if dataset is None else str(getattr(dataset, "name", dataset)), "split": split,
        "embedder": embedder, "roadproof": own_version(),
    }  # fmt: skip
    place = Path(out)
    done = _finished(place, request)
    if done is not None:
        return done
    tested = Tested.of(results, identity)
    aim = aim_of(results, identity, hold_out=families, seed=seed)
    pool = pool_of(tested, dataset=dataset, split=split, frames=frames, images=images)
    _check_data(pool, results)
    cache = work_folder(place).with_name(f"{place.name}.frames")
    with reporting(progress) as report, no_empty_folders(cache):
        try:
            scanning = {"embedder": embedder, "task": results.task, "key": identity_key(request), "workers": workers}
            found = _frames(pool, tested, cache, scanning, report)
            wanted = Wanted(images=images, clean=round(images * clean_share), seed=seed)
            plan = planned(aim, found, wanted, results.task)
            summary = {
                "schema": SCHEMA, "run": str(results.path), "dataset": _dataset(pool, place, results),
                "model": str(results.summary["model"]["source"]), "task": results.task,
                "class_names": list(pool.opened.class_names), "seed": seed, "clean_share": clean_share,
                "families_held_out": list(families), "tested_groups": sorted(tested.groups),
                "command": command or _call(results, place, images), "request": request,
                "notes": _guard_notes(pool, tested),
            }  # fmt: skip
            files = FeedbackFiles(summary, aim, plan, results)
            job = _job(pool, plan.variants, aim, place, results.task, seed)
            curation = Curation(aim, plan, embedder, results.task, files)
            run(job, pool.opened, place, workers=workers, progress=report, curator=curation)
        except KeyboardInterrupt as stop:
            where = f"What is done is kept in {cache}; the same command goes on from there."
            raise KeyboardInterrupt(str(stop) or where) from None
        except InputError:
            if not work_folder(place).exists():  # else the same command goes on
                shutil.rmtree(cache, ignore_errors=True)
            raise
        shutil.rmtree(cache, ignore_errors=True)
    return read_feedback(place)


def read_feedback(place: str | Path) -> Feedback:
    """Read a finished feedback set; anything else is a clear error."""
    folder = Path(place)
    if not (folder / "feedback.json").is_file():
        raise InputError(f"{folder}: holds no feedback.json; expected a folder that `roadproof feedback` wrote")
    summary = read_json(folder / "feedback.json")
    schema = summary.get("schema") if isinstance(summary, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"{folder / 'feedback.json'}: expected schema {SCHEMA!r}, got {schema!r}: read it with the version that "
            "wrote it"
        )
    try:
        with (folder / "weights.csv").open(encoding="utf-8", newline="") as stream:
            rows = [
                Weight(r["sample_id"], float(r["weight"]), r["shift"], float(r["severity"]) if r["severity"] else None,
                       r["source"], r["group"])
                for r in csv.DictReader(stream)
            ]  # fmt: skip
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder / 'weights.csv'}: cannot be read: {error}") from error
    return Feedback(folder, summary, tuple(rows))


def _families(hold_out: Sequence[str] | str) -> tuple[str, ...]:
    listed = hold_out.split(",") if isinstance(hold_out, str) else hold_out
    return tuple(dict.fromkeys(name.strip() for name in listed if name.strip()))


def _check(images: int, clean_share: float, results: Results) -> None:
    if not 0 <= clean_share <= 0.9:
        raise InputError(f"clean share: expected a number from 0 to 0.9, got {clean_share:g}")
    if images < LEAST_IMAGES:
        raise InputError(f"images: expected at least {LEAST_IMAGES}, got {images}: fewer cannot show what was lost")
    if results.summary["dataset"]["n_samples"] == 0:
        raise InputError(f"run {str(results.path)!r}: no sample was scored, so nothing is known of its failures")


def _check_data(pool: Pool, results: Results) -> None:
    """Raise where the frames have other labels than the run needs."""
    name = pool.opened.name
    if results.task not in pool.opened.tasks:
        raise InputError(
            f"data set {name!r}: labels for {' and '.join(pool.opened.tasks) or 'nothing'}, and the run was "
            f"{results.task}: name data with such labels with --dataset"
        )
    missing = [c for c in results.summary["classes"]["evaluated"] if c not in pool.opened.class_names]
    if missing:
        raise InputError(
            f"data set {name!r} has no class {', '.join(map(repr, missing[:5]))}, which the run evaluated; it has "
            f"{', '.join(pool.opened.class_names[:12])}: classes need the same names"
        )


def _finished(place: Path, request: Mapping[str, Any]) -> Feedback | None:
    """Return the very set that is asked for where it is there; raise where another one is."""
    if not (place / "feedback.json").is_file():
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise InputError(f"cannot write {place}: it exists and is not an empty folder; choose another name")
        return None
    known = read_feedback(place)
    different = differences(known.summary["request"], dict(request))
    if different:
        raise InputError(f"{place} holds another feedback set: {'; '.join(different[:4])}; choose another name")
    return Feedback(known.path, known.summary, known.weights, already_done=True)


def _frames(pool: Pool, tested: Tested, cache: Path, scanning: Mapping[str, Any], report: Report) -> list[Frame]:
    """Return what is known of the frames, without those that another shows as well, and any that the run has seen."""
    found = scan(pool.data, pool.sample_ids, cache, report=report, **scanning)
    if not found:
        raise InputError(f"data set {pool.opened.name!r}: none of {len(pool.sample_ids)} frames can be read")
    if pool.other_root:
        found = without_tested_pixels(found, tested, pool, report)
        if not found:
            raise InputError(
                f"data set {pool.opened.name!r}: every frame has the pixels of one that the run was tested on, so none "
                "may be trained on; name other data with --dataset"
            )
    return unlike(found)


def _guard_notes(pool: Pool, tested: Tested) -> list[str]:
    """Say where pixels cannot tell a tested frame under another name."""
    if not pool.other_root or tested.path is not None:
        return []
    return [
        "The run was given an opened data set, so its pixels could not be compared with these frames: only names and "
        "groups keep them apart from the test."
    ]


def _dataset(pool: Pool, place: Path, results: Results) -> dict[str, Any]:
    return {
        "source": pool.data.spec or pool.opened.name,
        "format": _format(pool.opened, results.task),
        "root": str(place.resolve()),
        "split": pool.data.options.get("split"),
    }


def _format(opened: Dataset, task: str) -> str:
    """Return the data set's own format; of data without one, such as the town, what holds the labels of the task."""
    own = str(getattr(opened, "format", ""))
    fitting = {"detection": "coco", "segmentation": "masks", "classification": "image_folder"}
    return own if own in formats() or own == "camvid" else fitting[task]


def _job(
    pool: Pool, variants: Mapping[str, Mapping[int, int | None]], aim: Aim, place: Path, task: str, seed: int
) -> Job:
    """Return the synthesis that makes the candidates."""
    entries = [dict(cell.entry) for cell in aim.cells]
    filters = {"near_duplicates": None}  # these are told apart among the candidates
    recipe = Recipe.make({"shifts": entries, "seed": seed, "clean": True, "filters": filters})
    format = _format(pool.opened, task)
    check_holds(pool.opened.tasks, pool.opened.name, format)
    order = [name for name in pool.opened.sample_ids if name in variants]
    names = {(i, v): f"{i}_v{v}" if v else i for i in order for v in sorted(variants[i])}
    if len(set(names.values())) < len(names):
        raise InputError(f"data set {pool.opened.name!r}: names that end in _v1 clash with variants of other frames")
    facts = {"dataset": pool.data.spec or pool.opened.name, "format": pool.data.options.get("format"),
             "split": pool.data.options.get("split")}  # fmt: skip
    return Job(
        data=pool.data, recipe=recipe, format=format, work=work_folder(place), sample_ids=tuple(order), names=names,
        shard_size=SHARD, source=facts, planned=variants,
    )  # fmt: skip


def _call(results: Results, place: Path, images: int) -> str:
    return f"stress.feedback.make_feedback({str(results.path)!r}, {str(place)!r}, images={images})"


__all__ = ["SCHEMA", "Feedback", "Weight", "make_feedback", "read_feedback"]
