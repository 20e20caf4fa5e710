"""Which samples and shifts a run leaves out, so that every figure covers the same pictures.

A sample that cannot be read, or that some shift cannot be applied to, is left out of all cells, named and counted. A
shift that fails on many samples is left out itself, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scenes.errors import InputError
from stress.cells import Skip
from stress.plan import CLEAN

TOO_MANY = 0.2  # of the readable samples; a shift that fails on more is left out as a whole


@dataclass(frozen=True)
class Exclusion:
    """samples: indices left out; reasons: {sample_id: why}; left_out: shifts; notes: what a reader must know."""

    samples: frozenset[int]
    reasons: dict[str, str]
    left_out: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)

    def listed(self) -> list[dict[str, str]]:
        return [{"sample_id": sample_id, "reason": reason} for sample_id, reason in self.reasons.items()]


def decide(skips: Sequence[Skip], *, n_samples: int) -> Exclusion:
    """Return what is left out, given what no cell could score; raise where nothing is left."""
    ordered = sorted(skips, key=lambda skip: (skip.index, skip.cell.shift != CLEAN, skip.cell))
    unreadable = {skip.index for skip in ordered if skip.at != "shift"}
    failing: dict[str, dict[int, Skip]] = {}
    for skip in ordered:
        if skip.at == "shift" and skip.index not in unreadable:
            failing.setdefault(skip.cell.shift, {}).setdefault(skip.index, skip)
    readable = n_samples - len(unreadable)
    left_out = {shift for shift, failed in failing.items() if len(failed) > TOO_MANY * readable}
    notes = []
    for shift in sorted(left_out):
        first = next(iter(failing[shift].values()))
        notes.append(
            f"{shift} is left out: it failed on {len(failing[shift])} of {readable} samples, first: {first.reason}"
        )
    used = [skip for skip in ordered if skip.at != "shift" or skip.cell.shift not in left_out]
    excluded = frozenset(skip.index for skip in used)
    if len(excluded) == n_samples:
        raise InputError(f"no sample could be used; the first: {used[0].sample_id!r}: {used[0].reason}")
    reasons: dict[str, str] = {}
    for skip in used:
        reasons.setdefault(skip.sample_id, skip.reason)
    if reasons:
        notes.append(
            f"{len(reasons)} of {n_samples} samples are left out of every figure; they are listed under skipped."
        )
    return Exclusion(samples=excluded, reasons=reasons, left_out=frozenset(left_out), notes=notes)
