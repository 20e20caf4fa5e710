"""Average precision under weights of groups: what COCOeval.accumulate computes, for many resamples at once.

At unit weights it equals the library to the last bit but one; a resample only counts images more or less often, so
matching is done once and never again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stress.metrics.matching import IOU_THRESHOLDS
from stress.statistics import Weights

RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's recall thresholds
N_THRESHOLDS = len(IOU_THRESHOLDS)
EPSILON = float(np.spacing(1))  # as the library divides


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """The finds of one class over a whole cell, by falling score.

    scores (M,); hits, ignored (M,) bit sets over IoU thresholds; group (M,) index of each find's group;
    wanted (G,) objects that count in each group
    """

    scores: NDArray[np.float32]
    hits: NDArray[np.uint16]
    ignored: NDArray[np.uint16]
    group: NDArray[np.int32]
    wanted: NDArray[np.int64]

    @classmethod
    def ordered(
        cls,
        scores: NDArray[np.float32],
        hits: NDArray[np.uint16],
        ignored: NDArray[np.uint16],
        group: NDArray[np.int32],
        wanted: NDArray[np.int64],
    ) -> ClassMatches:
        """Sort the finds of all images by score, ties in the order of the images, as the library does."""
        order = np.argsort(-scores, kind="mergesort")
        return cls(scores[order], hits[order], ignored[order], group[order], wanted)


def weighted_ap(matches: ClassMatches, weights: Weights) -> NDArray[np.float64]:
    """Return (B, T) AP under each row of weights at each IoU threshold; NaN rows where no object counts."""
    last = np.flatnonzero(matches.hits)
    end = int(last[-1]) + 1 if len(last) else 0  # finds after the last right one change no precision at any recall
    wanted = weights.astype(np.int64) @ matches.wanted
    return _weighted_ap(
        matches.hits[:end], matches.ignored[:end], matches.group[:end], wanted.astype(np.float64), weights, RECALLS
    )


def precision_recall(matches: ClassMatches, *, threshold: int = 0) -> NDArray[np.float64] | None:
    """Return (101,) interpolated precision at COCO's recalls, None where no object counts."""
    wanted = float(matches.wanted.sum())
    if wanted == 0:
        return None
    bit = np.uint16(1 << threshold)
    hit, counts = (matches.hits & bit) > 0, (matches.ignored & bit) == 0
    right, wrong = np.cumsum(hit & counts), np.cumsum(~hit & counts)
    precision = right / (right + wrong + np.spacing(1))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(right / wanted, RECALLS, side="left")
    curve = np.zeros(len(RECALLS))
    inside = at < len(envelope)
    curve[inside] = envelope[at[inside]]
    return curve


@njit(cache=True)
def _weighted_ap(hits, ignored, group, wanted, weights, recalls):  # type: ignore[no-untyped-def]  # numba infers
    """Walk the finds once for each resample, by falling score.

    Most finds are wrong at every threshold: they go into one sum, and only the others are told apart by threshold.
    """
    resamples, n = weights.shape[0], len(hits)
    out = np.full((resamples, N_THRESHOLDS), np.nan)
    recall, precision = np.empty((N_THRESHOLDS, n + 1)), np.empty((N_THRESHOLDS, n + 1))
    right, spared, count = np.empty(N_THRESHOLDS), np.empty(N_THRESHOLDS), np.empty(N_THRESHOLDS, np.int64)
    for b in range(resamples):
        if wanted[b] == 0:
            continue
        right[:], spared[:], count[:] = 0.0, 0.0, 0
        seen = 0.0  # weight of all finds so far; `spared` of those that are not wrong, at each threshold
        for i in range(n):
            w = float(weights[b, group[i]])
            if w == 0.0:
                continue
            seen += w
            if hits[i] == 0 and ignored[i] == 0:
                continue
            for t in range(N_THRESHOLDS):
                if (ignored[i] >> t) & 1:
                    spared[t] += w
                elif (hits[i] >> t) & 1:
                    spared[t] += w
                    right[t] += w
                    k = count[t]
                    recall[t, k] = right[t] / wanted[b]
                    precision[t, k] = right[t] / (right[t] + (seen - spared[t]) + EPSILON)
                    count[t] = k + 1
        for t in range(N_THRESHOLDS):
            out[b, t] = _interpolated(recall[t], precision[t], count[t], recalls)
    return out


@njit(cache=True)
def _interpolated(recall, precision, k, recalls):  # type: ignore[no-untyped-def]  # numba infers
    """Return the mean over COCO's recalls of the best precision at that recall or beyond; k points count."""
    for i in range(k - 1, 0, -1):
        if precision[i] > precision[i - 1]:
            precision[i - 1] = precision[i]
    total, i = 0.0, 0
    for r in range(len(recalls)):
        while i < k and recall[i] < recalls[r]:
            i += 1
        if i == k:
            break
        total += precision[i]
    return total / len(recalls)
