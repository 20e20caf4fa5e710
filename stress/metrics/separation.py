"""How well a score tells two kinds apart: AUROC, AUPR and FPR at 95 % TPR, under weights of groups.

The positive kind is what should be flagged: shifted frames, or failures. At unit weights they are pytorch-ood's
(`OODMetrics`: AUROC, AUPR-OUT by the trapezoidal rule, FPR95TPR), ties included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stress.metrics.scored import Metric
from stress.statistics import Draws, Weights

FEWEST = 10  # of either kind: below, a rank says nothing
TPR = 0.95
METRICS: dict[str, Metric] = {
    m.key: m
    for m in (
        Metric("auroc", "AUROC", "", "chance that a positive has the higher score, ties one half; guessing has 0.5"),
        Metric("aupr", "AUPR", "", "area under precision over recall; guessing has the share of positives"),
        Metric(
            "fpr95",
            "FPR95",
            "",
            "share of negatives that are flagged when 95 % of the positives are",
            higher_is_better=False,
        ),
    )
}


@dataclass(frozen=True, eq=False)
class Told:
    """AUROC, AUPR and FPR95 of one score under every resample, how many positives and negatives there are, and in how
    many groups."""

    draws: dict[str, Draws]
    positives: int
    negatives: int
    groups: int


def separation(
    scores: NDArray[np.floating[Any]], positive: NDArray[np.bool_], group: NDArray[Any], weights: Weights
) -> Told:
    """Return how well scores (M,) tell the positive rows from the others; what has no score is left out.

    group: (M,) index into the columns of the weights; the rows of groups that never count are not counted either
    """
    there = ~np.isnan(scores) & (weights[0, group] > 0)
    scores, positive, group = scores[there], positive[there], group[there].astype(np.int64)
    n, of = len(scores), int(positive.sum())
    found = np.full((len(weights), 3), np.nan)
    if min(of, n - of) >= FEWEST:
        order = np.argsort(-scores, kind="stable")
        found = _kernel(scores[order], positive[order], group[order], weights)
    return Told({key: found[:, i] for i, key in enumerate(METRICS)}, of, n - of, len(np.unique(group)))


@njit(cache=True)
def _kernel(scores, positive, group, weights):  # type: ignore[no-untyped-def]  # numba infers
    """Walk the scores from the highest once for each resample; equal ones are one step."""
    resamples, n = weights.shape[0], len(scores)
    out = np.full((resamples, 3), np.nan)
    for b in range(resamples):
        positives, negatives = 0.0, 0.0
        for i in range(n):
            if positive[i]:
                positives += weights[b, group[i]]
            else:
                negatives += weights[b, group[i]]
        if positives == 0.0 or negatives == 0.0:
            continue
        hits, alarms, before = 0.0, 0.0, 1.0  # before: precision of the step before; 1 where nothing is flagged
        roc, pr, fpr = 0.0, 0.0, -1.0
        i = 0
        while i < n:
            j, p, q = i, 0.0, 0.0
            while j < n and scores[j] == scores[i]:
                if positive[j]:
                    p += weights[b, group[j]]
                else:
                    q += weights[b, group[j]]
                j += 1
            i = j
            if p == 0.0 and q == 0.0:
                continue
            roc += q * (hits + 0.5 * p)
            hits += p
            alarms += q
            precision = hits / (hits + alarms)
            pr += p / positives * 0.5 * (before + precision)
            before = precision
            if fpr < 0.0 and hits >= TPR * positives - 1e-9:
                fpr = alarms / negatives
        out[b, 0], out[b, 1], out[b, 2] = roc / (positives * negatives), pr, fpr
    return out
