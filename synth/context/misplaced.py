"""Objects where they do not belong: in the sky, on roofs, on the pavement, upside down on the ground.

Copies of the frame's own objects, else rendered road users, labelled where the data set has a class for them. A copy is
an object like any other: it is labelled, has no place in the world (3D box unknown), and hides what is behind it. On
roofs and on the ground it has the size that its place gives it. It is pasted without a seam and under the light around
it. A frame without any truth stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Sample
from synth.blend import scene_white
from synth.cutout import Cutout, Ground, cut, labelled, paste, whole
from synth.random import Rng
from synth.regions import Region, class_names, pick, regions
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.sprites import CARS, PEOPLE, VEHICLES, WORDS, actor, size_m

WHERE = ("sky", "roof", "pavement", "upside_down")
_MOST = 8
_MOST_ENLARGED = 1.7  # what would have to grow more is rendered instead: it would be blurred
_PLACES = 6  # tried for each copy; the one that hides the least of objects and of other copies is taken
_KINDS = (*CARS, "van", "pedestrian", "pedestrian", "cyclist")
_VIEWS = (1, 2, 5, 6)  # eighths of a turn from which copies are seen
_PAVEMENT = ("sidewalk", "pavement", "terrain", "footpath")


@dataclass(frozen=True)
class MisplacedParams:
    """donors: keys, 0 = rendered by kind and seed; where: each copy is; centres, feet: shares of the frame.

    tall: share of the frame's height; tilts_deg: turned in the picture
    """

    donors: tuple[int, ...]
    kinds: tuple[str, ...]
    where: tuple[str, ...]
    seeds: tuple[int, ...]
    centres: tuple[float, ...]
    feet: tuple[float, ...]
    tall: tuple[float, ...]
    tilts_deg: tuple[float, ...]
    flipped: tuple[bool, ...]


@dataclass(frozen=True)
class _Copy:
    donor: int
    kind: str
    where: str
    seed: int
    centre: float
    foot: float
    tall: float
    tilt_deg: float
    flipped: bool


@register
@dataclass(frozen=True)
class Misplaced:
    """Objects of the frame copied to places where such objects never are.

    where:    "any" draws one for each copy; a roof is that of a vehicle, where there is one
    tilt_deg: copies in the sky are turned in the picture by up to this much
    """

    name: ClassVar[str] = "context/misplaced"
    family: ClassVar[Family] = "context"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "misplaced objects",
        "1",
        (1, 2, 3, 5, 8),
        "Rosenfeld et al. (2018), The Elephant in the Room: one foreign object already upsets detections elsewhere",
    )
    params_type: ClassVar[type[MisplacedParams]] = MisplacedParams

    where: Literal["any", "sky", "roof", "pavement", "upside_down"] = "any"
    tilt_deg: float = 25.0

    def __post_init__(self) -> None:
        if self.where not in ("any", *WHERE):
            raise ValueError(f"where: expected any, {', '.join(WHERE)}, got {self.where!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> MisplacedParams:
        found = regions(sample)
        copies: list[_Copy] = []
        for _ in range(_MOST):
            copies.append(self._copy(sample, found, copies, rng))
        copies = copies[: min(_MOST, round(self.table.at(severity))) if found else 0]
        return MisplacedParams(
            donors=tuple(c.donor for c in copies),
            kinds=tuple(c.kind for c in copies),
            where=tuple(c.where for c in copies),
            seeds=tuple(c.seed for c in copies),
            centres=tuple(c.centre for c in copies),
            feet=tuple(c.foot for c in copies),
            tall=tuple(c.tall for c in copies),
            tilts_deg=tuple(c.tilt_deg for c in copies),
            flipped=tuple(c.flipped for c in copies),
        )

    def _copy(self, sample: Sample, found: list[Region], others: list[_Copy], rng: Rng) -> _Copy:
        """Draw one copy; as many numbers whatever the frame holds."""
        which, seed, tall = rng.uniform(), rng.seed(), rng.uniform(0.12, 0.34)
        drawn, kind = rng.choice(WHERE), rng.choice(_KINDS)
        spots = [(rng.uniform(), rng.uniform()) for _ in range(_PLACES)]
        places = [(rng.uniform(0.08, 0.92), rng.uniform()) for _ in range(_PLACES)]
        tilt, flipped = rng.uniform(-self.tilt_deg, self.tilt_deg), rng.uniform() < 0.5
        where = drawn if self.where == "any" else self.where
        donors = [r for r in found if whole(sample, r)]
        if where == "pavement":
            donors = [r for r in donors if _is_vehicle(sample, r)]
            kind = kind if kind in VEHICLES else CARS[0]
        donor = donors[int(which * len(donors))] if donors else None
        taken = _boxes(sample, others)
        ways = {"roof": _on_roof, "pavement": _on_pavement, "upside_down": _on_ground}
        standing = [way(sample, found, donor, at) for at in spots] if (way := ways.get(where)) else []
        offered = [(x, foot, _tall(sample, donor, kind, row)) for x, foot, row in filter(None, standing)]
        if offered:
            tilt = 180.0 if where == "upside_down" else 0.0
        else:
            where, offered = "sky", _in_sky(sample, places, tall)
        wide = _aspect(sample, donor, kind)
        centre, foot, tall = min(offered, key=lambda place: _hidden(taken, place, wide))
        if donor is not None and tall * sample.height > _MOST_ENLARGED * donor.height:
            donor = None
        return _Copy(donor.key if donor else 0, kind, where, seed, centre, foot, tall, tilt, flipped)

    def apply(self, sample: Sample, params: MisplacedParams) -> Sample:
        original, white = sample, scene_white(sample.image)
        order = sorted(range(len(params.donors)), key=lambda i: params.feet[i])  # what is lower is nearer
        for i in order:
            tall, rng = params.tall[i] * original.height, Rng(params.seeds[i], "copy")
            if params.donors[i]:
                donor = cut(original, pick(original, (params.donors[i],))[0])
                factor = min(tall / donor.height, 0.5 * original.width / donor.width)
                copy = donor.scaled(factor, flipped=params.flipped[i])
            else:
                kind = params.kinds[i]
                sprite = actor(kind, variant=rng.integer(0, 1 << 20), yaw_step=rng.choice(_VIEWS))
                scale = min(tall / size_m(kind)[2], 0.5 * original.width / size_m(kind)[0])
                lit = sprite.lit(white, px_per_m=scale, flipped=params.flipped[i] and kind in PEOPLE)
                copy = labelled(original, lit, WORDS[kind])
            copy = _tilted(copy, params.tilts_deg[i])
            left = round(params.centres[i] * original.width - 0.5 * copy.width)
            top = round(params.feet[i] * original.height) - copy.height
            fit = 0.35 if params.donors[i] else 0.0
            sample = paste(sample, copy, left, top, fit_light=fit, shadow=params.where[i] != "sky")
        return sample


def _is_vehicle(sample: Sample, region: Region) -> bool:
    """Tell whether an object is a vehicle; where classes have no names, none is."""
    names, row = class_names(sample), region.row
    label = -1 if row < 0 else int(sample.annotations.labels[row])
    return 0 <= label < len(names) and names[label] in {word for kind in VEHICLES for word in WORDS[kind]}


Spot = tuple[float, float, float]  # centre and foot, shares of the frame, and the row that gives it its size


def _on_roof(sample: Sample, found: list[Region], donor: Region | None, at: tuple[float, float]) -> Spot | None:
    """Return a place on top of a large object of the frame, at its distance."""
    ground = Ground.of(sample)
    bases = [r for r in found if ground.stands(r.window[3]) and r.width >= 0.04 * sample.width and r.window[1] > 8]
    bases = [r for r in bases if r.width >= 0.7 * r.height and (donor is None or r.key != donor.key)]
    if not bases:
        return None
    base = bases[int(at[0] * len(bases))]
    column = base.window[0] + (0.3 + 0.4 * at[1]) * base.width
    inside = base.mask[:, int(np.clip(column - base.window[0], 0, base.width - 1))]
    top = base.window[1] + (int(inside.argmax()) if inside.any() else 0)
    return column / sample.width, (top + 0.06 * base.height) / sample.height, float(base.window[3])


def _on_pavement(sample: Sample, found: list[Region], donor: Region | None, at: tuple[float, float]) -> Spot | None:
    """Return a place on the pavement, near enough to be seen; None where the frame does not tell where one is."""
    segmentation, names, ground = sample.annotations.segmentation, class_names(sample), Ground.of(sample)
    codes = [i for i, name in enumerate(names) if name in _PAVEMENT]
    if segmentation is None or not codes:
        return None
    rows, columns = np.nonzero(np.isin(segmentation, codes))
    near = rows > ground.horizon + 0.12 * (sample.height - ground.horizon)
    rows, columns = rows[near], columns[near]
    if len(rows) < 0.002 * segmentation.size:
        return None
    i = int(at[0] * len(rows))
    return columns[i] / sample.width, (rows[i] + 1) / sample.height, float(rows[i] + 1)


def _on_ground(sample: Sample, found: list[Region], donor: Region | None, at: tuple[float, float]) -> Spot | None:
    """Return a place on the road ahead."""
    ground = Ground.of(sample)
    if not 0 < ground.horizon < 0.8 * sample.height:
        return None
    row = ground.horizon + (0.15 + 0.5 * at[1]) * (sample.height - ground.horizon)
    return 0.2 + 0.6 * at[0], row / sample.height, row


def _tall(sample: Sample, donor: Region | None, kind: str, ground_row: float) -> float:
    """Return how tall an object is that stands at a row, as a share of the frame's height."""
    ground = Ground.of(sample)
    if donor is not None and ground.stands(donor.window[3]):
        factor = (ground_row - ground.horizon) / (donor.window[3] - ground.horizon)
        return float(np.clip(donor.height * factor / sample.height, 0.03, 0.6))
    return float(np.clip(size_m(kind)[2] * ground.px_per_m(ground_row) / sample.height, 0.03, 0.6))


