"""`trained:DIR`: a model that was trained again, as the model it came from and the weights it has now.

DIR holds `trained.json` (schema `roadproof.trained/1`) and `weights.safetensors`; `--model trained:DIR` takes it
wherever a model is asked for. Where another program trained it, `trained.json` may name the model in its own way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenes.errors import InputError
from scenes.fingerprint import file_hashes
from scenes.folders import read_json, replacing, write_json
from stress.adapters.checked import CheckedModel, checked

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = "roadproof.trained/1"
CARD, WEIGHTS = "trained.json", "weights.safetensors"
PREFIX = "trained"


def save(folder: Path, model: CheckedModel, *, base: Mapping[str, Any], about: Mapping[str, Any]) -> Path:
    """Write the weights of a model's module and how it was trained; the card comes last and says that all is there.

    base: {spec, options}: what `load_model` takes for the model that training began with
    """
    save_state(model.module.state_dict(), folder / WEIGHTS)
    return write_card(folder, base=base, about=about, weights=WEIGHTS)


def save_state(state: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, whole or not at all."""
    from safetensors.torch import save_file

    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary)
        temporary.chmod(0o644)  # safetensors writes for its owner alone


def write_card(
    folder: Path, *, base: Mapping[str, Any], about: Mapping[str, Any], weights: str | None, model: str | None = None
) -> Path:
    """Write `trained.json`; model: how `--model` names it, where that is not `base` with `weights`."""
    write_json(folder / CARD, {"schema": SCHEMA, "base": dict(base), "weights": weights, "model": model, **about})
    return folder / CARD


def read_card(folder: Path) -> dict[str, Any]:
    """Read `trained.json`."""
    path = folder / CARD
    if not path.is_file():
        raise InputError(
            f"model trained:{folder}: no {CARD} there; expected a folder models/... of `roadproof retrain`"
        )
    card = read_json(path)
    if not isinstance(card, dict) or card.get("schema") != SCHEMA:
        got = card.get("schema") if isinstance(card, dict) else type(card).__name__
        raise InputError(f"{path}: expected schema {SCHEMA!r}, got {got!r}: train it with this version")
    return card


def files_of(folder: str) -> dict[str, str]:
    """Return {file name: hash} of what decides what the model says."""
    path = Path(folder)
    return file_hashes(p for p in sorted(path.iterdir()) if p.is_file()) if path.is_dir() else {}


def load(folder: str, *, device: str, trust: bool = False, allow_download: bool = False) -> CheckedModel:
    """Load the model of a folder that `save` wrote; the base model has to be where it was."""
    from stress.adapters.load import load_model

    card, path = read_card(Path(folder)), Path(folder)
    options = {**card["base"]["options"], "trust": trust, "allow_download": allow_download}
    if card["model"] is not None:
        return load_model(card["model"], device=device, **options)
    if card["base"]["spec"] is None:
        raise InputError(
            f"model trained:{folder}: it was made of a model object of a program; load that and then its weights with "
            f"stress.training.install(model, {str(path / card['weights'])!r})"
        )
    model = load_model(card["base"]["spec"], device=device, **options)
    install(model, path / card["weights"])
    model.name = str(card.get("name") or f"trained:{path.name}")
    return model


def install(model: Any, weights: Path) -> CheckedModel:
    """Put weights into a model's module; ones that do not fit, or hold NaN, are a clear error."""
    from scenes.weights import tensors_of

    taken = checked(model)
    state = tensors_of(Path(weights))
    finite(state, f"weights {str(weights)!r}")
    try:
        taken.module.load_state_dict(state)
    except RuntimeError as error:
        told = " ".join(str(error).split())
        raise InputError(f"weights {str(weights)!r} do not fit model {taken.name!r}: {told:.300}") from error
    taken.module.eval()
    refresh = getattr(taken.model, "refresh", None)
    if callable(refresh):
        refresh()
    return taken


def finite(state: Mapping[str, Tensor], what: str) -> None:
    """Raise where weights hold NaN or infinity: a training that diverged."""
    for name, value in state.items():
        if value.is_floating_point() and not math.isfinite(float(value.double().sum())) and not value.isfinite().all():
            raise InputError(f"{what} hold NaN or infinity (in {name}): the training diverged; nothing of it is used")
