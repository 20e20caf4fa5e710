"""What every published corruption has in common: constants by severity, a seed, and a function of picture and both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from scenes.sample import Image, Sample
from synth.random import Rng
from synth.shift import Change, Family, Need, SeverityTable, check_severity

Constants = tuple[float, ...]
SOURCE = "Hendrycks and Dietterich 2019, constants as in imagecorruptions 1.1.2"


@dataclass(frozen=True)
class CorruptionParams:
    """constants: what the severity means, in the order of the class's table; seed: of everything random in it."""

    constants: Constants
    seed: int


def published(quantity: str, values: tuple[float, float, float, float, float], unit: str = "") -> SeverityTable:
    """Return the table of the constant that says most of a corruption."""
    return SeverityTable(quantity, unit, values, SOURCE)


@dataclass(frozen=True)
class Corruption:
    """Base of the corruptions: a subclass gives name, table, constants and `corrupt`.

    constants: five tuples, severities 1 to 5; between two severities each number is interpolated
    """

    family: ClassVar[Family] = "imagenet_c"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "appearance"
    params_type: ClassVar[type[CorruptionParams]] = CorruptionParams
    constants: ClassVar[tuple[Constants, Constants, Constants, Constants, Constants]]

    def draw(self, sample: Sample, severity: float, rng: Rng) -> CorruptionParams:
        return CorruptionParams(constants=between(self.constants, severity), seed=rng.seed())

    def apply(self, sample: Sample, params: CorruptionParams) -> Sample:
        image = np.ascontiguousarray(sample.image)
        return replace(sample, image=self.corrupt(image, params.constants, params.seed))

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        """Return the corrupted picture (H, W, 3)."""
        raise NotImplementedError


def between(table: tuple[Constants, ...], severity: float) -> Constants:
    """Return the constants at a severity in [1, 5].

    >>> between(((1, 10), (2, 20), (3, 30), (4, 40), (6, 60)), 4.5)
    (5.0, 50.0)
    """
    check_severity(severity)
    lower = min(int(severity), 4)
    part = severity - lower
    below, above = table[lower - 1], table[lower]
    return tuple(float(a + part * (b - a)) for a, b in zip(below, above, strict=True))
