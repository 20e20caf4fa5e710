"""What a run lost: how much in each of its cells, at what rate on things of each kind, and in which slices.

What an object of a class and size loses in a cell is a rate over the objects of the run, drawn towards what cell and
class lose by themselves where objects are few (`PRIOR` objects' worth, as in additive smoothing). Segmentation has no
objects: there a class loses IoU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stress.mining import attributes_of, mined, objects_of, paired, words
from stress.plan import CLEAN, Cell
from stress.results import Results
from stress.slices import Predicate, holds
from stress.tables import severity_of

PRIOR = 5.0  # objects
EMPHASIS = 2.0  # of objects in confirmed slices
ANYWHERE = 0.1  # where nothing was missed but things were invented, any object will do
SMALLEST_LOSS = 0.005  # of IoU: less is no loss
OF_CELLS = ("family", "shift", "severity", "verdict")  # attributes of slices that no clean frame has
MOST_SLICES = 12
UNCONFIRMED = "No slice of the run stands out by more than chance, or too few groups could test one."

Column = NDArray[Any]


@dataclass(frozen=True)
class AimedSlice:
    """What the set is aimed at, with the figures of the run. metric: recall, accuracy or iou; p after Holm."""

    predicates: tuple[Predicate, ...]
    metric: str
    clean: float | None
    shifted: float | None
    n: int
    n_objects: int | None
    p_corrected: float | None
    significant: bool

    def plain(self) -> dict[str, Any]:
        listed = [{"attribute": p.attribute, "kind": p.kind, "value": p.value} for p in self.predicates]
        noun = {"accuracy": "picture", "pixel recall": "region", "iou": "region"}.get(self.metric, "object")
        return {"slice": words(self.predicates, noun=noun), **vars(self), "predicates": listed}

    def in_cell(self, cell: Cell) -> bool:
        """Tell whether a cell meets the conditions on shift, family and severity."""
        known = {"shift": [cell.shift], "family": [cell.shift.split("/")[0]], "severity": [float(cell.severity)]}
        own = [p for p in self.predicates if p.attribute in known]
        return all(bool(p.mask(np.array(known[p.attribute]))[0]) for p in own)

    def on_things(self, attributes: Mapping[str, Column]) -> NDArray[np.bool_]:
        """Return (things,) which meet the conditions on objects."""
        return holds([p for p in self.predicates if p.attribute not in OF_CELLS], attributes)


@dataclass(frozen=True, eq=False)
class Losses:
    """kinds: {(class, size): column}; rates: (C, T) share lost; mass: (C,) lost in each cell; slices; notes."""

    kinds: Mapping[tuple[str, str], int]
    rates: NDArray[np.float64]
    mass: NDArray[np.float64]
    slices: tuple[AimedSlice, ...]
    notes: tuple[str, ...] = ()


def losses_of(results: Results, cells: Sequence[Cell], *, seed: int) -> Losses:
    """Return what a run lost in these cells; nothing of its other shifts is looked at."""
    return (_of_segmentation if results.task == "segmentation" else _of_objects)(results, cells, seed)


def _of_objects(results: Results, cells: Sequence[Cell], seed: int) -> Losses:
    shifts = {cell.shift for cell in cells}
    table = objects_of(results)
    truths = ~np.isin(table["outcome"], ("ignored", "invented", "duplicate")) & np.isin(
        table["shift"], [CLEAN, *shifts]
    )
    clean, shifted = paired(table, truths)
    attributes = attributes_of(clean, shifted)
    slices = _confirmed(results, shifts, seed)
    notes = () if slices else (UNCONFIRMED,)
    weight = np.ones(len(clean["hit"]))
    for one in slices:
        weight[holds(one.predicates, attributes)] = EMPHASIS
    slices = slices or _largest(attributes, clean["hit"], shifted["hit"], results.task)
    pairs = list(zip(attributes["class"].tolist(), attributes["size"].tolist(), strict=True))
    kinds = {key: index for index, key in enumerate(sorted(set(pairs)))}
    kind = np.array([kinds[key] for key in pairs], np.int64)
    place = {(cell.shift, severity_of(cell.severity)): index for index, cell in enumerate(cells)}
    where = zip(shifted["shift"].tolist(), shifted["severity"].tolist(), strict=True)
    cell_of = np.array([place.get((name, float(severity)), -1) for name, severity in where], np.int64)
    known = cell_of >= 0
    lost = np.clip(clean["hit"] - shifted["hit"], 0, 1)
    mass = np.bincount(cell_of[known], weights=(lost * weight)[known], minlength=len(cells))
    rates = _rates(cell_of[known], kind[known], lost[known], (len(cells), len(kinds)))
    invented = _invented(table, cells)
    rates[(mass == 0) & (invented > 0)] = ANYWHERE
    return Losses(kinds, rates, mass + invented, tuple(slices), notes)


def _confirmed(results: Results, shifts: set[str], seed: int) -> list[AimedSlice]:
    """Return the slices that hold on the half of the groups they were not sought in."""
    metric = {"classification": "accuracy", "segmentation": "pixel recall"}.get(results.task, "recall")
    found = mined(results, seed=seed, shifts=shifts)["lost_under_shift"]
    return [_tested(row, metric) for row in found if row["tested"]["significant"] and row["n"]][:MOST_SLICES]


def _rates(
    cell: NDArray[np.int64], kind: NDArray[np.int64], lost: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return (C, T) smoothed shares lost; the prior of a cell and kind is the product of what each loses by itself."""
    n, sums = np.zeros(shape), np.zeros(shape)
    np.add.at(n, (cell, kind), 1.0)
    np.add.at(sums, (cell, kind), lost)
    overall = sums.sum() / max(n.sum(), 1.0)
    by_cell = sums.sum(axis=1) / np.maximum(n.sum(axis=1), 1.0)
    by_kind = sums.sum(axis=0) / np.maximum(n.sum(axis=0), 1.0)
    prior = np.minimum(np.outer(by_cell, by_kind) / max(overall, 1e-12), 1.0)
    rates: NDArray[np.float64] = (sums + PRIOR * prior) / (n + PRIOR)
    return rates


