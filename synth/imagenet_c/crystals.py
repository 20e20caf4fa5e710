"""Frost drawn by rule, in place of the five photographs of the published corruption (one of them listed twice).

Each kind has the mean and standard deviation of the red, green and blue of its photograph. A tile of each kind is drawn
once in a process; a picture gets a random part of it, mirrored at random, scaled as the photographs are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from scenes.sample import Image
from synth.noise import Field, smooth_noise
from synth.random import Rng

_TILE = (720, 1080)  # rows, columns


@dataclass(frozen=True)
class Kind:
    """mean, deviation: of red, green and blue codes; size: rows, columns of the photograph that it stands for."""

    style: str
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    size: tuple[int, int]


KINDS = (
    Kind("film", (77.7, 149.1, 165.7), (26.9, 16.5, 15.3), (600, 900)),
    Kind("plates", (200.8, 205.4, 214.5), (21.4, 22.1, 22.6), (315, 560)),
    Kind("plates", (200.8, 205.4, 214.5), (21.4, 22.1, 22.6), (315, 560)),
    Kind("grains", (137.6, 152.8, 165.2), (28.5, 28.5, 29.9), (350, 527)),
    Kind("ferns", (112.4, 123.4, 134.8), (44.4, 43.3, 41.7), (495, 660)),
)


def frost_layer(height: int, width: int, rng: Rng) -> Image:
    """Return (H, W, 3) frost of one kind, each as likely as the others."""
    number, flips = rng.integer(0, len(KINDS)), rng.integer(0, 4)
    part_y, part_x = rng.uniform(), rng.uniform()
    kind, tile = KINDS[number], _tile(number)
    scale = 1.1 * max(1.0, height / kind.size[0], width / kind.size[1])
    rows, columns = kind.size[0] * scale, kind.size[1] * scale  # of the scaled photograph
    step_y, step_x = tile.shape[0] / rows, tile.shape[1] / columns
    start_y, start_x = part_y * (rows - height) * step_y, part_x * (columns - width) * step_x
    matrix = np.array([[step_x, 0, start_x], [0, step_y, start_y]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    layer = cv2.warpAffine(tile, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
    layer = layer.reshape(height, width, 3)
    return np.ascontiguousarray(layer[:: 1 - 2 * (flips & 1), :: 1 - (flips & 2)])


@cache
def _tile(number: int) -> Image:
    """Return the tile of a kind, drawn at its photograph's frequencies."""
    kind = KINDS[number]
    rng = Rng("frost", number)
    styles = {"film": _film, "plates": _plates, "grains": _grains, "ferns": _ferns}
    grey = styles[kind.style](*_TILE, rng)
    ranked = (grey - grey.mean()) / max(float(grey.std()), 1e-6)
    tint = smooth_noise(rng.seed(), *_TILE, cell_px=260.0, octaves=2)
    tint = (0.35 if kind.style == "film" else 0.08) * (tint - tint.mean()) / max(float(tint.std()), 1e-6)
    spread = np.stack([ranked + tint, ranked, ranked - 0.5 * tint], axis=-1)
    spread /= spread.std(axis=(0, 1))
    codes = spread * np.array(kind.deviation) + np.array(kind.mean)
    return np.clip(codes + 0.5, 0, 255).astype(np.uint8)


