"""Arbitrary style transfer by adaptive instance normalisation (Huang & Belongie, ICCV 2017), from weights on disk.

The layout is that of the well-known PyTorch weights: `vgg_normalised` (VGG-19 up to relu4_1, its input normalised by
a first 1x1 convolution) and `decoder`, each a state of a plain sequence of layers; widths are read from the weights.
Nothing here can run code from a file: safetensors, or `torch.load` with `weights_only`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenes.errors import InputError
from scenes.sample import Image
from synth.texture.styles import resized

if TYPE_CHECKING:
    import torch

# c: 3x3 convolution (the first of the encoder 1x1), p: reflection padding by 1, r: ReLU, m: pooling, u: upsampling
_ENCODER = "c pcr pcr m pcr pcr m pcr pcr pcr pcr m pcr".replace(" ", "")
_DECODER = "pcr u pcr pcr pcr pcr u pcr pcr u pcr pc".replace(" ", "")
_PARTS = {"vgg_normalised": _ENCODER, "decoder": _DECODER}
_PREFIXES = {"vgg_normalised": ("vgg_normalised.", "vgg.", "encoder."), "decoder": ("decoder.",)}
_SUFFIXES = (".safetensors", ".pth", ".pt")
_STRIDE = 8  # pixels of one feature
_LEAST_PX = 32  # smaller pictures are enlarged: the padding needs two features a side
_EPSILON = 1e-5  # of the published code, added to the variance
SOURCE = "https://github.com/naoto0804/pytorch-AdaIN (releases)"


@dataclass(frozen=True)
class Weights:
    """Where the weights are: files by part, the same file twice where it holds both."""

    vgg_normalised: Path
    decoder: Path

    @property
    def digest(self) -> str:
        """The first 16 digits of SHA-256 over both files."""
        return _digest(*((p, *_stamp(p)) for p in (self.vgg_normalised, self.decoder)))


def usual_folder() -> Path:
    """Return where weights are looked for unless told otherwise: beside the checkpoints of torch."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or f"{cache}/torch"
    return Path(home).expanduser() / "hub" / "checkpoints" / "adain"


def find_weights(given: str, *, who: str) -> Weights:
    """Return the weights in a folder, in one safetensors file, or (given empty) at the usual place; raise if absent."""
    place = Path(given).expanduser() if given else usual_folder()
    if place.is_file():
        return Weights(place, place)
    found = {part: next((p for s in _SUFFIXES if (p := place / f"{part}{s}").is_file()), None) for part in _PARTS}
    encoder, decoder = found["vgg_normalised"], found["decoder"]
    if encoder is None or decoder is None:
        lacking = " and ".join(part for part, path in found.items() if path is None)
        raise InputError(
            f"{who} needs the weights {lacking} (.safetensors or .pth) of AdaIN, which are not in {place}: get them "
            f"from {SOURCE} and put them there, or name their folder with the option weights; nothing is downloaded"
        )
    return Weights(encoder, decoder)


def stylise(image: Image, style: Image, weights: Weights, *, alpha: float, side_px: int) -> Image:
    """Return a picture (H, W, 3) with the style's feature statistics, at its own size.

    alpha: 0 keeps the picture's features, 1 takes the style's mean and deviation (equation 14 of the paper)
    side_px: the shorter side at which the networks see both pictures; 0 = as they are
    """
    import torch

    encoder, decoder = _networks(weights.vgg_normalised, weights.decoder, weights.digest)
    with torch.inference_mode():
        content = encoder(_tensor(image, side_px))
        target = adaptive_instance_norm(content, encoder(_tensor(style, side_px)))
        made = decoder(alpha * target + (1 - alpha) * content)
    pixels = made[0].clamp(0, 1).mul(255).add(0.5).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return resized(pixels, *image.shape[:2])


def adaptive_instance_norm(content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """Return content (1, C, h, w) with the mean and deviation of each channel of the style (1, C, any, any)."""
    mean, deviation = _statistics(content)
    style_mean, style_deviation = _statistics(style)
    return (content - mean) / deviation * style_deviation + style_mean


def _statistics(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    flat = features.flatten(2)
    return flat.mean(2)[..., None, None], (flat.var(2) + _EPSILON).sqrt()[..., None, None]


def _tensor(image: Image, side_px: int) -> torch.Tensor:
    """Return (1, 3, h, w) in [0, 1], sides whole features."""
    import torch

    height, width = image.shape[:2]
    scale = min(1.0, side_px / min(height, width)) if side_px else 1.0
    sides = (max(_LEAST_PX, round(side * scale / _STRIDE) * _STRIDE) for side in (height, width))
    planes = np.ascontiguousarray(resized(image, *sides).transpose(2, 0, 1), np.float32) / np.float32(255)
    return torch.from_numpy(planes)[None]


@lru_cache(maxsize=2)
def _networks(encoder: Path, decoder: Path, digest: str) -> tuple[Any, Any]:
    """Return both networks; kept by the hash of their files."""
    return _network(encoder, "vgg_normalised"), _network(decoder, "decoder")


def _network(path: Path, part: str) -> Any:
    import torch

    state, wanted, layers = _state(path, part), _PARTS[part], []
    before: int | None = None
    for index, kind in enumerate(wanted):
        if kind == "c":
            weight = _of(state, f"{index}.weight", path, part)
            bias = _of(state, f"{index}.bias", path, part)
            size = 1 if part == "vgg_normalised" and index == 0 else 3
            fits = weight.ndim == 4 and weight.shape[2:] == (size, size) and before in (None, weight.shape[1])
            if not fits or bias.shape != weight.shape[:1]:
                raise InputError(
                    f"AdaIN weights {path}: {part} layer {index}: expected a {size}x{size} convolution of "
                    f"{before or 3} channels, got weights {tuple(weight.shape)} and bias {tuple(bias.shape)}"
                )
            layer = torch.nn.Conv2d(weight.shape[1], weight.shape[0], size)
            layer.load_state_dict({"weight": weight, "bias": bias})
            before = weight.shape[0]
            layers.append(layer)
        else:
            layers.append(_LAYERS[kind](torch.nn))
    return torch.nn.Sequential(*layers).eval().requires_grad_(False)


_LAYERS: dict[str, Any] = {
    "p": lambda nn: nn.ReflectionPad2d(1),
    "r": lambda nn: nn.ReLU(),
    "m": lambda nn: nn.MaxPool2d(2, 2, ceil_mode=True),
    "u": lambda nn: nn.Upsample(scale_factor=2, mode="nearest"),
}


def _of(state: dict[str, Any], key: str, path: Path, part: str) -> Any:
    if key not in state:
        raise InputError(f"AdaIN weights {path}: {part}: expected {key}, got {sorted(state)[:6]}: another layout")
    return state[key].float()


def _state(path: Path, part: str) -> dict[str, Any]:
    """Return the tensors of one part by their names in its sequence of layers."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            read = load_file(path)
        else:
            import torch

            read = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"AdaIN weights {path}: cannot be read as weights: {error}") from error
    for prefix in _PREFIXES[part]:
        if any(str(key).startswith(prefix) for key in read):
            return {key.removeprefix(prefix): value for key, value in read.items() if key.startswith(prefix)}
    return dict(read)


def _stamp(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=8)
def _digest(*files: tuple[Path, int, int]) -> str:
    state = hashlib.sha256()
    for path, _, _ in dict.fromkeys(files):
        state.update(path.read_bytes())
    return state.hexdigest()[:16]
