"""Ground fog: thick on the road and thinner with every metre above it, beta exp(-height / H), integrated along the ray.

What lies low is lost while roofs and the sky stay in sight: radiation fog of clear nights, and what drifts off wet
fields. Koschmieder's law with the exact integral of an exponential layer (see `synth.atmosphere`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from scenes.sample import Sample
from synth.atmosphere import Air, Colour, airlight_of, depth_and_camera, extinction_per_m
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable, check_option
from synth.veil import veil


@dataclass(frozen=True)
class GroundFogParams:
    """One drawn fog: visibility on the road, and the height over which extinction falls to 1 / e."""

    visibility_m: float
    scale_height_m: float
    airlight: Colour


@register
@dataclass(frozen=True)
class GroundFog:
    """Fog that lies on the road. Option: scale_height_m, drawn in 2 to 8 m if None."""

    name: ClassVar[str] = "weather/ground_fog"
    family: ClassVar[Family] = "weather"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "visibility on the road",
        "m",
        (200.0, 100.0, 60.0, 35.0, 20.0),
        "meteorological optical range at 5 % contrast at road level; shallow fog (WMO No. 8, MIFG) is under 1000 m in "
        "the layer and reaches 2 m over land; radiation fog goes down to some 20 m",
        "reciprocal",
    )
    params_type: ClassVar[type[GroundFogParams]] = GroundFogParams

    scale_height_m: float | None = None

    def __post_init__(self) -> None:
        check_option(self.name, "scale_height_m", self.scale_height_m, 0.01, 1e5, "m")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> GroundFogParams:
        drawn, dimming = rng.uniform(2.0, 8.0), rng.uniform(0.8, 0.95)
        red, green, blue = airlight_of(sample.image)
        return GroundFogParams(
            visibility_m=self.table.at(severity),
            scale_height_m=drawn if self.scale_height_m is None else self.scale_height_m,
            airlight=(dimming * red, dimming * green, dimming * blue),
        )

    def apply(self, sample: Sample, params: GroundFogParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        beta = extinction_per_m(params.visibility_m)
        air = Air(beta, params.airlight, scale_height_m=params.scale_height_m)
        return replace(sample, image=veil(sample.image, depth, camera, air))
