"""Smog: fine particles and nitrogen dioxide under an inversion, grey-yellow, that veil blue more than red.

Extinction of particles smaller than the wavelength falls with it: beta ~ wavelength^-a, a about 1.3 over cities (Eck
1999), so that far things turn yellow before they are lost; nitrogen dioxide absorbs blue and colours the airlight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from scenes.sample import Sample
from synth.atmosphere import Air, Colour, airlight_of, by_wavelength, depth_and_camera, extinction_per_m
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable, check_option
from synth.veil import veil

TINT: Colour = (1.07, 1.0, 0.70)  # airlight over luminance 1
GREY_LOST = 0.12  # colour that the diffuse light takes


@dataclass(frozen=True)
class SmogParams:
    """One drawn smog. Angstrom exponent of the extinction; airlight is linear radiance; inversion over the camera."""

    visibility_m: float
    angstrom: float
    inversion_m: float
    airlight: Colour


@register
@dataclass(frozen=True)
class Smog:
    """Smog of a given visibility. Option: angstrom, how much more blue is lost than red; 1.0 to 1.6 if None."""

    name: ClassVar[str] = "weather/smog"
    family: ClassVar[Family] = "weather"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "visibility",
        "m",
        (1500.0, 800.0, 400.0, 200.0, 100.0),
        "meteorological optical range of green light; under 2000 m is heavy haze (QX/T 113), under 500 m is what "
        "London had for days in December 1952",
        "reciprocal",
    )
    params_type: ClassVar[type[SmogParams]] = SmogParams

    angstrom: float | None = None

    def __post_init__(self) -> None:
        check_option(self.name, "angstrom", self.angstrom, 0, 4, "")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> SmogParams:
        drawn, inversion, dimming = rng.uniform(1.0, 1.6), rng.uniform(150.0, 500.0), rng.uniform(0.65, 0.9)
        level = dimming * airlight_of(sample.image)[1]
        return SmogParams(
            visibility_m=self.table.at(severity),
            angstrom=drawn if self.angstrom is None else self.angstrom,
            inversion_m=inversion,
            airlight=(level * TINT[0], level * TINT[1], level * TINT[2]),
        )

    def apply(self, sample: Sample, params: SmogParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        beta, ratio = extinction_per_m(params.visibility_m), by_wavelength(params.angstrom)
        air = Air(beta, params.airlight, layer_m=params.inversion_m, ratio=ratio)
        dim: Colour = (0.95, 0.93, 0.86)  # the sun is weaker, and yellow
        return replace(sample, image=veil(sample.image, depth, camera, air, gain=dim, grey=GREY_LOST))
