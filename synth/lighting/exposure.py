"""A frame exposed otherwise: linear light times 2^EV, clipped, with the noise and the grey steps that come of it.

One stop (EV) doubles the light on the sensor (ISO 12232). A brighter exposure clips what passes white, each channel
for itself, and shows the dark tones between two 8-bit codes, which are dithered; a darker one leaves fewer electrons,
so photon noise and read noise (EMVA 1288) show, and 8 bits leave few steps.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Image
from synth.lighting.rows import encode_row, folded, normal_row, uniform_row
from synth.radiometry import to_linear

FULL_WELL_E = 10_000.0  # electrons of white at ISO 100, a 3 micrometre pixel


def brightened(image: Image, *, stops: float, seed: int) -> Image:
    """Return a picture exposed longer by stops >= 0: what lies within a code is spread over it, then amplified."""
    edges = np.clip(np.arange(257) - 0.5, 0.0, 255.0) / 255.0
    linear = np.where(edges <= 0.04045, edges / 12.92, ((edges + 0.055) / 1.055) ** 2.4)
    gain = 2.0**stops
    low, span = gain * linear[:-1], gain * np.diff(linear)
    low[255], span[255] = gain, 0.0  # white was clipped already
    out = np.empty_like(image, order="C")
    _spread(flat(image), low.astype(np.float32), span.astype(np.float32), folded(seed), flat(out))
    return out


def darkened(image: Image, *, stops: float, read_noise_e: float, seed: int) -> Image:
    """Return a picture exposed shorter by stops >= 0 at the same gain, with the noise of its fewer electrons."""
    codes = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    linear = to_linear(codes)[:, 0, 0].astype(np.float64) * 2.0**-stops
    noise = np.sqrt(linear * FULL_WELL_E + read_noise_e**2) / FULL_WELL_E
    out = np.empty_like(image, order="C")
    _grain(flat(image), linear.astype(np.float32), noise.astype(np.float32), folded(seed), flat(out))
    return out


def flat(image: Image) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) as flat rows (H, 3 W), a view of it where it is contiguous."""
    return np.ascontiguousarray(image).reshape(image.shape[0], -1)


@njit(cache=True, nogil=True)
def _spread(image, low, span, seed, out):  # type: ignore[no-untyped-def]  # numba infers
    within, light = np.empty(image.shape[1], np.float32), np.empty(image.shape[1], np.float32)
    for i in range(image.shape[0]):
        uniform_row(seed, i * (image.shape[1] // 3), within)
        _look_up(image[i], low, span, within, light)
        encode_row(light, out[i])


@njit(cache=True, nogil=True)
def _grain(image, linear, noise, seed, out):  # type: ignore[no-untyped-def]  # numba infers
    normal, light = np.empty(image.shape[1], np.float32), np.empty(image.shape[1], np.float32)
    for i in range(image.shape[0]):
        normal_row(seed, i * (image.shape[1] // 3), normal)
        _look_up(image[i], linear, noise, normal, light)
        encode_row(light, out[i])


@njit(cache=True, nogil=True, fastmath=True)
def _look_up(codes, base, slope, by, light):  # type: ignore[no-untyped-def]  # numba infers
    for k in range(len(codes)):
        light[k] = base[codes[k]] + slope[codes[k]] * by[k]
