"""`stress.run`: a data set, a model and a plan to a run folder that a report can be made of, and that resumes."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Dataset
from scenes.stopping import CleanStop
from stress.assemble import Facts, assemble
from stress.cells import CellSummary, CellTask, Skip, used_groups
from stress.environment import environment, usable_cores
from stress.evidence import gather_evidence
from stress.exclusion import Exclusion, decide
from stress.execute import ByShard, Executor, InOrder, InProcess, Processes
from stress.explained_results import gather_explained
from stress.folder import RunFolder, identity_key, read_json, write_json
from stress.job import Job, identity_of, job_of
from stress.metrics import SCORERS
from stress.parts import is_whole
from stress.plan import Cell, Plan
from stress.progress import Report, reporting
from stress.reference import ALEXNET, check_reference, read_reference
from stress.results import Results, read
from stress.summary import Figures, chosen_metrics, write_cells
from stress.tables import read_cell, table_writer
from stress.worker import Described, UnitDone, Worker

CELLS_PER_UNIT = 6
TORCH_PREFIXES = ("zoo", "torchvision", "timm", "hf", "trained")
REPLICAS_ON_A_GPU = 4  # processes that shift pictures while others predict; each holds the model


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run: what is done is kept, the message says how to go on."""


@dataclass(frozen=True)
class RunResult:
    """A finished run: its folder, what is in it, whether it was resumed, and how many samples were left out.

    already_done: all of it was there before, so that nothing was run
    """

    path: Path
    results: Results
    resumed: bool
    n_skipped: int
    already_done: bool = False


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
    if workers is not None and workers < 1:
        raise InputError(f"workers: expected at least 1, got {workers}")
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
    identity = identity_of(job, opened)
    job = replace(job, key=identity_key(identity))
    folder = RunFolder(job.out)
    job.plan.create_shifts()  # wrong options are told before anything is made
    if job.plan.reference not in (None, ALEXNET):
        read_reference(job.plan.reference)
    there_before = folder.path.exists()
    folder.check(identity)
    if folder.results.exists():
        return _already_done(folder)
    with CleanStop() as stop, folder.locked():
        resumed = folder.check(identity)  # again: another process may just have let go of it
        if folder.results.exists():
            return _already_done(folder)
        executor = _executor(job, workers)
        try:
            with reporting(progress) as report:
                state = _Run(job, folder, executor, opened, report, resumed=resumed, command=command, started=started)
                state.work(identity)
        except KeyboardInterrupt as error:
            stop.begin()
            executor.close(now=True)
            folder.clear_temporary()
            raise Interrupted(f"The same command resumes the run in {folder.path}.") from error
        except BaseException:
            executor.close(now=True)
            folder.clear_temporary()
            if not there_before:
                folder.remove_unless_used()
            raise
        executor.close()
    results = read(folder.path)
    return RunResult(folder.path, results, resumed=resumed, n_skipped=len(results.summary["skipped"]))


def complete(job: Job, dataset: Dataset, executor: Executor) -> None:
    """Bring a begun run to its end with workers of one's own, in silence; its parts may be there already."""
    identity = identity_of(job, dataset)
    job = replace(job, key=identity_key(identity))
    folder = RunFolder(job.out)
    if folder.results.exists():
        return
    with folder.locked(), reporting(False) as report:
        state = _Run(job, folder, executor, dataset, report, resumed=True, command=None, started=time.monotonic())
        state.work(identity)


def _already_done(folder: RunFolder) -> RunResult:
    results = read(folder.path)
    return RunResult(folder.path, results, True, len(results.summary["skipped"]), already_done=True)


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
        self._need_shifts(cells)
        metrics = chosen_metrics(
            self.job.plan.metrics, SCORERS[described.model["task"]].metrics, described.model["task"]
        )
        check_reference(self.job.plan.reference, cells, task=described.model["task"], metric=metrics[0].key)
        self.folder.begin(identity)  # data, model and plan are known to be good
        self._note_environment()
        self._make_parts(cells)
        exclusion = self._exclude(cells)
        cells = [cell for cell in cells if cell.shift not in exclusion.left_out]
        self._need_shifts(cells)
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
        explained = gather_explained(
            self.job,
            self.folder,
            self.executor,
            figures,
            exclusion.samples,
            self.groups,
            described.classes["evaluated"],
            described.model["task"],
            self.report,
        )
        self.executor.close()  # what is left is put together here: the workers' memory is free for it
        self.notes += gallery.notes
        facts = Facts(
            command=self.command,
            duration_s=time.monotonic() - self.started,
            cpu_s=self.cpu_s,
            workers=self.executor.workers,
            resumed=self.resumed,
            notes=self.notes,
        )
        results = assemble(self.job, self.dataset, described, figures, exclusion, gallery.entries, facts, explained)
        write_json(self.folder.results, results)

    def _need_shifts(self, cells: list[Cell]) -> None:
        """Raise where nothing but the clean cell is left."""
        if len(cells) < 2:
            raise InputError(
                f"no shift of the plan can be had on data set {self.dataset.name!r}: {' '.join(self.notes)}"
            )

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
        if found and self.job.strict:  # parts that were made before strict was asked for
            raise InputError(f"sample {found[0].sample_id!r}: {found[0].reason} (strict)")
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
        columns = ("sample_id", "params", "completed", "width", "height", "quantities", "objects")
        with table_writer(self.folder.path, self.group_names) as writer:
            for cell in cells:
                shards = range(self.job.n_shards)
                writer.add(cell, read_cell(self.folder, cell, shards, exclusion.samples, columns=columns))

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


def _executor(job: Job, workers: int | None) -> Executor:
    """Return worker processes where data and model can travel to them and there is work for more than one."""
    make = functools.partial(Worker, job)
    wanted = workers or (min(usable_cores(), REPLICAS_ON_A_GPU) if on_gpu(job.model.device) else usable_cores())
    units = job.n_shards * -(-len(job.plan.cells()) // CELLS_PER_UNIT)
    if min(wanted, units) == 1 or job.model.spec is None or not job.data.travels():
        return InProcess(make)
    # what is given by prefix is a torch model; a file of one's own may need no torch
    torch = ["torch", "torchvision"] if job.model.spec.split(":")[0] in TORCH_PREFIXES else []
    return Processes(make, min(wanted, units), shared=["stress.worker", *torch])


def on_gpu(device: str) -> bool:
    """Tell whether the model will sit on a GPU, without loading torch to ask."""
    return device.startswith("cuda") or (device == "auto" and Path("/dev/nvidia0").exists())


__all__ = ["Interrupted", "RunResult", "run"]
