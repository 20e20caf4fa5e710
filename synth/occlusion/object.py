"""An object in front of another: one of the same frame, mirrored at will, stands nearer to the camera and hides it.

Size follows from the ground: an object that stands at row y is as large as its row's distance from the horizon says.
The object in front slides from the side until the wanted fraction of the one behind is left visible, as far as it is
large enough to hide it; it is labelled as what it is. Where none of the frame's objects can be cut out large enough
(boxes only, all hidden or cut off, too coarse when enlarged), a road user is rendered, labelled where the data set has
a class for it; where none fits, street furniture, which has no label. A frame without objects stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scenes.sample import Sample
from synth.blend import scene_white
from synth.cutout import Ground, cut, whole
from synth.occlusion.front import Actor, Group, choose_actor, foot_row, rendered, slide_in
from synth.random import Rng
from synth.regions import Region, class_names, pick, regions
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.sprites import CARS, PEOPLE, WORDS, furniture

_MOST_ENLARGED = 1.7  # what would have to grow more is rendered instead: it would be blurred
_TRIED = 10  # donors and targets looked at when drawing
VISIBLE = SeverityTable(
    "visible fraction",
    "1",
    (0.9, 0.7, 0.5, 0.3, 0.15),
    "Dollar et al. (2012), Caltech pedestrians: partial occlusion hides 1-35 %, heavy 35-80 %",
)


@dataclass(frozen=True)
class InFrontParams:
    """targets hidden by donors (keys; 0 = rendered by kind and seed); nearer: distance in front over distance behind.

    kinds: of what is rendered, "" = street furniture; yaw_steps: eighths of a turn
    """

    visible_fraction: float
    targets: tuple[int, ...]
    donors: tuple[int, ...]
    kinds: tuple[str, ...]
    yaw_steps: tuple[int, ...]
    seeds: tuple[int, ...]
    nearer: tuple[float, ...]
    from_left: tuple[bool, ...]
    flipped: tuple[bool, ...]


@dataclass(frozen=True)
class _Draw:
    """What is drawn for each target, whatever the severity."""

    nearer: float
    from_left: bool
    flipped: bool
    seed: int
    taste: float

    @classmethod
    def of(cls, rng: Rng) -> _Draw:
        return cls(rng.uniform(0.6, 0.85), rng.uniform() < 0.5, rng.uniform() < 0.5, rng.seed(), rng.uniform())


@dataclass(frozen=True)
class FrontShift:
    """Base of the shifts that put an object in front of another; a shift adds its name and kinds.

    max_targets: at most so many objects are hidden; min_side_px: smaller objects are left alone
    """

    family: ClassVar[Family] = "occlusion"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = VISIBLE
    params_type: ClassVar[type[InFrontParams]] = InFrontParams
    kinds: ClassVar[tuple[str, ...]] = ()  # of road users that stand in front; none = whatever the frame has

    max_targets: int = 3
    min_side_px: int = 8

    def draw(self, sample: Sample, severity: float, rng: Rng) -> InFrontParams:
        everything, ground = regions(sample), Ground.of(sample)
        found = [everything[i] for i in rng.permutation(len(everything))]
        donors = [r for r in found if whole(sample, r) and self._suits(sample, r)][:_TRIED]
        large = [r for r in found if min(r.width, r.height) >= self.min_side_px and not _fills(sample, r)]
        found = [r for r in large if ground.stands(r.window[3])] or large
        drawn = [_Draw.of(rng) for _ in range(self.max_targets)]
        offered = self.kinds or (*CARS, "van", *PEOPLE)
        taken: list[tuple[Region, int, Actor, _Draw]] = []
        for target in found[:_TRIED]:
            if len(taken) == self.max_targets:
                break
            if any(_near(target, other) for other, *_ in taken):
                continue
            d = drawn[len(taken)]
            donor = _best_donor(ground, target, donors, d.nearer, d.taste)
            chosen = choose_actor(ground, target, offered, d.nearer, d.taste) if donor is None else None
            if donor is None and chosen is None and self.kinds:
                continue
            taken.append((target, 0 if donor is None else donor.key, chosen or Actor("", 0, d.nearer), d))
        return InFrontParams(
            visible_fraction=self.table.at(severity),
            targets=tuple(target.key for target, *_ in taken),
            donors=tuple(key for _, key, _, _ in taken),
            kinds=tuple(chosen.kind for _, _, chosen, _ in taken),
            yaw_steps=tuple(chosen.yaw_step for _, _, chosen, _ in taken),
            seeds=tuple(d.seed for *_, d in taken),
            nearer=tuple(chosen.nearer for _, _, chosen, _ in taken),
            from_left=tuple(d.from_left for *_, d in taken),
            flipped=tuple(d.flipped for *_, d in taken),
        )

    def apply(self, sample: Sample, params: InFrontParams) -> Sample:
        original = sample
        targets = pick(original, params.targets)
        for i in sorted(range(len(targets)), key=lambda i: targets[i].window[3]):
            front = _front(original, targets[i], params, i)
            sample = slide_in(
                sample,
                original,
                targets[i],
                front,
                visible=params.visible_fraction,
                nearer=params.nearer[i],
                from_left=params.from_left[i],
                fit_light=0.25 if params.donors[i] else 0.0,
            )
        return sample

    def _suits(self, sample: Sample, region: Region) -> bool:
        """Tell whether an object of the frame is of this shift's kinds; where classes have no names, none is."""
        if not self.kinds:
            return True
        names = class_names(sample)
        label = -1 if region.row < 0 else int(sample.annotations.labels[region.row])
        wanted = {word for kind in self.kinds for word in WORDS[kind]}
        return 0 <= label < len(names) and names[label] in wanted


