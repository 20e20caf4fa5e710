"""Blocks of results.json: calibration and detection of the unknown, of every cell, of families and overall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scenes.sample import Task
from stress.cells import CellSummary
from stress.dependability import CellDependability, Halves, metrics_of
from stress.metrics import separation
from stress.metrics.robust import Grid
from stress.plan import CLEAN, Cell
from stress.statistics import Draws, figure
from stress.summary import number, plain
from stress.unknown import DESCRIPTIONS, FEWEST_TO_FIT, UnknownFigure

CLEAN_CELL = Cell(CLEAN, 0.0)
WHENS = (None, "before", "after")


def calibration_block(
    cells: Mapping[Cell, CellSummary], task: Task, families: Mapping[str, str], n_groups: int, seed: int
) -> dict[str, Any] | None:
    """Return calibration of a run, None where its model says nothing that could be calibrated.

    families: of each shift
    """
    found = {cell: s.dependability for cell, s in cells.items() if s.dependability is not None}
    if CLEAN_CELL not in found or not any(d.calibration for d in found.values()):
        return None
    halves = Halves.of(n_groups, seed)
    known = metrics_of(task)
    there = {f.metric for d in found.values() for f in d.calibration}
    whole = _grids(found, families, None)
    return {
        "metrics": {
            key: {"label": m.label, "unit": m.unit, "higher_is_better": False, "description": m.description}
            for key, m in known.items()
            if key in there
        },
        "temperature": found[CLEAN_CELL].temperature,
        "n_fitted": int(halves.fit.sum()),
        "n_judged": halves.n_test,
        "overall": [row for when in WHENS for row in _overall(_grids(found, families, when), when, n_groups, halves)],
        "families": [
            {"family": family, "metric": metric, **_plain(grid.of_family(family), n_groups)}
            for metric, grid in whole.items()
            for family in sorted({families[shift] for shift in grid.severities})
        ],
        "figures": list(_figures(found, n_groups, halves)),
        "reliability": [
            {"shift": cell.shift, "severity": number(cell.severity), **bins}
            for cell, d in found.items()
            for bins in d.reliability
        ],
    }


def _grids(found: Mapping[Cell, CellDependability], families: Mapping[str, str], when: str | None) -> dict[str, Grid]:
    """Return the grid of each figure, before or after scaling, or over all groups; NaN in cells that do not have it."""
    by_metric: dict[str, dict[Cell, Draws]] = {}
    for cell, d in found.items():
        for f in d.calibration:
            if f.temperature == when:
                by_metric.setdefault(f.metric, {})[cell] = f.draws
    grids = {}
    for metric, draws in by_metric.items():
        nothing = np.full(len(next(iter(draws.values()))), np.nan)
        grids[metric] = Grid({cell: draws.get(cell, nothing) for cell in found}, families)
    return grids


def _overall(grids: Mapping[str, Grid], when: str | None, n_groups: int, halves: Halves) -> Iterator[dict[str, Any]]:
    n = n_groups if when is None else halves.n_test
    for metric, grid in grids.items():
        clean, shifted = _plain(grid.clean, n), _plain(grid.overall(), n)
        gap = _plain(grid.overall() - grid.clean, n)
        cells = {"cells": _with_value(grid), "of_cells": len(grid.draws)}
        yield {"metric": metric, "temperature": when, "clean": clean, "shifted": shifted, "difference": gap, **cells}


def _figures(found: Mapping[Cell, CellDependability], n_groups: int, halves: Halves) -> Iterator[dict[str, Any]]:
    """Yield every figure of every cell with its paired difference to the clean one."""
    clean = {(f.metric, f.temperature): f.draws for f in found[CLEAN_CELL].calibration}
    for cell, d in found.items():
        for f in d.calibration:
            n = n_groups if f.temperature is None else halves.n_test
            base = clean.get((f.metric, f.temperature))
            gap = {"value": None, "low": None, "high": None} if base is None else _plain(f.draws - base, n, share=False)
            yield {
                "shift": cell.shift,
                "severity": number(cell.severity),
                "metric": f.metric,
                "temperature": f.temperature,
                **_plain(f.draws, n),
                "delta": gap["value"],
                "delta_low": gap["low"],
                "delta_high": gap["high"],
            }


def _plain(draws: Draws, n_groups: int, *, share: bool | None = None) -> dict[str, Any]:
    return plain(figure(draws, n_groups, share=share))


def unknown_block(
    cells: Mapping[Cell, CellSummary], task: Task, families: Mapping[str, str], n_groups: int, seed: int
) -> dict[str, Any] | None:
    """Return detection of the unknown of a run: every score and question in every cell, by family, and overall."""
    found = {cell: s.dependability.unknown for cell, s in cells.items() if s.dependability is not None}
    if not any(found.values()):
        return None
    halves = Halves.of(n_groups, seed)
    n = halves.n_test if halves.usable else n_groups
    grids = _unknown_grids(found, families)
    names = list(dict.fromkeys(key[0] for key in grids))
    groups: dict[tuple[str, str, str], int] = {}  # the fewest that any cell has
    for f in (f for figures in found.values() for f in figures):
        key = (f.score, f.question, f.unit)
        groups[key] = min(f.groups, groups.get(key, f.groups))
    return {
        "scores": {name: dict(zip(("label", "description"), DESCRIPTIONS[name], strict=True)) for name in names},
        "metrics": {
            key: {"label": m.label, "higher_is_better": m.higher_is_better, "description": m.description}
            for key, m in separation.METRICS.items()
        },
        "n_fitted": int(halves.fit.sum()) if halves.usable else 0,
        "n_judged": n,
        "notes": _notes(names, halves, n_groups, task),
        "overall": [
            {**_named(key), "metric": key[3], **_plain(grid.overall(), groups[key[:3]]), "cells": _with_value(grid)}
            for key, grid in grids.items()
        ],
        "families": [
            {"family": family, **_named(key), "metric": key[3], **_plain(grid.of_family(family), groups[key[:3]])}
            for key, grid in grids.items()
            for family in sorted({families[shift] for shift in grid.severities})
        ],
        "figures": [
            {
                "shift": cell.shift,
                "severity": number(cell.severity),
                **_named((f.score, f.question, f.unit, "")),
                "positives": f.positives,
                "negatives": f.negatives,
                **{key: _plain(draws.astype(np.float64), f.groups) for key, draws in f.draws.items()},
            }
            for cell, figures in found.items()
            for f in figures
        ],
    }


def _notes(names: Sequence[str], halves: Halves, n_groups: int, task: Task) -> list[str]:
    """Say why scores are not there."""
    notes = []
    if "msp" in names and "odin" not in names and task == "classification":
        notes.append(
            "ODIN is left out: it costs gradients, on so few pictures too many; 'dependability: {odin: 32}' asks."
        )
    if "knn" in names:
        return notes
    if not halves.usable:
        return [*notes, f"Scores of embeddings are left out: {n_groups} groups are too few to fit on one half of them."]
    return [
        *notes,
        "Scores of embeddings are left out: the model gives no embedding (no torch layer to read and no method embed), "
        f"or fewer than {FEWEST_TO_FIT} clean frames to fit on have one.",
    ]


def _with_value(grid: Grid) -> int:
    """Return in how many shifted cells a figure is known; means are over these."""
    return sum(not np.isnan(draws[0]) for draws in grid.draws.values())


def dependability_notes(cells: Mapping[Cell, CellSummary]) -> list[str]:
    """Return what a reader must know of figures that are not there."""
    found = [s.dependability for s in cells.values() if s.dependability is not None]
    return list(dict.fromkeys(note for d in found for note in d.notes))


UnknownKey = tuple[str, str, str, str]  # score, question, unit, metric


def _named(key: UnknownKey) -> dict[str, str]:
    return {"score": key[0], "question": key[1], "unit": key[2]}


def _unknown_grids(
    found: Mapping[Cell, Sequence[UnknownFigure]], families: Mapping[str, str]
) -> dict[UnknownKey, Grid]:
    """Return the grid over shifted cells of each score, question and metric; cells without a value count nowhere."""
    by_key: dict[UnknownKey, dict[Cell, Draws]] = {}
    nothing: Draws | None = None
    for cell, figures in found.items():
        for f in figures:
            for metric, draws in f.draws.items():
                nothing = np.full(len(draws), np.nan) if nothing is None else nothing
                by_key.setdefault((f.score, f.question, f.unit, metric), {})[cell] = draws.astype(np.float64)
    return {
        key: Grid({CLEAN_CELL: nothing, **draws}, families)
        for key, draws in by_key.items()
        if nothing is not None and any(cell.shift != CLEAN for cell in draws)
    }