def _invented(table: Mapping[str, Column], cells: Sequence[Cell]) -> NDArray[np.float64]:
    """Return (C,) finds where nothing is, beyond those of the clean frames."""
    invented = table["outcome"] == "invented"
    before = np.count_nonzero(invented & (table["shift"] == CLEAN))
    severities = [severity_of(c.severity) for c in cells]
    now = [
        np.count_nonzero(invented & (table["shift"] == c.shift) & (table["severity"] == severity))
        for c, severity in zip(cells, severities, strict=True)
    ]
    return np.maximum(np.array(now, np.float64) - before, 0.0)


def _tested(row: Mapping[str, Any], metric: str) -> AimedSlice:
    predicates = tuple(Predicate(p["attribute"], p["kind"], p["value"]) for p in row["predicates"])
    return AimedSlice(
        predicates, metric, row["recall_clean"], row["recall_shifted"], row["n"], row["n_objects"],
        row["tested"]["p_corrected"], True,
    )  # fmt: skip


def _largest(
    attributes: Mapping[str, Column], before: NDArray[np.float64], now: NDArray[np.float64], task: str
) -> list[AimedSlice]:
    """Return the classes under the shifts that lost most objects; no test stands behind them."""
    metric = "accuracy" if task == "classification" else "recall"
    found = []
    for name in np.unique(attributes["class"]):
        for shift in np.unique(attributes["shift"]):
            rows = (attributes["class"] == name) & (attributes["shift"] == shift)
            loss = float(np.clip(before[rows] - now[rows], 0, 1).sum())
            if loss > 0:
                predicates = (Predicate("class", "is", str(name)), Predicate("shift", "is", str(shift)))
                figures = float(before[rows].mean()), float(now[rows].mean()), int(rows.sum())
                found.append((loss, AimedSlice(predicates, metric, *figures, None, None, False)))
    found.sort(key=lambda item: -item[0])
    return [one for _, one in found[:MOST_SLICES]]


def _of_segmentation(results: Results, cells: Sequence[Cell], seed: int) -> Losses:
    figures = {
        (str(f["shift"]), float(f["severity"]), str(f["class_name"])): f
        for f in results.summary["figures"]
        if f["metric"] == "miou" and f["class_name"] is not None and f["size"] is None and f["value"] is not None
    }
    names = sorted({name for shift, _, name in figures if shift == CLEAN})
    rates = np.zeros((len(cells), len(names)))
    found: list[tuple[float, AimedSlice]] = []
    for row, cell in enumerate(cells):
        for column, name in enumerate(names):
            clean, now = figures[CLEAN, 0.0, name], figures.get((cell.shift, float(cell.severity), name))
            if now is None or clean["value"] - now["value"] < SMALLEST_LOSS:
                continue
            rates[row, column] = clean["value"] - now["value"]
            shift = Predicate("shift", "is", cell.shift)
            predicates = (Predicate("class", "is", name), shift, Predicate("severity", "from", float(cell.severity)))
            one = AimedSlice(predicates, "iou", clean["value"], now["value"], now["n"], None, None, False)
            found.append((rates[row, column], one))
    found.sort(key=lambda item: -item[0])
    first = {(one.predicates[0].value, one.predicates[1].value): one for _, one in reversed(found)}
    slices = sorted(first.values(), key=lambda one: (one.shifted or 0.0) - (one.clean or 0.0))[:MOST_SLICES]
    kinds = {(name, ""): i for i, name in enumerate(names)}
    confirmed = _confirmed(results, {cell.shift for cell in cells}, seed)
    return Losses(kinds, rates, rates.sum(axis=1), tuple(confirmed or slices), () if confirmed else (UNCONFIRMED,))
