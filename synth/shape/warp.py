"""Objects deformed: stretched, squeezed, leaning or bulging, standing where they stood.

With masks (or an instance map) the object is cut out, its place is filled from the background, and the deformed object
is laid down again behind whatever is nearer; all labels follow, what was uncovered says nothing, and the object's 3D
box is no longer known. An object whose mask lies in another's, or holds another's, is left alone. With boxes only, the
picture is bent smoothly in and around the box, and its box and those of its neighbours follow. Frames with a
segmentation only bend it likewise around areas of things; a classification image is bent as a whole. A frame without
any of these stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Boxes, Sample
from synth.canvas import Canvas, Window, grown
from synth.radiometry import to_linear
from synth.random import Rng
from synth.regions import Region, object_region, pick, regions, tight_box
from synth.registry import register
from synth.relabel import note
from synth.shape.deform import KINDS, pulled, pushed
from synth.shift import Change, Family, Need, SeverityTable
from synth.warp import Points, Warp, clip_boxes, forward_boxes, warp_frame

_MOST = 64


@dataclass(frozen=True)
class WarpParams:
    """amount: relative change of size, or of height for a lean; one kind for each target."""

    amount: float
    targets: tuple[int, ...]
    kinds: tuple[str, ...]
    signs: tuple[int, ...]


@register
@dataclass(frozen=True)
class WarpObjects:
    """Single objects stretched, squeezed, leaning or bulging.

    kind: "any" draws one for each object; min_side_px: smaller objects are left alone
    """

    name: ClassVar[str] = "shape/warp"
    family: ClassVar[Family] = "shape"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "change of size",
        "%",
        (8, 15, 25, 40, 60),
        "from the spread of bodies within a class (cars differ by about 8 % in height) to shapes outside of it",
    )
    params_type: ClassVar[type[WarpParams]] = WarpParams

    kind: Literal["any", "wider", "narrower", "taller", "flatter", "lean", "bulge"] = "any"
    min_side_px: int = 6

    def __post_init__(self) -> None:
        if self.kind not in ("any", *KINDS):
            raise ValueError(f"kind: expected any, {', '.join(KINDS)}, got {self.kind!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> WarpParams:
        everything = regions(sample)
        found = [r for r in everything if min(r.width, r.height) >= self.min_side_px and _apart(r, everything)][:_MOST]
        drawn = [(rng.choice(KINDS), rng.choice((-1, 1))) for _ in found]
        return WarpParams(
            amount=self.table.at(severity) / 100,
            targets=tuple(region.key for region in found),
            kinds=tuple(name if self.kind == "any" else self.kind for name, _ in drawn),
            signs=tuple(sign for _, sign in drawn),
        )

    def apply(self, sample: Sample, params: WarpParams) -> Sample:
        if not params.targets:
            return sample
        chosen = pick(sample, params.targets)
        plan = [
            (region, Deformation.of(region, kind, params.amount, sign))
            for region, kind, sign in zip(chosen, params.kinds, params.signs, strict=True)
        ]
        plan.sort(key=lambda part: _nearness(sample, part[0]))
        if all(region.exact and region.row >= 0 for region, _ in plan):
            return _cut_and_lay(sample, plan)
        for region, deformation in plan:
            there = region if region.row < 0 else object_region(sample, region.row)  # an earlier bend may have moved it
            if there is not None:
                again = Deformation.of(there, deformation.kind, deformation.amount, deformation.sign)
                sample = _bend(sample, there, again)
        return sample


@dataclass(frozen=True)
class Deformation:
    """One deformation in pixels of the frame."""

    kind: str
    amount: float
    centre: tuple[float, float]
    half: tuple[float, float]
    sign: int

    @classmethod
    def of(cls, region: Region, kind: str, amount: float, sign: int) -> Deformation:
        x1, y1, x2, y2 = region.window
        half = (0.5 * region.width, 0.5 * region.height)
        return cls(kind, amount, (0.5 * (x1 + x2), 0.5 * (y1 + y2)), half, sign)

    @property
    def aspect(self) -> float:
        return self.sign * self.half[1] / self.half[0]

    def back(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return where new pixels come from."""
        u, v = (x - self.centre[0]) / self.half[0], (y - self.centre[1]) / self.half[1]
        u, v = pulled(self.kind, self.amount, *np.broadcast_arrays(u, v), aspect=self.aspect)
        return (
            (u * self.half[0] + self.centre[0]).astype(np.float32),
            (v * self.half[1] + self.centre[1]).astype(np.float32),
        )

    def forward(self, points: Points) -> Points:
        """Return where old points (K, 2) go."""
        u, v = ((points - self.centre) / self.half).T
        u, v = pushed(self.kind, self.amount, u, v, aspect=self.aspect)
        moved: Points = np.stack([u, v], axis=1) * self.half + self.centre
        return moved


