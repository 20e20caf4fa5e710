"""Single objects blown up from their middle, standing about where they stood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scenes.sample import Sample
from synth.random import Rng
from synth.registry import register
from synth.shape.deform import bulge_amount
from synth.shape.objects import DeformParams, deform_objects, draw_deformations
from synth.shift import Change, Family, Need, SeverityTable


@register
@dataclass(frozen=True)
class BulgeObjects:
    """Single objects that bulge: their middle is magnified, their outline grows rounder.

    min_side_px: smaller objects are left alone
    """

    name: ClassVar[str] = "shape/object_bulge"
    family: ClassVar[Family] = "shape"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "magnification of the middle",
        "1",
        (1.2, 1.4, 1.75, 2.3, 3.2),
        "reasoned: 1.2 is within what a wide-angle lens does to near objects, 3.2 the look of a convex mirror",
    )
    params_type: ClassVar[type[DeformParams]] = DeformParams

    min_side_px: int = 6

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DeformParams:
        amount = bulge_amount(self.table.at(severity))
        return draw_deformations(sample, amount, ("bulge",), rng, min_side_px=self.min_side_px)

    def apply(self, sample: Sample, params: DeformParams) -> Sample:
        return deform_objects(sample, params)
