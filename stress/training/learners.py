"""Batches and losses by kind of model: the zoo, torchvision's detectors, any module that gives class logits.

Letters: B pictures, H, W of a view, C classes, h, w of the logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from scenes.errors import InputError
from scenes.sample import Image
from stress.adapters.checked import CheckedModel
from stress.adapters.torch_module import DetectionModule
from stress.training.pictures import needs_labels, varied, view, view_size
from stress.zoo.frames import IGNORE, Frame
from stress.zoo.losses import Objects, detection_loss
from stress.zoo.models import ZooDetector, ZooModel
from stress.zoo.recipes import THINNED, as_batch

SMOOTHING = 0.05  # of class targets (Szegedy et al. 2016)
FEW = 8  # pictures of a batch below which batch norm keeps the statistics it has
Taught = tuple[Frame, int | None]
Batch = Mapping[str, Any]


class Learner(Protocol):
    """A model that can be taught: random batches of frames, and the loss on them."""

    module: nn.Module
    batch_size: int
    rate: float
    mixed: bool  # whether the loss may be computed in bfloat16
    evaluates: bool  # whether the loss can be had in eval mode

    def usable(self, taught: Taught) -> bool: ...
    def batch(self, taught: Sequence[Taught], rng: np.random.Generator, colours: Sequence[bool]) -> Batch: ...
    def loss(self, batch: Batch) -> Tensor: ...


class _Base:
    batch_size: int = 4
    rate: float = 2e-4
    mixed: bool = True
    evaluates: bool = True

    def __init__(self, model: CheckedModel) -> None:
        self.model = model
        self.module: nn.Module = model.module
        self.device = next(self.module.parameters()).device
        self.n_classes = len(model.class_names)
        if isinstance(model.model, ZooModel):
            self.batch_size, self.rate = 8, 5e-4

    def views(self, taught: Sequence[Taught], rng: np.random.Generator, colours: Sequence[bool]) -> list[Frame]:
        size = view_size(taught[0][0].image)
        return [view(frame, size, rng, colours=c) for (frame, _), c in zip(taught, colours, strict=True)]


class DetectorLearner(_Base):
    """The detector of the zoo, as it was trained at first."""

    def usable(self, taught: Taught) -> bool:
        return bool((taught[0].role > 0).any())

    def batch(self, taught: Sequence[Taught], rng: np.random.Generator, colours: Sequence[bool]) -> Batch:
        views = self.views(taught, rng, colours)
        most = max(1, *(len(v.boxes) for v in views))
        boxes = np.zeros((len(views), most, 4), np.float32)
        labels, role = np.zeros((len(views), most), np.int64), np.zeros((len(views), most), np.int8)
        for i, seen in enumerate(views):
            n = len(seen.boxes)
            boxes[i, :n], labels[i, :n], role[i, :n] = seen.boxes, seen.labels, seen.role
        tensors = {"boxes": boxes, "labels": labels, "role": role}
        return {"images": as_batch([v.image for v in views]), **{k: torch.from_numpy(v) for k, v in tensors.items()}}

    def loss(self, batch: Batch) -> Tensor:
        images = batch["images"].to(self.device)
        logits, found = self.module(images)
        objects = Objects(**{key: batch[key].to(self.device) for key in ("boxes", "labels", "role")})
        return detection_loss(logits, found, objects, (images.shape[2], images.shape[3]))


class TorchvisionLearner(_Base):
    """A detector that takes pictures and targets in training and returns its losses, as torchvision's do."""

    batch_size, rate = 4, 1e-4
    mixed, evaluates = False, False

    def usable(self, taught: Taught) -> bool:
        return bool((taught[0].role > 0).any())

    def batch(self, taught: Sequence[Taught], rng: np.random.Generator, colours: Sequence[bool]) -> Batch:
        views = self.views(taught, rng, colours)
        first = int(self.model.first_label)
        targets = []
        for seen in views:
            sides = seen.boxes[:, 2:] - seen.boxes[:, :2]
            kept = (seen.role > 0) & (sides >= 1).all(axis=1)
            boxes, labels = torch.from_numpy(seen.boxes[kept]), torch.from_numpy(seen.labels[kept] + first)
            targets.append({"boxes": boxes, "labels": labels})
        return {"images": [v.image for v in views], "targets": targets}

    def loss(self, batch: Batch) -> Tensor:
        pictures = [self.model.tensors([image])[0] for image in batch["images"]]
        targets = [{key: value.to(self.device) for key, value in t.items()} for t in batch["targets"]]
        losses = self.module(pictures, targets)
        if not isinstance(losses, Mapping) or not losses:
            raise InputError(
                f"model {self.model.name!r}: in training, module(pictures, targets) has to return a dictionary of "
                f"losses as torchvision's detectors do, got {type(losses).__name__}; or give --trainer"
            )
        total: Tensor = torch.stack(list(losses.values())).sum()
        return total


