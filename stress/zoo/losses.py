"""Targets and loss of the detector: task-aligned assignment (Feng et al. 2021, TOOD) with a soft class target.

A location is a positive of an object when it is among the `TOP_K` that already score and fit it best; its class target
is how well it fits, so that the score of a box says how good the box is. What may be either way (too small, too hidden,
cut off) is an ignore region: locations inside it are taught nothing.

Letters: B images, N objects (padded), A locations, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import complete_box_iou_loss

from stress.zoo.networks import STRIDES, centres

TOP_K = 10
SCORE_POWER, FIT_POWER = 0.5, 6.0  # of the alignment: score ** a * iou ** b
BOX_WEIGHT = 10.0  # of the box loss, relative to the class loss
SMALLEST_SIDE = 12.0  # pixels; smaller objects still claim the locations around their centre
EPSILON = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Objects:
    """Objects of a batch: boxes (B, N, 4) xyxy pixels, labels (B, N); role (B, N): 1 = object, 0 = padding,
    -1 = ignore region."""

    boxes: Tensor
    labels: Tensor
    role: Tensor


def locations(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return centres (A, 2) in pixels and strides (A,) of all locations of an image."""
    points = [centres(height // s, width // s, s, device) for s in STRIDES]
    strides = [torch.full((len(p),), float(s), device=device) for p, s in zip(points, STRIDES, strict=True)]
    return torch.cat(points), torch.cat(strides)


def detection_loss(logits: Tensor, boxes: Tensor, objects: Objects, size: tuple[int, int]) -> Tensor:
    """Loss of logits (B, A, C) and boxes (B, A, 4) for images of `size` (H, W)."""
    points, strides = locations(*size, logits.device)
    with torch.no_grad():
        target, owner, positive = assign(logits, boxes, objects, points, strides)
        taught = positive | ~_inside(points, objects.boxes, objects.role < 0).any(1)
    total = target.sum().clamp(min=1.0)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    loss = (entropy * taught.unsqueeze(-1)).sum() / total
    if positive.any():
        wanted = objects.boxes.gather(1, owner.unsqueeze(-1).expand(-1, -1, 4))[positive]
        misfit = complete_box_iou_loss(boxes[positive], wanted)
        loss = loss + BOX_WEIGHT * (misfit * target[positive].sum(-1)).sum() / total
    return loss


def assign(
    logits: Tensor, boxes: Tensor, objects: Objects, points: Tensor, strides: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return class targets (B, A, C), the object each location belongs to (B, A), and which are positive (B, A)."""
    fit = pairwise_iou(objects.boxes, boxes)  # (B, N, A)
    classes = objects.labels.unsqueeze(1).expand(-1, logits.shape[1], -1)  # (B, A, N)
    score = logits.gather(2, classes).sigmoid().transpose(1, 2)
    allowed = _inside(points, _at_least(objects.boxes), objects.role > 0)
    allowed &= _inside(points, objects.boxes, objects.role > 0) | (strides == STRIDES[0])
    alignment = score.pow(SCORE_POWER) * fit.pow(FIT_POWER) * allowed
    best = alignment.topk(min(TOP_K, alignment.shape[2]), dim=2)
    chosen = torch.zeros_like(allowed).scatter_(2, best.indices, True) & allowed
    fit_of_chosen = torch.where(chosen, fit + EPSILON, torch.zeros_like(fit))
    owner = fit_of_chosen.argmax(1)  # (B, A): of several objects the one that fits best
    positive = chosen.any(1)
    mine = torch.zeros_like(chosen).scatter_(1, owner.unsqueeze(1), True) & chosen
    alignment = alignment * mine
    best_fit = (fit * mine).amax(2, keepdim=True)
    quality = (alignment / (alignment.amax(2, keepdim=True) + EPSILON) * best_fit).amax(1)  # (B, A)
    label = objects.labels.gather(1, owner)
    target = torch.zeros_like(logits).scatter_(2, label.unsqueeze(-1), (quality * positive).unsqueeze(-1))
    return target, owner, positive


def pairwise_iou(one: Tensor, two: Tensor) -> Tensor:
    """IoU of (B, N, 4) with (B, A, 4): (B, N, A)."""
    a, b = one.unsqueeze(2), two.unsqueeze(1)
    width = (torch.minimum(a[..., 2], b[..., 2]) - torch.maximum(a[..., 0], b[..., 0])).clamp_(min=0)
    height = (torch.minimum(a[..., 3], b[..., 3]) - torch.maximum(a[..., 1], b[..., 1])).clamp_(min=0)
    shared = width * height
    area_a = (a[..., 2] - a[..., 0]) * (a[..., 3] - a[..., 1])
    area_b = (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    return shared / (area_a + area_b - shared + EPSILON)


def _inside(points: Tensor, boxes: Tensor, valid: Tensor) -> Tensor:
    """(B, N, A): points (A, 2) within boxes (B, N, 4) that are valid (B, N)."""
    left_top = points > boxes[:, :, None, :2]
    right_bottom = points < boxes[:, :, None, 2:]
    return (left_top & right_bottom).all(-1) & valid.unsqueeze(-1)


def _at_least(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) grown about their centre to `SMALLEST_SIDE`."""
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = ((boxes[..., 2:] - boxes[..., :2]) / 2).clamp(min=SMALLEST_SIDE / 2)
    return torch.cat([centre - half, centre + half], -1)
