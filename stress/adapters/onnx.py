"""ONNX through ONNX Runtime, explained by a `model.yaml`. One thread a session: cores are shared by workers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from scenes.errors import InputError
from scenes.sample import Image, Task
from stress.adapters.torch_module import boxes_back, dense_back, prepared, same_size
from stress.adapters.yaml_spec import ModelSpec


class OnnxModel:
    """A session; no gradients, so explanations are by masks."""

    def __init__(self, path: Path, spec: ModelSpec, *, device: str) -> None:
        self.name, self.spec = spec.name or path.name, spec
        self.task: Task = spec.task
        self.class_names = spec.classes
        self.device = torch.device(device)
        self._session = _session(path, device)
        first = self._session.get_inputs()[0]
        self._input, shape = first.name, first.shape
        if len(shape) != 4:
            raise InputError(f"model {str(path)!r}: expected one input (B, 3, h, w), got {first.name} {shape}")
        self._batch = shape[0] if isinstance(shape[0], int) else None
        size = tuple(shape[2:])
        fixed = all(isinstance(side, int) for side in size)
        if fixed and spec.input.size != size:
            wanted = list(spec.input.size) if spec.input.size else "none"
            raise InputError(f"model {str(path)!r}: its input is {list(size)}, model.yaml says input.size: {wanted}")

    def predict(self, images: list[Image]) -> list[Any]:
        answers: list[Any] = []
        for group in same_size(images, self._batch or 8):
            missing = (self._batch or 0) - len(group)  # of a fixed batch, which is filled up
            answers += self._answers([*group, *[group[-1]] * missing])[: len(group)]
        return answers

    def _answers(self, images: list[Image]) -> list[Any]:
        batch = prepared(images, self.spec.input)
        outputs = self._run(batch)
        if self.spec.task == "detection":
            return list(boxes_back(outputs, self.spec, images[0], (batch.shape[2], batch.shape[3])))
        return list(dense_back(outputs, self.spec, images[0]))

    def _run(self, batch: torch.Tensor) -> Mapping[str, torch.Tensor]:
        names = [output.name for output in self._session.get_outputs()]
        arrays = self._session.run(names, {self._input: batch.numpy()})
        return {name: torch.from_numpy(array) for name, array in zip(names, arrays, strict=True)}


def _session(path: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("ONNX models need ONNX Runtime: pip install 'roadproof[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: they are raised as well
    available = onnxruntime.get_available_providers()
    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") and "CUDAExecutionProvider" in available else []
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[*wanted, "CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise InputError(f"model {str(path)!r} cannot be read as ONNX: {' '.join(str(error).split()):.300}") from error
