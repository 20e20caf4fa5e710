"""`synth.generate`: a data set and a recipe to a new, labelled data set with a manifest that can make it again."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from scenes.datasets import formats, write_dataset
from scenes.datasets.registry import OWN
from scenes.datasets.source import DataSource, data_source
from scenes.environment import environment, own_version, usable_cores
from scenes.errors import InputError
from scenes.execute import Executor, InOrder, InProcess, Processes
from scenes.fingerprint import named_files, shift_files
from scenes.folders import LOCK, TEMPORARY, differences, disk_errors, locked, no_empty_folders, read_json, write_json
from scenes.images import StoredPicture
from scenes.progress import Report, reporting
from scenes.sample import Dataset, Sample
from scenes.stopping import CleanStop
from synth import manifest
from synth.curating import Curator
from synth.filters import REASONS, Duplicates
from synth.labels import check_holds, fitting
from synth.produce import Job, Worker
from synth.recipe import Entry, Recipe, check_classes, mismatch
from synth.splits import dealt, split_of
from synth.staging import Made, outline_part, read_part, with_pixels

T = TypeVar("T")
SCHEMA = "roadproof.synth/1"
RECORD = "synth.yaml"  # in the new set: what it was made from, what was left out; JSON, which is YAML too
SHARD = 4  # frames of one task
_GROUPS = ("coco", "bdd100k")  # formats whose files say which pictures belong together


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a synthesis: what is done is kept, the message says how to go on."""


