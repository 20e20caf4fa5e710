"""Slices: sets of objects, named by a few attributes, on which something goes wrong more often than elsewhere.

A beam search over conjunctions of attribute values (as in Slice Finder, Chung et al., ICDE 2019, and SliceLine,
Sagadeeva and Boehm, SIGMOD 2021) looks for them in one half of the groups; the other half tests what was found, so that
a slice is not believed because it was sought. The test compares the mean inside with the mean outside by Student's t,
with standard errors over groups (objects of one drive are no independent witnesses), one-sided, corrected after Holm
(1979).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from synth.random import Rng

Mask = NDArray[np.bool_]
Column = NDArray[Any]
QUANTILES = (0.2, 0.4, 0.6, 0.8)
SAME = 0.6  # share of common rows from which two slices tell the same story


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
    depth: int = 3,
    beam: int = 24,
    least: int = 20,
    keep: int = 12,
    seed: int = 0,
) -> list[Slice]:
    """Return slices whose mean target is high, the worst first.

    attributes: name -> (rows,) texts or numbers; target: (rows,) e.g. 1 for a miss; groups: (rows,) index
    depth:      most conditions of a slice; least: rows that it has at least in each half
    """
    sought = halves(groups, seed=seed)
    if not sought.any() or sought.all() or not len(target):
        return []
    here = {name: column[sought] for name, column in attributes.items()}
    found = _search(here, target[sought], depth=depth, beam=beam, least=least)
    there = {name: column[~sought] for name, column in attributes.items()}
    tested = [_test(p, there, target[~sought], groups[~sought]) for p in _distinct(found, here, keep)]
    return _corrected([s for s in tested if s.n >= least])


def _worth(gap: float, n: int) -> float:
    """Rank slices by how much worse they are, and a little by their size: twice as bad is worth sixteen times fewer."""
    return gap * n**0.25


def _predicates(attributes: Mapping[str, Column]) -> Iterator[Predicate]:
    for name, column in attributes.items():
        if column.dtype.kind in "fiu":
            known = column[np.isfinite(column.astype(np.float64))].astype(np.float64)
            if not len(known):
                continue
            values = np.unique(known)
            cuts = values[1:] if len(values) <= 6 else np.unique([_round(v) for v in np.quantile(known, QUANTILES)])
            for cut in cuts:
                yield Predicate(name, "from", float(cut))
                yield Predicate(name, "below", float(cut))
        else:
            for value in np.unique(column):
                yield Predicate(name, "is", str(value))


def _round(value: float) -> float:
    """Return a number with two significant digits: people remember 40 m, not 39.7 m."""
    return float(f"{value:.2g}")


def _search(
    attributes: Mapping[str, Column], target: NDArray[np.float64], *, depth: int, beam: int, least: int
) -> list[tuple[float, tuple[Predicate, ...]]]:
    """Return scored conjunctions, best first."""
    single = [(p, p.mask(attributes[p.attribute])) for p in _predicates(attributes)]
    level: list[tuple[tuple[Predicate, ...], Mask]] = [((p,), mask) for p, mask in single]
    overall = float(target.mean())
    found: dict[frozenset[Predicate], tuple[float, tuple[Predicate, ...]]] = {}
    for _ in range(depth):
        scored = []
        for predicates, mask in level:
            n = int(np.count_nonzero(mask))
            if n < least or n == len(target):
                continue
            score = _worth(float(target[mask].mean()) - overall, n)
            if score > 0:
                scored.append((score, predicates, mask))
        scored.sort(key=lambda item: -item[0])
        kept = scored[:beam]
        for score, predicates, _mask in kept:
            found.setdefault(frozenset(predicates), (score, predicates))
        longer: dict[frozenset[Predicate], tuple[tuple[Predicate, ...], Mask]] = {}
        for _, predicates, mask in kept:
            used = {(p.attribute, p.kind) for p in predicates}
            closed = {p.attribute for p in predicates if p.kind == "is"}
            for p, own in single:
                if (p.attribute, p.kind) not in used and p.attribute not in closed:
                    longer.setdefault(frozenset((*predicates, p)), ((*predicates, p), mask & own))
        level = list(longer.values())
    return sorted(found.values(), key=lambda item: -item[0])


def _distinct(
    found: Sequence[tuple[float, tuple[Predicate, ...]]], attributes: Mapping[str, Column], keep: int
) -> list[tuple[Predicate, ...]]:
    """Return the best conjunctions that do not tell the same story: of two that mostly agree, the better scored."""
    chosen: list[tuple[tuple[Predicate, ...], Mask]] = []
    for _, predicates in found:
        mask = holds(predicates, attributes)
        alike = (np.count_nonzero(mask & own) / max(np.count_nonzero(mask | own), 1) for _, own in chosen)
        if all(share < SAME for share in alike):
            chosen.append((predicates, mask))
        if len(chosen) == keep:
            break
    return [predicates for predicates, _ in chosen]


def holds(predicates: Sequence[Predicate], attributes: Mapping[str, Column]) -> Mask:
    """Return (rows,) where all conditions hold."""
    mask = np.ones(len(next(iter(attributes.values()))), np.bool_)
    for p in predicates:
        mask &= p.mask(attributes[p.attribute])
    return mask


def _test(
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
    p_value = _p_value(inside, target, groups)
    return Slice(ordered, mean, rest, n, len(np.unique(groups[inside])), p_value)


def _p_value(inside: Mask, target: NDArray[np.float64], groups: NDArray[np.int64]) -> float | None:
    """Return the one-sided p-value of mean(inside) > mean(outside), standard error over groups (linearised)."""
    _, group = np.unique(groups, return_inverse=True)
    count = int(group.max()) + 1 if len(group) else 0
    n, m = int(inside.sum()), int((~inside).sum())
    if count < 5 or not n or not m or len(np.unique(group[inside])) < 3:
        return None
    a, b = target[inside].mean(), target[~inside].mean()
    influence = np.where(inside, (target - a) / n, -(target - b) / m)
    per_group = np.bincount(group, weights=influence, minlength=count)
    error = math.sqrt(count / (count - 1) * float((per_group**2).sum()))
    # Where all groups say the same there is no spread to measure: no surer than the sign test over the groups inside.
    surest = 0.5 ** len(np.unique(group[inside]))
    if error == 0:
        return surest if a > b else 1.0
    return max(float(student.sf(float(a - b) / error, df=count - 1)), surest)


def _corrected(slices: Sequence[Slice]) -> list[Slice]:
    """Return the slices with Holm's correction, significant ones first, each part by effect and size."""
    known = sorted((s for s in slices if s.p is not None), key=lambda s: s.p or 0.0)
    corrected: dict[int, float] = {}
    largest = 0.0
    for i, s in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - i) * (s.p or 0.0)))
        corrected[id(s)] = largest
    done = []
    for s in slices:
        p = corrected.get(id(s))
        done.append(Slice(s.predicates, s.mean, s.rest, s.n, s.groups, s.p, p, significant=p is not None and p < 0.05))
    return sorted(done, key=lambda s: (not s.significant, -_worth(s.mean - s.rest, s.n)))
