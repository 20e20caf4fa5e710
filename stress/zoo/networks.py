"""The three small networks of the zoo, one backbone for all.

Plain residual convolutions (He et al. 2016) instead of depth-wise ones: at these sizes a dense 3x3 is faster on a CPU.
A pyramid after Lin et al. (2017) feeds an anchor-free head with one class logit per class and location (Tian et al.
2019, FCOS) whose boxes are decoded as in YOLOX (Ge et al. 2021): centre offset and log size in units of the stride.

Letters: B images, H rows, W columns, C classes, A locations of all levels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
WIDTHS = (32, 64, 96, 128)  # channels at strides 4, 8, 16, 32
BLOCKS = (1, 2, 2, 1)  # residual blocks at each stride
PYRAMID = 64  # channels of every pyramid level
MEAN, STD = 0.45, 0.25  # of sRGB in [0, 1]; close to those of street scenes
PRIOR = 0.01  # probability that a location shows an object, before training (Lin et al. 2017, focal loss)
MAX_LOG_SIZE = 5.0  # exp(5) strides is larger than any image


def conv(inside: int, outside: int, kernel: int = 3, stride: int = 1, *, act: bool = True) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outside, momentum=0.03),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if act else nn.Sequential(*layers)


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


class Backbone(nn.Module):
    """(B, 3, H, W) sRGB in [0, 1] to features at strides 4, 8, 16, 32; H and W are multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), conv(12, WIDTHS[0], 3, 2))
        stages = []
        for i, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
            down = [conv(WIDTHS[i - 1], width, 3, 2)] if i else []
            stages.append(nn.Sequential(*down, *[Residual(width) for _ in range(blocks)]))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem((x - MEAN) / STD)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels


class Pyramid(nn.Module):
    """Top-down path: the levels at strides 8, 16, 32 with the same width, coarse meaning added to fine position."""

    def __init__(self) -> None:
        super().__init__()
        self.context = conv(2 * PYRAMID, PYRAMID, 1)
        self.lateral = nn.ModuleList([conv(width, PYRAMID, 1) for width in WIDTHS[1:]])
        self.fuse = nn.ModuleList([conv(PYRAMID, PYRAMID) for _ in WIDTHS[2:]])

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        p3, p4, p5 = (lateral(level) for lateral, level in zip(self.lateral, levels[1:], strict=True))
        p5 = self.context(torch.cat([p5, p5.mean((2, 3), keepdim=True).expand_as(p5)], 1))  # what the frame is about
        p4 = self.fuse[1](p4 + functional.interpolate(p5, scale_factor=2.0))
        p3 = self.fuse[0](p3 + functional.interpolate(p4, scale_factor=2.0))
        return [p3, p4, p5]


class Detector(nn.Module):
    """Boxes and class logits at every location of three pyramid levels."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.backbone, self.pyramid = Backbone(), Pyramid()
        self.classify = nn.ModuleList([_head(n_classes, -math.log((1 - PRIOR) / PRIOR)) for _ in STRIDES])
        self.locate = nn.ModuleList([_head(4, 0.0) for _ in STRIDES])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits (B, A, C) and boxes (B, A, 4) xyxy in pixels of the input, before any threshold."""
        levels = self.pyramid(self.backbone(x))
        logits = [_flat(head(level)) for head, level in zip(self.classify, levels, strict=True)]
        boxes = [
            decode(_flat(head(level)).float(), level.shape[2], level.shape[3], stride)
            for head, level, stride in zip(self.locate, levels, STRIDES, strict=True)
        ]
        return torch.cat(logits, 1).float(), torch.cat(boxes, 1)


class Segmenter(nn.Module):
    """Class logits (B, C, H, W): pyramid and stride-4 features fused at stride 4, then bilinear to full size."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.backbone, self.pyramid = Backbone(), Pyramid()
        self.fine = conv(WIDTHS[0], PYRAMID, 1)
        self.fuse = conv(PYRAMID, PYRAMID)
        self.classify = nn.Conv2d(PYRAMID, n_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.at(x, stride=1)

    def at(self, x: Tensor, stride: int) -> Tensor:
        """Logits (B, C, H / stride, W / stride)."""
        levels = self.backbone(x)
        p3 = self.pyramid(levels)[0]
        fused = self.fuse(self.fine(levels[0]) + functional.interpolate(p3, scale_factor=2.0))
        logits: Tensor = self.classify(fused).float()
        size = (x.shape[2] // stride, x.shape[3] // stride)
        return functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


class Classifier(nn.Module):
    """Class logits (B, C) of object crops, 64x64 by training; H and W are multiples of 32."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.backbone = Backbone()
        self.dropout = nn.Dropout(0.1)
        self.classify = nn.Linear(WIDTHS[-1], n_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.dropout(self.backbone(x)[-1].mean((2, 3))))
        return logits.float()


def centres(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    """Return the (height * width, 2) centres x y, in pixels, of a level's cells in row order."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device) + 0.5, torch.arange(width, device=device) + 0.5, indexing="ij"
    )
    return torch.stack([x, y], -1).reshape(-1, 2) * stride


def decode(raw: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Turn (B, height * width, 4) offsets dx dy and log sizes, in strides, into boxes xyxy in pixels."""
    centre = centres(height, width, stride, raw.device) + raw[..., :2] * stride
    half = raw[..., 2:].clamp(max=MAX_LOG_SIZE).exp() * (stride / 2)
    return torch.cat([centre - half, centre + half], -1)


def _head(outside: int, bias: float) -> nn.Sequential:
    last = nn.Conv2d(PYRAMID, outside, 1)
    nn.init.constant_(last.bias, bias)  # type: ignore[arg-type]  # Conv2d has a bias unless told otherwise
    return nn.Sequential(conv(PYRAMID, PYRAMID), last)


def _flat(level: Tensor) -> Tensor:
    """(B, K, H, W) to (B, H * W, K)."""
    return level.flatten(2).transpose(1, 2)
