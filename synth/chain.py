"""Several shifts one after another as one entry: rain, then night, then drops on the lens.

A part keeps its own severity where it fixes one; the others take the severity of the whole. What a part draws is keyed
by its position, so that the same shift twice draws twice. Verdicts compose: an object that any part made invalid stays
invalid, and its visible fraction is that of the clean frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, cast

from scenes.errors import InputError
from scenes.sample import Sample
from synth.audit import OCCLUDED_BELOW, Verdict
from synth.random import Rng
from synth.registry import create
from synth.shift import Change, Need, SeverityTable, Shift, check_severity

FAMILY = "chain"
_STRENGTH: tuple[Change, ...] = ("appearance", "geometry", "content")


@dataclass(frozen=True)
class Part:
    """One link: a shift, and its own severity where it does not take the chain's."""

    shift: Shift[Any]
    severity: float | None = None


@dataclass(frozen=True)
class PartParams:
    """What one part drew: the full name of its shift, its severity, its params as plain values."""

    shift: str
    severity: float
    params: Mapping[str, Any]


@dataclass(frozen=True)
class ChainParams:
    """What a chain drew, part by part."""

    parts: tuple[PartParams, ...]

    def __post_init__(self) -> None:
        parts = tuple(part if isinstance(part, PartParams) else PartParams(**part) for part in self.parts)
        object.__setattr__(self, "parts", parts)


@dataclass(frozen=True)
class Chain:
    """Shifts in a row; stands wherever a shift stands (`pipeline.shifted`, `replay`, a plan, a recipe).

    label: how it is called instead of by its parts: `chain/storm`
    """

    parts: tuple[Part, ...]
    label: str | None = None
    family: ClassVar[str] = FAMILY
    params_type: ClassVar[type[ChainParams]] = ChainParams
    needs: frozenset[Need] = field(init=False)

    def __post_init__(self) -> None:
        if not self.parts:
            raise InputError("chain: expected at least one shift, got none")
        for position, part in enumerate(self.parts):
            if position and "scene" in part.shift.needs:
                raise InputError(
                    f"{self.name}: {part.shift.name} renders the scene anew, which would undo what came before: "
                    "put it first"
                )
            if part.severity is not None:
                check_severity(part.severity)
        object.__setattr__(self, "needs", frozenset().union(*(part.shift.needs for part in self.parts)))

    @property
    def name(self) -> str:
        """`chain/rain+night`; a part of fixed severity says it, as in `chain/rain+night=2`."""
        return f"{FAMILY}/{self.label or '+'.join(map(_said, self.parts))}"

    @property
    def changes(self) -> Change:
        """The furthest-reaching change of all parts."""
        return max((part.shift.changes for part in self.parts), key=_STRENGTH.index)

    @property
    def table(self) -> SeverityTable:
        """Severities are the parts' own; the source says what stands behind them."""
        behind = "; ".join(
            f"{part.shift.name}: {part.shift.table.quantity} {part.shift.table.unit}".rstrip()
            + (f" at severity {part.severity:g}" if part.severity is not None else "")
            for part in self.parts
        )
        return SeverityTable("severity of each part", "", (1.0, 2.0, 3.0, 4.0, 5.0), behind)

    @property
    def fixed(self) -> float | None:
        """The severity of a chain whose parts all fix their own (the highest of them), else None."""
        own = [part.severity for part in self.parts if part.severity is not None]
        return max(own) if len(own) == len(self.parts) else None

    def severities(self, severity: float) -> tuple[float, ...]:
        """Return the severity of each part when the whole has this one."""
        return tuple(severity if part.severity is None else part.severity for part in self.parts)

    def draw(self, sample: Sample, severity: float, rng: Rng) -> ChainParams:
        """Draw all parts outside the pipeline, which keys each part by its position instead."""
        from synth.pipeline import shifted

        drawn = shifted(sample, self, severity, seed=rng.seed())
        return cast(ChainParams, drawn.params)

    def apply(self, sample: Sample, params: ChainParams) -> Sample:
        """Apply what was drawn, part after part."""
        from synth.pipeline import params_from

        for position, (part, drawn) in enumerate(self.matched(params)):
            sample = part.shift.apply(after_part(sample, position), params_from(part.shift, drawn.params))
        return sample

    def matched(self, params: ChainParams) -> list[tuple[Part, PartParams]]:
        """Return parts with their params; raise where the params are of another chain."""
        recorded, own = [part.shift for part in params.parts], [part.shift.name for part in self.parts]
        if recorded != own:
            raise InputError(f"{self.name}: params of {' + '.join(recorded)} do not fit {' + '.join(own)}")
        return list(zip(self.parts, params.parts, strict=True))


