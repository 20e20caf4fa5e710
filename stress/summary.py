"""results.json of a run from the figures of its cells; see docs/run-folder.md for every key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from scenes.errors import InputError, did_you_mean
from stress.cells import CellSummary
from stress.metrics.robust import Grid
from stress.metrics.scored import Metric, SetFigure
from stress.parts import write_table
from stress.plan import CLEAN, Cell, Plan
from stress.statistics import FEWEST_GROUPS, Draws, Figure, figure
from synth.chain import AnyShift
from synth.shift import SeverityTable

CLEAN_CELL = Cell(CLEAN, 0.0)
DIGITS = 6
SHARES = frozenset(("accuracy", "top5", "pixel_accuracy", "precision", "recall"))  # of things that are counted
Key = tuple[str, str | None, str | None, bool]  # metric, class, size, set aside
CELLS = pa.schema(
    [
        ("shift", pa.string()),
        ("severity", pa.float32()),
        ("metric", pa.string()),
        ("class_name", pa.string()),
        ("size", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int32()),
    ]
)


@dataclass(frozen=True, eq=False)
class Figures:
    """Figures of all cells. `headline` is the metric that robustness is told in."""

    cells: Mapping[Cell, CellSummary]
    plan: Plan
    metrics: Sequence[Metric]
    shifts: Mapping[str, AnyShift]
    n_groups: int

    @property
    def headline(self) -> str:
        return self.metrics[0].key

    def grid(self, *, aside: bool = False) -> Grid | None:
        """Return the headline figure of every cell; None where a task has nothing to set aside."""
        wanted: Key = (self.headline, None, None, aside)
        draws = {cell: _find(summary.scores.figures, wanted) for cell, summary in self.cells.items()}
        if any(value is None for value in draws.values()):
            return None
        families = {name: shift.family for name, shift in self.shifts.items()}
        return Grid({cell: value for cell, value in draws.items() if value is not None}, families)

    def figure(self, draws: Draws, *, share: bool | None = None) -> dict[str, Any]:
        """Return value, interval and n of one figure, as plain values."""
        return plain(figure(draws, self.n_groups, share=share))

    def known_metrics(self) -> dict[str, dict[str, Any]]:
        """Return what is to be said of each metric that this run has."""
        there = {f.metric for summary in self.cells.values() for f in summary.scores.figures}
        return {
            m.key: {
                "label": m.label,
                "unit": m.unit,
                "higher_is_better": m.higher_is_better,
                "description": m.description,
            }
            for m in self.metrics
            if m.key in there
        }

    def robustness(self) -> dict[str, Any]:
        """Return headline, families and per_shift."""
        grid, aside = self.grid(), self.grid(aside=True)
        if grid is None:
            raise InputError(f"plan: metrics: {self.headline!r} has no value here: the data set has nothing to score")
        families = sorted({shift.family for name, shift in self.shifts.items() if name in grid.severities})
        return {
            "headline": {
                "metric": self.headline,
                **self._three(grid),
                "valid_only": None if aside is None else self._three(aside),
            },
            "families": _weakest_first([self._family(grid, family) for family in families]),
            "per_shift": _weakest_first([self._shift(grid, name) for name in grid.severities]),
        }

    def _three(self, grid: Grid) -> dict[str, Any]:
        overall = grid.overall()
        parts = {"clean": grid.clean, "mpc": overall, "rpc": grid.relative(overall)}
        return {key: self.figure(draws) for key, draws in parts.items()}

    def _family(self, grid: Grid, family: str) -> dict[str, Any]:
        mpc = grid.of_family(family)
        shifts = [name for name in grid.severities if grid.families[name] == family]
        relative = self.figure(grid.relative(mpc))
        return {"family": family, "mpc": self.figure(mpc), "rpc": relative, "breaks_at": grid.breaks_at(shifts)}

    def _shift(self, grid: Grid, name: str) -> dict[str, Any]:
        mpc = grid.of_shift(name)
        return {
            "shift": name,
            "family": grid.families[name],
            "mpc": self.figure(mpc),
            "rpc": self.figure(grid.relative(mpc)),
            "breaks_at": grid.breaks_at([name]),
            "monotone": grid.is_monotone(name),
        }

    def listed(self) -> list[dict[str, Any]]:
        """Return every figure of every cell, with its paired difference to the clean one."""
        keys = {m.key for m in self.metrics}
        clean = {_key(f): f.draws for f in self.cells[CLEAN_CELL].scores.figures}
        found = []
        for cell, summary in self.cells.items():
            for f in summary.scores.figures:
                if f.metric not in keys or f.aside:
                    continue
                base = clean.get(_key(f))
                delta = Figure(None, None, None, self.n_groups)
                if base is not None:
                    delta = figure(f.draws - base, self.n_groups, share=False)
                changed = plain(delta)
                found.append(
                    {
                        "shift": cell.shift,
                        "severity": number(cell.severity),
                        "metric": f.metric,
                        "class_name": f.class_name,
                        "size": f.size,
                        **self.figure(f.draws, share=f.metric in SHARES or None),
                        "delta": changed["value"],
                        "delta_low": changed["low"],
                        "delta_high": changed["high"],
                    }
                )
        return found

    def curves(self) -> list[dict[str, Any]]:
        """Return precision-recall curves of every cell, thinned to what a plot shows."""
        return [
            {**place(cell), **{key: _thinned(value) for key, value in curve.items()}}
            for cell, summary in self.cells.items()
            for curve in summary.scores.curves
        ]

    def confusion(self) -> list[dict[str, Any]]:
        return [
            {**place(cell), **summary.scores.confusion}
            for cell, summary in self.cells.items()
            if summary.scores.confusion is not None
        ]

    def audit(self) -> list[dict[str, Any]]:
        return [{**place(cell), **summary.audit} for cell, summary in self.cells.items()]

    def described_shifts(self) -> list[dict[str, Any]]:
        """Return what each shift is: its five physical values, their source, what had to be completed for it."""
        found = []
        for name in {cell.shift: None for cell in self.cells if cell.shift != CLEAN}:
            shift = self.shifts[name]
            table = shift.table
            completed: dict[str, set[str]] = {}
            for cell, summary in self.cells.items():
                for need, sources in summary.completed.items() if cell.shift == name else ():
                    completed.setdefault(need, set()).update(sources)
            found.append(
                {
                    "name": name,
                    "family": shift.family,
                    "changes": shift.changes,
                    "quantity": table.quantity,
                    "unit": table.unit,
                    "values": self._values(name, table),
                    "source": table.source,
                    "needs": sorted(shift.needs),
                    "completed": {need: "; ".join(sorted(sources)) for need, sources in sorted(completed.items())},
                }
            )
        return found

    def _values(self, name: str, table: SeverityTable) -> list[float | None]:
        """Return the physical values behind severities 1 to 5 of the plan's scale."""
        physical = [self.plan.physical(Cell(name, severity)) for severity in (1.0, 2.0, 3.0, 4.0, 5.0)]
        return [None if severity is None else float(table.at(severity)) for severity in physical]

    def notes(self) -> list[str]:
        """Return what a reader must know of the figures."""
        notes = []
        scale = self.plan.calibration
        if scale is not None:
            costs = ", ".join(f"{100 * target:.0f} %" for target in scale.targets)
            notes.append(
                f"Severities are measured: 1 to 5 cost {scale.model} on {scale.dataset} {costs} of its {scale.metric}."
            )
        gone = [cell.label for cell in self.plan.unreachable()]
        if gone:
            notes.append(f"Left out, as no physical strength of the shift costs just that: {', '.join(gone)}.")
        if self.n_groups < FEWEST_GROUPS:
            notes.append(
                f"Only {self.n_groups} independent group{'s' * (self.n_groups != 1)} of pictures: no confidence "
                f"intervals (at least {FEWEST_GROUPS} are needed)."
            )
        completed: dict[tuple[str, str], list[str]] = {}
        for shift in self.described_shifts():
            for need, source in shift["completed"].items():
                completed.setdefault((need, source), []).append(shift["name"])
        for (need, source), names in completed.items():
            if need == "renderer":
                notes.append(f"{', '.join(names)}: the pictures are rendered by {source}.")
                continue
            state = f"the {need} of the data has gaps" if source.endswith(FILLED) else f"the data has no {need}"
            notes.append(f"{', '.join(names)}: {state}; what is used: {source}.")
        return notes


