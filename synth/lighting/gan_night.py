"""Day into night by a GAN.

See `synth.gan` for checkpoints and training. The built-in generator learned exact pairs of the town.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synth.gan.shift import Translation
from synth.registry import register
from synth.shift import Family


@register
@dataclass(frozen=True)
class GanNight(Translation):
    """Night as a translation network paints it; without options by the small built-in one.

    weights: a generator: state dict of CycleGAN, pix2pix or CUT (.pth, .safetensors), TorchScript or ONNX;
             empty = the built-in one
    side_px: shorter side at which the generator sees the frame, 0 = as it is
    tile_px: side of the tiles of large frames, 0 = 768 pixels above a million pixels, else whole
    trust:   run a TorchScript program that reaches beyond tensors
    """

    name: ClassVar[str] = "lighting/gan_night"
    family: ClassVar[Family] = "lighting"
    built_in: ClassVar[str] = "clear_to_night"
