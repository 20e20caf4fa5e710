"""The explanations block of results.json: what attention does in a few cells, and whether it goes with the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from scenes.sample import Task
from stress.execute import Executor, InOrder
from stress.explained import CLEAN_CELL, ExplainedTask, chosen_cells, chosen_objects
from stress.folder import RunFolder
from stress.job import Job
from stress.metrics.calibration import group_mean
from stress.plan import CLEAN, Cell
from stress.progress import Report
from stress.statistics import FEWEST_GROUPS, figure, group_weights
from stress.summary import Figures, number, plain

KEPT = ("class_name", "instance_id", "layer", "score", "energy", "pointing", "deletion", "insertion")
Row = Mapping[str, Any]


def gather_explained(
    job: Job,
    folder: RunFolder,
    executor: Executor,
    figures: Figures,
    excluded: frozenset[int],
    groups: NDArray[np.int64],
    names: Sequence[str],
    task: Task,
    report: Report,
) -> list[dict[str, Any]] | None:
    """Explain the chosen objects in the chosen cells; None where the plan wants no explanations, or only by masks."""
    wanted, explain = job.plan.dependability, job.plan.explain
    if not (wanted.on and wanted.objects and explain.failures) or explain.method in ("none", "drise"):
        return None
    grid = figures.grid()
    clean = 0.0 if grid is None else float(grid.clean[0])
    lost = {} if grid is None or not clean > 0 else {c: 1.0 - float(d[0]) / clean for c, d in grid.draws.items()}
    families = {name: shift.family for name, shift in figures.shifts.items()}
    cells = tuple(chosen_cells(list(figures.cells), lost, families, wanted.cells))
    chosen = chosen_objects(task, folder, job.n_shards, excluded, groups, names, n=wanted.objects, seed=job.plan.seed)
    tasks = [ExplainedTask(index, group, name, number_, cells) for index, group, name, number_ in chosen]
    rows: list[dict[str, Any]] = []
    report("explanations", 0, len(tasks))
    for done, made in enumerate(executor.each("explained", InOrder(tasks)), start=1):
        rows += made
        report("explanations", done, len(tasks))
    order = {cell: i for i, cell in enumerate((CLEAN_CELL, *cells))}
    key = {(t.index, t.class_name, t.instance_id): i for i, t in enumerate(tasks)}
    rows.sort(key=lambda r: (0, 0) if "reason" in r else (
        key[r["index"], r["class_name"], r["instance_id"]], order[Cell(r["shift"], r["severity"])]
    ))  # fmt: skip
    return rows


def explained_block(
    rows: Sequence[Row] | None, figures: Figures, sample_ids: Sequence[str], resamples: int, seed: int
) -> dict[str, Any] | None:
    """Return explanations of a run, None where there are none."""
    if rows is None:
        return None
    reasons = sorted({str(row["reason"]) for row in rows if "reason" in row})  # in whatever order workers were done
    known = [row for row in rows if "reason" not in row]
    notes = [f"Some objects are not explained: {'; '.join(reasons)}."] if reasons else []
    if not known:
        return {"method": None, "cells": [], "objects": [], "correlation": None, "notes": notes or [NOTHING]}
    pairs = _pairs(known)
    by_cell: dict[tuple[str, float], list[Row]] = {}
    for pair in pairs:
        by_cell.setdefault((pair["shift"], pair["severity"]), []).append(pair)
    lost = _lost(figures)
    return {
        "method": known[0]["method"],
        "cells": [
            {
                "shift": shift,
                "severity": number(severity),
                "lost": lost.get(Cell(shift, severity)),
                **_cell(mine, resamples, seed),
            }
            for (shift, severity), mine in by_cell.items()
        ],
        "correlation": _correlation(pairs, resamples, seed),
        "objects": [
            {
                "sample_id": sample_ids[row["index"]],
                "shift": row["shift"],
                "severity": number(row["severity"]),
                **{name: _round(row[name]) for name in KEPT},
            }
            for row in known
        ],
        "notes": notes,
    }


NOTHING = "No object is right on clean frames, so none is explained."


def _pairs(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return each object in each shifted cell beside itself on the clean frame."""
    clean = {(r["index"], r["class_name"], r["instance_id"]): r for r in rows if r["shift"] == CLEAN}
    pairs = []
    for row in rows:
        before = clean.get((row["index"], row["class_name"], row["instance_id"]))
        if row["shift"] == CLEAN or before is None:
            continue
        same = row["layer"] == before["layer"] and None not in (row["energy"], before["energy"])
        pairs.append({
            "shift": row["shift"], "severity": row["severity"], "group": row["group"],
            "loss": before["score"] - row["score"], "drift": row["energy"] - before["energy"] if same else None,
            **{f"{name}_clean": before[name] for name in ("energy", "pointing", "deletion", "insertion")},
            **{name: row[name] for name in ("energy", "pointing", "deletion", "insertion")},
        })  # fmt: skip
    return pairs


def _cell(pairs: Sequence[Row], resamples: int, seed: int) -> dict[str, Any]:
    """Return the means of one cell with their intervals over groups."""
    keys = ["loss", "drift", *(n + w for n in ("energy", "pointing", "deletion", "insertion") for w in ("_clean", ""))]
    return {"n": len(pairs), **{key: _mean(pairs, key, resamples, seed) for key in keys}}


def _mean(pairs: Sequence[Row], key: str, resamples: int, seed: int) -> dict[str, Any]:
    there = [pair for pair in pairs if pair[key] is not None]
    groups = {group: i for i, group in enumerate(sorted({pair["group"] for pair in there}))}
    values = np.array([float(pair[key]) for pair in there])
    group = np.array([groups[pair["group"]] for pair in there], np.int64)
    if not there:
        return plain(figure(np.full(2, np.nan), 0))
    draws = group_mean(values, group, len(groups), group_weights(len(groups), resamples, seed=seed))
    return plain(figure(draws, len(groups), share=key not in ("loss", "drift")))


def _correlation(pairs: Sequence[Row], resamples: int, seed: int) -> dict[str, Any]:
    """Return Spearman's rank correlation of score loss and drift over objects and cells."""
    there = [pair for pair in pairs if pair["drift"] is not None]
    groups = {group: i for i, group in enumerate(sorted({pair["group"] for pair in there}))}
    if len(groups) < FEWEST_GROUPS:
        return plain(figure(np.full(2, np.nan), len(groups)))
    group = np.array([groups[pair["group"]] for pair in there])
    x, y = (np.array([float(pair[key]) for pair in there]) for key in ("loss", "drift"))
    weights = group_weights(len(groups), resamples, seed=seed)
    return plain(figure(np.array([_spearman(x, y, w[group]) for w in weights]), len(groups), share=False))


def _spearman(x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[Any]) -> float:
    rows = np.repeat(np.arange(len(x)), weight)
    a, b = rankdata(x[rows]), rankdata(y[rows])
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else float("nan")


def _lost(figures: Figures) -> dict[Cell, float]:
    """Return what each cell loses of the clean headline score, as a share of it."""
    grid = figures.grid()
    if grid is None or not grid.clean[0] > 0:
        return {}
    shares = {cell: 1.0 - float(draws[0]) / float(grid.clean[0]) for cell, draws in grid.draws.items()}
    return {cell: round(share, 4) for cell, share in shares.items() if np.isfinite(share)}


def _round(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
