"""Single objects sheared sideways: they lean, and stand where they stood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from scenes.sample import Sample
from synth.random import Rng
from synth.registry import register
from synth.shape.objects import DeformParams, deform_objects, draw_deformations
from synth.shift import Change, Family, Need, SeverityTable


@register
@dataclass(frozen=True)
class SkewObjects:
    """Single objects that lean to the left or to the right.

    min_side_px: smaller objects are left alone
    """

    name: ClassVar[str] = "shape/object_skew"
    family: ClassVar[Family] = "shape"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "lean from the upright",
        "deg",
        (4, 8, 13, 20, 28),
        "shear of a picture; learned augmentation policies shear by up to 0.3, 17 deg (Cubuk et al. 2019)",
    )
    params_type: ClassVar[type[DeformParams]] = DeformParams

    min_side_px: int = 6

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DeformParams:
        # A lean by `amount` moves the top by half of it times the height (synth/shape/deform.py).
        amount = 2 * math.tan(math.radians(self.table.at(severity)))
        return draw_deformations(sample, amount, ("lean",), rng, min_side_px=self.min_side_px)

    def apply(self, sample: Sample, params: DeformParams) -> Sample:
        return deform_objects(sample, params)
