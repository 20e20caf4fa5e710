"""Objects deformed: stretched, squeezed, leaning or bulging, standing where they stood.

How, with masks and with boxes only, is told in synth/shape/objects.py. Frames with a segmentation only are bent around
areas of things; a classification image is bent as a whole. A frame without any of these stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from scenes.sample import Sample
from synth.random import Rng
from synth.registry import register
from synth.shape.deform import KINDS
from synth.shape.objects import DeformParams, deform_objects, draw_deformations
from synth.shift import Change, Family, Need, SeverityTable


@register
@dataclass(frozen=True)
class WarpObjects:
    """Single objects stretched, squeezed, leaning or bulging.

    kind: "any" draws one for each object; min_side_px: smaller objects are left alone
    """

    name: ClassVar[str] = "shape/warp"
    family: ClassVar[Family] = "shape"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "change of size",
        "%",
        (8, 15, 25, 40, 60),
        "from the spread of bodies within a class (cars differ by about 8 % in height) to shapes outside of it",
    )
    params_type: ClassVar[type[DeformParams]] = DeformParams

    kind: Literal["any", "wider", "narrower", "taller", "flatter", "lean", "bulge"] = "any"
    min_side_px: int = 6

    def __post_init__(self) -> None:
        if self.kind not in ("any", *KINDS):
            raise ValueError(f"kind: expected any, {', '.join(KINDS)}, got {self.kind!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DeformParams:
        amount = self.table.at(severity) / 100
        return draw_deformations(sample, amount, KINDS, rng, min_side_px=self.min_side_px, only=self.kind)

    def apply(self, sample: Sample, params: DeformParams) -> Sample:
        return deform_objects(sample, params)
