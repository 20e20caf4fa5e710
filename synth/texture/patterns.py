"""Paint patterns: reflectance of a surface as a function of two surface coordinates."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from synth.noise import Field, lookup_noise
from synth.radiometry import Linear
from synth.random import Rng

COLOURS = ("plain",)
DRAWN = ("stripes", "checker", "dots", "camouflage", "noise")
MATERIALS = ("rust", "wood", "brick", "stone", "fabric")
PATTERNS = (*COLOURS, *DRAWN, *MATERIALS)
GROUPS = {"colour": COLOURS, "pattern": DRAWN, "material": MATERIALS}


def reflectance(pattern: str, seed: int, u: Field, v: Field) -> Linear:
    """Return (h, w, 3) linear reflectance in [0.02, 0.85]; u, v (h, w) count elements of the pattern."""
    rng = Rng(seed, "pattern")
    angle = rng.uniform(0, np.pi)
    first, second = _colours(rng)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    a, b = c * u + s * v, c * v - s * u
    if pattern == "plain":
        return np.broadcast_to(first, (*u.shape, 3)).copy()
    if pattern == "stripes":
        return _mix(first, second, _edge(np.sin(2 * np.pi * a)))
    if pattern == "checker":
        return _mix(first, second, _edge(np.sin(np.pi * a) * np.sin(np.pi * b)))
    if pattern == "dots":
        near = np.hypot(np.mod(a, 1) - 0.5, np.mod(b, 1) - 0.5)
        return _mix(first, second, np.clip((0.3 - near) * 12 + 0.5, 0, 1))
    if pattern == "camouflage":
        return _camouflage(seed, u, v)
    if pattern in MATERIALS:
        return _MAKERS[pattern](seed, first, u, v)
    tone = 0.5 + 0.5 * np.clip(lookup_noise(seed, u, v, cell=0.5, octaves=4, gain=0.8) * 2, -1, 1)
    return _mix(first, second, tone)


def _colours(rng: Rng) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return two reflectances that differ in hue and in lightness."""
    hue, dark = rng.uniform(), rng.uniform(0.03, 0.15)
    other = (hue + rng.uniform(0.25, 0.75)) % 1.0
    saturation, light = rng.uniform(0.55, 0.95), rng.uniform(0.4, 0.75)
    first = np.array(colorsys.hsv_to_rgb(hue, saturation, light), np.float32)
    second = np.array(
        colorsys.hsv_to_rgb(other, rng.uniform(0.0, 0.6), dark if rng.uniform() < 0.6 else 0.8), np.float32
    )
    return np.maximum(first, 0.02), np.maximum(second, 0.02)


def _edge(wave: Field) -> Field:
    """Turn a wave into two tones with a narrow ramp."""
    return np.clip(wave * 4 + 0.5, 0, 1).astype(np.float32)


def _mix(first: NDArray[np.float32], second: NDArray[np.float32], share: Field) -> Linear:
    """Return first where share (h, w) is 0 and second where it is 1."""
    mixed: Linear = (first + (second - first) * share[..., None]).astype(np.float32)
    return mixed


def _camouflage(seed: int, u: Field, v: Field) -> Linear:
    tones = (
        np.array([[0.12, 0.16, 0.05], [0.25, 0.21, 0.10], [0.05, 0.07, 0.03], [0.10, 0.07, 0.03]], np.float32)
        if Rng(seed, "land").uniform() < 0.6
        else np.array([[0.45, 0.45, 0.44], [0.16, 0.18, 0.20], [0.03, 0.03, 0.04], [0.30, 0.32, 0.33]], np.float32)
    )
    out = np.broadcast_to(tones[0], (*u.shape, 3)).copy()
    for layer in range(1, 4):
        blob = lookup_noise(seed + layer, u, v, cell=1.0, octaves=2)
        share = np.clip((blob - 0.12) * 14 + 0.5, 0, 1)[..., None]
        out += (tones[layer] - out) * share
    return out


