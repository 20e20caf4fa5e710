"""What the shifts of the air share: the optical depth along each ray, the veil that it lays, and its light.

Light that meets air of extinction beta (1/m) along a path is left to a share of exp(-optical depth), optical depth =
beta x path; airlight fills up the rest (Koschmieder 1924). All in linear light; every kernel is one pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Depth, Image, Sample
from synth.ground import ground_frame
from synth.radiometry import FAST, Linear, decode_row, encode_row, luminance, to_linear
from synth.wet import DRY, Water, film_of, water_row

CONTRAST_AT_VISIBILITY = 0.05  # meteorological optical range (WMO No. 8): the range at which 5 % of contrast is left
WAVELENGTHS_NM = (610.0, 550.0, 465.0)  # dominant wavelengths of the sRGB primaries, about
_BRIGHTEST_SHARE = 0.1
_ENDLESS_M = 1e6  # depth of the sky is infinite
_FULL = 30.0  # optical depth beyond which nothing gets through
_NO_COVER = np.zeros((1, 1), np.uint16)
_NO_LIGHT = np.zeros((1, 1, 3), np.float32)

Colour = tuple[float, float, float]


def extinction_per_m(visibility_m: float) -> float:
    """Return the extinction coefficient that leaves 5 % contrast at a visibility.

    >>> round(extinction_per_m(600), 4)  # Foggy Cityscapes' light fog
    0.005
    """
    return -math.log(CONTRAST_AT_VISIBILITY) / visibility_m


def by_wavelength(angstrom: float) -> Colour:
    """Return the extinction of red, green and blue over that of green, wavelength^-angstrom (Angstrom 1929).

    >>> by_wavelength(0.0)
    (1.0, 1.0, 1.0)
    """
    red, green, blue = WAVELENGTHS_NM
    return (green / red) ** angstrom, 1.0, (green / blue) ** angstrom


def depth_and_camera(sample: Sample, shift: str) -> tuple[Depth, Camera]:
    """Return both, or raise with the sample's name."""
    if sample.depth is None or sample.camera is None:
        lacks = "depth" if sample.depth is None else "a camera"
        raise InputError(
            f"{shift} needs depth and a camera; sample {sample.sample_id!r} lacks {lacks}: complete it first"
        )
    return sample.depth, sample.camera


@dataclass(frozen=True)
class Air:
    """A body of air over the road.

    extinction_per_m: of green light, at the height of the road; ratio: that of red, green and blue over it
    airlight:         linear radiance that a thick layer of it sends
    layer_m:          it reaches so far over the camera: a ray to the sky leaves it after layer_m / sin(elevation), and
                      never does at the horizon
    scale_height_m:   if positive, extinction falls off as exp(-height / scale height) instead
    """

    extinction_per_m: float
    airlight: Colour
    layer_m: float = 1000.0
    scale_height_m: float = 0.0
    ratio: Colour = (1.0, 1.0, 1.0)

    def law(self) -> NDArray[np.float32]:
        """Return (3,) extinction, layer, scale height for kernels."""
        return np.array([self.extinction_per_m, self.layer_m, self.scale_height_m], np.float32)


def transmission(image: Image, depth: Depth, camera: Camera, air: Air) -> NDArray[np.float32]:
    """Return (H, W) share of green light that gets through the air along each ray.

    Pixels that hold sky and object let both shares through.
    """
    through = np.empty(depth.shape, np.float32)
    depth, geometry = np.ascontiguousarray(depth), ray_geometry(camera)
    _transmission(depth, geometry, air.law(), *_rim(image, depth, geometry, air), through)
    return through