@dataclass(frozen=True)
class Generated:
    """A new data set.

    made:     pictures by entry of the recipe; left_out: pictures by reason; examples: a few of each reason in words
    resumed:  some of it was there before; already_done: all of it was
    """

    path: Path
    format: str
    n_sources: int
    made: Mapping[str, int]
    left_out: Mapping[str, int]
    examples: Mapping[str, list[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what no picture was made for, what was assumed, what the source said
    resumed: bool = False
    already_done: bool = False

    @property
    def n_made(self) -> int:
        """How many pictures the new set has."""
        return sum(self.made.values())


def generate(
    dataset: str | Path | Dataset,
    recipe: Recipe | Mapping[str, Any] | str | Path,
    out: str | Path,
    *,
    format: str | None = None,
    split: str | None = None,
    source_format: str | None = None,
    limit: int | None = None,
    workers: int | None = None,
    progress: bool | Report | None = None,
    strict: bool = False,
    depth: str | None = None,
    allow_download: bool = False,
) -> Generated:
    """Make a new data set of a data set.

    dataset: a path or name as `roadproof synth` takes it, or a `Dataset`
    recipe:  a `Recipe`, its keys, or a YAML file
    out:     folder of the new set; it appears when all is done, until then the work stands in `OUT.part`
    format:  of the new set; the source's own unless given (COCO for the town)
    workers: processes; one a core unless given. The bytes of the new set do not depend on it

    The same call resumes what was stopped; another one with the same `out` is an error.
    """
    made_of = _recipe(recipe)
    source = data_source(dataset, {"format": source_format, "split": split})
    opened = source.open(limit, strict=strict)
    if depth is not None:
        from synth.depth import depth_source

        depth_source(depth, allow_download=allow_download)  # one that cannot be had is told before anything is made
    written = _format(opened, format)
    check_holds(opened.tasks, opened.name, written)
    check_classes(made_of, opened.class_names, f"data set {opened.name!r}")
    ids, names = _names(opened, made_of, written)
    job = Job(
        data=source, recipe=made_of, format=written, work=work_folder(Path(out)), sample_ids=ids, names=names,
        shard_size=SHARD, limit=limit, strict=strict, depth=depth, allow_download=allow_download,
        source=_source_facts(source, opened),
    )  # fmt: skip
    return run(job, opened, Path(out), workers=workers, progress=progress)


def run(
    job: Job,
    opened: Dataset,
    out: Path,
    *,
    workers: int | None = None,
    progress: bool | Report | None = None,
    curator: Curator | None = None,
) -> Generated:
    """Carry a job out, or go on with it: parts by the workers, the new set from them in order."""
    identity = _identity(job, opened)
    finished = _finished(out, identity)
    if finished is not None:
        return finished
    _check_work(job.work, identity)
    executor = _executor(job, workers)
    with CleanStop() as stop, no_empty_folders(job.work), locked(job.work, "work folder"):
        resumed = _check_work(job.work, identity)
        try:
            _probe(job, opened)
            write_json(job.work / "job.json", identity)
            with reporting(progress) as report:
                state = _Synthesis(job, opened, executor, report, resumed=resumed, curator=curator)
                state.write(identity)
            executor.close()
        except KeyboardInterrupt as error:
            stop.begin()
            executor.close(now=True)
            _clear(job.work)
            raise Interrupted(f"What is done is kept in {job.work}; the same command goes on from there.") from error
        except BaseException as error:
            executor.close(now=True)
            _clear(job.work)
            if _final(error) or not any(job.work.glob("parts/*")):
                shutil.rmtree(job.work, ignore_errors=True)
            raise
        with disk_errors(out):
            os.replace(job.work / "dataset", out)
        shutil.rmtree(job.work, ignore_errors=True)
    return state.result(out)


class _Synthesis:
    """One synthesis from its parts to the finished folder."""

    def __init__(
        self,
        job: Job,
        opened: Dataset,
        executor: Executor,
        report: Report,
        *,
        resumed: bool,
        curator: Curator | None = None,
    ) -> None:
        self.job, self.opened, self.executor, self.report, self.resumed = job, opened, executor, report, resumed
        self.curator = curator
        self.curated: Mapping[str, tuple[str, str]] = {}
        self.rows: list[Mapping[str, Any]] = []
        self.made: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self.completed: list[Mapping[str, str]] = []
        bits = job.recipe.filters.near_duplicates
        self.duplicates = None if bits is None or job.rows is not None else Duplicates(bits)
        self.foreign = job.format not in (*OWN, "camvid")

    def write(self, identity: Mapping[str, Any]) -> None:
        """Write `dataset/` in the work folder: the set in its format, the manifest, the record."""
        target, lines = self.job.work / "dataset", self.job.work / manifest.NAME
        shutil.rmtree(target, ignore_errors=True)
        if self.curator is not None:
            self.curated = self.curator.choose(list(self._parts(outline_part)), self.report)
        with disk_errors(lines), lines.open("w", encoding="utf-8") as stream:
            samples = self._samples(stream, target)
            try:
                self._write_format(samples, target)
            except InputError as error:
                raise self._explained(error) from error
        os.replace(lines, target / manifest.NAME)
        record = {"schema": SCHEMA, **identity, "made": dict(self.made), "left_out": dict(self.left_out)}
        record.update(examples=self.examples, environment=environment())
        write_json(target / RECORD, record)
        if self.curator is not None:
            self.curator.finish(target, self.rows, dict(self.left_out))

    def _explained(self, error: InputError) -> InputError:
        """Say why nothing is left where a writer was given no sample at all."""
        if self.made:
            return error
        why = ", ".join(f"{n} x {REASONS[reason]}" for reason, n in self.left_out.most_common(3))
        first = next(iter(self.examples.values()), [""])[0]
        return (
            InputError(f"no picture of data set {self.opened.name!r} is left: {why} (first: {first})") if why else error
        )

    def _write_format(self, samples: Iterator[Sample], target: Path) -> None:
        options: dict[str, Any] = {"class_names": self.opened.class_names}
        if self.foreign or self.job.recipe.image_format != "png":
            options["image_format"] = self.job.recipe.image_format
        if self.job.format == "coco" and (categories := _categories(self.opened)) is not None:
            options["categories"] = categories
        if self.job.format in _GROUPS:
            options["groups"] = self._groups()
        if self.job.format != "coco" or not all(map(split_of, self.job.names.values())):
            write_dataset(samples, target, format=self.job.format, **options)
            return
        for name, members in itertools.groupby(samples, key=lambda sample: split_of(sample.sample_id)):
            inside = (replace(s, sample_id=s.sample_id.partition("/")[2]) for s in members)
            named = {k.partition("/")[2]: v for k, v in self._groups().items() if split_of(k) == name}
            split = write_dataset(inside, target / name, format="coco", **{**options, "groups": named})
            _lay_out(split, target, name)

    def _groups(self) -> dict[str, str]:
        """Return the group of each picture: the sequence of its frame, else (where that costs nothing) its frame."""
        known = self.opened.groups
        if self.job.format == "bdd100k":  # there a group is a video, whose ids are tracks
            return {name: known[frame] for (frame, _), name in self.job.names.items() if frame in known}
        return {name: known.get(frame, frame) for (frame, _), name in self.job.names.items()}

    def _samples(self, stream: Any, target: Path) -> Iterator[Sample]:
        """Yield the pictures in order; their rows go to the manifest once they are written."""
        for one in self._parts(read_part):
            if one.left_out is None and one.sample_id in self.curated:
                one.left_out, one.detail = self.curated[one.sample_id]
            if one.left_out is None and self.duplicates is not None and one.variant and one.looks is not None:
                shifts = [part["name"] for part in one.row["shifts"]]
                twin = self.duplicates.of(one.sample_id, shifts, one.looks)
                if twin is not None:
                    one.left_out, one.detail = "near duplicate", f"like {twin}"
            if one.left_out is not None or one.sample is None:
                self._leave_out(one)
                continue
            yield with_pixels(one.sample) if self.foreign else one.sample
            self.made[one.row["entry"]] += 1
            self.completed.append(one.row["completed"])
            picture = one.sample.image
            if isinstance(picture, StoredPicture) and picture.place is not None:
                one.row["image"] = _below(picture.place, target)
            stream.write(manifest.row_line(one.row))
            if self.curator is not None:
                self.rows.append(one.row)

    def _leave_out(self, one: Made) -> None:
        reason = one.left_out or "failed"
        self.left_out[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < 5:
            examples.append(f"{one.sample_id}: {one.detail}" if one.detail else one.sample_id)

    def _parts(self, reader: Callable[[Path], Iterable[T]]) -> Iterator[T]:
        """Yield what the workers made, in the order of the data set whoever finishes first."""
        done = {index for index in range(self.job.n_shards) if self.job.part(index).is_dir()}
        todo = [index for index in range(self.job.n_shards) if index not in done]
        results = self.executor.each("run", InOrder(todo))
        frames = sum(len(self.job.shard(index)) for index in done)
        self.report("frames", frames, len(self.job.sample_ids))
        for index in range(self.job.n_shards):
            while index not in done:
                other = next(results)
                done.add(other)
                frames += len(self.job.shard(other))
                self.report("frames", frames, len(self.job.sample_ids))
            yield from reader(self.job.part(index))

    def _unmade(self) -> Iterator[str]:
        """Yield a note for each entry of the recipe, and each split, that no picture was made for."""
        if self.job.rows is not None:
            return
        for entry in self.job.recipe.shifts:
            if not any(choice.shift.name in self.made for choice in entry.choices()):
                yield f"entry {entry.label} made no picture{self._why_none(entry)}"
        places = {split_of(name) for name in self.job.names.values()}
        for split, share in (self.job.recipe.splits or {}).items():
            if share > 0 and split not in places:
                yield f"split {split} is empty: whole sequences are dealt out, and there are too few"

    def _why_none(self, entry: Entry) -> str:
        for sample_id in self.job.sample_ids[:5] if entry.classes or entry.conditions else ():
            with suppress(InputError, OSError, ValueError):
                sample = self.opened[sample_id]
                if why := mismatch(sample, self.opened.class_names, entry.classes, entry.conditions):
                    return f": e.g. {sample_id} {why}"
        if self.left_out:
            return ""
        return ": the draw never fell on it; more frames or --variants make that less likely"

    def result(self, out: Path) -> Generated:
        return Generated(
            path=out,
            format=self.job.format,
            n_sources=len(self.job.sample_ids),
            made=dict(self.made),
            left_out=dict(self.left_out),
            examples=self.examples,
            notes=(*getattr(self.opened, "notes", ()), *manifest.assumptions(self.completed), *self._unmade()),
            resumed=self.resumed,
        )


def _recipe(recipe: Recipe | Mapping[str, Any] | str | Path) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    return Recipe.make(recipe) if isinstance(recipe, Mapping) else Recipe.from_yaml(Path(recipe))


def work_folder(out: Path) -> Path:
    """Return where the work on a new set stands until it is done."""
    if not out.name:
        raise InputError(f"cannot write {str(out)!r}: name a new folder")
    return out.with_name(f"{out.name}.part")


def _format(opened: Dataset, asked: str | None) -> str:
    """Return the name of the format to write: as asked, the source's own, or what holds its labels."""
    if asked is not None:
        from scenes.datasets.registry import resolve_format

        return str(resolve_format(asked).name) if ":" not in asked else asked
    own = str(getattr(opened, "format", ""))
    if own in formats():
        return own
    return (
        {"detection": "coco", "segmentation": "masks"}.get(opened.tasks[0], "image_folder")
        if opened.tasks
        else "image_folder"
    )


def _names(opened: Dataset, recipe: Recipe, format: str) -> tuple[tuple[str, ...], dict[tuple[str, int], str]]:
    """Return the frames, those of one split together, and the id of each of their variants in the new set."""
    ids = tuple(opened.sample_ids)
    splits = {}
    if recipe.splits is not None:
        if format == "kitti":
            raise InputError(
                "recipe: splits: KITTI has no train and val folders: leave splits out, or name another --format"
            )
        splits = dealt(ids, opened.groups, {str(k): v for k, v in recipe.splits.items()}, seed=recipe.seed)
    order = {name: number for number, name in enumerate(dict.fromkeys(splits.get(i) or split_of(i) for i in ids))}
    ids = tuple(sorted(ids, key=lambda i: order[splits.get(i) or split_of(i)]))
    variants = [*([0] if recipe.clean else []), *range(1, recipe.variants + 1)]
    names = {(i, v): _name(i, v, splits.get(i)) for i in ids for v in variants}
    if len(set(names.values())) < len(names):
        raise InputError(f"data set {opened.name!r}: names that end in _v1 clash with the variants of other frames")
    return ids, names


def _name(sample_id: str, variant: int, split: str | None) -> str:
    """Return the id of a variant.

    >>> _name("left/7", 2, None), _name("left/7", 0, "val")
    ('left/7_v2', 'val/left/7')
    """
    name = f"{sample_id}_v{variant}" if variant else sample_id
    return name if split is None else f"{split}/{name}"


def _source_facts(source: DataSource, opened: Dataset) -> dict[str, Any]:
    return {
        "dataset": source.spec or opened.name,
        "format": source.options.get("format"),
        "split": source.options.get("split"),
    }


def _categories(opened: Dataset) -> Iterable[Mapping[str, Any]] | None:
    """Return the COCO categories of the source, so that ids stay; None where it has none."""
    inner = getattr(opened, "dataset", opened)
    categories = getattr(inner, "categories", None)
    return list(categories.values()) if isinstance(categories, Mapping) else None


def _identity(job: Job, opened: Dataset) -> dict[str, Any]:
    """Return what makes two syntheses the same one, as plain values."""
    ids = hashlib.sha256("\n".join(job.sample_ids).encode()).hexdigest()
    planned = json.dumps(job.planned, sort_keys=True)
    rows = None if job.rows is None else hashlib.sha256(json.dumps(job.rows, sort_keys=True).encode()).hexdigest()
    found: dict[str, Any] = json.loads(
        json.dumps(
            {
                "recipe": None if job.rows is not None else job.recipe.plain(),
                "replay": rows,
                **({} if job.planned is None else {"planned": hashlib.sha256(planned.encode()).hexdigest()}),
                "dataset": {
                    "name": opened.name,
                    "path": job.data.spec,
                    "options": dict(job.data.options),
                    "n_samples": len(job.sample_ids),
                    "sample_ids_sha256": ids,
                    "class_names": list(opened.class_names),
                },
                "format": job.format,
                "depth": job.depth,
                "files": {
                    "dataset": named_files(job.data.spec) if job.data.spec is not None else {},
                    "shifts": dict(shift_files(job.recipe.names())),
                    "depth": named_files(job.depth) if job.depth is not None else {},
                },
                "versions": dict(manifest.versions()),
                "roadproof": own_version(),
            }
        )
    )
    return found


def _finished(out: Path, identity: Mapping[str, Any]) -> Generated | None:
    """Return what is in `out` if it is this very set; raise where it is anything else, or stands inside another."""
    around = next((place for place in out.absolute().parents if (place / RECORD).is_file()), None)
    if around is not None:
        raise InputError(f"cannot write {out}: it is inside the synthesised data set {around}; choose another place")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    record_file = out / RECORD
    if not out.is_dir() or not record_file.is_file():
        raise InputError(f"cannot write {out}: it exists and is not an empty folder; choose another name")
    record = read_json(record_file)
    different = differences({key: record.get(key) for key in identity}, dict(identity))
    if different:
        raise InputError(
            f"{out} holds another synthesised data set: {'; '.join(different[:4])}; choose another name or remove it"
        )
    return Generated(
        path=out,
        format=record["format"],
        n_sources=record["dataset"]["n_samples"],
        made=record["made"],
        left_out=record["left_out"],
        examples=record["examples"],
        already_done=True,
    )


def _check_work(work: Path, identity: Mapping[str, Any]) -> bool:
    """Tell whether this job was begun in the work folder; raise where another was."""
    known = work / "job.json"
    if known.is_file():
        different = differences(read_json(known), dict(identity))
        if different:
            raise InputError(
                f"{work} holds the work of another synthesis that was stopped: {'; '.join(different[:4])}; "
                "give the same command to go on with it, or remove that folder"
            )
        return True
    if work.exists() and (not work.is_dir() or any(p.name != LOCK for p in work.iterdir())):
        raise InputError(f"{work}: is in the way (work in progress is kept there); move it or choose another name")
    return False


def _clear(work: Path) -> None:
    """Remove what a stopped synthesis left half-written."""
    for left in [*work.glob(f"parts/{TEMPORARY}*"), *work.glob("dataset*"), *work.glob(".*.tmp")]:
        shutil.rmtree(left, ignore_errors=True)
    (work / manifest.NAME).unlink(missing_ok=True)


def _final(error: BaseException) -> bool:
    """Tell whether the same command would fail again; a full disk or a lost process may be better next time."""
    return isinstance(error, InputError) and not isinstance(error.__cause__, OSError)


def _probe(job: Job, opened: Dataset) -> None:
    """Write the first readable frame alone: what the format cannot hold at all is told before the work, not after."""
    for sample_id in job.sample_ids[:5]:
        try:
            sample = opened[sample_id]
        except (InputError, OSError, ValueError):
            continue
        target = job.work / ".probe"
        sample, _ = fitting(replace(sample, scene=None, previous=None), job.format)
        try:
            write_dataset([sample], target, format=job.format, class_names=opened.class_names)
        except InputError as error:
            raise InputError(
                f"{error} (data set {opened.name!r} as {job.format}; another --format may hold it)"
            ) from error
        finally:
            shutil.rmtree(target, ignore_errors=True)
        return


def _executor(job: Job, workers: int | None) -> Executor:
    """Return worker processes where the data can travel to them and there is work for more than one."""
    if workers is not None and workers < 1:
        raise InputError(f"workers: expected at least 1, got {workers}")
    make = functools.partial(Worker, job)
    wanted = min(workers or usable_cores(), job.n_shards)
    if wanted == 1 or not job.data.travels():
        return InProcess(make)
    return Processes(make, wanted, shared=["synth.produce", "synth.loaded"])


def _lay_out(split: Path, target: Path, name: str) -> None:
    """Move a split of COCO to where its readers look: `images/NAME/` and `annotations/instances_NAME.json`."""
    for folder in ("images", "annotations"):
        (target / folder).mkdir(exist_ok=True)
    os.replace(split / "images", target / "images" / name)
    os.replace(split / "instances.json", target / "annotations" / f"instances_{name}.json")
    shutil.rmtree(split)


def _below(place: Path, target: Path) -> str:
    """Return the path below the new set of a file that a writer has put into its own temporary folder.

    That folder stands beside the one it will become: beside `dataset`, or beside a split of it (see `_lay_out`).
    """
    parts = place.relative_to(target.parent).parts
    if parts[0] != target.name:
        return "/".join(parts[1:])
    split = parts[1].removeprefix(".").rsplit(".", 2)[0]  # .train.xxxx.tmp
    return "/".join((parts[2], split, *parts[3:]))


__all__ = ["Generated", "Interrupted", "generate", "run"]
