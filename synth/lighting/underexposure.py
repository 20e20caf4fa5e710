"""Under-exposure: the frame got too little light, by a number of stops, and keeps the noise of what it got."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from scenes.sample import Sample
from synth.lighting.exposure import darkened
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable


@dataclass(frozen=True)
class UnderexposureParams:
    """One drawn exposure, in stops under the right one (positive), and the sensor's read noise in electrons."""

    exposure_ev: float
    read_noise_e: float
    seed: int


@register
@dataclass(frozen=True)
class Underexposure:
    """Exposed too short: linear light times 2^-EV, with its noise and the few grey steps that are left."""

    name: ClassVar[str] = "lighting/underexposure"
    family: ClassVar[Family] = "lighting"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "under-exposure",
        "EV",
        (1.0, 2.0, 3.0, 4.0, 5.0),
        "1 EV halves the light (ISO 12232); metering on a sky or a low sun costs the street 1 to 3 EV, a camera that "
        "has not opened up yet after daylight 4 to 5 EV; white is 10,000 electrons before it, noise after EMVA 1288",
    )
    params_type: ClassVar[type[UnderexposureParams]] = UnderexposureParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> UnderexposureParams:
        return UnderexposureParams(
            exposure_ev=self.table.at(severity), read_noise_e=rng.uniform(4.0, 12.0), seed=rng.seed()
        )

    def apply(self, sample: Sample, params: UnderexposureParams) -> Sample:
        image = darkened(sample.image, stops=params.exposure_ev, read_noise_e=params.read_noise_e, seed=params.seed)
        return replace(sample, image=image)
