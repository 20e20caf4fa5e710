"""A wet road under the sky as it is: darker asphalt, a film of water that shines, puddles that mirror.

Use it after rain has stopped, or with `weather/rain` whose option `wet_ground` is off. `synth/wet.py` has the optics.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from scenes.sample import Sample
from synth.atmosphere import depth_and_camera
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.wet import wet_ground


@dataclass(frozen=True)
class WetRoadParams:
    """One drawn road: mean water film, and the seed of where puddles lie."""

    film_mm: float
    seed: int


@register
@dataclass(frozen=True)
class WetRoad:
    """Water on the road: from damp to standing in puddles."""

    name: ClassVar[str] = "weather/wet_road"
    family: ClassVar[Family] = "weather"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "water film",
        "mm",
        (0.1, 0.3, 0.8, 1.6, 3.0),
        "damp to 0.1 mm and wet from there, as road weather stations tell them apart; over the texture depth of "
        "asphalt, 0.5 to 1.5 mm (EN 13036-1), water closes to puddles; tyres float from about 2.5 mm (Gallaway 1979)",
        "log",
    )
    params_type: ClassVar[type[WetRoadParams]] = WetRoadParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> WetRoadParams:
        return WetRoadParams(film_mm=self.table.at(severity) * rng.uniform(0.9, 1.1), seed=rng.seed())

    def apply(self, sample: Sample, params: WetRoadParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        wet = wet_ground(sample, depth, camera, film_mm=params.film_mm, seed=params.seed)
        return replace(sample, image=wet)
