"""Objects moved over the ground, by a re-render of the scene: out of their lane, onto the pavement, closer, farther.

Needs a scene. What was hidden behind appears, and what the object now stands before is hidden.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from scenes.edits import Move
from scenes.errors import InputError
from scenes.sample import Sample
from synth.inscene import edited, largest
from synth.random import Rng
from synth.registry import register
from synth.rerender import renderer_of
from synth.shift import Change, Family, Need, SeverityTable

_MOST = 64


@dataclass(frozen=True)
class ObjectMoveParams:
    """distance_m: of every target; headings_rad: which way each goes, from world x to the left; renderer: its scene."""

    distance_m: float
    targets: tuple[int, ...]
    headings_rad: tuple[float, ...]
    renderer: str = "exact"


@register
@dataclass(frozen=True)
class ObjectMove:
    """Single objects of the scene moved over the ground, each in a direction of its own.

    max_targets: at most so many of the largest visible objects
    """

    name: ClassVar[str] = "pose/object_move"
    family: ClassVar[Family] = "pose"
    needs: ClassVar[frozenset[Need]] = frozenset({"scene", "camera"})
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "moved by",
        "m",
        (0.25, 0.5, 1.0, 2.0, 3.5),
        "from the spread of cars within a lane (0.25 m) to the next lane (3.5 m, RAL 2012)",
    )
    params_type: ClassVar[type[ObjectMoveParams]] = ObjectMoveParams

    max_targets: int = 12

    def draw(self, sample: Sample, severity: float, rng: Rng) -> ObjectMoveParams:
        rows = largest(sample)[: self.max_targets]
        headings = [rng.uniform(0.0, 2 * math.pi) for _ in range(_MOST)]
        return ObjectMoveParams(
            distance_m=self.table.at(severity),
            targets=tuple(int(sample.annotations.instance_ids[row]) for row in rows),
            headings_rad=tuple(headings[: len(rows)]),
            renderer=renderer_of(sample),
        )

    def apply(self, sample: Sample, params: ObjectMoveParams) -> Sample:
        if sample.scene is None:
            raise InputError(
                f"{self.name} needs a scene; sample {sample.sample_id!r} has none: use the town or a fitted scene"
            )
        way = params.distance_m
        edits = [
            Move(key, x_m=way * math.cos(heading), y_m=way * math.sin(heading))
            for key, heading in zip(params.targets, params.headings_rad, strict=True)
        ]
        return edited(sample, edits, dict.fromkeys(params.targets, f"moved by {way:g} m"), who=self.name)
