"""Localisation recall precision error: one figure for what is misplaced, invented and missed.

Oksuz, Cam, Akbas and Kalkan, "Localization Recall Precision (LRP)", ECCV 2018; Oksuz, Cam, Kalkan and Akbas, "One
Metric to Measure them All: Localisation Recall Precision (LRP) for Evaluating Visual Detection Tasks", TPAMI 2021.

Of the finds of one class from a score on, N_TP of which take a true object with IoU of at least tau = 0.5:

    LRP = (sum over true positives of (1 - IoU) / (1 - tau) + N_FP + N_FN) / (N_TP + N_FP + N_FN)

0 is perfect, 1 is nothing found. Optimal LRP (oLRP) is the least over score thresholds; both are means over classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stress.metrics.scored import IOU_THRESHOLD, SCORE_THRESHOLD, Metric
from stress.statistics import Draws, Weights, mean_of, ratio

LEAST_SCORE = 0.05  # finds below are not kept for this figure
THRESHOLDS = np.round(np.arange(LEAST_SCORE, 1.0, 0.01), 2)  # steps of 0.01, as in the paper's code
AT = int(np.flatnonzero(THRESHOLDS == SCORE_THRESHOLD)[0])
_PART = "of finds and objects at score 0.5, mean over classes"

METRICS: dict[str, Metric] = {
    m.key: m
    for m in (
        Metric("lrp", "LRP", "", "misplaced, invented and missed together, at score 0.5", higher_is_better=False),
        Metric(
            "olrp",
            "optimal LRP",
            "",
            f"the least LRP over score thresholds from {LEAST_SCORE}, of each class",
            higher_is_better=False,
        ),
        Metric("lrp_location", "misplaced", "", f"1 - IoU of right finds, {_PART}", higher_is_better=False),
        Metric("lrp_invented", "invented", "", f"share of finds that are wrong, {_PART}", higher_is_better=False),
        Metric("lrp_missed", "missed", "", f"share of objects that are not found, {_PART}", higher_is_better=False),
    )
}


@dataclass(frozen=True, eq=False)
class FoundObjects:
    """Finds of a cell: scores (M,), classes (M,), ious (M,) with the true object each took (0: none), group (M,);
    wanted (G, E) objects that count."""

    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    ious: NDArray[np.float64]
    group: NDArray[np.int64]
    wanted: NDArray[np.int64]


def figures(found: FoundObjects, weights: Weights) -> dict[str, Draws]:
    """Return LRP at score 0.5, its parts, and optimal LRP: means over the classes that have objects."""
    by_class: dict[str, list[Draws]] = {key: [] for key in METRICS}
    for c in np.flatnonzero(found.wanted.sum(axis=0) > 0):
        for key, draws in _of_class(found, int(c), weights).items():
            by_class[key].append(draws)
    nothing = np.full(len(weights), np.nan)
    return {key: mean_of(draws) if draws else nothing for key, draws in by_class.items()}


def _of_class(found: FoundObjects, c: int, weights: Weights) -> dict[str, Draws]:
    """Return the figures of one class: counts of groups at each threshold, then their sums under the weights."""
    n_groups, steps = len(found.wanted), len(THRESHOLDS)
    counts = np.zeros((n_groups, steps, 3))  # right finds, their summed (1 - IoU), wrong finds
    rows = np.flatnonzero(found.classes == c)
    step = np.searchsorted(THRESHOLDS, found.scores[rows], side="right") - 1  # the last threshold it reaches
    rows, step = rows[step >= 0], step[step >= 0]
    right = found.ious[rows] > 0
    values = np.stack([right, np.where(right, 1.0 - found.ious[rows], 0.0), ~right], axis=1).astype(np.float64)
    np.add.at(counts, (found.group[rows], step), values)
    counts = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    of_weights = (weights.astype(np.float64) @ counts.reshape(n_groups, -1)).reshape(len(weights), steps, 3)
    wanted = (weights.astype(np.float64) @ found.wanted[:, c])[:, None]
    taken, apart, wrong = (of_weights[..., i] for i in range(3))
    missed = wanted - taken
    lrp = ratio(apart / (1.0 - IOU_THRESHOLD) + wrong + missed, taken + wrong + missed)
    lrp = np.where(wanted > 0, lrp, np.nan)
    return {
        "lrp": lrp[:, AT],
        "olrp": lrp.min(axis=1),  # NaN where a resample has no object of the class
        "lrp_location": ratio(apart[:, AT], taken[:, AT]),
        "lrp_invented": ratio(wrong[:, AT], (taken + wrong)[:, AT]),
        "lrp_missed": ratio(missed[:, AT], wanted[:, 0]),
    }
