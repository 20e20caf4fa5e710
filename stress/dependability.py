"""Figures of one cell beyond its score: is the model as right as it is sure, and does a score of it tell?

What is fitted (a temperature, detectors of the unknown) is fitted on clean frames of one half of the groups and judged
on the other half, whose frames, clean and shifted, take no part in the fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scenes.sample import Task
from stress.metrics import Scorer, calibration, lrp, pixels
from stress.metrics.calibration import Answers
from stress.metrics.scored import Metric
from stress.statistics import FEWEST_GROUPS, Draws, Weights, figure
from stress.unknown import Reference, UnknownFigure, reference_of, told
from synth.random import Rng

FEWEST_TO_SPLIT = 2 * FEWEST_GROUPS  # groups: below, neither half says anything
SURE_FROM = 0.3  # least score of finds whose calibration counts (Küppers et al. 2020)
UNUSED = ("sample_id", "skipped", "skipped_at", "params", "completed", "objects", "confusion", "counts")  # of a part
DETECTION_NAMES = {"ece": "d_ece", "adaptive_ece": "adaptive_d_ece"}


def metrics_of(task: Task) -> dict[str, Metric]:
    """Return what is to be said of each figure of calibration of a task."""
    if task != "detection":
        return dict(calibration.METRICS)
    named = {}
    for key, m in calibration.METRICS.items():
        name = DETECTION_NAMES.get(key, key)
        label = m.label.replace("ECE", "D-ECE")
        said = f"{m.description}; finds from score {SURE_FROM}, right from IoU 0.5"
        named[name] = Metric(name, label, m.unit, said, higher_is_better=False)
    return {**named, **lrp.METRICS}


@dataclass(frozen=True, eq=False)
class CalibrationFigure:
    """One figure of a cell under every resample.

    temperature: None over all groups; "before" and "after" scaling, over the half that the fit did not see
    """

    metric: str
    draws: Draws
    temperature: str | None = None


@dataclass(frozen=True, eq=False)
class Fitted:
    """What is fitted on clean frames of the first half of the groups, and the clean cell of the second."""

    halves: Halves
    temperature: float | None
    reference: Reference


@dataclass(frozen=True, eq=False)
class CellDependability:
    """What one cell adds to results.json. reliability: plain values of its bins."""

    calibration: Sequence[CalibrationFigure] = ()
    reliability: Sequence[Mapping[str, Any]] = ()
    unknown: Sequence[UnknownFigure] = ()
    temperature: float | None = None
    notes: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True, eq=False)
class Halves:
    """Which groups are fitted on: fit (G,) bool; usable: whether there are enough of them to split at all."""

    fit: NDArray[np.bool_]
    usable: bool

    @classmethod
    def of(cls, n_groups: int, seed: int) -> Halves:
        """Draw the halves; the same for every cell of a run.

        >>> Halves.of(11, 0).fit.sum()
        5
        """
        order = np.argsort(Rng("dependability", seed).uniforms(n_groups), kind="stable")
        fit = np.zeros(n_groups, np.bool_)
        fit[order[: n_groups // 2]] = True
        return cls(fit, n_groups >= FEWEST_TO_SPLIT)

    @property
    def n_test(self) -> int:
        return int((~self.fit).sum())

    def test(self, weights: Weights) -> Weights:
        """Return weights under which only the groups of the other half count."""
        return np.where(self.fit, 0, weights).astype(weights.dtype)


@dataclass(frozen=True, eq=False)
class Pictures:
    """One cell as it is read from its parts: a column of each picture, its group, and the halves of the groups."""

    columns: Mapping[str, pa.Array]
    group: NDArray[np.int64]
    n_groups: int
    index: NDArray[np.int64]

    @classmethod
    def of(cls, table: pa.Table, groups: NDArray[np.int64], n_groups: int) -> Pictures:
        """groups: (n samples,) index of each sample's group."""
        index = table.column("index").to_numpy().astype(np.int64)
        named = [name for name in table.column_names if name not in UNUSED and not name.startswith("mask_")]
        columns = {name: table.column(name).combine_chunks() for name in named}
        return cls(columns, groups[index], n_groups, index)

    def repeated(self, column: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return the values of a list column of all pictures, and the picture of each."""
        lists = self.columns[column].fill_null([])
        lengths = np.diff(lists.offsets.to_numpy())
        return lists.flatten().to_numpy(), np.repeat(np.arange(len(lists)), lengths)


class Judge:
    """Judges the cells of one run; what is fitted on the clean one is fitted once."""

    def __init__(self, scorer: Scorer, seed: int, head: Any = None, *, flow: bool = False) -> None:
        """head: the last linear layer of a classifier, which some detectors of the unknown need; flow: fit one too."""
        self.scorer, self.seed, self.head, self.flow = scorer, seed, head, flow
        self._fitted: Fitted | None = None

    def cell(
        self,
        table: pa.Table,
        clean: Callable[[], pa.Table],
        groups: NDArray[np.int64],
        weights: Weights,
        *,
        is_clean: bool,
    ) -> CellDependability:
        """Return the figures of a cell.

        table: its rows; clean: reads those of the clean cell; groups: (n samples,) index of each sample's group
        """
        if self._fitted is None:
            self._fitted = self._fit(clean(), groups, weights.shape[1])
        cell = Pictures.of(table, groups, weights.shape[1])
        fitted = self._fitted
        found = calibrated(self.scorer, cell, weights, fitted.halves, fitted.temperature)
        judged = fitted.halves.test(weights) if fitted.halves.usable else weights
        return replace(found, unknown=told(self.scorer.task, cell, fitted.reference, judged, clean=is_clean))

    def _fit(self, table: pa.Table, groups: NDArray[np.int64], n_groups: int) -> Fitted:
        halves = Halves.of(n_groups, self.seed)
        clean = Pictures.of(table, groups, n_groups)
        reference = reference_of(self.scorer.task, clean, halves, self.head, flow=self.flow)
        return Fitted(halves, fitted_temperature(self.scorer, clean, halves), reference)


def answers_of(scorer: Scorer, cell: Pictures) -> Answers | None:
    """Return what a classifier or a detector said and whether it was right; None for label maps (see pixels)."""
    if scorer.task == "classification":
        truth = cell.columns["truth"].flatten().to_numpy()
        shares = cell.columns["probabilities"].flatten().to_numpy().reshape(len(truth), -1)[truth >= 0]
        known = shares.shape[1]
        if (scorer.classes.from_model < 0).any():  # what the model gives to classes that are not evaluated
            rest = np.clip(1.0 - shares.sum(axis=1, dtype=np.float64), 0.0, 1.0)
            shares = np.concatenate([shares, rest[:, None]], axis=1)
        return Answers.of_shares(shares, truth[truth >= 0], cell.group[truth >= 0], known=known)
    if scorer.task == "detection":
        scores, picture = cell.repeated("find_scores")
        right = cell.repeated("find_ious")[0] > 0
        sure = scores >= np.float32(SURE_FROM)
        return Answers.of_finds(scores[sure], right[sure], cell.group[picture[sure]])
    return None


def calibrated(
    scorer: Scorer, cell: Pictures, weights: Weights, halves: Halves, temperature: float | None
) -> CellDependability:
    """Return the calibration of a cell: over all groups, and of the second half before and after scaling."""
    held = halves.test(weights)
    answers = answers_of(scorer, cell)
    if answers is None:
        return _of_pixels(cell, weights, held, halves, temperature)
    n = cell.n_groups
    found = [CalibrationFigure(k, d) for k, d in calibration.figures(answers, n, weights).items()]
    sums = calibration.weighted(calibration.sums_of(answers, n), weights)
    bins: list[Mapping[str, Any]] = [{"temperature": None, **_bins(sums, n)}]
    if temperature is not None:
        other = answers.only(~halves.fit[answers.group])
        for when, said in (("before", other), ("after", other.scaled(temperature))):
            found += [CalibrationFigure(k, d, when) for k, d in calibration.figures(said, n, held).items()]
            sums = calibration.weighted(calibration.sums_of(said, n), held)
            bins.append({"temperature": when, **_bins(sums, halves.n_test)})
    if scorer.task == "detection":
        found = [CalibrationFigure(DETECTION_NAMES.get(f.metric, f.metric), f.draws, f.temperature) for f in found]
        found += [CalibrationFigure(k, d) for k, d in lrp.figures(_found_objects(scorer, cell), weights).items()]
    return CellDependability(found, bins, temperature=temperature)


def fitted_temperature(scorer: Scorer, clean: Pictures, halves: Halves) -> float | None:
    """Return the temperature fitted on the first half of the clean groups; None where it cannot be."""
    if not halves.usable:
        return None
    answers = answers_of(scorer, clean)
    if answers is None:
        return pixels.fit_temperature(clean.columns, halves.fit[clean.group])
    return calibration.fit_temperature(answers.only(halves.fit[answers.group]))


def _of_pixels(
    cell: Pictures, weights: Weights, held: Weights, halves: Halves, temperature: float | None
) -> CellDependability:
    n = cell.n_groups
    if cell.columns["pixel_sums"].null_count == len(cell.group):
        return CellDependability(notes=("The model gives label maps without probabilities: nothing to calibrate.",))
    found = [CalibrationFigure(k, d) for k, d in pixels.figures(cell.columns, cell.group, n, weights).items()]
    sums = calibration.weighted(pixels.coarse(pixels.fine_sums(cell.columns, cell.group, n)), weights)
    bins: list[Mapping[str, Any]] = [{"temperature": None, **_bins(sums, n)}]
    for when, t in (("before", 1.0), ("after", temperature)) if temperature is not None else ():
        assert t is not None
        scaled, sums = pixels.scaled(cell.columns, cell.group, n, held, t)
        found += [CalibrationFigure(k, d, when) for k, d in scaled.items()]
        bins.append({"temperature": when, **_bins(sums, halves.n_test)})
    return CellDependability(found, bins, temperature=temperature)


def _bins(sums: NDArray[np.float64], n_groups: int) -> dict[str, list[Any]]:
    """Return count, confidence and share right of each bin of (B, BINS, 3) sums, with its interval."""
    count, right, sure = (sums[..., i] for i in range(3))
    shares = [
        figure(right[:, i] / np.where(count[:, i] > 0, count[:, i], np.nan), n_groups, share=True)
        for i in range(sums.shape[1])
    ]
    return {
        "count": [int(v) for v in count[0]],
        "confidence": [_round(s / c) if c else None for s, c in zip(sure[0], count[0], strict=True)],
        "right": [_round(f.value) for f in shares],
        "low": [_round(f.low) for f in shares],
        "high": [_round(f.high) for f in shares],
    }


def _found_objects(scorer: Scorer, cell: Pictures) -> lrp.FoundObjects:
    scores, picture = cell.repeated("find_scores")
    classes = cell.repeated("find_classes")[0]
    n = len(scorer.classes.names)
    wanted = np.zeros((cell.n_groups, n), np.int64)
    each = cell.columns["box_wanted"].flatten().to_numpy().reshape(len(cell.group), -1, n)[:, 0]  # of all sizes
    np.add.at(wanted, cell.group, each)
    return lrp.FoundObjects(
        scores.astype(np.float64),
        classes.astype(np.int64),
        cell.repeated("find_ious")[0].astype(np.float64),
        cell.group[picture],
        wanted,
    )


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
