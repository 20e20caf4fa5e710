"""The veil of the air before a scene, in one pass over the picture, in linear light.

Light that meets air of extinction beta (1/m) along a path is left to a share of exp(-optical depth), optical depth =
beta x path; airlight fills up the rest (Koschmieder 1924). Water on the ground lies behind the air, and particles near
the camera before it, so that both go through the same pass.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Image
from synth.atmosphere import Air, Colour, ray_geometry, sky_and_rim
from synth.radiometry import FAST, Linear, decode_row, encode_row, rows_of
from synth.wet import DRY, Water, film_of, water_row

_FULL = 30.0  # optical depth beyond which nothing gets through
_NO_COVER = np.zeros((0, 0), np.uint16)
_NO_LIGHT = np.zeros((1, 1, 3), np.float32)


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
    if water is DRY:
        _veil(rows_of(source), depth, air_parts, (cover, light), rows_of(out))
    else:
        _veil_wet(rows_of(source), depth, air_parts, (cover, light), (water.ground, water.laid), rows_of(out))
    return out


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
    sky, near = sky_and_rim(image, depth)
    rim = near[(sky.reshape(-1)[near] - np.uint8(1)) < 254]  # 0 wraps round to 255
    tau = np.empty(rim.shape, np.float32)
    _at_rim(rim, depth, sky, geometry, air.law(), tau)
    return rim, tau


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


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
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
    columns, i = depth.shape[1], 0
    for k in range(rim.size):
        while rim[k] >= (i + 1) * columns:
            i += 1
        j = rim[k] - i * columns
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
    tau, done = np.empty(depth.shape[1], np.float32), np.int64(0)
    for i in range(depth.shape[0]):
        done = _optical_depth(i, depth, geometry, law, rim, rim_tau, done, tau)
        for j in range(tau.size):
            out[i, j] = decay(tau[j])


@njit(cache=True, nogil=True, error_model="numpy")
def _veil(image, depth, air, particles, out):  # type: ignore[no-untyped-def]  # numba infers
    """Lay air and particles before a picture (H, 3 W)."""
    rows, columns = depth.shape
    red, green, blue = np.empty(columns, np.float32), np.empty(columns, np.float32), np.empty(columns, np.float32)
    steps, tau = np.empty((3, columns), np.uint16), np.empty(columns, np.float32)
    shade = np.empty((3, columns), np.float32)
    state = np.array([0, -1])
    for i in range(rows):
        decode_row(image[i], red, green, blue)
        _before_row(i, depth, air, particles, state, tau, shade, red, green, blue)
        encode_row(red, green, blue, steps, out[i])


@njit(cache=True, nogil=True, error_model="numpy")
def _veil_wet(image, depth, air, particles, water, out):  # type: ignore[no-untyped-def]  # numba infers
    """Lay water on the ground of a picture (H, 3 W), and air and particles before it."""
    ground, laid = water
    rows, columns = depth.shape
    red, green, blue = np.empty(columns, np.float32), np.empty(columns, np.float32), np.empty(columns, np.float32)
    steps, tau = np.empty((3, columns), np.uint16), np.empty(columns, np.float32)
    shade = np.empty((3, columns), np.float32)
    state, film = np.array([0, -1]), film_of(rows, columns, laid)
    for i in range(rows):
        decode_row(image[i], red, green, blue)
        water_row(i, ground, laid, film, red, green, blue)
        _before_row(i, depth, air, particles, state, tau, shade, red, green, blue)
        encode_row(red, green, blue, steps, out[i])


@njit(cache=True, nogil=True, error_model="numpy")
def _before_row(i, depth, air, particles, state, tau, shade, red, green, blue):  # type: ignore[no-untyped-def]
    """Lay air and particles before row i of each channel (W,); state: rim pixels done, row of the particles' light."""
    geometry, law, rim, rim_tau, colour, lost = air
    cover, light = particles
    rows, columns = depth.shape
    state[0] = _optical_depth(i, depth, geometry, law, rim, rim_tau, state[0], tau)
    _air_row(tau, colour, lost, red, green, blue)
    if cover.size < depth.size:
        return
    row = i * light.shape[0] // rows
    if state[1] != row:
        state[1] = row
        for k in range(3):
            for j in range(columns):
                shade[k, j] = light[row, j * light.shape[1] // columns, k]
    _cover_row(cover[i], shade, tau, red, green, blue)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _air_row(tau, colour, lost, red, green, blue):  # type: ignore[no-untyped-def]  # numba infers
    """Lay air of optical depth tau (W,) before a row of each channel (W,); tau is used up."""
    k0, k1, k2 = colour[0]
    g0, g1, g2 = colour[1]
    a0, a1, a2 = colour[2]
    kept = np.float32(1.0) - lost
    if k0 != k1 or k2 != k1:
        for j in range(tau.size):
            r, g, b = red[j], green[j], blue[j]
            grey = lost * (np.float32(0.2126) * r + np.float32(0.7152) * g + np.float32(0.0722) * b)
            red[j] = a0 + ((grey + kept * r) * g0 - a0) * decay(k0 * tau[j])
            green[j] = a1 + ((grey + kept * g) * g1 - a1) * decay(k1 * tau[j])
            blue[j] = a2 + ((grey + kept * b) * g2 - a2) * decay(k2 * tau[j])
    else:
        for j in range(tau.size):
            r, g, b = red[j], green[j], blue[j]
            grey = lost * (np.float32(0.2126) * r + np.float32(0.7152) * g + np.float32(0.0722) * b)
            through = decay(k1 * tau[j])
            red[j] = a0 + ((grey + kept * r) * g0 - a0) * through
            green[j] = a1 + ((grey + kept * g) * g1 - a1) * through
            blue[j] = a2 + ((grey + kept * b) * g2 - a2) * through


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
