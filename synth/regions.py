"""Which pixels are an object: what shifts that act on objects start from.

Objects come from the annotations (masks, else the instance map, else an ellipse in the box). A frame without objects
but with a segmentation offers its connected areas of middle size, a classification image is one object as a whole,
and a frame without any truth offers none: a shift then leaves it as it is and has no targets in its params.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Annotations, Sample

Mask = NDArray[np.bool_]

# Classes of things that stand or move on a road, as data sets name them; areas of other classes are surroundings.
# fmt: off
THINGS = frozenset((
    "car", "truck", "bus", "van", "train", "tram", "trailer", "caravan", "motorcycle", "motorbike", "bicycle",
    "bicyclist", "cyclist", "rider", "person", "pedestrian", "animal", "dog", "horse", "tricycle", "sign",
    "traffic sign", "traffic light", "traffic_sign", "traffic_light", "stop sign", "fire hydrant", "signsymbol",
))
# fmt: on


@dataclass(frozen=True, eq=False)
class Region:
    """The pixels of one object inside a window of the frame.

    key:    instance id; negative for areas of a segmentation, 0 for a whole classification image
    row:    row in the annotations, -1 for what is no annotated object
    window: x1 y1 x2 y2 in whole pixels, half-open
    mask:   (y2 - y1, x2 - x1) bool
    exact:  False where the mask is only an ellipse in the box
    """

    key: int
    row: int
    window: tuple[int, int, int, int]
    mask: Mask
    exact: bool

    @property
    def slices(self) -> tuple[slice, slice]:
        x1, y1, x2, y2 = self.window
        return slice(y1, y2), slice(x1, x2)

    @property
    def width(self) -> int:
        return self.window[2] - self.window[0]

    @property
    def height(self) -> int:
        return self.window[3] - self.window[1]

    @property
    def pixels(self) -> int:
        return int(np.count_nonzero(self.mask))

    def full(self, shape: tuple[int, int]) -> Mask:
        """Return the mask in a frame of (H, W)."""
        frame = np.zeros(shape, np.bool_)
        frame[self.slices] = self.mask
        return frame


def regions(sample: Sample) -> list[Region]:
    """Return the objects of a frame that have at least one pixel."""
    annotations = sample.annotations
    if len(annotations):
        found = (object_region(sample, row) for row in range(len(annotations)) if not annotations.ignore[row])
        return [region for region in found if region is not None]
    if annotations.segmentation is not None:
        return _areas(sample)
    if annotations.label is not None:
        window = (0, 0, sample.width, sample.height)
        return [Region(0, -1, window, np.ones((sample.height, sample.width), np.bool_), exact=False)]
    return []


def object_region(sample: Sample, row: int) -> Region | None:
    """Return the visible pixels of one annotated object, None where it has none."""
    annotations = sample.annotations
    window = pixel_window(annotations.boxes[row], sample.height, sample.width)
    if window is None:
        return None
    x1, y1, x2, y2 = window
    key = int(annotations.instance_ids[row])
    if annotations.masks is not None:
        mask, exact = annotations.masks[row, y1:y2, x1:x2], True
    elif sample.instances is not None:
        mask, exact = sample.instances[y1:y2, x1:x2] == key, True
    else:
        mask, exact = ellipse(y2 - y1, x2 - x1), False
    return Region(key, row, window, mask, exact) if mask.any() else None


def pick(sample: Sample, keys: Sequence[int]) -> list[Region]:
    """Return the regions of drawn keys, in the order of the keys; a key that the frame lacks is an error."""
    known = {region.key: region for region in regions(sample)}
    missing = [key for key in keys if key not in known]
    if missing:
        raise InputError(f"params: objects {missing} are not in sample {sample.sample_id!r}; it has {sorted(known)}")
    return [known[key] for key in keys]


def pixel_window(box: NDArray[np.float32], height: int, width: int) -> tuple[int, int, int, int] | None:
    """Return the whole pixels that a box touches inside the frame, None where there are none."""
    x1, y1 = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    x2, y2 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 and box[2] > box[0] and box[3] > box[1] else None


def ellipse(height: int, width: int) -> Mask:
    """Return a (height, width) superellipse: most objects fill about nine tenths of their box."""
    y = (np.arange(height) + 0.5) / height * 2 - 1
    x = (np.arange(width) + 0.5) / width * 2 - 1
    inside: Mask = np.abs(y)[:, None] ** 4 + np.abs(x)[None, :] ** 4 <= 1.0
    return inside


def tight_box(mask: Mask, x0: int = 0, y0: int = 0) -> tuple[float, float, float, float]:
    """Return the half-open box around the True pixels of a mask whose corner stands at (x0, y0); zeros where none."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return (0.0, 0.0, 0.0, 0.0)
    return (float(columns[0] + x0), float(rows[0] + y0), float(columns[-1] + 1 + x0), float(rows[-1] + 1 + y0))


def class_names(sample: Sample) -> tuple[str, ...]:
    """Return the class names that came with a sample (`meta["class_names"]`), empty where none did."""
    return tuple(str(name).lower() for name in sample.meta.get("class_names", ()))


def class_index(sample: Sample, *names: str) -> int | None:
    """Return the index of the first of several class names that the sample's data set knows."""
    known = class_names(sample)
    return next((known.index(name) for name in names if name in known), None)


def ignore_value(annotations: Annotations) -> int:
    """Return the code that means `says nothing` in the segmentation of these annotations."""
    return 255 if annotations.segmentation is None or annotations.segmentation.dtype == np.uint8 else -1


def _areas(sample: Sample) -> list[Region]:
    """Connected areas of thing classes; where names are unknown, of every class that never fills much of the frame."""
    segmentation = sample.annotations.segmentation
    if segmentation is None:
        return []
    names, total = class_names(sample), segmentation.size
    found: list[Region] = []
    key = 0
    for index in np.unique(segmentation).tolist():
        if index == ignore_value(sample.annotations) or (names and (index >= len(names) or names[index] not in THINGS)):
            continue
        area = segmentation == index
        if not names and np.count_nonzero(area) > 0.15 * total:
            continue
        count, labels, stats, _ = cv2.connectedComponentsWithStats(area.astype(np.uint8), connectivity=8)
        for component in range(1, count):
            key -= 1
            x, y, w, h, pixels = (int(v) for v in stats[component])
            if pixels >= 0.0005 * total:
                mask = labels[y : y + h, x : x + w] == component
                found.append(Region(key, -1, (x, y, x + w, y + h), mask, exact=True))
    return found
