"""The same stress test for several models at once: every picture is made once and shown to all of them.

Each model has a run folder of its own, the same, to the digit, as `stress.run` would have filled it; a panel that was
stopped goes on with the same call.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Sample
from stress.compare import ComparedRun
from stress.environment import environment, usable_cores
from stress.execute import ByShard, Executor, InOrder, InProcess, Processes, Unit
from stress.folder import RunFolder, identity_key, write_json
from stress.job import Job, identity_of, job_of
from stress.parts import is_whole
from stress.plan import Cell, Plan
from stress.progress import Report
from stress.running import CELLS_PER_UNIT, complete
from stress.worker import Worker
from synth.pipeline import Shifted

Figures = dict[Cell, NDArray[np.float64]]  # (1 + B,) the headline metric of each cell under each resample
Found = tuple[dict[str, int], Figures]  # index of the group of each sample, and the figures


@dataclass(frozen=True)
class Seat:
    """One model of a panel and how its run is called."""

    label: str
    model: Any
    options: Mapping[str, Any]
    out: Path


class _Member(Worker):
    """A worker of one run that takes samples and shifted pictures from the one before it."""

    def __init__(self, job: Job, lead: _Member | None) -> None:
        super().__init__(job)
        self.lead = lead
        self.reads: dict[int, Any] = {}
        self.made: dict[tuple[int, Cell], Shifted | InputError] = {}

    def _read(self, index: int) -> Any:
        if self.lead is not None:
            return self.lead._read(index)
        if index not in self.reads:
            shard = index // self.job.plan.batch_size
            self.reads = {i: r for i, r in self.reads.items() if i // self.job.plan.batch_size == shard}
            self.reads[index] = super()._read(index)
        return self.reads[index]

    def variant(self, index: int, sample: Sample, cell: Cell) -> Shifted:
        if self.lead is not None:
            return self.lead.variant(index, sample, cell)
        if (index, cell) not in self.made:
            try:
                self.made[index, cell] = super().variant(index, sample, cell)
            except InputError as error:
                self.made[index, cell] = error
        found = self.made[index, cell]
        if isinstance(found, InputError):
            raise found
        return found


class Panel:
    """A worker process of a panel: does units of all its runs, and what is done with each when the parts are there."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        lead = _Member(jobs[0], None)
        self.members = [lead, *(_Member(job, lead) for job in jobs[1:])]

    def run(self, unit: Unit) -> int:
        """Do some cells of a shard for every model; return how many pictures were shown."""
        lead = self.members[0]
        for cell in unit.cells:
            for member in self.members:
                if not is_whole(member.folder.part(cell, unit.shard), key=member.job.key):
                    member.run(Unit(unit.shard, (cell,)))
            lead.made.clear()
        return len(unit.cells) * len(lead.job.shard(unit.shard))

    def finish(self, index: int) -> int:
        """Write tables and results of one run."""
        member = self.members[index]
        complete(member.job, member.dataset, InProcess(lambda: member))
        return index

    def figures(self, task: tuple[int, str, int]) -> tuple[int, Found]:
        """Return the draws of a metric in every cell of one run: all groups, the same resamples for every run."""
        index, metric, resamples = task
        return index, drawn(self.members[index].job.out, metric, resamples)

    def close(self) -> None:
        for member in self.members:
            member.close()


def drawn(path: Path, metric: str, resamples: int) -> Found:
    """Return groups and (1 + B,) draws of a metric over all classes in every cell of a finished run."""
    run = ComparedRun.open(path)
    order: dict[str, int] = {}
    groups = {sample: order.setdefault(group, len(order)) for sample, group in sorted(run.group_of.items())}
    found: Figures = {}
    for cell in run.cells:
        for f in run.scores(cell, groups, resamples).figures:
            if f.metric == metric and f.class_name is None and f.size is None and not f.aside:
                found[cell] = f.draws
    return groups, found


def stress_all(
    dataset: Any,
    seats: Sequence[Seat],
    plan: Plan,
    *,
    device: str = "auto",
    workers: int | None = None,
    report: Report,
    metric: str,
    resamples: int,
    **options: Any,
) -> list[Figures]:
    """Run the plan for every model, into its folder, and return the draws of `metric` for each in their order.

    options: format, split, strict, depth, classes as `stress.run` takes them
    """
    jobs = [_job(dataset, seat, plan, device=device, **options) for seat in seats]
    executor = _executor(jobs, workers)
    try:
        _make(jobs, executor, report)
        for done, _ in enumerate(executor.each("finish", InOrder(range(len(seats)))), 1):
            report("results", done, len(seats))
        found: dict[int, Found] = {}
        for index, figures in executor.each("figures", InOrder([(i, metric, resamples) for i in range(len(seats))])):
            found[index] = figures
            report("resamples", len(found), len(seats))
    except BaseException:
        executor.close(now=True)
        for job in jobs:
            RunFolder(job.out).clear_temporary()
        raise
    executor.close()
    for i, seat in enumerate(seats):
        if found[i][0] != found[0][0]:
            raise InputError(
                f"run {str(seat.out)!r} could score other samples than {str(seats[0].out)!r}: nothing is paired then; "
                "look at the samples that were left out in its report"
            )
    return [found[i][1] for i in range(len(seats))]


def _job(dataset: Any, seat: Seat, plan: Plan, **options: Any) -> Job:
    """Return the run of one model, its folder begun."""
    job, opened = job_of(dataset, seat.model, plan, seat.out, model_options=seat.options, **options)
    identity = identity_of(job, opened)
    job = replace(job, key=identity_key(identity))
    folder = RunFolder(job.out)
    folder.check(identity)
    folder.begin(identity)
    if not (folder.path / "environment.json").exists():
        write_json(folder.path / "environment.json", environment())
    return job


def _make(jobs: Sequence[Job], executor: Executor, report: Report) -> None:
    """Do the parts that are missing in any run."""
    todo = [job for job in jobs if not RunFolder(job.out).results.exists()]
    if not todo:
        return
    cells = jobs[0].plan.cells()
    missing = {
        shard: [
            cell
            for cell in cells
            if any(not is_whole(RunFolder(job.out).part(cell, shard), key=job.key) for job in todo)
        ]
        for shard in range(jobs[0].n_shards)
    }
    total = len(cells) * len(jobs[0].sample_ids)
    done = total - sum(len(left) * len(jobs[0].shard(shard)) for shard, left in missing.items())
    report("pictures", done, total)
    for shown in executor.each("run", ByShard(missing, cells=CELLS_PER_UNIT)):
        done += shown
        report("pictures", done, total)


def _executor(jobs: Sequence[Job], workers: int | None) -> Executor:
    make = functools.partial(Panel, jobs)
    wanted = min(workers or usable_cores(), jobs[0].n_shards)
    if wanted == 1 or any(job.model.spec is None for job in jobs) or not jobs[0].data.travels():
        return InProcess(make)
    return Processes(make, wanted, shared=["stress.training.panel", "torch", "torchvision"])
