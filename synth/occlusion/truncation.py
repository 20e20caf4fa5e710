"""Truncation: the picture is framed so that its edge cuts an object to a wanted visible fraction.

A part of the frame, of the frame's proportions, becomes the new picture, as a longer lens that looks aside would show
it; one edge of it runs through the object. All labels move along, and so does K. Where the sample has a scene the new
view is rendered, else enlarged. A frame in which no object can be cut without enlarging it too much stays as it is, and
so do classification images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Sample
from synth.random import Rng
from synth.regions import Region, pick, regions
from synth.registry import register
from synth.relabel import note
from synth.rerender import render_again
from synth.shift import Change, Family, Need, SeverityTable
from synth.warp import Points, Warp, forward_boxes, warp_frame

SIDES = ("left", "right", "top", "bottom")
_MOST_ENLARGED = 2.5
_MARGIN = 0.02  # of the new picture left free on the sides that do not cut
_HEAVIEST = 0.15  # the smallest fraction of the table: what can be cut must be so at every severity


@dataclass(frozen=True)
class TruncationParams:
    """target: key of the object, none = nothing is done; side: edge that cuts it.

    left, top, size: of the new picture, shares of the old one's width, height and width; renderer: exact or crop
    """

    visible_fraction: float
    target: int | None
    side: str
    left: float
    top: float
    size: float
    renderer: str


@register
@dataclass(frozen=True)
class Truncation:
    """The picture's edge cuts an object to a wanted visible fraction; everything else is framed anew with it.

    side:        "any" draws one of those that can cut an object
    min_side_px: smaller objects are left alone
    renderer:    auto = exact where the sample has a scene, else crop
    """

    name: ClassVar[str] = "occlusion/truncation"
    family: ClassVar[Family] = "occlusion"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "geometry"
    table: ClassVar[SeverityTable] = SeverityTable(
        "visible fraction",
        "1",
        (0.9, 0.7, 0.5, 0.3, 0.15),
        "Geiger et al. (2012), KITTI: easy, moderate and hard objects are truncated by up to 15, 30 and 50 %",
    )
    params_type: ClassVar[type[TruncationParams]] = TruncationParams

    side: Literal["any", "left", "right", "top", "bottom"] = "any"
    min_side_px: int = 8
    renderer: Literal["auto", "exact", "crop"] = "auto"

    def __post_init__(self) -> None:
        if self.side not in ("any", *SIDES):
            raise ValueError(f"side: expected any, {', '.join(SIDES)}, got {self.side!r}")
        if self.renderer not in ("auto", "exact", "crop"):
            raise ValueError(f"renderer: expected auto, exact or crop, got {self.renderer!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> TruncationParams:
        taste, visible = rng.uniform(), self.table.at(severity)
        exact = self.renderer == "exact" or (self.renderer == "auto" and _can_render(sample))
        renderer = "exact" if exact else "crop"
        choices = []
        for region in regions(sample):
            if region.key == 0 or min(region.width, region.height) < self.min_side_px:
                continue
            for side in SIDES if self.side == "any" else (self.side,):
                heaviest = _framed(sample, region, side, _HEAVIEST)
                if heaviest is not None:
                    choices.append((heaviest[2], region, side))
        if not choices:
            return TruncationParams(visible, None, "", 0.0, 0.0, 1.0, renderer)
        choices.sort(key=lambda choice: -choice[0])  # the least enlarged first: taste leans to them
        _, region, side = choices[int(taste**2 * len(choices))]
        framed = _framed(sample, region, side, visible)
        left, top, size = framed or (0.0, 0.0, 1.0)  # a lighter cut enlarges less: it fits where the heaviest does
        return TruncationParams(visible, region.key, side, left, top, size, renderer)

    def apply(self, sample: Sample, params: TruncationParams) -> Sample:
        if params.target is None:
            return sample
        pick(sample, (params.target,))
        corner = np.array([params.left * sample.width, params.top * sample.height])
        factor = 1.0 / params.size

        def forward(points: Points) -> Points:
            return (points - corner) * factor

        camera = None if sample.camera is None else _closer(sample.camera, corner, factor)
        if params.renderer == "exact":
            result = render_again(sample, camera=camera, who=self.name)
        else:
            x = corner[0] + (np.arange(sample.width, dtype=np.float32) + 0.5) / np.float32(factor)
            y = corner[1] + (np.arange(sample.height, dtype=np.float32) + 0.5) / np.float32(factor)
            grid = [np.ascontiguousarray(a, np.float32) for a in np.meshgrid(x, y)]
            result = warp_frame(sample, Warp(x=grid[0], y=grid[1], forward=forward), camera=camera)
        return note(result, "hidden_by", _cut_reasons(sample, result, forward))


def _can_render(sample: Sample) -> bool:
    return sample.scene is not None and sample.camera is not None


def _closer(camera: Camera, corner: NDArray[np.float64], factor: float) -> Camera:
    """Return the camera whose picture is a part of the old one, enlarged."""
    K = camera.K.copy()
    K[:2, 2] -= corner
    K[:2] *= factor
    return replace(camera, K=K)


def _framed(sample: Sample, region: Region, side: str, visible: float) -> tuple[float, float, float] | None:
    """Return left, top and size (shares) of the part whose edge leaves the fraction; None where it cannot be.

    The part is as large as it can be, and holds the whole object but for what the edge cuts.
    """
    across, along = (sample.width, sample.height) if side in ("left", "right") else (sample.height, sample.width)
    counts = region.mask.sum(axis=0 if side in ("left", "right") else 1).astype(np.float64)
    first = _span(region, side)[0]
    other_first, other_last = _span(region, "top" if side in ("left", "right") else "left")
    cut = _cut_at(counts, visible, from_start=side in ("left", "top"))
    start, end = (first + cut, float(across)) if side in ("left", "top") else (0.0, first + cut)
    size = (end - start) / across
    reach = size * along
    low = max(0.0, other_last - (1 - _MARGIN) * reach)
    high = min(along - reach, other_first - _MARGIN * reach)
    if not 1 / _MOST_ENLARGED <= size < 1:
        return None
    if low > high:  # not with a margin; an object at the frame's own edge has none
        low, high = max(0.0, other_last - reach), min(along - reach, float(other_first))
        if low > high:
            return None
    beside = float(np.clip(0.5 * (along - reach), low, high))
    left, top = (start, beside) if side in ("left", "right") else (beside, start)
    return left / sample.width, top / sample.height, size


def _span(region: Region, side: str) -> tuple[int, int]:
    """Return first and last (half-open) column for left and right, row for top and bottom."""
    x1, y1, x2, y2 = region.window
    return (x1, x2) if side in ("left", "right") else (y1, y2)


def _cut_at(counts: NDArray[np.float64], visible: float, *, from_start: bool) -> float:
    """Return after how many columns (or rows) of pixel counts an edge leaves the fraction on the kept side."""
    total = np.concatenate([[0.0], np.cumsum(counts)])
    wanted = (1 - visible if from_start else visible) * total[-1]
    return float(np.interp(wanted, total, np.arange(len(total))))


def _cut_reasons(before: Sample, after: Sample, forward: Callable[[Points], Points]) -> dict[int, str]:
    """Return the reason for each object that the new picture's edge cuts."""
    notes = before.annotations
    moved = forward_boxes(notes.boxes, forward)
    limits = np.array([after.width, after.height, after.width, after.height], np.float32)
    cut = ((moved < -0.5) | (moved > limits + 0.5)).any(axis=1)
    seen = (after.annotations.boxes[: len(notes), 2:] > after.annotations.boxes[: len(notes), :2]).all(axis=1)
    rows = np.flatnonzero(cut & seen)
    return {int(notes.instance_ids[row]): "the picture's edge cuts it" for row in rows}
