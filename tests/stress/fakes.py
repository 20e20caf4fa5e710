"""A small data set and models of the three tasks, made of coloured boxes, for tests of the harness.

The "models" see colour: objects are bright rectangles, one hue a class, and a darkened or fogged picture hides them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from scenes.errors import InputError
from scenes.sample import Annotations, Sample
from synth.shift import SeverityTable

NAMES = ("car", "person", "sign")
COLOURS = np.array([[230, 40, 40], [40, 230, 40], [40, 40, 230]])
HEIGHT, WIDTH = 48, 64


class Boxes:
    """Pictures with up to four coloured boxes; a name that starts with "bad" cannot be read."""

    format = "fake"

    def __init__(self, n: int = 12, *, bad: tuple[int, ...] = (), frames_a_group: int = 1) -> None:
        self.name = "boxes"
        self.class_names = NAMES
        self.tasks = ("detection", "segmentation", "classification")
        self.sample_ids = tuple(f"{'bad' if i in bad else 'ok'}/{i:04}" for i in range(n))
        self.groups = (
            {} if frames_a_group == 1 else {s: f"drive{i // frames_a_group}" for i, s in enumerate(self.sample_ids)}
        )

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __iter__(self):
        return (self[sample_id] for sample_id in self.sample_ids)

    def __getitem__(self, sample_id: str) -> Sample:
        if sample_id.startswith("bad"):
            raise InputError(f"{sample_id}.png is truncated")
        rng = np.random.default_rng(int(sample_id[-4:]))
        image = np.full((HEIGHT, WIDTH, 3), 110, np.uint8) + rng.integers(0, 20, (HEIGHT, WIDTH, 1)).astype(np.uint8)
        segmentation = np.full((HEIGHT, WIDTH), 255, np.uint8)
        boxes, labels = [], []
        for column in range(int(rng.integers(1, 5))):
            w, h = rng.integers(6, 14), rng.integers(8, 30)
            x, y = column * 16 + int(rng.integers(0, 16 - w)), int(rng.integers(0, HEIGHT - h))
            label = int(rng.integers(0, 3))
            image[y : y + h, x : x + w] = COLOURS[label]
            segmentation[y : y + h, x : x + w] = label
            boxes.append([x, y, x + w, y + h])
            labels.append(label)
        annotations = Annotations(
            boxes=np.array(boxes, np.float32),
            labels=np.array(labels),
            segmentation=segmentation,
            label=int(np.bincount(segmentation[segmentation < 255]).argmax()),  # the colour there is most of
        )
        return Sample(sample_id=sample_id, image=image, annotations=annotations)


def hues(image: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) how much each class's colour stands out, 0 to 1."""
    picture = image.astype(np.float32)
    return np.clip((picture - picture.mean(axis=2, keepdims=True)) / 127.0, 0, 1)


class Detector:
    name, task, class_names = "fake detector", "detection", list(NAMES)

    def predict(self, images):
        return [self._one(image) for image in images]

    def _one(self, image):
        shares = hues(image)
        boxes, labels, scores = [], [], []
        for left in range(0, WIDTH, 16):
            for label in range(3):
                strip = shares[:, left : left + 16, label] > 0.25
                if strip.any():
                    ys, xs = np.nonzero(strip)
                    boxes.append([left + xs.min(), ys.min(), left + xs.max() + 1, ys.max() + 1])
                    labels.append(label)
                    scores.append(float(shares[:, left : left + 16, label].max()))
        return {"boxes": np.array(boxes, np.float32).reshape(-1, 4), "labels": np.array(labels, int), "scores": scores}


class Segmenter:
    name, task, class_names = "fake segmenter", "segmentation", list(NAMES)

    def predict(self, images):
        return [{"segmentation": hues(image).argmax(axis=2)} for image in images]


class Classifier:
    name, task, class_names = "fake classifier", "classification", list(NAMES)

    def predict(self, images):
        means = [hues(image).mean(axis=(0, 1)) for image in images]
        return [{"logits": m * 60} for m in means]


class Raising(Detector):
    def predict(self, images):
        raise RuntimeError("out of paint")


class Leaving(Detector):
    def predict(self, images):
        raise SystemExit("nothing to see")


def boxes() -> Boxes:
    return Boxes()


class Slow(Detector):
    def predict(self, images):
        time.sleep(0.05)
        return super().predict(images)


class Nonsense(Detector):
    def predict(self, images):
        return [{"boxes": np.zeros((2, 3)), "labels": [0, 0], "scores": [1, 1]} for _ in images]


@dataclass(frozen=True)
class NoParams:
    """Nothing is drawn."""


class _Plain:
    """A shift that changes nothing."""

    changes = "appearance"
    needs = frozenset()
    table = SeverityTable("nothing", "1", (1, 2, 3, 4, 5), "made up")
    params_type = NoParams

    def draw(self, sample, severity, rng):
        return NoParams()

    def apply(self, sample, params):
        return sample


@dataclass(frozen=True)
class NeedsScene(_Plain):
    name, family = "pose/needs_scene", "pose"
    needs = frozenset({"scene"})


@dataclass(frozen=True)
class FailsOften(_Plain):
    name, family = "sensor/fails_often", "sensor"

    def apply(self, sample, params):
        if int(sample.sample_id[-1]) % 2:
            raise InputError(f"{self.name} found no paint in {sample.sample_id}")
        return sample


@dataclass(frozen=True)
class FailsOnce(_Plain):
    name, family = "sensor/fails_once", "sensor"

    def apply(self, sample, params):
        if sample.sample_id.endswith("0004"):
            raise InputError(f"{self.name} found no paint in {sample.sample_id}")
        return sample


@dataclass(frozen=True)
class Mistaken(_Plain):
    name, family = "sensor/mistaken", "sensor"

    def apply(self, sample, params):
        if sample.sample_id.endswith("0004"):
            raise ValueError("operands could not be broadcast together")
        return sample


@dataclass(frozen=True)
class NeedsMasks(_Plain):
    name, family = "texture/needs_masks", "texture"
    needs = frozenset({"instances"})


class Masked(Boxes):
    """Boxes with an instance map, but for the samples of these numbers."""

    def __init__(self, n: int = 12, *, without: tuple[int, ...] = ()) -> None:
        super().__init__(n)
        self.without = without

    def __getitem__(self, sample_id: str) -> Sample:
        sample = super().__getitem__(sample_id)
        if int(sample_id[-4:]) in self.without:
            return sample
        return replace(sample, instances=np.zeros((HEIGHT, WIDTH), np.int32))
