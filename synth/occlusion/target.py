"""A pole, foliage, a board or dirt hides objects until a wanted fraction of each is left visible.

The occluder grows from a seeded start until exactly the wanted share of the object's visible pixels is covered (one
quantile, to a pixel where outlines allow). It stands in front: nothing nearer than it is covered.
Objects without a mask: the ellipse in the box counts. Frames with a segmentation only: its areas of things. A
classification image: the whole picture is the object. A frame without any of these has no targets and stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from scenes.camera import Camera
from scenes.sample import Sample
from synth.blend import over, scene_white
from synth.occlusion.occluders import KINDS, Occluder, Place, grow
from synth.random import Rng
from synth.regions import Mask, Region, pick, regions
from synth.registry import register
from synth.relabel import covered
from synth.shift import Change, Family, Need, SeverityTable


@dataclass(frozen=True)
class TargetParams:
    """targets: keys of objects (see synth/regions.py); kinds and seeds: one occluder each."""

    visible_fraction: float
    targets: tuple[int, ...]
    kinds: tuple[str, ...]
    seeds: tuple[int, ...]


@register
@dataclass(frozen=True)
class Target:
    """An occluder of a target visible fraction in front of selected objects.

    kind:        which occluder; "any" draws one for each object
    max_targets: at most so many objects, drawn at random
    min_side_px: smaller objects are left alone
    """

    name: ClassVar[str] = "occlusion/target"
    family: ClassVar[Family] = "occlusion"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "visible fraction",
        "1",
        (0.9, 0.7, 0.5, 0.3, 0.15),
        "Dollar et al. (2012), Caltech pedestrians: partial occlusion hides 1-35 %, heavy 35-80 %",
    )
    params_type: ClassVar[type[TargetParams]] = TargetParams

    kind: Literal["any", "pole", "foliage", "plate", "dirt"] = "any"
    max_targets: int = 6
    min_side_px: int = 6

    def __post_init__(self) -> None:
        if self.kind not in ("any", *KINDS):
            raise ValueError(f"kind: expected any, {', '.join(KINDS)}, got {self.kind!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> TargetParams:
        found = [r for r in regions(sample) if min(r.width, r.height) >= self.min_side_px]
        chosen = _apart([found[i] for i in rng.permutation(len(found))], self.max_targets)
        draws = [(rng.integer(0, len(KINDS)), rng.seed()) for _ in range(self.max_targets)]
        kinds = [KINDS[number] if self.kind == "any" else self.kind for number, _ in draws]
        return TargetParams(
            visible_fraction=self.table.at(severity),
            targets=tuple(region.key for region in chosen),
            kinds=tuple(kinds[: len(chosen)]),
            seeds=tuple(seed for _, seed in draws[: len(chosen)]),
        )

    def apply(self, sample: Sample, params: TargetParams) -> Sample:
        if not params.targets:
            return sample
        image = sample.image.copy()
        cover = np.zeros(image.shape[:2], np.bool_)
        depth = np.full(cover.shape, np.nan, np.float32)
        white = scene_white(sample.image)
        everything = regions(sample)
        plan = zip(pick(sample, params.targets), params.kinds, params.seeds, strict=True)
        for region, kind, seed in sorted(plan, key=lambda part: -part[0].window[3]):
            distance = _distance_m(sample, region)
            occluder = grow(kind, _place(sample, region), seed)
            free = _behind(sample, region, occluder, distance, everything)
            t = _size(occluder, free, region, cover, 1 - params.visible_fraction)
            if t is None:
                continue
            alpha = np.clip((t - occluder.order) / occluder.soft_px + 0.5, 0, 1) * free * occluder.opacity
            over(image, occluder.window, occluder.paint(t) * white, alpha.astype(np.float32))
            x1, y1, x2, y2 = occluder.window
            hidden = (occluder.order <= t) & free
            cover[y1:y2, x1:x2] |= hidden
            if distance is not None and not occluder.on_lens:
                depth[y1:y2, x1:x2][hidden] = 0.9 * distance
        return covered(sample, image, cover, depth_m=depth)


def _apart(candidates: list[Region], most: int) -> list[Region]:
    """Return regions in their order, leaving out those whose boxes touch one already taken."""
    taken: list[Region] = []
    for region in candidates:
        if len(taken) < most and all(_apart_boxes(region.window, other.window) for other in taken):
            taken.append(region)
    return taken


def _apart_boxes(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    margin = 0.2 * max(a[2] - a[0], b[2] - b[0])
    return a[0] - margin > b[2] or b[0] - margin > a[2] or a[1] > b[3] or b[1] > a[3]


def _distance_m(sample: Sample, region: Region) -> float | None:
    """Return the depth of the nearest part of an object; None where unknown."""
    if sample.depth is None:
        return None
    values = sample.depth[region.slices][region.mask]
    values = values[np.isfinite(values)]
    return float(np.percentile(values, 2)) if len(values) else None


def _place(sample: Sample, region: Region) -> Place:
    """Return the object and the row on which something at nine tenths of its distance stands."""
    camera = sample.camera or Camera.assumed(sample.width, sample.height)
    forward = camera.world_to_cam[2, :3]
    horizon = camera.K[1, 2] + camera.K[1, 1] * forward[2] / max(1e-6, float(np.hypot(forward[0], forward[1])))
    foot = float(region.window[3])
    below = (foot - horizon) / 0.9 if foot > horizon else foot - horizon
    row = max(horizon + below, foot + 0.04 * region.height)
    return Place(region.window, min(row, foot + 0.5 * region.height), (sample.height, sample.width))


def _behind(
    sample: Sample, region: Region, occluder: Occluder, distance: float | None, everything: list[Region]
) -> Mask:
    """Return (h, w) of the occluder's window: what stands behind it and may be covered."""
    x1, y1, x2, y2 = occluder.window
    free = np.ones((y2 - y1, x2 - x1), np.bool_)
    if occluder.on_lens:
        return free
    if distance is not None and sample.depth is not None:
        nearer = sample.depth[y1:y2, x1:x2] < 0.9 * distance
        for other in everything:  # depth decides for objects only: the ground in front is nearer and yet below
            free &= ~(nearer & _part(other, occluder.window))
        return free
    for other in everything:
        if other.key != region.key and other.window[3] > region.window[3]:
            free &= ~_part(other, occluder.window)
    return free


def _part(region: Region, window: tuple[int, int, int, int]) -> Mask:
    """Return the mask of a region inside another window."""
    out = np.zeros((window[3] - window[1], window[2] - window[0]), np.bool_)
    x1, y1 = max(region.window[0], window[0]), max(region.window[1], window[1])
    x2, y2 = min(region.window[2], window[2]), min(region.window[3], window[3])
    if x2 > x1 and y2 > y1:
        left, top = region.window[0], region.window[1]
        out[y1 - window[1] : y2 - window[1], x1 - window[0] : x2 - window[0]] = region.mask[
            y1 - top : y2 - top, x1 - left : x2 - left
        ]
    return out


def _size(occluder: Occluder, free: Mask, region: Region, cover: Mask, hidden_share: float) -> float | None:
    """Return the size at which the wanted share of the object is hidden; None where others hide it already."""
    x1, y1, x2, y2 = occluder.window
    already = int(np.count_nonzero(cover[region.slices] & region.mask))
    wanted = round(hidden_share * region.pixels) - already
    candidates = _part(region, occluder.window) & free & ~cover[y1:y2, x1:x2]
    orders = occluder.order[candidates]
    if wanted <= 0 or not len(orders):
        return None
    return float(np.partition(orders, min(wanted, len(orders)) - 1)[min(wanted, len(orders)) - 1])