def _aspect(sample: Sample, donor: Region | None, kind: str) -> float:
    """Return how wide a copy is over how tall, both as shares of the frame."""
    wide, tall = (donor.width, donor.height) if donor is not None else (size_m(kind)[0], size_m(kind)[2])
    return wide / tall * sample.height / sample.width


def _boxes(sample: Sample, others: list[_Copy]) -> NDArray[np.float64]:
    """Return (K, 4) boxes of the frame's objects and of the copies so far, shares of the frame."""
    keyed = {region.key: region for region in regions(sample)}
    copies = []
    for other in others:
        half = 0.5 * other.tall * _aspect(sample, keyed.get(other.donor), other.kind)
        copies.append((other.centre - half, other.foot - other.tall, other.centre + half, other.foot))
    own = sample.annotations.boxes.astype(np.float64) / np.tile([sample.width, sample.height], 2)
    return np.concatenate([own, np.array(copies, np.float64).reshape(-1, 4)])


def _in_sky(sample: Sample, places: list[tuple[float, float]], tall: float) -> list[tuple[float, float, float]]:
    """Return centre, foot and height, shares of the frame, of places above the horizon."""
    horizon = float(np.clip(Ground.of(sample).horizon / sample.height, 0.35, 0.65))
    return [(x, tall + (max(horizon, tall + 0.02) - tall) * part, tall) for x, part in places]


def _hidden(boxes: NDArray[np.float64], place: tuple[float, float, float], aspect: float) -> float:
    """Return how much of what is there a copy hides: the sum over boxes of the larger share of the two."""
    x, foot, tall = place
    half = 0.5 * tall * aspect
    width = np.minimum(boxes[:, 2], x + half) - np.maximum(boxes[:, 0], x - half)
    height = np.minimum(boxes[:, 3], foot) - np.maximum(boxes[:, 1], foot - tall)
    common = np.clip(width, 0, None) * np.clip(height, 0, None)
    least = np.minimum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 2 * half * tall)
    return float((common / np.maximum(least, 1e-9)).sum())


def _tilted(cutout: Cutout, degrees: float) -> Cutout:
    """Return a cutout turned in the picture."""
    if abs(degrees) < 0.5:
        return cutout
    w, h = cutout.width, cutout.height
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), degrees, 1.0)
    c, s = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(np.ceil(h * s + w * c - 1e-6)), int(np.ceil(h * c + w * s - 1e-6)))
    matrix[:, 2] += (size[0] / 2 - w / 2, size[1] / 2 - h / 2)
    paint = cv2.warpAffine(cutout.paint, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(cutout.alpha, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return replace(cutout, paint=paint, alpha=alpha)
