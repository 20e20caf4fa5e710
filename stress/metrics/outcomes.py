"""What became of each true object at score 0.5: found, missed, confused or misplaced; and each find that has none.

The kinds follow TIDE (Bolya et al. 2020): overlap with the right class at 0.5 is found, with a wrong class confused,
overlap of 0.1 to 0.5 with the right class misplaced. A second find of a found object is a duplicate, a find that
explains nothing is invented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from stress.metrics.matching import Finds, Matches, Truth, to_xywh
from stress.metrics.scored import IOU_THRESHOLD, SCORE_THRESHOLD

NEAR_IOU = 0.1


@dataclass(frozen=True)
class Outcome:
    """What became of one true object or one find; `find` is the row of the find behind it, -1 = none."""

    kind: str
    find: int = -1
    iou: float | None = None


def iou_table(finds: NDArray[np.floating[Any]], truths: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return (D, N) plain IoU of xyxy boxes."""
    if len(finds) == 0 or len(truths) == 0:
        return np.zeros((len(finds), len(truths)))
    table: NDArray[np.float64] = rle.iou(to_xywh(finds), to_xywh(truths), [0] * len(truths))
    return table


def outcomes(truth: Truth, finds: Finds, matches: Matches) -> tuple[list[Outcome], dict[int, Outcome]]:
    """Return the outcome of each true object, and of each confident find that no object accounts for."""
    iou = iou_table(finds.boxes, truth.boxes)
    confident = finds.scores >= SCORE_THRESHOLD
    free = confident & (matches.partner < 0) & ~matches.shielded
    used: set[int] = set()
    objects: list[Outcome] = []
    alone = ~(iou >= NEAR_IOU).any(axis=0)  # no find comes near: missed, without a closer look
    alone[matches.partner[matches.partner >= 0]] = False
    for row in range(len(truth.classes)):
        if alone[row]:
            objects.append(Outcome("ignored" if truth.ignore[row] else "missed"))
            continue
        outcome = _of_object(row, truth, finds, matches, iou, free)
        if outcome.kind in ("confused", "misplaced"):
            used.add(outcome.find)
        objects.append(outcome)
    found = np.array([o.kind == "found" for o in objects], np.bool_)
    again = ((iou >= NEAR_IOU) & found & (truth.classes == finds.classes[:, None])).any(axis=1)
    best = iou.max(axis=1) if len(truth.classes) else np.zeros(len(free))
    extra: dict[int, Outcome] = {}
    for d in np.flatnonzero(free).tolist():
        if d not in used:
            extra[d] = Outcome("duplicate" if again[d] else "invented", d, float(best[d]))
    return objects, extra


def _of_object(
    row: int, truth: Truth, finds: Finds, matches: Matches, iou: NDArray[np.float64], free: NDArray[np.bool_]
) -> Outcome:
    takers = np.flatnonzero(matches.partner == row)
    same = finds.classes == truth.classes[row]
    if len(takers):
        best = int(takers[np.argmax(finds.scores[takers])])
    else:
        near = np.flatnonzero(same & (iou[:, row] >= NEAR_IOU))
        best = int(near[np.argmax(iou[near, row])]) if len(near) else -1
    overlap = float(iou[best, row]) if best >= 0 else None
    if truth.ignore[row]:
        return Outcome("ignored", best, overlap)
    if len(takers) and finds.scores[best] >= SCORE_THRESHOLD:
        return Outcome("found", best, overlap)
    wrong = np.flatnonzero(free & ~same & (iou[:, row] >= IOU_THRESHOLD))
    if len(wrong):
        taker = int(wrong[np.argmax(finds.scores[wrong])])
        return Outcome("confused", taker, float(iou[taker, row]))
    beside = np.flatnonzero(free & same & (iou[:, row] >= NEAR_IOU) & (iou[:, row] < IOU_THRESHOLD))
    if len(beside):
        taker = int(beside[np.argmax(iou[beside, row])])
        return Outcome("misplaced", taker, float(iou[taker, row]))
    return Outcome("missed", best, overlap)
