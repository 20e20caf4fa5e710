"""Night: the day's picture taken as reflectance, lit again by what is left of the sky and by the car's own low beams.

Illuminance in lux adds up at each pixel; the camera opens up as far as it can and no further, so less light means a
darker picture with more noise. Lamps in the picture (small, bright, saturated) keep their radiance and bloom.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Image, Sample
from synth.atmosphere import depth_and_camera, sky_share
from synth.ground import ground_frame
from synth.photons import expose
from synth.radiometry import Linear, decode
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

# Exposure: daylight of 10,000 lux is white at 1/1000 s and ISO 100; at night 1/30 s and ISO 1600 are the limit.
DAY_LUX = 10_000.0
LARGEST_GAIN = (1000.0 / 30.0) * 16.0
FULL_SCALE_E = 15_000.0 / 16.0  # electrons of white at ISO 1600, of a 15,000 electron well at ISO 100
LAMP_HEIGHT_M = 0.65
BEAM_CD = 7_000.0  # a pair of worn halogen low beams just below the cut-off; ECE R112 wants 10,100 of new ones
_SMALLEST_WITH_LAMPS = 160
SPILL_CD = 250.0  # over the cut-off; R112 allows 625


@dataclass(frozen=True)
class NightParams:
    """One drawn night. Warmth mixes moonlit sky (0) and street lighting (1); beam is the strength of the headlights."""

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
        warmth, beam = rng.uniform(0.0, 0.8), rng.uniform(0.7, 1.2)
        return NightParams(
            illuminance_lux=self.table.at(severity),
            warmth=warmth,
            beam=beam if self.headlights else 0.0,
            read_noise_e=rng.uniform(1.5, 3.0),
            seed=rng.seed(),
        )

    def apply(self, sample: Sample, params: NightParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        image = np.ascontiguousarray(sample.image)
        exposure = LARGEST_GAIN / DAY_LUX  # linear radiance of white for a lux
        ambient = params.illuminance_lux * exposure * _tint(params.warmth)
        beam = (params.beam * exposure * np.array([BEAM_CD, SPILL_CD])).astype(np.float32)
        linear = np.empty(image.shape, np.float32)
        share = sky_share(image, depth)
        fringe = cv2.dilate(np.isinf(depth).astype(np.uint8), np.ones((5, 5), np.uint8))  # lenses colour the sky's rim
        lamp = np.where(fringe.reshape(depth.shape) > 0, np.float32(0.0), lamps(image))
        _light(image, np.ascontiguousarray(depth), share, lamp, _geometry(camera), ambient, beam, linear)
        _bloom(linear)
        noisy = expose(linear, full_scale_e=FULL_SCALE_E, read_noise_e=params.read_noise_e, seed=params.seed)
        return replace(sample, image=noisy)


def _tint(warmth: float) -> NDArray[np.float32]:
    """Return (3,) colour of the ambient light, of luminance 1: blue sky to sodium and warm LED lamps."""
    colour = (1.0 - warmth) * np.array([0.72, 0.98, 1.55]) + warmth * np.array([1.45, 0.93, 0.42])
    return (colour / (colour @ [0.2126, 0.7152, 0.0722])).astype(np.float32)


def lamps(image: Image) -> NDArray[np.float32]:
    """Return (H, W) how much each pixel is a lamp, 0 to 1: small, bright for its surroundings, red, amber or green."""
    height, width = image.shape[:2]
    if width < _SMALLEST_WITH_LAMPS:  # a cut-out: a lamp cannot be told from a coloured thing
        return np.zeros((height, width), np.float32)
    size = (max(1, width // 2), max(1, height // 2))  # lamps are blobs: half the size is enough
    red, green, blue = cv2.split(cv2.resize(image, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 3))
    strongest = cv2.max(cv2.max(red, green), blue)
    colour = cv2.subtract(strongest, cv2.min(cv2.min(red, green), blue))
    colour[blue == strongest] = 0  # no lamp of the road is blue
    # Smaller than that both ways: a panel or a stripe survives the opening along its length, a lamp does not.
    reach = max(5, size[0] // 48) | 1
    along = cv2.morphologyEx(colour, cv2.MORPH_OPEN, np.ones((1, reach), np.uint8))
    up = cv2.morphologyEx(colour, cv2.MORPH_OPEN, np.ones((reach, 1), np.uint8))
    small = cv2.subtract(colour, cv2.max(along, up)).astype(np.float32)
    found = np.clip((small - 70.0) / 50.0, 0, 1) * np.clip((strongest.astype(np.float32) - 150.0) / 60.0, 0, 1)
    full: NDArray[np.float32] = cv2.resize(found.reshape(size[::-1]), (width, height), interpolation=cv2.INTER_LINEAR)
    return full.reshape(height, width)


def _geometry(camera: Camera) -> NDArray[np.float32]:
    """Return (8,) ray slopes x = a j + b, y = c i + d, world up in the camera (3,), and camera height."""
    up, height = ground_frame(camera)
    a, c = 1.0 / camera.K[0, 0], 1.0 / camera.K[1, 1]
    b, d = (0.5 - camera.K[0, 2]) * a, (0.5 - camera.K[1, 2]) * c
    return np.array([a, b, c, d, up[0], up[1], up[2], height], np.float32)


@njit(cache=True)
def _light(image, depth, share, lamp, geometry, ambient, beam, out):  # type: ignore[no-untyped-def]  # numba infers
    """Fill out (H, W, 3) with radiance: reflectance x (ambient + headlights), sky glow, and lamps as they were."""
    rows, columns = depth.shape
    a, b, c, d, up_x, up_y, up_z, camera_m = geometry
    one = np.float32(1.0)
    for i in range(rows):
        y = c * np.float32(i) + d
        for j in range(columns):
            x = a * np.float32(j) + b
            z, sky = depth[i, j], share[i, j]
            rise = up_x * x + up_y * y + up_z
            head = np.float32(0.0) if np.isinf(z) else _beam(x, y, z, rise, camera_m, beam)
            # The night sky sends little; towns light it from below, most at the horizon.
            glow = np.float32(0.2) / (one + np.float32(6.0) * max(rise, np.float32(0.0)))
            for k in range(3):
                day = decode(image[i, j, k])
                warm = np.float32(1.06) if k == 0 else (one if k == 1 else np.float32(0.86))
                lit = day * (ambient[k] + head * warm)
                lit = lit / (one + np.float32(0.9) * lit)  # the camera's shoulder: what is near stays within range
                dark = (np.float32(0.25) * day + np.float32(0.3)) * ambient[k] * glow
                mixed = lit + sky * (dark - lit)
                out[i, j, k] = max(mixed, lamp[i, j] * day * np.float32(1.6))


@njit(cache=True, inline="always")
def _beam(x, y, z, rise, camera_m, beam):  # type: ignore[no-untyped-def]  # numba infers
    """Return radiance that the low beams add to a white surface at depth z of a ray (x, y, 1)."""
    height = camera_m + z * rise  # over the ground
    down = np.float32(LAMP_HEIGHT_M) - height
    flat = z * np.sqrt(np.float32(1.0) + x * x)
    distance2 = flat * flat + down * down + np.float32(4.0)  # the lamps are some metres before the camera's blind spot
    vertical = down / np.sqrt(distance2)  # sine below the lamps' axis
    side = x / np.float32(0.30)  # the beam is about 17 degrees wide to each side
    across = np.float32(1.0) / (np.float32(1.0) + side * side * side * side + np.float32(0.3) * side * side)
    below = vertical - np.float32(0.01)  # the cut-off dips by 1 %
    if below > 0:
        fall = below / np.float32(0.09)
        candela = beam[0] / (np.float32(1.0) + fall * fall)
    else:
        edge = below / np.float32(0.006)
        candela = beam[1] + (beam[0] - beam[1]) / (np.float32(1.0) + edge * edge * edge * edge)
    facing = np.float32(0.8)
    if height < np.float32(0.25):  # flat ground is met at a slant
        slant = np.float32(LAMP_HEIGHT_M) / np.sqrt(distance2)
        facing = slant + (facing - slant) * max(height, np.float32(0.0)) / np.float32(0.25)
    return candela * across / distance2 * facing


def _bloom(linear: Linear) -> None:
    """Scatter what is brighter than grey in the lens, in place: a narrow halo and a wide one."""
    height, width = linear.shape[:2]
    size = (max(1, width // 4), max(1, height // 4))
    bright = cv2.resize(np.maximum(linear - np.float32(0.5), 0.0), size, interpolation=cv2.INTER_AREA)
    if not bright.any():
        return
    halo = 0.5 * cv2.GaussianBlur(bright, (0, 0), max(0.5, width / 640)) + 0.25 * cv2.GaussianBlur(
        bright, (0, 0), max(1.0, width / 128)
    )
    linear += cv2.resize(halo.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR).reshape(linear.shape)
