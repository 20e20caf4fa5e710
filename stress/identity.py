"""The files that decide what a run finds, by their content: an edited model, shift or depth source is another run.

What those files import or read in turn is not followed, and published weights that a library fetches go by their name.
"""

from __future__ import annotations

from pathlib import Path

from scenes.fingerprint import class_hash, file_hashes, named_files, shift_files, short_hash
from scenes.plugins import looks_like_attribute
from stress.adapters.yaml_spec import beside, read_spec

__all__ = ["class_hash", "model_files", "named_files", "shift_files"]


def model_files(spec: str, model_yaml: str | Path | None) -> dict[str, str]:
    """Return {file name: hash} of what a model's text names: code, weights, `model.yaml`, a transformers folder."""
    prefix, _, rest = spec.partition(":")
    explained = Path(model_yaml) if model_yaml else None
    if prefix == "zoo":
        found = file_hashes([Path(__file__).parent / "zoo" / "weights" / f"{rest}.safetensors"])
    elif prefix == "trained":
        from stress.training.trained import files_of

        found = files_of(rest)
    elif prefix in ("hf", "torchvision", "timm") or looks_like_attribute(spec):
        found = named_files(spec)
    else:
        path = Path(spec)
        # ONNX keeps large weights in files beside it: model.onnx.data, model.onnx_data
        found = file_hashes(path.parent.glob(f"{path.name}*") if path.suffix == ".onnx" else [path])
        explained = explained or beside(path)
    if explained is not None and explained.is_file():  # read, since it may name a file of classes
        found[explained.name] = short_hash(read_spec(explained).model_dump_json().encode())
    return found
