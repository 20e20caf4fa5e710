"""Single objects stretched or squeezed along one axis, standing where they stood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from scenes.sample import Sample
from synth.random import Rng
from synth.registry import register
from synth.shape.objects import DeformParams, deform_objects, draw_deformations
from synth.shift import Change, Family, Need, SeverityTable

_KINDS = ("wider", "narrower", "taller", "flatter")


@register
@dataclass(frozen=True)
class StretchObjects:
    """Single objects wider, narrower, taller or flatter.

    kind: "any" draws one for each object; min_side_px: smaller objects are left alone
    """

    name: ClassVar[str] = "shape/object_stretch"
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

    kind: Literal["any", "wider", "narrower", "taller", "flatter"] = "any"
    min_side_px: int = 6

    def __post_init__(self) -> None:
        if self.kind not in ("any", *_KINDS):
            raise ValueError(f"kind: expected any, {', '.join(_KINDS)}, got {self.kind!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DeformParams:
        amount = self.table.at(severity) / 100
        return draw_deformations(sample, amount, _KINDS, rng, min_side_px=self.min_side_px, only=self.kind)

    def apply(self, sample: Sample, params: DeformParams) -> Sample:
        return deform_objects(sample, params)
