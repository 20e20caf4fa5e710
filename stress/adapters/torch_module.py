"""Any `torch.nn.Module` by what it returns: torchvision's conventions, `{"out": ...}` or plain logits.

- detection takes a list of (3, H, W) tensors from 0 to 1 and returns a list of {boxes, labels, scores}
- segmentation takes a (B, 3, h, w) batch and returns {"out": (B, C, h', w')} or the tensor
- classification takes a (B, 3, h, w) batch and returns (B, C)

Pictures go in as RGB from 0 to 1 at their own size unless a `model.yaml` says otherwise, or a torchvision preset does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scenes.errors import InputError
from scenes.sample import Image, Predictions, Task
from stress.adapters.decode import as_mapping, dense_of, detections, logits_of
from stress.adapters.fit import Fit
from stress.adapters.yaml_spec import InputSpec, ModelSpec

BACKGROUND = 1  # torchvision's detectors count classes from 1, 0 is background
BACKGROUND_NAMES = ("__background__", "background")  # as the first of class_names, it is no class


class TorchModel:
    """What adapters around a module share."""

    task: Task

    def __init__(self, module: nn.Module, *, name: str, class_names: Sequence[str], device: str) -> None:
        self.name, self.class_names, self.device = name, tuple(class_names), torch.device(device)
        self.module = module.to(self.device).eval()

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.module.parameters())

    def fit(self, samples: Any, **options: Any) -> Any:
        """Train on a data set, in place; options and curves are those of `stress.training.fit_on`."""
        from stress.training.teaching import fit_on

        return fit_on(self, samples, **options)

    def _batch(self, images: Sequence[Image]) -> Tensor:
        """(H, W, 3) uint8 of one size to (B, 3, H, W) uint8."""
        return torch.from_numpy(np.stack(images)).to(self.device).permute(0, 3, 1, 2).contiguous()


class DenseModule(TorchModel):
    """Segmentation or classification by a module that takes a batch and returns logits."""

    def __init__(
        self,
        module: nn.Module,
        *,
        task: Task,
        name: str,
        class_names: Sequence[str],
        device: str,
        spec: InputSpec | None = None,
        preset: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """`preset` takes a uint8 batch to the module's input, in place of what `spec` says."""
        super().__init__(module, name=name, class_names=class_names, device=device)
        self.task, self.spec, self.preset = task, spec or InputSpec(), preset

    def tensors(self, images: Sequence[Image]) -> Tensor:
        """Images of one size to the module's input."""
        if self.preset is not None:
            return self.preset(self._batch(images))
        return prepared(images, self.spec).to(self.device)

    def window(self, height: int, width: int) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 of the picture inside the module's input, as shares of it."""
        return Fit.of((height, width), self.spec.size, self.spec.fit).window if self.preset is None else (0, 0, 1, 1)

    def class_logits(self, batch: Tensor) -> Tensor:
        """(B, C) or (B, C, h, w), with gradient."""
        answer = self.module(batch)
        if isinstance(answer, Mapping):
            answer = answer["out"] if "out" in answer else answer.get("logits", answer)
        if isinstance(answer, tuple | list) and answer:
            answer = answer[0]
        rank = 2 if self.task == "classification" else 4
        if not isinstance(answer, Tensor) or answer.ndim != rank or answer.shape[1] != len(self.class_names):
            shape = f"(B, {len(self.class_names)}" + (")" if rank == 2 else ", h, w)")
            got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            raise InputError(f"model {self.name!r}: {self.task}: expected logits of shape {shape}, got {got}")
        return answer

    def predict(self, images: list[Image]) -> list[Predictions]:
        with torch.inference_mode():
            return [p for group in same_size(images) for p in self._answers(group)]

    def _answers(self, images: list[Image]) -> list[Predictions]:
        logits = self.class_logits(self.tensors(images)).float()
        if self.task == "classification":
            return [Predictions(logits=row) for row in logits.cpu().numpy()]
        picture = (images[0].shape[0], images[0].shape[1])
        plain = self.preset is not None
        fit = Fit.of(picture, None if plain else self.spec.size, self.spec.fit)
        planes = [fit.dense_back(p) for p in logits.cpu().numpy()]
        return [Predictions(logits=p, segmentation=p.argmax(0)) for p in planes]


