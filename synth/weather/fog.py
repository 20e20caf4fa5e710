"""Homogeneous fog after Koschmieder (1924): I = J t + A (1 - t), t = exp(-beta r), in linear light along the ray.

The fog is a layer of finite height: a ray to the sky leaves it, so thin fog lets the sky through overhead and thick
fog does not; at the horizon the path is endless and only airlight is left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from scenes.sample import Sample
from synth.atmosphere import Air, airlight_of, depth_and_camera, extinction_per_m
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable, check_option
from synth.veil import veil


@dataclass(frozen=True)
class FogParams:
    """One drawn fog. Airlight is linear radiance, 1 = white; the layer reaches layer_m over the camera."""

    visibility_m: float
    layer_m: float
    airlight: tuple[float, float, float]


@register
@dataclass(frozen=True)
class Fog:
    """Fog of a given visibility.

    layer_m: height of the fog over the camera, drawn in 60 to 160 m if None
    """

    name: ClassVar[str] = "weather/fog"
    family: ClassVar[Family] = "weather"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "visibility",
        "m",
        (800.0, 400.0, 200.0, 100.0, 50.0),
        "meteorological optical range at 5 % contrast; below 1000 m is fog, below 50 m very dense (WMO No. 8); "
        "Foggy Cityscapes (Sakaridis 2018) uses 600, 300, 150 m",
        "reciprocal",
    )
    params_type: ClassVar[type[FogParams]] = FogParams

    layer_m: float | None = None

    def __post_init__(self) -> None:
        check_option(self.name, "layer_m", self.layer_m, 0.1, 1e5, "m")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> FogParams:
        drawn, dimming = rng.uniform(60.0, 160.0), rng.uniform(0.85, 1.0)
        red, green, blue = airlight_of(sample.image)
        return FogParams(
            visibility_m=self.table.at(severity),
            layer_m=drawn if self.layer_m is None else self.layer_m,
            airlight=(dimming * red, dimming * green, dimming * blue),
        )

    def apply(self, sample: Sample, params: FogParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        air = Air(extinction_per_m(params.visibility_m), params.airlight, layer_m=params.layer_m)
        return replace(sample, image=veil(sample.image, depth, camera, air))