FILLED = ", filled"  # how the name of a source ends where the data had some of it (see synth.depth.complete_depth)


def chosen_metrics(names: Sequence[str], known: Sequence[Metric], task: str) -> list[Metric]:
    """Return the metrics of a plan, the first being the headline; all of the task where none is named."""
    by_key = {m.key: m for m in known}
    for name in names:
        if name not in by_key:
            near = did_you_mean(name, by_key)
            raise InputError(f"plan: metrics: {name!r} is none of {task}{near}; it has {', '.join(by_key)}")
    return [by_key[name] for name in names] or list(known)


def write_cells(path: Any, figures: Figures) -> None:
    """Write cells.parquet."""
    columns = {name: [row[name] for row in figures.listed()] for name in CELLS.names}
    write_table(path, pa.table(columns, schema=CELLS))


def plain(value: Figure) -> dict[str, Any]:
    """Return a figure as plain values, rounded."""
    return {"value": _round(value.value), "low": _round(value.low), "high": _round(value.high), "n": value.n}


def place(cell: Cell) -> dict[str, Any]:
    return {"shift": cell.shift, "severity": number(cell.severity)}


def number(value: float) -> int | float:
    """Return a whole number as int, so that JSON says 3 and not 3.0."""
    return int(value) if float(value).is_integer() else float(value)


def _weakest_first(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    def strength(entry: Mapping[str, Any]) -> tuple[float, str]:
        value = entry["rpc"]["value"]
        return (np.inf if value is None else value, entry.get("shift") or entry["family"])

    return sorted(entries, key=strength)


def _key(f: SetFigure) -> Key:
    return f.metric, f.class_name, f.size, f.aside


def _find(figures: Sequence[SetFigure], wanted: Key) -> Draws | None:
    return next((f.draws for f in figures if _key(f) == wanted), None)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _thinned(value: Any) -> Any:
    """Return every other point of a curve, at the precision of a plot."""
    return [round(v, 3) for v in value[::2]] if isinstance(value, list) else value
