"""The day's picture taken as reflectance and lit again: by what is left of the sky, by the car's own low beams, by
lamps that stay as they were, and by the light that all of them scatter in the lens; then exposed, with its noise.

Light is in lux on a white surface; a white surface under E lux has the luminance E / pi cd/m2 (Lambert).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Image
from synth.ground import ground_frame
from synth.lighting.exposure import folded, hashed, normal_of
from synth.lighting.scatter import Sources, filled, spread_out, veil_of
from synth.radiometry import Linear, decode, encode, to_linear

# Exposure: daylight of 10,000 lux is white at 1/1000 s and ISO 100; in the dark 1/30 s and ISO 1600 are the limit.
DAY_LUX = 10_000.0
LARGEST_GAIN = (1000.0 / 30.0) * 16.0
WELL_E = 15_000.0  # electrons of white at ISO 100
LARGEST_ISO_GAIN = 16.0
LAMP_CD_M2 = 3000.0  # a traffic signal or brake lamp: 200 cd of a 300 mm lens (EN 12368), 60 cd of 0.02 m2 (R7)
LAMP_HEIGHT_M = 0.65
BEAM_CD = 7_000.0  # a pair of worn halogen low beams just below the cut-off; ECE R112 wants 10,100 of new ones
SPILL_CD = 250.0  # over the cut-off; R112 allows 625
SHOULDER = 0.6  # of the camera's response: white under any light stays below 1 / 0.6
SHOWN_LAMP = 1.6  # how much brighter than by day a lamp is shown; its scattered light is reckoned in full
_SMALLEST_WITH_LAMPS = 160
_MOST_LAMPS = 24
_MOST_FOUND = 2000  # coloured specks all over: no picture of a street
_LOWEST_LAMP_M, _LONGEST_LAMP, _MOST_TOGETHER = 0.3, 3.0, 5


@dataclass(frozen=True, eq=False)
class Light:
    """What lights a frame, and how it is exposed.

    ambient:    (3,) lux on level ground
    upright:    share of it that reaches upright surfaces
    beam:       strength of the car's own low beams, 0 = off
    sky:        (h, w, 3) lux: pi x luminance of the sky at any reduced size
    sky_detail: how much of the day's sky (clouds) is kept in it, 0 to 1
    veil:       (h, w, 3) cd/m2 of scattered light beside that of lamps, or None
    gain:       exposure over that of 10,000 lux daylight
    """

    ambient: NDArray[np.float32]
    upright: float
    beam: float
    sky: Linear
    sky_detail: float
    gain: float
    read_noise_e: float
    seed: int
    veil: Linear | None = None

    @property
    def full_scale_e(self) -> float:
        """Electrons of a white pixel: as much of the gain as there is comes from ISO, the rest from time."""
        return WELL_E / max(1.0, min(LARGEST_ISO_GAIN, self.gain / (1000.0 / 30.0)))


def relit(image: Image, depth: Depth, camera: Camera, share: NDArray[np.float32], light: Light) -> Image:
    """Return the picture (H, W, 3) under another light; share (H, W) says how much of each pixel is sky."""
    exposure = light.gain / DAY_LUX  # linear radiance of white for a lux
    lamp = lamps(image, depth, camera)
    veil = veil_of(lamp_sources(image, lamp, camera), camera)
    if light.veil is not None:
        veil += light.veil
    veil *= np.float32(math.pi * exposure)
    ambient = (light.ambient * exposure).astype(np.float32)
    beam = (light.beam * exposure * np.array([BEAM_CD, SPILL_CD])).astype(np.float32)
    look = np.array([light.upright, light.sky_detail, 1.0 / _sky_level(image, depth)], np.float32)
    noise = np.array([1.0 / light.full_scale_e, (light.read_noise_e / light.full_scale_e) ** 2], np.float32)
    out = np.empty_like(image, order="C")
    _relight(
        np.ascontiguousarray(image), np.ascontiguousarray(depth), share, lamp, _geometry(camera), ambient, beam,
        spread_out((light.sky * np.float32(exposure)).astype(np.float32), camera), spread_out(filled(veil), camera),
        look, noise, folded(light.seed), out,
    )  # fmt: skip
    return out


def _sky_level(image: Image, depth: Depth) -> float:
    """Return how bright the day's sky is (green), 1 where there is none: what its clouds are measured by."""
    rows, columns = np.nonzero(np.isinf(depth[::8, ::8]))
    if not len(rows):
        return 1.0
    return max(0.05, float(to_linear(image[::8, ::8][rows, columns][None])[..., 1].mean()))


