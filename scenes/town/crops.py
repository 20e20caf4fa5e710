"""Pictures of single objects, as an ImageFolder: what a classifier of road users is trained on."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Annotations, Dataset, Sample
from scenes.town.classes import CLASS_NAMES

CROP_CLASSES = ("bus", "car", "cyclist", "person", "traffic light", "traffic sign", "truck", "van")
CONTEXT = 0.12  # of the longer side, added on each side


def write_crops(
    dataset: Dataset, out_dir: str | Path, size: int = 64, min_height_px: int = 20, *, min_visibility: float = 0.6
) -> dict[str, int]:
    """Write `out_dir/CLASS/NAME.png` for every object that is large and visible enough; return counts by class.

    A crop is square, `size` pixels, centred on the object with a little context; a rider and the bicycle are one crop.
    """
    counts = dict.fromkeys(CROP_CLASSES, 0)
    for sample in dataset:
        for row, name, box in crop_boxes(sample, min_height_px, min_visibility):
            folder = Path(out_dir) / name
            folder.mkdir(parents=True, exist_ok=True)
            number = int(sample.annotations.instance_ids[row])
            target = folder / f"{sample.sample_id.replace('/', '_')}_{number:03d}.png"
            partial = target.with_suffix(".partial.png")
            cv2.imwrite(str(partial), cut(sample.image, box, size)[..., ::-1])
            os.replace(partial, target)
            counts[name] += 1
    return counts


def crop_boxes(sample: Sample, min_height_px: int, min_visibility: float) -> list[tuple[int, str, NDArray[np.float64]]]:
    """Return row, crop class and box (4,) xyxy of each object to be cut out."""
    truth = sample.annotations
    found = []
    for row in range(len(truth)):
        name = _crop_class(truth, row)
        box = truth.boxes[row].astype(np.float64)
        seen = 1.0 if truth.visibility is None else float(truth.visibility[row])
        if name == "cyclist":
            for other in _partners(truth, row):
                low, high = np.minimum(box[:2], truth.boxes[other, :2]), np.maximum(box[2:], truth.boxes[other, 2:])
                box = np.concatenate([low, high])
        if name is None or box[3] - box[1] < min_height_px or seen < min_visibility or box[2] - box[0] < 5:
            continue
        found.append((row, name, box))
    return found


def _crop_class(truth: Annotations, row: int) -> str | None:
    name = CLASS_NAMES[int(truth.labels[row])]
    if truth.attributes[row].get("kind") == "van":
        return "van"
    name = {"rider": "cyclist"}.get(name, name)
    return name if name in CROP_CLASSES else None


def _partners(truth: Annotations, row: int) -> list[int]:
    actor = truth.attributes[row]["actor"]
    return [k for k in range(len(truth)) if k != row and truth.attributes[k].get("actor") == actor]


def cut(image: NDArray[np.uint8], box: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Return a square crop (size, size, 3) around a box; beyond the frame the border is repeated."""
    centre = (box[:2] + box[2:]) / 2
    side = max(box[2] - box[0], box[3] - box[1]) * (1 + 2 * CONTEXT)
    scale = size / side
    matrix = np.array([[scale, 0, size / 2 - scale * centre[0]], [0, scale, size / 2 - scale * centre[1]]])
    if scale < 1:
        blurred = cv2.GaussianBlur(image, (0, 0), 0.45 / scale)
        return cv2.warpAffine(blurred, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
