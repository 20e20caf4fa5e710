"""The calibration block of results.json: figures of every cell, of families and overall, and the reliability bins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scenes.sample import Task
from stress.cells import CellSummary
from stress.dependability import CellDependability, Halves, metrics_of
from stress.metrics.robust import Grid
from stress.plan import CLEAN, Cell
from stress.statistics import Draws, figure
from stress.summary import number, plain

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
    """Return the grid of each figure, before or after scaling, or over all groups."""
    by_metric: dict[str, dict[Cell, Draws]] = {}
    for cell, d in found.items():
        for f in d.calibration:
            if f.temperature == when:
                by_metric.setdefault(f.metric, {})[cell] = f.draws
    return {metric: Grid(draws, families) for metric, draws in by_metric.items()}


def _overall(grids: Mapping[str, Grid], when: str | None, n_groups: int, halves: Halves) -> Iterator[dict[str, Any]]:
    n = n_groups if when is None else halves.n_test
    for metric, grid in grids.items():
        clean, shifted = _plain(grid.clean, n), _plain(grid.overall(), n)
        gap = _plain(grid.overall() - grid.clean, n)
        yield {"metric": metric, "temperature": when, "clean": clean, "shifted": shifted, "difference": gap}


def _figures(found: Mapping[Cell, CellDependability], n_groups: int, halves: Halves) -> Iterator[dict[str, Any]]:
    """Yield every figure of every cell with its paired difference to the clean one."""
    clean = {(f.metric, f.temperature): f.draws for f in found[CLEAN_CELL].calibration}
    for cell, d in found.items():
        for f in d.calibration:
            n = n_groups if f.temperature is None else halves.n_test
            base = clean.get((f.metric, f.temperature))
            gap = {"value": None, "low": None, "high": None} if base is None else _plain(f.draws - base, n)
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


def _plain(draws: Draws, n_groups: int) -> dict[str, Any]:
    return plain(figure(draws, n_groups))