class DetectionModule(TorchModel):
    """Detection by a module that takes a list of pictures, as torchvision's do; boxes come back in their pixels."""

    task = "detection"

    def __init__(
        self, module: nn.Module, *, name: str, class_names: Sequence[str], device: str, first_label: int = 0
    ) -> None:
        super().__init__(module, name=name, class_names=class_names, device=device)
        self.first_label = first_label  # what the module calls class 0

    def tensors(self, images: Sequence[Image]) -> Tensor:
        """Images of one size to (B, 3, H, W) from 0 to 1; the module resizes and normalises by itself."""
        return self._batch(images).to(torch.float32).div(255)

    def predict(self, images: list[Image]) -> list[dict[str, Any]]:
        with torch.inference_mode():
            answers = self.module([self.tensors([image])[0] for image in images])
        if not isinstance(answers, list | tuple):
            got = type(answers).__name__
            raise InputError(f"model {self.name!r}: expected a list of boxes, labels and scores, got {got}")
        return [self._answer(answer) for answer in answers]

    def _answer(self, answer: Mapping[str, Tensor]) -> dict[str, Any]:
        """Torchvision's keys to ours; background, where it has a label of its own, is left out."""
        missing = [key for key in ("boxes", "labels", "scores") if key not in answer]
        if missing:
            raise InputError(f"model {self.name!r}: expected boxes, labels and scores, got {', '.join(answer)}")
        labels = answer["labels"] - self.first_label
        known = self._known(labels)
        boxes = answer["boxes"][known]
        boxes = torch.cat([boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2])], 1)
        found: dict[str, Any] = {"boxes": boxes, "labels": labels[known], "scores": answer["scores"][known]}
        if "masks" in answer:  # (N, 1, H, W) chance of each pixel
            found["masks"] = (answer["masks"][known][:, 0] > 0.5).cpu().numpy()
        return found

    def _known(self, labels: Tensor) -> Tensor:
        """Return (N,) bool: not background. Labels count from 0 here; others than the classes' are an error."""
        n, first = len(self.class_names), self.first_label
        wrong = labels[(labels < -first) | (labels >= n)]
        if len(wrong):
            hint = (
                "; if 0 is background and classes count from 1, as torchvision's do, give the module first_label = 1 "
                f"or begin class_names with {BACKGROUND_NAMES[0]!r}"
            )
            raise InputError(
                f"model {self.name!r}: labels: expected {first} to {first + n - 1} for its {n} classes, "
                f"got {int(wrong[0]) + first}{hint if not first else ''}"
            )
        return labels >= 0


class DecodedModule(TorchModel):
    """Detection by a module whose raw outputs a `model.yaml` explains."""

    task = "detection"

    def __init__(self, module: nn.Module, *, spec: ModelSpec, name: str, device: str) -> None:
        super().__init__(module, name=name, class_names=spec.classes, device=device)
        self.spec = spec
        self._fit: Fit | None = None

    def tensors(self, images: Sequence[Image]) -> Tensor:
        """Images of one size to the module's input; remembers where they lie in it, for `dense`."""
        self._fit = fit_of(images[0], self.spec.input)
        return prepared(images, self.spec.input).to(self.device)

    def window(self, height: int, width: int) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 of the picture inside the module's input, as shares of it."""
        return Fit.of((height, width), self.spec.input.size, self.spec.input.fit).window

    def dense(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Class scores (B, A, C) and boxes (B, A, 4) in pixels of the picture last given to `tensors`."""
        scores, boxes = dense_of(as_mapping(self.module(batch)), self.spec, (batch.shape[2], batch.shape[3]))
        if scores.shape[-1] == len(self.class_names) + 1:
            scores = scores[..., :-1] if self.spec.decoding == "detr" else scores[..., 1:]
        fit = self._fit
        if fit is None:
            return scores, boxes
        move, scale = boxes.new_tensor([*fit.offset, *fit.offset]), boxes.new_tensor([*fit.scale, *fit.scale])
        return scores, (boxes - move) / scale

    def predict(self, images: list[Image]) -> list[dict[str, Any]]:
        with torch.inference_mode():
            return [answer for group in same_size(images) for answer in self._answers(group)]

    def _answers(self, images: list[Image]) -> list[dict[str, Any]]:
        batch = prepared(images, self.spec.input).to(self.device)
        return boxes_back(as_mapping(self.module(batch)), self.spec, images[0], (batch.shape[2], batch.shape[3]))


def prepared(images: Sequence[Image], spec: InputSpec) -> Tensor:
    """Images of one size to the (B, 3, h, w) float32 input that a `model.yaml` describes."""
    fit = fit_of(images[0], spec)
    stacked = np.stack([fit.apply(image, spec.pad) for image in images])
    if spec.order == "BGR":
        stacked = stacked[..., ::-1]
    batch = torch.from_numpy(np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))).to(torch.float32)
    if spec.range == 1:
        batch = batch / 255
    mean, std = (torch.tensor(v, dtype=torch.float32).view(1, 3, 1, 1) for v in (spec.mean, spec.std))
    return (batch - mean) / std


def fit_of(image: Image, spec: InputSpec) -> Fit:
    """Where an image lies in the input."""
    return Fit.of((image.shape[0], image.shape[1]), spec.size, spec.fit)


def boxes_back(
    outputs: Mapping[str, Tensor], spec: ModelSpec, image: Image, size: tuple[int, int]
) -> list[dict[str, Any]]:
    """Decode a batch of images of one size and bring the boxes back to their pixels."""
    fit = fit_of(image, spec.input)
    found = detections(outputs, spec, size)
    for answer in found:
        answer["boxes"] = fit.boxes_back(answer["boxes"])
    return found


def dense_back(outputs: Mapping[str, Tensor], spec: ModelSpec, image: Image) -> list[Predictions]:
    """Logits of a batch of images of one size as predictions."""
    logits = logits_of(outputs, spec).detach().float().cpu().numpy()
    if spec.task == "classification":
        key = "probabilities" if spec.score == "none" else "logits"
        return [Predictions(**{key: row}) for row in logits]
    planes = [fit_of(image, spec.input).dense_back(p) for p in logits]
    return [Predictions(logits=p, segmentation=p.argmax(0)) for p in planes]


def same_size(images: Sequence[Image], most: int = 8) -> list[list[Image]]:
    """Cut a list of images into runs of one size, at most `most` long."""
    groups: list[list[Image]] = []
    for image in images:
        if groups and groups[-1][0].shape == image.shape and len(groups[-1]) < most:
            groups[-1].append(image)
        else:
            groups.append([image])
    return groups