def _apart(region: Region, others: list[Region]) -> bool:
    """Tell whether an object can be cut out alone: its mask does not hold, or lie in, most of another's mask."""
    if not region.exact:
        return True
    for other in others:
        if other.key == region.key or not other.exact:
            continue
        x1, y1 = max(region.window[0], other.window[0]), max(region.window[1], other.window[1])
        x2, y2 = min(region.window[2], other.window[2]), min(region.window[3], other.window[3])
        if x2 <= x1 or y2 <= y1:
            continue
        mine, theirs = (
            r.mask[y1 - r.window[1] : y2 - r.window[1], x1 - r.window[0] : x2 - r.window[0]] for r in (region, other)
        )
        if np.count_nonzero(mine & theirs) > 0.5 * min(region.pixels, other.pixels):
            return False
    return True


def _nearness(sample: Sample, region: Region) -> float:
    """Return what sorts objects from far to near: inverse depth where known, else the row of the foot."""
    if sample.depth is not None:
        depth = sample.depth[region.slices][region.mask]
        depth = depth[np.isfinite(depth) & (depth > 0)]
        if len(depth):
            return 1.0 / float(np.median(depth))
    return float(region.window[3]) * 1e-6


def _cut_and_lay(sample: Sample, plan: list[tuple[Region, Deformation]]) -> Sample:
    """Take every object away and lay it down deformed, from far to near; the others stay where they are."""
    canvas = Canvas.of(sample)
    nearness = {region.row: _nearness(sample, region) for region in regions(sample)}
    for region, deformation in plan:
        _lay_deformed(canvas, region, deformation, nearness)
    old = sample.annotations
    boxes_3d = None if old.boxes_3d is None else old.boxes_3d.copy()
    amodal = None if old.boxes_amodal is None else old.boxes_amodal.copy()
    for region, deformation in plan:
        if boxes_3d is not None:
            boxes_3d[region.row] = np.nan
        if amodal is not None:
            amodal[region.row] = forward_boxes(amodal[region.row : region.row + 1], deformation.forward)[0]
    result = canvas.finished(boxes_3d=boxes_3d, boxes_amodal=amodal)
    return note(result, "edited", {region.key: _reason(deformation) for region, deformation in plan})


def _reason(deformation: Deformation) -> str:
    return f"deformed ({deformation.kind}, {deformation.amount:.0%})"


