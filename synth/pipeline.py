"""One variant of one sample: complete what the shift needs, draw, apply, audit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scenes.errors import InputError
from scenes.sample import Sample
from synth.audit import Verdict, audit
from synth.depth import DepthSource, complete_depth, completed_camera
from synth.random import rng_for
from synth.shift import Shift, check_severity


@dataclass(frozen=True)
class Shifted:
    """A variant and how it came about.

    params:    drawn parameters, None for severity 0
    completed: what the pipeline had to add before `apply`, e.g. {"depth": "ground-plane prior"}
    verdicts:  one for each object of the result, in order
    """

    sample: Sample
    params: Any
    verdicts: tuple[Verdict, ...]
    completed: Mapping[str, str] = field(default_factory=dict)


def shifted(
    sample: Sample,
    shift: Shift[Any],
    severity: float,
    *,
    seed: int,
    variant: int = 0,
    position: int = 0,
    depth: DepthSource | None = None,
) -> Shifted:
    """Return a variant of a sample; severity 0 is the sample itself."""
    if severity == 0:
        return Shifted(sample=sample, params=None, verdicts=audit(sample, sample))
    check_severity(severity)
    whole, completed = complete(sample, shift, depth=depth)
    rng = rng_for(seed, shift=shift.name, sample_id=sample.sample_id, variant=variant, position=position)
    params = shift.draw(whole, severity, rng)
    return _apply(whole, shift, params, completed)


def replay(
    sample: Sample, shift: Shift[Any], params: Mapping[str, Any], *, depth: DepthSource | None = None
) -> Shifted:
    """Return the variant that recorded params describe."""
    whole, completed = complete(sample, shift, depth=depth)
    return _apply(whole, shift, params_from(shift, params), completed)


def _apply(whole: Sample, shift: Shift[Any], params: Any, completed: Mapping[str, str]) -> Shifted:
    result = shift.apply(whole, params)
    return Shifted(sample=result, params=params, verdicts=audit(whole, result), completed=completed)


def complete(sample: Sample, shift: Shift[Any], *, depth: DepthSource | None = None) -> tuple[Sample, dict[str, str]]:
    """Give a sample the depth and camera that a shift needs, and say from where; raise for what cannot be made up."""
    completed: dict[str, str] = {}
    if "scene" in shift.needs and sample.scene is None:
        raise InputError(f"{shift.name} needs a scene; sample {sample.sample_id!r} has none: use the town or a capture")
    if "instances" in shift.needs and sample.instances is None and sample.annotations.masks is None:
        raise InputError(f"{shift.name} needs object masks; sample {sample.sample_id!r} has none")
    if shift.needs & {"camera", "depth"}:
        sample, assumed = completed_camera(sample)
        if assumed:
            completed["camera"] = assumed
    if "depth" in shift.needs:
        sample, source = complete_depth(sample, depth)
        if source:
            completed["depth"] = source
    return sample, completed


def params_as_mapping(params: Any) -> dict[str, Any]:
    """Return drawn params as plain values for JSON."""
    return {} if params is None else dataclasses.asdict(params)


def params_from(shift: Shift[Any], mapping: Mapping[str, Any]) -> Any:
    """Return the params object of a shift from what `params_as_mapping` wrote (lists become tuples)."""
    plain = {key: _freeze(value) for key, value in mapping.items()}
    try:
        return shift.params_type(**plain)
    except TypeError as error:
        fits = shift.params_type.__name__
        raise InputError(f"{shift.name}: params {dict(mapping)} do not fit {fits}: {error}") from error


def _freeze(value: Any) -> Any:
    return tuple(_freeze(v) for v in value) if isinstance(value, list) else value
