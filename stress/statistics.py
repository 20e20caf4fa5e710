"""Confidence intervals by bootstrap over groups: sequences where known, else frames (Efron and Tibshirani 1993).

Frames of one drive resemble each other, so whole groups are drawn with replacement. Every cell of a run is resampled
with the same groups, so that a difference to the clean figure is paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from synth.random import Rng

FEWEST_GROUPS = 5  # a percentile interval over fewer says nothing: 4 groups have 35 distinct resamples
NORMAL_975 = 1.959964  # 97.5 % quantile of the standard normal
Weights = NDArray[np.int32]  # (1 + B, G) how often a group counts; row 0 is all ones, the data as they are
Draws = NDArray[np.float64]  # (1 + B,) a figure under each row of the weights; NaN where it is not defined


@dataclass(frozen=True)
class Figure:
    """A value, its 95 % interval, and the number of groups it was resampled over."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def group_weights(groups: int, resamples: int, *, seed: int) -> Weights:
    """Return (1 + resamples, groups) counts: ones, then how often each group is in each resample.

    >>> group_weights(3, 2, seed=0).sum(axis=1).tolist()
    [3, 3, 3]
    """
    drawn = (Rng("bootstrap", seed).uniforms(resamples, groups) * groups).astype(np.int64) if groups else None
    weights = np.ones((1 + resamples, groups), np.int32)
    if drawn is not None:
        for row, picks in enumerate(drawn, start=1):
            weights[row] = np.bincount(picks, minlength=groups)
    return weights


def figure(draws: Draws, groups: int) -> Figure:
    """Return value and 95 % interval of a figure; the interval is None where it would say nothing.

    The percentile interval, widened about the value for few groups: the bootstrap's spread is short by
    sqrt(n / (n - 1)), and Student's t takes the place of the normal (Hesterberg, The American Statistician, 2015). It
    does not leave [0, 1] where no resample does.

    >>> figure(np.array([0.5, np.nan]), 9)
    Figure(value=0.5, low=None, high=None, n=9)
    """
    value = None if np.isnan(draws[0]) else float(draws[0])
    resampled = draws[1:][~np.isnan(draws[1:])]
    if value is None or groups < FEWEST_GROUPS or len(resampled) < len(draws[1:]) // 2 or not len(resampled):
        return Figure(value=value, low=None, high=None, n=groups)
    wider = float(student.ppf(0.975, df=groups - 1) / NORMAL_975 * np.sqrt(groups / (groups - 1)))
    low, high = value + wider * (np.percentile(resampled, (2.5, 97.5)) - value)
    if resampled.min() >= 0 and resampled.max() <= 1:
        low, high = max(low, 0.0), min(high, 1.0)
    return Figure(value=value, low=float(low), high=float(high), n=groups)


def mean_of(draws: Sequence[Draws] | NDArray[np.float64]) -> Draws:
    """Return the mean over figures under each resample, leaving out what is not defined there."""
    stacked = np.asarray(draws, np.float64)
    known = ~np.isnan(stacked)
    count = known.sum(axis=0)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return above / below, NaN where the denominator is zero."""
    defined = below != 0
    return np.where(defined, above / np.where(defined, below, 1.0), np.nan)
