"""Where the zoo's training and test data come from: which seeds of the town, which classes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from stress.adapters.checked import checked
from stress.zoo.evaluate import classifier_figures, detector_figures, segmenter_figures
from stress.zoo.frames import IGNORE, Frame, paths_of, read, read_crops, render
from stress.zoo.models import MODELS
from stress.zoo.recipes import ClassifierRecipe, DetectorRecipe, Recipe, SegmenterRecipe
from stress.zoo.weights import Weights

DETECTED = ("car", "truck", "bus", "person", "rider", "bicycle", "traffic light", "traffic sign")
ENOUGH = 60  # frames to start training on, while the rest are rendered
LEAST_SHARE = 3e-5  # of all pixels, for a class to be segmented


TRAINING, UNSEEN = "train", "test"  # splits of the town; they share no street


def recipe_for(name: str, cache: Path, *, frames: int) -> Recipe:
    """Return what the network is taught from a cache in which at least the first `ENOUGH` frames are."""
    paths = paths_of(cache, TRAINING, frames)
    if name == "classifier":
        crops, labels, kinds = crops_of(paths)
        return ClassifierRecipe(crops, labels, kinds)
    from scenes.town.classes import CLASS_NAMES

    files = _Files(paths)
    if name == "detector":
        return DetectorRecipe(files, len(paths), class_names=CLASS_NAMES, classes=DETECTED)
    return SegmenterRecipe(files, len(paths), class_names=CLASS_NAMES, classes=segmented(files, CLASS_NAMES))


@contextmanager
def frames_coming(cache: Path, frames: int, *, workers: int, needed: int) -> Iterator[None]:
    """Render in the background, or with no workers leave that to another process; wait for the first `needed`."""
    paths = paths_of(cache, TRAINING, frames)
    with ThreadPoolExecutor(max_workers=1) as pool:
        rendering = pool.submit(render, cache, TRAINING, frames, workers=workers) if workers else None
        while not all(path.exists() for path in paths[:needed]):
            if rendering is not None and rendering.done():
                rendering.result()
            time.sleep(1.0)
        yield
        if rendering is not None:
            rendering.result()


def figures_of(weights: Weights, cache: Path, *, frames: int, workers: int) -> dict[str, Any]:
    """Judge a network on town seeds that no training has seen."""
    model = checked(MODELS[weights.name](weights))
    if weights.name == "classifier":
        crops, labels, kinds = crops_of(render(cache, UNSEEN, frames, workers=workers))
        if kinds != weights.classes:
            raise InputError(
                f"classifier: trained on {', '.join(weights.classes)}, the town now has {', '.join(kinds)}"
            )
        return classifier_figures(model, list(crops), labels)
    from scenes.town.classes import CLASS_NAMES

    paths = render(cache, UNSEEN, frames, workers=workers)
    judge = detector_figures if weights.name == "detector" else segmenter_figures
    return judge(model, map(read, paths), CLASS_NAMES)


def segmented(frames: Callable[[int], Frame], class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the classes that the first `ENOUGH` frames hold, in their order."""
    counts = np.zeros(256, np.int64)
    for index in range(ENOUGH):
        counts += np.bincount(frames(index).segmentation.ravel(), minlength=256)
    share = counts[: len(class_names)] / counts[:IGNORE].sum()
    return tuple(name for name, part in zip(class_names, share, strict=True) if part >= LEAST_SHARE)


def crops_of(paths: Sequence[Path]) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Return crops (N, 64, 64, 3), labels (N,) and kinds of all objects in frame files."""
    cut = [read_crops(path) for path in paths]
    kinds = [kind for _, of_frame in cut for kind in of_frame]
    names = tuple(sorted(set(kinds)))
    labels = np.array([names.index(kind) for kind in kinds], np.int64)
    return np.concatenate([crops for crops, _ in cut]), labels, names


class _Files:
    """Frames from files; while some are still being rendered, those that are there stand in."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths, self.ready = paths, 0

    def __call__(self, index: int) -> Frame:
        while self.ready < len(self.paths) and self.paths[self.ready].exists():
            self.ready += 1
        return read(self.paths[index % max(self.ready, 1)])
