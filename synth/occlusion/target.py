"""A pole, foliage, a board, dirt or graffiti hides objects until a wanted fraction of each is left visible.

The occluder grows from a seeded start until exactly the wanted share of the object's visible pixels is covered (one
quantile, to a pixel where outlines allow). It stands in front: nothing nearer than it is covered. Graffiti is paint on
the object itself: its outline, and so box and mask, stay; its visible fraction is the share of its surface left bare.
Objects without a mask: the ellipse in the box counts. Frames with a segmentation only: its areas of things. A
classification image: the whole picture is the object. A frame without any of these has no targets and stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Image, Sample
from synth.blend import over, scene_white
from synth.cutout import contact_shadow
from synth.occlusion.occluders import KINDS, Occluder, Place, grow
from synth.radiometry import luminance, to_linear
from synth.random import Rng
from synth.regions import Mask, Region, class_names, pick, regions
from synth.registry import register
from synth.relabel import covered, note, painted_over
from synth.shift import Change, Family, Need, SeverityTable

WORDS = {
    "pole": "a pole stands before it",
    "foliage": "leaves hang before it",
    "plate": "a board stands before it",
    "dirt": "dirt on the lens covers it",
    "graffiti": "paint covers its surface",
}
# fmt: off
UNPAINTED = frozenset((
    "person", "pedestrian", "rider", "cyclist", "bicyclist", "animal", "dog", "cat", "horse", "sheep", "cow", "bird",
    "bicycle", "bike", "motorcycle", "motorbike", "traffic light", "traffic_light",
))
# fmt: on


@dataclass(frozen=True)
class TargetParams:
    """targets: keys of objects (see synth/regions.py); kinds and seeds: one occluder each."""

    visible_fraction: float
    targets: tuple[int, ...]
    kinds: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class CoverShift:
    """Base of the shifts that hide objects behind something that grows; a shift adds its name and kinds.

    max_targets: at most so many objects, drawn at random
    min_side_px: smaller objects are left alone
    """

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
    kinds: ClassVar[tuple[str, ...]]

    max_targets: int = 6
    min_side_px: int = 6

    def drawn_kinds(self) -> tuple[str, ...]:
        """Return the occluders of which one is drawn for each object."""
        return self.kinds

    def draw(self, sample: Sample, severity: float, rng: Rng) -> TargetParams:
        found = [r for r in regions(sample) if min(r.width, r.height) >= self.min_side_px]
        found = [found[i] for i in rng.permutation(len(found))]
        chosen = _apart([r for r in found if self._kinds_for(sample, r)], self.max_targets)
        draws = [(rng.uniform(), rng.seed()) for _ in range(self.max_targets)][: len(chosen)]
        offers = [self._kinds_for(sample, region) for region in chosen]
        return TargetParams(
            visible_fraction=self.table.at(severity),
            targets=tuple(region.key for region in chosen),
            kinds=tuple(offer[int(which * len(offer))] for offer, (which, _) in zip(offers, draws, strict=True)),
            seeds=tuple(seed for _, seed in draws),
        )

    def _kinds_for(self, sample: Sample, region: Region) -> tuple[str, ...]:
        """Return the kinds that may cover an object: nobody sprays paint on people, animals and bicycles."""
        offered = self.drawn_kinds()
        return tuple(kind for kind in offered if kind != "graffiti") if _unpainted(sample, region) else offered

    def apply(self, sample: Sample, params: TargetParams) -> Sample:
        if not params.targets:
            return sample
        work = _Work.of(sample)
        plan = zip(pick(sample, params.targets), params.kinds, params.seeds, strict=True)
        for region, kind, seed in sorted(plan, key=lambda part: -part[0].window[3]):
            work.hide(region, grow(kind, _place(sample, region), seed), kind, 1 - params.visible_fraction)
        return work.finished()


@register
@dataclass(frozen=True)
class Target(CoverShift):
    """Something of a drawn kind in front of objects until a wanted fraction of each is left visible.

    kind: which occluder; "any" draws one for each object
    """

    name: ClassVar[str] = "occlusion/target"
    kinds: ClassVar[tuple[str, ...]] = KINDS

    kind: Literal["any", "pole", "foliage", "plate", "dirt", "graffiti"] = "any"

    def __post_init__(self) -> None:
        if self.kind not in ("any", *KINDS):
            raise ValueError(f"kind: expected any, {', '.join(KINDS)}, got {self.kind!r}")

    def drawn_kinds(self) -> tuple[str, ...]:
        return KINDS if self.kind == "any" else (self.kind,)


@dataclass(eq=False)
class _Work:
    """A frame while occluders are put into it: picture, what they cover, and how far away they are."""

    sample: Sample
    image: Image
    cover: Mask
    depth: NDArray[np.float32]
    white: NDArray[np.float32]
    everything: list[Region]
    painted: dict[int, float]
    reasons: dict[int, str]

    @classmethod
    def of(cls, sample: Sample) -> _Work:
        size = sample.image.shape[:2]
        return cls(
            sample=sample,
            image=sample.image.copy(),
            cover=np.zeros(size, np.bool_),
            depth=np.full(size, np.nan, np.float32),
            white=scene_white(sample.image),
            everything=regions(sample),
            painted={},
            reasons={},
        )

    def hide(self, region: Region, occluder: Occluder, kind: str, share: float) -> None:
        """Let an occluder grow until it hides a share of an object."""
        distance = _distance_m(self.sample, region)
        if occluder.on_surface:
            free = _part(region, occluder.window)
        else:
            free = _behind(self.sample, region, occluder, distance, self.everything)
        t = _size(occluder, free, region, self.cover, share)
        if t is None:
            return
        alpha = np.clip((t - occluder.order) / occluder.soft_px + 0.5, 0, 1) * free * occluder.opacity
        if occluder.stands:
            self._stand(occluder, region, (occluder.order <= t) & free)
        light = occluder.paint(t) * self.white
        if occluder.on_surface:
            light = light * _shading(self.image, region)[..., None]
        over(self.image, occluder.window, light, alpha.astype(np.float32))
        self.reasons[region.key] = WORDS[kind]
        hidden = (occluder.order <= t) & free
        if occluder.on_surface:
            self.painted[region.key] = 1.0 - np.count_nonzero(hidden) / region.pixels
            return
        x1, y1, x2, y2 = occluder.window
        self.cover[y1:y2, x1:x2] |= hidden
        if distance is not None and not occluder.on_lens:
            self.depth[y1:y2, x1:x2][hidden] = 0.9 * distance

    def _stand(self, occluder: Occluder, region: Region, hidden: Mask) -> None:
        """Darken the ground where an occluder meets it."""
        x1, _, _, y2 = occluder.window
        ground = np.ones(self.image.shape[:2], np.bool_)
        for other in self.everything:
            if other.key != region.key:
                ground[other.slices] &= ~other.mask
        foot = np.concatenate([[False], hidden[-2:].any(axis=0), [False]]).astype(np.int8)
        starts, ends = np.flatnonzero(np.diff(foot) > 0), np.flatnonzero(np.diff(foot) < 0)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            contact_shadow(self.image, (x1 + start, 0, x1 + end, y2), ground)

    def finished(self) -> Sample:
        """Return the frame with labels that say what is left of each object."""
        result = self.sample
        if self.cover.any() or not self.painted:
            result = covered(result, self.image, self.cover, depth_m=self.depth)
        result = replace(result, image=self.image)
        return note(painted_over(result, self.painted), "hidden_by", self.reasons)


def _shading(image: Image, region: Region) -> NDArray[np.float32]:
    """Return (h, w) how the light on an object varies over it, mean 1: paint on it is lit the same way."""
    light = luminance(to_linear(image[region.slices]))
    sigma = max(1.0, 0.08 * float(np.sqrt(region.width * region.height)))
    smooth = cv2.GaussianBlur(light, (0, 0), sigma) + np.float32(0.02)
    level = float(smooth[region.mask].mean())
    shade: NDArray[np.float32] = np.clip(smooth / level, 0.5, 1.6) ** np.float32(0.7)
    return shade


def _unpainted(sample: Sample, region: Region) -> bool:
    """Tell whether an object is of a class that graffiti is not found on, as far as names are known."""
    names, notes = class_names(sample), sample.annotations
    if region.row >= 0:
        code = int(notes.labels[region.row])
    elif notes.segmentation is not None and region.key < 0:
        values = notes.segmentation[region.slices][region.mask]
        code = int(values[len(values) // 2])
    else:
        return False
    return 0 <= code < len(names) and names[code] in UNPAINTED


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
    return Place(
        region.window,
        region.mask,
        min(row, foot + 0.5 * region.height),
        (sample.height, sample.width),
        stands=foot > horizon + 0.01 * sample.height,
    )


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
