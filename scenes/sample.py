"""The data model: what every folder of roadproof passes on.

Dimension letters: N objects, H image rows, W image columns, C classes. Boxes are xyxy in pixels, half-open, x right,
y down: a box around one pixel in column 3 spans x 3 to 4. Arrays are shared, never written to after construction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera

if TYPE_CHECKING:
    from scenes.edits import Edit

Image = NDArray[np.uint8]  # (H, W, 3) sRGB
Depth = NDArray[np.float32]  # (H, W) metres along the optical axis; inf = sky, NaN = unknown
Boxes = NDArray[np.float32]  # (N, 4) xyxy pixels
Task = Literal["classification", "detection", "segmentation"]

FILLED: Any = None  # default of fields that __post_init__ fills


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotations:
    """Ground truth of one image. Every object array has N rows, in one order.

    boxes:        (N, 4) float32, around what is visible; zero area where nothing is
    labels:       (N,) int64, index into the data set's class names
    instance_ids: (N,) int32, unique, positive, the values of `Sample.instances`; 1..N unless given
    ignore:       (N,) bool, neither missed nor, when found, a false positive; all False unless given
    boxes_amodal: (N, 4) float32, around the whole object, may leave the frame
    masks:        (N, H, W) bool, visible pixels
    segmentation: (H, W) class index: uint8 with 255 = ignore, or int16 with -1 = ignore
    label:        class index of the whole image, for classification
    visibility:   (N,) float32, visible part of the whole object, 0 to 1
    boxes_3d:     (N, 10) float32: centre x y z, length, width, height (metres, world), quaternion w x y z of object
                  (x forward, y left, z up) to world; NaN rows where unknown
    track_ids:    (N,) int64, the same object in other frames; -1 = none
    attributes:   N mappings of plain values, kept from and written to formats that have them
    """

    boxes: Boxes = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    instance_ids: NDArray[np.int32] = FILLED
    ignore: NDArray[np.bool_] = FILLED
    boxes_amodal: Boxes | None = None
    masks: NDArray[np.bool_] | None = None
    segmentation: NDArray[np.uint8] | NDArray[np.int16] | None = None
    label: int | None = None
    visibility: NDArray[np.float32] | None = None
    boxes_3d: NDArray[np.float32] | None = None
    track_ids: NDArray[np.int64] | None = None
    attributes: Sequence[Mapping[str, Any]] = FILLED

    def __post_init__(self) -> None:
        _set_array(self, "boxes", np.float32, (None, 4), "annotations")
        n = len(self.boxes)
        _fill(self, "instance_ids", np.arange(1, n + 1, dtype=np.int32))
        _fill(self, "ignore", np.zeros(n, np.bool_))
        _fill(self, "attributes", tuple({} for _ in range(n)))
        _set_array(self, "labels", np.int64, (n,), "annotations")
        _set_array(self, "instance_ids", np.int32, (n,), "annotations")
        _set_array(self, "ignore", np.bool_, (n,), "annotations")
        _set_array(self, "boxes_amodal", np.float32, (n, 4), "annotations")
        _set_array(self, "masks", np.bool_, (n, None, None), "annotations")
        _set_array(self, "visibility", np.float32, (n,), "annotations")
        _set_array(self, "boxes_3d", np.float32, (n, 10), "annotations")
        _set_array(self, "track_ids", np.int64, (n,), "annotations")
        _check_boxes(self.boxes, "annotations.boxes")
        if self.boxes_amodal is not None:
            _check_boxes(self.boxes_amodal, "annotations.boxes_amodal")
        if n and (self.labels < 0).any():
            raise ValueError(f"annotations.labels: expected class indices >= 0, got {int(self.labels.min())}")
        if len(np.unique(self.instance_ids)) != n or (self.instance_ids <= 0).any():
            raise ValueError(f"annotations.instance_ids: expected unique ids > 0, got {self.instance_ids.tolist()}")
        if len(self.attributes) != n:
            got = len(self.attributes)
            raise ValueError(f"annotations.attributes: expected {n} mappings to match boxes, got {got}")
        visibility = self.visibility
        if visibility is not None and not ((visibility >= 0) & (visibility <= 1)).all():
            raise ValueError(f"annotations.visibility: expected values in [0, 1], got {visibility.tolist()}")
        _check_segmentation(self.segmentation, "annotations.segmentation")
        if self.label is not None and self.label < 0:
            raise ValueError(f"annotations.label: expected a class index >= 0, got {self.label}")

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def segmentation_ignore(self) -> NDArray[np.bool_] | None:
        """(H, W) True where the segmentation says nothing."""
        if self.segmentation is None:
            return None
        ignored: NDArray[np.bool_] = self.segmentation == (255 if self.segmentation.dtype == np.uint8 else -1)
        return ignored


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a model says of one image; fields as in `Annotations`, those of other tasks stay None.

    boxes (N, 4), labels (N,), scores (N,) in [0, 1], masks (N, H, W); segmentation (H, W) class index;
    probabilities or logits: (C,) for classification, (C, H, W) for segmentation.
    """

    boxes: Boxes | None = None
    labels: NDArray[np.int64] | None = None
    scores: NDArray[np.float32] | None = None
    masks: NDArray[np.bool_] | None = None
    segmentation: NDArray[np.integer[Any]] | None = None
    logits: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.boxes is None:
            return
        _set_array(self, "boxes", np.float32, (None, 4), "predictions")
        n = len(self.boxes)
        for name, dtype in (("labels", np.int64), ("scores", np.float32)):
            if getattr(self, name) is None:
                raise ValueError(f"predictions.{name}: expected shape ({n},) to match boxes, got None")
            _set_array(self, name, dtype, (n,), "predictions")
        _set_array(self, "masks", np.bool_, (n, None, None), "predictions")
        if not np.isfinite(self.boxes).all():
            raise ValueError("predictions.boxes: expected finite numbers, got NaN or infinity")
        scores = self.scores
        if scores is not None and not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError(f"predictions.scores: expected values in [0, 1], got {scores.min()} to {scores.max()}")


