"""An object in front of another: one of the same frame, mirrored at will, stands nearer to the camera and hides it.

Size follows from the ground: an object that stands at row y is as large as its row's distance from the horizon says.
The object in front slides from the side until the wanted fraction of the one behind is left visible, as far as it is
large enough to hide it; it is labelled as what it is. Frames whose objects cannot be cut out (boxes only, all hidden or
cut off) get street furniture, which has no label. A frame without objects stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scenes.sample import Sample
from synth.cutout import Cutout, cut, horizon_row, paste, whole
from synth.random import Rng
from synth.regions import Region, pick, regions
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.sprites import furniture

_TRIED = 10  # donors and targets looked at when drawing


@dataclass(frozen=True)
class InFrontParams:
    """targets hidden by donors (keys; 0 = street furniture by seed); nearer: distance in front over distance behind."""

    visible_fraction: float
    targets: tuple[int, ...]
    donors: tuple[int, ...]
    seeds: tuple[int, ...]
    nearer: tuple[float, ...]
    from_left: tuple[bool, ...]
    flipped: tuple[bool, ...]


@register
@dataclass(frozen=True)
class InFront:
    """An object pasted in front of another, with the size and foot that its distance gives it.

    max_targets: at most so many objects are hidden; min_side_px: smaller objects are left alone
    """

    name: ClassVar[str] = "occlusion/object"
    family: ClassVar[Family] = "occlusion"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "visible fraction",
        "1",
        (0.9, 0.7, 0.5, 0.3, 0.15),
        "Dollar et al. (2012), Caltech pedestrians: partial occlusion hides 1-35 %, heavy 35-80 %",
    )
    params_type: ClassVar[type[InFrontParams]] = InFrontParams

    max_targets: int = 3
    min_side_px: int = 8

    def draw(self, sample: Sample, severity: float, rng: Rng) -> InFrontParams:
        everything = regions(sample)
        found = [everything[i] for i in rng.permutation(len(everything))]
        donors = [r for r in found if whole(sample, r)][:_TRIED]
        large = [r for r in found if min(r.width, r.height) >= self.min_side_px and not _fills(sample, r)]
        found = [r for r in large if _stands(sample, r)] or large
        drawn = [
            (rng.uniform(0.6, 0.85), rng.uniform() < 0.5, rng.uniform() < 0.5, rng.seed(), rng.uniform())
            for _ in range(self.max_targets)
        ]
        pairs: list[tuple[Region, int]] = []
        for target in found[:_TRIED]:
            if len(pairs) == self.max_targets:
                break
            if any(_near(target, other) for other, _ in pairs):
                continue
            donor = _best_donor(sample, target, donors, *drawn[len(pairs)][::4])
            pairs.append((target, 0 if donor is None else donor.key))
        drawn = drawn[: len(pairs)]
        return InFrontParams(
            visible_fraction=self.table.at(severity),
            targets=tuple(target.key for target, _ in pairs),
            donors=tuple(key for _, key in pairs),
            seeds=tuple(d[3] for d in drawn),
            nearer=tuple(d[0] for d in drawn),
            from_left=tuple(d[1] for d in drawn),
            flipped=tuple(d[2] for d in drawn),
        )

    def apply(self, sample: Sample, params: InFrontParams) -> Sample:
        original = sample
        known = {region.key: region for region in regions(sample)}
        order = sorted(range(len(params.targets)), key=lambda i: known[params.targets[i]].window[3])
        for i in order:
            (target,) = pick(original, params.targets[i : i + 1])
            donor = params.donors[i]
            if donor:
                factor = _scale(original, known[donor], target, params.nearer[i])
                front = cut(original, known[donor]).scaled(factor, flipped=params.flipped[i])
            else:
                front = _furniture(original, params.seeds[i], target, params.nearer[i])
            sample = _slide_in(
                sample, original, target, front, params.visible_fraction, params.nearer[i], params.from_left[i]
            )
        return sample


def _fills(sample: Sample, region: Region) -> bool:
    """Tell whether an object fills so much of the frame that nothing could plausibly stand in front of it."""
    return region.width > 0.6 * sample.width or region.height > 0.85 * sample.height


def _near(a: Region, b: Region) -> bool:
    gap = 0.5 * max(a.width, b.width)
    return a.window[0] - gap < b.window[2] and b.window[0] - gap < a.window[2]


def _stands(sample: Sample, target: Region) -> bool:
    """Tell whether an object's foot is far enough below the horizon to say how far away it stands."""
    return float(target.window[3]) - horizon_row(sample) >= 0.02 * sample.height


