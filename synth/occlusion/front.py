"""What stands in front of an object: how large it is there, where its foot is, and how far it slides in.

Size follows from the ground: a camera h metres over it sees something that stands at row y with (y - horizon) / h
pixels a metre. The object in front slides from the side until the wanted fraction of the one behind is left visible, as
far as it is large enough to hide it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.random import Rng
from scenes.sample import Sample
from synth.blend import scene_white
from synth.cutout import Cutout, Ground, labelled, paste
from synth.regions import Mask, Region, regions
from synth.sprites import PEOPLE, WORDS, YAWS, actor, side_by_side, size_m

Columns = NDArray[np.int64]
HIDES = 0.9  # of a target's height and width: enough for the heaviest occlusion
_NEAREST = (1.0, 0.8, 0.62, 0.5, 0.4, 0.3)  # factors on the drawn nearness, tried until it is tall enough
_DEEPEST_FOOT = 1.2  # of the frame's height: something nearer shows too little of itself
_LARGEST = 0.65  # of the frame's width and height: something larger hides the street, not an object


def foot_row(ground: Ground, target: Region, nearer: float) -> float:
    """Return the row on which something stands at `nearer` times a target's distance."""
    if not ground.stands(target.window[3]):
        return target.window[3] + 0.12 * target.height
    return ground.horizon + (target.window[3] - ground.horizon) / nearer


def reach(ground: Ground, target: Region, nearer: float, tall_m: float) -> float:
    """Return the share of a target's height that something so tall hides from there."""
    if not ground.stands(target.window[3]):
        return 1.0
    foot = foot_row(ground, target, nearer)
    if foot > _DEEPEST_FOOT * ground.rows:
        return 0.0
    top = foot - tall_m * ground.px_per_m(foot)
    return float(np.clip((target.window[3] - top) / target.height, 0, 1))


@dataclass(frozen=True)
class Actor:
    """A road user chosen to stand in front: kind, eighth of a turn, nearness."""

    kind: str
    yaw_step: int
    nearer: float