def lamps(image: Image, depth: Depth, camera: Camera) -> NDArray[np.uint8]:
    """Return (H, W) how much each pixel is a lamp, 0 to 255: small, round, bright, red, amber or green, off the ground.

    Lenses colour the rim of the sky: nothing is a lamp there.
    """
    height, width = image.shape[:2]
    if width < _SMALLEST_WITH_LAMPS:  # a cut-out: a lamp cannot be told from a coloured thing
        return np.zeros((height, width), np.uint8)
    size = (width // 2, max(1, height // 2))  # lamps are blobs: half the size is enough
    red, green, blue = cv2.split(cv2.resize(image, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 3))
    strongest = cv2.max(cv2.max(red, green), blue)
    colour = cv2.subtract(strongest, cv2.min(cv2.min(red, green), blue))
    colour[blue == strongest] = 0  # no lamp of the road is blue
    # Smaller than that both ways: a panel or a stripe survives the opening along its length, a lamp does not.
    reach = max(5, size[0] // 48) | 1
    along = cv2.morphologyEx(colour, cv2.MORPH_OPEN, np.ones((1, reach), np.uint8))
    up = cv2.morphologyEx(colour, cv2.MORPH_OPEN, np.ones((reach, 1), np.uint8))
    small = cv2.subtract(colour, cv2.max(along, up))
    around = cv2.blur(strongest, (2 * reach + 1, 2 * reach + 1))
    outshines = cv2.LUT(cv2.subtract(strongest, around), _OUTSHINING)
    found = cv2.min(cv2.min(cv2.LUT(small, _COLOURED), cv2.LUT(strongest, _BRIGHT)), outshines).reshape(size[::-1])
    coarse = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST).reshape(size[::-1])
    found[cv2.dilate(np.isinf(coarse).view(np.uint8), np.ones((3, 3), np.uint8)).reshape(found.shape) > 0] = 0
    found = _lamps_only(found, coarse, camera)
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width)


def _ramp(low: float, high: float) -> NDArray[np.uint8]:
    return np.rint(255 * np.clip((np.arange(256) - low) / (high - low), 0, 1)).astype(np.uint8)


_COLOURED, _BRIGHT, _OUTSHINING = _ramp(70, 120), _ramp(150, 210), _ramp(40, 80)


def _lamps_only(found: NDArray[np.uint8], depth: Depth, camera: Camera) -> NDArray[np.uint8]:
    """Take away what lies on the ground (paint), is long and thin (stripes), or comes in swarms (leaves)."""
    count, regions, stats, centres = cv2.connectedComponentsWithStats((found > 0).view(np.uint8), connectivity=8)
    if count < 2 or count > _MOST_FOUND:
        return found if count < 2 else np.zeros_like(found)
    up, height = ground_frame(camera)
    K, scale = camera.K, (camera.width / found.shape[1], camera.height / found.shape[0])
    x = (centres[:, 0] * scale[0] + 1.0 - K[0, 2]) / K[0, 0]
    y = (centres[:, 1] * scale[1] + 1.0 - K[1, 2]) / K[1, 1]
    metres = depth[centres[:, 1].astype(int), centres[:, 0].astype(int)]
    over_ground = height + np.where(np.isfinite(metres), metres, 1e3) * (up[0] * x + up[1] * y + up[2])
    long, short = stats[:, 2:4].max(axis=1), stats[:, 2:4].min(axis=1)
    near = np.abs(centres[:, None] - centres[None, 1:]).max(axis=2) < found.shape[1] / 16
    lamp = (over_ground > _LOWEST_LAMP_M) & (long <= _LONGEST_LAMP * short + 1) & (near.sum(axis=1) <= _MOST_TOGETHER)
    lamp[0] = True
    keep = np.where(lamp, np.uint8(255), np.uint8(0))
    kept: NDArray[np.uint8] = found & keep[regions]
    return kept


def lamp_sources(image: Image, lamp: NDArray[np.uint8], camera: Camera) -> Sources:
    """Return the strongest lamps of a picture as point sources: their luminance times the solid angle they fill."""
    if not lamp.any():
        return np.zeros((0, 5), np.float32)
    pixel_sr = 1.0 / (float(camera.K[0, 0]) * float(camera.K[1, 1]))
    _, regions, stats, centres = cv2.connectedComponentsWithStats((lamp > 64).view(np.uint8), connectivity=8)
    largest = np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:_MOST_LAMPS] + 1
    found = np.empty((len(largest), 5), np.float32)
    for n, region in enumerate(largest):
        x, y, w, h = stats[region, :4]
        window = slice(y, y + h), slice(x, x + w)
        weight = lamp[window] * (regions[window] == region) / np.float32(255.0)
        found[n, :2] = centres[region] + 0.5
        light = to_linear(np.ascontiguousarray(image[window])) * weight[..., None]
        found[n, 2:] = LAMP_CD_M2 * pixel_sr * light.sum(axis=(0, 1))
    return found


