"""A clear day into rain by a GAN.

See `synth.gan` for checkpoints and training. No generator comes along: name a checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synth.gan.shift import Translation
from synth.registry import register
from synth.shift import Family


@register
@dataclass(frozen=True)
class GanRain(Translation):
    """Rain as a translation network paints it, from a checkpoint of yours.

    weights: a generator: state dict of CycleGAN, pix2pix or CUT (.pth, .safetensors), TorchScript or ONNX
    side_px: shorter side at which the generator sees the frame, 0 = as it is
    tile_px: side of the tiles of large frames, 0 = 768 pixels above a million pixels, else whole
    trust:   run a TorchScript program that reaches beyond tensors
    """

    name: ClassVar[str] = "weather/gan_rain"
    family: ClassVar[Family] = "weather"
    built_in: ClassVar[str] = ""
