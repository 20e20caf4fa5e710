"""Failures that a shift caused: right on the clean picture, wrong on the shifted one; and which of them to show.

Kinds: missed (not found at score 0.5), confused (found as another class), misplaced (right class, overlap 0.1 to 0.5),
invented (a find where nothing is). `loss`, 0 to 1, says how much of the model's certainty went the wrong way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scenes.sample import Task
from stress.metrics.outcomes import iou_table
from stress.metrics.segmentation import OTHER
from stress.plan import Cell

KINDS = ("missed", "confused", "misplaced", "invented")
MOST_OF_A_CELL = 40  # candidates handed on
SMALL_SHARE = 0.002  # of the counted pixels: fewer newly wrong ones are no failure worth showing
LARGE_SHARE = 0.05  # of the counted pixels: regions of this size and more are shown first
FULL_SIZE_PX = 40.0  # objects of this size (root of the area) and more are shown first
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Failure:
    """One failure of one sample in one cell. instance_id 0 = no true object; interest orders what is shown."""

    cell: Cell
    index: int
    sample_id: str
    failure: str
    class_name: str
    predicted_class: str | None
    instance_id: int
    box: Box | None
    score_clean: float | None
    score_shifted: float | None
    iou: float | None
    loss: float
    interest: float
    verdict: Mapping[str, Any] | None = None


def candidates(task: Task, cell: Cell, clean: pa.Table, shifted: pa.Table, class_names: Sequence[str]) -> list[Failure]:
    """Return the most telling failures of a cell that the clean cell does not have; rows of both in one order."""
    if task == "segmentation":
        found = regions_of(cell, clean, shifted, class_names)
    else:
        found = _objects(cell, clean, shifted)
    return strongest(found)


def strongest(found: Sequence[Failure]) -> list[Failure]:
    """Return the candidates of a cell that are worth handing on."""
    return sorted(found, key=_order)[:MOST_OF_A_CELL]


def choose(found: Sequence[Failure], n: int, *, per_cell: int) -> list[Failure]:
    """Return up to n failures, spread over shifts, samples, severities, classes and kinds; most telling first.

    Greedy: each choice is the candidate of most interest after what is already shown of its like is discounted.
    """
    left = sorted(found, key=_order)
    chosen: list[Failure] = []
    shown: Counter[tuple[str, Any]] = Counter()
    while left and len(chosen) < n:
        values = [f.interest / _discount(f, shown) for f in left]
        best = left.pop(int(np.argmax(values)))
        if shown["cell", best.cell] >= per_cell:
            continue
        chosen.append(best)
        shown.update(_likes(best))
    return sorted(chosen, key=lambda f: (-f.loss, _order(f)))


def _likes(f: Failure) -> list[tuple[str, Any]]:
    return [
        ("cell", f.cell),
        ("shift", f.cell.shift),
        ("sample", f.sample_id),
        ("object", (f.sample_id, f.instance_id)),
        ("class", f.class_name),
        ("kind", f.failure),
    ]


def _discount(f: Failure, shown: Counter[tuple[str, Any]]) -> float:
    strength = {"cell": 1.0, "shift": 1.0, "sample": 0.5, "object": 2.0, "class": 0.2, "kind": 0.2}
    return float(np.prod([1.0 + strength[what] * shown[what, value] for what, value in _likes(f)]))


def _order(f: Failure) -> tuple[Any, ...]:
    return (-f.interest, f.cell, f.index, f.failure, f.class_name, f.instance_id, f.box or ())


def _objects(cell: Cell, clean: pa.Table, shifted: pa.Table) -> list[Failure]:
    found: list[Failure] = []
    columns = ("index", "sample_id", "objects")
    before = zip(*(clean.column(name).to_pylist() for name in columns), strict=True)
    after = zip(*(shifted.column(name).to_pylist() for name in columns), strict=True)
    for (index, sample_id, was), (_, _, now) in zip(before, after, strict=True):
        known = {row["instance_id"]: row for row in was if row["verdict"]}
        for row in now:
            if row["outcome"] == "invented":
                found.append(_invented(cell, index, sample_id, row, was))
            elif row["outcome"] in KINDS:
                earlier = known.get(row["instance_id"])
                if earlier is not None and earlier["outcome"] == "found":
                    found.append(_lost(cell, index, sample_id, row, earlier))
    return [f for f in found if f.loss > 0]


def _lost(cell: Cell, index: int, sample_id: str, row: Mapping[str, Any], earlier: Mapping[str, Any]) -> Failure:
    """An object that was found on the clean picture."""
    before, kind = float(earlier["score"] or 0.0), row["outcome"]
    after = float(row["score"] or 0.0)
    if earlier["instance_id"] == 0 or kind == "missed":  # a whole picture's class, or an object no longer found
        loss = before - after
    elif kind == "confused":
        loss = 0.5 * (before + after)  # surely right, then surely wrong
    else:
        loss = before * (1.0 - float(row["iou"] or 0.0))
    box = _box(row)
    clear = 0.4 if row["hard_to_see"] else max(0.2, float(row["visible_fraction"] or 0.0))
    return Failure(
        cell=cell,
        index=index,
        sample_id=sample_id,
        failure=kind,
        class_name=row["class_name"],
        predicted_class=row["predicted_class"] if kind == "confused" else None,
        instance_id=row["instance_id"],
        box=box if row["instance_id"] else None,
        score_clean=before,
        score_shifted=after,
        iou=row["iou"],
        loss=min(max(loss, 0.0), 1.0),
        interest=max(loss, 0.0) * clear * _size_factor(box),
        verdict={
            "kind": row["verdict"],
            "visible_fraction": row["visible_fraction"],
            "reason": row["reason"],
            "hard_to_see": row["hard_to_see"],
        },
    )


def _invented(
    cell: Cell, index: int, sample_id: str, row: Mapping[str, Any], was: Sequence[Mapping[str, Any]]
) -> Failure:
    """A find where nothing is; what the clean picture already had there is taken off."""
    box = _box(row)
    same = [r for r in was if not r["verdict"] and r["class_name"] == row["class_name"]]
    overlap = iou_table(np.array([box]), np.array([_box(r) for r in same]).reshape(-1, 4))[0]
    before = max((float(r["score"]) for r, iou in zip(same, overlap, strict=True) if iou >= 0.5), default=0.0)
    loss = max(float(row["score"]) - before, 0.0)
    return Failure(
        cell=cell,
        index=index,
        sample_id=sample_id,
        failure="invented",
        class_name=row["class_name"],
        predicted_class=row["class_name"],
        instance_id=0,
        box=box,
        score_clean=before,
        score_shifted=float(row["score"]),
        iou=row["iou"],
        loss=min(loss, 1.0),
        interest=loss * _size_factor(box),
    )


def regions_of(cell: Cell, clean: pa.Table, shifted: pa.Table, class_names: Sequence[str]) -> list[Failure]:
    """Classes of which a picture newly loses most pixels, each to the class that takes most of them.

    loss is the share of the class's pixels that are newly called that other class; what is shown is where they are.
    """
    n = len(class_names)
    names = [*class_names, OTHER]
    before, after = (_counts(table, n) for table in (clean, shifted))
    iou_before, iou_after = _iou(before), _iou(after)
    counted = np.maximum(after.sum(axis=(1, 2)), 1)[:, None]
    newly = np.maximum(after - before, 0)
    newly[:, np.arange(n), np.arange(n)] = 0  # these are right
    taken, lost = newly.argmax(axis=2), newly.max(axis=2)
    share = lost / counted
    found = []
    ids, indices = shifted.column("sample_id").to_pylist(), shifted.column("index").to_pylist()
    for row, c in np.argwhere((share >= SMALL_SHARE) & (iou_before > iou_after)):
        loss = float(lost[row, c] / after[row, c].sum())
        found.append(
            Failure(
                cell=cell,
                index=indices[row],
                sample_id=ids[row],
                failure="confused",
                class_name=class_names[c],
                predicted_class=names[int(taken[row, c])],
                instance_id=0,
                box=None,
                score_clean=float(iou_before[row, c]),
                score_shifted=float(iou_after[row, c]),
                iou=float(iou_after[row, c]),
                loss=loss,
                interest=loss * float(min(1.0, np.sqrt(share[row, c] / LARGE_SHARE))),
            )
        )
    return found


def _counts(table: pa.Table, n: int) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = table.column("confusion").combine_chunks().flatten().to_numpy().reshape(-1, n, n + 1)
    return counts


def _iou(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (I, E) IoU of each class in each picture, 0 where it is not."""
    n = counts.shape[1]
    right = np.einsum("iee->ie", counts[:, :, :n])
    union = counts.sum(axis=2) + counts[:, :, :n].sum(axis=1) - right
    return right / np.maximum(union, 1)


def _size_factor(box: Box) -> float:
    area = max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
    return float(min(1.0, max(0.1, np.sqrt(area) / FULL_SIZE_PX)))


def _box(row: Mapping[str, Any]) -> Box:
    return row["x1"], row["y1"], row["x2"], row["y2"]