def _lay_deformed(canvas: Canvas, region: Region, deformation: Deformation, nearness: dict[int, float]) -> None:
    sample = canvas.sample
    source = grown(region.window, 2, (sample.height, sample.width))
    crop = np.s_[source[1] : source[3], source[0] : source[2]]
    mask = sample.annotations.masks[region.row][crop] if sample.annotations.masks is not None else None
    if mask is None:
        mask = region.full((sample.height, sample.width))[crop]
    box = forward_boxes(np.array([region.window], np.float32), deformation.forward)[0]
    outer: Window = (int(box[0]) - 2, int(box[1]) - 2, int(np.ceil(box[2])) + 2, int(np.ceil(box[3])) + 2)
    x, y = deformation.back(np.arange(outer[0], outer[2])[None, :] + 0.5, np.arange(outer[1], outer[3])[:, None] + 0.5)
    map_x, map_y = x - source[0] - 0.5, y - source[1] - 0.5
    soft = cv2.remap(mask.astype(np.float32), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    paint = cv2.remap(
        to_linear(_bled(sample.image[crop], mask)), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    canvas.take(region)
    inside = grown(outer, 0, (sample.height, sample.width))
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        canvas.totals[region.row] = float(np.count_nonzero(soft >= 0.5))
        return
    cut = np.s_[inside[1] - outer[1] : inside[3] - outer[1], inside[0] - outer[0] : inside[2] - outer[0]]
    alpha = soft[cut].copy()
    for row, value in nearness.items():
        if row != region.row and value > nearness[region.row]:
            alpha[canvas.masks[row][inside[1] : inside[3], inside[0] : inside[2]]] = 0.0
    columns = np.clip(np.floor(x[cut]), 0, sample.width - 1).astype(np.intp)
    rows = np.clip(np.floor(y[cut]), 0, sample.height - 1).astype(np.intp)
    segmentation = sample.annotations.segmentation
    canvas.lay(
        region.row,
        inside,
        paint[cut],
        alpha,
        total=float(np.count_nonzero(soft >= 0.5)),
        segmentation=None if segmentation is None else segmentation[rows, columns],
        depth=None if sample.depth is None else sample.depth[rows, columns],
    )


def _bled(crop: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a crop whose pixels outside the mask carry on the object's colours, so that soft edges show no halo."""
    core = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if np.count_nonzero(core) < 0.3 * np.count_nonzero(mask):
        core = mask
    weight = core.astype(np.float32)
    total = cv2.blur(weight, (5, 5))
    spread = cv2.blur(crop * weight[..., None], (5, 5)) / np.maximum(total, 1e-6)[..., None]
    use = ~core & (total > 0)
    out = crop.copy()
    out[use] = np.clip(spread[use] + 0.5, 0, 255).astype(np.uint8)
    return out


def _bend(sample: Sample, region: Region, deformation: Deformation) -> Sample:
    """Bend the picture in and around a box or an area; the displacement is whole inside and fades around it."""
    box = forward_boxes(np.array([region.window], np.float32), deformation.forward)[0]
    grows = np.abs(box - np.array(region.window, np.float32)).max()
    margin = max(4.0, 1.8 * float(grows))
    rows, columns = np.arange(sample.height)[:, None] + 0.5, np.arange(sample.width)[None, :] + 0.5
    outside = np.maximum(np.maximum(box[0] - columns, columns - box[2]), np.maximum(box[1] - rows, rows - box[3]))
    left = np.clip(1 - outside / margin, 0, 1)
    weight = (left * left * (3 - 2 * left)).astype(np.float32)
    x, y = deformation.back(columns, rows)
    warp = Warp(
        x=(columns + (x - columns) * weight).astype(np.float32),
        y=(rows + (y - rows) * weight).astype(np.float32),
        forward=lambda points: points,
    )
    old = sample.annotations
    result = warp_frame(replace(sample, annotations=replace(old, masks=None)), warp)
    window = (float(box[0] - margin), float(box[1] - margin), float(box[2] + margin), float(box[3] + margin))
    boxes = clip_boxes(_carried(old.boxes, warp, window), (sample.width, sample.height))
    amodal = None if old.boxes_amodal is None else _carried(old.boxes_amodal, warp, window)
    boxes_3d = None if old.boxes_3d is None else old.boxes_3d.copy()
    if boxes_3d is not None:
        boxes_3d[np.abs(boxes - old.boxes).max(axis=1) > 1.0] = np.nan
    if region.row >= 0:
        own = slice(region.row, region.row + 1)
        boxes[own] = clip_boxes(forward_boxes(old.boxes[own], deformation.forward), (sample.width, sample.height))
        if amodal is not None and old.boxes_amodal is not None:
            amodal[own] = forward_boxes(old.boxes_amodal[own], deformation.forward)
        if boxes_3d is not None:
            boxes_3d[own] = np.nan
    notes = replace(
        old, boxes=boxes, boxes_amodal=amodal, boxes_3d=boxes_3d, segmentation=result.annotations.segmentation
    )
    result = replace(result, annotations=notes, meta=sample.meta)
    return note(result, "edited", {region.key: _reason(deformation)} if region.row >= 0 else {})


def _carried(boxes: Boxes, warp: Warp, window: tuple[float, float, float, float]) -> Boxes:
    """Return boxes (N, 4) whose edges moved as far as the outline of the pixels that come from inside them.

    window: x1 y1 x2 y2 px, outside of which the picture stays; a box that shows nowhere any more gets zeros.
    """
    out = boxes.copy()
    height, width = warp.x.shape
    for row, box in enumerate(boxes):
        apart = (box[:2] >= window[2:]).any() or (box[2:] <= window[:2]).any()
        if apart or (box[2:] <= box[:2]).any():
            continue
        hull = np.concatenate([np.minimum(box[:2], window[:2]), np.maximum(box[2:], window[2:])])
        x1, y1 = np.maximum(np.floor(hull[:2]), 0).astype(int).tolist()
        x2, y2 = np.minimum(np.ceil(hull[2:]), (width, height)).astype(int).tolist()
        columns, rows = np.arange(x1, x2)[None, :] + 0.5, np.arange(y1, y2)[:, None] + 0.5
        before = _within(columns, rows, box)
        if not before.any():
            continue
        after = _within(warp.x[y1:y2, x1:x2], warp.y[y1:y2, x1:x2], box)
        moved = np.subtract(tight_box(after, x1, y1), tight_box(before, x1, y1))
        out[row] = box + moved.astype(np.float32) if after.any() else 0.0
    return out


def _within(x: NDArray[Any], y: NDArray[Any], box: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where points lie in a box, half-open."""
    inside: NDArray[np.bool_] = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
    return inside