def _film(height: int, width: int, rng: Rng) -> Field:
    """Wrinkled ice in flat light: large soft areas, their fine relief lit from one side."""
    soft = smooth_noise(rng.seed(), height, width, cell_px=300.0, octaves=3)
    bend = 30 * smooth_noise(rng.seed(), height, width, cell_px=160.0, octaves=2)
    rough = smooth_noise(rng.seed(), height, width, cell_px=26.0, octaves=4, gain=0.65)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    relief = cv2.remap(rough, columns + bend, rows * 1.0 - 0.5 * bend, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    ridges = np.abs(relief)
    lit = ridges - np.roll(ridges, (2, 2), axis=(0, 1))
    lit[:2], lit[:, :2] = lit[2:3], lit[:, 2:3]
    out: Field = (soft + 3.0 * lit).astype(np.float32)
    return out


def _plates(height: int, width: int, rng: Rng) -> Field:
    """Blades over one another, some in sheaves."""
    out = 0.5 * smooth_noise(rng.seed(), height, width, cell_px=200.0, octaves=4, gain=0.6)
    for _ in range(5):
        layer = np.zeros((2 * height, 2 * width), np.float32)
        for _ in range(420):
            x, y, turn = rng.uniform(0, 2 * width), rng.uniform(0, 2 * height), rng.uniform(0, np.pi)
            for _ in range(rng.integer(1, 6)):
                x, y = x + 14 * rng.normal(), y + 14 * rng.normal()
                light = 0.6 * rng.normal()
                _blade(layer, x, y, turn + 0.12 * rng.normal(), rng.uniform(50, 260), rng.uniform(2, 13), light)
        out += 0.65 * _half(layer)
    return out + 0.12 * smooth_noise(rng.seed(), height, width, cell_px=6.0, octaves=2)


def _grains(height: int, width: int, rng: Rng) -> Field:
    """Small stars in rows, as frost on a pane wiped crosswise."""
    out = 0.7 * smooth_noise(rng.seed(), height, width, cell_px=320.0, octaves=2)
    for _ in range(4):
        layer = np.zeros((2 * height, 2 * width), np.float32)
        for _ in range(2600):
            x, y = rng.uniform(0, 2 * width), rng.uniform(0, 2 * height)
            turn = rng.choice((0.0, 0.5 * np.pi)) + 0.3 * rng.normal()
            _blade(layer, x, y, turn, rng.uniform(6, 46), rng.uniform(2, 9), 0.8 * rng.normal())
        out += 0.8 * _half(layer)
    return out + 0.4 * smooth_noise(rng.seed(), height, width, cell_px=5.0, octaves=2)


def _ferns(height: int, width: int, rng: Rng) -> Field:
    """Feathers: a bent spine with side branches at 60 degrees that grow shorter towards its tip."""
    out = 0.5 * smooth_noise(rng.seed(), height, width, cell_px=380.0, octaves=3)
    out += np.linspace(0.7, -0.35, height, dtype=np.float32)[:, None]
    for _ in range(3):
        layer = np.zeros((2 * height, 2 * width), np.float32)
        for _ in range(330):
            _feather(layer, rng)
        out += _half(layer)
    return out + 0.2 * smooth_noise(rng.seed(), height, width, cell_px=5.0, octaves=2)


def _feather(layer: Field, rng: Rng) -> None:
    x, y = rng.uniform(-40, layer.shape[1] + 40), rng.uniform(-40, layer.shape[0] + 40)
    turn, length, bend = rng.uniform(0, 2 * np.pi), rng.uniform(50, 210), 0.02 * rng.normal()
    light = 0.3 + 0.9 * rng.uniform()
    branches = int(length / 8)
    for k in range(branches):
        share = (k + 0.5) / branches
        for side in (-1, 1):
            reach = (0.3 + 0.25 * rng.uniform()) * length * (1 - share)
            angle = turn + side * (np.pi / 3 + 0.12 * rng.normal())
            _blade(layer, x, y, angle, reach, rng.uniform(2, 5), light * rng.uniform(0.4, 1.0))
        _blade(layer, x, y, turn, 2 * length / branches, 5 * (1 - share) + 1, light)
        x, y = x + length / branches * np.cos(turn), y + length / branches * np.sin(turn)
        turn += bend


def _blade(layer: Field, x: float, y: float, turn: float, length: float, width: float, light: float) -> None:
    """Draw a blade: broadest a third of the way, pointed at both ends."""
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    start = np.array([x, y])
    third = start + 0.33 * length * along
    corners = np.stack([start, third + 0.5 * width * across, start + length * along, third - 0.5 * width * across])
    cv2.fillConvexPoly(layer, np.rint(16 * corners).astype(np.int32), float(light), shift=4)


def _half(layer: Field) -> Field:
    """Return a layer at half its size, which softens its edges."""
    small: Field = cv2.resize(layer, (layer.shape[1] // 2, layer.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return small
