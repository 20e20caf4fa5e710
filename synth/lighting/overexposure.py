"""Over-exposure: the frame got more light than it could hold, by a number of stops in linear light."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from scenes.sample import Sample
from synth.lighting.exposure import brightened
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable


@dataclass(frozen=True)
class OverexposureParams:
    """One drawn exposure, in stops over the right one; the seed dithers tones between 8-bit codes."""

    exposure_ev: float
    seed: int


@register
@dataclass(frozen=True)
class Overexposure:
    """Exposed too long: linear light times 2^EV, highlights clipped channel by channel."""

    name: ClassVar[str] = "lighting/overexposure"
    family: ClassVar[Family] = "lighting"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "exposure",
        "EV",
        (0.6, 1.2, 1.9, 2.7, 3.5),
        "1 EV doubles the light (ISO 12232); open shade and sun differ by 3.3 EV (10,000 and 100,000 lx), so metering "
        "on the one over-exposes the other by up to that",
    )
    params_type: ClassVar[type[OverexposureParams]] = OverexposureParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> OverexposureParams:
        return OverexposureParams(exposure_ev=self.table.at(severity), seed=rng.seed())

    def apply(self, sample: Sample, params: OverexposureParams) -> Sample:
        return replace(sample, image=brightened(sample.image, stops=params.exposure_ev, seed=params.seed))