AnyShift = Shift[Any] | Chain  # what stands where a shift stands


def create_chain(parts: Sequence[Any], *, label: str | None = None) -> Chain:
    """Return a chain from plain values: names, or mappings of name, severity and the shift's options.

    >>> create_chain(["rain", {"name": "night", "severity": 2}]).name
    'chain/rain+night=2'
    """
    return Chain(tuple(_part(part) for part in parts), label)


def _part(value: Any) -> Part:
    if isinstance(value, str):
        return Part(create(value))
    if not isinstance(value, Mapping) or "name" not in value:
        raise InputError(f"chain: expected names of shifts or mappings with a name, got {value!r}")
    options = value.get("options", {k: v for k, v in value.items() if k not in ("name", "severity")})
    severity = value.get("severity")
    if severity is not None and (isinstance(severity, bool) or not isinstance(severity, int | float)):
        raise InputError(f"chain: {value['name']}: severity: expected a number from 1 to 5, got {severity!r}")
    return Part(create(str(value["name"]), options), None if severity is None else float(severity))


def _said(part: Part) -> str:
    family, _, bare = part.shift.name.partition("/")
    name = f"{family}.{bare}" if family == "imagenet_c" else bare
    return name if part.severity is None else f"{name}={part.severity:g}"


def after_part(sample: Sample, position: int) -> Sample:
    """Return the sample as the part at a position finds it: the scene no longer looks like an altered picture."""
    return sample if position == 0 or sample.scene is None else replace(sample, scene=None)


def compose(
    steps: Sequence[tuple[Verdict, ...]], names: Sequence[str], whole: tuple[Verdict, ...]
) -> tuple[Verdict, ...]:
    """Return the verdict of each object over all parts.

    steps: verdicts of each part against what it was given; names: of the parts
    whole: verdicts of the result against the clean frame, which know what has become hard to see
    """
    history: dict[int, list[tuple[str, Verdict]]] = {}
    for name, verdicts in zip(names, steps, strict=True):
        for verdict in verdicts:
            history.setdefault(verdict.instance_id, []).append((name, verdict))
    return tuple(_composed(history.get(v.instance_id, []), v) for v in whole)


def _composed(history: Sequence[tuple[str, Verdict]], whole: Verdict) -> Verdict:
    for name, verdict in history:
        if verdict.kind == "invalid":
            return replace(verdict, reason=f"{name}: {verdict.reason}", hard_to_see=False)
    if whole.kind == "invalid":
        return whole
    fraction = 1.0
    for _, verdict in history:
        fraction *= verdict.visible_fraction
    touched = [(name, v) for name, v in history if v.kind in ("occluded", "modified")]
    if fraction < OCCLUDED_BELOW:
        return replace(
            whole,
            kind="occluded",
            visible_fraction=fraction,
            reason=f"{fraction:.0%} of what was visible is left",
        )
    for kind in ("modified", "occluded"):
        said = [f"{name}: {v.reason}" for name, v in touched if v.kind == kind]
        if said:
            return replace(whole, kind=kind, visible_fraction=fraction, reason="; ".join(said))
    reasons = [v.reason for _, v in history if v.reason]
    return replace(whole, kind="kept", visible_fraction=fraction, reason=reasons[0] if reasons else "")
