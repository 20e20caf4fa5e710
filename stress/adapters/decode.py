"""Raw network outputs to predictions: the four decodings of `model.yaml`.

Letters: A anchors, queries or cells; C classes; h, w of the network's input. Each takes the outputs of one picture and
returns boxes in pixels of the input, which `Fit` brings back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from stress.adapters.yaml_spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

LEAST_SCORE, MOST_OBJECTS, CANDIDATES = 0.001, 100, 1000
Arrays = Mapping[str, NDArray[np.float32]]


def dense_of(outputs: Mapping[str, Tensor], spec: ModelSpec, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return class scores as the network gives them (B, A, C) and boxes (B, A, 4) xyxy in pixels of the input (h, w).

    Differentiable. A background or no-object class is left out.
    """
    import torch

    if spec.decoding == "yolo":
        return _yolo(outputs, spec, size)
    boxes = _named(outputs, spec, "boxes", lambda t: t.ndim == 3 and t.shape[-1] == 4, "(B, A, 4)")
    n = len(spec.classes)
    taken = [name for name, value in outputs.items() if value is boxes]
    rest = {name: value for name, value in outputs.items() if name not in taken}
    scores = _named(
        rest, spec, "scores", lambda t: t.ndim == 3 and t.shape[-1] in (n, n + 1), f"(B, A, {n} or {n + 1})"
    )
    if spec.decoding == "detr":  # centre x, centre y, width, height
        centre, half = boxes[..., :2], boxes[..., 2:] / 2
        boxes = torch.cat([centre - half, centre + half], -1)
    relative = spec.box_units == "relative" if spec.box_units else spec.decoding == "detr"
    if relative:
        boxes = boxes * torch.tensor([size[1], size[0], size[1], size[0]], dtype=boxes.dtype, device=boxes.device)
    return scores, boxes


def probabilities(scores: Tensor, spec: ModelSpec) -> Tensor:
    """Turn raw class outputs (B, A, C or C + 1) into probabilities (B, A, C) without background."""
    n = len(spec.classes)
    extra = scores.shape[-1] == n + 1
    of_detr = "softmax" if extra else "sigmoid"
    kind = spec.score or (of_detr if spec.decoding == "detr" else "none")
    if kind != "none":
        scores = scores.softmax(-1) if kind == "softmax" else scores.sigmoid()
    if not extra:
        return scores
    return scores[..., :-1] if spec.decoding == "detr" else scores[..., 1:]  # no-object is DETR's last, SSD's first


def detections(outputs: Mapping[str, Tensor], spec: ModelSpec, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Return boxes, labels, scores of each picture of a batch, down to 0.001 and 100 objects."""
    from torchvision.ops import batched_nms

    raw, boxes = dense_of(outputs, spec, size)
    chances = probabilities(raw, spec)
    found = []
    for chance, box in zip(chances, boxes, strict=True):
        flat = chance.flatten()
        best, index = flat.topk(min(CANDIDATES, flat.numel()))
        index = index[best >= LEAST_SCORE]
        row, label = index // chance.shape[1], index % chance.shape[1]
        if spec.decoding == "detr":  # queries do not repeat themselves
            kept = slice(None, MOST_OBJECTS)
        else:
            kept = batched_nms(box[row], flat[index], label, spec.nms_iou)[:MOST_OBJECTS]
        arrays = {"boxes": box[row[kept]], "labels": label[kept], "scores": flat[index[kept]].clamp(0, 1)}
        found.append({name: value.detach().cpu().numpy() for name, value in arrays.items()})
    return found


def logits_of(outputs: Mapping[str, Tensor], spec: ModelSpec) -> Tensor:
    """Return class logits (B, C) or (B, C, h', w')."""
    rank, n = (2, len(spec.classes)) if spec.task == "classification" else (4, len(spec.classes))
    shape = f"(B, {n})" if rank == 2 else f"(B, {n}, h, w)"
    return _named(outputs, spec, "logits", lambda t: t.ndim == rank and t.shape[1] == n, shape)


def _yolo(outputs: Mapping[str, Tensor], spec: ModelSpec, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(B, 4 + C, A) of YOLOv8 and later, or (B, A, 5 + C) with objectness of v3 to v7: centre x y, width, height."""
    import torch

    n = len(spec.classes)
    widths = {False: (4 + n,), True: (5 + n,), None: (4 + n, 5 + n)}[spec.objectness]
    wanted = " or ".join(f"(B, {w}, A)" for w in widths)
    raw = _named(outputs, spec, "boxes", lambda t: t.ndim == 3 and bool({*t.shape[1:]} & {*widths}), wanted)
    if raw.shape[1] in widths and (raw.shape[2] not in widths or raw.shape[1] < raw.shape[2]):
        raw = raw.transpose(1, 2)
    scores = raw[..., 4:]
    if scores.shape[-1] == n + 1:
        scores = scores[..., 1:] * scores[..., :1]
    centre, half = raw[..., :2], raw[..., 2:4] / 2
    boxes = torch.cat([centre - half, centre + half], -1)
    if spec.box_units == "relative":
        boxes = boxes * torch.tensor([size[1], size[0], size[1], size[0]], dtype=boxes.dtype, device=boxes.device)
    return scores, boxes


def _named(outputs: Mapping[str, Tensor], spec: ModelSpec, what: str, fits: Any, shape: str) -> Tensor:
    """Return the first output that fits."""
    for value in outputs.values():
        if fits(value):
            return value
    got = ", ".join(f"{name} {tuple(value.shape)}" for name, value in outputs.items())
    raise InputError(
        f"decoding {spec.decoding!r}: expected {what} of shape {shape} for {len(spec.classes)} classes, got {got}"
    )


def as_mapping(outputs: Any) -> dict[str, Any]:
    """Name the outputs of a network: a tensor, a sequence or a mapping of tensors."""
    if isinstance(outputs, Mapping):
        return {str(name): value for name, value in outputs.items() if hasattr(value, "shape")}
    if isinstance(outputs, Sequence):
        return {f"output {i}": value for i, value in enumerate(outputs) if hasattr(value, "shape")}
    return {"output": outputs}
