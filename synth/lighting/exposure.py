"""A frame exposed otherwise: linear light times 2^EV, clipped, with the noise and the grey steps that come of it.

One stop (EV) doubles the light on the sensor (ISO 12232). A brighter exposure clips what passes white, each channel
for itself, and shows the dark tones between two 8-bit codes, which are dithered; a darker one leaves fewer electrons,
so photon noise and read noise (EMVA 1288) show, and 8 bits leave few steps.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtri

from scenes.sample import Image
from synth.lighting.rows import PIECE, RING, folded, hashed
from synth.radiometry import rows_of, to_linear, to_srgb
from synth.random import Rng

FULL_WELL_E = 10_000.0  # electrons of white at ISO 100, a 3 micrometre pixel
_LEVELS = 128  # that chance has: a table of 32 kB stays in the cache
_NORMAL = ndtri((np.arange(_LEVELS) + 0.5) / _LEVELS)
_NORMAL /= np.sqrt(np.mean(_NORMAL**2))


def brightened(image: Image, *, stops: float, seed: int) -> Image:
    """Return a picture exposed longer by stops >= 0: what lies within a code is spread over it, then amplified."""
    edges = np.clip(np.arange(257) - 0.5, 0.0, 255.0) / 255.0
    linear = np.where(edges <= 0.04045, edges / 12.92, ((edges + 0.055) / 1.055) ** 2.4)
    gain = 2.0**stops
    low, span = gain * linear[:-1], gain * np.diff(linear)
    low[255], span[255] = gain, 0.0  # white was clipped already
    within = (np.arange(_LEVELS)[:, None] + 0.5) / _LEVELS
    return _drawn(image, to_srgb(low + within * span), seed)


def darkened(image: Image, *, stops: float, read_noise_e: float, seed: int) -> Image:
    """Return a picture exposed shorter by stops >= 0 at the same gain, with the noise of its fewer electrons."""
    codes = np.arange(256, dtype=np.uint8)
    linear = to_linear(codes).astype(np.float64) * 2.0**-stops
    noise = np.sqrt(linear * FULL_WELL_E + read_noise_e**2) / FULL_WELL_E
    return _drawn(image, to_srgb(linear + _NORMAL[:, None] * noise), seed)


def _drawn(image: Image, table: NDArray[np.uint8], seed: int) -> Image:
    """Return a picture whose every value is replaced by one of those, drawn by chance, that a table has for its code.

    table: (_LEVELS, 256) codes, each row as likely
    """
    out = np.empty(image.shape, np.uint8)
    _draw(flat(image), np.ascontiguousarray(table).reshape(-1), _chances(), folded(seed), rows_of(out))
    return out


def flat(image: Image) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) as flat rows (H, 3 W), a view of it where it is contiguous."""
    return rows_of(np.ascontiguousarray(image))


@cache
def _chances() -> NDArray[np.uint16]:
    """Return (RING + PIECE,) places of table rows by chance, every level as often; the end repeats the start."""
    order = np.argsort(Rng(0, "exposure").uniforms(RING), kind="stable")
    ring = ((order % _LEVELS) << 8).astype(np.uint16)
    return np.concatenate([ring, ring[:PIECE]])


@njit(cache=True, nogil=True)
def _draw(image, table, chances, seed, out):  # type: ignore[no-untyped-def]  # numba infers
    """Take chance from a ring of numbers, from another place for each piece of a row, as film grain is made in AV1."""
    width = image.shape[1]
    pieces = (width + PIECE - 1) // PIECE
    for i in range(image.shape[0]):
        for piece in range(pieces):
            first, end = piece * PIECE, min((piece + 1) * PIECE, width)
            place = np.int64(hashed(seed, i * pieces + piece)) % RING
            _draw_piece(image[i, first:end], table, chances[place : place + end - first], out[i, first:end])


@njit(cache=True, nogil=True)
def _draw_piece(codes, table, chance, out):  # type: ignore[no-untyped-def]  # numba infers
    for k in range(codes.size):
        out[k] = table[np.uint32(chance[k]) | np.uint32(codes[k])]
