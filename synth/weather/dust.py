"""Blowing dust: a brown veil that dims the sun, by the visibility classes of dust storms.

Mineral grains are larger than the wavelength, so that extinction hardly depends on colour (Angstrom exponent about
0.2, Eck 1999), but iron oxides absorb blue: what dust scatters, and the daylight under it, is brown.
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

ANGSTROM = 0.2
PALE: Colour = (1.10, 1.0, 0.76)  # of quartz and clay, over luminance 1
OCHRE: Colour = (1.26, 0.98, 0.52)  # of soil rich in iron
SUN_LOST_AT_500_M = 0.16  # of the daylight under a storm of 500 m visibility


@dataclass(frozen=True)
class DustParams:
    """One drawn storm. Airlight is linear radiance; the dust reaches layer_m over the camera."""

    visibility_m: float
    layer_m: float
    airlight: Colour


@register
@dataclass(frozen=True)
class Dust:
    """Blowing dust and dust storms. Option: ochre, from pale (0) to red soil (1), drawn if None."""

    name: ClassVar[str] = "weather/dust"
    family: ClassVar[Family] = "weather"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "visibility",
        "m",
        (1000.0, 500.0, 200.0, 100.0, 50.0),
        "meteorological optical range: a dust storm is under 1000 m, a severe one under 200 m (WMO No. 8 and code "
        "4677); 500 m and 50 m bound the strong and the extreme class of GB/T 20480",
        "reciprocal",
    )
    params_type: ClassVar[type[DustParams]] = DustParams

    ochre: float | None = None

    def __post_init__(self) -> None:
        check_option(self.name, "ochre", self.ochre, 0, 1, "")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DustParams:
        drawn, layer, dimming = rng.uniform(), rng.uniform(300.0, 1200.0), rng.uniform(0.6, 0.85)
        ochre = drawn if self.ochre is None else self.ochre
        level = dimming * airlight_of(sample.image)[1]
        red, green, blue = (level * (pale + ochre * (o - pale)) for pale, o in zip(PALE, OCHRE, strict=True))
        return DustParams(visibility_m=self.table.at(severity), layer_m=layer, airlight=(red, green, blue))

    def apply(self, sample: Sample, params: DustParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        beta = extinction_per_m(params.visibility_m)
        air = Air(beta, params.airlight, layer_m=params.layer_m, ratio=by_wavelength(ANGSTROM))
        return replace(sample, image=veil(sample.image, depth, camera, air, gain=daylight(params)))


def daylight(params: DustParams) -> Colour:
    """Return what the dust overhead leaves of daylight: less in thick dust, and browner."""
    lost = 1.0 - (1.0 - SUN_LOST_AT_500_M) ** min(500.0 / params.visibility_m, 4.0)
    strongest = max(params.airlight)
    red, green, blue = (1.0 - lost * (1.3 - channel / max(strongest, 1e-6)) / 0.5 for channel in params.airlight)
    return max(red, 0.2), max(green, 0.2), max(blue, 0.2)
