"""What a training set should show: the cells of a run where something was lost, and on which things.

A frame is worth the sum over its objects of the rates at which such objects were lost (see `stress.lost`): how many of
them the model is expected to lose there. Things in slices that a test has confirmed count twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError, did_you_mean
from stress.frames import Frame
from stress.lost import EMPHASIS, AimedSlice, losses_of
from stress.mining import attributes_of
from stress.plan import CLEAN, Cell, Plan, ShiftEntry
from stress.results import Results
from stress.tables import severity_of
from synth.chain import Chain
from synth.shift import FAMILIES

JITTER = 0.5  # severities: a training picture is drawn this near to the cell's

Column = NDArray[Any]


@dataclass(frozen=True)
class AimedCell:
    """A cell of the run in which something was lost.

    entry: of a recipe for `roadproof synth`, on the physical scale
    mass:  what was lost there, objects (or IoU summed over classes)
    """

    cell: Cell
    families: tuple[str, ...]
    entry: Mapping[str, Any]
    mass: float


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
                inside = one.on_things(attributes)[:, None] & np.array(
                    [one.in_cell(aimed.cell) for aimed in self.cells]
                )
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
    listed = results.cells.select(["shift", "severity"]).to_pylist()
    run = {(str(c["shift"]), severity_of(c["severity"])) for c in listed}
    cells = [cell for cell in plan.cells() if cell.shift != CLEAN and (cell.shift, severity_of(cell.severity)) in run]
    used = [cell for cell in cells if not set(families_of(entries[cell.shift])) & set(hold_out)]
    if not used:
        raise InputError(
            f"hold-out {', '.join(hold_out)}: the run {str(results.path)!r} has no shift of other families"
        )
    losses = losses_of(results, used, seed=seed)
    mass = losses.mass
    if not mass.sum() > 0:
        other = f" in the families that are not held out ({', '.join(hold_out)})" if hold_out else ""
        raise InputError(
            f"run {str(results.path)!r}: nothing was lost under any shift{other}: there is nothing to aim at"
        )
    kept = np.flatnonzero(mass > 0)
    aimed = tuple(_aimed(plan, entries[used[i].shift], used[i], float(mass[i])) for i in kept)
    return Aim(aimed, losses.slices, losses.kinds, losses.rates[kept], float(mass.sum()), losses.notes)


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
    return AimedCell(cell, families_of(entry), recipe, mass)


def things_of(frames: Sequence[Frame], task: str) -> Things:
    """Return what frames show: their objects, or for segmentation their classes."""
    rows: list[tuple[Any, ...]] = []
    for index, frame in enumerate(frames):
        own = (index, frame.sample_id, frame.width)
        if task == "segmentation":
            rows += [(*own, share, -1, name, 0, 0, 1, 1, 1.0, None) for name, share in frame.classes.items()]
        else:
            rows += [(*own, None, *row) for row in frame.objects]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(COLUMNS)}
    texts = {name: np.array(columns[name], dtype=str) for name in ("sample_id", "class_name")}
    whole = {name: np.array(columns[name], np.int64) for name in ("owner", "instance_id")}
    numbers = {
        name: np.array([np.nan if v is None else v for v in columns[name]], np.float64)
        for name in COLUMNS
        if name not in (*texts, *whole)
    }
    attributes = {**attributes_of({**numbers, **texts}), "share": numbers["share"]}
    return Things(whole["owner"], whole["instance_id"], attributes, len(frames))


COLUMNS = ("owner", "sample_id", "width", "share", "instance_id", "class_name", "x1", "y1", "x2", "y2",
           "visible_fraction", "distance_m")  # fmt: skip
