"""Road surfaces in metres: what replaces or covers the asphalt.

Each takes the old light (K, 3), the level of the bare road (K, 3), world coordinates x, y (1, K) in metres and the
footprint of a pixel (K,) in metres, and returns the new light (K, 3), all linear.
"""

from __future__ import annotations

import colorsys

import numpy as np

from synth.noise import Field, lookup_noise
from synth.radiometry import Linear
from synth.random import Rng

SURFACES = ("cracked", "patched", "paved", "gravel", "graffiti", "coloured")
_PIGMENTS = (
    (0.30, 0.07, 0.05),
    (0.08, 0.20, 0.10),
    (0.07, 0.14, 0.28),
    (0.38, 0.26, 0.10),
)  # of lanes for buses, bicycles


def surface(kind: str, seed: int, old: Linear, level: Linear, x: Field, y: Field, footprint: Field) -> Linear:
    """Return the light of a kind of surface; see the module."""
    makers = {
        "cracked": _cracked,
        "patched": _patched,
        "paved": _paved,
        "gravel": _gravel,
        "graffiti": _graffiti,
        "coloured": _coloured,
    }
    return makers[kind](seed, old, level, x, y, footprint).astype(np.float32)


def _seen(size_m: float, footprint: Field) -> Field:
    """Return how much of the contrast of elements of a size is left at a pixel: all when large, none when small."""
    seen: Field = np.clip(1.6 * size_m / np.maximum(footprint, 1e-3) - 0.3, 0, 1)
    return seen


def _ridge(seed: int, x: Field, y: Field, *, cell: float, width: float) -> Field:
    """Return (K,) 1 on the zero lines of a noise field, which meander and branch like cracks."""
    field = lookup_noise(seed, x, y, cell=cell, octaves=4, gain=0.55)[0]
    line: Field = np.clip(1 - np.abs(field) / width, 0, 1)
    return line


def _cracked(seed: int, old: Linear, level: Linear, x: Field, y: Field, footprint: Field) -> Linear:
    wide = np.maximum(_ridge(seed, x, y, cell=2.6, width=0.055), _ridge(seed + 1, x, y, cell=1.3, width=0.07))
    fine = _ridge(seed + 2, x, y, cell=0.45, width=0.12) * np.clip(lookup_noise(seed + 3, x, y, cell=2.0)[0] * 3, 0, 1)
    worn = 0.86 + 0.1 * lookup_noise(seed + 4, x, y, cell=1.0, octaves=4)[0]
    depth = np.maximum(wide * _seen(0.10, footprint) * 0.85, fine * _seen(0.04, footprint) * 0.65)
    aged = old + (level - old) * 0.55  # markings have worn off
    return aged * (worn * (1 - depth))[:, None]


def _patched(seed: int, old: Linear, level: Linear, x: Field, y: Field, footprint: Field) -> Linear:
    """Rectangular repairs of other asphalt, with dark sealed seams."""
    out = old.copy()
    rng = Rng(seed, "patches")
    for size in (2.4, 1.5):
        shift_x, shift_y = rng.uniform(0, size), rng.uniform(0, size)
        u, v = (x[0] + shift_x) / (1.6 * size), (y[0] + shift_y) / size
        column, row = np.floor(u), np.floor(v)
        chance = _hash(seed, column, row)
        tone = 0.45 + 1.0 * _hash(seed + 1, column, row)
        edge_x = np.minimum(u - column, column + 1 - u) * 1.6 * size - 0.12 - 0.25 * _hash(seed + 2, column, row)
        edge_y = np.minimum(v - row, row + 1 - v) * size - 0.12 - 0.2 * _hash(seed + 3, column, row)
        inside = np.minimum(edge_x, edge_y)
        there = (chance < 0.55) * np.clip(inside / np.maximum(0.02, 0.5 * footprint) + 0.5, 0, 1)
        seam = np.clip(1 - np.abs(inside) / 0.05, 0, 1) * (chance < 0.55) * _seen(0.08, footprint)
        grain = 1 + 0.16 * lookup_noise(seed + 5, x, y, cell=0.12, octaves=2)[0] * _seen(0.08, footprint)
        repaired = level * (tone * grain)[:, None]
        out = (out + (repaired - out) * there[:, None]) * (1 - 0.6 * seam)[:, None]
    return out


