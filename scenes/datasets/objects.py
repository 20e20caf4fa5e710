"""The objects of one picture while a reader collects them, and what becomes of them when the picture is upright."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.images import Orientation
from scenes.sample import Annotations

Box = tuple[float, float, float, float]  # xyxy pixels
MASK_FROM_BOX = "mask_from_box"  # attribute of an object that has a box but no mask in a data set with masks


@dataclass
class Objects:
    """Rows that become `Annotations`; boxes and masks in the pixels that the labels were made for."""

    boxes: list[Box] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    ignore: list[bool] = field(default_factory=list)
    attributes: list[Mapping[str, Any]] = field(default_factory=list)
    masks: list[NDArray[np.bool_] | None] = field(default_factory=list)  # (H, W)
    instance_ids: list[int | None] = field(default_factory=list)
    track_ids: list[int | None] = field(default_factory=list)
    visibility: list[float | None] = field(default_factory=list)
    boxes_amodal: list[Box | None] = field(default_factory=list)
    boxes_3d: list[list[float] | None] = field(default_factory=list)

    def add(
        self,
        box: Box,
        label: int,
        *,
        ignore: bool = False,
        attributes: Mapping[str, Any] | None = None,
        mask: NDArray[np.bool_] | None = None,
        instance_id: int | None = None,
        track_id: int | None = None,
        visibility: float | None = None,
        box_amodal: Box | None = None,
        box_3d: list[float] | None = None,
    ) -> None:
        """Add one object."""
        self.boxes.append(box)
        self.labels.append(label)
        self.ignore.append(ignore)
        self.attributes.append(attributes or {})
        self.masks.append(mask)
        self.instance_ids.append(instance_id)
        self.track_ids.append(track_id)
        self.visibility.append(visibility)
        self.boxes_amodal.append(box_amodal)
        self.boxes_3d.append(box_3d)

    def annotations(
        self, orientation: Orientation, *, stored: bool = False, with_masks: bool = False, **image_level: Any
    ) -> Annotations:
        """Return the annotations of the upright picture.

        stored:     boxes and masks were made for the stored picture and turn with it
        with_masks: the data set has masks: (N, H, W) even where N = 0; an object without one, or with one too small to
                    hold a pixel, gets the pixels of its box and the attribute `mask_from_box`
        """
        boxes = _rows(self.boxes, 4)
        amodal = None
        if any(box is not None for box in self.boxes_amodal):
            amodal = _rows([a or b for a, b in zip(self.boxes_amodal, self.boxes, strict=True)], 4)
        masks = self._masks(orientation, stored) if with_masks else None
        if stored:
            boxes = orientation.boxes(boxes)
            amodal = None if amodal is None else orientation.boxes(amodal)
        attributes = list(self.attributes)
        if masks is not None:
            for row in _without_pixels(masks):
                masks[row] = box_mask(boxes[row], masks.shape[1:])
                if masks[row].any():
                    attributes[row] = {**attributes[row], MASK_FROM_BOX: True}
        return Annotations(
            boxes=boxes,
            labels=np.array(self.labels, np.int64),
            instance_ids=self._instance_ids(),
            ignore=np.array(self.ignore, np.bool_),
            boxes_amodal=amodal,
            masks=masks,
            visibility=self._optional(self.visibility, 1.0, np.float32),
            boxes_3d=self._boxes_3d(),
            track_ids=self._optional(self.track_ids, -1, np.int64),
            attributes=tuple(attributes),
            **image_level,
        )

    def _masks(self, orientation: Orientation, stored: bool) -> NDArray[np.bool_]:
        width, height = orientation.size
        masks = np.zeros((len(self.masks), height, width), np.bool_)
        for row, mask in enumerate(self.masks):
            if mask is not None:
                masks[row] = orientation.array(mask) if stored else mask
        return masks

    def _instance_ids(self) -> NDArray[np.int32]:
        """Ids from the file where all objects have one, else 1 to N."""
        ids = [value for value in self.instance_ids if value is not None]
        return np.array(ids if len(ids) == len(self.labels) else range(1, len(self.labels) + 1), np.int32)

    def _boxes_3d(self) -> NDArray[np.float32] | None:
        if all(box is None for box in self.boxes_3d):
            return None
        return _rows([box if box is not None else [np.nan] * 10 for box in self.boxes_3d], 10)

    @staticmethod
    def _optional(values: list[Any], default: float, dtype: Any) -> NDArray[Any] | None:
        if all(value is None for value in values):
            return None
        return np.array([default if value is None else value for value in values], dtype)


def box_mask(box: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return (H, W) the pixels that a box xyxy touches; none where it is empty or out of the frame."""
    mask = np.zeros(shape, np.bool_)
    x1, y1, x2, y2 = box.tolist()
    if x2 > x1 and y2 > y1 and x2 > 0 and y2 > 0 and math.isfinite(x1 + y1 + x2 + y2):
        mask[max(0, math.floor(y1)) : math.ceil(y2), max(0, math.floor(x1)) : math.ceil(x2)] = True
    return mask


def has_own_mask(annotations: Annotations, row: int) -> bool:
    """Tell whether an object has a mask that says more than its box, so that a writer should write it."""
    if annotations.masks is None:
        return False
    mask = annotations.masks[row]
    made_up = bool(annotations.attributes[row].get(MASK_FROM_BOX))
    return not (made_up and np.array_equal(mask, box_mask(annotations.boxes[row], mask.shape)))


def _without_pixels(masks: NDArray[np.bool_]) -> list[int]:
    return [row for row, mask in enumerate(masks) if not mask.any()]


def _rows(values: list[Any], columns: int) -> NDArray[np.float32]:
    """(N, columns) float32; infinity, which a number too large becomes, is left for the data model to refuse."""
    with np.errstate(over="ignore"):
        return np.array(values, np.float64).reshape(-1, columns).astype(np.float32)
