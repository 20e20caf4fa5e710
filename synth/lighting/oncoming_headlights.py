"""Oncoming headlights at night: pairs of lamps ahead whose light, scattered in lens and windscreen, veils the road.

The veil follows the CIE disability glare equation (`synth.lighting.scatter`) from the illuminance that the lamps make
at the camera. It is set against a street at night of some lux, for by day no headlight glares. Lamps stand on vehicles
that are seen to face the camera (3D boxes), else in the oncoming lane; what is in front of a lamp hides it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Sample
from synth.atmosphere import depth_and_camera
from synth.ground import ground_frame
from synth.lighting.night import night_sky, tint
from synth.lighting.relight import DAY_LUX, LARGEST_GAIN, Light, relit
from synth.lighting.scatter import Sources, filled, spoke, veil_of, veil_size
from synth.lighting.sky import sky_matte
from synth.radiometry import Linear, to_linear, to_srgb
from synth.random import Rng
from synth.regions import class_names
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.weather.surfaces import DRIVEN
from synth.wet import ground_cover

STAR_SHARE = 1.2  # of the veil at two degrees that stands in the spokes of the aperture's star
METERED = 0.05  # mean linear level of the glare at which the camera begins to stop down
SHEEN_PER_LUX = 0.25  # cd/m2 of the road under the lamps for a lux at the camera: grazing light (CIE 66 road tables)
_TRIES = 10
_FARTHEST_M = 120.0
_NEAREST_M = 8.0


@dataclass(frozen=True)
class OncomingHeadlightsParams:
    """One drawn encounter: where each lamp is in pixels, its share of the light, and the street's own light."""

    glare_lux: float
    lamps_x: tuple[float, ...]
    lamps_y: tuple[float, ...]
    lamps_share: tuple[float, ...]
    kelvin: float
    blades: int
    star_rad: float
    street_lux: float
    warmth: float
    beam: float
    read_noise_e: float
    seed: int


