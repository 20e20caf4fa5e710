"""Two runs or more side by side, paired by sample: the same pictures, the same resamples, so differences are honest.

Every figure is computed again from the parts of the runs, over the samples, groups and cells that all of them have.
Differences are to the first run. A p-value is two-sided, from the difference over its bootstrap standard error, by
Student's t with one degree of freedom less than groups; within each table it is corrected for the number of comparisons
after Holm (1979).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import t as student

from scenes.errors import InputError, did_you_mean
from stress.class_map import ClassMap
from stress.folder import RunFolder, read_json
from stress.metrics import SCORERS, scorer_for
from stress.metrics.robust import Grid
from stress.metrics.scored import CellScores
from stress.plan import CLEAN, Cell, Plan, ShiftEntry
from stress.progress import Report, reporting
from stress.results import Results, read
from stress.statistics import FEWEST_GROUPS, Draws, carrying_groups, figure, group_weights, mean_of, standard_error
from stress.summary import plain
from stress.tables import payload, read_cell

SCHEMA = "roadproof.comparison/1"
ALPHA = 0.05
ROUNDING = 1e-12  # differences below are none
FEW = FEWEST_GROUPS  # groups under which nothing is called a difference


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """One finished run and what is needed to compute its figures again."""

    label: str
    results: Results
    identity: Mapping[str, Any]

    @classmethod
    def open(cls, path: str | Path, label: str | None = None) -> ComparedRun:
        """Read a finished run whose parts are still there."""
        results = read(path)
        return cls(label or Path(path).name, results, read_json(RunFolder(Path(path)).plan))

    @cached_property
    def folder(self) -> RunFolder:
        return RunFolder(self.results.path)

    @cached_property
    def plan(self) -> Plan:
        return Plan.make(self.identity["plan"])

    @cached_property
    def group_of(self) -> dict[str, str]:
        """The group of each sample that the run scored."""
        table = self.results.table("samples").select(["sample_id", "group"]).to_pydict()
        return dict(zip(table["sample_id"], table["group"], strict=True))

    @cached_property
    def cells(self) -> dict[Cell, tuple[Any, ...]]:
        """Each cell with what decides its pictures: options, seed, scale."""
        found: dict[Cell, tuple[Any, ...]] = {Cell(CLEAN, 0.0): ()}
        for shift, severity in {(f["shift"], float(f["severity"])) for f in self.results.summary["figures"]}:
            if shift != CLEAN:
                cell, entry = Cell(shift, severity), self._entry(shift)
                options = repr(sorted(entry.options.items())), repr(entry.chain)
                found[cell] = (*options, self.plan.seed, self.plan.physical(cell))
        return dict(sorted(found.items()))

    def _entry(self, shift: str) -> ShiftEntry:
        """Return the line of the plan that a shift came from: its own, else its family's, else that of all."""
        family, bare = shift.split("/")
        for names in ((shift, bare), (family,), ("all",)):
            for entry in self.plan.shifts:
                if entry.name in names:
                    return entry
        return ShiftEntry(name=shift)  # listed by a file or plug-in under another name

    @cached_property
    def scorer(self) -> Any:
        model, data = self.results.summary["model"], self.identity["dataset"]
        classes = ClassMap.between(model["class_names"], data["class_names"], self.identity.get("classes"))
        return scorer_for(model["task"], classes, min_visibility=self.plan.min_visibility)

    def scores(self, cell: Cell, groups: Mapping[str, int], resamples: int) -> CellScores:
        """Return the figures of a cell over the samples of these groups, under the same resamples for every run.

        groups: sample id -> index of its group; other samples are left out
        """
        samples = int(self.identity["dataset"]["n_samples"])
        table = read_cell(self.folder, cell, range(-(-samples // self.plan.batch_size)), frozenset())
        table = table.filter(pa.array([sample_id in groups for sample_id in table.column("sample_id").to_pylist()]))
        index = np.zeros(samples, np.int64)
        index[table.column("index").to_numpy()] = [groups[s] for s in table.column("sample_id").to_pylist()]
        weights = group_weights(max(groups.values()) + 1, resamples, seed=0)
        scores: CellScores = self.scorer.cell(payload(table, self.scorer, index), weights)
        return scores


@dataclass(frozen=True, eq=False)
class Common:
    """What all runs have, and in words what only some of them have."""

    cells: tuple[Cell, ...]
    groups: Mapping[str, int]
    classes: tuple[str, ...]
    metric: str
    notes: tuple[str, ...]

    @property
    def n_groups(self) -> int:
        return max(self.groups.values()) + 1


def common_of(runs: Sequence[ComparedRun], metric: str | None = None) -> Common:
    """Return what can be compared; raises where nothing can."""
    first, notes = runs[0], []
    for run in runs[1:]:
        if run.results.task != first.results.task:
            raise InputError(
                f"compare: {first.label!r} is a {first.results.task} run, {run.label!r} a {run.results.task} run; "
                "only runs of one task can be compared"
            )
        if run.identity["dataset"]["name"] != first.identity["dataset"]["name"]:
            notes.append(
                f"The data sets go by different names ({first.identity['dataset']['name']}, "
                f"{run.identity['dataset']['name']}); samples are paired by their ids."
            )
        elif run.identity["dataset"]["path"] != first.identity["dataset"]["path"]:
            notes.append(
                f"{first.label} and {run.label} were read from different places "
                f"({first.identity['dataset']['path']}, {run.identity['dataset']['path']}); samples are paired by "
                "their ids, whatever the pictures are."
            )
    ids = set.intersection(*(set(run.group_of) for run in runs))
    if not ids:
        raise InputError("compare: the runs have no sample in common: stress both models on the same data set")
    for run in runs:
        if len(run.group_of) > len(ids):
            notes.append(f"{len(run.group_of) - len(ids)} samples of {run.label} are in it alone and left out.")
    order: dict[str, int] = {}
    groups = {sample: order.setdefault(first.group_of[sample], len(order)) for sample in sorted(ids)}
    cells = [cell for cell in first.cells if all(run.cells.get(cell) == first.cells[cell] for run in runs)]
    for run in runs:
        other = [cell.label for cell in run.cells if cell not in cells]
        if other:
            notes.append(f"Not compared of {run.label}, as not all runs have the same: {_some(other)}.")
    if len(cells) < 2:
        raise InputError("compare: the runs have no shifted cell in common: give both the same plan")
    sets = [set(run.results.summary["classes"]["evaluated"]) for run in runs]
    classes = tuple(n for n in first.results.summary["classes"]["evaluated"] if all(n in s for s in sets))
    if not classes:
        raise InputError("compare: the runs have no evaluated class in common")
    if any(s != set(classes) for s in sets):
        notes.append(
            f"The runs know different classes; the headline is the mean over the {len(classes)} they share: "
            f"{_some(list(classes))}."
        )
    if len(order) < FEW:
        notes.append(
            f"Only {len(order)} group{'' if len(order) == 1 else 's'}: too few to tell a difference from chance."
        )
    return Common(tuple(cells), groups, classes, _metric(runs, metric), tuple(dict.fromkeys(notes)))


def _metric(runs: Sequence[ComparedRun], wanted: str | None) -> str:
    """Return the metric that is asked for, else the first headline that all runs have."""
    if wanted is not None:
        for run in runs:
            known = list(run.results.summary["metrics"])
            if wanted not in known:
                hint = did_you_mean(wanted, known)
                raise InputError(f"compare: {run.label!r} has no metric {wanted!r}{hint}; it has {_some(known)}")
        return wanted
    names = [str(run.results.headline["metric"]) for run in runs]
    known = [set(run.results.summary["metrics"]) for run in runs]
    for name in [*names, *(m.key for m in SCORERS[runs[0].results.summary["model"]["task"]].metrics)]:
        if all(name in metrics for metrics in known):
            return name
    raise InputError("compare: the runs have no metric in common")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Headline draws of one run: of each cell over all shared classes, and of each class."""

    grid: Grid
    per_class: Mapping[str, Grid]


def _drawn(run: ComparedRun, common: Common, resamples: int, step: Callable[[], None]) -> _Drawn:
    """Return the draws of the compared metric in every shared cell. step: called after each cell"""
    whole: dict[Cell, Draws] = {}
    classes: dict[str, dict[Cell, Draws]] = {name: {} for name in common.classes}
    same = set(run.results.summary["classes"]["evaluated"]) == set(common.classes)
    for cell in common.cells:
        step()
        figures = [
            f
            for f in run.scores(cell, common.groups, resamples).figures
            if f.metric == common.metric and f.size is None and not f.aside
        ]
        for f in figures:
            if f.class_name in classes:
                classes[f.class_name][cell] = f.draws
        of_all = [f.draws for f in figures if f.class_name is None]
        shared = [f.draws for f in figures if f.class_name in classes]
        if same and of_all:
            whole[cell] = of_all[0]
        elif shared:
            whole[cell] = mean_of(shared)
        else:
            raise InputError(
                f"compare: {common.metric} of {run.label!r} cannot be had over the shared classes alone: "
                "compare models of the same classes, or name another metric"
            )
    families = {cell.shift: cell.shift.split("/")[0] for cell in common.cells if cell.shift != CLEAN}
    grids = {n: Grid(d, families) for n, d in classes.items() if len(d) == len(common.cells)}
    return _Drawn(Grid(whole, families), grids)


def compare(
    runs: Sequence[str | Path],
    *,
    metric: str | None = None,
    resamples: int = 1000,
    labels: Sequence[str] = (),
    progress: bool | Report | None = None,
) -> dict[str, Any]:
    """Compare finished runs and return plain values (schema `roadproof.comparison/1`).

    The first run is what the others are compared with. labels: names for the runs; their folders' names if not given
    """
    if len(runs) < 2:
        raise InputError(f"compare: expected two runs or more, got {len(runs)}")
    opened = [ComparedRun.open(path, name) for path, name in zip(runs, _labels(runs, labels), strict=True)]
    common = common_of(opened, metric)
    done = itertools.count(1)
    with reporting(progress) as report:
        total = len(opened) * len(common.cells)
        drawn = [_drawn(run, common, resamples, lambda: report("cells compared", next(done), total)) for run in opened]
    shifts = list(drawn[0].grid.severities)
    families = list(dict.fromkeys(drawn[0].grid.families[name] for name in shifts))
    rows = {
        "overall": [
            _row({"figure": name}, [of(d.grid) for d in drawn], common)
            for name, of in (
                ("clean", lambda g: g.clean),
                ("mpc", Grid.overall),
                ("rpc", lambda g: g.relative(g.overall())),
            )
        ],
        "families": [_row({"family": f}, [d.grid.of_family(f) for d in drawn], common) for f in families],
        "shifts": [_row({"shift": s}, [d.grid.of_shift(s) for d in drawn], common) for s in shifts],
        "cells": [
            _row({"shift": c.shift, "severity": c.severity}, [d.grid.draws[c] for d in drawn], common)
            for c in common.cells
            if c.shift != CLEAN
        ],
        "classes": [
            _row({"class_name": n}, [d.per_class[n].overall() for d in drawn], common)
            for n in common.classes
            if all(n in d.per_class for d in drawn)
        ],
    }
    for table in rows.values():
        _holm(table, common.n_groups)
    return {
        "schema": SCHEMA,
        "metric": common.metric,
        "runs": [_described(run) for run in opened],
        "n_samples": len(common.groups),
        "n_groups": common.n_groups,
        "n_cells": len(common.cells) - 1,
        "classes": list(common.classes),
        "ranking": _ranking([d.grid.overall() for d in drawn], common),
        "notes": list(common.notes),
        **rows,
    }


def _labels(runs: Sequence[str | Path], given: Sequence[str]) -> list[str]:
    if len(given) > len(runs):
        raise InputError(f"compare: expected at most one label for each of the {len(runs)} runs, got {len(given)}")
    names = [*given, *(Path(run).resolve().name for run in runs[len(given) :])]
    twice = {name for name in names if names.count(name) > 1}
    return [f"{name} ({i + 1})" if name in twice else name for i, name in enumerate(names)]


def _described(run: ComparedRun) -> dict[str, Any]:
    summary = run.results.summary
    return {
        "label": run.label,
        "path": str(run.results.path),
        "model": {key: summary["model"][key] for key in ("name", "source", "task")},
        "dataset": summary["dataset"]["name"],
    }


def _row(what: dict[str, Any], draws: Sequence[Draws], common: Common) -> dict[str, Any]:
    """Return the figure of each run and each one's difference to the first."""
    differences = []
    for other in draws[1:]:
        gap = other - draws[0]
        differences.append({**plain(figure(gap, common.n_groups, share=False)), "p": p_value(gap, common.n_groups)})
    return {**what, "values": [plain(figure(d, common.n_groups)) for d in draws], "differences": differences}


def p_value(gap: Draws, n_groups: int) -> float | None:
    """Return the two-sided p-value of a difference from its bootstrap standard error; None where it has none.

    It is under 0.05 just where the 95 % interval of the difference leaves out 0: both are Student's t with the same
    error (see `stress.statistics.figure`).
    """
    resampled = gap[1:][~np.isnan(gap[1:])]
    if np.isnan(gap[0]) or len(resampled) < 2 or min(n_groups, carrying_groups(gap, n_groups)) < FEW:
        return None
    error = standard_error(resampled, n_groups)
    if error < ROUNDING:
        return 1.0 if abs(float(gap[0])) < ROUNDING else 0.5 ** (n_groups - 1)  # no surer than all groups' signs
    return float(2.0 * student.sf(abs(float(gap[0])) / error, df=n_groups - 1))


def _holm(table: Sequence[dict[str, Any]], n_groups: int) -> None:
    """Add Holm's corrected p-values of a table, and whether each difference is one."""
    found = [d for row in table for d in row["differences"]]
    known = sorted((d for d in found if d["p"] is not None), key=lambda d: d["p"])
    largest = 0.0
    for i, d in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - i) * d["p"]))
        d["p_corrected"] = largest
    for d in found:
        d.setdefault("p_corrected", None)
        d["significant"] = d["p_corrected"] is not None and d["p_corrected"] < ALPHA and n_groups >= FEW


def _ranking(overall: Sequence[Draws], common: Common) -> list[dict[str, Any]]:
    """Return the runs, best mPC first, with the ranks that 95 % of the resamples give each."""
    metric = next(m for scorer in SCORERS.values() for m in scorer.metrics if m.key == common.metric)
    sign = -1.0 if metric.higher_is_better else 1.0
    table = sign * np.stack(overall)  # (runs, 1 + B)
    table[np.isnan(table)] = np.inf  # a run without a figure is never the best
    ranks = 1 + (table[None, :, :] < table[:, None, :]).sum(axis=1)
    listed = []
    for i, draws in enumerate(overall):
        low, high = np.percentile(ranks[i, 1:], (2.5, 97.5))
        listed.append(
            {
                "run": i,
                "rank": int(ranks[i, 0]),
                "rank_low": math.floor(low) if common.n_groups >= FEW else 1,
                "rank_high": math.ceil(high) if common.n_groups >= FEW else len(overall),
                "best_share": float((ranks[i, 1:] == 1).mean()) if common.n_groups >= FEW else None,
                "mpc": plain(figure(draws, common.n_groups)),
            }
        )
    return sorted(listed, key=lambda entry: entry["rank"])