def _rim(
    image: Image, depth: Depth, geometry: NDArray[np.float32], air: Air
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return (R,) flat indices, in order, of the pixels that hold sky and object, and their optical depth (R,)."""
    sky = sky_codes(image, depth)
    rim = np.flatnonzero(sky - np.uint8(1) < 254)  # 0 wraps round to 255
    tau = np.empty(rim.shape, np.float32)
    _at_rim(rim, depth, sky, geometry, air.law(), tau)
    return rim, tau


def ray_geometry(camera: Camera) -> NDArray[np.float32]:
    """Return (8,) ray slopes x = a j + b, y = c i + d, world up in the camera (3,), and camera height."""
    up, height = ground_frame(camera)
    a, c = 1.0 / camera.K[0, 0], 1.0 / camera.K[1, 1]
    b, d = (0.5 - camera.K[0, 2]) * a, (0.5 - camera.K[1, 2]) * c
    return np.array([a, b, c, d, up[0], up[1], up[2], height], np.float32)


@njit(cache=True, inline="always")
def decay(tau):  # type: ignore[no-untyped-def]  # numba infers: float32 -> float32
    """For kernels: exp(-tau) for |tau| < 20 or more: a Pade approximant to the 16th power, within 4e-6."""
    y = min(tau, np.float32(20.0)) * np.float32(1.0 / 16.0)
    even = np.float32(1.0) + y * y * np.float32(1.0 / 12.0)
    half = y * np.float32(0.5)
    share = (even - half) / (even + half)
    share *= share
    share *= share
    share *= share
    return share * share


@njit(cache=True, inline="always")
def _even(z, rise, length, beta, layer):  # type: ignore[no-untyped-def]  # numba infers
    """Return the optical depth of a layer for a point at depth z, or the sky, of a ray that climbs `rise` a metre."""
    path = layer / max(rise, np.float32(1e-6)) if z > np.float32(1e6) else z
    return min(beta * length * path, np.float32(_FULL))


@njit(cache=True, inline="always")
def _low(z, rise, length, beta, scale, height):  # type: ignore[no-untyped-def]  # numba infers
    """Return the optical depth of air that thins out upwards; see `optical_depth_low`."""
    far = min(z, np.float32(1e6))
    road = height / max(-rise, np.float32(1e-7))
    under = max(far - road, np.float32(0.0))
    climbed = rise * (far - under) / scale
    some = climbed if abs(climbed) > np.float32(0.02) else np.float32(1.0)
    series = np.float32(1.0) - climbed * (np.float32(0.5) - climbed * np.float32(1.0 / 6.0))
    mean = (np.float32(1.0) - decay(some)) / some if abs(climbed) > np.float32(0.02) else series
    return min(beta * length * (decay(height / scale) * mean * (far - under) + under), np.float32(_FULL))


@njit(cache=True, inline="always")
def _optical_depth(i, depth, geometry, law, rim, rim_tau, done, tau):  # type: ignore[no-untyped-def]  # numba infers
    """Fill tau (W,) with extinction x path of row i; return how many of the rim's pixels are done."""
    a, b, c, d, up_x, up_y, up_z, height = geometry
    beta, layer, scale = law  # numbers of their own: what is read from an array could change under the kernel's writes
    y = c * np.float32(i) + d
    if scale > 0:
        for j in range(tau.size):
            x = a * np.float32(j) + b
            length = np.sqrt(np.float32(1.0) + x * x + y * y)
            tau[j] = _low(depth[i, j], up_x * x + up_y * y + up_z, length, beta, scale, height)
    else:
        for j in range(tau.size):
            x = a * np.float32(j) + b
            length = np.sqrt(np.float32(1.0) + x * x + y * y)
            tau[j] = _even(depth[i, j], up_x * x + up_y * y + up_z, length, beta, layer)
    while done < rim.size and rim[done] < (i + 1) * tau.size:
        tau[rim[done] - i * tau.size] = rim_tau[done]
        done += 1
    return done


@njit(cache=True, nogil=True)
def _at_rim(rim, depth, sky, geometry, law, tau):  # type: ignore[no-untyped-def]  # numba infers
    """Fill tau (R,) with the optical depth of pixels that hold sky and object: it lets the light of both through."""
    a, b, c, d, up_x, up_y, up_z, height = geometry
    beta, layer, scale = law
    columns = depth.shape[1]
    for k in range(rim.size):
        i, j = rim[k] // columns, rim[k] % columns
        x, y = a * np.float32(j) + b, c * np.float32(i) + d
        length = np.sqrt(np.float32(1.0) + x * x + y * y)
        rise = up_x * x + up_y * y + up_z
        if scale > 0:
            near = _low(depth[i, j], rise, length, beta, scale, height)
            far = _low(np.float32(np.inf), rise, length, beta, scale, height)
        else:
            near = _even(depth[i, j], rise, length, beta, layer)
            far = _even(np.float32(np.inf), rise, length, beta, layer)
        part = np.float32(sky[i, j]) * np.float32(1.0 / 255.0)
        through = (np.float32(1.0) - part) * decay(near) + part * decay(far)
        tau[k] = min(-np.log(max(through, np.float32(1e-13))), np.float32(_FULL))


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _transmission(depth, geometry, law, rim, rim_tau, out):  # type: ignore[no-untyped-def]  # numba infers
    tau, done = np.empty(depth.shape[1], np.float32), 0
    for i in range(depth.shape[0]):
        done = _optical_depth(i, depth, geometry, law, rim, rim_tau, done, tau)
        for j in range(tau.size):
            out[i, j] = decay(tau[j])


def sky_share(image: Image, depth: Depth) -> NDArray[np.float32]:
    """Return (H, W) how much of each pixel is sky, 0 to 1; see `sky_codes`."""
    return sky_codes(image, depth).astype(np.float32) * np.float32(1.0 / 255.0)


def sky_codes(image: Image, depth: Depth) -> NDArray[np.uint8]:
    """Return (H, W) how much of each pixel is sky, 0 to 255.

    Depth knows sky or not; at the rim, and between leaves, pixels hold both, and those nearly as bright as the sky
    beside them are mostly sky. Without this, rims keep the day's sky and shine at night.
    """
    codes = (depth > _ENDLESS_M).view(np.uint8) * np.uint8(255)
    if not codes.any() or codes.all():
        return codes
    edge = max(3, image.shape[1] // 110) | 1
    near = cv2.dilate(codes, np.ones((edge, edge), np.uint8)).reshape(codes.shape)
    # the sky's level changes slowly: every fourth pixel of large pictures tells it
    step = 4 if min(codes.shape) >= 256 else 1
    size = (-(-codes.shape[1] // step), -(-codes.shape[0] // step))
    grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST), cv2.COLOR_RGB2GRAY)
    thin = cv2.resize(codes, size, interpolation=cv2.INTER_NEAREST)
    wide = (2 * (edge // step) + 1, 2 * (edge // step) + 1)
    count = cv2.blur(thin, wide).reshape(size[::-1])
    light = cv2.blur(cv2.bitwise_and(grey, thin), wide).reshape(size[::-1])
    _share(np.ascontiguousarray(image), np.flatnonzero(near > codes), count, light, step, codes)
    return codes


@njit(cache=True, nogil=True)
def _share(image, rim, count, light, step, codes):  # type: ignore[no-untyped-def]  # numba infers
    low, high = np.float32(0.45), np.float32(0.85)  # of the sky's grey level: none, and all of the pixel is sky
    for k in rim:
        i, j = k // codes.shape[1], k % codes.shape[1]
        y, x = i // step, j // step
        if count[y, x] > 0 and light[y, x] > 0:
            level = np.float32(light[y, x]) * np.float32(255.0) / np.float32(count[y, x])
            grey = np.float32(0.299) * np.float32(image[i, j, 0]) + np.float32(0.587) * np.float32(image[i, j, 1])
            grey += np.float32(0.114) * np.float32(image[i, j, 2])
            part = (grey / level - low) / (high - low)
            codes[i, j] = np.uint8(np.float32(255.0) * min(max(part, np.float32(0.0)), np.float32(1.0)))


def airlight_of(image: Image) -> Colour:
    """Estimate the linear radiance of a thick layer of air: that of the brightest tenth, nearly grey, never white."""
    height, width = image.shape[:2]
    thin = cv2.resize(image, (min(width, 320), min(height, 192)), interpolation=cv2.INTER_NEAREST)
    small = cv2.resize(thin, (min(width, 64), min(height, 64)), interpolation=cv2.INTER_AREA)
    linear = to_linear(small).reshape(-1, 3)
    level = luminance(linear)
    brightest = linear[np.argsort(level, kind="stable")[-max(1, int(_BRIGHTEST_SHARE * len(level))) :]].mean(axis=0)
    grey = float(luminance(brightest))
    # Air scatters the light of the whole sky and of the sun, more than a clear blue sky sends.
    # 0.72 is sRGB 220: light grey, not white.
    strength = min(max(1.3 * grey, 0.02), 0.72)
    colour = strength * (0.75 + 0.25 * brightest / max(grey, 1e-4))
    return float(colour[0]), float(colour[1]), float(colour[2])


def veil(
    image: Image,
    depth: Depth,
    camera: Camera,
    air: Air,
    *,
    gain: Colour = (1.0, 1.0, 1.0),
    grey: float = 0.0,
    cover: NDArray[np.uint16] = _NO_COVER,
    light: Linear = _NO_LIGHT,
    water: Water = DRY,
) -> Image:
    """Return I = J t + A (1 - t), t = exp(-optical depth), in linear light, of image (H, W, 3) and depth (H, W).

    gain, grey: light left of each channel, and share of its colour lost, before the air
    cover, light: share of each pixel (H, W) that particles before the air hide, 0 to 65535, and what they send: a
        small map (h, w, 3) stretched over the picture
    water: on the ground (see `synth.wet`)
    """
    out = np.empty(image.shape, np.uint8)
    colour = np.array([air.ratio, gain, air.airlight], np.float32)
    source, depth, geometry = np.ascontiguousarray(image), np.ascontiguousarray(depth), ray_geometry(camera)
    rim, tau = _rim(image, depth, geometry, air)
    air_parts = (geometry, air.law(), rim, tau, colour, np.float32(grey))
    _veil(source, depth, air_parts, (cover, light), (water.ground, water.laid), out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _veil(image, depth, air, particles, water, out):  # type: ignore[no-untyped-def]  # numba infers
    """One pass, row by row: water on the ground, air before it, particles before all."""
    geometry, law, rim, rim_tau, colour, lost = air
    cover, light = particles
    ground, laid = water
    rows, columns = depth.shape
    covered, wet = cover.size == depth.size and light.size > 3, laid.size > 4
    red, green, blue = np.empty(columns, np.float32), np.empty(columns, np.float32), np.empty(columns, np.float32)
    steps, tau, done = np.empty((3, columns), np.uint16), np.empty(columns, np.float32), 0
    shade, shown, film = np.empty((3, columns), np.float32), -1, film_of(rows, columns, laid)
    for i in range(rows):
        decode_row(image[i].reshape(-1), red, green, blue)
        if wet:
            water_row(i, ground, laid, film, red, green, blue)
        done = _optical_depth(i, depth, geometry, law, rim, rim_tau, done, tau)
        _air_row(tau, colour, lost, red, green, blue)
        if covered:
            if shown != i * light.shape[0] // rows:
                shown = i * light.shape[0] // rows
                for k in range(3):
                    for j in range(columns):
                        shade[k, j] = light[shown, j * light.shape[1] // columns, k]
            _cover_row(cover[i], shade, tau, red, green, blue)
        encode_row(red, green, blue, steps, out[i].reshape(-1))


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _air_row(tau, colour, lost, red, green, blue):  # type: ignore[no-untyped-def]  # numba infers
    """Lay air of optical depth tau (W,) before a row of each channel (W,); tau is used up."""
    k0, k1, k2 = colour[0]
    g0, g1, g2 = colour[1]
    a0, a1, a2 = colour[2]
    if lost > 0:
        for j in range(tau.size):
            r, g, b = red[j], green[j], blue[j]
            level = np.float32(0.2126) * r + np.float32(0.7152) * g + np.float32(0.0722) * b
            red[j], green[j], blue[j] = r + lost * (level - r), g + lost * (level - g), b + lost * (level - b)
    if k0 != k1 or k2 != k1:
        for j in range(tau.size):
            red[j] = a0 + (red[j] * g0 - a0) * decay(k0 * tau[j])
            green[j] = a1 + (green[j] * g1 - a1) * decay(k1 * tau[j])
            blue[j] = a2 + (blue[j] * g2 - a2) * decay(k2 * tau[j])
    else:
        for j in range(tau.size):
            through = decay(k1 * tau[j])
            red[j] = a0 + (red[j] * g0 - a0) * through
            green[j] = a1 + (green[j] * g1 - a1) * through
            blue[j] = a2 + (blue[j] * g2 - a2) * through


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _cover_row(cover, shade, part, red, green, blue):  # type: ignore[no-untyped-def]  # numba infers
    """Mix each channel (W,) with what particles send, shade (3, W), by the share that they cover; part: to work in."""
    for j in range(part.size):
        part[j] = np.float32(cover[j]) * np.float32(1.0 / 65535.0)
    for j in range(part.size):
        red[j] += part[j] * (shade[0, j] - red[j])
    for j in range(part.size):
        green[j] += part[j] * (shade[1, j] - green[j])
    for j in range(part.size):
        blue[j] += part[j] * (shade[2, j] - blue[j])
