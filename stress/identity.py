"""The files that decide what a run finds, by their content: an edited model, shift or depth source is another run.

What those files import or read in turn is not followed, and published weights that a library fetches go by their name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scenes.plugins import looks_like_attribute
from stress.adapters.yaml_spec import beside, read_spec


def model_files(spec: str, model_yaml: str | Path | None) -> dict[str, str]:
    """Return {file name: hash} of what a model's text names: code, weights, `model.yaml`, a transformers folder."""
    prefix, _, rest = spec.partition(":")
    explained = Path(model_yaml) if model_yaml else None
    if prefix == "zoo":
        found = _hashes([Path(__file__).parent / "zoo" / "weights" / f"{rest}.safetensors"])
    elif prefix in ("hf", "torchvision", "timm") or looks_like_attribute(spec):
        found = named_files(spec)
    else:
        path = Path(spec)
        # ONNX keeps large weights in files beside it: model.onnx.data, model.onnx_data
        found = _hashes(path.parent.glob(f"{path.name}*") if path.suffix == ".onnx" else [path])
        explained = explained or beside(path)
    if explained is not None and explained.is_file():  # read, since it may name a file of classes
        found[explained.name] = _hash(read_spec(explained).model_dump_json().encode())
    return found


def named_files(spec: str) -> dict[str, str]:
    """Return {file name: hash} of `file.py:attr`, `module:attr`, `hf:FOLDER` or `torchvision:NAME@weights`."""
    prefix, _, rest = spec.partition(":")
    if prefix == "hf":
        folder = Path(rest)
        return _hashes(folder.iterdir()) if folder.is_dir() else {}
    if prefix in ("torchvision", "timm"):
        file = rest.partition("@")[2]
        return _hashes([Path(file)]) if file else {}
    if not looks_like_attribute(spec):
        return {}
    source = spec.rpartition(":")[0]
    if source.endswith(".py"):
        return _hashes([Path(source)])
    origin = _origin(source)
    return _hashes([origin]) if origin is not None else {}


def class_hash(instance: Any) -> str | None:
    """Return the hash of the source of an object's class, None where Python cannot tell it."""
    try:
        return _hash(inspect.getsource(type(instance)).encode())
    except (OSError, TypeError):
        return None


def shift_files(names: Iterable[str]) -> Mapping[str, str]:
    """Return {file name: hash} of the shifts that are not ours."""
    return {name: digest for spec in names for name, digest in named_files(spec).items()}


def _origin(module: str) -> Path | None:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # told where it is loaded
        return None
    return Path(found.origin) if found is not None and found.origin is not None else None


def _hashes(paths: Iterable[Path]) -> dict[str, str]:
    files = sorted(path for path in paths if path.is_file() and not path.name.startswith("."))
    found = {}
    for path in files:
        with path.open("rb") as stream:
            found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()[:32]
    return found


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
