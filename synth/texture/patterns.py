"""Paint patterns: reflectance of a surface as a function of two surface coordinates."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from synth.noise import Field, lookup_noise
from synth.radiometry import Linear
from synth.random import Rng

PATTERNS = ("plain", "stripes", "checker", "dots", "camouflage", "rust", "noise")


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
    if pattern == "rust":
        return _rust(seed, first, u, v)
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