@register
@dataclass(frozen=True)
class InFront(FrontShift):
    """An object of the frame in front of another, with the size and foot that its distance gives it."""

    name: ClassVar[str] = "occlusion/object"


def _front(sample: Sample, target: Region, params: InFrontParams, i: int) -> Group:
    """Return what is to stand in front of a target, at its size there."""
    ground, nearer = Ground.of(sample), params.nearer[i]
    if params.donors[i]:
        (donor,) = pick(sample, (params.donors[i],))
        factor = _scale(ground, donor, target, nearer)
        return Group((cut(sample, donor).scaled(factor, flipped=params.flipped[i]),))
    if params.kinds[i]:
        chosen = Actor(params.kinds[i], params.yaw_steps[i], nearer)
        return rendered(sample, target, chosen, params.seeds[i], flipped=params.flipped[i])
    piece = furniture(params.seeds[i], wide=target.width > 0.8 * target.height)
    tall = target.height + max(0.0, foot_row(ground, target, nearer) - target.window[3])
    height, width = piece.alpha.shape
    scale = piece.px_per_m * max(1.05 * tall / height, 1.1 * target.width / width)
    return Group((piece.lit(scene_white(sample.image), px_per_m=scale),))


def _fills(sample: Sample, region: Region) -> bool:
    """Tell whether an object fills so much of the frame that nothing could plausibly stand in front of it."""
    return region.width > 0.6 * sample.width or region.height > 0.85 * sample.height


def _near(a: Region, b: Region) -> bool:
    gap = 0.5 * max(a.width, b.width)
    return a.window[0] - gap < b.window[2] and b.window[0] - gap < a.window[2]


def _scale(ground: Ground, donor: Region, target: Region, nearer: float) -> float:
    """Return by how much a donor grows when it stands in front of the target."""
    return (foot_row(ground, target, nearer) - ground.horizon) / (donor.window[3] - ground.horizon)


def _best_donor(ground: Ground, target: Region, donors: list[Region], nearer: float, taste: float) -> Region | None:
    """Return a donor that can hide most of the target; among the smaller half of those able to, one by taste."""
    able: list[tuple[float, Region]] = []
    for donor in donors if ground.stands(target.window[3]) else ():
        if donor.key == target.key or not ground.stands(donor.window[3]):
            continue
        factor = _scale(ground, donor, target, nearer)
        if factor > _MOST_ENLARGED:
            continue
        tall = factor * donor.height - (foot_row(ground, target, nearer) - target.window[3])
        if tall >= 0.8 * target.height and factor * donor.width >= 0.8 * target.width:
            able.append((factor * factor * donor.width * donor.height, donor))
    able = sorted(able, key=lambda sized: sized[0])[: (len(able) + 1) // 2]
    return able[int(taste * len(able))][1] if able else None
