"""torchvision's models: `torchvision:NAME` with its published weights, `torchvision:NAME@file` with your own.

For explanations their detectors also say what they think before thresholds and non-maximum suppression: FCOS, RetinaNet
and SSD at every anchor, Faster R-CNN at any box through its RoI head.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import detection

from scenes.errors import InputError, did_you_mean
from scenes.sample import Task
from scenes.weights import tensors_of
from stress.adapters.torch_module import BACKGROUND, DenseModule, DetectionModule, TorchModel

LEAST_SCORE = 0.001
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
ANCHORED = (detection.FCOS, detection.RetinaNet, detection.ssd.SSD)


class TorchvisionDetector(DetectionModule):
    """FCOS, RetinaNet, SSD, Faster and Mask R-CNN."""

    def __init__(
        self, module: nn.Module, *, name: str, class_names: Sequence[str], device: str, first_label: int = 0
    ) -> None:
        super().__init__(module, name=name, class_names=class_names, device=device, first_label=first_label)
        owner: Any = module.roi_heads if isinstance(module, detection.FasterRCNN) else module
        owner.score_thresh = min(float(owner.score_thresh), LEAST_SCORE)

    def explain_layers(self) -> list[str]:
        """The class head's last feature map, then the pyramid levels, finest first; an SSD's levels, coarsest first."""
        names = [name for name, _ in self.module.named_modules()]
        head = [name for name in names if name == "head.classification_head.conv"]
        levels = [name for name in names if re.fullmatch(r"backbone\.fpn\.layer_blocks\.\d+", name)]
        blocks = [name for name in names if re.fullmatch(r"backbone\.(features|extra)\.\d+", name)]
        return [*head, *levels] or blocks[:-10:-1]

    def dense(self, batch: Tensor) -> tuple[Tensor, Tensor] | None:
        """Class logits (B, A, C) and boxes (B, A, 4) in pixels of `batch`, before thresholds; None for two stages."""
        module: Any = self.module
        if not isinstance(module, ANCHORED):
            return None
        images, _ = module.transform(list(batch))
        levels = _levels(module.backbone(images.tensors))
        outputs = module.head(levels)
        anchors = module.anchor_generator(images, levels)
        boxes = torch.stack([_decoded(module, r, a) for r, a in zip(outputs["bbox_regression"], anchors, strict=True)])
        rows, columns = images.image_sizes[0]
        back = boxes.new_tensor([batch.shape[3] / columns, batch.shape[2] / rows]).repeat(2)
        first = self.first_label
        return outputs["cls_logits"][..., first : first + len(self.class_names)], boxes * back

    def roi_logits(self, batch: Tensor, boxes: Tensor) -> Tensor | None:
        """Class logits (N, C) of the RoI head on boxes (N, 4) in pixels of the one image; None for one stage."""
        module: Any = self.module
        if not isinstance(module, detection.FasterRCNN):
            return None
        images, _ = module.transform(list(batch))
        rows, columns = images.image_sizes[0]
        moved = boxes * boxes.new_tensor([columns / batch.shape[3], rows / batch.shape[2]]).repeat(2)
        features = module.backbone(images.tensors)
        features = OrderedDict([("0", features)]) if isinstance(features, Tensor) else features
        pooled = module.roi_heads.box_roi_pool(features, [moved], images.image_sizes)
        logits, _ = module.roi_heads.box_predictor(module.roi_heads.box_head(pooled))
        chosen: Tensor = logits[:, self.first_label : self.first_label + len(self.class_names)]
        return chosen


def is_torchvision(module: nn.Module) -> bool:
    """Tell whether torchvision's conventions hold for a module for certain."""
    return type(module).__module__.startswith("torchvision.models")


def adapt(module: nn.Module, *, name: str, class_names: Sequence[str], device: str) -> TorchModel:
    """Wrap a model of torchvision's own classes."""
    task = task_of(module)
    if task == "detection":
        first = first_label(module, class_names, name)
        return TorchvisionDetector(module, name=name, class_names=class_names, device=device, first_label=first)

    def preset(batch: Tensor) -> Tensor:
        mean, std = batch.new_tensor(MEAN, dtype=torch.float32), batch.new_tensor(STD, dtype=torch.float32)
        return (batch / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)

    return DenseModule(module, task=task, name=name, class_names=class_names, device=device, preset=preset)


