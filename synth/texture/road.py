"""Another road surface: cracks, patches, paving stones, gravel, graffiti or coloured asphalt, in perspective.

The road is where the segmentation says so (class `road`, if the sample's `meta["class_names"]` has it), else the ground
in front of the camera that has the colour of the road before the bumper. Its inverse depth is fitted by a plane (a flat
surface is one), so texture lies on the ground whatever the depth's noise; elements too small for a pixel fade out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Sample
from synth.noise import Field, lookup_noise
from synth.radiometry import to_linear, to_srgb
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.texture.road_area import inverse_depth_plane, road_mask
from synth.texture.surfaces import SURFACES, surface

_FARTHEST_M = 120.0


@dataclass(frozen=True)
class RoadParams:
    """share: of the road's area that has the new surface."""

    share: float
    surface: str
    seed: int


@register
@dataclass(frozen=True)
class Road:
    """A damaged, repaired, paved, loose, painted or coloured road surface.

    surface: cracked, patched; paved, gravel (material); graffiti (pattern); coloured; "any" draws one
    """

    name: ClassVar[str] = "texture/road"
    family: ClassVar[Family] = "texture"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "share of the road surface changed",
        "%",
        (15, 35, 55, 75, 100),
        "distress density of ASTM D6433 (pavement condition index), from first damage to all of the surface",
    )
    params_type: ClassVar[type[RoadParams]] = RoadParams

    surface: Literal["any", "cracked", "patched", "paved", "gravel", "graffiti", "coloured"] = "any"

    def __post_init__(self) -> None:
        if self.surface not in ("any", *SURFACES):
            raise ValueError(f"surface: expected any, {', '.join(SURFACES)}, got {self.surface!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> RoadParams:
        drawn, seed = rng.choice(SURFACES), rng.seed()
        kind = drawn if self.surface == "any" else self.surface
        return RoadParams(share=self.table.at(severity) / 100, surface=kind, seed=seed)

    def apply(self, sample: Sample, params: RoadParams) -> Sample:
        if sample.camera is None or sample.depth is None:
            lacking = "camera" if sample.camera is None else "depth"
            raise InputError(f"{self.name} needs {lacking}; sample {sample.sample_id!r} has none: complete it first")
        mask = road_mask(sample)
        plane = inverse_depth_plane(sample.depth, mask)
        if plane is None:
            return sample
        rows, columns = np.nonzero(mask)
        a, b, c = (np.float32(v) for v in plane)
        inverse = a * (columns.astype(np.float32) + 0.5) + b * (rows.astype(np.float32) + 0.5) + c
        near = inverse > 1 / _FARTHEST_M
        rows, columns, inverse = rows[near], columns[near], inverse[near]
        if not len(rows):
            return sample
        x, y = _on_the_ground(sample.camera, rows, columns, inverse)
        spread = 0.5 + 0.5 * np.clip(lookup_noise(params.seed, x, y, cell=4.0, octaves=3)[0], -1, 1)
        alpha = np.clip((_quantile(spread, params.share) - spread) * 9 + 0.5 + 5 * (params.share >= 1), 0, 1)
        new_here = alpha > 0
        if not new_here.all():
            rows, columns, inverse, alpha = (part[new_here] for part in (rows, columns, inverse, alpha))
            x, y = x[:, new_here], y[:, new_here]
        footprint = np.abs(b) / (inverse * inverse)  # metres of road along the view that one pixel row covers
        old = to_linear(sample.image[rows, columns])
        level = _level(sample, mask)[rows // 2, columns // 2]
        new = surface(params.surface, params.seed, old, level, x, y, footprint)
        image = sample.image.copy()
        image[rows, columns] = to_srgb(old + (new - old) * alpha[:, None])
        return replace(sample, image=image)


def _quantile(spread: Field, share: float) -> float:
    """Return the threshold under which the wanted share of a field lies."""
    return float(np.partition(spread, place := min(len(spread) - 1, int(share * len(spread))))[place])


def _on_the_ground(
    camera: Camera, rows: NDArray[np.intp], columns: NDArray[np.intp], inverse: Field
) -> tuple[Field, Field]:
    """Return world x and y of road pixels, each (1, K) float32 metres."""
    depth = 1 / inverse
    right = (columns.astype(np.float32) + np.float32(0.5 - camera.K[0, 2])) * (depth / np.float32(camera.K[0, 0]))
    down = (rows.astype(np.float32) + np.float32(0.5 - camera.K[1, 2])) * (depth / np.float32(camera.K[1, 1]))
    turn, place = camera.cam_to_world[:2, :3].astype(np.float32), camera.position.astype(np.float32)
    x, y = (turn[k, 0] * right + turn[k, 1] * down + turn[k, 2] * depth + place[k] for k in (0, 1))
    return x[None], y[None]


def _level(sample: Sample, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return linear light of the bare road for blocks of 2 x 2 pixels: its mean colour with soft shadows, no marks."""
    small = (max(1, sample.width // 4), max(1, sample.height // 4))
    weight = cv2.resize(mask.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    colour = to_linear(cv2.resize(sample.image, small, interpolation=cv2.INTER_AREA))
    light = colour.mean(axis=2)
    usual = np.median(light[weight > 0.9]) if (weight > 0.9).any() else float(np.median(light))
    weight = weight * (light < 1.6 * usual) + 1e-4
    sigma = max(1.0, small[0] / 40)
    spread = cv2.GaussianBlur(colour * weight[..., None], (0, 0), sigma)
    total = cv2.GaussianBlur(weight.astype(np.float32), (0, 0), sigma)
    level: NDArray[np.float32] = cv2.resize(
        spread / total[..., None], (-(-sample.width // 2), -(-sample.height // 2))
    ).reshape(-(-sample.height // 2), -(-sample.width // 2), 3)
    return level
