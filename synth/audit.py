"""What a change of the picture did to each object: a matter of geometry, never of predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scenes.sample import Sample


@dataclass(frozen=True)
class Verdict:
    """What the audit says of one object after a shift.

    visible_fraction: visible part of what was visible in the clean frame (1 where nothing hides it)
    hard_to_see:      contrast to its surroundings is below what the physics leaves; never changes the headline figure
    """

    instance_id: int
    kind: Literal["kept", "modified", "occluded", "invalid"]
    visible_fraction: float
    reason: str = ""
    hard_to_see: bool = False


def audit(before: Sample, after: Sample) -> tuple[Verdict, ...]:
    """Return a verdict for each object of `after.annotations`, in order."""
    return tuple(
        Verdict(instance_id=int(i), kind="kept", visible_fraction=1.0) for i in after.annotations.instance_ids
    )