def task_of(module: nn.Module) -> Task:
    """Return the task of a torchvision model by where its class is defined."""
    place = type(module).__module__
    if place.startswith("torchvision.models.detection"):
        return "detection"
    return "segmentation" if place.startswith("torchvision.models.segmentation") else "classification"


def first_label(module: nn.Module, class_names: Sequence[str], name: str) -> int:
    """Return what the detector calls the first of `class_names`: 1 where background comes before it, else 0."""
    known = _n_outputs(module)
    if known is None or known == len(class_names):
        return 0
    if known == len(class_names) + BACKGROUND:
        return BACKGROUND
    raise InputError(
        f"model {name!r}: it has {known} outputs, which is neither the {len(class_names)} classes given nor one more "
        "for background"
    )


def load(text: str, *, classes: Sequence[str] | None, device: str, allow_download: bool) -> TorchModel:
    """Load `NAME` or `NAME@weights` (safetensors, or a state dict without code)."""
    name, _, file = text.partition("@")
    if name not in models.list_models():
        raise InputError(f"torchvision has no model {name!r}{did_you_mean(name, models.list_models())}")
    label = f"torchvision:{text}"
    published = models.get_model_weights(name)
    default = published.DEFAULT if len(published) else None
    if file:
        if not classes:
            raise InputError(
                f"{label}: say which classes the weights know, in their order: classes in a model.yaml (--model-yaml)"
            )
        module = _with_weights(name, Path(file), len(classes), label)
    else:
        module = _published(name, default, label, allow_download)
        classes = classes or tuple(default.meta["categories"] if default is not None else ())
    if task_of(module) == "detection" or default is None:
        return adapt(module, name=label, class_names=classes, device=device)
    return DenseModule(
        module, task=task_of(module), name=label, class_names=classes, device=device, preset=default.transforms()
    )


def _published(name: str, weights: Any, label: str, allow_download: bool) -> nn.Module:
    if weights is None:
        raise InputError(f"{label}: torchvision publishes no weights for it; give your own: {label}@weights.pth")
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not cached.exists() and not allow_download:
        raise InputError(
            f"{label}: its weights are not on this machine; allow the download (--allow-download) of {weights.url}"
        )
    module: nn.Module = models.get_model(name, weights=weights)
    return module


def _with_weights(name: str, file: Path, n_classes: int, label: str) -> nn.Module:
    """Build the network for the number of classes, with or without background, that the weights fit."""
    state = tensors_of(file)
    place = models.get_model_builder(name).__module__
    bare: dict[str, Any] = {"weights": None}
    if "detection" in place or "segmentation" in place:
        bare["weights_backbone"] = None
    tried = [{"num_classes": n_classes}, {"num_classes": n_classes + BACKGROUND}]
    if "segmentation" in place:
        tried = [{"num_classes": n_classes}, {"num_classes": n_classes, "aux_loss": True}]
    told = ""
    for options in tried:
        module: nn.Module = models.get_model(name, **bare, **options)
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            told = told or " ".join(str(error).split())
            continue
        return module
    raise InputError(f"{label}: the weights do not fit a {name} of {n_classes} classes: {told:.300}")


def _levels(features: Any) -> list[Tensor]:
    return [features] if isinstance(features, Tensor) else list(features.values())


def _decoded(module: Any, regression: Tensor, anchors: Tensor) -> Tensor:
    """Boxes (A, 4) in pixels of the resized picture."""
    if isinstance(module, detection.FCOS):
        decoded: Tensor = module.box_coder.decode(regression, anchors)
        return decoded
    single: Tensor = module.box_coder.decode_single(regression, anchors)
    return single


def _n_outputs(module: Any) -> int | None:
    """Number of class outputs of a detector, background included where it has one."""
    if isinstance(module, detection.FasterRCNN):
        return int(module.roi_heads.box_predictor.cls_score.out_features)
    head = getattr(getattr(module, "head", None), "classification_head", None)
    for attribute in ("num_classes", "num_columns"):
        if hasattr(head, attribute):
            return int(getattr(head, attribute))
    return None
