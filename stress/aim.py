"""What a training set should show: the cells of a run where something was lost, and on which objects.

What an object of a class and size loses in a cell is a rate over the objects of the run, drawn towards what cell and
class lose by themselves where objects are few (`PRIOR` objects' worth, as in additive smoothing). A frame is worth the
sum over its objects: how many of them the model is expected to lose there. Objects of slices that the test of
`stress.mining` has confirmed count twice. Segmentation has no objects: there a class loses IoU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError, did_you_mean
from stress.frames import Frame
from stress.mining import attributes_of, mined, objects_of, paired, words
from stress.plan import CLEAN, Cell, Plan, ShiftEntry
from stress.results import Results
from stress.slices import Predicate, holds
from synth.chain import Chain
from synth.shift import FAMILIES

PRIOR = 5.0  # objects
EMPHASIS = 2.0  # of objects in confirmed slices
JITTER = 0.5  # severities: a training picture is drawn this near to the cell's
ANYWHERE = 0.1  # where nothing was missed but things were invented, any object will do
SMALLEST_LOSS = 0.005  # of IoU: less is no loss
OF_CELLS = ("family", "shift", "severity", "verdict")  # attributes of slices that no clean frame has
MOST_SLICES = 12

Column = NDArray[Any]


@dataclass(frozen=True)
class AimedCell:
    """A cell of the run in which something was lost.

    severity: as in the run; physical: on the physical scale; entry: of a recipe for `roadproof synth`
    mass:     what was lost there, objects (or IoU summed over classes)
    """

    shift: str
    severity: float
    physical: float
    families: tuple[str, ...]
    entry: Mapping[str, Any]
    mass: float


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
        return {"slice": words(self.predicates), **vars(self), "predicates": listed}

    def in_cell(self, cell: AimedCell) -> bool:
        """Tell whether a cell meets the conditions on shift, family and severity."""
        known = {"shift": [cell.shift], "family": [cell.shift.split("/")[0]], "severity": [cell.severity]}
        own = [p for p in self.predicates if p.attribute in known]
        return all(bool(p.mask(np.array(known[p.attribute]))[0]) for p in own)

    def on_things(self, attributes: Mapping[str, Column]) -> NDArray[np.bool_]:
        """Return (things,) which meet the conditions on objects."""
        return holds([p for p in self.predicates if p.attribute not in OF_CELLS], attributes)


@dataclass(frozen=True, eq=False)
class Things:
    """What frames show, one row an object (or a class of a segmentation). owner: (M,) index of its frame."""

    owner: NDArray[np.int64]
    instance_id: NDArray[np.int64]
    attributes: Mapping[str, Column]
    n_frames: int


@dataclass(frozen=True, eq=False)
class Aim:
    """cells and slices, and rates: (C, T) share lost of things of each kind of `kinds` in each cell."""

    cells: tuple[AimedCell, ...]
    slices: tuple[AimedSlice, ...]
    kinds: Mapping[tuple[str, str], int]
    rates: NDArray[np.float64]
    lost: float
    notes: tuple[str, ...] = ()

    def worth(self, things: Things) -> NDArray[np.float64]:
        """Return (M, C) what each thing is worth in each cell."""
        attributes = things.attributes
        names = zip(attributes["class"].tolist(), attributes["size"].tolist(), strict=True)
        kind = np.array([self._kind(name, size) for name, size in names], np.int64).reshape(-1)
        rates = np.vstack([self.rates.T, np.zeros(len(self.cells))])  # what the run has not seen is worth nothing
        found: NDArray[np.float64] = rates[kind]
        for one in self.slices:
            if one.significant:
                inside = one.on_things(attributes)[:, None] & np.array([one.in_cell(cell) for cell in self.cells])
                found = np.where(inside, np.maximum(found, EMPHASIS * rates[kind]), found)
        return found

    def _kind(self, name: str, size: str) -> int:
        return self.kinds.get((name, size), self.kinds.get((name, ""), -1))

    def frames(self, things: Things) -> NDArray[np.float64]:
        """Return (F, C) what each frame is worth in each cell."""
        total = np.zeros((things.n_frames, len(self.cells)))
        np.add.at(total, things.owner, self.worth(things))
        return total


def aim_of(results: Results, identity: Mapping[str, Any], *, hold_out: Sequence[str] = (), seed: int = 0) -> Aim:
    """Return what the failures of a run ask for; raises where nothing was lost, or only in families held out."""
    plan = Plan.make(identity["plan"])
    check_families(hold_out, plan)
    entries = {entry.name: entry for entry in plan.entries()}
    run = {(str(c["shift"]), float(c["severity"])) for c in results.cells.select(["shift", "severity"]).to_pylist()}
    cells = [cell for cell in plan.cells() if cell.shift != CLEAN and (cell.shift, float(cell.severity)) in run]
    used = [cell for cell in cells if not set(families_of(entries[cell.shift])) & set(hold_out)]
    if not used:
        raise InputError(
            f"hold-out {', '.join(hold_out)}: the run {str(results.path)!r} has no shift of other families"
        )
    losses = _of_segmentation if results.task == "segmentation" else _of_objects
    kinds, rates, mass, slices, notes = losses(results, used, seed)
    if not mass.sum() > 0:
        other = f" in the families that are not held out ({', '.join(hold_out)})" if hold_out else ""
        raise InputError(
            f"run {str(results.path)!r}: nothing was lost under any shift{other}: there is nothing to aim at"
        )
    kept = np.flatnonzero(mass > 0)
    aimed = tuple(_aimed(plan, entries[used[i].shift], used[i], float(mass[i])) for i in kept)
    return Aim(aimed, tuple(slices), kinds, rates[kept], float(mass.sum()), tuple(notes))


def check_families(hold_out: Sequence[str], plan: Plan) -> None:
    known = [*FAMILIES, "chain", *{f for entry in plan.entries() for f in families_of(entry)}]
    for name in hold_out:
        if name not in known:
            raise InputError(f"hold-out: no family {name!r}{did_you_mean(name, known)}; known: {', '.join(FAMILIES)}")


def families_of(entry: ShiftEntry) -> tuple[str, ...]:
    """Return the families behind an entry; a chain has its own and those of its parts."""
    shift = entry.create()
    if isinstance(shift, Chain):
        return tuple(dict.fromkeys(["chain", *(part.shift.family for part in shift.parts)]))
    return (shift.family,)


def _aimed(plan: Plan, entry: ShiftEntry, cell: Cell, mass: float) -> AimedCell:
    """Return a cell with its entry of a recipe: severities around its own, but those of a chain as they are."""
    physical = float(plan.physical(cell) or cell.severity)
    recipe: dict[str, Any] = {"weight": round(mass, 6), "severity": physical}
    if entry.chain is not None:
        recipe.update(chain=list(entry.chain), name=entry.name)
    else:
        near = {"min": max(1.0, physical - JITTER), "max": min(5.0, physical + JITTER)}
        recipe.update(name=entry.name, severity=near, options=dict(entry.options))
    return AimedCell(cell.shift, float(cell.severity), physical, families_of(entry), recipe, mass)


Losses = tuple[dict[tuple[str, str], int], NDArray[np.float64], NDArray[np.float64], list[AimedSlice], list[str]]


def _of_objects(results: Results, cells: Sequence[Cell], seed: int) -> Losses:
    """Return kinds, rates (C, T), mass (C,), slices and notes of a run with objects, or a class for each picture."""
    shifts = {cell.shift for cell in cells}
    found = mined(results, seed=seed, shifts=shifts)
    table = objects_of(results)
    outcome = table["outcome"]
    truths = (outcome != "ignored") & ~np.isin(outcome, ("invented", "duplicate"))
    truths &= np.isin(table["shift"], [CLEAN, *shifts])
    clean, shifted = paired({name: column[truths] for name, column in table.items()})
    lost = np.clip(clean["hit"] - shifted["hit"], 0, 1)
    attributes = attributes_of(clean, shifted)
    metric = "accuracy" if results.task == "classification" else "recall"
    slices = [_tested(s, metric) for s in found["lost_under_shift"] if s["tested"]["significant"] and s["n"]]
    notes = [] if slices else ["No slice of the run stands out by more than chance, or too few groups could test one."]
    slices = slices or _largest(attributes, clean["hit"], shifted["hit"], metric)
    names = sorted(set(zip(attributes["class"].tolist(), attributes["size"].tolist(), strict=True)))
    kinds = {key: index for index, key in enumerate(names)}
    pairs = zip(attributes["class"].tolist(), attributes["size"].tolist(), strict=True)
    kind = np.array([kinds[key] for key in pairs], np.int64)
    place = {(cell.shift, float(cell.severity)): index for index, cell in enumerate(cells)}
    where = zip(shifted["shift"].tolist(), shifted["severity"].tolist(), strict=True)
    cell_of = np.array([place.get((name, float(severity)), -1) for name, severity in where], np.int64)
    weight = np.ones(len(lost))
    for one in slices:
        if one.significant:
            weight[holds(one.predicates, attributes)] = EMPHASIS
    known = cell_of >= 0
    mass = np.bincount(cell_of[known], weights=(lost * weight)[known], minlength=len(cells))
    rates = _rates(cell_of[known], kind[known], lost[known], (len(cells), len(kinds)))
    invented = _invented(table, cells)
    rates[(mass == 0) & (invented > 0)] = ANYWHERE
    return kinds, rates, mass + invented, slices, notes


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
    now = [np.count_nonzero(invented & (table["shift"] == c.shift) & (table["severity"] == c.severity)) for c in cells]
    return np.maximum(np.array(now, np.float64) - before, 0.0)


def _tested(row: Mapping[str, Any], metric: str) -> AimedSlice:
    predicates = tuple(Predicate(p["attribute"], p["kind"], p["value"]) for p in row["predicates"])
    return AimedSlice(
        predicates, metric, row["recall_clean"], row["recall_shifted"], row["n"], row["n_objects"],
        row["tested"]["p_corrected"], True,
    )  # fmt: skip


def _largest(
    attributes: Mapping[str, Column], before: NDArray[np.float64], now: NDArray[np.float64], metric: str
) -> list[AimedSlice]:
    """Return the classes under the shifts that lost most objects; no test stands behind them."""
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
    """Return kinds, rates (C, T), mass (C,), slices and notes of a run whose classes lose IoU."""
    del seed
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
            sure = now["delta_high"] is not None and now["delta_high"] < 0
            one = AimedSlice(predicates, "iou", clean["value"], now["value"], now["n"], None, None, sure)
            found.append((rates[row, column], one))
    found.sort(key=lambda item: -item[0])
    first = {(one.predicates[0].value, one.predicates[1].value): one for _, one in reversed(found)}
    slices = sorted(first.values(), key=lambda one: (one.shifted or 0.0) - (one.clean or 0.0))[:MOST_SLICES]
    return {(name, ""): i for i, name in enumerate(names)}, rates, rates.sum(axis=1), slices, []


def things_of(frames: Sequence[Frame], task: str) -> Things:
    """Return what frames show: their objects, or for segmentation their classes."""
    rows: list[tuple[Any, ...]] = []
    for index, frame in enumerate(frames):
        if task == "segmentation":
            rows += [(index, frame.sample_id, -1, name, 0, 0, 1, 1, 1.0, None) for name in frame.classes]
        else:
            rows += [(index, frame.sample_id, *row) for row in frame.objects]
    names = (
        "owner",
        "sample_id",
        "instance_id",
        "class_name",
        "x1",
        "y1",
        "x2",
        "y2",
        "visible_fraction",
        "distance_m",
    )
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    numbers = {name: np.array([np.nan if v is None else v for v in columns[name]], np.float64) for name in names[4:]}
    texts = {name: np.array(columns[name], dtype=str) for name in ("sample_id", "class_name")}
    attributes = attributes_of({**numbers, **texts})
    owner, ids = np.array(columns["owner"], np.int64), np.array(columns["instance_id"], np.int64)
    return Things(owner, ids, attributes, len(frames))


__all__ = ["Aim", "AimedCell", "AimedSlice", "Things", "aim_of", "things_of"]
