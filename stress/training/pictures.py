"""What a training sees: frames with labels in the classes of the model, random views of them, standard augmentation."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Dataset, Image, Sample, Task
from stress.class_map import ClassMap
from stress.zoo.frames import IGNORE, LEAST_VISIBLE, SMALLEST_PX, Frame, viewed

VIEWED = 0.7  # of each side of the frame that a view shows
MULTIPLE, LONGEST = 32, 512  # pixels: sides of a view
CACHED_BYTES = 400_000_000  # of decoded frames that a training keeps


class Frames:
    """Frames of a data set with labels as indices of the model's classes, kept in memory up to a limit.

    Objects of classes that the model does not know are left out; such pixels are ignored.
    """

    def __init__(self, dataset: Dataset, model_classes: Sequence[str], *, classes: Any = None) -> None:
        self.dataset = dataset
        mapped = ClassMap.between(model_classes, dataset.class_names, classes)
        of_evaluated = {int(e): i for i, e in reversed(list(enumerate(mapped.from_model))) if e >= 0}
        self.table = np.array([of_evaluated.get(int(e), -1) for e in mapped.from_dataset], np.int64)
        if len(model_classes) > IGNORE:
            raise InputError(f"retrain: at most {IGNORE} classes can be trained, the model has {len(model_classes)}")
        self._kept: OrderedDict[str, tuple[Frame, int | None]] = OrderedDict()
        self._bytes = 0

    def __call__(self, sample_id: str) -> tuple[Frame, int | None]:
        """Return a frame and the class of the whole picture, where it has one."""
        if sample_id in self._kept:
            self._kept.move_to_end(sample_id)
            return self._kept[sample_id]
        found = self._taught(self.dataset[sample_id])
        self._kept[sample_id] = found
        self._bytes += _size(found[0])
        while self._bytes > CACHED_BYTES and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1][0])
        return found

    def _taught(self, sample: Sample) -> tuple[Frame, int | None]:
        truth = sample.annotations
        labels = self.table[truth.labels]
        known = labels >= 0
        visible = np.ones(len(truth)) if truth.visibility is None else truth.visibility
        height = truth.boxes[:, 3] - truth.boxes[:, 1]
        taught = (height >= SMALLEST_PX) & (visible >= LEAST_VISIBLE) & ~truth.ignore
        frame = Frame(
            image=sample.image,
            segmentation=self._pixels(sample),
            boxes=truth.boxes[known],
            labels=labels[known],
            role=np.where(taught, 1, -1).astype(np.int8)[known],
            judged=taught[known],
        )
        whole = None if truth.label is None else int(self.table[truth.label])
        return frame, None if whole is None or whole < 0 else whole

    def _pixels(self, sample: Sample) -> NDArray[np.uint8]:
        pixels = sample.annotations.segmentation
        if pixels is None:
            return np.full(sample.image.shape[:2], IGNORE, np.uint8)
        full = np.full(2**16, IGNORE, np.uint8)
        full[: len(self.table)] = np.where(self.table >= 0, self.table, IGNORE)
        if pixels.dtype == np.uint8:
            full[255] = IGNORE
        taught: NDArray[np.uint8] = full[pixels.astype(np.int64) & 0xFFFF]
        return taught


def _size(frame: Frame) -> int:
    return frame.image.nbytes + frame.segmentation.nbytes


def view_size(image: Image) -> tuple[int, int]:
    """Return (H, W) of the views of frames of this size: whole multiples of 32.

    >>> view_size(np.zeros((360, 640, 3), np.uint8))
    (256, 448)
    """
    height, width = (min(LONGEST, max(MULTIPLE, round(VIEWED * s / MULTIPLE) * MULTIPLE)) for s in image.shape[:2])
    return height, width


def view(frame: Frame, size: tuple[int, int], rng: np.random.Generator, *, colours: bool) -> Frame:
    """Return a random crop, scaled and perhaps mirrored; with `colours`, standard augmentation of what it shows."""
    seen = viewed(frame, size, rng)
    return replace(seen, image=recoloured(seen.image, rng)) if colours else seen


def varied(image: Image, size: tuple[int, int], rng: np.random.Generator, *, colours: bool) -> Image:
    """Return a picture of `size` (H, W) for a classifier: a little larger or smaller, moved, perhaps mirrored."""
    height, width = size
    fit = np.array([width / image.shape[1], height / image.shape[0]])
    grown, moved = rng.uniform(0.85, 1.2), rng.uniform(-0.08, 0.08, 2) * [width, height]
    sx, sy = fit * grown * [-1 if rng.random() < 0.5 else 1, 1]
    centre_in, centre = np.array(image.shape[1::-1]) / 2 - 0.5, np.array([width, height]) / 2 - 0.5
    offset = centre - [sx, sy] * centre_in + moved
    matrix = np.array([[sx, 0, offset[0]], [0, sy, offset[1]]])
    made: Any = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return recoloured(made, rng) if colours else made


def recoloured(image: Image, rng: np.random.Generator) -> Image:
    """Return the picture with colour jitter and now and then a slight blur: what trainings commonly do."""
    pipeline = _standard()
    pipeline.set_random_seed(int(rng.integers(2**31)))
    made: Image = pipeline(image=image)["image"]
    return made


@cache
def _standard() -> Any:
    """Return the standard augmentation of colours (albumentations); crop, scale and mirror are in every view."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for newer versions otherwise
    import albumentations

    jitter = albumentations.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.05, p=0.8)
    return albumentations.Compose([jitter, albumentations.GaussianBlur(blur_limit=(3, 5), p=0.2)], seed=0)


def needs_labels(task: Task) -> str:
    """Return what a task learns from, in words."""
    return {"detection": "boxes", "segmentation": "a segmentation", "classification": "a label"}[task]
