"""Calibration: how far what a model is sure of is from how often it is right. All figures under weights of groups.

- ECE: answers in 15 bins of equal width by confidence, mean of |share right - mean confidence| weighted by the answers
  in each bin (Naeini et al. 2015; Guo et al. 2017)
- adaptive ECE: the same with 15 bins of equal mass (Nguyen and O'Connor 2015; Nixon et al. 2019)
- Brier score (Brier 1950): squared distance between the probabilities and the truth as 0 and 1, summed over classes
- NLL: minus the natural logarithm of the probability of the truth
- temperature scaling (Guo et al. 2017): logits divided by one number, which is fitted by NLL

An ECE of few answers is too high by chance alone: every bin is off by something. Below `FEWEST_ANSWERS` there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from stress.metrics.scored import Metric
from stress.statistics import Draws, Weights, ratio

BINS = 15  # Guo et al. 2017
FEWEST_ANSWERS = 30  # two a bin: below, an ECE is the noise of its own bins
LEAST_CHANCE = float(np.finfo(np.float32).eps)  # probabilities are not taken for smaller in NLL, as in scikit-learn
LEAST_SCALED = 1e-30  # ... nor before they are scaled
HOTTEST = 20.0  # temperatures are sought from 1 / HOTTEST to HOTTEST
Sums = NDArray[np.float64]  # (..., BINS, 3): answers, right answers, sum of confidence

METRICS: dict[str, Metric] = {
    m.key: m
    for m in (
        Metric(
            "ece",
            "ECE",
            "",
            f"expected calibration error: |share right - confidence|, mean over {BINS} bins of equal width",
            higher_is_better=False,
        ),
        Metric("adaptive_ece", "adaptive ECE", "", f"the same over {BINS} bins of equal mass", higher_is_better=False),
        Metric(
            "brier",
            "Brier score",
            "",
            "squared distance between probabilities and truth, mean over answers",
            higher_is_better=False,
        ),
        Metric("nll", "NLL", "", "minus the logarithm of the probability of the truth", higher_is_better=False),
    )
}


@dataclass(frozen=True, eq=False)
class Answers:
    """M answers of a cell: shares (M, K) probability of each class, truth (M,) the right one, called (M,) the one that
    was answered, group (M,) index of the group; pair: K = 2 stands for one probability, of being right or not."""

    shares: NDArray[np.float64]
    truth: NDArray[np.int64]
    called: NDArray[np.int64]
    group: NDArray[np.int64]
    pair: bool = False

    @classmethod
    def of_shares(
        cls, shares: NDArray[np.floating[Any]], truth: NDArray[Any], group: NDArray[Any], *, known: int | None = None
    ) -> Answers:
        """Take the likeliest of the first `known` classes (of all where not given) for the answer."""
        shares = np.asarray(shares, np.float64)
        best = shares[:, :known].argmax(axis=1) if len(shares) else np.zeros(0, np.int64)
        return cls(shares, np.asarray(truth, np.int64), best, np.asarray(group, np.int64))

    @classmethod
    def of_finds(cls, scores: NDArray[np.floating[Any]], right: NDArray[np.bool_], group: NDArray[Any]) -> Answers:
        """Take scores of finds for the probability that each is right."""
        sure = np.asarray(scores, np.float64)
        shares = np.stack([1.0 - sure, sure], axis=1)
        called = np.ones(len(sure), np.int64)
        return cls(shares, right.astype(np.int64), called, np.asarray(group, np.int64), pair=True)

    def only(self, kept: NDArray[np.bool_]) -> Answers:
        """Return the answers of some rows."""
        return Answers(self.shares[kept], self.truth[kept], self.called[kept], self.group[kept], self.pair)

    def scaled(self, temperature: float) -> Answers:
        """Return the same answers, their logits divided by a temperature."""
        return Answers(scale(self.shares, temperature), self.truth, self.called, self.group, self.pair)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(M,) probability of what was answered."""
        return self.shares[np.arange(len(self.called)), self.called]

    @property
    def right(self) -> NDArray[np.bool_]:
        """(M,) whether the answer is the truth."""
        return self.called == self.truth

    @property
    def nll(self) -> NDArray[np.float64]:
        """(M,) minus log probability of the truth."""
        return -np.log(np.maximum(self.shares[np.arange(len(self.truth)), self.truth], LEAST_CHANCE))

    @property
    def brier(self) -> NDArray[np.float64]:
        """(M,) squared distance to the truth, summed over classes; of a pair, that of the one probability."""
        wanted = np.zeros_like(self.shares)
        wanted[np.arange(len(self.truth)), self.truth] = 1.0
        squares = (self.shares - wanted) ** 2
        return squares[:, 1] if self.pair else squares.sum(axis=1)


