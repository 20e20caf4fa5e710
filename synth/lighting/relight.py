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
from synth.lighting.exposure import flat
from synth.lighting.rows import TO_LINEAR, encode_row, expose_by_ring, folded, normal_ring
from synth.lighting.scatter import Sources, filled, mix_rows, veil_of
from synth.radiometry import Linear, to_linear

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
_LAMPS_AT = 440  # pixels across: lamps are blobs, to be found in a reduced picture
_MOST_LAMPS = 24
_MOST_FOUND = 1000  # coloured specks all over: no picture of a street
_LOWEST_LAMP_M, _LONGEST_LAMP, _MOST_TOGETHER = 0.3, 3.0, 3


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


def relit(image: Image, depth: Depth, camera: Camera, share: NDArray[np.uint8], light: Light) -> Image:
    """Return the picture (H, W, 3) under another light; share (H, W): how much of each pixel is sky, of 255."""
    exposure = light.gain / DAY_LUX  # linear radiance of white for a lux
    lamp, sources = lamps(image, depth, camera)
    veil = veil_of(sources, camera)
    if light.veil is not None:
        veil += light.veil
    veil *= np.float32(math.pi * exposure)
    ambient = (light.ambient * exposure).astype(np.float32)
    beam = (light.beam * exposure * np.array([BEAM_CD, SPILL_CD])).astype(np.float32)
    look = np.array([light.upright, light.sky_detail, 1.0 / _sky_level(image, depth)], np.float32)
    noise = np.array([1.0 / light.full_scale_e, (light.read_noise_e / light.full_scale_e) ** 2], np.float32)
    sky = (light.sky * np.float32(exposure)).astype(np.float32)
    out = np.empty_like(image, order="C")
    _relight(
        flat(image), np.ascontiguousarray(depth), share, lamp, _geometry(camera), ambient, beam,
        sky, filled(veil),
        look, noise, normal_ring(), folded(light.seed), flat(out),
    )  # fmt: skip
    return out


def _sky_level(image: Image, depth: Depth) -> float:
    """Return how bright the day's sky is (green), 1 where there is none: what its clouds are measured by."""
    rows, columns = np.nonzero(np.isinf(depth[::8, ::8]))
    if not len(rows):
        return 1.0
    return max(0.05, float(to_linear(image[::8, ::8][rows, columns][None])[..., 1].mean()))


def lamps(image: Image, depth: Depth, camera: Camera) -> tuple[NDArray[np.uint8], Sources]:
    """Return (H, W) how much each pixel is a lamp, 0 to 255, and the strongest lamps as sources of scattered light.

    Lamps are small, round, brighter than what is around them, red, amber or green, and off the ground. Lenses colour
    the rim of the sky: nothing is a lamp there.
    """
    height, width = image.shape[:2]
    if width < _SMALLEST_WITH_LAMPS:  # a cut-out: a lamp cannot be told from a coloured thing
        return np.zeros((height, width), np.uint8), np.zeros((0, 5), np.float32)
    step = max(2, round(width / _LAMPS_AT))
    size = (width // step, max(1, height // step))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 3)
    red, green, blue = cv2.split(small)
    strongest = cv2.max(cv2.max(red, green), blue)
    colour = cv2.subtract(strongest, cv2.min(cv2.min(red, green), blue))
    colour[blue == strongest] = 0  # no lamp of the road is blue
    # Smaller than that both ways: a panel or a stripe survives the opening along its length, a lamp does not.
    reach = max(5, size[0] // 48) | 1
    along = cv2.morphologyEx(colour, cv2.MORPH_OPEN, np.ones((1, reach), np.uint8))
    up = cv2.morphologyEx(colour, cv2.MORPH_OPEN, np.ones((reach, 1), np.uint8))
    speck = cv2.subtract(colour, cv2.max(along, up))
    around = cv2.blur(strongest, (2 * reach + 1, 2 * reach + 1))
    outshines = cv2.LUT(cv2.subtract(strongest, around), _OUTSHINING)
    found = cv2.min(cv2.min(cv2.LUT(speck, _COLOURED), cv2.LUT(strongest, _BRIGHT)), outshines).reshape(size[::-1])
    coarse = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST).reshape(size[::-1])
    found[cv2.dilate(np.isinf(coarse).view(np.uint8), np.ones((3, 3), np.uint8)).reshape(found.shape) > 0] = 0
    found, sources = _lamps_only(found, small, coarse, camera)
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width), sources


def _ramp(low: float, high: float) -> NDArray[np.uint8]:
    return np.rint(255 * np.clip((np.arange(256) - low) / (high - low), 0, 1)).astype(np.uint8)


_COLOURED, _BRIGHT, _OUTSHINING = _ramp(70, 120), _ramp(150, 210), _ramp(40, 80)


