"""TorchScript with a `model.yaml`. Traced graphs take no hooks on their layers, so explanations are by masks."""

from __future__ import annotations

from typing import Any

import torch

from scenes.sample import Image, Task
from stress.adapters.decode import as_mapping
from stress.adapters.torch_module import boxes_back, dense_back, prepared, same_size
from stress.adapters.yaml_spec import ModelSpec


class ScriptModel:
    """A loaded archive."""

    def __init__(self, script: Any, spec: ModelSpec, *, name: str, device: str) -> None:
        self.name, self.spec = spec.name or name, spec
        self.task: Task = spec.task
        self.class_names = spec.classes
        self.device = torch.device(device)
        self._script = script.to(self.device).eval()

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self._script.parameters())

    def predict(self, images: list[Image]) -> list[Any]:
        with torch.inference_mode():
            return [answer for group in same_size(images) for answer in self._answers(group)]

    def _answers(self, images: list[Image]) -> list[Any]:
        batch = prepared(images, self.spec.input).to(self.device)
        answer = self._script(batch)
        if isinstance(answer, dict) and "out" in answer:
            answer = answer["out"]
        outputs = as_mapping(answer)
        if self.spec.task == "detection":
            return list(boxes_back(outputs, self.spec, images[0], (batch.shape[2], batch.shape[3])))
        return list(dense_back(outputs, self.spec, images[0]))
