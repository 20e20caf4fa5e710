"""Single objects partly crushed: pushed in from one side and folded, as sheet metal is in a crash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scenes.sample import Sample
from synth.random import Rng
from synth.registry import register
from synth.shape.objects import DeformParams, deform_objects, draw_deformations
from synth.shift import Change, Family, Need, SeverityTable


@register
@dataclass(frozen=True)
class CrumpleObjects:
    """Single objects pushed in from one side, with creases and the shading of their facets.

    min_side_px: smaller objects are left alone
    """

    name: ClassVar[str] = "shape/object_crumple"
    family: ClassVar[Family] = "shape"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "depth of the crush in the object's extent",
        "%",
        (5, 10, 18, 27, 36),
        "extent zones of SAE J224 divide a side into nine equal parts: severity 2 is zone 1, severity 5 zone 3 to 4",
    )
    params_type: ClassVar[type[DeformParams]] = DeformParams

    min_side_px: int = 8

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DeformParams:
        amount = self.table.at(severity) / 100
        return draw_deformations(sample, amount, ("crumple",), rng, min_side_px=self.min_side_px)

    def apply(self, sample: Sample, params: DeformParams) -> Sample:
        return deform_objects(sample, params)