def _foot(sample: Sample, target: Region, nearer: float) -> float:
    """Return the row on which something in front of a target stands."""
    if not _stands(sample, target):
        return target.window[3] + 0.12 * target.height
    horizon = horizon_row(sample)
    return horizon + (target.window[3] - horizon) / nearer


def _scale(sample: Sample, donor: Region, target: Region, nearer: float) -> float:
    """Return by how much a donor grows when it stands in front of the target."""
    horizon = horizon_row(sample)
    return (_foot(sample, target, nearer) - horizon) / (donor.window[3] - horizon)


def _furniture(sample: Sample, seed: int, target: Region, nearer: float) -> Cutout:
    """Return street furniture just large enough to hide a target."""
    front = furniture(seed, wide=target.width > 0.8 * target.height)
    tall = target.height + max(0.0, _foot(sample, target, nearer) - target.window[3])
    return front.scaled(max(1.05 * tall / front.height, 1.1 * target.width / front.width))


def _best_donor(sample: Sample, target: Region, donors: list[Region], nearer: float, taste: float) -> Region | None:
    """Return a donor that can hide most of the target; among those able to, one by taste."""
    able = []
    for donor in donors if _stands(sample, target) else ():
        if donor.key == target.key or not _stands(sample, donor):
            continue
        factor = _scale(sample, donor, target, nearer)
        if factor > 3.0:
            continue
        tall = factor * donor.height - (_foot(sample, target, nearer) - target.window[3])
        if tall >= 0.8 * target.height and factor * donor.width >= 0.8 * target.width:
            able.append(donor)
    return able[int(taste * len(able))] if able else None


def _slide_in(
    sample: Sample,
    original: Sample,
    target: Region,
    front: Cutout,
    visible: float,
    nearer: float,
    from_left: bool,
) -> Sample:
    """Paste the front object where it leaves the wanted fraction of the target, coming from one side."""
    foot = _foot(original, target, nearer)
    top = round(foot) - front.height
    middle = round(0.5 * (target.window[0] + target.window[2]) - 0.5 * front.width)
    away = (target.window[0] - front.width) if from_left else target.window[2]
    low, high = 0, abs(middle - away)
    wanted = (1 - visible) * target.pixels
    while low < high:  # the first step at which enough is hidden; hiding grows from the side to the middle
        step = (low + high) // 2
        if _hidden(target, front, away + step * (1 if from_left else -1), top) >= wanted:
            high = step
        else:
            low = step + 1
    left = away + low * (1 if from_left else -1)
    depth = _depth(original, target)
    free = np.ones((sample.height, sample.width), np.bool_)
    for other in regions(original):
        if other.key != target.key and other.exact and other.window[3] > foot + 1:
            free[other.slices] &= ~other.mask
    return paste(
        sample,
        front,
        left,
        top,
        depth_m=None if depth is None else depth * nearer,
        fit_light=0.25,
        free=free,
        shadow=True,
    )


def _hidden(target: Region, front: Cutout, left: int, top: int) -> int:
    """Return how many pixels of the target a cutout hides from a place."""
    x1, y1 = max(target.window[0], left), max(target.window[1], top)
    x2, y2 = min(target.window[2], left + front.width), min(target.window[3], top + front.height)
    if x2 <= x1 or y2 <= y1:
        return 0
    behind = target.mask[y1 - target.window[1] : y2 - target.window[1], x1 - target.window[0] : x2 - target.window[0]]
    return int(np.count_nonzero(behind & front.mask[y1 - top : y2 - top, x1 - left : x2 - left]))


def _depth(sample: Sample, target: Region) -> float | None:
    if sample.depth is None:
        return None
    depth = sample.depth[target.slices][target.mask]
    depth = depth[np.isfinite(depth)]
    return float(np.median(depth)) if len(depth) else None
