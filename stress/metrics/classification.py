"""Classification: accuracy, top-5, precision, recall, F1 (macro) and AUROC, equal to torchmetrics at unit weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Predictions, Sample, Task
from stress.class_map import ClassMap
from stress.metrics.scored import CellScores, Metric, ObjectRow, Payload, Scored, SetFigure
from stress.statistics import Weights, mean_of, ratio
from synth.audit import Verdict

_MACRO = "mean over classes"


class ClassificationScorer:
    """Scores whole pictures; classes that only the model knows are left out before the best is taken."""

    task: ClassVar[Task] = "classification"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "accuracy", "", "share of pictures whose likeliest class is right (top-1)"),
        Metric("top5", "top-5", "", "share of pictures whose true class is among the five likeliest"),
        Metric("precision", "precision", "", f"share of pictures called a class that are of it, {_MACRO}"),
        Metric("recall", "recall", "", f"share of pictures of a class that are called it, {_MACRO}"),
        Metric("f1", "F1", "", f"harmonic mean of precision and recall, {_MACRO}"),
        Metric("auroc", "AUROC", "", f"area under the ROC curve, each class against the rest, {_MACRO}"),
    )
    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "truth": pa.list_(pa.int32()),
        "probabilities": pa.list_(pa.float32()),
    }
    kept: ClassVar[Mapping[str, pa.DataType]] = {"frame_scores": pa.list_(pa.float32())}  # MSP, energy, max logit

    def __init__(self, classes: ClassMap, *, min_visibility: float, dependable: bool = False) -> None:
        self.classes, self.n, self.dependable = classes, len(classes.names), dependable

    def probabilities(self, prediction: Predictions) -> NDArray[np.float32]:
        """Return (E,) probability of each evaluated class; several model classes of one class add up."""
        assert prediction.probabilities is not None  # CheckedModel sees to it
        shares = np.zeros(self.n, np.float64)
        known = self.classes.from_model >= 0
        np.add.at(shares, self.classes.from_model[known], prediction.probabilities[known].astype(np.float64))
        return shares.astype(np.float32)

    def score(self, sample: Sample, verdicts: Sequence[Verdict], prediction: Predictions) -> Scored:
        label = sample.annotations.label
        if label is None:
            raise InputError(f"sample {sample.sample_id!r} has no class to score a classifier with")
        if label >= len(self.classes.from_dataset):
            wanted = f"a class index below {len(self.classes.from_dataset)}"
            raise InputError(f"sample {sample.sample_id!r}: label: expected {wanted}, got {label}")
        truth = int(self.classes.from_dataset[label])
        shares = self.probabilities(prediction)
        payload = {"truth": np.array([truth], np.int32), "probabilities": shares}
        if self.dependable:
            payload["frame_scores"] = strangeness(prediction)
        if truth < 0:
            return Scored(quantities={}, payload=payload)
        best = int(shares.argmax())
        names, box = self.classes.names, (0.0, 0.0, float(sample.width), float(sample.height))
        row = ObjectRow(
            instance_id=0,
            class_name=names[truth],
            box=box,
            outcome="found" if best == truth else "confused",
            verdict="kept",
            visible_fraction=1.0,
            predicted_class=names[best],
            score=float(shares[truth]),
        )
        quantities = {"accuracy": float(best == truth), "score": float(shares[truth])}
        return Scored(quantities=quantities, payload=payload, objects=[row])

    def cell(self, payload: Payload, weights: Weights) -> CellScores:
        truth = payload.columns["truth"].flatten().to_numpy()
        shares = payload.columns["probabilities"].flatten().to_numpy().reshape(-1, self.n)
        known = truth >= 0
        truth, shares, group = truth[known], shares[known], payload.group[known]
        best = shares.argmax(axis=1) if len(shares) else np.zeros(0, np.int64)
        weighted = self._weighted_confusion(truth, best, group, payload.n_groups, weights)
        total = weighted.sum(axis=(1, 2))
        figures = [SetFigure("accuracy", ratio(np.einsum("bii->b", weighted), total))]
        if self.n > 5:
            figures.append(SetFigure("top5", _top5(truth, shares, group, payload.n_groups, weights)))
        right, true, called = np.einsum("bii->bi", weighted), weighted.sum(axis=2), weighted.sum(axis=1)
        there = (true + called) > 0  # a class neither there nor called is not averaged over, as in torchmetrics
        zero = {
            "precision": np.where(called > 0, ratio(right, called), 0.0),
            "recall": np.where(true > 0, ratio(right, true), 0.0),
            "f1": np.where(there, ratio(2 * right, true + called), 0.0),
        }
        by_class = {key: np.where(there, values, np.nan) for key, values in zero.items()}
        by_class["auroc"] = np.stack(
            [_weighted_auroc(shares[:, c], truth == c, group, weights) for c in range(self.n)], axis=1
        )
        for key, values in by_class.items():
            figures.append(SetFigure(key, mean_of(values.T)))
            for c, name in enumerate(self.classes.names):
                if not np.isnan(values[0, c]):
                    figures.append(SetFigure(key, values[:, c], class_name=name))
        accuracy = np.where(true > 0, ratio(right, true), np.nan)
        for c, name in enumerate(self.classes.names):
            if true[0, c] > 0:
                figures.append(SetFigure("accuracy", accuracy[:, c], class_name=name))
        confusion: Mapping[str, Any] = {
            "class_names": list(self.classes.names),
            "counts": weighted[0].astype(int).tolist(),
        }
        return CellScores(figures=figures, confusion=confusion)

    def _weighted_confusion(
        self, truth: NDArray[Any], best: NDArray[Any], group: NDArray[Any], n_groups: int, weights: Weights
    ) -> NDArray[np.float64]:
        """Return (B, E, E) pictures by true and predicted class under each row of weights."""
        grouped = np.zeros((n_groups, self.n * self.n), np.int64)
        np.add.at(grouped, (group, truth * self.n + best), 1)
        return (weights.astype(np.float64) @ grouped).reshape(-1, self.n, self.n)


def strangeness(prediction: Predictions) -> NDArray[np.float32]:
    """Return (3,) MSP, energy and max logit scores of a picture, higher for what the model knows less.

    MSP: Hendrycks and Gimpel 2017; energy at temperature 1: Liu et al. 2020; max logit: Hendrycks et al. 2022. The last
    two are NaN where the model gives probabilities alone.
    """
    assert prediction.probabilities is not None  # CheckedModel sees to it
    found = np.full(3, np.nan, np.float32)
    found[0] = -prediction.probabilities.max()
    if prediction.logits is not None:
        logits = prediction.logits.astype(np.float64)
        top = logits.max()
        found[1], found[2] = -(top + np.log(np.exp(logits - top).sum())), -top
    return found


def _top5(
    truth: NDArray[Any], shares: NDArray[np.float32], group: NDArray[Any], n_groups: int, weights: Weights
) -> NDArray[np.float64]:
    """Return (B,) share of pictures whose truth is among the five likeliest (ties: the lower index first)."""
    order = np.argsort(-shares, axis=1, kind="stable")[:, :5]
    hit = (order == truth[:, None]).any(axis=1) if len(truth) else np.zeros(0, np.bool_)
    counts = np.zeros((n_groups, 2), np.float64)
    np.add.at(counts, group, np.stack([hit, np.ones_like(hit)], axis=1).astype(np.float64))
    weighted = weights.astype(np.float64) @ counts
    return ratio(weighted[:, 0], weighted[:, 1])


def _weighted_auroc(
    scores: NDArray[np.float32], positive: NDArray[np.bool_], group: NDArray[Any], weights: Weights
) -> NDArray[np.float64]:
    """Return (B,) probability that a positive outscores a negative, ties one half; NaN where there is only one kind."""
    order = np.argsort(scores, kind="stable")
    return _auroc_kernel(scores[order], positive[order], group[order].astype(np.int64), weights)


@njit(cache=True)
def _auroc_kernel(scores, positive, group, weights):  # type: ignore[no-untyped-def]  # numba infers
    resamples, n = weights.shape[0], len(scores)
    out = np.full(resamples, np.nan)
    for b in range(resamples):
        above, negatives, positives, i = 0.0, 0.0, 0.0, 0
        while i < n:
            j, p, q = i, 0.0, 0.0
            while j < n and scores[j] == scores[i]:
                if positive[j]:
                    p += weights[b, group[j]]
                else:
                    q += weights[b, group[j]]
                j += 1
            above += p * (negatives + 0.5 * q)
            positives += p
            negatives += q
            i = j
        if positives > 0 and negatives > 0:
            out[b] = above / (positives * negatives)
    return out
