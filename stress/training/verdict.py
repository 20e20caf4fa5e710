"""The words "helped", "no evidence" and "hurt", and the test behind them.

A figure of an arm is known for each training seed and under each resample of the frame groups: (S, 1 + B), column 0 the
data as they are. The same seeds and the same resamples are behind every arm, so differences are paired. Both seeds and
groups are samples of what might have been: the variance of a mean difference is

    var over seeds of the difference, / S   +   var over resampled groups of its mean over seeds

(a crossed design: Owen, The pigeonhole bootstrap, Ann. Appl. Stat. 2007; what both share counts twice, which errs on
the side of no evidence). Student's t is that of Cochran and Cox (Experimental Designs, 1957, 4.14): the quantiles for
S - 1 and for n - 1 degrees of freedom, weighted by the two variances. The usual degrees of freedom, after Welch and
Satterthwaite, let 95 % intervals of three seeds cover 92 % where seeds matter most; these cover 95 to 97 %.

`helped` and `hurt` need the same sign and p < 0.05 against *each* control (intersection-union test, Berger 1982: as
strict as against the better one, and choosing it afterwards costs nothing), after Holm (1979) over the rows of a table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from stress.statistics import FEWEST_GROUPS

HELPED, NO_EVIDENCE, HURT = "helped", "no evidence", "hurt"
ALPHA = 0.05
FEWEST_SEEDS = 3
LEAST_P = 1e-12  # smaller ones are not told apart
Seeded = NDArray[np.float64]  # (S, 1 + B) a figure for each training seed and resample of the groups


@dataclass(frozen=True)
class Effect:
    """A mean over seeds (of a figure, or of a difference), its 95 % interval, and the two-sided p-value of no effect.

    seed_share: part of the variance that comes from training seeds
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    seed_share: float | None = None


def effect(draws: Seeded, n_groups: int) -> Effect:
    """Return the mean over seeds with an interval that counts seeds and groups; None where too few groups tell.

    With one seed, or for a model that no seed made, groups alone are counted: an interval, but no p-value for one seed.

    >>> effect(np.array([[0.5, 0.4, 0.6]]), 3)
    Effect(value=0.5, low=None, high=None, p=None, seed_share=None)
    """
    known = ~np.isnan(draws).any(axis=0)
    if not known[0]:
        return Effect(None)
    value = float(draws[:, 0].mean())
    resampled = draws[:, 1:][:, known[1:]].mean(axis=0)
    if n_groups < FEWEST_GROUPS or len(resampled) < max(2, (draws.shape[1] - 1) // 2):
        return Effect(value)
    seeds = len(draws)
    of_groups = float(resampled.var(ddof=1)) * n_groups / (n_groups - 1)
    of_seeds = float(draws[:, 0].var(ddof=1)) / seeds if seeds > 1 else 0.0
    total = of_groups + of_seeds
    if total == 0:
        return Effect(value, value, value, None if seeds < 2 or value else 1.0)
    error = _Error(of_seeds, of_groups, seeds, n_groups)
    reach = error.reach(ALPHA)
    return Effect(value, value - reach, value + reach, error.p(abs(value)) if seeds > 1 else None, of_seeds / total)


@dataclass(frozen=True)
class _Error:
    """The variance of a mean by its two sources, and how far chance reaches."""

    of_seeds: float
    of_groups: float
    seeds: int
    groups: int

    def reach(self, alpha: float) -> float:
        """Return half the width of the interval of confidence 1 - alpha."""
        of_groups = self.of_groups * -float(stdtrit(self.groups - 1, alpha / 2))
        of_seeds = self.of_seeds * -float(stdtrit(self.seeds - 1, alpha / 2)) if self.seeds > 1 else 0.0
        return (of_seeds + of_groups) / math.sqrt(self.of_seeds + self.of_groups)

    def p(self, distance: float) -> float:
        """Return the two-sided p-value: the alpha whose interval just reaches as far."""
        low, high = LEAST_P, 1.0
        if self.reach(low) < distance:
            return low
        for _ in range(60):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.reach(middle) > distance else (low, middle)
        return high


@dataclass(frozen=True)
class Row:
    """One question: an arm against each control. `better` is the control with the better mean."""

    against: Mapping[str, Effect]
    better: str
    p: float | None
    sign: int
    n_seeds: int
    n_groups: int
    word: str = NO_EVIDENCE
    reason: str = ""
    p_corrected: float | None = field(default=None)


def question(feedback: Seeded, controls: Mapping[str, Seeded], n_groups: int, *, higher_is_better: bool = True) -> Row:
    """Ask whether an arm differs from all its controls; the word comes with `answered`."""
    way = 1.0 if higher_is_better else -1.0
    against = {name: effect(feedback - control, n_groups) for name, control in controls.items()}
    means = {name: way * float(np.nanmean(control[:, 0])) for name, control in controls.items()}
    better = max(means, key=lambda name: means[name])
    values = [way * e.value for e in against.values() if e.value is not None]
    signs = {int(np.sign(v)) for v in values}
    sign = signs.pop() if len(values) == len(against) and len(signs) == 1 else 0
    p_values = [e.p for e in against.values()]
    known = [p for p in p_values if p is not None]
    p = None if len(known) < len(p_values) else (max(known) if sign else 1.0)
    return Row(against, better, p, sign, len(feedback), n_groups)


def answered(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with their words, p-values corrected for the number of rows (Holm)."""
    return [_answer(row, p) for row, p in zip(rows, corrected([row.p for row in rows]), strict=True)]


def corrected(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for their number after Holm (1979); unknown ones do not count.

    >>> corrected([0.04, None, 0.01])
    [0.04, None, 0.02]
    """
    order = sorted((i for i, p in enumerate(p_values) if p is not None), key=lambda i: p_values[i] or 0.0)
    found: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * (p_values[i] or 0.0)))
        found[i] = largest
    return found


def _answer(row: Row, p: float | None) -> Row:
    word, reason = NO_EVIDENCE, ""
    if row.n_groups < FEWEST_GROUPS:
        reason = f"only {row.n_groups} group{'s' * (row.n_groups != 1)} of frames, {FEWEST_GROUPS} are needed"
    elif row.n_seeds < FEWEST_SEEDS:
        reason = f"only {row.n_seeds} training seed{'s' * (row.n_seeds != 1)}, {FEWEST_SEEDS} are needed"
    elif p is None:
        reason = "too little is known of the figure to test it"
    elif p >= ALPHA or row.sign == 0:
        reason = "chance explains the difference" if row.sign else f"better than one control, not than {row.better}"
    else:
        word = HELPED if row.sign > 0 else HURT
    return Row(row.against, row.better, row.p, row.sign, row.n_seeds, row.n_groups, word, reason, p)