@runtime_checkable
class Scene(Protocol):
    """A world that can be looked at again, from elsewhere and changed."""

    def render(self, camera: Camera, edits: Sequence[Edit] = ()) -> Sample:
        """Return the labelled frame that `camera` sees after `edits` (see scenes/edits.py), in their order."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One frame: picture, truth, and where known depth, camera and instances.

    sample_id: relative POSIX path without suffix, unique in its data set
    image:     (H, W, 3) uint8 sRGB
    depth:     (H, W) float32 metres along the optical axis; inf = sky, NaN = unknown
    instances: (H, W) int32, 0 = none, else an id of `annotations.instance_ids`
    scene:     where the frame can be re-rendered from; previous: the frame before it in time
    """

    sample_id: str
    image: Image
    annotations: Annotations = field(default_factory=Annotations)
    depth: Depth | None = None
    instances: NDArray[np.int32] | None = None
    camera: Camera | None = None
    timestamp_s: float | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    scene: Scene | None = None
    previous: Sample | None = None

    def __post_init__(self) -> None:
        owner = f"sample {self.sample_id!r}"
        image = self.image
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"{owner}: image: expected (H, W, 3) uint8, got {_describe(image)}")
        if 0 in image.shape:
            raise ValueError(f"{owner}: image: expected at least 1x1 pixel, got shape {image.shape}")
        size = image.shape[:2]
        _set_array(self, "depth", np.float32, size, owner)
        _set_array(self, "instances", np.int32, size, owner)
        if self.camera is not None and (self.camera.height, self.camera.width) != size:
            got = f"{self.camera.width}x{self.camera.height}"
            raise ValueError(f"{owner}: camera: expected the size of the image {size[1]}x{size[0]}, got {got}")
        masks, segmentation = self.annotations.masks, self.annotations.segmentation
        if masks is not None and masks.shape[1:] != size:
            raise ValueError(f"{owner}: annotations.masks: expected (N, {size[0]}, {size[1]}), got {masks.shape}")
        if segmentation is not None and segmentation.shape != size:
            raise ValueError(f"{owner}: annotations.segmentation: expected {size}, got {segmentation.shape}")

    @property
    def height(self) -> int:
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        return int(self.image.shape[1])


@runtime_checkable
class Dataset(Protocol):
    """Samples that are read when asked for, never held together in memory."""

    @property
    def name(self) -> str: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def tasks(self) -> tuple[Task, ...]:
        """What its annotations can score."""
        ...

    @property
    def sample_ids(self) -> tuple[str, ...]: ...
    @property
    def groups(self) -> Mapping[str, str]:
        """Sequence of each sample where known; samples without an entry are a group of their own."""
        ...

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Sample]: ...
    def __getitem__(self, sample_id: str) -> Sample: ...


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype}"
    return type(value).__name__


def _fill(owner: object, name: str, value: object) -> None:
    if getattr(owner, name) is None:
        object.__setattr__(owner, name, value)


def _set_array(owner: object, name: str, dtype: Any, wanted: tuple[int | None, ...], prefix: str) -> None:
    """Check one array field and convert it to its dtype without loss of meaning."""
    value = getattr(owner, name)
    if value is None:
        return
    array = np.asarray(value)
    fits = array.ndim == len(wanted) and all(w is None or w == g for w, g in zip(wanted, array.shape, strict=True))
    if not fits:
        shape = str(tuple("any" if w is None else w for w in wanted)).replace("'", "")
        raise ValueError(f"{prefix}.{name}: expected shape {shape}, got {array.shape}")
    if array.dtype != dtype:
        kind, target = array.dtype.kind, np.dtype(dtype).kind
        allowed = {"f": "fiu", "i": "iu", "b": "b"}[target]
        if kind not in allowed and array.size:
            raise ValueError(f"{prefix}.{name}: expected {np.dtype(dtype).name}, got {array.dtype}")
        array = array.astype(dtype)
    object.__setattr__(owner, name, array)


def _check_boxes(boxes: Boxes, name: str) -> None:
    if not np.isfinite(boxes).all():
        row = int(np.flatnonzero(~np.isfinite(boxes).all(axis=1))[0])
        raise ValueError(f"{name}: expected finite numbers, got {boxes[row].tolist()} in row {row}")
    inverted = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    if inverted.any():
        row = int(np.flatnonzero(inverted)[0])
        raise ValueError(f"{name}: expected x1 <= x2 and y1 <= y2, got {boxes[row].tolist()} in row {row}")


def _check_segmentation(segmentation: NDArray[Any] | None, name: str) -> None:
    if segmentation is not None and (segmentation.ndim != 2 or segmentation.dtype not in (np.uint8, np.int16)):
        raise ValueError(f"{name}: expected (H, W) uint8 or int16, got {_describe(segmentation)}")
