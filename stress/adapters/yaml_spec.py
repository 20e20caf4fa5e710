"""`model.yaml`: what a file of weights does not say about itself (docs/models.md has every key).

task: detection                 # classification | detection | segmentation
classes: [car, bus, person]     # or the name of a text file beside it, one class a line
input: {size: [640, 640], fit: letterbox, mean: [0, 0, 0], std: [1, 1, 1], order: RGB, range: 1}
decoding: yolo                  # yolo | detr | ssd | logits
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from scenes.errors import InputError, did_you_mean
from scenes.sample import Task

Triple = tuple[float, float, float]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda v: [str(n) for n in v] if isinstance(v, list) else v)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSpec(_Frozen):
    """How pixels become the network's input."""

    size: tuple[int, int] | None = None  # height, width
    fit: Literal["letterbox", "resize"] = "resize"
    pad: Annotated[int, Field(ge=0, le=255)] = 114  # grey level beside a letterboxed picture
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    order: Literal["RGB", "BGR"] = "RGB"
    range: Literal[1, 255] = 1


class ModelSpec(_Frozen):
    """All of `model.yaml`."""

    task: Task
    classes: Names = Field(min_length=1)
    name: str | None = None
    input: InputSpec = InputSpec()
    decoding: Literal["yolo", "detr", "ssd", "logits"] | None = None  # None: by the conventions of torch_module
    box_units: Literal["pixels", "relative"] | None = None  # of the outputs; else pixels (yolo, ssd), relative (detr)
    score: Literal["softmax", "sigmoid", "none"] | None = None  # on raw class outputs; else as the decoding has it
    objectness: bool | None = None  # yolo: a fifth number per box; else read off the shape
    first_label: Literal[0, 1] | None = None  # detection without decoding: the label of the first class
    nms_iou: Annotated[float, Field(gt=0, le=1)] = 0.6

    @model_validator(mode="after")
    def _decoding_fits_task(self) -> ModelSpec:
        if self.decoding is not None and (self.decoding == "logits") == (self.task == "detection"):
            wanted = "yolo, detr or ssd" if self.task == "detection" else "logits"
            raise ValueError(f"decoding: expected {wanted} for {self.task}, got {self.decoding!r}")
        if self.first_label is not None and (self.decoding is not None or self.task != "detection"):
            raise ValueError("first_label: is for detectors that return labels; a decoding numbers its classes itself")
        return self


def read_spec(path: Path) -> ModelSpec:
    """Read a `model.yaml`; unknown keys and wrong values are errors that name the key."""
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict):
        raise InputError(f"{path}: expected keys task, classes, input, decoding, got {read!r:.80}")
    if isinstance(read.get("classes"), str):
        read["classes"] = _class_file(path.parent / read["classes"])
    try:
        return ModelSpec.model_validate(read)
    except ValidationError as error:
        raise InputError(f"{path}: {'; '.join(_told(e) for e in error.errors())}") from error


def beside(weights: Path) -> Path | None:
    """Return the `model.yaml` beside a file of weights, or one of its own name."""
    found = [path for path in (weights.with_suffix(".yaml"), weights.parent / "model.yaml") if path.is_file()]
    return found[0] if found else None


def _class_file(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"classes: {path} cannot be read: {error}") from error


def _told(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = InputSpec.model_fields if where.startswith("input.") else ModelSpec.model_fields
        key = str(error["loc"][-1])
        return f"unknown key {where!r}{did_you_mean(key, known)}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
