"""Detection: box and mask AP by pycocotools' matching; precision, recall and F1 at score 0.5 and IoU 0.5."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scenes.sample import Predictions, Sample, Task
from stress.class_map import ClassMap
from stress.metrics.average_precision import RECALLS, ClassMatches, precision_recall, weighted_ap
from stress.metrics.lrp import LEAST_SCORE
from stress.metrics.matching import ALL, VALID, VARIANTS, Finds, Masks, Matches, Truth, match, to_area
from stress.metrics.outcomes import outcomes
from stress.metrics.range import distances_m
from stress.metrics.scored import CellScores, Metric, ObjectRow, Payload, Scored, SetFigure
from stress.statistics import Draws, Weights, mean_of, ratio
from synth.audit import Verdict

BACKGROUND = "background"
KNOWN_MASKS = 64  # pictures whose mask areas are remembered
_AP = "mean over classes; IoU 0.50 to 0.95 in steps of 0.05, 101 recall points, at most 100 finds an image"
_AT = "all classes together, at score 0.5 and IoU 0.5"
_MATCH_COLUMNS = {
    "variants": pa.list_(pa.int8()),
    "classes": pa.list_(pa.int16()),
    "scores": pa.list_(pa.float32()),
    "hits": pa.list_(pa.uint16()),
    "ignored": pa.list_(pa.uint16()),
    "wanted": pa.list_(pa.int32()),
}


class DetectionScorer:
    """Scores boxes (and masks, where the model gives them) of one picture, and AP of a cell."""

    task: ClassVar[Task] = "detection"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("map", "mAP", "", f"average precision of boxes, {_AP}"),
        Metric("ap50", "AP50", "", "average precision of boxes at IoU 0.50, mean over classes"),
        Metric("ap75", "AP75", "", "average precision of boxes at IoU 0.75, mean over classes"),
        Metric("mask_map", "mask mAP", "", f"average precision of masks, {_AP}"),
        Metric("mask_ap50", "mask AP50", "", "average precision of masks at IoU 0.50, mean over classes"),
        Metric("precision", "precision", "", f"share of finds that are right, {_AT}"),
        Metric("recall", "recall", "", f"share of objects that are found, {_AT}"),
        Metric("f1", "F1", "", f"harmonic mean of precision and recall, {_AT}"),
    )
    columns: ClassVar[Mapping[str, pa.DataType]] = {
        **{f"box_{name}": kind for name, kind in _MATCH_COLUMNS.items()},
        **{f"mask_{name}": kind for name, kind in _MATCH_COLUMNS.items()},
        "counts": pa.list_(pa.int32()),
        "confusion": pa.list_(pa.int32()),
    }
    kept: ClassVar[Mapping[str, pa.DataType]] = {
        "find_scores": pa.list_(pa.float32()),
        "find_classes": pa.list_(pa.int16()),
        "find_ious": pa.list_(pa.float32()),  # with the object it took, 0 = none; what is ignored is left out
    }

    def __init__(self, classes: ClassMap, *, min_visibility: float, dependable: bool = False) -> None:
        self.classes, self.min_visibility, self.dependable = classes, min_visibility, dependable
        self.n = len(classes.names)
        self._areas: dict[int, tuple[weakref.ref[Masks], NDArray[np.float64]]] = {}

    def score(self, sample: Sample, verdicts: Sequence[Verdict], prediction: Predictions) -> Scored:
        rows, truth = self._truth(sample, verdicts, masks=prediction.masks is not None)
        finds = self._finds(prediction)
        boxes = match(truth, finds, self.n)
        masks = None
        if truth.masks is not None and finds.masks is not None:
            masks = match(truth, finds, self.n, by="segm")
        objects, counts, confusion = self._objects(sample, verdicts, rows, truth, finds, boxes)
        right, wrong, missed = (int(part) for part in counts.sum(axis=1))
        quantities: dict[str, float] = {"found": right, "invented": wrong, "missed": missed}
        if right + wrong + missed:
            quantities["f1"] = 2 * right / (2 * right + wrong + missed)
        payload = {
            **_columns("box", boxes, self.n),
            **_columns("mask", masks, self.n),
            "counts": counts.ravel(),
            "confusion": confusion.ravel(),
        }
        if self.dependable:
            payload |= _kept(truth, finds, boxes)
        return Scored(quantities={k: float(v) for k, v in quantities.items()}, payload=payload, objects=objects)

    def _truth(self, sample: Sample, verdicts: Sequence[Verdict], *, masks: bool) -> tuple[NDArray[np.int64], Truth]:
        """Return which rows of the annotations count, and them; what is not in the picture is an ignore region."""
        a = sample.annotations
        classes = self.classes.from_dataset[a.labels]
        boxes = a.boxes.astype(np.float64)
        gone = np.array([v.kind == "invalid" for v in verdicts], np.bool_).reshape(len(a))
        gone |= (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
        ignore = a.ignore | gone
        if a.boxes_amodal is not None:
            limits = np.array([sample.width, sample.height] * 2, np.float64)
            boxes = np.where(gone[:, None], np.clip(a.boxes_amodal, 0.0, limits), boxes)
        rows = np.flatnonzero((classes >= 0) | ignore)
        visible = np.array([v.visible_fraction for v in verdicts], np.float64).reshape(len(a))
        visible = visible if a.visibility is None else a.visibility.astype(np.float64)
        hard = np.array([v.hard_to_see for v in verdicts], np.bool_).reshape(len(a))
        shapes = _object_masks(sample) if masks or a.masks is not None else None
        areas = to_area(boxes) if a.masks is None else self._areas_of(a.masks)
        aside = hard | (visible < self.min_visibility)
        return rows, Truth(
            boxes=boxes[rows],
            classes=classes[rows],
            areas=areas[rows],
            ignore=ignore[rows],
            aside=aside[rows],
            masks=None if shapes is None else shapes[rows],
        )

    def _areas_of(self, masks: Masks) -> NDArray[np.float64]:
        """Return (N,) pixels of each mask; a change of appearance leaves the masks the same array, counted once."""
        known = self._areas.get(id(masks))
        if known is not None and known[0]() is masks:
            return known[1]
        areas = np.array([np.count_nonzero(mask) for mask in masks], np.float64)
        if len(self._areas) >= KNOWN_MASKS:
            self._areas.clear()
        self._areas[id(masks)] = weakref.ref(masks), areas
        return areas

    def _finds(self, prediction: Predictions) -> Finds:
        assert prediction.boxes is not None  # CheckedModel sees to it
        assert prediction.labels is not None
        assert prediction.scores is not None
        classes = self.classes.from_model[prediction.labels]
        known = classes >= 0
        return Finds(
            boxes=prediction.boxes[known].astype(np.float64),
            classes=classes[known],
            scores=prediction.scores[known].astype(np.float64),
            masks=None if prediction.masks is None else prediction.masks[known],
        )

    def _objects(
        self,
        sample: Sample,
        verdicts: Sequence[Verdict],
        rows: NDArray[np.int64],
        truth: Truth,
        finds: Finds,
        matches: Matches,
    ) -> tuple[list[ObjectRow], NDArray[np.int32], NDArray[np.int32]]:
        """Return the rows of all objects, (3, E) right, wrong and missed, and the (E + 1, E + 1) confusion matrix."""
        names, ids = self.classes.names, sample.annotations.instance_ids
        away = distances_m(sample)
        of_truth, of_finds = outcomes(truth, finds, matches)
        counts, confusion = np.zeros((3, self.n), np.int32), np.zeros((self.n + 1, self.n + 1), np.int32)
        wrong = (finds.scores >= 0.5) & (matches.partner < 0) & ~matches.shielded
        np.add.at(counts[1], finds.classes[wrong], 1)
        objects: list[ObjectRow] = []
        for i, outcome in enumerate(of_truth):
            if truth.classes[i] < 0:
                continue
            find, c, verdict = outcome.find, int(truth.classes[i]), verdicts[int(rows[i])]
            if outcome.kind != "ignored":
                counts[0 if outcome.kind == "found" else 2, c] += 1
                seen = outcome.kind in ("found", "confused", "misplaced")
                confusion[c, finds.classes[find] if seen else self.n] += 1
            taken = find >= 0
            objects.append(
                ObjectRow(
                    instance_id=int(ids[rows[i]]),
                    class_name=names[c],
                    box=_box(truth.boxes[i]),
                    outcome=outcome.kind,
                    verdict=verdict.kind,
                    reason=verdict.reason,
                    visible_fraction=float(verdict.visible_fraction),
                    hard_to_see=bool(verdict.hard_to_see),
                    predicted_class=names[int(finds.classes[find])] if taken else None,
                    score=float(finds.scores[find]) if taken else None,
                    iou=outcome.iou,
                    distance_m=None if np.isnan(away[rows[i]]) else float(away[rows[i]]),
                )
            )
        for d, outcome in of_finds.items():
            confusion[self.n, finds.classes[d]] += 1
            name = names[int(finds.classes[d])]
            objects.append(
                ObjectRow(
                    instance_id=0,
                    class_name=name,
                    box=_box(finds.boxes[d]),
                    outcome=outcome.kind,
                    predicted_class=name,
                    score=float(finds.scores[d]),
                    iou=outcome.iou,
                )
            )
        return objects, counts, confusion

    def cell(self, payload: Payload, weights: Weights) -> CellScores:
        boxes = _CellMatches("box", payload, self.n)
        figures: list[SetFigure] = []
        curves: list[Mapping[str, Any]] = []
        names = dict(enumerate(self.classes.names))
        for variant, size in ((ALL, None), (1, "small"), (2, "medium"), (3, "large")):
            figures += _ap_figures(boxes, weights, variant, names, size=size)
        figures += _ap_figures(boxes, weights, VALID, names, aside=True)
        if payload.columns["mask_wanted"].null_count == 0:
            masks = _CellMatches("mask", payload, self.n)
            for variant, size in ((ALL, None), (1, "small"), (2, "medium"), (3, "large")):
                figures += _ap_figures(masks, weights, variant, names, size=size, prefix="mask_")
            figures += _ap_figures(masks, weights, VALID, names, aside=True, prefix="mask_")
        figures += self._counted(payload, weights)
        known = []
        for c, name in names.items():
            curve = precision_recall(boxes.of(ALL, c))
            if curve is not None:
                known.append(curve)
                curves.append(_curve(name, curve))
        if known:
            curves.insert(0, _curve(None, np.mean(known, axis=0)))
        total = _flat(payload.columns["confusion"]).reshape(-1, self.n + 1, self.n + 1).sum(axis=0)
        confusion = {"class_names": [*self.classes.names, BACKGROUND], "counts": total.astype(int).tolist()}
        return CellScores(figures=figures, curves=curves, confusion=confusion)

    def _counted(self, payload: Payload, weights: Weights) -> list[SetFigure]:
        """Return precision, recall and F1, of all classes together and of each."""
        counts = _flat(payload.columns["counts"]).reshape(-1, 3 * self.n).astype(np.int64)
        grouped = np.zeros((payload.n_groups, 3 * self.n), np.int64)
        np.add.at(grouped, payload.group, counts)
        weighted = (weights.astype(np.int64) @ grouped).reshape(-1, 3, self.n).astype(np.float64)
        figures = _precision_recall_f1(weighted.sum(axis=2), None)
        for c, name in enumerate(self.classes.names):
            if grouped.reshape(-1, 3, self.n)[:, :, c].any():
                figures += _precision_recall_f1(weighted[:, :, c], name)
        return figures


class _CellMatches:
    """The matches of a whole cell, sorted once for each class and variant."""

    def __init__(self, prefix: str, payload: Payload, n_classes: int) -> None:
        columns = {name: payload.columns[f"{prefix}_{name}"] for name in _MATCH_COLUMNS}
        lengths = np.diff(columns["scores"].offsets.to_numpy())
        self.group = np.repeat(payload.group, lengths).astype(np.int32)
        self.parts = {name: _flat(columns[name]) for name in ("variants", "classes", "scores", "hits", "ignored")}
        wanted = _flat(columns["wanted"]).reshape(-1, len(VARIANTS), n_classes).astype(np.int64)
        self.wanted = np.zeros((payload.n_groups, len(VARIANTS), n_classes), np.int64)
        np.add.at(self.wanted, payload.group, wanted)

    def of(self, variant: int, c: int) -> ClassMatches:
        """Return the matches of one class in one variant."""
        parts = self.parts
        rows = np.flatnonzero((parts["variants"] == variant) & (parts["classes"] == c))
        scores, hits, ignored = (parts[name][rows] for name in ("scores", "hits", "ignored"))
        return ClassMatches.ordered(scores, hits, ignored, self.group[rows], self.wanted[:, variant, c])


def _ap_figures(
    matches: _CellMatches,
    weights: Weights,
    variant: int,
    names: Mapping[int, str],
    *,
    size: str | None = None,
    aside: bool = False,
    prefix: str = "",
) -> list[SetFigure]:
    """Return AP, AP50 and AP75 of one variant, mean over classes; of each class too where all sizes count."""
    by_class = {c: weighted_ap(matches.of(variant, c), weights) for c in names if matches.wanted[:, variant, c].any()}
    figures: list[SetFigure] = []
    keys: list[tuple[str, slice]] = [("map", slice(0, 10)), ("ap50", slice(0, 1)), ("ap75", slice(5, 6))]
    for key, thresholds in keys[: 2 if prefix else 3]:
        draws = {c: ap[:, thresholds].mean(axis=1) for c, ap in by_class.items()}
        mean: Draws = mean_of(list(draws.values())) if draws else np.full(len(weights), np.nan)
        figures.append(SetFigure(prefix + key, mean, size=size, aside=aside))
        if size is None and not aside:
            figures += [SetFigure(prefix + key, draws[c], class_name=names[c]) for c in draws]
    return figures


def _precision_recall_f1(counts: NDArray[np.float64], class_name: str | None) -> list[SetFigure]:
    """Return the three figures of (B, 3) right, wrong and missed."""
    right, wrong, missed = counts.T
    values = {
        "precision": ratio(right, right + wrong),
        "recall": ratio(right, right + missed),
        "f1": ratio(2 * right, 2 * right + wrong + missed),
    }
    return [SetFigure(key, draws, class_name=class_name) for key, draws in values.items()]


def _kept(truth: Truth, finds: Finds, matches: Matches) -> dict[str, NDArray[Any]]:
    """Return score, class and IoU of the finds that count, from the least score of LRP on."""
    rows = np.flatnonzero((finds.scores >= LEAST_SCORE) & ~matches.shielded)
    partner = matches.partner[rows]
    found = partner >= 0
    ious = np.zeros(len(rows), np.float32)
    ious[found] = paired_iou(finds.boxes[rows[found]], truth.boxes[partner[found]])
    classes = finds.classes[rows].astype(np.int16)
    return {"find_scores": finds.scores[rows].astype(np.float32), "find_classes": classes, "find_ious": ious}


def paired_iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,) IoU of (N, 4) xyxy boxes with as many others, row by row."""
    sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    shared = np.prod(np.clip(sides, 0.0, None), axis=1)
    return np.asarray(shared / np.maximum(to_area(one) + to_area(other) - shared, 1e-12), np.float64)


def _columns(prefix: str, matches: Matches | None, n: int) -> dict[str, NDArray[Any]]:
    if matches is None:
        return {}
    columns = {name: getattr(matches, name).ravel() for name in _MATCH_COLUMNS}
    return {f"{prefix}_{name}": column for name, column in columns.items()}


def _object_masks(sample: Sample) -> Masks | None:
    """Return (N, H, W) masks of the annotated objects, from the instance map where only that is known."""
    a = sample.annotations
    if a.masks is not None or sample.instances is None:
        return a.masks
    return np.stack([sample.instances == i for i in a.instance_ids]) if len(a) else np.zeros((0, 1, 1), np.bool_)


def _curve(name: str | None, precision: NDArray[np.float64]) -> dict[str, Any]:
    return {"kind": "precision_recall", "class_name": name, "x": RECALLS.tolist(), "y": precision.tolist()}


def _flat(column: pa.Array) -> NDArray[Any]:
    values: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
    return values


def _box(box: NDArray[np.float64]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(v) for v in box)
    return x1, y1, x2, y2