def _geometry(camera: Camera) -> NDArray[np.float32]:
    """Return (8,) ray slopes x = a j + b, y = c i + d, world up in the camera (3,), and camera height."""
    up, height = ground_frame(camera)
    a, c = 1.0 / camera.K[0, 0], 1.0 / camera.K[1, 1]
    b, d = (0.5 - camera.K[0, 2]) * a, (0.5 - camera.K[1, 2]) * c
    return np.array([a, b, c, d, up[0], up[1], up[2], height], np.float32)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _relight(image, depth, share, lamp, geometry, ambient, beam, sky, veil, look, noise, seed, out):  # type: ignore[no-untyped-def]  # numba infers
    """Fill out (H, W, 3): reflectance x (ambient + headlights), sky, lamps as they were, veil, noise; all exposed."""
    rows, columns = depth.shape
    one = np.float32(1.0)
    light = np.empty((3, columns), np.float32)
    detail, per_level = look[1], look[2]
    per_electron, read2 = noise
    for i in range(rows):
        _light_row(depth[i], i, geometry, ambient, beam, look[0], light)
        for j in range(columns):
            part = share[i, j]
            level = decode(image[i, j, 1]) * per_level  # of the day's sky
            clouds = part * (one + detail * (level - one))
            # what is not the day's sky in it
            own = min(one - part, max(one - np.float32(0.7) * part / max(level, np.float32(1e-3)), np.float32(0.0)))
            shown = np.float32(lamp[i, j]) * np.float32(SHOWN_LAMP / 255.0)
            bits = hashed(seed, i * columns + j)
            for k in range(3):
                day = decode(image[i, j, k])
                lit = day * own * light[k, j]
                lit = lit / (one + np.float32(SHOULDER) * lit)  # what is near stays within range
                lit = max(lit + clouds * sky[i, j, k], shown * day)
                lit += max(one - lit, np.float32(0.0)) * veil[i, j, k]
                out[i, j, k] = encode(lit + np.sqrt(lit * per_electron + read2) * normal_of(bits, k))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _light_row(depth, i, geometry, ambient, beam, upright, light):  # type: ignore[no-untyped-def]  # numba infers
    """Fill light (3, W) with the radiance of a white surface in each pixel of row i."""
    a, b, c, d, up_x, up_y, up_z, camera_m = geometry
    one, zero = np.float32(1.0), np.float32(0.0)
    red, green, blue = ambient[0], ambient[1], ambient[2]
    rise = up_y * (c * np.float32(i) + d) + up_z
    for j in range(len(depth)):
        x = a * np.float32(j) + b
        z = min(depth[j], np.float32(1e6))
        height = camera_m + z * (up_x * x + rise)  # over the ground
        lying = min(max(one - height * np.float32(4.0), zero), one)
        facing = upright + lying * (one - upright)
        head = _beam(x, z, height, lying, beam[0], beam[1])
        light[0, j] = red * facing + np.float32(1.06) * head  # halogen to LED: a little warm
        light[1, j] = green * facing + head
        light[2, j] = blue * facing + np.float32(0.86) * head


@njit(cache=True, inline="always")
def _beam(x, z, height, lying, candela, spill):  # type: ignore[no-untyped-def]  # numba infers
    """Return radiance that the low beams add to a white surface, `height` over the ground at depth z of a ray x."""
    one = np.float32(1.0)
    down = np.float32(LAMP_HEIGHT_M) - height
    distance2 = z * z * (one + x * x) + down * down + np.float32(4.0)  # lamps are metres before the blind spot
    near = one / np.sqrt(distance2)
    side = x * np.float32(1.0 / 0.30)  # the beam is about 17 degrees wide to each side
    side *= side
    across = one + side * (side + np.float32(0.3))
    below = down * near - np.float32(0.01)  # sine below the lamps' axis; the cut-off dips by 1 %
    fall, edge = below * np.float32(1.0 / 0.09), below * np.float32(1.0 / 0.006)
    edge *= edge
    under = candela / (one + fall * fall)
    over = spill + (candela - spill) / (one + edge * edge)
    slant = np.float32(LAMP_HEIGHT_M) * near  # flat ground is met at a slant
    facing = np.float32(0.8) + lying * (slant - np.float32(0.8))
    return (under if below > 0 else over) * facing / (across * distance2)