def choose_actor(ground: Ground, target: Region, kinds: Sequence[str], nearer: float, taste: float) -> Actor | None:
    """Return a road user that can hide most of a target, one by taste among those able to; None where none can.

    Along the road where it is wide enough so, else across it. People may be several, so their width does not matter.
    """
    along: list[Actor] = []
    across: list[Actor] = []
    for kind in kinds:
        length, width, tall = size_m(kind)
        near = next((f * nearer for f in _NEAREST if reach(ground, target, f * nearer, tall) >= HIDES), None)
        if near is None:
            continue
        scale = size_there(ground, target, near, tall)
        for step in range(YAWS):
            turn = 2 * np.pi * step / YAWS
            wide = (abs(np.cos(turn)) * width + abs(np.sin(turn)) * length) * scale
            if wide > _LARGEST * ground.columns or tall * scale > _LARGEST * ground.rows:
                continue
            if wide >= HIDES * target.width or kind in PEOPLE:
                (along if step % (YAWS // 2) == 0 else across).append(Actor(kind, step, near))
    able = [*along, *across] if set(kinds) <= set(PEOPLE) else along or across
    return able[int(taste * len(able))] if able else None


def size_there(ground: Ground, target: Region, nearer: float, tall_m: float) -> float:
    """Return pixels a metre in front of a target; where nothing tells, so many that it is hidden in full."""
    if not ground.stands(target.window[3]):
        return 1.1 * target.height / tall_m
    return ground.px_per_m(foot_row(ground, target, nearer))


@dataclass(frozen=True, eq=False)
class Group:
    """One or more cutouts on one line, from back to front, with where each begins and how far it stands back (px)."""

    members: tuple[Cutout, ...]
    lefts: tuple[int, ...] = (0,)
    lifts: tuple[int, ...] = (0,)

    @property
    def width(self) -> int:
        return max(left + c.width for c, left in zip(self.members, self.lefts, strict=True))

    @property
    def height(self) -> int:
        return max(lift + c.height for c, lift in zip(self.members, self.lifts, strict=True))

    @property
    def mask(self) -> Mask:
        """(height, width) where any of them is."""
        mask = np.zeros((self.height, self.width), np.bool_)
        for c, left, lift in zip(self.members, self.lefts, self.lifts, strict=True):
            mask[self.height - lift - c.height : self.height - lift, left : left + c.width] |= c.mask
        return mask


def rendered(sample: Sample, target: Region, chosen: Actor, seed: int, *, flipped: bool) -> Group:
    """Return a road user, or as many people as a target is wide, at the size and in the light of their place."""
    ground, rng = Ground.of(sample), Rng(seed, "actor")
    _, width, tall = size_m(chosen.kind)
    scale = size_there(ground, target, chosen.nearer, tall)
    white = scene_white(sample.image)
    one = actor(chosen.kind, variant=rng.integer(0, 1 << 20), yaw_step=chosen.yaw_step)
    found = [one.lit(white, px_per_m=scale, flipped=flipped and chosen.kind in PEOPLE)]  # vehicles bear letters
    if chosen.kind in PEOPLE:
        for _ in range(min(11, int(np.ceil(target.width / max(1.0, 0.5 * scale * width))) - 1)):
            other = actor(chosen.kind, variant=rng.integer(0, 1 << 20), yaw_step=rng.integer(0, YAWS))
            size = scale * rng.uniform(0.92, 1.06)
            found.append(other.lit(white, px_per_m=size, flipped=rng.uniform() < 0.5))
    found = [labelled(sample, cutout, WORDS[chosen.kind]) for cutout in found]
    lefts = side_by_side([cutout.width for cutout in found], overlap=0.3, rng=rng)
    lifts = [round(0.03 * cutout.height * rng.uniform()) for cutout in found]
    order = sorted(range(len(found)), key=lambda i: -lifts[i])
    return Group(tuple(found[i] for i in order), tuple(lefts[i] for i in order), tuple(lifts[i] for i in order))


def slide_in(
    sample: Sample,
    original: Sample,
    target: Region,
    front: Group,
    *,
    visible: float,
    nearer: float,
    from_left: bool,
    fit_light: float = 0.0,
) -> Sample:
    """Paste the front object where it leaves the wanted fraction of the target, coming from one side."""
    ground = Ground.of(original)
    foot = foot_row(ground, target, nearer)
    top = round(foot) - front.height
    middle = round(0.5 * (target.window[0] + target.window[2]) - 0.5 * front.width)
    away = (target.window[0] - front.width) if from_left else target.window[2]
    lefts = np.arange(away, middle + 1) if from_left else np.arange(away, middle - 1, -1)
    hidden = _hidden(target, front, lefts, top)
    left = int(lefts[np.abs(hidden - (1 - visible) * target.pixels).argmin()]) if len(lefts) else middle
    depth = median_depth_m(original, target)
    free = np.ones((sample.height, sample.width), np.bool_)
    for other in regions(original):
        if other.key != target.key and other.exact and other.window[3] > foot + 1:
            free[other.slices] &= ~other.mask
    depth_m = None if depth is None else depth * nearer
    for cutout, aside, lift in zip(front.members, front.lefts, front.lifts, strict=True):
        row = round(foot) - lift - cutout.height
        sample = paste(sample, cutout, left + aside, row, depth_m=depth_m, fit_light=fit_light, free=free, shadow=True)
    return sample


def _hidden(target: Region, front: Group, lefts: Columns, top: int) -> Columns:
    """Return how many pixels of the target a cutout hides from each of several columns."""
    y1, y2 = max(target.window[1], top), min(target.window[3], top + front.height)
    if y2 <= y1:
        return np.zeros(len(lefts), np.int64)
    behind = target.mask[y1 - target.window[1] : y2 - target.window[1]].astype(np.float32)
    before = front.mask[y1 - top : y2 - top].astype(np.float32)
    size = 1 << int(np.ceil(np.log2(behind.shape[1] + before.shape[1] + 1)))
    product = (np.fft.rfft(behind, size) * np.conj(np.fft.rfft(before, size))).sum(axis=0)
    counts = np.rint(np.fft.irfft(product, size)).astype(np.int64)  # by how far the cutout starts right of the target
    return counts[(lefts - target.window[0]) % size]


def median_depth_m(sample: Sample, target: Region) -> float | None:
    """Return the depth of an object; None where unknown."""
    if sample.depth is None:
        return None
    depth = sample.depth[target.slices][target.mask]
    depth = depth[np.isfinite(depth)]
    return float(np.median(depth)) if len(depth) else None
