"""What is kept of a label map's probabilities: histograms of a lattice of pixels, and the scores of a few of them.

Neighbouring pixels say much the same, so a lattice of about 2,048 is read instead of every pixel: its figures are
those of the picture, at a fiftieth of the time. Calibration at other temperatures is counted on every fourth of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Predictions
from stress.metrics.calibration import BINS, FEWEST_ANSWERS, METRICS, ece, weighted
from stress.statistics import Draws, Weights, ratio

LATTICE = 2048  # pixels of a picture that are read, about
EVERY = 4  # ... and of those, each which-th is counted at other temperatures
SAMPLED = 64  # pixels of a picture whose scores are kept
# 1 is one of them, so that what scaling changes is counted on the same pixels
TEMPERATURES = np.round(1.17 ** np.arange(-6, 11), 4).astype(np.float32)  # 0.39 to 4.8
_LOGIT = np.linspace(-2.0, 12.0, 57)
# bins of the histogram: the 15 of the calibration error, each cut finer towards 1, where most pixels are
EDGES = np.unique(np.round(np.concatenate([np.arange(1, BINS) / BINS, 1 / (1 + np.exp(-_LOGIT))]), 9))
N_FINE = len(EDGES) + 1
COARSE = np.clip(np.ceil(np.append(EDGES, 1.0) * BINS - 1e-6).astype(np.int64) - 1, 0, BINS - 1)  # (N_FINE,)
N_SCALED = 3 * BINS + 2  # of each temperature: the bins' sums, NLL, Brier score
LEAST = np.float32(1.1920929e-07)  # of a probability in NLL; see calibration.LEAST_CHANCE
COLUMNS: Mapping[str, pa.DataType] = {
    "pixel_histogram": pa.list_(pa.float32()),  # N_FINE x (pixels, right ones, sum of confidence)
    "pixel_sums": pa.list_(pa.float64()),  # pixels of known class, NLL, Brier score; all pixels; sums of their scores
    "pixel_scaled": pa.list_(pa.float32()),  # temperatures x N_SCALED
    "pixel_scores": pa.binary(),  # half precision, pixels x (right, the scores of SCORES)
}
SCORES = ("msp", "energy", "max_logit")  # higher: less like what the model knows


def observe(
    truth: NDArray[np.int32],
    predicted: NDArray[np.int32],
    prediction: Predictions,
    from_model: NDArray[np.int64],
    n: int,
) -> dict[str, Any]:
    """Return the columns of one picture; nothing where the model gives a label map alone.

    truth, predicted: (H, W) evaluated class, -1 = ignored, n = a class that only the model knows
    from_model:       (C,) evaluated class of each of the model's, negative where there is none
    """
    planes = prediction.logits if prediction.logits is not None else prediction.probabilities
    if planes is None or prediction.segmentation is None:
        return {}
    rows, columns = lattice(*truth.shape)
    at = np.ix_(rows, columns)
    read = planes[:, rows[:, None], columns].reshape(len(planes), -1).astype(np.float32)
    if prediction.logits is None:
        read = np.log(np.maximum(read, np.float32(1e-30)))
    classes = np.where(from_model < 0, n, from_model).astype(np.int64)
    called = np.asarray(prediction.segmentation)[at].ravel().astype(np.int64)
    histogram, sums, scaled, scores = _counted(
        np.ascontiguousarray(read.T), truth[at].ravel(), predicted[at].ravel(), called, classes, n, EDGES, COARSE,
        TEMPERATURES,
    )  # fmt: skip
    if prediction.logits is None:  # the sum of probabilities is 1 whatever the picture
        sums[5:], scores[:, 2:] = np.nan, np.nan
    scores = np.clip(scores, -6e4, 6e4)  # what half precision holds
    return {
        "pixel_histogram": histogram.ravel().astype(np.float32),
        "pixel_sums": sums,
        "pixel_scaled": scaled.ravel().astype(np.float32),
        "pixel_scores": scores.astype(np.float16).tobytes(),
    }


def figures(
    table: Mapping[str, pa.Array], group: NDArray[np.int64], n_groups: int, weights: Weights
) -> dict[str, Draws]:
    """Return the figures of calibration of a cell, as `calibration.figures`; adaptive bins are no finer than EDGES."""
    fine, sums = fine_sums(table, group, n_groups), loss_sums(table, group, n_groups)
    if sums[:, 0].sum() < FEWEST_ANSWERS:
        return {key: np.full(len(weights), np.nan) for key in METRICS}
    loss = weighted(sums[:, :3], weights)
    of_weights = weighted(fine, weights)
    return {
        "ece": ece(coarse(of_weights)),
        "adaptive_ece": equal_mass(of_weights),
        "brier": ratio(loss[:, 2], loss[:, 0]),
        "nll": ratio(loss[:, 1], loss[:, 0]),
    }


def scaled(
    table: Mapping[str, pa.Array], group: NDArray[np.int64], n_groups: int, weights: Weights, temperature: float
) -> tuple[dict[str, Draws], NDArray[np.float64]]:
    """Return what is counted at other temperatures, at the nearest of them: figures, and (B, BINS, 3) sums."""
    sums = scaled_sums(table, group, n_groups)[:, int(np.abs(np.log(TEMPERATURES / temperature)).argmin())]
    of_weights = weighted(sums, weights)
    bins = of_weights[:, : 3 * BINS].reshape(len(weights), BINS, 3)
    total = bins[..., 0].sum(axis=1)
    nll, brier = ratio(of_weights[:, 3 * BINS], total), ratio(of_weights[:, 3 * BINS + 1], total)
    return {"ece": ece(bins), "brier": brier, "nll": nll}, bins


def fit_temperature(table: Mapping[str, pa.Array], fit: NDArray[np.bool_]) -> float | None:
    """Return the temperature of TEMPERATURES with the least NLL over the pictures `fit` (I,).

    None where pixels are too few, or all right or all wrong.
    """
    columns = _stacked(table["pixel_scaled"], len(TEMPERATURES) * N_SCALED).reshape(-1, len(TEMPERATURES), N_SCALED)
    sums = columns[fit[_known(table["pixel_scaled"])]].astype(np.float64).sum(axis=0)
    answers, right = sums[0, : 3 * BINS : 3].sum(), sums[0, 1 : 3 * BINS : 3].sum()
    if answers < FEWEST_ANSWERS or right in (0.0, answers):
        return None
    best = np.flatnonzero(sums[:, 3 * BINS] == sums[:, 3 * BINS].min())  # several where scaling changes nothing
    return float(TEMPERATURES[best[np.abs(np.log(TEMPERATURES[best])).argmin()]])


def fine_sums(table: Mapping[str, pa.Array], group: NDArray[np.int64], n_groups: int) -> NDArray[np.float64]:
    """Return (G, N_FINE, 3) pixels, right ones and confidence of each group and fine bin."""
    return _summed(table["pixel_histogram"], group, n_groups, N_FINE * 3).reshape(n_groups, N_FINE, 3)


def loss_sums(table: Mapping[str, pa.Array], group: NDArray[np.int64], n_groups: int) -> NDArray[np.float64]:
    """Return (G, 7): see COLUMNS."""
    return _summed(table["pixel_sums"], group, n_groups, 7)


def scaled_sums(table: Mapping[str, pa.Array], group: NDArray[np.int64], n_groups: int) -> NDArray[np.float64]:
    """Return (G, temperatures, N_SCALED)."""
    width = len(TEMPERATURES) * N_SCALED
    return _summed(table["pixel_scaled"], group, n_groups, width).reshape(n_groups, len(TEMPERATURES), N_SCALED)


def coarse(fine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (..., BINS, 3) sums of (..., N_FINE, 3)."""
    starts = np.searchsorted(COARSE, np.arange(BINS))
    return np.add.reduceat(fine, starts, axis=-2)


