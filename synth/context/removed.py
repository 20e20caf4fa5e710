"""Objects taken out of the scene, by a re-render: the road without those whose company the model may rely on.

Needs a scene. What the frame shows of an object elsewhere (its shadow, its mirror image) goes with it in the town; in
splats it is baked in and stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scenes.edits import Remove
from scenes.errors import InputError
from scenes.sample import Sample
from synth.inscene import edited, largest
from synth.random import Rng
from synth.registry import register
from synth.relabel import note
from synth.rerender import renderer_of
from synth.shift import Change, Family, Need, SeverityTable


@dataclass(frozen=True)
class RemovedParams:
    """targets: instance ids; renderer: that of the scene."""

    targets: tuple[int, ...]
    renderer: str = "exact"


@register
@dataclass(frozen=True)
class Removed:
    """Objects of the scene removed; what was behind them appears. At least one object is left.

    min_side_px: smaller objects stay
    """

    name: ClassVar[str] = "context/removed"
    family: ClassVar[Family] = "context"
    needs: ClassVar[frozenset[Need]] = frozenset({"scene", "camera"})
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "objects removed",
        "1",
        (1, 2, 4, 7, 12),
        "Shetty et al. (2019), Not Using the Car to See the Sidewalk: finds change when one object is gone",
    )
    params_type: ClassVar[type[RemovedParams]] = RemovedParams

    min_side_px: float = 4.0

    def draw(self, sample: Sample, severity: float, rng: Rng) -> RemovedParams:
        rows = largest(sample, min_side_px=self.min_side_px)
        order = [rows[i] for i in rng.permutation(len(rows))][: max(0, len(rows) - 1)]
        chosen = order[: round(self.table.at(severity))]
        return RemovedParams(
            targets=tuple(int(sample.annotations.instance_ids[row]) for row in chosen), renderer=renderer_of(sample)
        )

    def apply(self, sample: Sample, params: RemovedParams) -> Sample:
        if sample.scene is None:
            raise InputError(
                f"{self.name} needs a scene; sample {sample.sample_id!r} has none: use the town or a fitted scene"
            )
        result = edited(sample, [Remove(key) for key in params.targets], {}, who=self.name)
        return note(result, "destroyed", dict.fromkeys(params.targets, "removed from the scene"))
