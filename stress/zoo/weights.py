"""Weights of the zoo: safetensors in half precision, class names in the metadata, a card of figures beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from scenes.errors import InputError
from stress.zoo.networks import Classifier, Detector, Segmenter

FOLDER = Path(__file__).parent / "weights"
NETWORKS = {"detector": Detector, "segmenter": Segmenter, "classifier": Classifier}


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """A network of the zoo with what its outputs mean: name is one of `NETWORKS`."""

    name: str
    classes: tuple[str, ...]
    network: nn.Module


def write_weights(weights: Weights, folder: Path) -> Path:
    """Write `<name>.safetensors` in half precision; return its path."""
    path = folder / f"{weights.name}.safetensors"
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in weights.network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    temporary = path.with_suffix(".writing")
    save_file(state, temporary, metadata={"name": weights.name, "classes": json.dumps(weights.classes)})
    temporary.chmod(0o644)  # safetensors writes for its owner alone
    temporary.replace(path)
    return path


def read_weights(path: Path) -> Weights:
    """Read a network in float32 and eval mode."""
    try:
        with safe_open(path, framework="pt") as stored:
            meta = stored.metadata() or {}
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  # no mapping: has no __iter__
    except (OSError, SafetensorError) as error:
        raise InputError(f"weights {str(path)!r} cannot be read: {error}") from error
    if meta.get("name") not in NETWORKS or "classes" not in meta:
        raise InputError(f"weights {str(path)!r}: expected a file written by stress.zoo.train, got other metadata")
    classes = tuple(json.loads(meta["classes"]))
    network = NETWORKS[meta["name"]](len(classes))
    counters = {k: v for k, v in network.state_dict().items() if k.endswith("num_batches_tracked")}
    try:
        network.load_state_dict({**counters, **{k: v.to(torch.float32) for k, v in state.items()}})
    except RuntimeError as error:
        raise InputError(f"weights {str(path)!r} do not fit the {meta['name']}: {error}") from error
    return Weights(name=meta["name"], classes=classes, network=network.eval())


def card(name: str) -> dict[str, Any]:
    """Return the card of a network of the zoo: classes, training, figures, command."""
    read: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return read
