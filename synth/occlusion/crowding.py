"""Crowding: people, cyclists and vehicles stand around and before the objects of a frame.

Each stands on the ground at a distance drawn around that of an object, at the size and in the light of its place,
behind what is nearer and before what is farther. They come from the frame itself where it can be cut out, else
they are rendered, and are labelled where the data set has a class for them. A frame without objects stays as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Sample
from synth.blend import scene_white
from synth.cutout import Cutout, Ground, cut, labelled, paste, whole
from synth.random import Rng
from synth.regions import Mask, Region, class_names, ignore_value, pick, regions
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.sprites import CARS, PEOPLE, VEHICLES, WORDS, YAWS, actor, size_m

_MOST = 22
_TRIES = 5  # places looked at for each; the one that fits best is taken
_KINDS = (*PEOPLE * 7, "cyclist", *CARS[:3])
_FLOOR = frozenset(("road", "sidewalk", "pavement", "terrain", "parking", "ground", "footpath"))
_MOST_ENLARGED = 1.6  # what would have to grow more is rendered instead: it would be blurred


@dataclass(frozen=True)
class CrowdingParams:
    """donors: keys, 0 = rendered by kind, seed and eighth of a turn; centres, feet: shares of the frame.

    sizes: pixels a metre (rendered) or factor (donors) at that place
    """

    donors: tuple[int, ...]
    kinds: tuple[str, ...]
    yaw_steps: tuple[int, ...]
    seeds: tuple[int, ...]
    centres: tuple[float, ...]
    feet: tuple[float, ...]
    sizes: tuple[float, ...]
    flipped: tuple[bool, ...]


@dataclass(frozen=True)
class _Extra:
    donor: int
    kind: str
    yaw_step: int
    seed: int
    centre: float
    foot: float
    size: float
    flipped: bool


@register
@dataclass(frozen=True)
class Crowding:
    """Several more road users around and before the objects of a frame.

    max_centres: the crowd gathers around at most so many objects
    """

    name: ClassVar[str] = "occlusion/crowding"
    family: ClassVar[Family] = "occlusion"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "road users added",
        "1",
        (2, 5, 9, 14, 22),
        "Shao et al. (2018), CrowdHuman: 22.6 people a picture there, 6.5 in CityPersons, under 1 in KITTI and Caltech",
    )
    params_type: ClassVar[type[CrowdingParams]] = CrowdingParams

    max_centres: int = 3

    def draw(self, sample: Sample, severity: float, rng: Rng) -> CrowdingParams:
        found, ground = regions(sample), Ground.of(sample)
        found = [found[i] for i in rng.permutation(len(found))]
        targets = [r for r in found if ground.stands(r.window[3])] or found
        targets = sorted(targets, key=lambda r: -r.height)[: 3 * self.max_centres]  # among the larger ones
        targets = [targets[i] for i in rng.permutation(len(targets))][: self.max_centres]
        donors = [r for r in found if whole(sample, r, least_px=24) and ground.stands(r.window[3])]
        extras = [self._extra(sample, ground, targets, donors, rng) for _ in range(_MOST)] if targets else []
        extras = extras[: round(self.table.at(severity))]
        return CrowdingParams(
            donors=tuple(e.donor for e in extras),
            kinds=tuple(e.kind for e in extras),
            yaw_steps=tuple(e.yaw_step for e in extras),
            seeds=tuple(e.seed for e in extras),
            centres=tuple(e.centre for e in extras),
            feet=tuple(e.foot for e in extras),
            sizes=tuple(e.size for e in extras),
            flipped=tuple(e.flipped for e in extras),
        )

    def _extra(self, sample: Sample, ground: Ground, targets: list[Region], donors: list[Region], rng: Rng) -> _Extra:
        """Draw one road user and its place; as many numbers whatever the frame holds."""
        target = targets[int(rng.uniform() * len(targets))]
        kind, seed, yaw_step = rng.choice(_KINDS), rng.seed(), rng.integer(0, YAWS)
        own, which, flipped = rng.uniform() < 0.35, rng.uniform(), rng.uniform() < 0.5
        tries = [(rng.uniform(), rng.uniform(-1, 1)) for _ in range(_TRIES)]
        if kind in VEHICLES:
            yaw_step = 4 * (yaw_step // 4)  # along the road
        donor = donors[int(which * len(donors))] if own and donors else None
        places = [self._place(sample, ground, target, kind, donor, at) for at in tries]
        centre, foot, size, _ = min(places, key=lambda place: place[3])
        if donor is not None and (size > _MOST_ENLARGED or not ground.stands(target.window[3])):
            donor = None
            centre, foot, size, _ = min(
                (self._place(sample, ground, target, kind, None, at) for at in tries), key=lambda place: place[3]
            )
        return _Extra(donor.key if donor else 0, kind, yaw_step, seed, centre, foot, size, flipped)

    def _place(
        self, sample: Sample, ground: Ground, target: Region, kind: str, donor: Region | None, at: tuple[float, float]
    ) -> tuple[float, float, float, float]:
        """Return centre, foot, size, and how little the place suits: what it would hide, and where it stands."""
        _, width, tall = size_m(kind)
        if ground.stands(target.window[3]):
            nearer = 0.6 * (1.4 / 0.6) ** at[0]  # distance over that of the target
            foot = min(ground.horizon + (target.window[3] - ground.horizon) / nearer, 1.15 * sample.height)
            scale = ground.px_per_m(foot)
        else:
            foot = target.window[3] + 0.1 * target.height * (2 * at[0] - 1)
            scale = 0.9 * target.height / size_m("pedestrian")[2]
        if donor is None:
            size, wide, high = scale, width * scale, tall * scale
        else:
            size = (foot - ground.horizon) / (donor.window[3] - ground.horizon)
            wide, high = donor.width * size, donor.height * size
        spread = 0.5 * (target.width + wide) * 0.5 + 1.6 * max(wide, 0.8 * scale)
        x = 0.5 * (target.window[0] + target.window[2]) + spread * math.copysign(abs(at[1]) ** 0.8, at[1])
        box = (x - 0.5 * wide, foot - high, x + 0.5 * wide, foot)
        bad = _hides(sample, box) + (0.0 if _on_floor(sample, x, foot) else 0.6)
        return x / sample.width, foot / sample.height, size, bad

    def apply(self, sample: Sample, params: CrowdingParams) -> Sample:
        original, white, ground = sample, scene_white(sample.image), Ground.of(sample)
        everything = regions(original)
        for i in sorted(range(len(params.donors)), key=lambda i: params.feet[i]):
            foot = params.feet[i] * original.height
            distance = _distance_m(original, ground, foot)
            copy = _cutout(original, params, i, white)
            sample = paste(
                sample,
                copy,
                round(params.centres[i] * original.width - 0.5 * copy.width),
                round(foot) - copy.height,
                depth_m=distance,
                fit_light=0.2 if params.donors[i] else 0.0,
                free=_behind_nothing(original, everything, foot, distance),
                shadow=True,
            )
        return sample


def _cutout(sample: Sample, params: CrowdingParams, i: int, white: NDArray[np.float32]) -> Cutout:
    """Return one of the crowd at its size."""
    if params.donors[i]:
        (donor,) = pick(sample, (params.donors[i],))
        return cut(sample, donor).scaled(params.sizes[i], flipped=params.flipped[i])
    kind, rng = params.kinds[i], Rng(params.seeds[i], "crowd")
    sprite = actor(kind, variant=rng.integer(0, 1 << 20), yaw_step=params.yaw_steps[i])
    size = params.sizes[i] * (rng.uniform(0.93, 1.06) if kind in PEOPLE else 1.0)
    return labelled(
        sample, sprite.lit(white, px_per_m=size, flipped=params.flipped[i] and kind not in VEHICLES), WORDS[kind]
    )


def _hides(sample: Sample, box: tuple[float, float, float, float]) -> float:
    """Return how much too much a box hides of objects behind it, or is hidden by those before it."""
    boxes = sample.annotations.boxes.astype(np.float64)
    boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
    if not len(boxes):
        return 0.0
    wide = np.minimum(boxes[:, 2], box[2]) - np.maximum(boxes[:, 0], box[0])
    high = np.minimum(boxes[:, 3], box[3]) - np.maximum(boxes[:, 1], box[1])
    common = np.clip(wide, 0, None) * np.clip(high, 0, None)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    behind = boxes[:, 3] <= box[3]
    mine = max((box[2] - box[0]) * (box[3] - box[1]), 1.0)
    share = np.where(behind, common / area, common / mine)
    return float(np.clip(share - 0.5, 0, None).max() * 2)  # up to half of an object is what crowds do


def _on_floor(sample: Sample, x: float, foot: float) -> bool:
    """Tell whether a place is on ground, as far as the segmentation knows."""
    segmentation, names = sample.annotations.segmentation, class_names(sample)
    if segmentation is None or not _FLOOR & set(names):
        return True
    if not 0 <= x < sample.width or foot >= sample.height:
        return foot >= sample.height
    code = int(segmentation[int(np.clip(foot - 1, 0, sample.height - 1)), int(x)])
    return code == ignore_value(sample.annotations) or (code < len(names) and names[code] in _FLOOR)


def _distance_m(sample: Sample, ground: Ground, foot: float) -> float | None:
    """Return the depth of what stands at a row; None where the frame has no depth."""
    if sample.depth is None or not ground.stands(foot):
        return None
    camera = sample.camera or Camera.assumed(sample.width, sample.height)
    return float(camera.K[1, 1]) * ground.camera_m / (foot - ground.horizon)


def _behind_nothing(sample: Sample, everything: list[Region], foot: float, distance: float | None) -> Mask:
    """Return (H, W) where something that stands at a row is not hidden by what is nearer."""
    free = np.ones((sample.height, sample.width), np.bool_)
    for other in everything:
        if other.exact and other.window[3] > foot + 1:
            free[other.slices] &= ~other.mask
    if distance is not None and sample.depth is not None:
        above = slice(0, int(np.clip(foot - 0.03 * sample.height, 0, sample.height)))
        free[above] &= ~(sample.depth[above] < 0.9 * distance)
    return free
