"""A small street segmenter: train it for a few minutes, then stress it. A pattern for a torch model of your own.

    python examples/camvid_segmenter.py train DATA --out camvid.safetensors --minutes 4
    CAMVID_WEIGHTS=camvid.safetensors roadproof stress DATA --split val \
        --model examples/camvid_segmenter.py:CamvidSegmenter --shifts fog,night --out RUN

DATA holds `train/` and `trainannot/` (pictures and masks of class ids, as CamVid in the SegNet layout). The adapter at
the end imports nothing of roadproof; `module`, `tensors` and `class_logits` are what Grad-CAM needs.
"""

from __future__ import annotations

import argparse
import os
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
VOID = 255  # whatever is none of the classes; CamVid calls it 11
WEIGHTS = "CAMVID_WEIGHTS"  # environment variable that names the trained weights
WIDTHS = (16, 40, 64, 96, 96)  # channels at strides 2, 4, 8, 16, 32
CROP = (256, 352)  # height, width of a training view
BATCH = 4
PEAK_RATE = 3e-3
STEPS = 3000  # more gain little


def conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU."""
    layers = nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


class UNet(nn.Module):
    """(B, 3, H, W) sRGB from 0 to 1 to class logits (B, C, H, W); Ronneberger et al. 2015 at strides 2 to 32."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.stem = conv(3, WIDTHS[0], 2)
        self.down = nn.ModuleList([nn.Sequential(conv(a, b, 2), conv(b, b)) for a, b in pairwise(WIDTHS)])
        self.up = nn.ModuleList([conv(a + b, b) for b, a in pairwise(WIDTHS[1:])])
        self.classify = nn.Conv2d(WIDTHS[1], n_classes, 1)

    def forward(self, batch: Tensor) -> Tensor:
        height, width = batch.shape[2:]
        x = self.stem(functional.pad(batch, (0, -width % 32, 0, -height % 32), mode="replicate") * 4 - 2)
        levels = [x := stage(x) for stage in self.down]  # strides 4, 8, 16, 32
        for fuse, level in zip(reversed(self.up), reversed(levels[:-1]), strict=True):
            x = fuse(torch.cat([functional.interpolate(x, scale_factor=2.0), level], dim=1))
        logits = functional.interpolate(self.classify(x), scale_factor=4.0, mode="bilinear")
        return logits[:, :, :height, :width]


def read_split(data: Path, split: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return pictures (H, W, 3) sRGB and masks (H, W) of class indices with VOID."""
    pictures, masks = [], []
    for path in sorted((data / split).glob("*.png")):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        mask = cv2.imread(str(data / f"{split}annot" / path.name), cv2.IMREAD_GRAYSCALE)
        if picture is None or mask is None:
            raise SystemExit(f"{path}: the picture or its mask in {split}annot/ cannot be read")
        pictures.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        masks.append(np.where(mask < len(CLASSES), mask, VOID).astype(np.uint8))
    if not pictures:
        raise SystemExit(f"{data / split}: expected PNG pictures, found none")
    return pictures, masks


def view(picture: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a random crop of size CROP: scaled by 0.75 to 1.5, perhaps mirrored, a little brighter or darker."""
    height, width = CROP
    smallest = max(height / picture.shape[0], width / picture.shape[1])
    scale = max(smallest, float(np.exp(rng.uniform(np.log(0.75), np.log(1.5)))))
    size = (max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale)))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    x, y = rng.integers(0, size[0] - width + 1), rng.integers(0, size[1] - height + 1)
    picture, mask = picture[y : y + height, x : x + width], mask[y : y + height, x : x + width]
    if rng.random() < 0.5:
        picture, mask = picture[:, ::-1], mask[:, ::-1]
    picture = np.clip(picture * rng.uniform(0.8, 1.25), 0, 255)
    return picture.astype(np.uint8), np.ascontiguousarray(mask)


def class_weights(masks: list[np.ndarray]) -> Tensor:
    """Return (C,): rare classes count more, by the square root of how rare they are, mean 1."""
    counts = sum(np.bincount(mask.ravel(), minlength=256)[: len(CLASSES)] for mask in masks)
    weights = 1 / np.sqrt(np.maximum(counts, 1) / np.sum(counts) + 1e-3)
    return torch.from_numpy(weights / weights.mean()).float()


def train(pictures: list[np.ndarray], masks: list[np.ndarray], *, seconds: float, steps: int = STEPS) -> UNet:
    """Train until time or steps run out; the learning rate falls with whichever is further."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = UNet(len(CLASSES)).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, weight_decay=0.01)
    weights = class_weights(masks)
    begin, step = time.monotonic(), 0
    while (share := max((time.monotonic() - begin) / seconds, step / steps)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, (step + 1) / 50) * (1 + np.cos(np.pi * share)) / 2
        views = [view(pictures[i], masks[i], rng) for i in rng.integers(0, len(pictures), BATCH)]
        batch = as_tensor([picture for picture, _ in views])
        truth = torch.from_numpy(np.stack([mask for _, mask in views])).long()
        loss = functional.cross_entropy(net(batch), truth, weights, ignore_index=VOID)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        if step % 50 == 0:
            print(f"{step} steps, {share:.0%} done, loss {loss.item():.3f}", flush=True)
    return net.eval()


def as_tensor(images: list[np.ndarray]) -> Tensor:
    """(H, W, 3) uint8 pictures of one size to (B, 3, H, W) from 0 to 1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


class CamvidSegmenter:
    """What roadproof is given: the first four members are needed, the others bring Grad-CAM."""

    name = "camvid u-net"
    task = "segmentation"
    class_names = CLASSES

    def __init__(self, weights: str | Path | None = None) -> None:
        path = Path(weights or os.environ.get(WEIGHTS) or Path(__file__).with_name("camvid.safetensors"))
        if not path.is_file():
            raise FileNotFoundError(f"{path}: train the weights first, and name them by the variable {WEIGHTS}")
        self.module = UNet(len(CLASSES))
        self.module.load_state_dict(load_file(path))
        self.module.eval()

    def predict(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Take (H, W, 3) uint8 pictures of any sizes; return logits (C, H, W) of each."""
        with torch.inference_mode():
            return [{"logits": self.class_logits(self.tensors([image]))[0].numpy()} for image in images]

    def tensors(self, images: list[np.ndarray]) -> Tensor:
        """Return the batch as it goes into `module`; pictures of one size."""
        return as_tensor(images)

    def class_logits(self, batch: Tensor) -> Tensor:
        """Return (B, C, H, W), with gradient."""
        return self.module(batch)

    def explain_layers(self) -> list[str]:
        """Return the layers to explain, best first: the features that are classified, then the coarsest ones."""
        return ["up.2", "down.3"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=["train"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("camvid.safetensors"))
    parser.add_argument("--minutes", type=float, default=4.0)
    given = parser.parse_args()
    net = train(*read_split(given.data, "train"), seconds=60 * given.minutes)
    save_file(net.state_dict(), given.out)
    print(given.out)


if __name__ == "__main__":
    main()
