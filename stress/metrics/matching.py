"""Match the objects that a detector found with the true ones: pycocotools decides, one image and class at a time.

Ignore regions are COCO's `iscrowd`: a find that lies in one (by the share of the find that overlaps) counts neither as
right nor as wrong. An ignored object whose class the model does not know shields every class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle
from pycocotools.cocoeval import COCOeval

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # COCO: 0.5, 0.55, ... 0.95
MAX_FINDS = 100  # an image and class
AREAS: dict[str, tuple[float, float]] = {  # square pixels, as COCO bounds small, medium and large objects
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
VARIANTS = (*AREAS, "valid")  # "valid" sets aside what is hard to see or heavily occluded
ALL, VALID = 0, 4
Masks = NDArray[np.bool_]  # (N, H, W)


@dataclass(frozen=True, eq=False)
class Truth:
    """True objects of one image among the evaluated classes.

    boxes: (N, 4) xyxy; classes: (N,) evaluated index, -1 = every class; areas: (N,) square pixels
    ignore: (N,) bool; aside: (N,) bool, ignored in the variant "valid" as well; masks: (N, H, W) | None
    """

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    areas: NDArray[np.float64]
    ignore: NDArray[np.bool_]
    aside: NDArray[np.bool_]
    masks: Masks | None = None


@dataclass(frozen=True, eq=False)
class Finds:
    """What the model found: boxes (D, 4) xyxy, classes (D,) evaluated index, scores (D,), masks (D, H, W) | None."""

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    scores: NDArray[np.float64]
    masks: Masks | None = None


@dataclass(frozen=True, eq=False)
class Matches:
    """The outcome of one image, enough to compute AP under any weighting of images.

    variants, classes, scores: (M,) one entry a find that counts at some threshold, highest score first in each class
    hits, ignored:             (M,) uint16, bit t set where the find is right (is ignored) at IOU_THRESHOLDS[t]
    wanted:                    (V, E) how many objects count
    partner:                   (D,) row of the true object that a find took at IoU 0.5, -1 = none
    shielded:                  (D,) bool, the find is ignored at IoU 0.5
    """

    variants: NDArray[np.int8]
    classes: NDArray[np.int16]
    scores: NDArray[np.float32]
    hits: NDArray[np.uint16]
    ignored: NDArray[np.uint16]
    wanted: NDArray[np.int32]
    partner: NDArray[np.int64]
    shielded: NDArray[np.bool_]


def match(truth: Truth, finds: Finds, n_classes: int, *, by: str = "bbox") -> Matches:
    """Match one image; `by` is "bbox" or "segm"."""
    evaluator = COCOeval(iouType=by)
    evaluator.params.iouThrs = IOU_THRESHOLDS
    geometry = _Geometry(truth, finds, by=by)
    wanted = np.zeros((len(VARIANTS), n_classes), np.int32)
    partner, shielded = np.full(len(finds.scores), -1, np.int64), np.zeros(len(finds.scores), np.bool_)
    parts: list[list[NDArray[Any]]] = []
    for c in range(n_classes):
        gt = np.flatnonzero((truth.classes == c) | ((truth.classes < 0) & truth.ignore))
        dt = np.flatnonzero(finds.classes == c)
        if len(gt) == 0 and len(dt) == 0:
            continue
        dt = dt[np.argsort(-finds.scores[dt], kind="stable")][:MAX_FINDS]
        for v in range(len(VARIANTS)):
            outcome = _one(evaluator, geometry, gt, dt, variant=v)
            wanted[v, c] = outcome.wanted
            counts = outcome.ignored != _EVERY
            n = int(counts.sum())
            scores = finds.scores[dt][counts].astype(np.float32)
            parts.append(
                [np.full(n, v, np.int8), np.full(n, c, np.int16), scores, outcome.hits[counts], outcome.ignored[counts]]
            )
            if v == ALL:
                partner[dt], shielded[dt] = outcome.partner, (outcome.ignored & 1).astype(np.bool_)
    columns: list[NDArray[Any]] = [np.concatenate(column) for column in zip(*(parts or [_EMPTY]), strict=True)]
    variants, classes, scores, hits, ignored = columns
    return Matches(variants, classes, scores, hits, ignored, wanted=wanted, partner=partner, shielded=shielded)


_EVERY = np.uint16(2 ** len(IOU_THRESHOLDS) - 1)
_BITS = (1 << np.arange(len(IOU_THRESHOLDS))).astype(np.uint16)
_EMPTY: list[NDArray[Any]] = [np.zeros(0, t) for t in (np.int8, np.int16, np.float32, np.uint16, np.uint16)]


@dataclass(frozen=True, eq=False)
class _Outcome:
    """One class and variant: hits, ignored (D,) bit sets; partner (D,) row at IoU 0.5; wanted = objects that count."""

    hits: NDArray[np.uint16]
    ignored: NDArray[np.uint16]
    partner: NDArray[np.int64]
    wanted: int


class _Geometry:
    """Overlaps of all finds with all true objects of an image, computed once by pycocotools."""

    def __init__(self, truth: Truth, finds: Finds, *, by: str) -> None:
        self.truth, self.finds = truth, finds
        self._regions: tuple[Any, Any]
        if by == "segm":
            self._regions = encode(truth.masks), encode(finds.masks)
            self.find_areas = np.asarray(rle.area(self._regions[1]), np.float64).reshape(-1)
        else:
            boxes = to_xywh(finds.boxes)
            self._regions = to_xywh(truth.boxes), boxes
            self.find_areas = boxes[:, 2] * boxes[:, 3]
        self._tables = {False: self._table(truth.ignore)}

    def overlaps(self, crowd: NDArray[np.bool_], *, valid: bool) -> NDArray[np.float64]:
        """Return (D, G): IoU, or for ignore regions the share of the find inside."""
        if valid not in self._tables:
            same = not (self.truth.aside & ~self.truth.ignore).any()
            self._tables[valid] = self._tables[False] if same else self._table(crowd)
        return self._tables[valid]

    def _table(self, crowd: NDArray[np.bool_]) -> NDArray[np.float64]:
        g, d = self._regions
        if len(g) == 0 or len(d) == 0:
            return np.zeros((len(d), len(g)))
        table: NDArray[np.float64] = rle.iou(d, g, crowd.astype(np.uint8).tolist())
        return table


def _one(
    evaluator: Any, geometry: _Geometry, gt: NDArray[np.int64], dt: NDArray[np.int64], *, variant: int
) -> _Outcome:
    """Run COCOeval.evaluateImg on one class of an image.

    Finds that reach no true object at the lowest threshold can match nothing and are left out of its (slow) loop: the
    greedy matching of the others does not see them.
    """
    truth, valid = geometry.truth, variant == VALID
    crowd = truth.ignore | truth.aside if valid else truth.ignore
    low, high = AREAS[VARIANTS[0] if valid else VARIANTS[variant]]
    table = geometry.overlaps(crowd, valid=valid)[dt[:, None], gt]
    near = (table >= IOU_THRESHOLDS[0]).any(axis=1)
    outside = (geometry.find_areas[dt] < low) | (geometry.find_areas[dt] > high)
    hits, ignored = np.zeros(len(dt), np.uint16), np.where(outside, _EVERY, np.uint16(0))
    partner = np.full(len(dt), -1, np.int64)
    counted = ~crowd[gt] & (truth.areas[gt] >= low) & (truth.areas[gt] <= high)
    if near.any():
        evaluator._gts = {(0, 0): [_true(i + 1, crowd[g], truth.areas[g]) for i, g in enumerate(gt)]}
        rows = np.flatnonzero(near)
        finds, areas = geometry.finds, geometry.find_areas
        evaluator._dts = {(0, 0): [_found(i + 1, finds.scores[dt[i]], areas[dt[i]]) for i in rows]}
        evaluator.ious = {(0, 0): table[rows]}
        result = evaluator.evaluateImg(0, 0, (low, high), MAX_FINDS)
        matched, set_aside = result["dtMatches"], result["dtIgnore"].astype(np.bool_)
        ignored[rows] = (set_aside.T @ _BITS).astype(np.uint16)
        hits[rows] = (((matched > 0) & ~set_aside).T @ _BITS).astype(np.uint16)
        first = matched[0].astype(np.int64)
        partner[rows] = np.where(first > 0, gt[first - 1], -1)
    return _Outcome(hits=hits, ignored=ignored, partner=partner, wanted=int(counted.sum()))


def _true(key: int, crowd: np.bool_, area: np.float64) -> dict[str, Any]:
    return {"id": key, "ignore": int(crowd), "iscrowd": int(crowd), "area": float(area)}


def _found(key: np.int64, score: np.float64, area: np.float64) -> dict[str, Any]:
    return {"id": int(key), "score": float(score), "area": float(area)}


def to_xywh(boxes: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return (N, 4) corner and size of (N, 4) xyxy boxes."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def to_area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,) square pixels of (N, 4) xyxy boxes."""
    area: NDArray[np.float64] = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return area


def encode(masks: Masks | None) -> list[dict[str, Any]]:
    """Return COCO run lengths of (N, H, W) masks."""
    if masks is None or len(masks) == 0:
        return []
    encoded: list[dict[str, Any]] = rle.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    return encoded
