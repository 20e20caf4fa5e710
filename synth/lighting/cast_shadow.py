"""Hard shadows of buildings, trees, poles and bridges beside the road, thrown across it and over what stands on it.

Each pixel's place in the world (depth) is traced towards the sun; where a caster is in the way only the sky lights it,
and its linear light falls to the diffuse share. The edge is as soft as the sun's disc makes it at that distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from scenes.sample import Sample
from synth.atmosphere import depth_and_camera
from synth.lighting.casters import KINDS, Caster, drawn, shade, sun_axes, towards_sun
from synth.lighting.exposure import flat
from synth.lighting.sky import sky_matte
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

SKY_TINT = (0.94, 1.0, 1.10)  # of a shadow to a camera balanced for the sun: the sky's light is bluer


@dataclass(frozen=True)
class CastShadowParams:
    """One drawn shadow: what throws it (`synth.lighting.casters`), where the sun stands, and the light left in it."""

    light_left: float
    kind: str
    azimuth_rad: float
    elevation_rad: float
    casters: tuple[Caster, ...]
    seed: int


@register
@dataclass(frozen=True)
class CastShadow:
    """Hard shadow across the road. Option: kind, one of building, trees, poles, bridge; drawn if None."""

    name: ClassVar[str] = "lighting/cast_shadow"
    family: ClassVar[Family] = "lighting"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "light left in the shadow",
        "% of sunlit",
        (60.0, 42.0, 28.0, 18.0, 11.0),
        "the sky's share of all daylight: 0.6 under thin clouds to 0.1 to 0.15 on a clear day (Erbs 1982)",
        "log",
    )
    params_type: ClassVar[type[CastShadowParams]] = CastShadowParams

    kind: str | None = None

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> CastShadowParams:
        kind = rng.choice(KINDS)
        kind = kind if self.kind is None else self.kind
        azimuth, elevation, casters = drawn(kind, rng)
        return CastShadowParams(
            light_left=0.01 * self.table.at(severity),
            kind=kind,
            azimuth_rad=azimuth,
            elevation_rad=elevation,
            casters=casters,
            seed=rng.seed(),
        )

    def apply(self, sample: Sample, params: CastShadowParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        image = np.ascontiguousarray(sample.image)
        out = np.empty_like(image)
        K, up = camera.K, params.elevation_rad
        shade(
            flat(image),
            np.ascontiguousarray(depth),
            sky_matte(image, depth, camera),
            np.array([1 / K[0, 0], K[0, 2], 1 / K[1, 1], K[1, 2]], np.float32),
            sun_axes(camera, params.azimuth_rad),
            np.array(
                [math.tan(up), math.cos(up), math.sin(params.azimuth_rad), math.cos(params.azimuth_rad)], np.float32
            ),
            towards_sun(params.casters, params.azimuth_rad),
            Rng(params.seed, "leaves").uniforms(64, 64).astype(np.float32),
            np.minimum(params.light_left * np.array(SKY_TINT), 1.0).astype(np.float32),
            flat(out),
        )
        return replace(sample, image=out)
