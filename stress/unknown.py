"""Does a score of the model tell when it should not be trusted? Two questions, kept apart.

- shift:   shifted frames against the same frames clean: does the score flag the shift?
- failure: within one cell, failed against right frames, pixels or finds: does the score flag the failures?

Scores of logits are kept from the run; detectors on embeddings are pytorch-ood's, fitted on clean frames of one half of
the groups and judged on the other. Higher means less like what the model knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from scenes.sample import Task
from stress.metrics import pixels
from stress.metrics.separation import separation
from stress.statistics import Weights

if TYPE_CHECKING:
    from stress.dependability import Halves, Pictures

FEWEST_TO_FIT = 20  # clean frames with an embedding
NEIGHBOURS = 50  # of KNN (Sun et al. 2022 for the smaller data sets); a tenth of the frames where there are fewer
MOST_DIRECTIONS = 64  # of the embeddings' spread that Mahalanobis distances are measured in
SURE_FROM = 0.3  # least score of a find that counts
FRAME_SCORE: dict[Task, str] = {"detection": "f1", "segmentation": "miou", "classification": "accuracy"}
HALF = 0.5  # of the clean median; a frame below has failed
DESCRIPTIONS: dict[str, tuple[str, str]] = {
    "msp": ("MSP", "minus the largest probability (Hendrycks and Gimpel 2017)"),
    "energy": ("energy", "minus log-sum-exp of the logits (Liu et al. 2020)"),
    "max_logit": ("max logit", "minus the largest logit (Hendrycks et al. 2022)"),
    "odin": ("ODIN", "MSP at temperature 1000 after a step of 0.0014 towards it (Liang et al. 2018)"),
    "knn": ("KNN", "distance to the k-th nearest clean embedding (Sun et al. 2022)"),
    "mahalanobis": ("Mahalanobis", "distance to the nearest class mean of clean embeddings (Lee et al. 2018)"),
    "vim": ("ViM", "residual of the embedding against the logits' energy (Wang et al. 2022)"),
    "react": ("ReAct", "energy after clipping the embedding (Sun et al. 2021)"),
    "flow": ("flow", "minus log likelihood of the embedding under a normalizing flow (zuko)"),
    "top_score": ("best box", "minus the highest score of a frame's finds"),
    "mean_score": ("mean box", f"minus the mean score of finds from {SURE_FROM}"),
    "sum_score": ("boxes", "minus the sum of scores, the number of objects that are expected"),
    "box_score": ("box score", f"minus the score of each find from {SURE_FROM}"),
}
Scores = dict[str, NDArray[np.float64]]
Fit = Callable[[NDArray[np.float32]], NDArray[np.float64]]  # embeddings (M, D) to scores (M,)


@dataclass(frozen=True, eq=False)
class UnknownFigure:
    """One score and question in one cell. unit: what is flagged: frames, pixels or finds; groups: they are of."""

    score: str
    question: str
    unit: str
    draws: Mapping[str, NDArray[np.float32]]  # (1 + B,) each; single precision, as there are many
    positives: int
    negatives: int
    groups: int


@dataclass(frozen=True, eq=False)
class Reference:
    """What cells are judged against: the fitted detectors, the clean frames' scores, and when a frame has failed."""

    detectors: Mapping[str, Fit]
    clean: Scores
    clean_index: NDArray[np.int64]
    least: float
    width: int  # of the embeddings


def reference_of(task: Task, clean: Pictures, halves: Halves, head: Any, *, flow: bool) -> Reference:
    """Fit on the clean cell. head: the classifier's last linear layer, None where there is none."""
    detectors = _fitted(task, clean, halves, head, flow=flow) if halves.usable else {}
    values = frame_values(clean, FRAME_SCORE[task])
    known = values[~np.isnan(values)]
    least = 1.0 if task == "classification" else HALF * float(np.median(known)) if len(known) else np.nan
    width = embeddings(clean)[1].shape[1]
    return Reference(detectors, frame_scores(task, clean, detectors, width), clean.index, least, width)


def told(task: Task, cell: Pictures, against: Reference, weights: Weights, *, clean: bool) -> list[UnknownFigure]:
    """Return what the scores of one cell tell. weights: of the groups that are judged."""
    scores = frame_scores(task, cell, against.detectors, against.width)
    values = frame_values(cell, FRAME_SCORE[task])
    scored = ~np.isnan(values)
    failed = values < against.least
    found = []
    for name, of_frames in scores.items():
        if not clean:
            before = _paired(against, name, cell.index)
            both, shifted = np.concatenate([before, of_frames]), np.arange(2 * len(before)) >= len(before)
            both[np.isnan(np.concatenate([of_frames, before]))] = np.nan  # a frame counts in both states or in none
            found.append(_figure(name, "shift", "frames", both, shifted, np.tile(cell.group, 2), weights))
        found.append(_figure(name, "failure", "frames", of_frames[scored], failed[scored], cell.group[scored], weights))
    return found + _of_parts(task, cell, weights)


