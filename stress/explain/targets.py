"""What is explained: a scalar that says how strongly the model believes one thing about one picture.

- classification: the logit of a class
- segmentation: the mean logit of a class inside a region
- detection: the score of one object, missed objects included: the class logit, before non-maximum suppression, of
  the anchors or queries whose boxes overlap it best, or the RoI head's class logit on its true box
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenes.sample import Image, Predictions, Task

if TYPE_CHECKING:
    from torch import Tensor

BEST_ANCHORS = 5  # anchors or queries averaged for one object
MATCH_IOU = 0.5  # anchors at least this good count alone


@dataclass(frozen=True, eq=False)
class Target:
    """One class at one place of one picture.

    labels: indices into the model's class_names that count as the class (several where a mapping joins them)
    box:    xyxy pixels, for detection
    region: (H, W) bool, for segmentation; for the other tasks where energy is measured (box if None)
    words:  what a reader sees
    """

    labels: tuple[int, ...]
    words: str
    box: tuple[float, float, float, float] | None = None
    region: NDArray[np.bool_] | None = None


class Unreachable(Exception):
    """The architecture gives no gradient of this target; the message says why."""


def forward_of(adapter: Any, task: Task, target: Target, size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """Return a function from the module's input (1, C, h, w) to the target's score (1,), with gradient.

    size: (H, W) of the picture; where it lies in the input, the adapter's `window` says. Raises `Unreachable` where the
    adapter offers no such path.
    """
    if task == "detection":
        return _detection(adapter, target)
    logits = getattr(adapter, "class_logits", None)
    if logits is None:
        raise Unreachable("the adapter gives no class logits with gradient")
    labels = list(target.labels)
    if task == "classification":
        return lambda batch: logits(batch)[:, labels].amax(dim=1)
    window = getattr(adapter, "window", None)
    share = window(*size) if window is not None else (0.0, 0.0, 1.0, 1.0)
    region = np.ones(size, np.bool_) if target.region is None else target.region
    return lambda batch: _mean_inside(logits(batch)[:, labels].amax(dim=1), region, share)


def _mean_inside(
    plane: Tensor, region: NDArray[np.bool_], window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
) -> Tensor:
    """Return (1,): the mean of (1, h, w) inside a region (H, W) of the picture.

    window: x1, y1, x2, y2 of the picture inside the plane, as shares of it; what is around (letterbox bars) counts not.
    """
    rows = _shares(region.shape[0], plane.shape[-2], window[1], window[3])
    columns = _shares(region.shape[1], plane.shape[-1], window[0], window[2])
    placed = rows @ region.astype(np.float32) @ columns.T
    weights = plane.new_tensor(placed)[None]
    return (plane * weights).sum(dim=(1, 2)) / weights.sum().clamp_min(1e-6)


def _shares(n: int, cells: int, low: float, high: float) -> NDArray[np.float32]:
    """Return (cells, n): how much of each cell of an axis from 0 to 1 the n pixels between `low` and `high` cover."""
    edges = cells * np.linspace(low, high, n + 1)  # in cells
    first = np.arange(cells)[:, None]
    covered = np.minimum(edges[1:], first + 1) - np.maximum(edges[:-1], first)
    return np.clip(covered, 0.0, None).astype(np.float32)


def _detection(adapter: Any, target: Target) -> Callable[[Tensor], Tensor]:
    if target.box is None:
        raise Unreachable("the object has no box in this picture")
    dense, roi = getattr(adapter, "dense", None), getattr(adapter, "roi_logits", None)

    def score(batch: Tensor) -> Tensor:
        answer = dense(batch) if dense is not None else None
        if answer is not None:
            return _dense_score(answer, target)
        logits = roi(batch, _as_boxes(batch, target)) if roi is not None else None
        if logits is None:
            raise Unreachable("the architecture offers neither anchors or queries nor a RoI head")
        return logits[:, list(target.labels)].amax(dim=1)

    return score


def _as_boxes(batch: Tensor, target: Target) -> Tensor:
    """Return (1, 4): the target's box on the batch's device."""
    import torch

    return torch.tensor([target.box], dtype=batch.dtype, device=batch.device)


def _dense_score(answer: Any, target: Target) -> Tensor:
    """Return (1,): mean class logit of the anchors whose boxes overlap the target best."""
    logits, boxes = answer
    overlap = _iou(boxes[0].detach(), target.box or (0, 0, 0, 0))
    best, index = overlap.topk(min(BEST_ANCHORS, len(overlap)))
    good = best >= min(MATCH_IOU, float(best[0]))
    if float(best[0]) <= 0:
        raise Unreachable("no anchor or query of the model overlaps the object")
    chosen = logits[0, index[good]][:, list(target.labels)]
    return chosen.amax(dim=1).mean()[None]


def _iou(boxes: Tensor, box: Sequence[float]) -> Tensor:
    import torch
    from torchvision.ops import box_iou

    return box_iou(boxes.float(), torch.tensor([box], dtype=torch.float32, device=boxes.device))[:, 0]


def black_box_score(adapter: Any, task: Task, target: Target) -> Callable[[list[Image]], NDArray[np.float64]]:
    """Return a function from pictures to scores (B,) of the target, from `predict` alone.

    classification: probability of the class (RISE). segmentation: mean probability of the class inside the region,
    or its share of the region's pixels. detection: the best IoU times score among boxes of the class (D-RISE; its
    cosine of class vectors is 1 for the same label and 0 otherwise where a model returns labels only).
    """
    return lambda images: np.array([_answer_score(p, task, target) for p in adapter.predict(images)], np.float64)


def _answer_score(answer: Predictions, task: Task, target: Target) -> float:
    labels = list(target.labels)
    if task == "classification":
        return float(answer.probabilities[labels].sum()) if answer.probabilities is not None else 0.0
    if task == "segmentation":
        return _region_score(answer, target)
    if answer.boxes is None or answer.labels is None or answer.scores is None or target.box is None:
        return 0.0
    same = np.isin(answer.labels, labels)
    if not same.any():
        return 0.0
    return float((_iou_numpy(answer.boxes[same], target.box) * answer.scores[same]).max())


def _region_score(answer: Predictions, target: Target) -> float:
    region = target.region
    if answer.probabilities is not None:
        plane = answer.probabilities[list(target.labels)].sum(axis=0)
    elif answer.segmentation is not None:
        plane = np.isin(answer.segmentation, target.labels).astype(np.float32)
    else:
        return 0.0
    inside = plane if region is None or not region.any() else plane[region]
    return float(inside.mean(dtype=np.float64))


def _iou_numpy(boxes: NDArray[np.float32], box: Sequence[float]) -> NDArray[np.float64]:
    wanted = np.asarray(box, np.float64)
    low, high = np.maximum(boxes[:, :2], wanted[:2]), np.minimum(boxes[:, 2:], wanted[2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(wanted[2:] - wanted[:2])
    return np.asarray(shared / np.maximum(areas - shared, 1e-9), np.float64)
