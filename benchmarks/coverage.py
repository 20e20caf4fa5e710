"""How often the intervals hold the truth, and how often the tests cry wolf, on data whose truth is known.

    python benchmarks/coverage.py [--data-sets 2000] [--groups 5,10,20,100,300] [--resamples 500] [--json FILE]

Every data set is drawn anew from a population whose mean, share, difference, mean IoU or mean AP is known; the interval
is the one that every figure of a run has (`stress.statistics.figure`). The resamples are the same for a batch of data
sets, as they are for all cells of a run, and change from batch to batch. Shares are those of objects in frames:
3 to 11 objects a group that resemble each other (a beta-binomial). Mean AP is of three classes, scored as
`roadproof stress` does, from scores and overlaps like those of a middling detector; its truth is that of 40,000 groups.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import NDArray

from stress.compare import p_value
from stress.metrics.average_precision import ClassMatches, weighted_ap
from stress.metrics.matching import IOU_THRESHOLDS
from stress.slices import find_slices
from stress.statistics import Draws, Weights, figure, group_weights, mean_of, ratio

BATCH = 100  # data sets under the same resamples
CLASSES = ((2.0, 0.85), (1.0, 0.6), (0.4, 0.45))  # objects a group, chance of being found
Rng = np.random.Generator
Draw = Callable[[Rng, int, Weights], tuple[Draws, float]]  # a data set of n groups: draws of its figure, and the truth


def of_sums(above: NDArray[Any], below: NDArray[Any], weights: Weights) -> Draws:
    """Return the ratio of two sums over groups under each row of weights."""
    counted = weights.astype(np.float64)
    return ratio(counted @ above, counted @ below)


def a_mean(rng: Rng, n: int, weights: Weights) -> tuple[Draws, float]:
    return of_sums(rng.normal(3.0, 1.0, n), np.ones(n), weights), 3.0


def a_difference(rng: Rng, n: int, weights: Weights) -> tuple[Draws, float]:
    """The loss of a score in a cell, paired with the clean one."""
    clean = rng.beta(6.0, 2.0, n)
    loss = clean * rng.beta(2.0, 3.0, n)
    return of_sums(-loss, np.ones(n), weights), -0.75 * 0.4


def a_share(p: float) -> Draw:
    """Objects found of all objects, groups of unlike sizes that resemble each other inside."""

    def draw(rng: Rng, n: int, weights: Weights) -> tuple[Draws, float]:
        objects = rng.integers(3, 12, n)
        found = rng.binomial(objects, rng.beta(8.0 * p, 8.0 * (1.0 - p), n))
        return of_sums(found, objects, weights), p

    return draw


def pictures_right(p: float) -> Draw:
    """Accuracy: each group one picture."""

    def draw(rng: Rng, n: int, weights: Weights) -> tuple[Draws, float]:
        return of_sums(rng.random(n) < p, np.ones(n), weights), p

    return draw


def a_mean_iou(rng: Rng, n: int, weights: Weights) -> tuple[Draws, float]:
    """Four classes of pixels: intersection and union of each group from a gamma and a beta."""
    draws, truths = [], []
    for level in (0.9, 0.7, 0.5, 0.3):
        union = rng.gamma(2.0, 1.0, n)
        draws.append(of_sums(union * rng.beta(6 * level, 6 * (1 - level), n), union, weights))
        truths.append(level)
    return mean_of(draws), float(np.mean(truths))


def _matches(rng: Rng, n: int, objects: float, chance: float) -> ClassMatches:
    """Finds of one class over n groups: right ones with an overlap, wrong ones with lower scores."""
    luck = rng.normal(0.0, 0.7, n)  # some groups are harder
    wanted = rng.poisson(objects, n)
    owner = np.repeat(np.arange(n), wanted)
    found = rng.random(len(owner)) < 1.0 / (1.0 + np.exp(-(np.log(chance / (1 - chance)) + luck[owner])))
    group = owner[found]
    overlap = np.clip(rng.beta(7.0, 2.5, len(group)) * 0.55 + 0.45, 0, 1)
    scores = np.clip(rng.beta(3.0, 1.5, len(group)), 0.001, 1)
    wrong = np.repeat(np.arange(n), rng.poisson(1.5 * objects, n))
    right = (overlap[:, None] >= IOU_THRESHOLDS).astype(np.uint16) @ (1 << np.arange(len(IOU_THRESHOLDS)))
    return ClassMatches.ordered(
        np.concatenate([scores, rng.beta(1.2, 4.0, len(wrong))]).astype(np.float32),
        np.concatenate([right, np.zeros(len(wrong))]).astype(np.uint16),
        np.zeros(len(group) + len(wrong), np.uint16),
        np.concatenate([group, wrong]).astype(np.int32),
        wanted.astype(np.int64),
    )


def mean_ap(rng: Rng, n: int, weights: Weights) -> Draws:
    """Draws of mAP of one data set."""
    return mean_of([weighted_ap(_matches(rng, n, *what), weights).mean(axis=1) for what in CLASSES])


def a_mean_ap() -> Draw:
    many = 40_000
    truth = float(mean_ap(np.random.default_rng(7), many, np.ones((1, many), np.int32))[0])

    def draw(rng: Rng, n: int, weights: Weights) -> tuple[Draws, float]:
        return mean_ap(rng, n, weights), truth

    return draw


def figures() -> dict[str, tuple[Draw, bool | None]]:
    """Return each figure that is simulated, and whether it is a share."""
    return {
        "mean": (a_mean, None),
        "paired difference": (a_difference, None),
        "share 0.5": (a_share(0.5), True),
        "share 0.8": (a_share(0.8), True),
        "share 0.95": (a_share(0.95), True),
        "accuracy 0.9": (pictures_right(0.9), True),
        "accuracy 0.97": (pictures_right(0.97), True),
        "mean IoU": (a_mean_iou, True),
        "mAP": (a_mean_ap(), True),
    }


def coverage(draw: Draw, n: int, *, data_sets: int, resamples: int, share: bool | None = None, seed: int = 0) -> float:
    """Return the share of data sets whose interval holds the truth; one without an interval does not hold it."""
    rng, held = np.random.default_rng([seed, n]), 0
    for i in range(data_sets):
        if i % BATCH == 0:
            weights = group_weights(n, resamples, seed=seed * 1000 + i // BATCH)
        draws, truth = draw(rng, n, weights)
        found = figure(draws, n, share=share)
        held += found.low is not None and found.high is not None and found.low <= truth <= found.high
    return held / data_sets


def false_differences(n: int, *, data_sets: int, resamples: int, seed: int = 0) -> float:
    """Return how often two models that are equally good are told apart at p < 0.05, uncorrected."""
    rng, told = np.random.default_rng([seed, n]), 0
    for i in range(data_sets):
        if i % BATCH == 0:
            weights = group_weights(n, resamples, seed=seed * 1000 + i // BATCH)
        objects = rng.integers(3, 12, n)
        chance = rng.beta(5.6, 2.4, n)
        one, other = (of_sums(rng.binomial(objects, chance), objects, weights) for _ in range(2))
        p = p_value(other - one, n)
        told += p is not None and p < 0.05
    return told / data_sets


def false_slices(n: int, *, data_sets: int, uneven: bool = False, seed: int = 0) -> float:
    """Return how often a slice is named where every object of a group is missed by the same chance.

    uneven: groups have from 5 to 400 objects, and each of the classes is in about a third of the groups only
    """
    named = 0
    for i in range(data_sets):
        rng = np.random.default_rng([seed, n, i])
        rows = np.clip(rng.pareto(1.2, n) * 10, 5, 400).astype(int) if uneven else np.full(n, 20)
        group = np.repeat(np.arange(n), rows)
        attributes = {
            "class": rng.choice(["car", "person", "sign"], len(group)),
            "distance_m": rng.uniform(5, 100, len(group)),
            "family": rng.choice(["weather", "sensor"], len(group)),
            "severity": rng.choice([1.0, 3.0, 5.0], len(group)),
        }
        if uneven:
            attributes["class"] = np.array(["car", "person", "sign"])[rng.integers(0, 3, n)][group]
        missed = (rng.random(len(group)) < rng.beta(2.4, 5.6, n)[group]).astype(np.float64)
        named += any(s.significant for s in find_slices(attributes, missed, group, seed=i))
    return named / data_sets


def table(groups: Sequence[int], *, data_sets: int, resamples: int) -> list[dict[str, Any]]:
    """Return a row for each figure and test, its shares by number of groups."""
    rows: list[dict[str, Any]] = []
    for name, (draw, share) in figures().items():
        rows.append({"what": f"interval: {name}", "promised": 0.95})
        for n in groups:
            rows[-1][str(n)] = coverage(draw, n, data_sets=data_sets, resamples=resamples, share=share)
        print(_line(rows[-1], groups), file=sys.stderr, flush=True)
    rows.append({"what": "equal models told apart (p < 0.05)", "promised": 0.05})
    for n in groups:
        rows[-1][str(n)] = false_differences(n, data_sets=data_sets, resamples=resamples)
    rows.append({"what": "a slice named where there is none", "promised": 0.05})
    for n in groups:
        rows[-1][str(n)] = false_slices(n, data_sets=min(data_sets, 200))
    rows.append({"what": "the same, groups and classes uneven", "promised": 0.05})
    for n in groups:
        rows[-1][str(n)] = false_slices(n, data_sets=min(data_sets, 200), uneven=True)
    return rows


def _line(row: Mapping[str, Any], groups: Sequence[int]) -> str:
    cells = " | ".join(f"{100 * row[str(n)]:.1f}" for n in groups)
    return f"| {row['what']} | {100 * row['promised']:.0f} | {cells} |"


def markdown(rows: Sequence[Mapping[str, Any]], groups: Sequence[int]) -> str:
    """Return the table in per cent."""
    head = f"| % of data sets | promised | {' | '.join(f'{n} groups' for n in groups)} |"
    return "\n".join([head, "|---" * (2 + len(groups)) + "|", *(_line(row, groups) for row in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data-sets", type=int, default=2000)
    parser.add_argument("--groups", default="5,10,20,100,300")
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    groups = [int(n) for n in given.groups.split(",")]
    rows = table(groups, data_sets=given.data_sets, resamples=given.resamples)
    print(markdown(rows, groups))
    if given.json is not None:
        about = {"data_sets": given.data_sets, "resamples": given.resamples}
        given.json.write_text(json.dumps({**about, "rows": rows}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
