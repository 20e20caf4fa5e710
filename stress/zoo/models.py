"""The networks of the zoo as adapters: pixels in, predictions out, and all that explanations need.

Prediction runs a copy with batch norm folded into the convolutions; `module` is the plain network.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.ops import batched_nms

from scenes.sample import Image, Predictions, Task
from stress.zoo.networks import STRIDES
from stress.zoo.weights import Weights

MULTIPLE = 32  # sides of the network's input
LARGEST_SIDE = 1280  # pixels; larger images are shrunk to it
SIDE_OF_CROP = 64
GREY = 114 / 255  # padding, as in training
LEVELS = ("pyramid.fuse.0", "pyramid.fuse.1", "pyramid.context")  # strides 8, 16, 32
LEAST_SCORE, MOST_OBJECTS, CANDIDATES = 0.001, 100, 1000
OVERLAP = 0.6  # IoU above which the weaker of two boxes of one class goes
BATCH = 8


class ZooModel:
    """What the three have in common."""

    task: ClassVar[Task]

    def __init__(self, weights: Weights, *, device: str = "cpu") -> None:
        self.name = f"zoo:{weights.name}"
        self.class_names = weights.classes
        self.device = torch.device(device)
        self.module = weights.network.to(self.device).to(memory_format=torch.channels_last).eval()
        self.refresh()
        self.running = self._fast  # what `predict` runs
        self._factor = 1.0  # by which the last pictures were shrunk

    def refresh(self) -> None:
        """Take over what the module's weights are now, for predictions."""
        self._fast = fused(self.module)

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.module.parameters())

    def tensors(self, images: Sequence[Image]) -> Tensor:
        """(H, W, 3) uint8 images of one size to the (B, 3, h, w) input: shrunk if huge, padded right and below."""
        height, width = images[0].shape[:2]
        self._factor = factor = shrink(height, width)
        if factor < 1:
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
            images = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]
        batch = torch.from_numpy(np.stack(images)).to(self.device).permute(0, 3, 1, 2)
        rows, columns = -batch.shape[2] % MULTIPLE, -batch.shape[3] % MULTIPLE
        batch = batch.to(torch.float32).contiguous(memory_format=torch.channels_last).div(255)
        return nn.functional.pad(batch, (0, columns, 0, rows), value=GREY)

    def window(self, height: int, width: int) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 of the picture inside the module's input, as shares of it."""
        factor = shrink(height, width)
        columns, rows = max(1, round(width * factor)), max(1, round(height * factor))
        return 0.0, 0.0, columns / (columns + -columns % MULTIPLE), rows / (rows + -rows % MULTIPLE)

    def predict(self, images: list[Image]) -> list[Predictions]:
        """Predict images of any sizes; neighbours of one size share a batch."""
        found: list[Predictions] = []
        first = 0
        while first < len(images):
            last = first + 1
            while last < len(images) and last - first < BATCH and images[last].shape == images[first].shape:
                last += 1
            with torch.inference_mode():
                found += self._predict(images[first:last])
            first = last
        return found

    def _predict(self, images: list[Image]) -> list[Predictions]:
        raise NotImplementedError

    def fit(self, samples: Any, **options: Any) -> Any:
        """Train on a data set, in place; options and curves are those of `stress.training.fit_on`."""
        from stress.training.teaching import fit_on

        return fit_on(self, samples, **options)

    def embed(self, images: list[Image]) -> Any:
        """(B, D) mean of the last backbone level."""
        with torch.inference_mode():
            vectors = [self._fast.backbone(self.tensors([image]))[-1].mean((2, 3)) for image in images]
        return torch.cat(vectors).cpu().numpy()


