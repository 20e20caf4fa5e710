"""Segmentation: mIoU, Dice and pixel accuracy from confusion counts, summed over the pictures of a cell.

Pixels whose true class is unknown or not evaluated are ignored; a class that only the model knows is a wrong answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Predictions, Sample, Task
from stress.class_map import ClassMap
from stress.metrics import pixels
from stress.metrics.scored import CellScores, Metric, Payload, Scored, SetFigure
from stress.statistics import Weights, mean_of, ratio
from synth.audit import Verdict

OTHER = "other"  # what the model alone knows
IGNORED = -1  # evaluated class of a pixel that does not count
UNLABELLED = 255  # the same in a data set's label map of uint8


class SegmentationScorer:
    """Scores label maps; `confusion` (E, E + 1) counts pixels by true class (row) and predicted class or other."""

    task: ClassVar[Task] = "segmentation"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("miou", "mIoU", "", "intersection over union, pixels of all pictures together, mean over classes"),
        Metric("dice", "Dice", "", "Dice coefficient (F1 of pixels), mean over classes"),
        Metric("pixel_accuracy", "pixel accuracy", "", "share of pixels of known class that are right"),
    )
    columns: ClassVar[Mapping[str, pa.DataType]] = {"confusion": pa.list_(pa.int64())}
    kept: ClassVar[Mapping[str, pa.DataType]] = pixels.COLUMNS

    def __init__(self, classes: ClassMap, *, min_visibility: float, dependable: bool = False) -> None:
        self.classes, self.n, self.dependable = classes, len(classes.names), dependable
        self._from_dataset = _table(classes.from_dataset, IGNORED)
        self._from_model = _table(classes.from_model, self.n)

    def truth(self, sample: Sample) -> NDArray[np.int32]:
        """Return (H, W) evaluated class, -1 = ignored."""
        labels = sample.annotations.segmentation
        if labels is None:
            raise InputError(f"sample {sample.sample_id!r} has no segmentation to score a segmenter with")
        ignored = (labels == UNLABELLED) if labels.dtype == np.uint8 else (labels < 0)
        beyond = int(labels[~ignored].max(initial=0))
        if beyond >= len(self.classes.from_dataset):
            wanted = f"class indices 0 to {len(self.classes.from_dataset) - 1} or ignore"
            raise InputError(f"sample {sample.sample_id!r}: segmentation: expected {wanted}, got {beyond}")
        if labels.dtype == np.uint8:
            return self._from_dataset[labels]
        return np.where(ignored, IGNORED, self._from_dataset[np.maximum(labels, 0)]).astype(np.int32)

    def predicted(self, prediction: Predictions) -> NDArray[np.int32]:
        """Return (H, W) evaluated class, E = a class that only the model knows."""
        assert prediction.segmentation is not None  # CheckedModel sees to it
        return self._from_model[prediction.segmentation]

    def score(self, sample: Sample, verdicts: Sequence[Verdict], prediction: Predictions) -> Scored:
        truth, predicted = self.truth(sample), self.predicted(prediction)
        confusion = confusion_counts(truth, predicted, self.n)
        counts = confusion[None].astype(np.float64)
        quantities = {name: float(values[0]) for name, values in _summary(counts).items() if not np.isnan(values[0])}
        payload: dict[str, Any] = {"confusion": confusion.ravel()}
        if self.dependable:
            payload |= pixels.observe(truth, predicted, prediction, self.classes.from_model, self.n)
        return Scored(quantities=quantities, payload=payload)

    def cell(self, payload: Payload, weights: Weights) -> CellScores:
        counts = payload.columns["confusion"].flatten().to_numpy().reshape(-1, self.n * (self.n + 1))
        grouped = np.zeros((payload.n_groups, counts.shape[1]), np.int64)
        np.add.at(grouped, payload.group, counts)
        weighted = (weights.astype(np.float64) @ grouped).reshape(-1, self.n, self.n + 1)
        figures = [SetFigure(name, draws) for name, draws in _summary(weighted).items()]
        for name, by_class in _by_class(weighted).items():
            for c, class_name in enumerate(self.classes.names):
                if not np.isnan(by_class[0, c]):
                    figures.append(SetFigure(name, by_class[:, c], class_name=class_name))
        total = grouped.sum(axis=0).reshape(self.n, self.n + 1)
        square = np.vstack([total, np.zeros((1, self.n + 1), np.int64)])
        confusion: Mapping[str, Any] = {"class_names": [*self.classes.names, OTHER], "counts": square.tolist()}
        return CellScores(figures=figures, confusion=confusion)


def confusion_counts(truth: NDArray[np.int32], predicted: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    """Return (n, n + 1) pixels by true class and prediction, n = other; truth -1 is ignored.

    One bincount of joint codes: torchmetrics' confusion matrix of the same pixels (tested), at a tenth of its time.
    """
    codes = truth * np.int32(n + 1) + predicted  # n below 46 000
    counts = np.bincount(codes[truth != IGNORED], minlength=n * (n + 1))
    matrix: NDArray[np.int64] = counts.reshape(n, n + 1)
    return matrix


def _by_class(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return (B, E) IoU, Dice and accuracy of each class; NaN where a class is neither there nor predicted."""
    n = counts.shape[1]
    right = np.einsum("bii->bi", counts[:, :, :n])
    true, predicted = counts.sum(axis=2), counts[:, :, :n].sum(axis=1)
    return {
        "miou": ratio(right, true + predicted - right),
        "dice": ratio(2 * right, true + predicted),
        "pixel_accuracy": ratio(right, true),
    }


def _summary(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return (B,) mIoU, Dice and pixel accuracy of (B, E, E + 1) counts."""
    by_class = _by_class(counts)
    right = np.einsum("bii->b", counts[:, :, : counts.shape[1]])
    return {
        "miou": mean_of(by_class["miou"].T),
        "dice": mean_of(by_class["dice"].T),
        "pixel_accuracy": ratio(right, counts.sum(axis=(1, 2))),
    }


def _table(mapping: NDArray[np.int64], otherwise: int) -> NDArray[np.int32]:
    """Return (256 or more,) the evaluated class of every label, `otherwise` where there is none."""
    table = np.full(max(256, len(mapping)), otherwise, np.int32)
    table[: len(mapping)] = np.where(mapping < 0, otherwise, mapping)
    return table