class DenseLearner(_Base):
    """Segmentation by any module with class logits: cross-entropy plus soft Dice, so that rare classes count."""

    def usable(self, taught: Taught) -> bool:
        return bool((taught[0].segmentation != IGNORE).any())

    def batch(self, taught: Sequence[Taught], rng: np.random.Generator, colours: Sequence[bool]) -> Batch:
        views = self.views(taught, rng, colours)
        return {"images": [v.image for v in views], "pixels": np.stack([v.segmentation for v in views])}

    def loss(self, batch: Batch) -> Tensor:
        logits = self._logits(batch["images"])
        pixels = self._truth(batch["pixels"], (logits.shape[2], logits.shape[3])).to(logits.device)
        entropy = functional.cross_entropy(logits, pixels, ignore_index=IGNORE)
        valid = (pixels != IGNORE).unsqueeze(1)
        chance = logits.softmax(1) * valid
        truth = torch.zeros_like(chance).scatter_(1, pixels.unsqueeze(1).clamp(max=self.n_classes - 1), valid.float())
        shared, total = (chance * truth).sum((0, 2, 3)), (chance + truth).sum((0, 2, 3))
        present = truth.sum((0, 2, 3)) > 0
        dice = 1 - 2 * shared[present] / total[present]
        return entropy + dice.mean()

    def _logits(self, images: list[Image]) -> Tensor:
        """(B, C, h, w) float32, thinned: every second row and column is taught as well, several times as fast."""
        tensors = self.model.tensors(images)
        at = getattr(self.module, "at", None)
        if isinstance(self.model.model, ZooModel) and at is not None:
            logits: Tensor = at(tensors, stride=THINNED)
            return logits
        whole: Tensor = self.model.class_logits(tensors).float()
        return whole[:, :, ::THINNED, ::THINNED] if min(whole.shape[2:]) >= 64 else whole

    def _truth(self, pixels: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
        """(B, h, w) int64: the masks where the pictures lie in the module's input, the rest ignored."""
        x1, y1, x2, y2 = self._window(pixels.shape[1], pixels.shape[2])
        left, right = round(x1 * size[1]), max(round(x1 * size[1]) + 1, round(x2 * size[1]))
        top, bottom = round(y1 * size[0]), max(round(y1 * size[0]) + 1, round(y2 * size[0]))
        made = np.full((len(pixels), *size), IGNORE, np.int64)
        for row, mask in zip(made, pixels, strict=True):
            fitted = cv2.resize(mask, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST_EXACT)
            row[top:bottom, left:right] = fitted[: size[0] - top, : size[1] - left]
        return torch.from_numpy(made)

    def _window(self, height: int, width: int) -> tuple[float, float, float, float]:
        found = getattr(self.model.model, "window", None)
        return (0.0, 0.0, 1.0, 1.0) if found is None else found(height, width)


class ClassifierLearner(_Base):
    """Classification by any module with class logits."""

    def __init__(self, model: CheckedModel) -> None:
        super().__init__(model)
        self.batch_size = 64 if isinstance(model.model, ZooModel) else 16

    def usable(self, taught: Taught) -> bool:
        return taught[1] is not None

    def batch(self, taught: Sequence[Taught], rng: np.random.Generator, colours: Sequence[bool]) -> Batch:
        size = taught[0][0].image.shape
        images = [
            varied(frame.image, (size[0], size[1]), rng, colours=c)
            for (frame, _), c in zip(taught, colours, strict=True)
        ]
        return {"images": images, "labels": torch.tensor([label for _, label in taught])}

    def loss(self, batch: Batch) -> Tensor:
        logits = self.model.class_logits(self.model.tensors(batch["images"])).float()
        return functional.cross_entropy(logits, batch["labels"].to(logits.device), label_smoothing=SMOOTHING)


KINDS: dict[str, type[DenseLearner] | type[ClassifierLearner]] = {
    "segmentation": DenseLearner,
    "classification": ClassifierLearner,
}


def learner_of(model: CheckedModel) -> Learner:
    """Return how a model is taught; one that cannot be is a clear error."""
    inner = model.model
    if not isinstance(getattr(inner, "module", None), nn.Module):
        raise InputError(
            f"model {model.name!r} cannot be trained here: it has no torch `module`; give --trainer COMMAND that "
            "trains it, or a model of the zoo, of torchvision or a torch module"
        )
    if isinstance(inner, ZooDetector):
        return DetectorLearner(model)
    if isinstance(inner, DetectionModule):
        return TorchvisionLearner(model)
    missing = [name for name in ("tensors", "class_logits") if not callable(getattr(inner, name, None))]
    if model.task in KINDS and not missing:
        return KINDS[model.task](model)
    wanted = f"{' and '.join(missing)}" if missing else "losses of its own"
    raise InputError(
        f"model {model.name!r} cannot be trained here: a {model.task} model needs {wanted} (see docs/extending.md); "
        f"give --trainer COMMAND that trains it"
    )


class Mode:
    """Training mode; batch norm keeps its statistics where batches are too small to measure them."""

    FROZEN: ClassVar = (nn.modules.batchnorm._BatchNorm,)

    def __init__(self, module: nn.Module, batch: int) -> None:
        self.module, self.batch = module, batch

    def train(self) -> None:
        self.module.train()
        if self.batch < FEW:
            self._freeze()

    def measure(self, learner: Learner) -> None:
        """Make ready for a loss that teaches nothing."""
        self.module.train(not learner.evaluates)
        self._freeze()

    def _freeze(self) -> None:
        for part in self.module.modules():
            if isinstance(part, self.FROZEN):
                part.eval()


def no_truth(learner: Learner, task: Any, where: str) -> InputError:
    """Return the error of a training set without anything to learn."""
    return InputError(
        f"retrain: none of the frames of {where} has {needs_labels(task)} of a class that the model knows"
    )
