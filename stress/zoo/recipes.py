"""What each network of the zoo is taught: its batches and its loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from scenes.sample import Image
from stress.zoo.frames import IGNORE, Frame, augmented, recoloured
from stress.zoo.losses import Objects, detection_loss
from stress.zoo.networks import Classifier, Detector, Segmenter

VIEW = (256, 448)  # (H, W) of a training view
FRAMES_A_BATCH, CROPS_A_BATCH = 8, 128
THINNED = 2  # every second row and column of a segmentation is taught: as good, four times as fast
CROP = 64  # side of a classifier's crop, pixels
SMOOTHING = 0.05  # of class targets (Szegedy et al. 2016)
Batch = tuple[Tensor, ...]


class Recipe(Protocol):
    """One network: its classes, a new one, random batches and the loss on them."""

    @property
    def classes(self) -> Sequence[str]: ...
    def network(self) -> nn.Module: ...
    def batch(self, rng: np.random.Generator) -> Batch: ...
    def loss(self, network: nn.Module, batch: Batch) -> Tensor: ...


class DetectorRecipe:
    """`frames(i)` gives one of `n_frames`; labels are indices into `class_names`, of which `classes` are taught."""

    def __init__(
        self, frames: Callable[[int], Frame], n_frames: int, *, class_names: Sequence[str], classes: Sequence[str]
    ) -> None:
        self.frames, self.n_frames, self.classes = frames, n_frames, tuple(classes)
        self.table = class_table(class_names, classes)

    def network(self) -> nn.Module:
        return Detector(len(self.classes))

    def batch(self, rng: np.random.Generator) -> Batch:
        views = [augmented(self.frames(int(i)), VIEW, rng) for i in rng.integers(self.n_frames, size=FRAMES_A_BATCH)]
        known = [self.table[view.labels] != IGNORE for view in views]
        most = max(1, *(int(k.sum()) for k in known))
        boxes = np.zeros((len(views), most, 4), np.float32)
        labels, role = np.zeros((len(views), most), np.int64), np.zeros((len(views), most), np.int8)
        for i, (view, keep) in enumerate(zip(views, known, strict=True)):
            n = int(keep.sum())
            boxes[i, :n], labels[i, :n] = view.boxes[keep], self.table[view.labels[keep]]
            role[i, :n] = view.role[keep]
        return as_batch([v.image for v in views]), *(torch.from_numpy(a) for a in (boxes, labels, role))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        images, boxes, labels, role = batch
        logits, found = network(images)
        size = (images.shape[2], images.shape[3])
        return detection_loss(logits, found, Objects(boxes=boxes, labels=labels, role=role), size)


class SegmenterRecipe:
    """`frames(i)` gives one of `n_frames`; pixels are indices into `class_names`, of which `classes` are taught."""

    def __init__(
        self, frames: Callable[[int], Frame], n_frames: int, *, class_names: Sequence[str], classes: Sequence[str]
    ) -> None:
        self.frames, self.n_frames, self.classes = frames, n_frames, tuple(classes)
        self.table = class_table(class_names, classes)

    def network(self) -> nn.Module:
        return Segmenter(len(self.classes))

    def batch(self, rng: np.random.Generator) -> Batch:
        views = [augmented(self.frames(int(i)), VIEW, rng) for i in rng.integers(self.n_frames, size=FRAMES_A_BATCH)]
        row, column = rng.integers(THINNED, size=2)  # which of the thinned pixels stand for their neighbours
        pixels = np.stack([self.table[view.segmentation[row::THINNED, column::THINNED]] for view in views])
        return as_batch([view.image for view in views]), torch.from_numpy(pixels.astype(np.int64))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy plus soft Dice over the classes in the batch, so that thin and rare ones count (mIoU)."""
        images, pixels = batch
        logits = cast(Segmenter, network).at(images, stride=THINNED)
        entropy = functional.cross_entropy(logits, pixels, ignore_index=IGNORE)
        valid = (pixels != IGNORE).unsqueeze(1)
        chance = logits.softmax(1) * valid
        index = pixels.unsqueeze(1).clamp(max=len(self.classes) - 1)
        truth = torch.zeros_like(chance).scatter_(1, index, valid.to(chance.dtype))
        shared, total = (chance * truth).sum((0, 2, 3)), (chance + truth).sum((0, 2, 3))
        present = truth.sum((0, 2, 3)) > 0
        dice = 1 - 2 * shared[present] / total[present]
        return entropy + dice.mean()


class ClassifierRecipe:
    """crops (N, 64, 64, 3) uint8 and their labels (N,); classes are drawn equally often."""

    def __init__(self, crops: NDArray[np.uint8], labels: NDArray[np.int64], classes: Sequence[str]) -> None:
        self.crops, self.labels, self.classes = crops, labels, tuple(classes)
        self.members = [np.flatnonzero(labels == i) for i in range(len(classes))]

    def network(self) -> nn.Module:
        return Classifier(len(self.classes))

    def batch(self, rng: np.random.Generator) -> Batch:
        labels = rng.integers(len(self.classes), size=CROPS_A_BATCH)
        images = [_varied(self.crops[rng.choice(self.members[label])], rng) for label in labels]
        return as_batch(images), torch.from_numpy(labels)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        images, labels = batch
        return functional.cross_entropy(network(images), labels, label_smoothing=SMOOTHING)


def as_batch(images: Sequence[Image]) -> Tensor:
    """(H, W, 3) uint8 images of one size to (B, 3, H, W) float32 in [0, 1], stored channels last."""
    stacked = torch.from_numpy(np.stack(images))
    return stacked.permute(0, 3, 1, 2).to(torch.float32).div_(255)


def class_table(class_names: Sequence[str], classes: Sequence[str]) -> NDArray[np.uint8]:
    """Return (256,) class index of the data set -> index in `classes`, IGNORE where not taught."""
    table = np.full(256, IGNORE, np.uint8)
    for i, name in enumerate(class_names):
        if name in classes:
            table[i] = classes.index(name)
    return table


def _varied(crop: Image, rng: np.random.Generator) -> Image:
    """A crop a little larger or smaller, moved, perhaps mirrored, colours a little different."""
    scale, (dx, dy) = rng.uniform(0.85, 1.2), rng.uniform(-5, 5, 2)
    sign = -1 if rng.random() < 0.5 else 1
    centre = (CROP - 1) / 2
    matrix = np.array([[sign * scale, 0, centre * (1 - sign * scale) + dx], [0, scale, centre * (1 - scale) + dy]])
    moved = cv2.warpAffine(crop, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return recoloured(moved, rng)