def _lamps_only(
    found: NDArray[np.uint8], image: Image, depth: Depth, camera: Camera
) -> tuple[NDArray[np.uint8], Sources]:
    """Take away what lies on the ground (paint), is long and thin (stripes), or comes in swarms (leaves).

    All at the same reduced size. Sources: luminance of each lamp times the solid angle that it fills.
    """
    count, regions, stats, centres = cv2.connectedComponentsWithStats((found > 0).view(np.uint8), connectivity=8)
    if count < 2 or count > _MOST_FOUND:
        return np.zeros_like(found), np.zeros((0, 5), np.float32)
    up, height = ground_frame(camera)
    K, scale = camera.K, np.array([camera.width / found.shape[1], camera.height / found.shape[0]])
    places = (centres + 0.5) * scale
    x, y = (places[:, 0] - K[0, 2]) / K[0, 0], (places[:, 1] - K[1, 2]) / K[1, 1]
    metres = depth[centres[:, 1].astype(int), centres[:, 0].astype(int)]
    over_ground = height + np.where(np.isfinite(metres), metres, 1e3) * (up[0] * x + up[1] * y + up[2])
    long, short = stats[:, 2:4].max(axis=1), stats[:, 2:4].min(axis=1)
    near = np.abs(centres[:, None] - centres[None, 1:]).max(axis=2) < found.shape[1] / 16
    lamp = (over_ground > _LOWEST_LAMP_M) & (long <= _LONGEST_LAMP * short + 1) & (near.sum(axis=1) <= _MOST_TOGETHER)
    lamp[0] = False
    kept: NDArray[np.uint8] = found & np.where(lamp, np.uint8(255), np.uint8(0))[regions]
    rows, columns = np.nonzero(kept)
    light = to_linear(image[rows, columns][None])[0] * (kept[rows, columns] / np.float32(255.0))[:, None]
    sums = [np.bincount(regions[rows, columns], light[:, c], minlength=count) for c in range(3)]
    pixel_sr = float(scale[0] * scale[1] / (K[0, 0] * K[1, 1]))
    sources = np.column_stack([places, LAMP_CD_M2 * pixel_sr * np.array(sums).T])
    strongest = np.argsort(-sources[:, 2:].sum(axis=1), kind="stable")[: min(_MOST_LAMPS, int(lamp.sum()))]
    return kept, sources[strongest].astype(np.float32)


def _geometry(camera: Camera) -> NDArray[np.float32]:
    """Return (8,) ray slopes x = a j + b, y = c i + d, world up in the camera (3,), and camera height."""
    up, height = ground_frame(camera)
    a, c = 1.0 / camera.K[0, 0], 1.0 / camera.K[1, 1]
    b, d = (0.5 - camera.K[0, 2]) * a, (0.5 - camera.K[1, 2]) * c
    return np.array([a, b, c, d, up[0], up[1], up[2], height], np.float32)


@njit(cache=True, nogil=True)
def _relight(image, depth, share, lamp, geometry, ambient, beam, sky, veil, look, noise, ring, seed, out):  # type: ignore[no-untyped-def]  # numba infers
    """Fill out: reflectance x (ambient + headlights), sky, lamps as they were, veil, noise; all exposed.

    image, out: flat rows (H, 3 W); sky, veil: (h, w, 3); depth, share, lamp: (H, W)
    """
    rows, wide = image.shape
    light, above, shown = np.empty(wide, np.float32), np.empty(wide, np.float32), np.empty(wide, np.float32)
    scattered, sky_row = np.empty(wide, np.float32), np.zeros(wide, np.float32)
    kept, held = np.empty((4, wide), np.float32), np.full(4, -1)
    for i in range(rows):
        _light_row(depth[i], i, geometry, ambient, beam, look[0], light)
        _share_row(image[i], share[i], lamp[i], look[1], look[2], light, above, shown)
        if _any(share[i]):
            mix_rows(sky, i, rows, sky_row, kept[:2], held[:2])
        mix_rows(veil, i, rows, scattered, kept[2:], held[2:])
        _mix_row(image[i], sky_row, scattered, light, above, shown)
        expose_by_ring(light, ring, seed, i, noise[0], noise[1])
        encode_row(light, out[i])


@njit(cache=True, nogil=True)
def _any(codes):  # type: ignore[no-untyped-def]  # numba infers
    some = np.uint8(0)
    for j in range(codes.size):
        some = np.uint8(some | codes[j])
    return some > 0


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _light_row(depth, i, geometry, ambient, beam, upright, light):  # type: ignore[no-untyped-def]  # numba infers
    """Fill light (3 W,) with the radiance of a white surface in each pixel of row i."""
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
        light[3 * j] = red * facing + np.float32(1.06) * head  # halogen to LED: a little warm
        light[3 * j + 1] = green * facing + head
        light[3 * j + 2] = blue * facing + np.float32(0.86) * head


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _share_row(codes, share, lamp, detail, per_level, light, above, shown):  # type: ignore[no-untyped-def]  # numba infers
    """Take the sky's part from the light of each pixel; fill how much of the sky it shows, and how much lamp it is."""
    one = np.float32(1.0)
    for j in range(len(share)):
        part, level = (
            np.float32(share[j]) * np.float32(1.0 / 255.0),
            TO_LINEAR[codes[3 * j + 1]] * per_level,
        )  # of the day's sky
        clouds = part * (one + detail * (level - one))
        # what is not the day's sky in it
        own = min(one - part, max(one - np.float32(0.7) * part / max(level, np.float32(1e-3)), np.float32(0.0)))
        bright = np.float32(lamp[j]) * np.float32(SHOWN_LAMP / 255.0)
        for c in range(3):
            light[3 * j + c] *= own
            above[3 * j + c] = clouds
            shown[3 * j + c] = bright


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _mix_row(codes, sky, veil, light, above, shown):  # type: ignore[no-untyped-def]  # numba infers
    """Turn the light on each pixel into what it sends."""
    one = np.float32(1.0)
    for k in range(len(codes)):
        day = TO_LINEAR[codes[k]]
        lit = day * light[k]
        lit = lit / (one + np.float32(SHOULDER) * lit)  # what is near stays within range
        lit = max(lit + above[k] * sky[k], shown[k] * day)
        light[k] = lit + max(one - lit, np.float32(0.0)) * veil[k]


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
