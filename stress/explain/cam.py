"""Grad-CAM and HiResCAM through captum, for any scalar target of a torch module.

Grad-CAM: Selvaraju et al., ICCV 2017 (gradients pooled over the frame, then weighted sum of activations).
HiResCAM: Draelos & Carin, 2020 (gradient times activation at each place, summed over channels). For the score of one
object in a one-stage head only HiResCAM is local: pooled gradients say "somewhere in the frame".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np

from scenes.errors import InputError, did_you_mean
from stress.explain.explanation import Map

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

Forward = Callable[["Tensor"], "Tensor"]  # input batch of one to a score of shape (1,)
Kind = Literal["gradcam", "hirescam"]
# what torch and captum say of a layer that the score does not depend on, or that this picture never passed
_INDEPENDENT = ("not have been used in the graph", "does not require grad", "did not obtain any outputs")


def find_layer(module: nn.Module, name: str) -> nn.Module:
    """Return a layer by its dotted name; the error names the nearest one."""
    layers = dict(module.named_modules())
    if name not in layers:
        raise InputError(f"explain layer {name!r}: the model has no such layer{did_you_mean(name, layers)}")
    return layers[name]


def guess_layers(module: nn.Module) -> list[str]:
    """Return names of layers worth explaining, best first: the last convolutions, else the last normalisations.

    For models whose adapter does not name any: the deepest features that still have a spatial layout.
    """
    from torch import nn

    convolutions = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)]
    norms = [name for name, layer in module.named_modules() if isinstance(layer, nn.LayerNorm)]
    convolutions = [(_activated(module, name), layer) for name, layer in convolutions]
    # A last convolution of 1x1 is most often the classifier itself: what feeds it comes first.
    spatial = [name for name, layer in convolutions if layer.kernel_size != (1, 1)]
    pointwise = [name for name, layer in convolutions if layer.kernel_size == (1, 1)]
    return [*spatial[:-4:-1], *norms[:-4:-1], *pointwise[:-4:-1]]


def _activated(module: nn.Module, name: str) -> str:
    """Return the layer after a convolution in its `nn.Sequential` that normalises or activates it last, else itself.

    Positive parts are what the next layer sees; before them, products of gradient and value can cancel.
    """
    from torch import nn

    parent, _, own = name.rpartition(".")
    block = module.get_submodule(parent)
    if not isinstance(block, nn.Sequential):
        return name
    names = [child for child, _ in block.named_children()]
    last = own
    for child in names[names.index(own) + 1 :]:
        layer = block.get_submodule(child)
        if any(True for _ in layer.children()) or not _keeps_the_layout(layer):
            break
        last = child
    return f"{parent}.{last}" if parent else last


def _keeps_the_layout(layer: nn.Module) -> bool:
    """Tell whether a layer is a normalisation or an activation."""
    from torch import nn

    kinds = nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm
    return isinstance(layer, kinds) or type(layer).__module__ == "torch.nn.modules.activation"


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in inference mode with gradients on its inputs only, and give everything back as it was."""
    was_training = module.training
    wanted = [parameter.requires_grad for parameter in module.parameters()]
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        module.train(was_training)
        for parameter, want in zip(module.parameters(), wanted, strict=True):
            parameter.requires_grad_(want)


def cam(module: nn.Module, forward: Forward, inputs: Tensor, layer: str, *, kind: Kind) -> Tensor | None:
    """Return (h, w) >= 0 of one layer, or None where the target does not depend on it or it has no spatial layout.

    inputs: (1, C, H, W) as the module takes it. forward: inputs to a score (1,).
    """
    import torch
    from captum.attr import LayerGradCam, LayerGradientXActivation

    target_layer = find_layer(module, layer)
    with evaluating(module), torch.enable_grad():
        leaf = inputs.detach().clone().requires_grad_(True)
        try:
            if kind == "gradcam":
                raw = LayerGradCam(forward, target_layer).attribute(leaf, attr_dim_summation=False)
            else:
                raw = LayerGradientXActivation(forward, target_layer).attribute(leaf)
        except (RuntimeError, AssertionError) as error:
            if any(words in str(error) for words in _INDEPENDENT):
                return None  # the score does not depend on this layer: another level of the pyramid holds it
            raise
        raw = raw[0] if isinstance(raw, tuple) else raw
    grid = _to_grid(raw.detach(), inputs.shape[-2:])
    if grid is None:
        return None
    summed = grid.sum(dim=1)[0].clamp_min(0.0)
    return summed if bool(summed.max() > 0) else None


def _to_grid(attribution: Tensor, size: Sequence[int]) -> Tensor | None:
    """Return (1, C, h, w) from a convolution's output, or from tokens (1, T, C) of a transformer."""
    if attribution.ndim == 4:
        # channels last (Swin-like) when the last axis is by far the longest
        if attribution.shape[-1] > 4 * max(attribution.shape[1:3]):
            return attribution.permute(0, 3, 1, 2)
        return attribution
    if attribution.ndim != 3:
        return None
    tokens = attribution.shape[1]
    for special in (0, 1, 2, 5):  # class, distillation and register tokens come first
        grid = _grid_shape(tokens - special, size)
        if grid is not None:
            return attribution[:, special:].transpose(1, 2).reshape(1, -1, *grid)
    return None


def _grid_shape(tokens: int, size: Sequence[int]) -> tuple[int, int] | None:
    """Return (h, w) with h * w = tokens and the aspect of the input, or None."""
    if tokens < 1:
        return None
    height = round(math.sqrt(tokens * size[0] / size[1]))
    for h in (height, height - 1, height + 1):
        if h > 0 and tokens % h == 0 and abs(math.log((tokens / h / h) * size[0] / size[1])) < 0.2:
            return h, tokens // h
    return None


def first_map(
    module: nn.Module, forward: Forward, inputs: Tensor, layers: Sequence[str], *, kind: Kind
) -> tuple[str, Tensor] | None:
    """Return the first of the layers on which the target depends, with its map (h, w)."""
    for layer in layers:
        found = cam(module, forward, inputs, layer, kind=kind)
        if found is not None:
            return layer, found
    return None


def to_picture(grid: Tensor, height: int, width: int, window: tuple[float, float, float, float] | None = None) -> Map:
    """Enlarge a map (h, w) of the module's input to the picture (H, W), cutting off letterbox bars.

    window: x1, y1, x2, y2 of the picture inside the input, as shares of it from 0 to 1; None = the whole input.
    """
    import torch.nn.functional as F

    if window is not None:
        fine = F.interpolate(grid[None, None], size=(1000, 1000), mode="bilinear", align_corners=False)
        x1, y1, x2, y2 = (round(1000 * v) for v in window)
        grid = fine[0, 0, y1:y2, x1:x2]
    large = F.interpolate(grid[None, None].float(), size=(height, width), mode="bilinear", align_corners=False)
    picture: Map = large[0, 0].cpu().numpy().astype(np.float32)
    return picture
