"""Objects cut out of a frame, or rendered on their own, and pasted elsewhere with light, blur and labels that fit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Sample
from synth.blend import Alpha, harmonised, over
from synth.canvas import Window, grown
from synth.ground import ground_frame
from synth.radiometry import Linear, to_linear
from synth.regions import Mask, Region, class_index, ignore_value, object_region
from synth.relabel import add_object, covered

_LEAST_SIDE_PX = 3
_WHOLE = 0.95  # of an object that is seen, and of its outline: what is cut out by another's edge looks torn


@dataclass(frozen=True, eq=False)
class Cutout:
    """An object on its own.

    paint: (h, w, 3) linear light, carried on beyond the outline; alpha: (h, w)
    label: class index of the object that it becomes, None = no object; code: its class in a segmentation, if known
    """

    paint: Linear
    alpha: Alpha
    label: int | None = None
    code: int | None = None

    @property
    def height(self) -> int:
        return int(self.alpha.shape[0])

    @property
    def width(self) -> int:
        return int(self.alpha.shape[1])

    @property
    def mask(self) -> Mask:
        inside: Mask = self.alpha >= 0.5
        return inside

    def scaled(self, factor: float, *, flipped: bool = False) -> Cutout:
        """Return the cutout at another size, mirrored if wanted."""
        size = (max(1, round(self.width * factor)), max(1, round(self.height * factor)))
        way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        paint, alpha = (cv2.resize(a, size, interpolation=way) for a in (self.paint, self.alpha))
        if flipped:
            paint, alpha = paint[:, ::-1], alpha[:, ::-1]
        return replace(self, paint=np.ascontiguousarray(paint), alpha=np.ascontiguousarray(alpha))


def cut(sample: Sample, region: Region) -> Cutout:
    """Cut an object out; the edge is drawn in by half a pixel, and colours are carried on from within."""
    image = to_linear(sample.image[region.slices])
    padded = cv2.copyMakeBorder(region.mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    core = cv2.erode(padded, np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0
    if np.count_nonzero(core) < 0.25 * region.pixels:
        core = region.mask
    weight = core.astype(np.float32)
    total = cv2.blur(weight, (7, 7))
    spread = cv2.blur(image * weight[..., None], (7, 7)) / np.maximum(total, 1e-6)[..., None]
    paint = np.where((~core & (total > 0))[..., None], spread, image).astype(np.float32)
    soft = cv2.GaussianBlur(padded.astype(np.float32), (0, 0), 0.6)[1:-1, 1:-1]
    alpha = np.clip(soft * 1.3 - 0.15, 0, 1) * region.mask
    label = None if region.row < 0 else int(sample.annotations.labels[region.row])
    return Cutout(paint, alpha.astype(np.float32), label, _class_of(sample, region))


def labelled(sample: Sample, cutout: Cutout, words: tuple[str, ...]) -> Cutout:
    """Return a cutout with the class that a sample's data set calls by one of some words, where it knows any.

    Frames with a segmentation only get no objects: their truth has none.
    """
    index, notes = class_index(sample, *words), sample.annotations
    objects = len(notes) > 0 or notes.segmentation is None
    return replace(cutout, label=index if objects else None, code=index)


def whole(sample: Sample, region: Region, *, least_px: int = 16) -> bool:
    """Tell whether an object can be cut out: its mask is known, it is large enough, inside the frame and unhidden."""
    x1, y1, x2, y2 = region.window
    inside = x1 > 0 and x2 < sample.width and y2 < sample.height and y1 > 0
    large = region.height >= least_px and region.width >= max(_LEAST_SIDE_PX, least_px // 3)
    visibility = sample.annotations.visibility
    unhidden = visibility is None or region.row < 0 or float(visibility[region.row]) >= _WHOLE
    full = region.pixels >= 0.25 * region.width * region.height
    cut_out = region.exact and region.row >= 0 and inside and large and unhidden and full
    return cut_out and _hidden_outline(sample, region) <= 1 - _WHOLE


def _hidden_outline(sample: Sample, region: Region) -> float:
    """Return the share of an object's outline along which an object is that stands before it: there it may go on."""
    x1, y1, x2, y2 = grown(region.window, 2, (sample.height, sample.width))
    mask = np.zeros((y2 - y1, x2 - x1), np.uint8)
    left, top = region.window[0] - x1, region.window[1] - y1
    mask[top : top + region.height, left : left + region.width] = region.mask
    ring = (cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0) & (mask == 0)
    before = np.zeros_like(ring)
    for row, box in enumerate(sample.annotations.boxes):
        apart = box[0] >= x2 or box[2] <= x1 or box[1] >= y2 or box[3] <= y1
        if row == region.row or apart or box[3] < region.window[3]:
            continue
        if (other := object_region(sample, row)) is not None and other.exact:
            before |= other.full((sample.height, sample.width))[y1:y2, x1:x2]
    return float(np.count_nonzero(ring & before) / max(np.count_nonzero(ring), 1))


