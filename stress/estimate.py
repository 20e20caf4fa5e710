"""What a run would do and how long it would take, measured on its first frame: `roadproof stress --dry-run`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenes.errors import InputError
from scenes.sample import Dataset, Sample
from stress.environment import usable_cores
from stress.explain.fidelity import STEPS
from stress.explained import DEEP
from stress.job import Job, job_of
from stress.plan import CLEAN, Cell, Plan
from stress.worker import Worker

GRADIENT = 3  # predictions that a map of gradients is worth: forward, and backward at about twice that


@dataclass(frozen=True)
class CellEstimate:
    """One cell and the seconds that one of its pictures takes on one core; the reason where it is left out."""

    cell: Cell
    seconds: float
    left_out: str | None = None


@dataclass(frozen=True)
class Estimate:
    """The cells of a plan and the expected wall time, explanations and report left out."""

    cells: tuple[CellEstimate, ...]
    samples: int
    workers: int
    read_s: float
    predict_s: float
    explaining: int = 0  # predictions that explanations are worth, at most

    @property
    def explaining_s(self) -> float:
        """Greatest wall time of explanations."""
        return self.explaining * self.predict_s / self.workers

    @property
    def pictures(self) -> int:
        """How many pictures the model would see."""
        return self.samples * sum(cell.left_out is None for cell in self.cells)

    @property
    def seconds(self) -> float:
        """Expected wall time."""
        shifting = sum(cell.seconds for cell in self.cells if cell.left_out is None) * self.samples
        return (self.samples * self.read_s + shifting + self.pictures * self.predict_s) / self.workers


def dry_run(
    dataset: str | Path | Dataset,
    model: Any,
    plan: Plan | Mapping[str, Any] | str | Path | None = None,
    *,
    workers: int | None = None,
    **options: Any,
) -> Estimate:
    """Return the cells of a run and how long it would take; the arguments are those of `stress.run`, without `out`.

    One frame is read, shifted once by every shift (after a first time that does not count, when code is compiled), and
    shown to the model. Nothing is written.
    """
    job, _ = job_of(dataset, model, plan, Path("dry-run"), **options)
    worker = Worker(job)
    try:
        return _measure(job, worker, workers or usable_cores())
    finally:
        worker.close()


def _measure(job: Job, worker: Worker, workers: int) -> Estimate:
    left_out = worker.describe(0).left_out
    index, sample, read_s = _readable(job, worker)
    worker.predict([sample])
    start = time.perf_counter()
    worker.predict([sample] * job.plan.batch_size)
    predict_s = (time.perf_counter() - start) / job.plan.batch_size
    seconds = {CLEAN: 0.0}
    cells = []
    for cell in job.plan.cells():
        if cell.shift not in left_out and cell.shift not in seconds:
            seconds[cell.shift] = _shift_seconds(worker, index, sample, cell)
        cells.append(CellEstimate(cell, seconds.get(cell.shift, 0.0), left_out.get(cell.shift)))
    alone = job.model.spec is None or not job.data.travels()
    by_gradients = getattr(worker.model, "module", None) is not None
    explaining = _explaining(job.plan, by_gradients=by_gradients)
    return Estimate(tuple(cells), len(job.sample_ids), 1 if alone else workers, read_s, predict_s, explaining)


def _explaining(plan: Plan, *, by_gradients: bool) -> int:
    """Return how many predictions the explanations of a plan are worth, at most.

    The gallery has two maps a failure. Objects, which need gradients, have a map a cell, two where a pyramid's levels
    are brought together, and in the deep cells and the clean one the pictures of deletion and insertion.
    """
    wanted, explain = plan.dependability, plan.explain
    if explain.method == "none" or not explain.failures:
        return 0
    by_gradients = by_gradients and explain.method != "drise"
    total = 2 * explain.failures * (GRADIENT if by_gradients else explain.budget)
    if not (by_gradients and wanted.on):
        return total
    shown = 2 * STEPS * (1 + min(DEEP, wanted.cells)) + max(0, wanted.cells - DEEP)
    return total + wanted.objects * (2 * GRADIENT * (1 + wanted.cells) + shown)


def _readable(job: Job, worker: Worker) -> tuple[int, Sample, float]:
    for index, sample_id in enumerate(job.sample_ids):
        start = time.perf_counter()
        try:
            sample = worker.dataset[sample_id]
        except (InputError, OSError, ValueError):
            continue
        return index, sample, time.perf_counter() - start
    raise InputError(f"data set {worker.dataset.name!r}: none of its {len(job.sample_ids)} samples can be read")


def _shift_seconds(worker: Worker, index: int, sample: Sample, cell: Cell) -> float:
    worker.variant(index, sample, cell)
    start = time.perf_counter()
    worker.variant(index, sample, cell)
    return time.perf_counter() - start
