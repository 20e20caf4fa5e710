"""`stress.run`: a data set, a model and a plan to a run folder that a report can be made of, and that resumes."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Dataset
from stress.cells import CellSummary, CellTask, Skip, used_groups
from stress.environment import environment, own_version, usable_cores
from stress.evidence import gather_evidence
from stress.exclusion import Exclusion, decide
from stress.execute import ByShard, Executor, InOrder, InProcess, Processes
from stress.folder import RunFolder, identity_key, read_json, write_json
from stress.job import DataSource, Job, ModelSource
from stress.metrics import SCORERS
from stress.metrics.robust import check_alexnet, corruption_error
from stress.parts import is_whole
from stress.plan import CLEAN, Cell, Plan
from stress.progress import Report, reporting
from stress.results import SCHEMA, Results, read
from stress.summary import Figures, chosen_metrics, write_cells
from stress.tables import read_cell, table_writer
from stress.worker import Described, UnitDone, Worker

CELLS_PER_UNIT = 6


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run: what is done is kept, the message says how to go on."""


@dataclass(frozen=True)
class RunResult:
    """A finished run: its folder, what is in it, whether it was resumed, and how many samples were left out."""

    path: Path
    results: Results
    resumed: bool
    n_skipped: int


def run(
    dataset: str | Path | Dataset,
    model: Any,
    plan: Plan | Mapping[str, Any] | str | Path | None = None,
    out: str | Path = "run",
    *,
    device: str = "auto",
    workers: int | None = None,
    progress: bool | Report | None = None,
    strict: bool = False,
    depth: str | None = None,
    classes: Mapping[str, str | None] | str | None = None,
    format: str | None = None,
    split: str | None = None,
    model_options: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> RunResult:
    """Stress a model: a grid of shifts x severities over a data set, into the run folder `out`.

    dataset: a path or name as `roadproof stress` takes it, or a `Dataset`
    model:   a text as `--model` takes it, or an object with name, task, class_names and predict(images); an object
             stays in this process, so only a text uses all cores
    plan:    a `Plan`, its keys, or a YAML file; every shift at every severity when not given
    workers: processes; one a core when not given. The results do not depend on it
    strict:  stop at the first sample that cannot be used, else leave it out and name it
    depth:   where depth comes from when the data has none (see synth.depth); classes: class mapping (see ClassMap)
    model_options: allow_download, trust, ... for `stress.adapters.load_model`

    The same call resumes a run that was stopped, to the same results; another plan in the same folder is an error.
    """
    started = time.monotonic()
    job, opened = job_of(
        dataset,
        model,
        plan,
        Path(out),
        device=device,
        strict=strict,
        depth=depth,
        classes=classes,
        format=format,
        split=split,
        model_options=model_options,
    )
    identity = _identity(job, opened)
    job = replace(job, key=identity_key(identity))
    folder = RunFolder(job.out)
    job.plan.create_shifts()  # wrong options are told before anything is made
    resumed = folder.check(identity)
    if folder.results.exists():
        results = read(folder.path)
        return RunResult(folder.path, results, resumed=True, n_skipped=len(results.summary["skipped"]))
    executor = _executor(job, workers)
    try:
        with reporting(progress) as report:
            state = _Run(job, folder, executor, opened, report, resumed=resumed, command=command, started=started)
            state.work(identity)
    except KeyboardInterrupt as error:
        executor.close(now=True)
        folder.clear_temporary()
        raise Interrupted(f"stopped; the same command resumes the run in {folder.path}") from error
    except BaseException:
        executor.close(now=True)
        folder.clear_temporary()
        raise
    executor.close()
    results = read(folder.path)
    return RunResult(folder.path, results, resumed=resumed, n_skipped=len(results.summary["skipped"]))


class _Run:
    """One run from its parts to results.json."""

    def __init__(
        self,
        job: Job,
        folder: RunFolder,
        executor: Executor,
        dataset: Dataset,
        report: Report,
        *,
        resumed: bool,
        command: str | None,
        started: float,
    ) -> None:
        self.job, self.folder, self.executor, self.dataset, self.report = job, folder, executor, dataset, report
        self.resumed, self.command, self.started = resumed, command, started
        self.cpu_s: dict[str, float] = {}
        self.notes: list[str] = [*getattr(dataset, "notes", ())]

    def work(self, identity: Mapping[str, Any]) -> None:
        described = self._describe()
        cells = [cell for cell in self.job.plan.cells() if cell.shift not in described.left_out]
        for name, reason in described.left_out.items():
            self.notes.append(f"{name} is left out: it {reason}, which this data set does not have.")
        metrics = chosen_metrics(
            self.job.plan.metrics, SCORERS[described.model["task"]].metrics, described.model["task"]
        )
        if self.job.plan.reference == "alexnet":
            check_alexnet(cells, described.model["task"])
        self.folder.begin(identity)  # data, model and plan are known to be good
        self._note_environment()
        self._make_parts(cells)
        exclusion = self._exclude(cells)
        cells = [cell for cell in cells if cell.shift not in exclusion.left_out]
        if len(cells) < 2:
            raise InputError(
                f"no shift of the plan can be had on data set {self.dataset.name!r}: {' '.join(self.notes)}"
            )
        summaries = self._summarise(cells, exclusion)
        self._write_tables(cells, exclusion)
        figures = Figures(
            cells=summaries,
            plan=self.job.plan,
            metrics=metrics,
            shifts=self.job.plan.create_shifts(),
            n_groups=used_groups(self.groups, exclusion.samples)[0],
        )
        write_cells(self.folder.path / "cells.parquet", figures)
        gallery = gather_evidence(
            self.job, self.folder, self.executor, cells, exclusion.samples, self.group_names, self.report
        )
        self.notes += gallery.notes
        write_json(self.folder.results, self._results(described, figures, exclusion, gallery.entries))

    @functools.cached_property
    def group_names(self) -> list[str]:
        """The group of each sample: its sequence where known, else itself."""
        known = self.dataset.groups
        return [known.get(sample_id, sample_id) for sample_id in self.job.sample_ids]

    @functools.cached_property
    def groups(self) -> NDArray[np.int64]:
        """(n samples,) index of each sample's group, in the order of first appearance."""
        order = {name: i for i, name in enumerate(dict.fromkeys(self.group_names))}
        return np.array([order[name] for name in self.group_names], np.int64)

    def _describe(self) -> Described:
        self.report("opening", 0, 1)
        self.executor.start("warm")
        (described,) = self.executor.each("describe", InOrder([0]))
        self.report("opening", 1, 1)
        found: Described = described
        return found

    def _make_parts(self, cells: list[Cell]) -> None:
        """Do what is not done yet."""
        missing = {
            shard: [cell for cell in cells if not is_whole(self.folder.part(cell, shard), key=self.job.key)]
            if self.resumed
            else cells
            for shard in range(self.job.n_shards)
        }
        total = len(cells) * len(self.job.sample_ids)
        done = total - sum(len(todo) * len(self.job.shard(shard)) for shard, todo in missing.items())
        self.report("pictures", done, total)
        for unit in self.executor.each("run", ByShard(missing, cells=CELLS_PER_UNIT)):
            finished: UnitDone = unit
            done += finished.pictures
            for stage, seconds in finished.cpu_s.items():
                self.cpu_s[stage] = self.cpu_s.get(stage, 0.0) + seconds
            self.report("pictures", done, total)

    def _exclude(self, cells: list[Cell]) -> Exclusion:
        found: list[Skip] = [skip for skips in self.executor.each("skips", InOrder(cells)) for skip in skips]
        exclusion = decide(found, n_samples=len(self.job.sample_ids))
        self.notes += exclusion.notes
        return exclusion

    def _summarise(self, cells: list[Cell], exclusion: Exclusion) -> dict[Cell, CellSummary]:
        plan = self.job.plan
        tasks = [
            CellTask(cell, self.job.n_shards, exclusion.samples, self.groups, plan.resamples, plan.seed)
            for cell in cells
        ]
        found: dict[Cell, CellSummary] = {}
        self.report("figures", 0, len(cells))
        for summary in self.executor.each("summary", InOrder(tasks)):
            found[summary.cell] = summary
            self.report("figures", len(found), len(cells))
        return {cell: found[cell] for cell in cells}

    def _write_tables(self, cells: Iterable[Cell], exclusion: Exclusion) -> None:
        columns = ("sample_id", "params", "completed", "quantities", "objects")
        with table_writer(self.folder.path, self.group_names) as writer:
            for cell in cells:
                writer.add(cell, read_cell(self.folder, cell, self.job.n_shards, exclusion.samples, columns=columns))

    def _note_environment(self) -> None:
        """Write environment.json, or say where it differs from the one that the run was begun in."""
        path = self.folder.path / "environment.json"
        here = environment()
        if path.exists():
            before = read_json(path)
            if before != here:
                self.notes.append("The run was resumed in another environment than it was begun in.")
            return
        write_json(path, here)

    def _results(
        self, described: Described, figures: Figures, exclusion: Exclusion, gallery: list[dict[str, Any]]
    ) -> dict[str, Any]:
        plan, clean = self.job.plan, figures.cells[Cell(CLEAN, 0.0)]
        return {
            "schema": SCHEMA,
            "roadproof": own_version(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "run": {
                "command": self.command or _call(self.job),
                "seed": plan.seed,
                "scale": plan.scale,
                "duration_s": round(time.monotonic() - self.started, 2),
                "cpu_s": {stage: round(seconds, 2) for stage, seconds in self.cpu_s.items()},
                "workers": self.executor.workers,
                "resumed": self.resumed,
                "path": str(self.folder.path),
            },
            "dataset": {
                "name": self.dataset.name,
                "format": str(getattr(self.dataset, "format", type(self.dataset).__name__)),
                "path": self.job.data.spec or self.dataset.name,
                "splits": list(getattr(self.dataset, "splits", ())),
                "n_samples": clean.n_samples,
                "n_groups": figures.n_groups,
                "n_objects": sum(clean.audit[kind] for kind in ("kept", "modified", "occluded", "invalid")),
                "class_names": list(self.dataset.class_names),
            },
            "model": dict(described.model),
            "classes": dict(described.classes),
            "plan": plan.plain(),
            "severities": sorted({_number(cell.severity) for cell in figures.cells if cell.shift != CLEAN}),
            "shifts": figures.described_shifts(),
            "metrics": figures.known_metrics(),
            **figures.robustness(),
            "mce": self._mce(figures),
            "figures": figures.listed(),
            "curves": figures.curves(),
            "confusion": figures.confusion(),
            "audit": figures.audit(),
            "gallery": gallery,
            "skipped": exclusion.listed(),
            "environment": read_json(self.folder.path / "environment.json"),
            "notes": list(dict.fromkeys([*figures.notes(), *self.notes])),
        }

    def _mce(self, figures: Figures) -> dict[str, Any] | None:
        """Return mCE against the plan's reference, None where it names none."""
        named, grid = self.job.plan.reference, figures.grid()
        if named is None or grid is None:
            return None
        reference = None if named == "alexnet" else _errors_of(named, figures.headline)
        total, by_shift = corruption_error(grid, reference)
        per_shift = [{"shift": name, "ce": figures.figure(draws)} for name, draws in by_shift.items()]
        return {"reference": named, "figure": figures.figure(total), "per_shift": per_shift}


def _errors_of(run_dir: str, metric: str) -> dict[Cell, float]:
    """Return 1 - headline figure of each cell of another run."""
    other = read(run_dir)
    return {
        Cell(f["shift"], float(f["severity"])): 1.0 - f["value"]
        for f in other.summary["figures"]
        if f["metric"] == metric and f["class_name"] is None and f["size"] is None and f["value"] is not None
    }


def job_of(
    dataset: str | Path | Dataset,
    model: Any,
    plan: Plan | Mapping[str, Any] | str | Path | None,
    out: Path,
    *,
    device: str = "auto",
    strict: bool = False,
    depth: str | None = None,
    classes: Mapping[str, str | None] | str | None = None,
    format: str | None = None,
    split: str | None = None,
    model_options: Mapping[str, Any] | None = None,
) -> tuple[Job, Dataset]:
    """Return a run as plain values, and its data set opened; arguments as in `run`. Nothing is written."""
    source = _data_source(dataset, {"format": format, "split": split})
    text = isinstance(model, str | Path)
    options = dict(model_options or {})
    model_source = ModelSource(str(model) if text else None, None if text else model, device, options)
    opened = source.open(_plan(plan).limit)
    return _job(source, model_source, _plan(plan), out, opened, depth=depth, classes=classes, strict=strict), opened


def _plan(plan: Plan | Mapping[str, Any] | str | Path | None) -> Plan:
    if isinstance(plan, Plan):
        return plan
    if plan is None:
        return Plan()
    return Plan.make(plan) if isinstance(plan, Mapping) else Plan.from_yaml(Path(plan))


def _data_source(dataset: str | Path | Dataset, options: Mapping[str, Any]) -> DataSource:
    given = {key: value for key, value in options.items() if value is not None}
    if isinstance(dataset, str | Path):
        return DataSource(spec=str(dataset), options=given)
    if given:
        raise InputError(f"data set {dataset.name!r}: an opened data set takes no {' or '.join(given)}")
    return DataSource(instance=dataset)


def _job(
    data: DataSource,
    model: ModelSource,
    plan: Plan,
    out: Path,
    opened: Dataset,
    *,
    depth: str | None,
    classes: Mapping[str, str | None] | str | None,
    strict: bool,
) -> Job:
    ids = tuple(opened.sample_ids)
    twice = len(ids) - len(set(ids))
    if twice:
        raise InputError(f"data set {opened.name!r}: {twice} sample names appear twice; every sample needs its own")
    return Job(data, model, plan, out, ids, key="", depth=depth, classes=classes, strict=strict)


def _identity(job: Job, dataset: Dataset) -> dict[str, Any]:
    """Return what makes two runs the same one, as plain values for plan.json."""
    ids = hashlib.sha256("\n".join(job.sample_ids).encode()).hexdigest()
    instance = job.model.instance
    classes = job.classes if not isinstance(job.classes, str) else Path(job.classes).read_text(encoding="utf-8")
    return json.loads(
        json.dumps(
            {
                "plan": job.plan.plain(),
                "dataset": {
                    "name": dataset.name,
                    "path": job.data.spec,
                    "options": dict(job.data.options),
                    "n_samples": len(job.sample_ids),
                    "sample_ids_sha256": ids,
                    "class_names": list(dataset.class_names),
                },
                "model": {
                    "source": job.model.label,
                    "name": getattr(instance, "name", None),
                    "sha256": job.model.digest(),
                },
                "depth": job.depth,
                "classes": classes,
            }
        )
    )


def _executor(job: Job, workers: int | None) -> Executor:
    """Return worker processes where data and model can travel to them and there is work for more than one."""
    if workers is not None and workers < 1:
        raise InputError(f"workers: expected at least 1, got {workers}")
    make = functools.partial(Worker, job)
    wanted = usable_cores() if workers is None else workers
    units = job.n_shards * -(-len(job.plan.cells()) // CELLS_PER_UNIT)
    if min(wanted, units) == 1 or job.model.spec is None or not job.data.travels():
        return InProcess(make)
    return Processes(make, min(wanted, units))


def _call(job: Job) -> str:
    """Return the Python call of a run that no command line started."""
    data = repr(job.data.spec) if job.data.spec is not None else "dataset"
    model = repr(job.model.spec) if job.model.spec is not None else "model"
    return f"stress.run({data}, {model}, plan, {str(job.out)!r})"


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)


__all__ = ["Interrupted", "RunResult", "run"]
