"""Water drops on the lens or windscreen: each shows the scene upside down, small and blurred, with a dark rim.

A drop is a strong lens of short focal length: a ray through its edge is bent across its middle, so that the drop shows
a wide part of the scene inverted (Garg and Nayar 2007). Its own picture is out of the camera's focus. At the rim the
angle of incidence grows and Fresnel's equations send the light elsewhere (Schlick's approximation, n = 1.33).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Image, Sample
from synth.radiometry import Linear, decode, encode, to_linear
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

FRESNEL_0 = ((1.33 - 1.0) / (1.33 + 1.0)) ** 2  # reflected at normal incidence
VIEW = 0.85  # of half the picture that is seen from the middle of a drop to its rim
_SMALL_PX = 160  # the scene in a drop is so far out of focus that this many pixels across hold it
_MOST = 4000


@dataclass(frozen=True)
class WaterDropsParams:
    """covered: share of the picture under drops; radius: of a large drop, share of the picture's width."""

    covered: float
    radius: float
    softness: float
    seed: int


@register
@dataclass(frozen=True)
class WaterDrops:
    """Drops on the glass before the camera."""

    name: ClassVar[str] = "sensor/water_drops"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "share of the glass covered",
        "%",
        (3, 7, 14, 25, 40),
        "Porav et al. (2019), I can see clearly now: from single drops to a windscreen in heavy rain between two wipes",
    )
    params_type: ClassVar[type[WaterDropsParams]] = WaterDropsParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> WaterDropsParams:
        return WaterDropsParams(
            covered=0.01 * self.table.at(severity),
            radius=rng.uniform(0.025, 0.05),
            softness=rng.uniform(0.25, 0.6),
            seed=rng.seed(),
        )

    def apply(self, sample: Sample, params: WaterDropsParams) -> Sample:
        image = np.ascontiguousarray(sample.image)
        drops = place_drops(sample.width, sample.height, params)
        out = image.copy()
        _refract(image, _scene_in_drops(image), drops, np.float32(params.softness), out)
        return replace(sample, image=out)


def place_drops(width: int, height: int, params: WaterDropsParams) -> NDArray[np.float32]:
    """Return drops (N, 7): centre x y, radius (pixels), height over width, two amplitudes and a phase of its outline.

    Drops are drawn in one order; a larger share is covered by the same ones and more. Few are large, most small.
    """
    numbers = Rng(params.seed, "drops").uniforms(_MOST, 7)
    radius = np.maximum(params.radius * width * (0.2 + 0.8 * numbers[:, 2] ** 4), 0.8)
    tall = 1.0 + 0.35 * numbers[:, 3] * np.minimum(radius / (0.02 * width), 1.0)  # large ones sag
    area = math.pi * radius**2 * tall
    # what falls on drops covers nothing new: 1 - exp(-sum of areas)
    share = 1.0 - np.exp(-np.cumsum(area) / (width * height))
    count = max(1, min(int(np.searchsorted(share, params.covered)) + 1, _MOST))
    uneven = np.minimum(radius / (0.012 * width), 1.0)
    drops = np.stack(
        [
            numbers[:, 0] * width,
            numbers[:, 1] * height,
            radius,
            tall,
            0.12 * (numbers[:, 4] - 0.5) * uneven,
            0.10 * (numbers[:, 5] - 0.5) * uneven,
            2.0 * math.pi * numbers[:, 6],
        ],
        axis=1,
    )
    return drops[:count].astype(np.float32)


def _scene_in_drops(image: Image) -> Linear:
    """Return a small blurred picture (h, w, 3) in linear light."""
    height, width = image.shape[:2]
    scale = min(1.0, _SMALL_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = to_linear(cv2.resize(image, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 3))
    blurred = cv2.GaussianBlur(small, (0, 0), max(1.2, 0.012 * size[0]), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32).reshape(small.shape)


@njit(cache=True, fastmath=True)
def _refract(image, scene, drops, softness, out):  # type: ignore[no-untyped-def]  # numba infers
    """Paint drops over `out` in their order. rho is 1 on the outline of a drop, 0 in its middle."""
    rows, columns = image.shape[:2]
    h, w = scene.shape[:2]
    one, half = np.float32(1.0), np.float32(0.5)
    for n in range(drops.shape[0]):
        cx, cy, radius, tall, second, third, phase = drops[n]
        reach = np.float32(1.25) * radius
        top, bottom = max(int(cy - reach * tall), 0), min(int(cy + reach * tall) + 1, rows - 1)
        left, right = max(int(cx - reach), 0), min(int(cx + reach) + 1, columns - 1)
        turn_x, turn_y = np.cos(phase), np.sin(phase)
        soft = max(softness, np.float32(1.2) / radius)
        # a drop looks where it is: the middle of what it shows lies between the picture's middle and itself
        aim_x, aim_y = half + half * (cx / columns - half), half + half * (cy / rows - half)
        for i in range(top, bottom + 1):
            dy = (np.float32(i) + half - cy) / (radius * tall)
            for j in range(left, right + 1):
                dx = (np.float32(j) + half - cx) / radius
                r2 = dx * dx + dy * dy
                if r2 > np.float32(1.5):
                    continue
                r = np.sqrt(r2)
                inverse = one / max(r, np.float32(1e-3))
                outline = one
                if second != 0.0 or third != 0.0:
                    ux, uy = (dx * turn_x - dy * turn_y) * inverse, (dx * turn_y + dy * turn_x) * inverse
                    double = ux * ux - uy * uy  # cosines of twice and three times the angle
                    outline += second * double + third * ux * (np.float32(2.0) * double - one)
                rho = r / outline
                alpha = (one + half * soft - rho) / soft
                if alpha <= 0:
                    continue
                alpha = min(alpha, one)
                alpha = alpha * alpha * (np.float32(3.0) - np.float32(2.0) * alpha)
                inside = min(rho, one)
                bend = np.float32(VIEW) * half * (inside + np.float32(0.6) * inside * inside * inside) * inverse
                x = (aim_x - dx * bend) * w - half
                y = (aim_y - dy * bend) * h - half
                x, y = min(max(x, np.float32(0.0)), np.float32(w - 1)), min(max(y, np.float32(0.0)), np.float32(h - 1))
                x0, y0 = int(x), int(y)
                x1, y1 = min(x0 + 1, w - 1), min(y0 + 1, h - 1)
                a, b = x - np.float32(x0), y - np.float32(y0)
                # the surface is a cap: at the rim light meets it almost along it
                grazing = one - np.sqrt(max(one - np.float32(0.96) * inside * inside, np.float32(0.0)))
                grazing2 = grazing * grazing
                through = (one - np.float32(FRESNEL_0)) * (one - grazing2 * grazing2 * grazing)
                through *= one - np.float32(0.55) * grazing2
                for c in range(3):
                    upper = scene[y0, x0, c] + a * (scene[y0, x1, c] - scene[y0, x0, c])
                    lower = scene[y1, x0, c] + a * (scene[y1, x1, c] - scene[y1, x0, c])
                    light = (upper + b * (lower - upper)) * through
                    under = decode(out[i, j, c])
                    out[i, j, c] = encode(under + alpha * (light - under))
