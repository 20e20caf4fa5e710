"""Objects where they do not belong: copies of the frame's own objects in the sky, on walls, small or large, tilted.

A copy is an object like any other: it is labelled, has no place in the world (3D box unknown), and hides what is behind
it. It is pasted without a seam and under the light around it. Frames whose objects cannot be cut out get street
furniture instead, which has no label. A frame without any truth stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from scenes.sample import Sample
from synth.cutout import Cutout, cut, horizon_row, paste, whole
from synth.random import Rng
from synth.regions import pick, regions
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.sprites import furniture

_MOST = 8
_PLACES = 6  # tried for each copy; the one that hides the least of other objects is taken


@dataclass(frozen=True)
class MisplacedParams:
    """donors: keys, 0 = street furniture by seed; centres, feet: shares of the frame; tall: share of its height."""

    donors: tuple[int, ...]
    seeds: tuple[int, ...]
    centres: tuple[float, ...]
    feet: tuple[float, ...]
    tall: tuple[float, ...]
    tilts_deg: tuple[float, ...]
    flipped: tuple[bool, ...]


@register
@dataclass(frozen=True)
class Misplaced:
    """Objects of the frame copied to places where such objects never are.

    tilt_deg: copies are turned in the picture by up to this much
    """

    name: ClassVar[str] = "context/object"
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

    tilt_deg: float = 25.0

    def draw(self, sample: Sample, severity: float, rng: Rng) -> MisplacedParams:
        found = regions(sample)
        donors = [region for region in found if whole(sample, region)]
        drawn = []
        for _ in range(_MOST):
            which, seed, tall = rng.uniform(), rng.seed(), rng.uniform(0.12, 0.34)
            places = [(rng.uniform(0.08, 0.92), rng.uniform()) for _ in range(_PLACES)]
            tilt, flipped = rng.uniform(-self.tilt_deg, self.tilt_deg), rng.uniform() < 0.5
            donor = donors[int(which * len(donors))].key if donors else 0
            drawn.append((donor, seed, tall, _freest(sample, places, tall), tilt, flipped))
        count = min(_MOST, round(self.table.at(severity))) if found else 0
        drawn = drawn[:count]
        return MisplacedParams(
            donors=tuple(d[0] for d in drawn),
            seeds=tuple(d[1] for d in drawn),
            centres=tuple(d[3][0] for d in drawn),
            feet=tuple(d[3][1] for d in drawn),
            tall=tuple(d[2] for d in drawn),
            tilts_deg=tuple(d[4] for d in drawn),
            flipped=tuple(d[5] for d in drawn),
        )

    def apply(self, sample: Sample, params: MisplacedParams) -> Sample:
        original = sample
        for i, key in enumerate(params.donors):
            donor = cut(original, pick(original, (key,))[0]) if key else furniture(params.seeds[i])
            factor = min(params.tall[i] * sample.height / donor.height, 0.5 * sample.width / donor.width, 3.0)
            copy = _tilted(donor.scaled(factor, flipped=params.flipped[i]), params.tilts_deg[i])
            left = round(params.centres[i] * sample.width - 0.5 * copy.width)
            top = round(params.feet[i] * sample.height) - copy.height
            sample = paste(sample, copy, left, top, fit_light=0.35)
        return sample


def _freest(sample: Sample, places: list[tuple[float, float]], tall: float) -> tuple[float, float]:
    """Return centre and foot, shares of the frame, above the horizon, of the place that hides the least of objects."""
    horizon = float(np.clip(horizon_row(sample) / sample.height, 0.35, 0.65))
    boxes = sample.annotations.boxes / np.tile([sample.width, sample.height], 2)
    best, least = (0.5, horizon), np.inf
    for x, part in places:
        foot = tall + (max(horizon, tall + 0.02) - tall) * part
        width = 0.5 * np.minimum(boxes[:, 2], x + 0.12) - 0.5 * np.maximum(boxes[:, 0], x - 0.12)
        height = np.minimum(boxes[:, 3], foot) - np.maximum(boxes[:, 1], foot - tall)
        hidden = float((np.clip(width, 0, None) * np.clip(height, 0, None)).sum())
        if hidden < least:
            best, least = (x, foot), hidden
    return best


def _tilted(cutout: Cutout, degrees: float) -> Cutout:
    """Return a cutout turned in the picture."""
    if abs(degrees) < 0.5:
        return cutout
    w, h = cutout.width, cutout.height
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), degrees, 1.0)
    c, s = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(np.ceil(h * s + w * c)), int(np.ceil(h * c + w * s)))
    matrix[:, 2] += (size[0] / 2 - w / 2, size[1] / 2 - h / 2)
    paint = cv2.warpAffine(cutout.paint, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(cutout.alpha, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return Cutout(paint, alpha, cutout.label, cutout.key)
