"""Patterns on Gaussians, in the frame of the object: what `Retexture` asks for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from scenes.edits import Retexture
from scenes.errors import InputError, did_you_mean
from scenes.random import Rng
from scenes.splats.cloud import Cloud, base_colour
from scenes.splats.harmonics import C0

PATTERNS = {  # two colours each, linear RGB
    "stripes": ((0.8, 0.75, 0.1), (0.02, 0.02, 0.02)),
    "checker": ((0.85, 0.85, 0.85), (0.03, 0.03, 0.03)),
    "camouflage": ((0.06, 0.10, 0.03), (0.20, 0.16, 0.08)),
    "rust": ((0.25, 0.07, 0.02), (0.10, 0.04, 0.02)),
    "noise": ((0.7, 0.7, 0.7), (0.05, 0.05, 0.05)),
}


def retextured(part: Cloud, frame: NDArray[np.float64], edit: Retexture) -> Cloud:
    """Return Gaussians that carry the pattern, darkened and lightened as they were (`frame`: object to world)."""
    if edit.pattern not in PATTERNS:
        raise InputError(f"Retexture: unknown pattern {edit.pattern!r}{did_you_mean(edit.pattern, PATTERNS)}")
    if edit.scale_m <= 0:
        raise InputError(f"Retexture: expected scale_m > 0, got {edit.scale_m}")
    if not 0 <= edit.share <= 1:
        raise InputError(f"Retexture: expected share in [0, 1], got {edit.share}")
    from scenes.splats.editing import LUMINANCE, to_linear, to_srgb

    local = (part.means.double().numpy() - frame[:3, 3]) @ frame[:3, :3] / edit.scale_m
    share = torch.from_numpy(_share(edit, local))[:, None]
    first, second = (torch.tensor(color, dtype=torch.float64) for color in PATTERNS[edit.pattern])
    light = to_linear((part.harmonics[:, 0] * C0 + 0.5).clamp(0, 1).double()) @ torch.tensor(LUMINANCE).double()
    shade = (light / light.median().clamp(min=1e-3)).clamp(0.2, 1.5)[:, None]
    color = to_srgb(((share * first + (1 - share) * second) * shade).clamp(0, 1)).float()
    harmonics = part.harmonics * (1 - edit.share)
    harmonics[:, 0] += edit.share * base_colour(color)
    return replace(part, harmonics=harmonics)


def _share(edit: Retexture, local: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share (N,) of the first colour at places (N, 3) in units of the pattern."""
    if edit.pattern == "stripes":
        return (np.floor(local.sum(axis=1)) % 2).astype(np.float64)
    if edit.pattern == "checker":
        return (np.floor(local).sum(axis=1) % 2).astype(np.float64)
    waves = Rng(edit.seed, "splats", "pattern", edit.pattern)
    value = np.zeros(len(local))
    for octave in range(3):
        for _ in range(6):
            direction = 2 * waves.uniforms(3) - 1
            value += 0.6**octave * np.sin(2**octave * 2.5 * local @ direction + 2 * np.pi * waves.uniform())
    if edit.pattern == "camouflage":
        return (value > 0).astype(np.float64)
    return 1 / (1 + np.exp(-value))
