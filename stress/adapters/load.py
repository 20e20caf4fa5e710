"""From what a user names or holds to an adapter."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scenes.errors import InputError, did_you_mean
from scenes.plugins import load_attribute, looks_like_attribute
from scenes.sample import Task
from stress.adapters.checked import CheckedModel, checked
from stress.adapters.yaml_spec import ModelSpec, beside, read_spec
from stress.devices import resolve

PREFIXES = ("zoo", "hf", "torchvision", "timm", "trained")
WEIGHTS = (".pt", ".pth", ".ts", ".ckpt", ".pkl", ".bin", ".torchscript", ".safetensors")
FORMS = (
    "module:attr, file.py:attr, a path to TorchScript or ONNX, zoo:NAME, hf:NAME, torchvision:NAME, timm:NAME or "
    "trained:DIR"
)


def load_model(
    spec: str | Path | object,
    *,
    task: Task | None = None,
    classes: Sequence[str] | None = None,
    model_yaml: str | Path | None = None,
    device: str = "auto",
    trust: bool = False,
    allow_download: bool = False,
) -> CheckedModel:
    """Return any model behind the gate that checks its answers.

    spec: a text (`module:attr`, `file.py:attr`, a path, `zoo:NAME`, `hf:NAME_OR_FOLDER`, `torchvision:NAME[@weights]`,
    `timm:NAME[@weights]`), or an object: a model with `predict`, a torch module, a class of one, a function without
    arguments that makes one, or a function from images to answers.
    task, classes: where the model does not say; model_yaml: else `model.yaml` beside the file.
    trust: run code that comes with weights; allow_download: fetch weights that are not on this machine.
    """
    wish = _Wish(task, tuple(classes) if classes else None, model_yaml, resolve(device), trust, allow_download)
    if not isinstance(spec, str | Path):
        return checked(_adapt(spec, _name_of(spec), wish))
    text = str(spec)
    prefix, _, rest = text.partition(":")
    if prefix in PREFIXES:
        return checked(_prefixed(prefix, rest, wish))
    if looks_like_attribute(text):
        if prefix.isidentifier() and importlib.util.find_spec(prefix) is None:
            raise InputError(f"model {text!r}: no module {prefix!r}{did_you_mean(prefix, PREFIXES)}; expected {FORMS}")
        return checked(_adapt(load_attribute(text, what="model"), text, wish))
    return checked(_file(Path(text), wish))


class _Wish:
    """What the caller said beside the model itself."""

    def __init__(
        self,
        task: Task | None,
        classes: tuple[str, ...] | None,
        model_yaml: str | Path | None,
        device: str,
        trust: bool,
        allow_download: bool,
    ) -> None:
        self.task, self.classes, self.device = task, classes, device
        self.trust, self.allow_download = trust, allow_download
        self.model_yaml = Path(model_yaml) if model_yaml else None
        if self.model_yaml is not None:  # it speaks for what the caller left open
            spec = read_spec(self.model_yaml)
            self.task, self.classes = self.task or spec.task, self.classes or spec.classes

    def spec(self, weights: Path | None = None) -> ModelSpec | None:
        path = self.model_yaml or (beside(weights) if weights else None)
        return read_spec(path) if path else None


def _prefixed(prefix: str, rest: str, wish: _Wish) -> Any:
    if prefix == "zoo":
        from stress import zoo

        return zoo.load(rest, device=wish.device)
    if prefix == "hf":
        from stress.adapters import transformers

        return transformers.load(rest, device=wish.device, trust=wish.trust, allow_download=wish.allow_download)
    if prefix == "trained":
        from stress.training import trained

        return trained.load(rest, device=wish.device, trust=wish.trust, allow_download=wish.allow_download)
    options: dict[str, Any] = {
        "classes": wish.classes,
        "device": wish.device,
        "allow_download": wish.allow_download,
    }
    if prefix == "timm":
        from stress.adapters import timm

        return timm.load(rest, **options)
    from stress.adapters import torchvision

    return torchvision.load(rest, **options)


def _file(path: Path, wish: _Wish) -> Any:
    if not path.exists():
        head = str(path).partition(":")[0]
        near = did_you_mean(head, PREFIXES)
        raise InputError(f"model {str(path)!r}: no such file{near}; expected {FORMS}")
    if path.is_dir():
        raise InputError(f"model {str(path)!r} is a folder; a transformers model is named hf:{path}")
    if path.suffix == ".onnx":
        from stress.adapters.onnx import OnnxModel

        return OnnxModel(path, _needed_spec(path, wish), device=wish.device)
    if path.suffix == ".py":
        raise InputError(f"model {str(path)!r}: say which class or object of it: {path}:NAME")
    if path.suffix not in WEIGHTS:
        raise InputError(f"model {str(path)!r}: expected a file ending in .onnx, {', '.join(WEIGHTS)}; or {FORMS}")
    from scenes import weights

    if path.suffix == ".safetensors":
        weights.tensors_of(path)
        raise InputError(
            f"model {str(path)!r} holds weights but not the network they belong to: give 'file.py:attr' that builds it "
            "and loads them, or torchvision:NAME@weights"
        )
    module = weights.module_of(path, trust=wish.trust)
    if weights.is_torchscript(path):
        from stress.adapters.torchscript import ScriptModel

        return ScriptModel(module, _needed_spec(path, wish), name=path.name, device=wish.device)
    return _module(module, path.name, wish, wish.spec(path))


def _needed_spec(path: Path, wish: _Wish) -> ModelSpec:
    spec = wish.spec(path)
    if spec is None:
        raise InputError(
            f"model {str(path)!r} does not say its task, classes and input: "
            f"write them into {path.parent / 'model.yaml'}"
        )
    if spec.decoding is None:
        raise InputError(f"model {str(path)!r}: its model.yaml does not say the decoding: yolo, detr, ssd or logits")
    return spec


def _adapt(value: Any, name: str, wish: _Wish) -> Any:
    """Take an object for what it is."""
    if isinstance(value, type) or _is_factory(value):
        return _adapt(_made(value, name), name, wish)
    if callable(getattr(value, "predict", None)):
        return value
    if _is_module(value):
        return _module(value, name, wish, wish.spec())
    if callable(value):
        from stress.adapters.callable import CallableModel

        task, classes = _told(value, name, wish)
        return CallableModel(value, name=str(getattr(value, "name", name)), task=task, class_names=classes)
    raise InputError(f"model {name!r}: expected a model, a module or a function, got {type(value).__name__}")


def _module(module: Any, name: str, wish: _Wish, spec: ModelSpec | None) -> Any:
    from stress.adapters import torchvision
    from stress.adapters.torch_module import DecodedModule, DenseModule, DetectionModule

    if spec is not None and spec.decoding is not None:
        label = spec.name or name
        if spec.task == "detection":
            return DecodedModule(module, spec=spec, name=label, device=wish.device)
        options: dict[str, Any] = {"task": spec.task, "class_names": spec.classes, "spec": spec.input}
        return DenseModule(module, name=label, device=wish.device, **options)
    name = str(getattr(module, "name", name))
    if torchvision.is_torchvision(module):
        _, classes = _told(module, name, wish, task=torchvision.task_of(module))
        return torchvision.adapt(module, name=name, class_names=classes, device=wish.device)
    task, classes = _told(module, name, wish)
    if task == "detection":
        classes, first = _labels(module, name, classes, spec)
        return DetectionModule(module, name=name, class_names=classes, device=wish.device, first_label=first)
    return DenseModule(module, task=task, name=name, class_names=classes, device=wish.device)


def _told(value: Any, name: str, wish: _Wish, *, task: Task | None = None) -> tuple[Task, Sequence[str]]:
    """Return task and classes: as asked for, else as the object itself has them."""
    found_task = wish.task or task or getattr(value, "task", None)
    found_classes = wish.classes or getattr(value, "class_names", None) or getattr(value, "classes", None)
    if found_task is None:
        raise InputError(f"model {name!r} does not say its task: give task= or an attribute `task`")
    if found_classes is None:
        raise InputError(f"model {name!r} does not say its classes: give classes= or an attribute `class_names`")
    return found_task, found_classes


def _labels(module: Any, name: str, classes: Sequence[str], spec: ModelSpec | None) -> tuple[Sequence[str], int]:
    """Return a detector's classes without background, and what it calls the first of them: 0, or 1 after background."""
    from stress.adapters.torch_module import BACKGROUND, BACKGROUND_NAMES

    told = spec.first_label if spec is not None and spec.first_label is not None else getattr(module, "first_label", 0)
    if told not in (0, BACKGROUND):
        raise InputError(f"model {name!r}: first_label: expected 0 or 1, got {told!r}")
    if len(classes) > 1 and str(classes[0]).lower() in BACKGROUND_NAMES:
        return classes[1:], BACKGROUND
    return classes, int(told)


def _is_module(value: Any) -> bool:
    from torch import nn

    return isinstance(value, nn.Module)


def _is_factory(value: Any) -> bool:
    """A function that needs no argument makes a model; one that needs one is a model."""
    if not inspect.isroutine(value):
        return False
    return not _required(value)


def _required(value: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [p.name for p in parameters if p.default is p.empty and p.kind in (*positional, keyword)]


def _made(factory: Callable[..., Any], name: str) -> Any:
    missing = _required(factory)
    if missing:
        raise InputError(
            f"model {name!r} needs arguments ({', '.join(missing)}): name an instance, or a function without arguments "
            "that makes one"
        )
    try:
        return factory()
    except InputError:
        raise
    except Exception as error:
        told = " ".join(str(error).split()) or "no message"
        raise InputError(f"model {name!r} raised {type(error).__name__} while it was made: {told}") from error


def _name_of(value: Any) -> str:
    return str(getattr(value, "__name__", None) or type(value).__name__)
