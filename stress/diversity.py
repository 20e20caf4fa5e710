"""Choosing few pictures that stand for many: clusters, k-centre, and how far the nearest chosen one is.

Embeddings are (N, D) float64, one row a picture, each of length 1 (`normalised`), so that distances are at
most 2.
K-centre is the greedy farthest-first traversal of Gonzalez (1985), within twice of the best radius there is; `worth`
bends it towards pictures that matter more. Clusters are k-means (Lloyd) started by k-means++ (Arthur and
Vassilvitskii 2007). Ties go to the lower index, so that the same rows give the same choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.random import Rng

Rows = NDArray[np.float64]
Index = NDArray[np.int64]
ROUNDS = 100  # of Lloyd's algorithm; it settles in far fewer
STARTS = 5  # of k-means, which stops at the nearest optimum
MOST_CLUSTERS = 16


def normalised(vectors: NDArray[np.floating[Any]]) -> Rows:
    """Return (N, D) rows centred on their mean and of length 1; rows that are the mean itself stay 0.

    What all pictures of a data set share says nothing of how they differ.
    """
    rows = np.asarray(vectors, np.float64)
    rows = rows - rows.mean(axis=0, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-12)


def distances(rows: Rows, centre: Rows) -> NDArray[np.float64]:
    """Return (N,) Euclidean distances of rows (N, D) from one (D,)."""
    return np.asarray(np.sqrt(((rows - centre) ** 2).sum(axis=1)))


def spread(rows: Rows, n: int, worth: NDArray[np.float64] | None = None, start: Rows | None = None) -> list[int]:
    """Return up to n indices, each the one of most worth times distance to what is chosen: weighted k-centre.

    worth: (N,) >= 0, rows of worth 0 are never chosen; start: (M, D) what is there already
    The first of an empty choice is the one of most worth, nearest to the middle of its like.
    """
    value = np.ones(len(rows)) if worth is None else np.asarray(worth, np.float64)
    left = value > 0
    nearest = np.full(len(rows), np.inf)
    for centre in () if start is None else start:
        nearest = np.minimum(nearest, distances(rows, centre))
    chosen: list[int] = []
    while len(chosen) < n and left.any():
        if np.isinf(nearest).any():
            middle = np.average(rows[left], axis=0, weights=value[left])
            gain = value / (1.0 + distances(rows, middle))
        else:
            gain = value * (nearest + 1e-9)  # equal pictures still rank by worth
        best = int(np.argmax(np.where(left, gain, -1.0)))
        chosen.append(best)
        left[best] = False
        nearest = np.minimum(nearest, distances(rows, rows[best]))
    return chosen


def radius(rows: Rows, chosen: Sequence[int] | Index) -> float:
    """Return the largest distance of any row to the nearest chosen one: how badly the worst picture is stood for."""
    if not len(rows):
        return 0.0
    nearest = np.full(len(rows), np.inf)
    for index in chosen:
        nearest = np.minimum(nearest, distances(rows, rows[index]))
    return float(nearest.max())


def random_radius(rows: Rows, n: int, *, seed: int, draws: int = 20) -> float:
    """Return the mean `radius` of n rows chosen blindly, to compare with."""
    rng = Rng("random radius", seed)
    return float(np.mean([radius(rows, rng.permutation(len(rows))[:n]) for _ in range(draws)]))


def clusters(rows: Rows, *, seed: int, most: int = MOST_CLUSTERS) -> Index:
    """Return (N,) the cluster of each row, about the square root of N of them; the tightest of `STARTS` attempts."""
    k = min(most, max(1, round(math.sqrt(len(rows)))))
    rng = Rng("clusters", seed)
    return min((_lloyd(rows, _first_centres(rows, k, rng)) for _ in range(STARTS)), key=lambda found: found[0])[1]


def _lloyd(rows: Rows, centres: Rows) -> tuple[float, Index]:
    """Return the sum of squared distances to the centres, and (N,) the nearest of them, when nothing changes more."""
    label = np.full(len(rows), -1, np.int64)
    apart = np.zeros((len(rows), len(centres)))
    for _ in range(ROUNDS):
        apart = np.stack([distances(rows, centre) for centre in centres], axis=1)
        now = np.argmin(apart, axis=1).astype(np.int64)
        if np.array_equal(now, label):
            break
        label = now
        members = [rows[label == c] for c in range(len(centres))]
        centres = np.stack([m.mean(axis=0) if len(m) else old for m, old in zip(members, centres, strict=True)])
    return float((apart[np.arange(len(rows)), label] ** 2).sum()), label


def _first_centres(rows: Rows, k: int, rng: Rng) -> Rows:
    """Return (k, D) rows drawn with chances by their squared distance to those drawn before."""
    chosen = [rng.integer(0, len(rows))]
    nearest = distances(rows, rows[chosen[0]]) ** 2
    while len(chosen) < k:
        total = np.cumsum(nearest)
        at = rng.uniform() * total[-1]
        chosen.append(min(int(np.searchsorted(total, at, side="right")), len(rows) - 1))
        nearest = np.minimum(nearest, distances(rows, rows[chosen[-1]]) ** 2)
    return rows[chosen]


def shares(weights: NDArray[np.float64] | Sequence[float], n: int) -> Index:
    """Return (K,) whole numbers that sum to n, as near to the weights as whole numbers are (largest remainder).

    >>> shares([3.0, 1.0, 0.0], 5).tolist()
    [4, 1, 0]
    """
    weight = np.asarray(weights, np.float64)
    if not len(weight) or weight.sum() <= 0:
        return np.zeros(len(weight), np.int64)
    exact = weight / weight.sum() * n
    whole = np.floor(exact + 1e-9).astype(np.int64)
    for index in np.argsort(-(exact - whole), kind="stable")[: n - int(whole.sum())]:
        whole[index] += 1
    return whole


def cluster_sample(rows: Rows, label: Index, n: int, worth: NDArray[np.float64] | None = None) -> list[int]:
    """Return up to n indices: each cluster by the worth that it holds, within a cluster spread over it.

    rows (N, D), label (N,) its clusters, worth (N,) >= 0; where a cluster has too few, the others give more.
    """
    value = np.ones(len(rows)) if worth is None else np.asarray(worth, np.float64)
    per_cluster = np.bincount(label, weights=value).astype(np.float64)
    chosen: list[int] = []
    for cluster, wanted in enumerate(shares(per_cluster, n).tolist()):
        members = np.flatnonzero(label == cluster)
        chosen += [int(members[i]) for i in spread(rows[members], wanted, value[members])]
    missing = min(n, int(np.count_nonzero(value > 0))) - len(chosen)
    if missing > 0:
        rest = value.copy()
        rest[chosen] = 0.0
        chosen += spread(rows, missing, rest, rows[chosen] if chosen else None)
    return chosen
