"""Generators from files: state dicts of the well-known repositories, TorchScript, ONNX. Nothing here runs their code.

A state dict names its network by its keys: ResNet with any number of blocks or U-Net of any depth (CycleGAN, pix2pix),
with blurred sampling (CUT), with or without dropout, instance or batch norm. Statistics that instance norms of old
torch versions stored are dropped, as the repositories themselves do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenes.errors import InputError
from synth.gan.networks import Layout, Norm, generator

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".pth", ".pt", ".onnx")
_BLOCK = re.compile(r"^model\.(\d+)\.conv_block\.(\d+)\.weight$")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Generator:
    """A translation ready to run.

    run:      (1, 3, h, w) float32 in [-1, 1] to the same; sides a multiple of `multiple`
    size:     the one input size (h, w) of an ONNX file with a fixed one, None where any will do
    by_frame: whether an output pixel hangs on the whole input (instance norm), so that tiles would not agree
    """

    run: Callable[[Tensor], Tensor]
    name: str
    digest: str
    multiple: int
    by_frame: bool
    size: tuple[int, int] | None = None
    layout: Layout | None = None


def load_generator(path: Path, *, trust: bool = False) -> Generator:
    """Read a generator; kept in memory by the hash of its file."""
    path = path.expanduser()
    if not path.is_file():
        raise InputError(f"GAN checkpoint: no file {str(path)!r}; expected one ending in {', '.join(SUFFIXES)}")
    if path.suffix not in SUFFIXES:
        raise InputError(f"GAN checkpoint {str(path)!r}: expected a file ending in {', '.join(SUFFIXES)}")
    return _loaded(path, digest(path), trust)


def digest(path: Path) -> str:
    """Return the first 16 digits of the SHA-256 of a file."""
    state = path.stat()
    return _digest(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=32)
def _digest(path: Path, modified_ns: int, size: int) -> str:
    del modified_ns, size  # only told so that a changed file is read again
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@lru_cache(maxsize=2)
def _loaded(path: Path, stamp: str, trust: bool) -> Generator:
    from scenes.weights import is_torchscript, module_of, tensors_of

    if path.suffix == ".onnx":
        return _onnx(path, stamp)
    if path.suffix != ".safetensors" and is_torchscript(path):
        return _script(module_of(path, trust=trust), path, stamp)
    state = plain_state(tensors_of(path))
    layout = layout_of(state, str(path))
    network = generator(layout)
    _fill(network, _without_statistics(state, layout), layout, path)
    network.eval().requires_grad_(False)
    by_frame = layout.norm == "instance"
    return Generator(network, layout.name, stamp, layout.multiple, by_frame, layout=layout)


def plain_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict without the prefixes that wrappers (DataParallel, Lightning) leave, in float32."""
    plain = dict(state)
    for prefix in ("module.", "netG_A.", "netG.", "generator.", "G."):
        if plain and all(key.startswith(prefix) for key in plain):
            plain = {key.removeprefix(prefix): value for key, value in plain.items()}
    return {key: value.float() if value.is_floating_point() else value for key, value in plain.items()}


def layout_of(state: Mapping[str, Tensor], what: str) -> Layout:
    """Return which generator a state dict belongs to; raise with what was looked for where it is none."""
    if "model.1.weight" in state and state["model.1.weight"].ndim == 4:
        layout = _resnet(state)
    elif "model.model.0.weight" in state and state["model.model.0.weight"].ndim == 4:
        layout = _unet(state)
    else:
        raise InputError(
            f"GAN checkpoint {what!r}: expected a generator of CycleGAN, pix2pix or CUT (keys model.1.weight of a "
            f"ResNet, model.model.0.weight of a U-Net), got {sorted(state)[:4]}; other networks: export as ONNX or "
            "TorchScript"
        )
    return layout


def _resnet(state: Mapping[str, Tensor]) -> Layout:
    blocks = {int(m[1]) for key in state if (m := _BLOCK.match(key))}
    inside = {int(m[2]) for key in state if (m := _BLOCK.match(key)) and state[key].ndim == 4}
    blurred = [int(key.split(".")[1]) for key in state if key.endswith(".filt")]
    first = min(blocks, default=0)
    return Layout(
        kind="resnet",
        depth=len(blocks),
        width=state["model.1.weight"].shape[0],
        norm=_norm(state, "model.1", "model.2"),
        dropout=6 in inside,
        blur_down=any(index < first for index in blurred),
        blur_up=any(index > first for index in blurred),
    )


def _unet(state: Mapping[str, Tensor]) -> Layout:
    inner = "model.model.1."  # one `model.3.` more for each halving below it
    depth = 1 + sum(inner + "model.3." * i + "model.1.weight" in state for i in range(len(state)))
    norm = _norm(state, f"{inner}model.1", f"{inner}model.2")
    return Layout(kind="unet", depth=depth, width=state["model.model.0.weight"].shape[0], norm=norm)


def _norm(state: Mapping[str, Tensor], convolution: str, after: str) -> Norm:
    if f"{after}.weight" in state and state[f"{after}.weight"].ndim == 1:
        return "batch"
    return "instance" if f"{convolution}.bias" in state else "none"


def _without_statistics(state: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Drop what instance norms of torch before 0.4 stored: they always used those of the picture at hand."""
    if layout.norm == "batch":
        return state
    return {key: value for key, value in state.items() if key.rpartition(".")[2] not in _STATISTICS}


def _fill(network: Any, state: dict[str, Tensor], layout: Layout, path: Path) -> None:
    wanted = network.state_dict()
    for key, value in wanted.items():  # filters are constants: older files lack them
        if key.endswith((".filt", ".num_batches_tracked")):
            state.setdefault(key, value)
    lacking, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    wrong = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    if lacking or extra or wrong:
        told = (f"{name} {keys[:3]}" for name, keys in (("lacks", lacking), ("has", extra), ("other sizes:", wrong)))
        parts = [text for text, keys in zip(told, (lacking, extra, wrong), strict=True) if keys]
        raise InputError(
            f"GAN checkpoint {str(path)!r}: looks like {layout.name} of {layout.width} channels, {layout.norm} norm, "
            f"but {'; '.join(parts)}; pictures have to be RGB on both sides. Other networks: export as ONNX"
        )
    network.load_state_dict(state)


def _script(module: Any, path: Path, stamp: str) -> Generator:
    module.eval()
    return Generator(module, path.name, stamp, multiple=32, by_frame=True)


def _onnx(path: Path, stamp: str) -> Generator:
    import numpy as np
    import torch

    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("ONNX generators need ONNX Runtime: pip install 'roadproof[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise InputError(
            f"GAN checkpoint {str(path)!r} cannot be read as ONNX: {' '.join(str(error).split()):.200}"
        ) from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[1] not in (3, "3", None):
        raise InputError(
            f"GAN checkpoint {str(path)!r}: expected one input (B, 3, h, w), got {[i.shape for i in inputs]}"
        )
    sides = inputs[0].shape[2:]
    size = (int(sides[0]), int(sides[1])) if all(isinstance(side, int) for side in sides) else None

    def run(batch: Tensor) -> Tensor:
        array = session.run([outputs[0].name], {inputs[0].name: batch.numpy()})[0]
        return torch.from_numpy(np.asarray(array, np.float32))

    return Generator(run, path.name, stamp, multiple=32, by_frame=True, size=size)