@register
@dataclass(frozen=True)
class OncomingHeadlights:
    """Glare of oncoming headlights at night.

    darken: off for pictures that were taken at night, or come after another shift in a chain
    """

    name: ClassVar[str] = "lighting/oncoming_headlights"
    family: ClassVar[Family] = "lighting"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "illuminance at the camera from oncoming lamps",
        "lx",
        (0.3, 1.0, 3.0, 8.0, 20.0),
        "well aimed low beams at 50 m give 0.2 to 0.5 lx, misaimed or uphill ones some lx (Bullough 2003); a pair of "
        "full beams of 50,000 cd gives 20 lx at 70 m (ECE R48 allows four times that)",
        "log",
    )
    params_type: ClassVar[type[OncomingHeadlightsParams]] = OncomingHeadlightsParams

    darken: bool = True

    def draw(self, sample: Sample, severity: float, rng: Rng) -> OncomingHeadlightsParams:
        depth, camera = depth_and_camera(sample, self.name)
        side = rng.choice((-1.0, -1.0, -1.0, 1.0))
        tries = [
            (side * rng.uniform(2.2, 4.2), 18.0 * (_FARTHEST_M / 18.0) ** rng.uniform(), rng.uniform(0.6, 0.9))
            for _ in range(_TRIES)
        ]
        lamps = _on_vehicles(sample, depth, camera) or _in_lane(sample, depth, camera, tries, wanted=rng.integer(1, 3))
        light = np.array([1.0 / lamp[2] ** 2 for lamp in lamps])
        share = light / light.sum()
        return OncomingHeadlightsParams(
            glare_lux=self.table.at(severity),
            lamps_x=tuple(lamp[0] for lamp in lamps),
            lamps_y=tuple(lamp[1] for lamp in lamps),
            lamps_share=tuple(float(s) for s in share),
            kelvin=rng.choice((3200.0, 4300.0, 5700.0)),
            blades=rng.choice((6, 8, 14)),
            star_rad=rng.uniform(0.0, math.pi),
            # Full beams meet where streets are less lit.
            street_lux=rng.uniform(8.0, 14.0) * (self.table.values[0] / self.table.at(severity)) ** 0.3,
            warmth=rng.uniform(0.0, 0.8),
            beam=rng.uniform(0.7, 1.8),
            read_noise_e=rng.uniform(1.5, 3.0),
            seed=rng.seed(),
        )

    def apply(self, sample: Sample, params: OncomingHeadlightsParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        veil = glare(params, depth, camera)
        gain = metered_gain(veil)
        if not self.darken:
            day = to_linear(sample.image) * np.float32(gain / LARGEST_GAIN)
            veil = filled(veil * np.float32(math.pi * gain / DAY_LUX))
            added = cv2.resize(veil, (camera.width, camera.height)).reshape(sample.image.shape)
            return replace(sample, image=to_srgb(day + (1.0 - day) * added))
        ambient = (params.street_lux * tint(params.warmth)).astype(np.float32)
        light = Light(
            ambient=ambient,
            upright=1.0,
            beam=params.beam,
            sky=night_sky(camera, ambient),
            sky_detail=0.3,
            gain=gain,
            read_noise_e=params.read_noise_e,
            seed=params.seed,
            veil=veil,
        )
        share = sky_matte(sample.image, depth, camera)
        return replace(sample, image=relit(sample.image, depth, camera, share, light))


def metered_gain(veil: Linear) -> float:
    """Return how much a camera exposes at night under a veil (cd/m2): less where glare fills the picture."""
    level = np.float32(math.pi / DAY_LUX) * veil[..., 1]
    high, low = LARGEST_GAIN, LARGEST_GAIN / 64.0
    if float(filled(level * np.float32(high)).mean()) <= METERED:
        return high
    for _ in range(12):
        middle = math.sqrt(high * low)
        bright = float(filled(level * np.float32(middle)).mean()) > METERED
        high, low = (middle, low) if bright else (high, middle)
    return low


Lamp = tuple[float, float, float]  # x, y in pixels, metres


def _on_vehicles(sample: Sample, depth: Depth, camera: Camera) -> list[Lamp]:
    """Return the visible lamps of the nearest vehicles that face the camera, as far as 3D boxes tell."""
    boxes = sample.annotations.boxes_3d
    if boxes is None:
        return []
    found: list[Lamp] = []
    for box in boxes[np.isfinite(boxes).all(axis=1)].astype(np.float64):
        (x, y, z, length, width, height), (qw, qx, qy, qz) = box[:6], box[6:]
        forward = np.array([1 - 2 * (qy**2 + qz**2), 2 * (qx * qy + qw * qz), 0.0])
        towards = camera.position - box[:3]
        if length < 3.0 or forward @ towards < 0.9 * float(np.linalg.norm(towards[:2])):
            continue  # a person or a bicycle; or not facing us
        left = np.array([-forward[1], forward[0], 0.0])
        low = min(0.7, 0.45 * height) - 0.5 * height
        for sign in (-1.0, 1.0):
            place = np.array([x, y, z + low]) + 0.49 * length * forward + sign * 0.38 * width * left
            pixel, metres = camera.project(place[None])
            lamp = (float(pixel[0, 0]), float(pixel[0, 1]), float(metres[0]))
            if _NEAREST_M < lamp[2] < _FARTHEST_M and _visible(lamp, depth, slack_m=1.0):
                found.append(lamp)
    return sorted(found, key=lambda lamp: lamp[2])[:6]


def _in_lane(
    sample: Sample, depth: Depth, camera: Camera, tries: list[tuple[float, float, float]], *, wanted: int
) -> list[Lamp]:
    """Return lamps of up to `wanted` vehicles: the places tried where both lamps are seen, else the least hidden pair.

    Where the road is known, only on it, and on the other side of the camera where there is none on this one.
    tries: metres right of the camera, metres ahead, height of the lamps
    """
    road, mirrored = _road(sample), [(-lateral, metres, lamp_m) for lateral, metres, lamp_m in tries]
    looked = ((tries, road), (mirrored, road), (tries, None)) if road is not None else ((tries, None),)
    for places, ground in looked:
        found: list[Lamp] = []
        for lateral, metres, lamp_m in places:
            pair = [_projected(camera, lateral + offset, metres, lamp_m) for offset in (-0.65, 0.65)]
            feet = [_projected(camera, lateral + offset, metres, 0.0) for offset in (-0.65, 0.65)]
            if all(_visible(lamp, depth, slack_m=0.0) for lamp in pair) and all(_stands(foot, ground) for foot in feet):
                found.extend(pair)
            if len(found) == 2 * wanted:
                break
        if found:
            return found
    near = _NEAREST_M  # a wall or a vehicle is right ahead: lamps between it and the camera
    return [_projected(camera, tries[0][0] + offset, near, tries[0][2]) for offset in (-0.65, 0.65)]


def _road(sample: Sample) -> NDArray[np.bool_] | None:
    """Return (H, W) where the segmentation has road, None where it does not say."""
    segmentation = sample.annotations.segmentation
    codes = [code for code, name in enumerate(class_names(sample)) if name in DRIVEN]
    return None if segmentation is None or not codes else np.isin(segmentation, codes)


def _stands(foot: Lamp, road: NDArray[np.bool_] | None) -> bool:
    """Tell whether a lamp's foot is on the road or below the picture; where no road is known, every one is."""
    x, y, _ = foot
    if road is None or y >= road.shape[0]:
        return True
    return 0 <= x < road.shape[1] and bool(road[max(int(y), 0), int(x)])


def _projected(camera: Camera, lateral_m: float, metres: float, height_m: float) -> Lamp:
    """Return a place right of the camera, ahead of it and over the ground as pixels and depth."""
    up, camera_m = ground_frame(camera)
    down = (height_m - camera_m - up[0] * lateral_m - up[2] * metres) / up[1]
    x = camera.K[0, 0] * lateral_m / metres + camera.K[0, 2]
    y = camera.K[1, 1] * down / metres + camera.K[1, 2]
    return float(x), float(y), metres


def _visible(lamp: Lamp, depth: Depth, *, slack_m: float) -> bool:
    x, y, metres = lamp
    if not (0 <= x < depth.shape[1] and 0 <= y < depth.shape[0]):
        return False
    return bool(depth[int(y), int(x)] + slack_m >= metres)


def glare(params: OncomingHeadlightsParams, depth: Depth, camera: Camera) -> Linear:
    """Return (h, w, 3) cd/m2 at `veil_size`: the veil of the lamps, the star of the aperture, the sheen on the road."""
    colour = lamp_colour(params.kelvin)
    lux = params.glare_lux * np.array(params.lamps_share)
    sources: Sources = np.empty((len(lux), 5), np.float32)
    sources[:, 0], sources[:, 1] = params.lamps_x, params.lamps_y
    sources[:, 2:] = lux[:, None] * colour
    veil = veil_of(sources, camera)
    width, height = veil_size(camera)
    coarse = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST).reshape(height, width)
    cover, fall = ground_cover(coarse, camera)
    turn = params.blades * params.star_rad
    scale = (camera.width / width, camera.height / height, float(camera.K[0, 0]))
    places = np.column_stack([params.lamps_x, params.lamps_y, lux]).astype(np.float32)
    lens = np.array([*scale, math.cos(turn), math.sin(turn)], np.float32)
    added = np.zeros((height, width), np.float32)
    _add_star_and_sheen(places, lens, params.blades, cover, fall, added)
    veil += added[..., None] * colour
    return veil


