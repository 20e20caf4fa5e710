"""Read files of weights without executing code.

- safetensors: numbers only
- `torch.save` of tensors: read with `weights_only=True`, which refuses everything else
- pickled modules and other objects: only with `trust`, since unpickling runs whatever code the file names
- TorchScript: a program; what of it needs `trust` is said in `scenes.script_safety`
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenes.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def tensors_of(path: Path) -> dict[str, Tensor]:
    """Read a state dict: safetensors, or a `torch.save` of tensors (also under `state_dict` or `model`)."""
    _exists(path)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            loaded: dict[str, Tensor] = load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(f"weights {str(path)!r} cannot be read: {_line(error)}") from error
        return loaded
    read = _weights_only(path)
    for key in ("state_dict", "model"):
        if isinstance(read, Mapping) and isinstance(read.get(key), Mapping):
            read = read[key]
    if not isinstance(read, Mapping) or not all(hasattr(value, "shape") for value in read.values()):
        raise InputError(f"weights {str(path)!r}: expected a dictionary of tensors, got {type(read).__name__}")
    return dict(read)


def module_of(path: Path, *, trust: bool) -> Any:
    """Read a file that holds a whole network: TorchScript, or with `trust` a pickled module."""
    _exists(path)
    if is_torchscript(path):
        return _torchscript(path, trust=trust)
    try:
        read = _weights_only(path)
    except InputError as refused:
        if not trust:
            raise
        read = _unpickled(path, refused)
    if isinstance(read, Mapping):
        read = next((read[k] for k in ("ema", "model") if hasattr(read.get(k), "forward")), read)
    if hasattr(read, "forward"):
        return read
    raise InputError(
        f"model {str(path)!r} holds weights but not the network they belong to: give 'file.py:attr' that builds it and "
        "loads them, torchvision:NAME@weights, or export it as TorchScript or ONNX"
    )


def is_torchscript(path: Path) -> bool:
    """Tell whether a file is a TorchScript archive."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _torchscript(path: Path, *, trust: bool) -> Any:
    import torch

    from scenes.script_safety import program_reason, storage_reason

    try:
        reason = None if trust else storage_reason(path)
        if reason is None:
            with warnings.catch_warnings():  # torch asks authors of files to move on; readers can do nothing about it
                warnings.filterwarnings("ignore", "`torch.jit.load` is", FutureWarning)
                script = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]  # torch
            reason = None if trust else program_reason(script)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"model {str(path)!r} cannot be read as TorchScript: {_line(error):.300}") from error
    if reason is not None:
        raise InputError(f"model {str(path)!r}: {reason}; if you know where the file comes from, give --trust")
    return script


def _weights_only(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings():  # about pickles that torch.save did not write; they are refused below
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower() or "Unsupported" in str(error):
            raise InputError(
                f"weights {str(path)!r} hold pickled Python objects, which may run code when they are loaded; if you "
                "know where the file comes from, give --trust, else save the state_dict as safetensors"
            ) from error
        raise InputError(f"weights {str(path)!r} cannot be read: {_line(error):.200}") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise InputError(f"weights {str(path)!r} cannot be read: {_line(error):.200}") from error


def _unpickled(path: Path, refused: InputError) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        message = f"weights {str(path)!r} cannot be read: {type(error).__name__}: {_line(error):.200}"
        raise InputError(message) from refused


def _exists(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"no file {str(path)!r}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
