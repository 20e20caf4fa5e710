"""transformers models: `hf:FOLDER` or `hf:NAME`, for object detection, semantic segmentation, image classification.

Pictures go through the model's own processor and come back through its own post-processing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scenes.errors import InputError
from scenes.sample import Image, Predictions, Task
from stress.adapters.torch_module import TorchModel, same_size

LEAST_SCORE = 0.001
TASKS: dict[str, tuple[Task, str]] = {  # ending of the architecture's name -> task, class that loads it
    "ForObjectDetection": ("detection", "AutoModelForObjectDetection"),
    "ForSemanticSegmentation": ("segmentation", "AutoModelForSemanticSegmentation"),
    "ForImageClassification": ("classification", "AutoModelForImageClassification"),
}


class TransformersModel(TorchModel):
    """What the three tasks share."""

    def __init__(self, module: Any, processor: Any, *, name: str, device: str) -> None:
        config = module.config
        names = [str(config.id2label[i]) for i in range(int(config.num_labels))]
        super().__init__(module, name=name, class_names=names, device=device)
        self.processor = processor

    def tensors(self, images: Sequence[Image]) -> Tensor:
        """Images of one size to the module's pixel values."""
        pixels: Tensor = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
        return pixels.to(self.device)

    def explain_layers(self) -> list[str]:
        """The last feature map of the backbone: the encoder's last stage or normalisation."""
        kinds = dict(self.module.named_modules())
        convolutions = [n for n, m in kinds.items() if isinstance(m, nn.Conv2d) and "backbone" in n]
        spatial = convolutions or [n for n, m in kinds.items() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
        return spatial[:-4:-1]

    def _grouped(self, images: list[Image], answers: Any) -> list[Any]:
        with torch.inference_mode():
            return [answer for group in same_size(images) for answer in answers(group)]


class TransformersDetector(TransformersModel):
    """DETR and its relatives, whatever `AutoModelForObjectDetection` loads."""

    task = "detection"

    def dense(self, batch: Tensor) -> tuple[Tensor, Tensor] | None:
        """Class logits (B, Q, C) and boxes (B, Q, 4) in pixels of the picture last given to `tensors`."""
        answer = self.module(pixel_values=batch)
        if not hasattr(answer, "pred_boxes"):
            return None
        centre, half = answer.pred_boxes[..., :2], answer.pred_boxes[..., 2:] / 2
        height, width = self._picture or (batch.shape[2], batch.shape[3])
        boxes = torch.cat([centre - half, centre + half], -1) * batch.new_tensor([width, height, width, height])
        return answer.logits[..., : len(self.class_names)], boxes

    _picture: tuple[int, int] | None = None

    def tensors(self, images: Sequence[Image]) -> Tensor:
        self._picture = (images[0].shape[0], images[0].shape[1])
        return super().tensors(images)

    def predict(self, images: list[Image]) -> list[Any]:
        return self._grouped(images, self._answers)

    def _answers(self, images: list[Image]) -> list[dict[str, Any]]:
        given = self.processor(images=images, return_tensors="pt").to(self.device)
        outputs = self.module(**given)
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        found = self.processor.post_process_object_detection(outputs, threshold=LEAST_SCORE, target_sizes=sizes)
        return [_inside(answer, size) for answer, size in zip(found, sizes, strict=True)]


class TransformersSegmenter(TransformersModel):
    """Segformer and its relatives: logits at a lower resolution, brought to the picture's size."""

    task = "segmentation"

    def class_logits(self, batch: Tensor) -> Tensor:
        logits: Tensor = self.module(pixel_values=batch).logits
        return logits

    def predict(self, images: list[Image]) -> list[Any]:
        return self._grouped(images, self._answers)

    def _answers(self, images: list[Image]) -> list[Predictions]:
        logits = self.class_logits(self.tensors(images))
        size = (images[0].shape[0], images[0].shape[1])
        planes = nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return [Predictions(segmentation=p.argmax(0), logits=p) for p in planes.float().cpu().numpy()]


class TransformersClassifier(TransformersModel):
    """ViT and its relatives."""

    task = "classification"

    def class_logits(self, batch: Tensor) -> Tensor:
        logits: Tensor = self.module(pixel_values=batch).logits
        return logits

    def predict(self, images: list[Image]) -> list[Any]:
        return self._grouped(images, self._answers)

    def _answers(self, images: list[Image]) -> list[Predictions]:
        return [Predictions(logits=row) for row in self.class_logits(self.tensors(images)).float().cpu().numpy()]


ADAPTERS: dict[Task, type[Any]] = {
    "detection": TransformersDetector,
    "segmentation": TransformersSegmenter,
    "classification": TransformersClassifier,
}


def load(name: str, *, device: str, trust: bool, allow_download: bool) -> TransformersModel:
    """Load a local folder, a cached model, or with `allow_download` one from the hub."""
    import transformers

    label = f"hf:{name}"
    options: dict[str, Any] = {"local_files_only": Path(name).is_dir() or not allow_download}
    try:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=trust, **options)
        task, loader = _task(config, label)
        weights: dict[str, Any] = {} if trust else {"use_safetensors": True}
        factory = getattr(transformers, loader)
        module = factory.from_pretrained(name, trust_remote_code=trust, **weights, **options)
        processor = transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=trust, **options)
    except InputError:
        raise
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise InputError(f"{label} cannot be loaded: {_reason(name, error, allow_download, trust)}") from error
    adapter: TransformersModel = ADAPTERS[task](module, processor, name=label, device=device)
    return adapter


def _task(config: Any, label: str) -> tuple[Task, str]:
    architectures = list(getattr(config, "architectures", None) or [])
    for ending, found in TASKS.items():
        if any(name.endswith(ending) for name in architectures):
            return found
    wanted = ", ".join(f"...{ending}" for ending in TASKS)
    raise InputError(f"{label}: expected an architecture {wanted}, got {', '.join(architectures) or 'none'}")


def _reason(name: str, error: Exception, allow_download: bool, trust: bool) -> str:
    told = " ".join(str(error).split())[:300]
    if Path(name).is_dir():
        files = {path.suffix for path in Path(name).iterdir()}
        if not trust and ".safetensors" not in files and files & {".bin", ".pt", ".pth"}:
            return "its weights are a pickle, which may run code: convert them to safetensors, or give --trust"
        return told
    if not allow_download:
        return f"no folder {name!r}, and it is not on this machine; give --allow-download to fetch it"
    return told


def _inside(answer: dict[str, Tensor], size: tuple[int, int]) -> dict[str, Any]:
    """Cut boxes at the border of the picture."""
    height, width = size
    boxes = answer["boxes"].float().cpu().numpy()
    return {
        "boxes": np.clip(boxes, 0, [width, height, width, height]),
        "labels": answer["labels"],
        "scores": answer["scores"],
    }
