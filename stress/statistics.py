"""Confidence intervals by bootstrap over groups: sequences where known, else frames (Efron and Tibshirani 1993).

Frames of one drive resemble each other, so whole groups are drawn with replacement. Every cell of a run is resampled
with the same groups, so that a difference to the clean figure is paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import t as student

from synth.random import Rng

FEWEST_GROUPS = 5  # an interval over fewer says nothing: 4 groups have 35 distinct resamples
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


def figure(draws: Draws, groups: int, *, share: bool | None = None) -> Figure:
    """Return value and 95 % interval of a figure; the interval is None where it would say nothing.

    Student's t around the value, with the standard error of the resamples, which the bootstrap makes too small by
    sqrt(1 - 1 / n) (Efron and Tibshirani 1993, 5.3): steadier than percentiles, whose ends hang on a handful of
    resamples. A figure between 0 and 1 has it on the scale of its log odds, so that it stays there and leans as it has
    to near the ends (Agresti 2013, 3.1.6, for a share); see docs/statistics.md for what that covers.

    share: whether the figure can lie in [0, 1] only, so that 1.0 in every group still leaves room below; False for a
           difference, whose interval may hold 0 whatever the resamples say; told by these where not given

    >>> figure(np.array([0.5, np.nan]), 9)
    Figure(value=0.5, low=None, high=None, n=9)
    """
    value = None if np.isnan(draws[0]) else float(draws[0])
    resampled = draws[1:][~np.isnan(draws[1:])]
    if value is None or min(groups, carrying_groups(draws, groups)) < FEWEST_GROUPS or len(resampled) < 2:
        return Figure(value=value, low=None, high=None, n=groups)
    error = standard_error(resampled, groups)
    low, high = _interval(value, error, resampled, groups, share=share)
    return Figure(value=value, low=low, high=high, n=groups)


def _interval(
    value: float, error: float, resampled: NDArray[np.float64], groups: int, *, share: bool | None
) -> tuple[float, float]:
    t = float(student.ppf(0.975, df=groups - 1))
    between = bool(min(value, resampled.min()) >= 0 and max(value, resampled.max()) <= 1) if share is None else share
    if not between or (error == 0 and not (share and value in (0.0, 1.0))):
        return value - t * error, value + t * error
    if value in (0.0, 1.0):  # every group says the same: the exact interval of n successes or none (Clopper, Pearson)
        room = 1.0 - 0.025 ** (1.0 / groups)
        return (1.0 - room, 1.0) if value == 1.0 else (0.0, room)
    odds, reach = math.log(value / (1.0 - value)), t * error / (value * (1.0 - value))
    return float(expit(odds - reach)), float(expit(odds + reach))


def standard_error(resampled: NDArray[np.float64], groups: int) -> float:
    """Return the standard error that resamples of a figure have, the bootstrap's shortage made good."""
    return float(resampled.std(ddof=1)) * math.sqrt(groups / (groups - 1))


def carrying_groups(draws: Draws, groups: int) -> float:
    """Return about how many groups a figure hangs on, at most: k of n are in no resample exp(-k) of the time.

    A class that is in two drives of a hundred has no value in about every seventh resample: too few for an interval.

    >>> carrying_groups(np.array([0.5, 0.4, 0.6]), 100)
    100.0
    """
    unknown = float(np.isnan(draws[1:]).mean()) if len(draws) > 1 else 1.0
    if unknown == 0.0:
        return float(groups)
    if unknown == 1.0:
        return 0.0
    return min(float(groups), groups * (1.0 - unknown ** (1.0 / groups)))  # (1 - k / n) ** n = unknown


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
