"""From the parts of a cell to its figures: a pure task of one cell, run by the same workers."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stress.dependability import CellDependability, Judge
from stress.folder import RunFolder
from stress.metrics import Scorer
from stress.metrics.scored import CellScores
from stress.plan import CLEAN, Cell
from stress.statistics import group_weights
from stress.tables import audit_counts, completions, payload, read_cell

SKIP_COLUMNS = ("sample_id", "skipped", "skipped_at")


@dataclass(frozen=True)
class Skip:
    """A sample that a cell could not score, and why."""

    cell: Cell
    index: int
    sample_id: str
    at: str
    reason: str


@dataclass(frozen=True, eq=False)
class CellTask:
    """What the figures of a cell depend on beside its parts. groups: (n samples,) index of each sample's group."""

    cell: Cell
    n_shards: int
    excluded: frozenset[int]
    groups: NDArray[np.int64]
    resamples: int
    seed: int


@dataclass(frozen=True, eq=False)
class CellSummary:
    """Figures of one cell, verdicts of its audit, and what had to be completed."""

    cell: Cell
    scores: CellScores
    audit: dict[str, int]
    completed: dict[str, set[str]] = field(default_factory=dict)
    n_samples: int = 0
    dependability: CellDependability | None = None


def skips_of(folder: RunFolder, cell: Cell, n_shards: int) -> list[Skip]:
    """Return the samples that a cell could not score."""
    table = read_cell(folder, cell, range(n_shards), frozenset(), columns=SKIP_COLUMNS)
    rows = table.filter(table.column("skipped").is_valid()).to_pylist()
    return [Skip(cell, r["index"], r["sample_id"], r["skipped_at"], r["skipped"]) for r in rows]


def summarise(folder: RunFolder, scorer: Scorer, task: CellTask, judge: Judge | None = None) -> CellSummary:
    """Return the figures of one cell; with a judge those of its dependability too."""
    shards = range(task.n_shards)
    table = read_cell(folder, task.cell, shards, task.excluded)
    kept, renumbered = used_groups(task.groups, task.excluded)
    weights = group_weights(kept, task.resamples, seed=task.seed)
    dependability = None
    if judge is not None:
        clean = functools.partial(read_cell, folder, Cell(CLEAN, 0.0), shards, task.excluded)
        dependability = judge.cell(table, clean, renumbered, weights, is_clean=task.cell.shift == CLEAN)
    return CellSummary(
        cell=task.cell,
        scores=scorer.cell(payload(table, scorer, renumbered), weights),
        audit=audit_counts(table),
        completed=completions(table),
        n_samples=table.num_rows,
        dependability=dependability,
    )


def used_groups(groups: NDArray[np.int64], excluded: frozenset[int]) -> tuple[int, NDArray[np.int64]]:
    """Return how many groups are left, and (n samples,) their new indices; those of excluded samples mean nothing."""
    left = np.ones(len(groups), np.bool_)
    left[list(excluded)] = False
    known = np.unique(groups[left])
    return len(known), np.minimum(np.searchsorted(known, groups), max(len(known) - 1, 0)).astype(np.int64)
