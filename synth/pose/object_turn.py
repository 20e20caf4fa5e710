"""Objects turned where they stand, by a re-render of the scene: parked askew, across the lane, overturned.

Needs a scene. What the frame shows elsewhere (shadows, mirrors, what was hidden behind) changes with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from scenes.edits import Turn
from scenes.errors import InputError
from scenes.sample import Sample
from synth.random import Rng
from synth.registry import register
from synth.relabel import note
from synth.rerender import render_again, renderer_of
from synth.shift import Change, Family, Need, SeverityTable

_MOST = 64


@dataclass(frozen=True)
class TurnParams:
    """angle_deg: about `axis`; one sign for each target; renderer: that of the scene."""

    angle_deg: float
    axis: str
    targets: tuple[int, ...]
    signs: tuple[int, ...]
    renderer: str = "exact"


@register
@dataclass(frozen=True)
class ObjectTurn:
    """Single objects of the scene turned about their own centre on the ground.

    axis:        yaw turns on the spot, pitch tips forward or back, roll onto a side
    max_targets: at most so many of the largest visible objects
    """

    name: ClassVar[str] = "pose/object_turn"
    family: ClassVar[Family] = "pose"
    needs: ClassVar[frozenset[Need]] = frozenset({"scene", "camera"})
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "turned by",
        "deg",
        (10, 25, 45, 70, 100),
        "Alcorn et al. (2019), Strike (with) a Pose: most errors come with rotations away from the canonical view",
    )
    params_type: ClassVar[type[TurnParams]] = TurnParams

    axis: Literal["yaw", "pitch", "roll"] = "yaw"
    max_targets: int = 12

    def __post_init__(self) -> None:
        if self.axis not in ("yaw", "pitch", "roll"):
            raise ValueError(f"axis: expected yaw, pitch or roll, got {self.axis!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> TurnParams:
        notes = sample.annotations
        sizes = (notes.boxes[:, 2:] - notes.boxes[:, :2]).prod(axis=1)
        rows = [int(row) for row in np.argsort(-sizes, kind="stable") if sizes[row] > 0][: self.max_targets]
        signs = [rng.choice((-1, 1)) for _ in range(_MOST)]
        return TurnParams(
            angle_deg=self.table.at(severity),
            axis=self.axis,
            targets=tuple(int(notes.instance_ids[row]) for row in rows),
            signs=tuple(signs[: len(rows)]),
            renderer=renderer_of(sample),
        )

    def apply(self, sample: Sample, params: TurnParams) -> Sample:
        if sample.scene is None:
            raise InputError(
                f"{self.name} needs a scene; sample {sample.sample_id!r} has none: use the town or a fitted scene"
            )
        if not params.targets and sample.camera is not None:
            return sample
        angle = math.radians(params.angle_deg)
        edits = [
            Turn(instance_id=key, **{f"{params.axis}_rad": sign * angle})
            for key, sign in zip(params.targets, params.signs, strict=True)
        ]
        result = render_again(sample, who=self.name, edits=edits)
        return note(result, "edited", dict.fromkeys(params.targets, f"turned by {params.angle_deg:.0f} degrees"))
