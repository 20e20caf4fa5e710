"""Slices: sets of objects, named by a few attributes, on which something goes wrong more often than elsewhere.

A beam search over conjunctions of attribute values (as in Slice Finder, Chung et al., ICDE 2019, and SliceLine,
Sagadeeva and Boehm, SIGMOD 2021) looks for them in one half of the groups; the other half tests what was found, so that
a slice is not believed because it was sought. The test compares the mean inside with the mean outside by Student's t,
with standard errors over groups (objects of one drive are no independent witnesses) and the degrees of freedom of the
side that stands on fewer groups (Carter, Schnepel and Steigerwald 2017), one-sided, corrected after Holm (1979).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from synth.random import Rng

Mask = NDArray[np.bool_]
Column = NDArray[Any]
QUANTILES = (0.2, 0.4, 0.6, 0.8)
FINE = tuple(i / 20 for i in range(1, 20))  # quantiles at which the numbers of a slice that was found are sharpened
SAME = 0.6  # share of common rows from which two slices tell the same story
INSIDE, ALIKE = 0.9, 0.1  # share of a slice that lies in another one, difference of means: the same story too
FEW_VALUES = 6  # of a number, as severities have: cut between all of them
SHORTER = 0.92  # of its worth is enough for a slice to go by fewer conditions
LEVEL = 0.05


@dataclass(frozen=True)
class Predicate:
    """One condition on one attribute: `is` a value, at least (`from`) or under (`below`) a number."""

    attribute: str
    kind: str  # "is" | "from" | "below"
    value: str | float

    def mask(self, column: Column) -> Mask:
        """Return where the condition holds; unknown numbers (NaN) meet none."""
        if self.kind == "is":
            return np.asarray(column == self.value)
        numbers = column.astype(np.float64)
        limit = float(self.value)
        return np.asarray(numbers >= limit if self.kind == "from" else numbers < limit)


@dataclass(frozen=True)
class Slice:
    """A slice and how it did on the half it was not sought in.

    mean:    mean of the target inside, rest: outside; n: rows, groups: groups inside
    p:       one-sided, of mean > rest; None where too few groups tell
    p_corrected, significant: after Holm over all slices that were tested
    """

    predicates: tuple[Predicate, ...]
    mean: float
    rest: float
    n: int
    groups: int
    p: float | None
    p_corrected: float | None = None
    significant: bool = False


def halves(groups: NDArray[np.int64], *, seed: int) -> Mask:
    """Return (rows,) True for the half of the groups that slices are sought in."""
    known = np.unique(groups)
    order = np.argsort(Rng("slices", seed).uniforms(len(known)), kind="stable")
    return np.isin(groups, known[order[: (len(known) + 1) // 2]])


def find_slices(
    attributes: Mapping[str, Column],
    target: NDArray[np.float64],
    groups: NDArray[np.int64],
    *,
    depth: int = 4,
    beam: int = 24,
    least: int = 20,
    keep: int = 12,
    seed: int = 0,
) -> list[Slice]:
    """Return slices whose mean target is high, the worst first.

    attributes: name -> (rows,) texts or numbers; target: (rows,) e.g. 1 for a miss; groups: (rows,) index
    depth:      most conditions of a slice; least: rows that it has at least in each half
    keep:       slices that are looked at in the other half; as many of them are tested as its groups can confirm
    """
    if not len(target):
        return []
    several = len(np.unique(groups)) > 1
    sought = halves(groups, seed=seed) if several else np.ones(len(target), np.bool_)
    half = Half({name: column[sought] for name, column in attributes.items()}, target[sought], least)
    found = [half.polished(predicates) for _, predicates in _search(half, depth=depth, beam=beam)[: 4 * keep]]
    chosen = half.distinct(found, keep)
    other = ~sought if several else sought  # of one group a slice can be seen, and no more
    there = {name: column[other] for name, column in attributes.items()}
    seen = [_measured(p, there, target[other], groups[other]) for p in chosen]
    seen = [s for s in seen if s.n >= least]
    told = _tellable(groups[other]) if several else 0
    tested = [replace(s, p=_p_value(holds(s.predicates, there), target[other], groups[other])) for s in seen[:told]]
    return _corrected([*tested, *seen[told:]])


def _tellable(groups: NDArray[np.int64]) -> int:
    """Return how many slices so many groups can confirm at most, the best of the search first.

    All groups agreeing has p = 2 ** -n, which Holm multiplies by the number of tests: five groups can confirm one.
    """
    return int(LEVEL * 2.0 ** min(len(np.unique(groups)), 30))


def _worth(gap: float, n: int) -> float:
    """Rank slices by how much worse they are, and a little by their size: twice as bad is worth sixteen times fewer."""
    return gap * n**0.25


def _predicates(attributes: Mapping[str, Column]) -> Iterator[Predicate]:
    for name, column in attributes.items():
        if column.dtype.kind in "fiu":
            for cut in _cuts(column, QUANTILES):
                yield Predicate(name, "from", float(cut))
                yield Predicate(name, "below", float(cut))
        else:
            for value in np.unique(column):
                yield Predicate(name, "is", str(value))


def _cuts(column: Column, quantiles: Sequence[float]) -> list[float]:
    """Return the numbers at which an attribute is cut: between its values where they are few, else at quantiles."""
    known = column[np.isfinite(column.astype(np.float64))].astype(np.float64)
    values = np.unique(known)
    if len(values) <= FEW_VALUES:
        return [float(v) for v in values[1:]]
    return sorted({_round(v) for v in np.quantile(known, quantiles)})


def _round(value: float) -> float:
    """Return a number with two significant digits: people remember 40 m, not 39.7 m."""
    return float(f"{value:.2g}")


@dataclass(frozen=True, eq=False)
class Half:
    """The half that slices are sought in. least: rows that a slice has at least."""

    attributes: Mapping[str, Column]
    target: NDArray[np.float64]
    least: int

    @cached_property
    def overall(self) -> float:
        return float(self.target.mean())

    @cached_property
    def lost(self) -> NDArray[np.int64]:
        """(K,) rows that count in the target; all others are 0."""
        return np.flatnonzero(self.target)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        return self.target[self.lost]

    def mean(self, mask: Mask) -> float:
        n = int(np.count_nonzero(mask))
        return float(self.weights @ mask[self.lost]) / n if n else math.nan

    def worth(self, mask: Mask) -> float:
        """Return the rank of a slice, 0 where it is too small, all, or no worse than the whole."""
        n = int(np.count_nonzero(mask))
        return 0.0 if n < self.least or n == len(mask) else max(_worth(self.mean(mask) - self.overall, n), 0.0)

    def polished(self, predicates: tuple[Predicate, ...]) -> tuple[Predicate, ...]:
        """Return a slice with its numbers where they tell most, and without conditions that add nothing."""
        for i, p in enumerate(predicates):
            column = self.attributes[p.attribute]
            if p.kind != "is" and len(np.unique(column[np.isfinite(column.astype(np.float64))])) > FEW_VALUES:
                choices = [(*predicates[:i], Predicate(p.attribute, p.kind, cut), *predicates[i + 1 :])
                           for cut in _cuts(column, FINE)]  # fmt: skip
                predicates = max([predicates, *choices], key=lambda c: self.worth(holds(c, self.attributes)))
        while len(predicates) > 1:
            fewer = [predicates[:i] + predicates[i + 1 :] for i in range(len(predicates))]
            best = max(fewer, key=lambda c: self.worth(holds(c, self.attributes)))
            if self.worth(holds(best, self.attributes)) < SHORTER * self.worth(holds(predicates, self.attributes)):
                break
            predicates = best
        return predicates

    def distinct(self, found: Sequence[tuple[Predicate, ...]], keep: int) -> list[tuple[Predicate, ...]]:
        """Return the best conjunctions that do not tell the same story: of two that mostly agree, the better one."""
        ranked = [(self.worth(mask), p, mask) for p in dict.fromkeys(found) for mask in [holds(p, self.attributes)]]
        chosen: list[tuple[tuple[Predicate, ...], Mask]] = []
        for _, predicates, mask in sorted(ranked, key=lambda item: -item[0]):
            if not any(self._same(mask, own) for _, own in chosen):
                chosen.append((predicates, mask))
            if len(chosen) == keep:
                break
        return [predicates for predicates, _ in chosen]

    def _same(self, one: Mask, other: Mask) -> bool:
        both, either = np.count_nonzero(one & other), np.count_nonzero(one | other)
        smaller = min(np.count_nonzero(one), np.count_nonzero(other))
        if both >= SAME * either:
            return True
        return bool(both >= INSIDE * smaller and abs(self.mean(one) - self.mean(other)) < ALIKE)


def _search(half: Half, *, depth: int, beam: int) -> list[tuple[float, tuple[Predicate, ...]]]:
    """Return scored conjunctions, best first."""
    single = [(p, p.mask(half.attributes[p.attribute])) for p in _predicates(half.attributes)]
    level: list[tuple[tuple[Predicate, ...], Mask]] = [((p,), mask) for p, mask in single]
    found: dict[frozenset[Predicate], tuple[float, tuple[Predicate, ...]]] = {}
    for _ in range(depth):
        scored = [(score, p, mask) for p, mask in level if (score := half.worth(mask)) > 0]
        scored.sort(key=lambda item: -item[0])
        kept = scored[:beam]
        for score, predicates, _mask in kept:
            found.setdefault(frozenset(predicates), (score, predicates))
        longer: dict[frozenset[Predicate], tuple[tuple[Predicate, ...], Mask]] = {}
        for _, predicates, mask in kept:
            used = {(p.attribute, p.kind) for p in predicates}
            closed = {p.attribute for p in predicates if p.kind == "is"}
            for p, own in single:
                if (p.attribute, p.kind) not in used and p.attribute not in closed and not _implied(p, predicates):
                    longer.setdefault(frozenset((*predicates, p)), ((*predicates, p), mask & own))
        level = list(longer.values())
    return sorted(found.values(), key=lambda item: -item[0])


def _implied(p: Predicate, predicates: Sequence[Predicate]) -> bool:
    """Tell whether a shift stands beside its own family already, or the other way round."""
    pair = {"family", "shift"}
    return p.attribute in pair and any(other.attribute in pair for other in predicates)


def holds(predicates: Sequence[Predicate], attributes: Mapping[str, Column]) -> Mask:
    """Return (rows,) where all conditions hold; what has not the attribute meets none on it."""
    mask = np.ones(len(next(iter(attributes.values()))), np.bool_)
    for p in predicates:
        mask &= p.mask(attributes[p.attribute]) if p.attribute in attributes else False
    return mask


def _measured(
    predicates: tuple[Predicate, ...],
    attributes: Mapping[str, Column],
    target: NDArray[np.float64],
    groups: NDArray[np.int64],
) -> Slice:
    inside = holds(predicates, attributes)
    n = int(np.count_nonzero(inside))
    mean = float(target[inside].mean()) if n else math.nan
    rest = float(target[~inside].mean()) if n < len(target) else math.nan
    ordered = tuple(sorted(predicates, key=lambda p: (p.attribute, p.kind)))
    return Slice(ordered, mean, rest, n, len(np.unique(groups[inside])), None)


def _p_value(inside: Mask, target: NDArray[np.float64], groups: NDArray[np.int64]) -> float | None:
    """Return the one-sided p-value of mean(inside) > mean(outside), standard error over groups (linearised).

    The error is as good as the side that stands on fewer groups: small-sample correction and degrees of freedom are by
    the effective number of groups there (see `_effective`). By all groups, a slice in 8 of 50 groups of uneven sizes
    would be named ten times too often.
    """
    _, group = np.unique(groups, return_inverse=True)
    count = int(group.max()) + 1 if len(group) else 0
    n, m = int(inside.sum()), int((~inside).sum())
    if count < 5 or not n or not m or len(np.unique(group[inside])) < 3:
        return None
    effective = min(_effective(group[inside]), _effective(group[~inside]))
    if effective < 2.0:
        return None  # nearly all of it is one group
    a, b = target[inside].mean(), target[~inside].mean()
    influence = np.where(inside, (target - a) / n, -(target - b) / m)
    per_group = np.bincount(group, weights=influence, minlength=count)
    error = math.sqrt(effective / (effective - 1.0) * float((per_group**2).sum()))
    # Where all groups say the same there is no spread to measure: no surer than the sign test over the groups inside.
    surest = 0.5 ** len(np.unique(group[inside]))
    if error == 0:
        return surest if a > b else 1.0
    return max(float(student.sf(float(a - b) / error, df=effective - 1.0)), surest)


def _effective(groups: NDArray[np.int64]) -> float:
    """Return how many groups of one size tell as much as these (Kish 1965): one that has nearly all rows is nearly one.

    >>> _effective(np.array([0, 0, 1, 1])), round(_effective(np.array([0] * 98 + [1, 2])), 2)
    (2.0, 1.04)
    """
    rows = np.bincount(groups).astype(np.float64)
    return float(rows.sum() ** 2 / (rows**2).sum())


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for their number (Holm 1979); None stays None and does not count.

    >>> holm([0.01, None, 0.04])
    [0.02, None, 0.04]
    """
    order = sorted((i for i, p in enumerate(p_values) if p is not None), key=lambda i: p_values[i] or 0.0)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * (p_values[i] or 0.0)))
        corrected[i] = largest
    return corrected


def _corrected(slices: Sequence[Slice]) -> list[Slice]:
    """Return the slices with Holm's correction, significant ones first, each part by effect and size."""
    corrected = holm([s.p for s in slices])
    done = [
        replace(s, p_corrected=p, significant=p is not None and p < LEVEL)
        for s, p in zip(slices, corrected, strict=True)
    ]
    return sorted(done, key=lambda s: (not s.significant, -_worth(s.mean - s.rest, s.n)))
