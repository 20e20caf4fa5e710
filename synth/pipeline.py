"""One variant of one sample: complete what the shift needs, draw, apply, audit; a chain goes part by part."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scenes.errors import InputError
from scenes.sample import Sample
from synth.audit import Verdict, audit
from synth.chain import AnyShift, Chain, ChainParams, PartParams, after_part, compose
from synth.depth import DepthSource, complete_depth, completed_camera
from synth.random import Rng, rng_for
from synth.rerender import lacks_scene
from synth.shift import Shift, check_severity

RENDERERS = {  # by Sample.meta["renderer"]: words for people
    "exact": "the exact scene",
    "splats": "Gaussian splats",
    "nerf": "a NeRF",
    "reprojection": "reprojection through depth",
}


@dataclass(frozen=True)
class Shifted:
    """A variant and how it came about.

    params:    drawn parameters, None for severity 0
    completed: what the pipeline had to add before `apply`, e.g. {"depth": "ground-plane prior"}; and where the picture
               was seen anew, its "renderer"
    verdicts:  one for each object of the result, in order
    """

    sample: Sample
    params: Any
    verdicts: tuple[Verdict, ...]
    completed: Mapping[str, str] = field(default_factory=dict)


def shifted(
    sample: Sample,
    shift: AnyShift,
    severity: float,
    *,
    seed: int,
    variant: int = 0,
    position: int = 0,
    depth: DepthSource | None = None,
) -> Shifted:
    """Return a variant of a sample; severity 0 is the sample itself. `shift` may be a `Chain`."""
    if severity == 0:
        return Shifted(sample=sample, params=None, verdicts=audit(sample, sample))
    check_severity(severity)
    whole, completed = complete(sample, shift, depth=depth)
    if isinstance(shift, Chain):
        links = [
            _Link(
                part.shift,
                own,
                functools.partial(
                    rng_for,
                    seed,
                    shift=part.shift.name,
                    sample_id=sample.sample_id,
                    variant=variant,
                    position=position + place,
                ),
            )
            for place, (part, own) in enumerate(zip(shift.parts, shift.severities(severity), strict=True))
        ]
        return _chained(whole, links, completed)
    rng = rng_for(seed, shift=shift.name, sample_id=sample.sample_id, variant=variant, position=position)
    params = shift.draw(whole, severity, rng)
    return _apply(whole, shift, params, completed)


def replay(sample: Sample, shift: AnyShift, params: Mapping[str, Any], *, depth: DepthSource | None = None) -> Shifted:
    """Return the variant that recorded params describe."""
    whole, completed = complete(sample, shift, depth=depth)
    if isinstance(shift, Chain):
        recorded: ChainParams = params_from(shift, params)
        links = [_Link(part.shift, own.severity, params=own.params) for part, own in shift.matched(recorded)]
        return _chained(whole, links, completed)
    return _apply(whole, shift, params_from(shift, params), completed)


@dataclass(frozen=True)
class _Link:
    """One part of a chain: what it draws with, or what it drew."""

    shift: Shift[Any]
    severity: float
    rng: Callable[[], Rng] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def drawn(self, sample: Sample) -> Any:
        """Return the params for the sample as this part finds it."""
        if self.rng is None:
            return params_from(self.shift, self.params)
        return self.shift.draw(sample, self.severity, self.rng())


def _chained(whole: Sample, links: Sequence[_Link], completed: Mapping[str, str]) -> Shifted:
    """Go through the parts; each finds what the ones before it left, completed again where they left holes."""
    sample, noted = whole, dict(completed)
    steps: list[tuple[Verdict, ...]] = []
    drawn: list[PartParams] = []
    for position, link in enumerate(links):
        sample, added = complete(after_part(sample, position), link.shift)
        noted = {**added, **noted}
        params = link.drawn(sample)
        done = _apply(sample, link.shift, params, {})
        sample = done.sample
        noted.update(done.completed)
        steps.append(done.verdicts)
        drawn.append(PartParams(link.shift.name, link.severity, params_as_mapping(params)))
    verdicts = compose(steps, [link.shift.name for link in links], audit(whole, sample))
    return Shifted(sample=sample, params=ChainParams(tuple(drawn)), verdicts=verdicts, completed=noted)


def _apply(whole: Sample, shift: Shift[Any], params: Any, completed: Mapping[str, str]) -> Shifted:
    result = shift.apply(whole, params)
    renderer = RENDERERS.get(str(result.meta.get("renderer")))
    if renderer is not None and result.image is not whole.image:
        completed = {**completed, "renderer": renderer}
    return Shifted(sample=result, params=params, verdicts=audit(whole, result), completed=completed)


def complete(sample: Sample, shift: AnyShift, *, depth: DepthSource | None = None) -> tuple[Sample, dict[str, str]]:
    """Give a sample the depth and camera that a shift needs, and say from where; raise for what cannot be made up."""
    completed: dict[str, str] = {}
    if "scene" in shift.needs and (lacking := lacks_scene(sample)):
        raise InputError(f"{shift.name} {lacking}; sample {sample.sample_id!r} has none")
    if "instances" in shift.needs and sample.instances is None and sample.annotations.masks is None:
        raise InputError(f"{shift.name} needs object masks; sample {sample.sample_id!r} has none")
    if "previous" in shift.needs and sample.previous is None:
        if sample.scene is None:
            raise InputError(
                f"{shift.name} needs the frame before; sample {sample.sample_id!r} has none, and no scene to render it "
                "from: use data in sequences, the town or a capture"
            )
        completed["previous"] = "rendered from the scene, in which nothing but the camera moves"
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


def params_from(shift: AnyShift, mapping: Mapping[str, Any]) -> Any:
    """Return the params object of a shift from what `params_as_mapping` wrote (lists become tuples)."""
    plain = {key: _freeze(value) for key, value in mapping.items()}
    try:
        return shift.params_type(**plain)
    except TypeError as error:
        fits = shift.params_type.__name__
        raise InputError(f"{shift.name}: params {dict(mapping)} do not fit {fits}: {error}") from error


def _freeze(value: Any) -> Any:
    return tuple(_freeze(v) for v in value) if isinstance(value, list) else value