class ZooDetector(ZooModel):
    """`zoo:detector`."""

    task = "detection"

    def explain_layers(self) -> list[str]:
        """The convolution before the class logits of each level, finest first, then the backbone."""
        return [*(f"classify.{i}.0" for i in range(len(STRIDES))), *LEVELS, "backbone.stages.2", "backbone.stages.3"]

    def dense(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (B, A, C) and boxes (B, A, 4) in pixels of the picture last given to `tensors`, before NMS."""
        logits, boxes = self.module(batch)
        return logits, boxes / self._factor

    def _predict(self, images: list[Image]) -> list[Predictions]:
        height, width = images[0].shape[:2]
        logits, boxes = self._fast(self.tensors(images))
        boxes = boxes / shrink(height, width)
        limit = torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
        boxes = boxes.clamp(min=0).minimum(limit)
        return [select(scores, found) for scores, found in zip(logits.sigmoid(), boxes, strict=True)]


class ZooSegmenter(ZooModel):
    """`zoo:segmenter`."""

    task = "segmentation"

    def explain_layers(self) -> list[str]:
        return ["fuse", *LEVELS, "backbone.stages.2", "backbone.stages.3"]

    def class_logits(self, batch: Tensor) -> Tensor:
        logits: Tensor = self.module(batch)
        return logits

    def _predict(self, images: list[Image]) -> list[Predictions]:
        height, width = images[0].shape[:2]
        factor = shrink(height, width)
        rows, columns = max(1, round(height * factor)), max(1, round(width * factor))
        logits = self._fast(self.tensors(images))[:, :, :rows, :columns]
        if factor < 1:
            logits = nn.functional.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
        labels = logits.argmax(1)
        return [
            Predictions(segmentation=label.cpu().numpy(), logits=logit.cpu().numpy())
            for label, logit in zip(labels, logits, strict=True)
        ]


class ZooClassifier(ZooModel):
    """`zoo:classifier`, for 64x64 crops; other sizes are resized to that."""

    task = "classification"

    def explain_layers(self) -> list[str]:
        return ["backbone.stages.3", "backbone.stages.2"]

    def class_logits(self, batch: Tensor) -> Tensor:
        logits: Tensor = self.module(batch)
        return logits

    def tensors(self, images: Sequence[Image]) -> Tensor:
        size = (SIDE_OF_CROP, SIDE_OF_CROP)
        fitting = [i if i.shape[:2] == size else cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in images]
        return super().tensors(fitting)

    def _predict(self, images: list[Image]) -> list[Predictions]:
        logits = self._fast(self.tensors(images))
        chances = logits.softmax(1).cpu().numpy()
        return [
            Predictions(logits=logit, probabilities=chance)
            for logit, chance in zip(logits.cpu().numpy(), chances, strict=True)
        ]


MODELS: dict[str, type[ZooModel]] = {"detector": ZooDetector, "segmenter": ZooSegmenter, "classifier": ZooClassifier}


def shrink(height: int, width: int) -> float:
    """Return the factor, at most 1, that brings an image down to `LARGEST_SIDE`."""
    return min(1.0, LARGEST_SIDE / max(height, width))


def select(scores: Tensor, boxes: Tensor) -> Predictions:
    """Keep the best of scores (A, C) and boxes (A, 4): down to `LEAST_SCORE`, one of overlapping ones a class."""
    flat = scores.flatten()
    best, index = flat.topk(min(CANDIDATES, len(flat)))
    index = index[best >= LEAST_SCORE]
    row, label = index // scores.shape[1], index % scores.shape[1]
    kept = batched_nms(boxes[row], flat[index], label, OVERLAP)[:MOST_OBJECTS]
    return Predictions(
        boxes=boxes[row[kept]].cpu().numpy(), labels=label[kept].cpu().numpy(), scores=flat[index[kept]].cpu().numpy()
    )


def fused(network: nn.Module) -> Any:
    """A copy for inference whose batch norms are folded into the convolutions before them."""
    copied = copy.deepcopy(network)
    for block in list(copied.modules()):
        if isinstance(block, nn.Sequential) and len(block) > 1:
            convolution, norm = block[0], block[1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                block[0] = fuse_conv_bn_eval(convolution, norm)
                block[1] = nn.Identity()
    return copied.to(memory_format=torch.channels_last).eval()