def lamp_colour(kelvin: float) -> NDArray[np.float32]:
    """Return (3,) colour of a lamp of luminance 1 (halogen 3,200 K, LED 5,700 K) to a camera set between them."""
    warm = (5000.0 - kelvin) / 1800.0
    colour = np.array([1.0 + 0.14 * warm, 1.0, 1.0 - 0.24 * warm])
    return (colour / (colour @ [0.2126, 0.7152, 0.0722])).astype(np.float32)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _add_star_and_sheen(lamps, lens, blades, cover, fall, out):  # type: ignore[no-untyped-def]  # numba infers
    """Add cd/m2 to out (h, w): spokes of light bent at the blades of the aperture, and the road's sheen under a lamp.

    lamps: (N, 3) x, y in pixels, lux; lens: pixels per reduced pixel both ways, focal length, cosine and sine of the
    star's turn. The sheen is a narrow lobe, most at grazing angles.
    """
    per_degree = np.float32(180.0 / np.pi) / lens[2]
    for n in range(len(lamps)):
        star, sheen = np.float32(10.0 * STAR_SHARE) * lamps[n, 2], np.float32(SHEEN_PER_LUX) * lamps[n, 2]
        for i in range(out.shape[0]):
            y = ((np.float32(i) + np.float32(0.5)) * lens[1] - lamps[n, 1]) * per_degree
            for j in range(out.shape[1]):
                x = ((np.float32(j) + np.float32(0.5)) * lens[0] - lamps[n, 0]) * per_degree
                away2 = x * x + y * y
                if away2 < np.float32(150.0):
                    ray = spoke(x, y, away2, blades, lens[3], lens[4])
                    ray4 = ray * ray * ray * ray
                    ray20 = ray4 * ray4 * ray4 * ray4 * ray4
                    out[i, j] += star * ray20 / (away2 + np.float32(0.25)) * np.exp(away2 * np.float32(-1.0 / 25.0))
                if cover[i, j] > 0:
                    wide = np.float32(0.69) + np.float32(6.9) * fall[i, j]  # degrees
                    if abs(x) < np.float32(3.0) * wide:
                        lobe = np.exp(-(x * x) / (wide * wide) - fall[i, j] * np.float32(10.0))
                        out[i, j] += sheen * lobe * cover[i, j]
