"""Training frames of the zoo: rendered once into a cache folder, then cropped, scaled and flipped for ever.

A frame file is an uncompressed npz of the fields of `Frame` and of the object crops of the frame, written under a
temporary name, so that rendering can be stopped and started, by any number of processes.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Dataset, Image, Sample

SMALLEST_PX, LEAST_VISIBLE = 8.0, 0.2  # what the detector is taught; the rest is an ignore region
CROP, CROP_HEIGHT_PX, CROP_VISIBLE = 64, 20, 0.6  # the defaults of scenes.town.write_crops
MOST_FRAMES = 100_000  # of a split
MOMENTS, APART = 3, 4  # frames of one drive that are taken, and how many lie between: they show other things
JUDGED_PX, JUDGED_VISIBLE = 16.0, 0.5
LEAST_LEFT = 0.4  # of a box after cropping, to still be an object
GREY = (114, 114, 114)  # where a view leaves the frame
IGNORE = 255  # in segmentation


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """image (H, W, 3) uint8; segmentation (H, W) uint8 and labels (N,) int64 in the class list of the data set;
    boxes (N, 4) float32 xyxy pixels; role (N,) int8: 1 = object to learn, -1 = ignore region;
    judged (N,) bool: counts in the figures of the zoo, 16 pixels high and half visible."""

    image: Image
    segmentation: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    role: NDArray[np.int8]
    judged: NDArray[np.bool_]

    @classmethod
    def of(cls, sample: Sample) -> Frame:
        """Take from a sample what training needs."""
        truth = sample.annotations
        visible = np.ones(len(truth)) if truth.visibility is None else truth.visibility
        height = truth.boxes[:, 3] - truth.boxes[:, 1]
        taught = (height >= SMALLEST_PX) & (visible >= LEAST_VISIBLE) & ~truth.ignore
        unknown = np.full(sample.image.shape[:2], IGNORE, np.uint8)
        return cls(
            image=sample.image,
            segmentation=unknown if truth.segmentation is None else truth.segmentation.astype(np.uint8),
            boxes=truth.boxes,
            labels=truth.labels,
            role=np.where(taught, 1, -1).astype(np.int8),
            judged=(height >= JUDGED_PX) & (visible >= JUDGED_VISIBLE) & ~truth.ignore,
        )


def paths_of(folder: Path, split: str, count: int, *, seed: int = 0) -> list[Path]:
    """Return where the frames of a split are, or will be, in the cache."""
    return [folder / f"{split}-{seed}" / f"{index:05d}.npz" for index in range(count)]


def render(folder: Path, split: str, count: int, *, seed: int = 0, workers: int = 1) -> list[Path]:
    """Render the town frames of a split that are not in the cache yet; return the files of all, in order."""
    paths = paths_of(folder, split, count, seed=seed)
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    if missing:
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        n = len(missing)
        with ProcessPoolExecutor(max_workers=workers) as pool:
            places = [paths[index] for index in missing]
            list(pool.map(_render_one, places, repeat(split, n), repeat(seed, n), missing, chunksize=MOMENTS))
    return paths


def read(path: Path) -> Frame:
    """Read a frame."""
    with np.load(path, allow_pickle=False) as stored:
        return Frame(**{field.name: stored[field.name] for field in fields(Frame)})


def read_crops(path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """Read the object crops (K, 64, 64, 3) of a frame and their kinds, as `scenes.town.write_crops` cuts them."""
    with np.load(path, allow_pickle=False) as stored:
        return stored["crops"], [str(kind) for kind in stored["kinds"]]


def augmented(frame: Frame, size: tuple[int, int], rng: np.random.Generator) -> Frame:
    """A random view of `size` (H, W): scaled by 0.6 to 1.4, moved, perhaps mirrored, colours a little different."""
    seen = viewed(frame, size, rng)
    return replace(seen, image=recoloured(seen.image, rng))


def viewed(frame: Frame, size: tuple[int, int], rng: np.random.Generator) -> Frame:
    """A random view of `size` (H, W) in the colours of the frame."""
    height, width = size
    scale = float(np.exp(rng.uniform(np.log(0.6), np.log(1.4))))
    room_x, room_y = width - frame.image.shape[1] * scale, height - frame.image.shape[0] * scale
    left, top = rng.uniform(min(room_x, 0), max(room_x, 0)), rng.uniform(min(room_y, 0), max(room_y, 0))
    flip = rng.random() < 0.5
    x_scale, x_shift = (-scale, width - left) if flip else (scale, left)
    matrix = np.array([[x_scale, 0, x_shift - 0.5 + x_scale / 2], [0, scale, top - 0.5 + scale / 2]])  # pixel centres
    image = cv2.warpAffine(
        frame.image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=GREY
    )
    pixels = cv2.warpAffine(
        frame.segmentation,
        matrix,
        (width, height),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=[IGNORE],
    )
    boxes = frame.boxes * scale + np.array([left, top, left, top], np.float32)
    if flip:
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    boxes = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    left_over = np.prod(sides, axis=1) / np.maximum(area, 1e-6)
    role = np.where((left_over >= LEAST_LEFT) & (sides[:, 1] >= SMALLEST_PX * 0.75), frame.role, -1).astype(np.int8)
    inside = (sides > 0).all(axis=1)
    return Frame(
        image=image,
        segmentation=pixels,
        boxes=boxes[inside],
        labels=frame.labels[inside],
        role=role[inside],
        judged=frame.judged[inside],
    )


def recoloured(image: Image, rng: np.random.Generator) -> Image:
    """Gain, gamma and white balance within what a clean daytime camera shows."""
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3)
    gamma = rng.uniform(0.85, 1.18)
    ramp = (np.arange(256) / 255.0)[:, None] ** gamma * gain
    table = np.clip(ramp * 255 + 0.5, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table.reshape(256, 1, 3))


def _render_one(path: Path, split: str, seed: int, index: int) -> None:
    """Render one frame in a worker, under a temporary name."""
    from scenes.town.crops import crop_boxes, cut

    dataset = _town(split, seed)
    drive, moment = divmod(index, MOMENTS)
    sample = dataset[dataset.sample_ids[(drive * MOMENTS + moment) * APART]]
    found = crop_boxes(sample, CROP_HEIGHT_PX, CROP_VISIBLE)
    crops = [cut(sample.image, box, CROP) for _, _, box in found]
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez(
        temporary,
        crops=np.stack(crops) if crops else np.zeros((0, CROP, CROP, 3), np.uint8),
        kinds=np.array([kind for _, kind, _ in found], dtype="U32"),
        **vars(Frame.of(sample)),
    )
    temporary.replace(path)


@lru_cache(maxsize=2)
def _town(split: str, seed: int) -> Dataset:
    from scenes.town import TownDataset

    town: Dataset = TownDataset(seed, MOST_FRAMES, split=split, frames_per_drive=MOMENTS * APART)
    return town
