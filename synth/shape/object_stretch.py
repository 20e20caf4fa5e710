"""Single objects stretched or squeezed along one axis, standing where they stood.

In the picture, or (`renderer` scene) in the scene: bodies of other proportions, seen from all sides, with true labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from scenes.edits import Reshape
from scenes.sample import Sample
from synth.inscene import PICTURE, Renderer, check_renderer, chosen, edited, largest
from synth.random import Rng
from synth.registry import register
from synth.shape.objects import DeformParams, deform_objects, draw_deformations
from synth.shift import Change, Family, Need, SeverityTable

_MOST = 64  # objects for which something is drawn
_KINDS = ("wider", "narrower", "taller", "flatter")


@register
@dataclass(frozen=True)
class StretchObjects:
    """Single objects wider, narrower, taller or flatter.

    kind: "any" draws one for each object; min_side_px: smaller objects are left alone
    renderer: picture or scene (see synth/inscene.py)
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
    renderer: Renderer = PICTURE

    def __post_init__(self) -> None:
        check_renderer(self.renderer)
        if self.kind not in ("any", *_KINDS):
            raise ValueError(f"kind: expected any, {', '.join(_KINDS)}, got {self.kind!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DeformParams:
        amount = self.table.at(severity) / 100
        by = chosen(self.renderer, sample, self.name)
        if by != PICTURE:
            rows = largest(sample, min_side_px=self.min_side_px)[:_MOST]
            kinds = [rng.choice(_KINDS) for _ in rows]
            return DeformParams(
                amount=amount,
                targets=tuple(int(sample.annotations.instance_ids[row]) for row in rows),
                kinds=tuple(name if self.kind == "any" else self.kind for name in kinds),
                signs=(1,) * len(rows),
                renderer=by,
            )
        return draw_deformations(sample, amount, _KINDS, rng, min_side_px=self.min_side_px, only=self.kind)

    def apply(self, sample: Sample, params: DeformParams) -> Sample:
        if params.renderer != PICTURE:
            plan = list(zip(params.targets, params.kinds, strict=True))
            edits = [reshape(key, kind, params.amount) for key, kind in plan]
            reasons = {key: f"deformed ({kind}, {params.amount:.0%})" for key, kind in plan}
            return edited(sample, edits, reasons, who=self.name)
        return deform_objects(sample, params)


def reshape(key: int, kind: str, amount: float) -> Reshape:
    """Return the edit that stretches an object as the picture's kinds do: wider is longer too, seen from the side.

    >>> reshape(1, "flatter", 0.25).height
    0.8
    """
    factor = 1 + amount if kind in ("wider", "taller") else 1 / (1 + amount)
    if kind in ("wider", "narrower"):
        return Reshape(key, length=factor, width=factor)
    return Reshape(key, height=factor)
