"""Objects deformed one by one, standing where they stood: what the shifts of single objects' shape have in common.

With masks (or an instance map) the object is cut out, its place is filled from the background, and the deformed object
is laid down again behind whatever is nearer; all labels follow, what was uncovered says nothing, and the object's 3D
box is no longer known. An object whose mask lies in another's, or holds another's, is left alone. With boxes only, the
picture is bent smoothly in and around the box (see synth/shape/bend.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Sample
from synth.canvas import Canvas, Window, grown
from synth.noise import Field
from synth.radiometry import to_linear
from synth.random import Rng
from synth.regions import Region, object_region, pick, regions
from synth.relabel import note
from synth.shape.creases import Creases, crumpled
from synth.shape.deform import pulled, pushed
from synth.warp import Points, forward_boxes, forward_windows

_MOST = 64  # objects for which something is drawn; frames with more leave the rest alone


@dataclass(frozen=True)
class DeformParams:
    """amount: as `synth.shape.deform` says, for creases the depth of the crush; one kind for each target.

    renderer: picture, or that of the scene
    """

    amount: float
    targets: tuple[int, ...]
    kinds: tuple[str, ...]
    signs: tuple[int, ...]
    seeds: tuple[int, ...] = ()
    renderer: str = "picture"


@dataclass(frozen=True)
class Deformation:
    """One deformation in pixels of the frame."""

    kind: str
    amount: float
    centre: tuple[float, float]
    half: tuple[float, float]
    sign: int
    seed: int = 0

    @classmethod
    def of(cls, region: Region, kind: str, amount: float, sign: int, seed: int = 0) -> Deformation:
        x1, y1, x2, y2 = region.window
        half = (0.5 * region.width, 0.5 * region.height)
        return cls(kind, amount, (0.5 * (x1 + x2), 0.5 * (y1 + y2)), half, sign, seed)

    @property
    def aspect(self) -> float:
        return self.sign * self.half[1] / self.half[0]

    @cached_property
    def creases(self) -> Creases:
        return crumpled(self.centre, self.half, self.amount, self.seed)

    def maps(self, window: Window) -> tuple[Field, Field, Field | None]:
        """Return (h, w) where the pixels of a window come from, x and y, and what their light is multiplied by."""
        if self.kind == "crumple":
            return self.creases.maps(window)
        x = np.arange(window[0], window[2])[None, :] + 0.5
        y = np.arange(window[1], window[3])[:, None] + 0.5
        u, v = (x - self.centre[0]) / self.half[0], (y - self.centre[1]) / self.half[1]
        u, v = pulled(self.kind, self.amount, *np.broadcast_arrays(u, v), aspect=self.aspect)
        from_x = (u * self.half[0] + self.centre[0]).astype(np.float32)
        return from_x, (v * self.half[1] + self.centre[1]).astype(np.float32), None

    def forward(self, points: Points) -> Points:
        """Return where old points (K, 2) go."""
        if self.kind == "crumple":
            return self.creases.forward(points)
        u, v = ((points - self.centre) / self.half).T
        u, v = pushed(self.kind, self.amount, u, v, aspect=self.aspect)
        moved: Points = np.stack([u, v], axis=1) * self.half + self.centre
        return moved

    def moved(self, box: Sequence[float]) -> NDArray[np.float32]:
        """Return the (4,) box around where the edges of a box go."""
        return forward_windows(np.array([box], np.float32), self.forward)[0]


Plan = list[tuple[Region, Deformation]]  # from far to near


def draw_deformations(
    sample: Sample, amount: float, kinds: Sequence[str], rng: Rng, *, min_side_px: int, only: str = "any"
) -> DeformParams:
    """Return params for every object that is large enough; `only`: a kind that is taken instead of the drawn one."""
    everything = regions(sample)
    found = [r for r in everything if min(r.width, r.height) >= min_side_px and _apart(r, everything)][:_MOST]
    drawn = [(rng.choice(kinds), rng.choice((-1, 1))) for _ in found]
    seeds = tuple(rng.seed() for _ in found) if "crumple" in kinds else ()
    return DeformParams(
        amount=amount,
        targets=tuple(region.key for region in found),
        kinds=tuple(name if only == "any" else only for name, _ in drawn),
        signs=tuple(sign for _, sign in drawn),
        seeds=seeds,
    )


def deform_objects(sample: Sample, params: DeformParams) -> Sample:
    """Return the sample with the drawn objects deformed."""
    from synth.shape.bend import bend

    if not params.targets:
        return sample
    seeds = params.seeds or (0,) * len(params.targets)
    plan: Plan = [
        (region, Deformation.of(region, kind, params.amount, sign, seed))
        for region, kind, sign, seed in zip(
            pick(sample, params.targets), params.kinds, params.signs, seeds, strict=True
        )
    ]
    plan.sort(key=lambda part: _nearness(sample, part[0]))
    cut = all(region.exact and region.row >= 0 for region, _ in plan)
    result = _cut_and_lay(sample, plan) if cut else bend(sample, plan)
    reasons = {r.key: f"deformed ({d.kind}, {d.amount:.0%})" for r, d in plan if r.row >= 0}
    return note(result, "edited", reasons)


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


def _cut_and_lay(sample: Sample, plan: Plan) -> Sample:
    """Take every object away and lay it down deformed, from far to near; the others stay where they are."""
    canvas = Canvas.of(sample)
    known = (object_region(sample, row) for row in range(len(sample.annotations)))  # ignored crowds hide too
    nearness = {region.row: _nearness(sample, region) for region in known if region is not None}
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
    return canvas.finished(boxes_3d=boxes_3d, boxes_amodal=amodal)


def _lay_deformed(canvas: Canvas, region: Region, deformation: Deformation, nearness: dict[int, float]) -> None:
    sample = canvas.sample
    size = (sample.height, sample.width)
    source = grown(region.window, 2, size)
    crop = np.s_[source[1] : source[3], source[0] : source[2]]
    if sample.annotations.masks is not None:
        mask = sample.annotations.masks[region.row][crop]
    elif sample.instances is not None:
        mask = sample.instances[crop] == region.key
    else:
        mask = region.full(size)[crop]
    box = deformation.moved(region.window)
    outer: Window = (int(box[0]) - 2, int(box[1]) - 2, int(np.ceil(box[2])) + 2, int(np.ceil(box[3])) + 2)
    x, y, shade = deformation.maps(outer)
    map_x, map_y = x - source[0] - 0.5, y - source[1] - 0.5
    soft = cv2.remap(mask.astype(np.float32), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    paint = cv2.remap(
        to_linear(_bled(sample.image[crop], mask)), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if shade is not None:
        paint *= cv2.GaussianBlur(shade, (3, 3), 0.7)[..., None]
    inside = grown(outer, 0, size)
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        canvas.take(region)
        canvas.totals[region.row] = float(np.count_nonzero(soft >= 0.5))
        return
    cut = np.s_[inside[1] - outer[1] : inside[3] - outer[1], inside[0] - outer[0] : inside[2] - outer[0]]
    alpha = soft[cut].copy()
    for row, value in nearness.items():
        if row != region.row and value > nearness[region.row]:
            alpha[canvas.masks[row][inside[1] : inside[3], inside[0] : inside[2]]] = 0.0
    canvas.take(region, covered=(inside, alpha > 0.999))
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
