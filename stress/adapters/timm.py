"""timm's image classifiers: `timm:NAME` with published weights, `timm:NAME@file` with your own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow
from torch import Tensor

from scenes.errors import InputError, did_you_mean
from scenes.sample import Image
from scenes.weights import tensors_of
from stress.adapters.torch_module import DenseModule

IMAGENET = 1000


class TimmClassifier(DenseModule):
    """A classifier behind timm's own evaluation transform."""

    def __init__(self, module: Any, *, name: str, class_names: Sequence[str], device: str) -> None:
        from timm.data import create_transform, resolve_data_config

        super().__init__(module, task="classification", name=name, class_names=class_names, device=device)
        self._transform = create_transform(**resolve_data_config({}, model=module))

    def tensors(self, images: Sequence[Image]) -> Tensor:
        """Images of one size to the module's input."""
        return torch.stack([self._transform(Pillow.fromarray(image)) for image in images]).to(self.device)


def load(text: str, *, classes: Sequence[str] | None, device: str, allow_download: bool) -> TimmClassifier:
    """Load `NAME` or `NAME@weights`."""
    try:
        with warnings.catch_warnings():  # timm 0.6 scripts small functions while it is imported
            warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
            warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
            import timm
    except ImportError as error:
        raise InputError("timm models need timm: pip install 'roadproof[timm]'") from error
    name, _, file = text.partition("@")
    label = f"timm:{text}"
    if not timm.is_model(name):
        raise InputError(f"timm has no model {name!r}{did_you_mean(name, timm.list_models())}")
    if not file:
        if not allow_download:
            raise InputError(f"{label}: its weights would be downloaded: give --allow-download, or {label}@weights")
        module = timm.create_model(name, pretrained=True)
        return TimmClassifier(module, name=label, class_names=classes or _published(module, label), device=device)
    if not classes:
        raise InputError(
            f"{label}: say which classes the weights know, in their order: classes in a model.yaml (--model-yaml)"
        )
    module = timm.create_model(name, pretrained=False, num_classes=len(classes))
    try:
        module.load_state_dict(tensors_of(Path(file)))
    except RuntimeError as error:
        told = " ".join(str(error).split())
        raise InputError(f"{label}: the weights do not fit a {name} of {len(classes)} classes: {told:.300}") from error
    return TimmClassifier(module, name=label, class_names=classes, device=device)


def _published(module: Any, label: str) -> Sequence[str]:
    """The ImageNet-1k names, as torchvision spells them."""
    if module.num_classes != IMAGENET:
        raise InputError(f"{label}: it has {module.num_classes} classes without names: give classes")
    from torchvision.models import ResNet18_Weights

    names: list[str] = ResNet18_Weights.DEFAULT.meta["categories"]
    return names
