"""Photon noise, read noise and quantisation of a sensor at high gain, after EMVA 1288, in linear light."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from scenes.sample import Sample
from synth.photons import expose
from synth.radiometry import to_linear
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

FULL_WELL_E = 10_000.0  # of a 3 micrometre pixel
BASE_ISO = 100.0


@dataclass(frozen=True)
class NoiseParams:
    """One drawn exposure: gain as ISO speed, read noise in electrons."""

    iso: float
    read_noise_e: float
    seed: int


@register
@dataclass(frozen=True)
class Noise:
    """The noise of a sensor that had little light and raised its gain; the mean brightness stays."""

    name: ClassVar[str] = "sensor/noise"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "gain",
        "ISO",
        (1600.0, 3200.0, 6400.0, 12800.0, 25600.0),
        "white is a full well of 10,000 electrons at ISO 100 (3 um pixel), less by the gain; noise after EMVA 1288",
        "log",
    )
    params_type: ClassVar[type[NoiseParams]] = NoiseParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> NoiseParams:
        return NoiseParams(iso=self.table.at(severity), read_noise_e=rng.uniform(2.0, 4.0), seed=rng.seed())

    def apply(self, sample: Sample, params: NoiseParams) -> Sample:
        full_scale = FULL_WELL_E * BASE_ISO / params.iso
        noisy = expose(
            to_linear(sample.image), full_scale_e=full_scale, read_noise_e=params.read_noise_e, seed=params.seed
        )
        return replace(sample, image=noisy)