def equal_mass(fine: NDArray[np.float64]) -> Draws:
    """Return (B,) calibration error over bins of equal mass of (B, N_FINE, 3) sums."""
    total = fine[..., 0].sum(axis=1)
    before = np.cumsum(fine[..., 0], axis=1) - fine[..., 0]
    at = np.minimum((before * BINS / np.maximum(total, 1e-9)[:, None]).astype(np.int64), BINS - 1)
    gaps = np.zeros((len(fine), BINS))
    np.add.at(gaps, (np.arange(len(fine))[:, None], at), fine[..., 1] - fine[..., 2])
    return ratio(np.abs(gaps).sum(axis=1), total)


def frame_scores(column: pa.Array) -> NDArray[np.float64]:
    """Return (I, 3) the mean score of each picture's pixels, in the order of SCORES; NaN where there are none."""
    known = _known(column)
    found = np.full((len(column), len(SCORES)), np.nan)
    sums = _stacked(column, 7)
    found[known] = sums[:, 4:] / np.maximum(sums[:, 3:4], 1.0)
    return found


def pixel_scores(column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (M,) which picture and (M, 4) right or not, and SCORES, of the sampled pixels of known class."""
    parts = [np.frombuffer(v, np.float16).reshape(-1, 4) if v is not None else _NONE for v in column.to_pylist()]
    values = np.concatenate([_NONE, *parts]).astype(np.float64)
    picture = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    known = ~np.isnan(values[:, 0])
    return picture[known], values[known]


_NONE = np.zeros((0, 4), np.float16)


def _known(column: pa.Array) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)
    return known


def _stacked(column: pa.Array, width: int) -> NDArray[Any]:
    values: NDArray[Any] = column.flatten().to_numpy().reshape(-1, width)
    return values


def _summed(column: pa.Array, group: NDArray[np.int64], n_groups: int, width: int) -> NDArray[np.float64]:
    """Return (G, width) sums of a list column over the pictures of each group."""
    sums = np.zeros((n_groups, width))
    np.add.at(sums, group[_known(column)], _stacked(column, width))
    return sums


def lattice(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of an even lattice of about LATTICE pixels, all of them where there are fewer."""
    step = max(1.0, (height * width / LATTICE) ** 0.5)
    return _spread(height, step), _spread(width, step)


def _spread(n: int, step: float) -> NDArray[np.int64]:
    count = max(1, round(n / step))
    return ((np.arange(count) + 0.5) * n / count).astype(np.int64)


@njit(cache=True)
def _counted(logits, truth, predicted, called, classes, n, edges, coarse, temperatures):  # type: ignore[no-untyped-def]  # numba infers
    """logits: (L, C). Return the histogram, sums, scaled sums, and scores of a few pixels."""
    pixels, n_model = logits.shape
    histogram = np.zeros((len(edges) + 1, 3))
    scaled = np.zeros((len(temperatures), 3 * BINS + 2))
    sums = np.zeros(4 + 3)
    shares, pooled = np.empty(n_model), np.empty(n + 1)
    wanted = min(pixels, SAMPLED)
    scores = np.full((wanted, 4), np.nan)
    taken = 0
    for i in range(pixels):
        top = logits[i, 0]
        for c in range(1, n_model):
            top = max(top, logits[i, c])
        total = _shares(logits[i], top, 1.0, shares)
        highest = 0.0
        for c in range(n_model):
            highest = max(highest, shares[c])
        right = 1.0 if predicted[i] == truth[i] else 0.0
        sums[3] += 1.0
        sums[4] -= highest
        sums[5] -= top + np.log(total)
        sums[6] -= top
        if taken < wanted and i >= taken * pixels // wanted:
            known = truth[i] >= 0
            scores[taken, 0] = right if known else np.nan
            scores[taken, 1], scores[taken, 2], scores[taken, 3] = -highest, -(top + np.log(total)), -top
            taken += 1
        if truth[i] < 0:
            continue
        nll, brier = _loss(shares, classes, truth[i], pooled)
        at = np.searchsorted(edges, shares[called[i]])
        histogram[at, 0] += 1.0
        histogram[at, 1] += right
        histogram[at, 2] += shares[called[i]]
        sums[0] += 1.0
        sums[1] += nll
        sums[2] += brier
        if i % EVERY == 0:
            for t in range(len(temperatures)):
                _shares(logits[i], top, temperatures[t], shares)
                nll, brier = _loss(shares, classes, truth[i], pooled)
                at = 3 * coarse[np.searchsorted(edges, shares[called[i]])]
                scaled[t, at] += 1.0
                scaled[t, at + 1] += right
                scaled[t, at + 2] += shares[called[i]]
                scaled[t, 3 * BINS] += nll
                scaled[t, 3 * BINS + 1] += brier
    return histogram, sums, scaled, scores


@njit(cache=True, inline="always")
def _shares(logits, top, temperature, shares):  # type: ignore[no-untyped-def]  # numba infers
    """Write the softmax of logits / temperature into shares; return the sum of the powers."""
    total = 0.0
    for c in range(len(logits)):
        shares[c] = np.exp((logits[c] - top) / temperature)
        total += shares[c]
    for c in range(len(logits)):
        shares[c] /= total
    return total


@njit(cache=True, inline="always")
def _loss(shares, classes, truth, pooled):  # type: ignore[no-untyped-def]  # numba infers
    """Return NLL and Brier score of one pixel; model classes of one evaluated class count together."""
    pooled[:] = 0.0
    for c in range(len(shares)):
        pooled[classes[c]] += shares[c]
    brier = 0.0
    for k in range(len(pooled)):
        gap = pooled[k] - (1.0 if k == truth else 0.0)
        brier += gap * gap
    return -np.log(max(pooled[truth], LEAST)), brier