def _paved(seed: int, old: Linear, level: Linear, x: Field, y: Field, footprint: Field) -> Linear:
    """Paving stones, 20 x 10 cm in a running bond, laid two to three times as large as a fifth of a metre."""
    length, width = 0.42, 0.21
    row = np.floor(y[0] / width)
    u = x[0] / length + 0.5 * np.mod(row, 2)
    column = np.floor(u)
    edge = np.minimum(
        np.minimum(u - column, column + 1 - u) * length,
        np.minimum(y[0] / width - row, row + 1 - y[0] / width) * width,
    )
    joint = np.clip(1 - edge / 0.018, 0, 1) * _seen(width, footprint)
    tone = 1 + (0.75 * (_hash(seed, column, row) - 0.5)) * _seen(0.7 * width, footprint)
    warm = np.array(Rng(seed, "stone").choice(((1.35, 0.95, 0.75), (1.1, 1.05, 0.95), (0.9, 0.95, 1.05))), np.float32)
    grain = 1 + 0.15 * lookup_noise(seed, x, y, cell=1.6, octaves=3)[0]
    return level * warm * (tone * grain * (1 - 0.65 * joint))[:, None]


def _gravel(seed: int, old: Linear, level: Linear, x: Field, y: Field, footprint: Field) -> Linear:
    stones = lookup_noise(seed, x, y, cell=0.07, octaves=2)[0] * _seen(0.05, footprint)
    clumps = lookup_noise(seed + 1, x, y, cell=0.5, octaves=3)[0] * _seen(0.3, footprint)
    ruts = lookup_noise(seed + 2, x * 0.15, y, cell=1.4, octaves=2)[0]
    dust = np.array([1.35, 1.18, 0.92], np.float32)
    return level * dust * np.clip(1.1 + 0.75 * stones + 0.3 * clumps + 0.22 * ruts, 0.15, 2.5)[:, None]


def _graffiti(seed: int, old: Linear, level: Linear, x: Field, y: Field, footprint: Field) -> Linear:
    """Broad strokes of spray paint in a few colours."""
    out = old.copy()
    rng = Rng(seed, "graffiti")
    white = np.maximum(level.mean(axis=1, keepdims=True) / 0.16, 0.05)  # asphalt reflects about 16 %
    for stroke in range(4):
        colour = np.array(
            colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.6, 1.0), rng.uniform(0.35, 0.85)), np.float32
        )
        field = lookup_noise(seed + stroke, x + 7.0 * stroke, y, cell=rng.uniform(1.8, 3.2), octaves=2, gain=0.35)[0]
        width = rng.uniform(0.10, 0.17)
        ramp = width * 0.25 + 0.4 * footprint
        there = np.clip((width - np.abs(field - rng.uniform(-0.2, 0.2))) / ramp + 0.5, 0, 1) * _seen(0.35, footprint)
        on = np.flatnonzero(there > 0)
        out[on] += (np.maximum(colour, 0.03) * white[on] - out[on]) * (0.9 * there[on])[:, None]
    return out


def _coloured(seed: int, old: Linear, level: Linear, x: Field, y: Field, footprint: Field) -> Linear:
    """Pigmented asphalt, worn here and there; markings lie on it, and what shades the road shades it."""
    pigment = np.array(Rng(seed, "pigment").choice(_PIGMENTS), np.float32) / 0.16  # asphalt reflects about 16 %
    bare = level.mean(axis=1, keepdims=True)
    bright = old.mean(axis=1, keepdims=True) / np.maximum(bare, 1e-4)
    marking = np.clip((bright - 1.5) * 2, 0, 1)
    worn = 0.25 * np.clip(0.5 + lookup_noise(seed, x, y, cell=1.5, octaves=4)[0], 0, 1)[:, None]
    paint = bare * np.clip(bright, 0.1, 1.5) * pigment
    return paint + (old - paint) * np.maximum(marking, worn)


def _hash(seed: int, column: Field, row: Field) -> Field:
    """Return numbers in [0, 1) that depend on a cell alone (Weyl sequence over two irrational steps, folded)."""
    table = Rng(seed, "cells").uniforms(64, 64).astype(np.float32)
    cell: Field = table[np.mod(row, 64).astype(np.intp), np.mod(column, 64).astype(np.intp)]
    return cell
