"""What stands between a model of any kind and the harness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from scenes.sample import Image, Predictions, Task


@runtime_checkable
class ModelAdapter(Protocol):
    """Any model: a class of yours with these four members fits, and imports nothing of roadproof.

    `predict` takes a list of (H, W, 3) uint8 sRGB images, which may differ in size, and returns one `Predictions`, or
    a dictionary with its keys, for each:

    - detection: boxes (N, 4) xyxy pixels, labels (N,) index into class_names, scores (N,), optional masks (N, H, W)
    - segmentation: segmentation (H, W) class index, or logits / probabilities (C, H, W)
    - classification: logits or probabilities (C,)

    Detectors deliver down to score 0.001 and up to 100 objects an image; thresholds are the metrics' business.

    Optional members, used where present (B images, A anchors or queries, C = len(class_names)):

    - `embed(images) -> (B, D)`; `close()`; `device`; `n_parameters`
    - `fit(samples, ...)` is not needed to be trained again: `module`, `tensors` and `class_logits` are enough for
      segmentation and classification (see stress/training/learners.py), and `refresh()` is called after new weights
    - `module`: the torch.nn.Module behind it, in eval mode; `running`: the one that `predict` runs, where another
    - `explain_layers() -> list[str]`: names (as in `module.named_modules()`) of the layers worth explaining, best
      first: the last convolution or feature map of the backbone, then those of each pyramid level
    - `tensors(images) -> Tensor`: the (B, 3, h, w) batch exactly as `predict` gives it to `module`; images of one size
    - `dense(batch) -> (class_logits (B, A, C), boxes (B, A, 4)) | None`: for one-stage and query detectors, what they
      say before thresholds and NMS, with gradient; boxes xyxy in pixels of the image that `tensors` was given.
      For segmentation and classification: `class_logits(batch)`, (B, C, H, W) or (B, C), with gradient
    - `roi_logits(batch, boxes) -> (N, C) | None`: for two-stage detectors, the class logits of the RoI head on (N, 4)
      boxes (same pixels) of the one image in the batch, with gradient
    """

    @property
    def name(self) -> str: ...
    @property
    def task(self) -> Task: ...
    @property
    def class_names(self) -> Sequence[str]: ...
    def predict(self, images: list[Image]) -> Sequence[Predictions | Mapping[str, Any]]: ...
