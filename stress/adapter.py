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

    Optional members, used where present: `embed(images) -> (B, D)`; `module`, the torch.nn.Module behind it;
    `explain_layers()`, names of the layers of `module` to explain, best first; `tensors(images)`, the exact input that
    `predict` gives to `module` and the transforms back to pixels; `fit(samples, ...)`; `close()`.
    """

    @property
    def name(self) -> str: ...
    @property
    def task(self) -> Task: ...
    @property
    def class_names(self) -> Sequence[str]: ...
    def predict(self, images: list[Image]) -> Sequence[Predictions | Mapping[str, Any]]: ...
