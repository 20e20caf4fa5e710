"""Night: the day's picture taken as reflectance, lit again by what is left of the sky and by the car's own low beams.

Illuminance in lux adds up at each pixel; the camera opens up as far as it can and no further, so less light means a
darker picture with more noise. Lamps in the picture (small, bright, saturated) keep their radiance and bloom.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Sample
from synth.atmosphere import depth_and_camera
from synth.lighting.relight import LARGEST_GAIN, Light, relit
from synth.lighting.sky import reduced_directions, sky_matte
from synth.radiometry import Linear
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable


@dataclass(frozen=True)
class NightParams:
    """One drawn night. Warmth mixes moonlit sky (0) and street lighting (1); beam is the strength of the headlights.

    1 is a pair of worn halogen lamps, 1.8 a pair of good ones.
    """

    illuminance_lux: float
    warmth: float
    beam: float
    read_noise_e: float
    seed: int


@register
@dataclass(frozen=True)
class Night:
    """Night with headlights. Option: headlights, off for a parked or remote camera."""

    name: ClassVar[str] = "lighting/night"
    family: ClassVar[Family] = "lighting"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "illuminance",
        "lx",
        (10.0, 5.0, 2.0, 1.0, 0.5),
        "10 lx and more are lit main roads, 2 to 5 lx side streets (EN 13201), 3.4 lx the end of civil twilight, "
        "0.3 lx the full moon",
        "log",
    )
    params_type: ClassVar[type[NightParams]] = NightParams

    headlights: bool = True

    def draw(self, sample: Sample, severity: float, rng: Rng) -> NightParams:
        warmth, beam = rng.uniform(0.0, 0.8), rng.uniform(0.7, 1.8)
        return NightParams(
            illuminance_lux=self.table.at(severity),
            warmth=warmth,
            beam=beam if self.headlights else 0.0,
            read_noise_e=rng.uniform(1.5, 3.0),
            seed=rng.seed(),
        )

    def apply(self, sample: Sample, params: NightParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        ambient = (params.illuminance_lux * tint(params.warmth)).astype(np.float32)
        light = Light(
            ambient=ambient,
            upright=1.0,
            beam=params.beam,
            sky=night_sky(camera, ambient),
            sky_detail=0.3,
            gain=LARGEST_GAIN,
            read_noise_e=params.read_noise_e,
            seed=params.seed,
        )
        share = sky_matte(sample.image, depth, camera)
        return replace(sample, image=relit(sample.image, depth, camera, share, light))


def tint(warmth: float) -> NDArray[np.float64]:
    """Return (3,) colour of the ambient light, of luminance 1: blue sky to sodium and warm LED lamps."""
    colour = (1.0 - warmth) * np.array([0.72, 0.98, 1.55]) + warmth * np.array([1.45, 0.93, 0.42])
    scaled: NDArray[np.float64] = colour / (colour @ [0.2126, 0.7152, 0.0722])
    return scaled


def night_sky(camera: Camera, ambient: NDArray[np.float32]) -> Linear:
    """Return (h, w, 3) lux of a night sky: it sends little, but towns light it from below, most at the horizon."""
    _, elevation = reduced_directions(camera)
    glow = 0.1 / (1.0 + 6.0 * np.maximum(np.tan(elevation), 0.0))
    sky: Linear = (glow[..., None] * ambient).astype(np.float32)
    return sky