def horizon_row(sample: Sample) -> float:
    """Return the frame row of the horizon in the middle of the frame."""
    camera = sample.camera or Camera.assumed(sample.width, sample.height)
    up = camera.world_to_cam[:3, 2]
    if up[1] > -0.5:
        return float(camera.K[1, 2])
    return float(camera.K[1, 2] + camera.K[1, 1] * -up[2] / up[1])


@dataclass(frozen=True)
class Ground:
    """Level ground as a frame shows it: row of the horizon, metres of the camera above it, size of the frame."""

    horizon: float
    camera_m: float
    rows: int
    columns: int

    @classmethod
    def of(cls, sample: Sample) -> Ground:
        camera = sample.camera or Camera.assumed(sample.width, sample.height)
        return cls(horizon_row(sample), ground_frame(camera)[1], sample.height, sample.width)

    def px_per_m(self, foot: float) -> float:
        """Return how many pixels a metre takes that stands at a row."""
        return max(foot - self.horizon, 0.5) / self.camera_m

    def stands(self, foot: float) -> bool:
        """Tell whether a row is far enough below the horizon to say how far away something there stands."""
        return foot - self.horizon >= 0.02 * self.rows


def paste(
    sample: Sample,
    cutout: Cutout,
    left: int,
    top: int,
    *,
    depth_m: float | None = None,
    fit_light: float = 0.4,
    free: Mask | None = None,
    shadow: bool = False,
) -> Sample:
    """Paste a cutout with its upper left corner at a pixel; labels of all objects follow, it is one more (if labelled).

    fit_light: how far its colours move towards those around it; free: (H, W) pixels that it may cover, None = all;
    shadow: darken the ground at its foot
    """
    height, width = sample.image.shape[:2]
    outer: Window = (left, top, left + cutout.width, top + cutout.height)
    window = grown(outer, 0, (height, width))
    if window[2] <= window[0] or window[3] <= window[1]:
        return sample
    part = np.s_[window[1] - top : window[3] - top, window[0] - left : window[2] - left]
    alpha = cutout.alpha[part].copy()
    if free is not None:
        alpha[~free[window[1] : window[3], window[0] : window[2]]] = 0.0
    mask = np.zeros((height, width), np.bool_)
    mask[window[1] : window[3], window[0] : window[2]] = alpha >= 0.5
    if not mask.any():
        return sample
    image = sample.image.copy()
    if shadow:
        contact_shadow(image, outer, free)
    wide = grown(window, max(4, cutout.height // 6), (height, width))
    around = to_linear(sample.image[wide[1] : wide[3] : 2, wide[0] : wide[2] : 2]).reshape(-1, 3)
    paint = harmonised(cutout.paint[part], alpha >= 0.5, around, strength=fit_light)
    over(image, window, paint, alpha)
    hidden = covered(sample, image, mask, depth_m=depth_m)
    if cutout.label is None:
        return _with_class(hidden, mask, cutout.code)
    return _with_class(add_object(hidden, mask, cutout.label, depth_m=depth_m), mask, cutout.code)


def _with_class(result: Sample, mask: Mask, code: int | None) -> Sample:
    """Give the pasted pixels their segmentation class, where that is known."""
    segmentation = result.annotations.segmentation
    if segmentation is None or code is None:
        return result
    segmentation = segmentation.copy()
    segmentation[mask] = code
    return replace(result, annotations=replace(result.annotations, segmentation=segmentation))


def _class_of(sample: Sample, region: Region) -> int | None:
    """Return the segmentation class of most pixels of an object, None where it says nothing."""
    segmentation = sample.annotations.segmentation
    if segmentation is None or not region.exact:
        return None
    values = segmentation[region.slices][region.mask].astype(np.int64)
    values = values[values != ignore_value(sample.annotations)]
    return int(np.bincount(values).argmax()) if len(values) else None


def contact_shadow(image: NDArray[np.uint8], outer: Window, free: Mask | None) -> None:
    """Darken the ground under an object's foot: an ellipse as wide as the object, soft, strongest in its middle."""
    x1, _, x2, y2 = outer
    half_w, half_h = 0.55 * (x2 - x1), max(1.5, 0.10 * (x2 - x1))
    cx, cy = 0.5 * (x1 + x2), y2 - 0.4 * half_h
    window = grown(
        (int(cx - half_w), int(cy - half_h), int(cx + half_w) + 1, int(cy + half_h) + 1),
        1,
        (image.shape[0], image.shape[1]),
    )
    if window[2] <= window[0] or window[3] <= window[1]:
        return
    u = (np.arange(window[0], window[2]) + 0.5 - cx) / half_w
    v = (np.arange(window[1], window[3]) + 0.5 - cy) / half_h
    r2 = u[None, :] ** 2 + v[:, None] ** 2
    alpha = (0.65 * np.clip(1 - r2, 0, 1) ** 0.8).astype(np.float32)
    if free is not None:
        alpha[~free[window[1] : window[3], window[0] : window[2]]] = 0.0
    over(image, window, np.zeros((*alpha.shape, 3), np.float32), alpha)