def frame_scores(task: Task, cell: Pictures, detectors: Mapping[str, Fit], width: int) -> Scores:
    """Return (I,) scores of each picture of a cell, NaN where one has none; scores that no picture has are left out.

    width: of the embeddings that the detectors are fitted on
    """
    scores: Scores = {}
    if task == "classification":
        three = np.array(cell.columns["frame_scores"].flatten().to_numpy(), np.float64).reshape(-1, 3)
        scores = dict(zip(pixels.SCORES, three.T, strict=True))
        scores["odin"] = cell.columns["odin"].to_numpy(zero_copy_only=False).astype(np.float64)
    elif task == "segmentation":
        scores = dict(zip(pixels.SCORES, pixels.frame_scores(cell.columns["pixel_sums"]).T, strict=True))
    else:
        scores = _of_finds(cell)
    rows, vectors = embeddings(cell, width) if detectors else (np.zeros(0, np.int64), np.zeros((0, 0), np.float32))
    for name, detector in detectors.items():
        scores[name] = np.full(len(cell.group), np.nan)
        if len(rows):
            scores[name][rows] = detector(vectors)
    return {name: values for name, values in scores.items() if not np.isnan(values).all()}


def embeddings(cell: Pictures, width: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return which pictures of a cell have an embedding, and the embeddings (M, D).

    width: D, that most of them have where it is not given; what a model gives in another width has none
    """
    column = cell.columns["embedding"]
    rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    if not len(rows):
        return rows, np.zeros((0, 0), np.float32)
    parts = [np.frombuffer(value, np.float16) for value in column.take(pa.array(rows)).to_pylist()]
    widths = np.array([len(part) for part in parts])
    width = int(np.bincount(widths).argmax()) if width is None else width
    same = widths == width
    vectors = np.array([part for part, fits in zip(parts, same, strict=True) if fits], np.float32)
    return rows[same], vectors.reshape(-1, width)


def frame_values(cell: Pictures, key: str) -> NDArray[np.float64]:
    """Return (I,) one quantity of each picture, NaN where it has none."""
    lists = cell.columns["quantities"]
    parents = pc.list_parent_indices(lists).to_numpy()
    structs = lists.flatten()
    mine = pc.equal(structs.field("quantity"), key).to_numpy(zero_copy_only=False)
    found = np.full(len(cell.group), np.nan)
    found[parents[mine]] = structs.field("value").to_numpy(zero_copy_only=False)[mine]
    return found


def _figure(
    name: str,
    question: str,
    unit: str,
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    group: NDArray[Any],
    weights: Weights,
) -> UnknownFigure:
    t = separation(scores, positive, group, weights)
    draws = {key: values.astype(np.float32) for key, values in t.draws.items()}
    return UnknownFigure(name, question, unit, draws, t.positives, t.negatives, t.groups)


def _paired(against: Reference, name: str, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the clean score of each picture of a cell, NaN where it has none."""
    clean = against.clean.get(name)
    at = np.searchsorted(against.clean_index, index)
    return np.full(len(index), np.nan) if clean is None else clean[at]


def _of_parts(task: Task, cell: Pictures, weights: Weights) -> list[UnknownFigure]:
    """Return whether scores of single pixels or finds flag the wrong ones."""
    if task == "segmentation":
        picture, values = pixels.pixel_scores(cell.columns["pixel_scores"])
        wrong = values[:, 0] == 0
        named = zip(pixels.SCORES, values[:, 1:].T, strict=True)
        return [
            _figure(name, "failure", "pixels", column, wrong, cell.group[picture], weights)
            for name, column in named
            if not np.isnan(column).all()
        ]
    if task == "detection":
        scores, picture = cell.repeated("find_scores")
        wrong = cell.repeated("find_ious")[0] == 0
        sure = scores >= np.float32(SURE_FROM)
        group = cell.group[picture[sure]]
        return [_figure("box_score", "failure", "finds", -scores[sure].astype(np.float64), wrong[sure], group, weights)]
    return []


def _of_finds(cell: Pictures) -> Scores:
    """Return scores of frames from the boxes alone; 0 where nothing is found."""
    values, picture = cell.repeated("find_scores")
    n, values = len(cell.group), values.astype(np.float64)
    top = np.zeros(n)
    np.maximum.at(top, picture, values)
    sure = values >= SURE_FROM
    count = np.bincount(picture[sure], minlength=n)
    total = np.bincount(picture[sure], values[sure], minlength=n)
    return {
        "top_score": -top,
        "mean_score": -total / np.maximum(count, 1),
        "sum_score": -np.bincount(picture, values, minlength=n).astype(np.float64),  # whole numbers where none is found
    }


def _fitted(task: Task, clean: Pictures, halves: Halves, head: Any, *, flow: bool) -> dict[str, Fit]:
    """Return detectors fitted on the embeddings of the first half of the clean groups."""
    rows, vectors = embeddings(clean)
    mine = halves.fit[clean.group[rows]] if len(rows) else np.zeros(0, np.bool_)
    truth = clean.columns["truth"].flatten().to_numpy()[rows] if task == "classification" else np.zeros(len(rows), int)
    known = mine & (truth >= 0)
    if known.sum() < FEWEST_TO_FIT:
        return {}
    from stress.detectors import fit_detectors

    return fit_detectors(vectors[known], truth[known], head, flow=flow)
