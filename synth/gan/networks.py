"""Networks of image-to-image translation, with the parameter names of their public checkpoints.

ResNet and U-Net generators and the patch discriminator are those of CycleGAN and pix2pix (Zhu et al., ICCV 2017; Isola
et al., CVPR 2017), the blurred down- and upsampling that of CUT (Park et al., ECCV 2020; after Zhang, "Making
convolutional networks shift-invariant again", ICML 2019). Pictures are (B, 3, h, w) in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Norm = Literal["instance", "batch", "none"]
_DOWN = (1.0, 2.0, 1.0)  # binomial filters of CUT
_UP = (1.0, 3.0, 3.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which generator a state dict belongs to.

    kind:       resnet or unet
    depth:      ResNet blocks, or halvings of a U-Net (7 of unet_128, 8 of unet_256)
    width:      channels of the first layer (`ngf`)
    blur_down, blur_up: anti-aliased sampling of CUT in the place of strided convolutions (ResNet)
    """

    kind: Literal["resnet", "unet"]
    depth: int
    width: int
    norm: Norm = "instance"
    dropout: bool = False
    blur_down: bool = False
    blur_up: bool = False

    @property
    def multiple(self) -> int:
        """Sides of the input have to be a multiple of this."""
        return 4 if self.kind == "resnet" else 2**self.depth

    @property
    def name(self) -> str:
        """Return the name in the well-known repository.

        >>> Layout(kind="resnet", depth=9, width=64).name, Layout(kind="unet", depth=8, width=64).name
        ('resnet_9blocks', 'unet_256')
        """
        return f"resnet_{self.depth}blocks" if self.kind == "resnet" else f"unet_{2**self.depth}"


def generator(layout: Layout) -> nn.Module:
    """Return an untrained generator."""
    return ResnetGenerator(layout) if layout.kind == "resnet" else UnetGenerator(layout)


def norm_layer(norm: Norm) -> Callable[[int], nn.Module]:
    """Return what makes the normalisation of so many channels."""
    if norm == "batch":
        return nn.BatchNorm2d
    return (lambda channels: nn.InstanceNorm2d(channels)) if norm == "instance" else (lambda channels: nn.Identity())


class BlurDown(nn.Module):
    """Halve a picture after a binomial filter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _kernel(_DOWN, channels))
        self.filt: Tensor

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return functional.conv2d(padded, self.filt, stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """Double a picture by a binomial filter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", 4 * _kernel(_UP, channels))
        self.filt: Tensor

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        wide = functional.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=x.shape[1])
        return wide[:, :, 1:-1, 1:-1]


def _kernel(row: tuple[float, ...], channels: int) -> Tensor:
    line = torch.tensor(row) / sum(row)
    return torch.outer(line, line)[None, None].repeat(channels, 1, 1, 1)


class ResnetBlock(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, channels: int, norm: Norm, *, dropout: bool) -> None:
        super().__init__()
        made, bias = norm_layer(norm), norm == "instance"
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), made(channels), nn.ReLU(True),
            *([nn.Dropout(0.5)] if dropout else []),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), made(channels),
        ]  # fmt: skip
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv_block(x)
        return out


class ResnetGenerator(nn.Module):
    """Two halvings, blocks, two doublings."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        width, made, bias = layout.width, norm_layer(layout.norm), layout.norm == "instance"
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=bias), made(width), nn.ReLU(True)]
        for wide in (width, 2 * width):
            stride = 1 if layout.blur_down else 2
            layers += [nn.Conv2d(wide, 2 * wide, 3, stride=stride, padding=1, bias=bias), made(2 * wide), nn.ReLU(True)]
            layers += [BlurDown(2 * wide)] if layout.blur_down else []
        layers += [ResnetBlock(4 * width, layout.norm, dropout=layout.dropout) for _ in range(layout.depth)]
        for wide in (4 * width, 2 * width):
            half = wide // 2
            if layout.blur_up:
                layers += [BlurUp(wide), nn.Conv2d(wide, half, 3, padding=1, bias=bias)]
            else:
                layers += [nn.ConvTranspose2d(wide, half, 3, stride=2, padding=1, output_padding=1, bias=bias)]
            layers += [made(half), nn.ReLU(True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


class UnetBlock(nn.Module):
    """One halving and doubling around what lies below; its input goes on beside its output, but for the outermost."""

    def __init__(self, layout: Layout, outer: int, inner: int, below: nn.Module | None, *, outermost: bool = False):
        super().__init__()
        self.outermost = outermost
        made, bias = norm_layer(layout.norm), layout.norm == "instance"
        down = nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=bias)
        narrow = inner if below is None else 2 * inner
        up = nn.ConvTranspose2d(narrow, outer, 4, stride=2, padding=1, bias=bias or outermost)
        if outermost and below is not None:
            layers: list[nn.Module] = [down, below, nn.ReLU(True), up, nn.Tanh()]
        elif below is None:
            layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, made(outer)]
        else:
            layers = [nn.LeakyReLU(0.2, True), down, made(inner), below, nn.ReLU(True), up, made(outer)]
            layers += [nn.Dropout(0.5)] if layout.dropout and outer == inner else []
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out if self.outermost else torch.cat([x, out], dim=1)


class UnetGenerator(nn.Module):
    """A U-Net that halves a picture `depth` times, at least 5."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        width = layout.width
        block: nn.Module | None = None
        for _ in range(layout.depth - 4):
            block = UnetBlock(layout, 8 * width, 8 * width, block)
        for wide in (4 * width, 2 * width, width):
            block = UnetBlock(layout, wide, 2 * wide, block)
        self.model = UnetBlock(layout, 3, width, block, outermost=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


class PatchDiscriminator(nn.Module):
    """Says of every patch of 70 pixels how real it looks; `channels` 6 for pairs, 3 else."""

    def __init__(self, channels: int = 3, width: int = 64, norm: Norm = "instance") -> None:
        super().__init__()
        made, bias = norm_layer(norm), norm == "instance"
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, True)]
        for wide, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
            layers += [nn.Conv2d(wide, 2 * wide, 4, stride=stride, padding=1, bias=bias), made(2 * wide)]
            layers += [nn.LeakyReLU(0.2, True)]
        layers += [nn.Conv2d(8 * width, 1, 4, padding=1)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


def initialise(network: nn.Module) -> None:
    """Start as the published networks do: normal weights of deviation 0.02."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