def _rust(seed: int, paint: NDArray[np.float32], u: Field, v: Field) -> Linear:
    """Paint that has come off in patches which run downwards."""
    field = lookup_noise(seed, u, v * 0.6, cell=1.2, octaves=4, gain=0.7)
    grain = 0.5 + 0.5 * lookup_noise(seed + 1, u, v, cell=0.25, octaves=3)
    metal = np.array([0.16, 0.055, 0.02], np.float32) * (0.5 + grain[..., None])
    share = np.clip((field + 0.05) * 6 + 0.5, 0, 1)[..., None]
    faded: Linear = (0.5 * paint + 0.12) * (1 - share) + metal * share
    return faded.astype(np.float32)


def _wood(seed: int, paint: NDArray[np.float32], u: Field, v: Field) -> Linear:
    """Upright boards: growth rings cut lengthwise, a tone for each board and dark gaps between them."""
    board = np.floor(u * 1.5)
    tone = _tone(seed, board, np.zeros_like(board))
    rings = lookup_noise(seed, u * 6 + 7 * tone, v * 0.5 + 5 * tone, cell=1.0, octaves=4, gain=0.6)
    grain = 0.5 + 0.5 * np.sin(14 * rings + 2 * lookup_noise(seed + 1, u * 30, v, cell=1.0, octaves=2))
    light = np.array([0.36, 0.20, 0.09], np.float32) * (0.7 + 0.6 * tone[..., None])
    return _mix_each(light, 0.45 * light, 0.8 * grain) * (1 - 0.8 * _gap(u * 1.5, 0.03))[..., None]


def _brick(seed: int, paint: NDArray[np.float32], u: Field, v: Field) -> Linear:
    """A running bond of bricks, each of its own tone, in light mortar."""
    row = np.floor(v * 6)
    x = u * 2.4 + 0.5 * np.mod(row, 2)
    tone = _tone(seed, np.floor(x), row)
    rough = 1 + 0.18 * lookup_noise(seed, u, v, cell=0.08, octaves=3)
    clay = np.array([0.30, 0.085, 0.045], np.float32) * ((0.6 + 0.8 * tone) * rough)[..., None]
    joint = np.maximum(_gap(x, 0.035), _gap(v * 6, 0.07))
    return _mix_each(clay, np.full_like(clay, 0.42), joint)


def _stone(seed: int, paint: NDArray[np.float32], u: Field, v: Field) -> Linear:
    """Speckled stone with darker veins."""
    clouds = 0.5 + 0.35 * lookup_noise(seed, u, v, cell=0.9, octaves=4)
    specks = lookup_noise(seed + 1, u, v, cell=0.05, octaves=2)
    vein = np.clip(1 - np.abs(lookup_noise(seed + 2, u, v, cell=1.3, octaves=4, gain=0.6)) / 0.05, 0, 1)
    grey = np.array([0.34, 0.32, 0.30], np.float32)
    return grey * np.clip((0.6 + 0.8 * clouds) * (1 + 0.35 * specks) * (1 - 0.5 * vein), 0.08, 2.2)[..., None]


def _fabric(seed: int, paint: NDArray[np.float32], u: Field, v: Field) -> Linear:
    """A dyed weave: threads over and under, with folds that shade it."""
    over = 0.5 + 0.25 * (np.sin(2 * np.pi * 9 * u) + np.sin(2 * np.pi * 9 * v))
    folds = lookup_noise(seed, u * 2, v * 0.7, cell=1.0, octaves=3)
    return paint * np.clip((0.65 + 0.5 * over) * (0.85 + 0.45 * folds), 0.1, 1.2)[..., None]


def _tone(seed: int, column: Field, row: Field) -> Field:
    """Return a number in [0, 1) for each cell of a grid."""
    table = Rng(seed, "tones").uniforms(64, 64).astype(np.float32)
    tone: Field = table[np.mod(row, 64).astype(np.intp), np.mod(column, 64).astype(np.intp)]
    return tone


def _gap(x: Field, width: float) -> Field:
    """Return 1 next to whole numbers, 0 elsewhere, with a ramp."""
    gap: Field = np.clip((width - np.abs(x - np.round(x))) / (0.5 * width) + 0.5, 0, 1).astype(np.float32)
    return gap


def _mix_each(first: Linear, second: Linear, share: Field) -> Linear:
    """Return first (h, w, 3) where share (h, w) is 0 and second where it is 1."""
    mixed: Linear = (first + (second - first) * share[..., None]).astype(np.float32)
    return mixed


_MAKERS = {"rust": _rust, "wood": _wood, "brick": _brick, "stone": _stone, "fabric": _fabric}
