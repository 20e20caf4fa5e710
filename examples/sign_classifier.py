"""A small traffic sign classifier: split the pictures without leakage, train for two minutes, stress what was held out.

    python examples/sign_classifier.py split DATA --out SPLIT
    python examples/sign_classifier.py train SPLIT --out signs.safetensors --minutes 2
    SIGN_WEIGHTS=signs.safetensors roadproof stress SPLIT --split val \
        --model examples/sign_classifier.py:SignClassifier --shifts night,motion_blur --out RUN

DATA holds one folder a class. Pictures of one sign, taken a moment apart, must not stand on both sides of a split. File
names of GTSRB say which belong together: `00014_00022.png` is picture 22 of track 14.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = "SIGN_WEIGHTS"  # environment variable that names the trained weights
SIZE = 40  # pixels; every crop is resized to a square of it
LAYERS = ((3, 32, 2), (32, 64, 1), (64, 96, 2), (96, 96, 1))  # channels in, channels out, stride
GRID = 5  # cells that the classifier tells apart, each way
BATCH = 32
PEAK_RATE = 2e-3
STEPS = 2000  # more gain little
SUFFIXES = (".png", ".jpg", ".jpeg", ".ppm")


class SignNet(nn.Module):
    """(B, 3, SIZE, SIZE) sRGB from 0 to 1 to class logits (B, C): four convolutions, and where in the picture."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside, stride in LAYERS:
            layers += [nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.classify = nn.Sequential(
            nn.AdaptiveAvgPool2d(GRID), nn.Flatten(), nn.Dropout(0.3), nn.Linear(GRID * GRID * LAYERS[-1][1], n_classes)
        )

    def forward(self, batch: Tensor) -> Tensor:
        return self.classify(self.features(batch * 4 - 2))


def class_folders(data: Path) -> list[Path]:
    """Return the folders of a data set that hold pictures, in order of their names."""
    folders = [path for path in sorted(data.iterdir()) if path.is_dir() and pictures_of(path)]
    if len(folders) < 2:
        raise SystemExit(f"{data}: expected one folder of pictures a class, found {len(folders)}")
    return folders


def pictures_of(folder: Path) -> list[Path]:
    """Return the pictures of a folder."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def split(data: Path, out: Path, *, held_out: float) -> tuple[int, int]:
    """Copy `data/CLASS/*` to `out/train/CLASS` and `out/val/CLASS`; return the number of pictures in each.

    A track goes where a hash of its name says, so a picture stays on its side when others come or go.
    """
    if out.exists():
        raise SystemExit(f"{out}: is there already; remove it, or name another folder")
    counts = {"train": 0, "val": 0}
    for folder in class_folders(data):
        for path in pictures_of(folder):
            track = f"{folder.name}/{path.stem.partition('_')[0]}"
            digest = hashlib.sha256(track.encode()).digest()
            side = "val" if int.from_bytes(digest[:8], "big") / 2**64 < held_out else "train"
            place = out / side / folder.name / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
            counts[side] += 1
    return counts["train"], counts["val"]


def read_classes(data: Path) -> tuple[list[np.ndarray], np.ndarray, tuple[str, ...]]:
    """Return pictures (H, W, 3) sRGB, labels (N,) and the names of the classes."""
    folders = class_folders(data)
    pictures, labels = [], []
    for label, folder in enumerate(folders):
        for path in pictures_of(folder):
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if picture is None:
                raise SystemExit(f"{path}: cannot be read")
            pictures.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            labels.append(label)
    return pictures, np.array(labels), tuple(folder.name for folder in folders)


def view(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (SIZE, SIZE, 3): turned by up to 10 degrees, moved, scaled, brighter or darker. Signs are not mirrored."""
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-10, 10), rng.uniform(0.9, 1.15))
    turn[:, 2] += rng.uniform(-0.06, 0.06, 2) * (width, height)
    turn = np.diag([SIZE / width, SIZE / height]) @ turn
    picture = cv2.warpAffine(picture, turn, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(picture * rng.uniform(0.6, 1.5), 0, 255).astype(np.uint8)


def train(
    pictures: list[np.ndarray], labels: np.ndarray, n_classes: int, *, seconds: float, steps: int = STEPS
) -> SignNet:
    """Train until time or steps run out; the learning rate falls with whichever is further."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = SignNet(n_classes).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    begin, step = time.monotonic(), 0
    while (share := max((time.monotonic() - begin) / seconds, step / steps)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, (step + 1) / 50) * (1 + np.cos(np.pi * share)) / 2
        rows = rng.integers(0, len(pictures), BATCH)
        batch = as_tensor([view(pictures[i], rng) for i in rows])
        loss = functional.cross_entropy(net(batch), torch.from_numpy(labels[rows]).long(), label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        if step % 100 == 0:
            print(f"{step} steps, {share:.0%} done, loss {loss.item():.3f}", flush=True)
    return net.eval()


def as_tensor(images: list[np.ndarray]) -> Tensor:
    """(H, W, 3) uint8 pictures of any sizes to (B, 3, SIZE, SIZE) from 0 to 1."""
    square = [cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR) for image in images]
    return torch.from_numpy(np.stack(square)).permute(0, 3, 1, 2).float() / 255


class SignClassifier:
    """What roadproof is given: the first four members are needed, the others bring Grad-CAM.

    The names of the classes are kept with the weights.
    """

    name = "sign classifier"
    task = "classification"

    def __init__(self, weights: str | Path | None = None) -> None:
        path = Path(weights or os.environ.get(WEIGHTS) or Path(__file__).with_name("signs.safetensors"))
        if not path.is_file():
            raise FileNotFoundError(f"{path}: train the weights first, and name them by the variable {WEIGHTS}")
        with safe_open(path, "pt") as stored:
            self.class_names = tuple(json.loads(stored.metadata()["class_names"]))
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  # a file, no dictionary
        self.module = SignNet(len(self.class_names))
        self.module.load_state_dict(tensors)
        self.module.eval()

    def predict(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Take (H, W, 3) uint8 pictures of any sizes; return logits (C,) of each."""
        with torch.inference_mode():
            return [{"logits": row.numpy()} for row in self.class_logits(self.tensors(images))]

    def tensors(self, images: list[np.ndarray]) -> Tensor:
        """Return the batch as it goes into `module`."""
        return as_tensor(images)

    def class_logits(self, batch: Tensor) -> Tensor:
        """Return (B, C), with gradient."""
        return self.module(batch)

    def explain_layers(self) -> list[str]:
        """Return the layers to explain, best first: what is classified."""
        return ["features"]


def save(net: SignNet, class_names: tuple[str, ...], path: Path) -> None:
    """Write the weights, and the names of the classes beside them."""
    save_file(net.state_dict(), path, metadata={"class_names": json.dumps(class_names)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=["split", "train"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the split, or file of the weights")
    parser.add_argument("--held-out", type=float, default=0.3, help="share of the tracks that is not trained on")
    parser.add_argument("--minutes", type=float, default=2.0)
    given = parser.parse_args()
    if given.job == "split":
        n_train, n_val = split(given.data, given.out, held_out=given.held_out)
        print(f"{given.out}: {n_train} pictures in train/, {n_val} in val/")
        return
    pictures, labels, class_names = read_classes(given.data / "train")
    save(train(pictures, labels, len(class_names), seconds=60 * given.minutes), class_names, given.out)
    print(given.out)


if __name__ == "__main__":
    main()