def figures(answers: Answers, n_groups: int, weights: Weights) -> dict[str, Draws]:
    """Return ECE, adaptive ECE, Brier score and NLL of answers under each row of weights; NaN where there are few."""
    if len(answers.right) < FEWEST_ANSWERS:
        return {key: np.full(len(weights), np.nan) for key in METRICS}
    binned = weighted(sums_of(answers, n_groups), weights)
    return {
        "ece": ece(binned),
        "adaptive_ece": adaptive_ece(answers, weights),
        "brier": group_mean(answers.brier, answers.group, n_groups, weights),
        "nll": group_mean(answers.nll, answers.group, n_groups, weights),
    }


def bin_of(confidence: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return the bin of each confidence; bins are open below and closed above, as in Guo et al.

    >>> bin_of(np.array([0.0, 1 / 15, 0.07, 1.0])).tolist()
    [0, 0, 1, 14]
    """
    return np.clip(np.ceil(np.asarray(confidence, np.float64) * BINS - 1e-12).astype(np.int64) - 1, 0, BINS - 1)


def sums_of(answers: Answers, n_groups: int) -> Sums:
    """Return (G, BINS, 3) answers, right answers and confidence of each group and bin."""
    sums = np.zeros((n_groups, BINS, 3))
    sure, right = answers.confidence, answers.right
    np.add.at(sums, (answers.group, bin_of(sure)), np.stack([np.ones(len(sure)), right, sure], axis=1))
    return sums


def weighted(sums: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """Return (B, ...) the sums of (G, ...) groups under each row of weights."""
    return (weights.astype(np.float64) @ sums.reshape(len(sums), -1)).reshape(len(weights), *sums.shape[1:])


def ece(binned: Sums) -> Draws:
    """Return (B,) expected calibration error of (B, bins, 3) sums."""
    gaps = np.abs(binned[..., 1] - binned[..., 2]).sum(axis=-1)
    return ratio(gaps, binned[..., 0].sum(axis=-1))


def adaptive_ece(answers: Answers, weights: Weights) -> Draws:
    """Return (B,) calibration error over bins of equal mass; answers of one confidence are spread over their bins."""
    sure, right = answers.confidence, answers.right.astype(np.float64)
    order = np.argsort(sure, kind="stable")
    return _equal_mass(sure[order], right[order], answers.group[order], weights)


@njit(cache=True)
def _equal_mass(confidence, right, group, weights):  # type: ignore[no-untyped-def]  # numba infers
    resamples, n = weights.shape[0], len(confidence)
    out = np.full(resamples, np.nan)
    gap = np.empty(BINS)
    for b in range(resamples):
        total = 0.0
        for i in range(n):
            total += weights[b, group[i]]
        if total == 0.0:
            continue
        gap[:] = 0.0
        seen, i = 0.0, 0
        while i < n:
            j, mass, apart = i, 0.0, 0.0
            while j < n and (j == i or confidence[j] == confidence[i]):
                w = float(weights[b, group[j]])
                mass += w
                apart += w * (right[j] - confidence[j])
                j += 1
            start, end = seen * BINS / total, (seen + mass) * BINS / total
            k = min(int(start), BINS - 1)
            if j == i + 1:
                gap[k] += apart
            elif mass > 0.0:  # equal ones have no order: each bin has its share of all of them
                while k < BINS and k < end:
                    gap[k] += apart * (min(end, k + 1.0) - max(start, float(k))) / (end - start)
                    k += 1
            seen, i = seen + mass, j
        out[b] = np.abs(gap).sum() / total
    return out


def group_mean(values: NDArray[np.float64], group: NDArray[np.int64], n_groups: int, weights: Weights) -> Draws:
    """Return (B,) mean of (M,) values under each row of weights."""
    sums = np.stack(
        [np.bincount(group, values, n_groups), np.bincount(group, minlength=n_groups).astype(np.float64)], axis=1
    )
    of_weights = weighted(sums, weights)
    return ratio(of_weights[:, 0], of_weights[:, 1])


def scale(shares: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return probabilities (M, K) whose logits are divided by a temperature.

    >>> scale(np.array([[0.2, 0.8]]), 1.0).round(3).tolist()
    [[0.2, 0.8]]
    """
    logits = np.log(np.maximum(shares, LEAST_SCALED)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True)) if len(logits) else logits
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(answers: Answers) -> float | None:
    """Return the temperature of least NLL; None where answers are too few, or all right or all wrong."""
    if len(answers.right) < FEWEST_ANSWERS or answers.right.all() or not answers.right.any():
        return None
    rows = np.arange(len(answers.truth))

    def loss(log_temperature: float) -> float:
        shares = scale(answers.shares, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(shares[rows, answers.truth], LEAST_CHANCE)).mean())

    limit = float(np.log(HOTTEST))
    found = minimize_scalar(loss, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-4})
    return round(float(np.exp(found.x)), 4)
