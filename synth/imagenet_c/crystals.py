"""Frost drawn by rule, in place of the five photographs of the published corruption (one of them listed twice).

Each kind has the mean and standard deviation of the red, green and blue of its photograph. A tile of each kind is drawn
once in a process; a picture gets a random part of it, mirrored at random, scaled as the photographs are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

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
    tint = 0.35 * (tint - tint.mean()) / max(float(tint.std()), 1e-6)
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
    out: Field = (soft + 3.0 * lit).astype(np.float32)
    return out


def _plates(height: int, width: int, rng: Rng) -> Field:
    """Needles and blades over one another."""
    out = 0.5 * smooth_noise(rng.seed(), height, width, cell_px=200.0, octaves=3)
    for _ in range(2600):
        _needle(out, rng, length=(25, 120), thickness=(1, 4), turn=rng.uniform(0, np.pi))
    fine = smooth_noise(rng.seed(), height, width, cell_px=5.0, octaves=2)
    return out + 0.25 * fine


def _grains(height: int, width: int, rng: Rng) -> Field:
    """Small stars in rows, as frost on a pane wiped crosswise."""
    out = 0.9 * smooth_noise(rng.seed(), height, width, cell_px=320.0, octaves=2)
    for _ in range(5200):
        turn = rng.choice((0.0, 0.5 * np.pi)) + 0.25 * rng.normal()
        _needle(out, rng, length=(5, 26), thickness=(1, 3), turn=turn)
    fine = smooth_noise(rng.seed(), height, width, cell_px=4.0, octaves=2)
    return out + 0.5 * fine


def _ferns(height: int, width: int, rng: Rng) -> Field:
    """Feathers: a spine with side branches at 60 degrees that grow shorter towards its tip."""
    out = 0.6 * smooth_noise(rng.seed(), height, width, cell_px=380.0, octaves=2)
    top = np.linspace(0.8, -0.4, height, dtype=np.float32)[:, None]
    out += top
    for _ in range(620):
        x, y = rng.uniform(-20, width + 20), rng.uniform(-20, height + 20)
        turn, length = rng.uniform(0, 2 * np.pi), rng.uniform(25, 95)
        light = 0.5 + 0.9 * rng.uniform()
        _line(out, x, y, turn, length, light, 2)
        branches = int(length / 5)
        for k in range(branches):
            share = (k + 0.5) / branches
            bx, by = x + share * length * np.cos(turn), y + share * length * np.sin(turn)
            for side in (-1, 1):
                reach = (0.45 + 0.15 * rng.uniform()) * length * (1 - share)
                _line(out, bx, by, turn + side * np.pi / 3, reach, light * rng.uniform(0.5, 1.0), 1)
    return out


def _needle(out: Field, rng: Rng, *, length: tuple[int, int], thickness: tuple[int, int], turn: float) -> None:
    x, y = rng.uniform(0, out.shape[1]), rng.uniform(0, out.shape[0])
    light = 0.55 * rng.normal()
    _line(out, x, y, turn, rng.uniform(*length), light, rng.integer(thickness[0], thickness[1] + 1))


def _line(out: Field, x: float, y: float, turn: float, length: float, light: float, thickness: int) -> None:
    end = x + length * np.cos(turn), y + length * np.sin(turn)
    points: list[NDArray[np.int64]] = [np.rint(np.array(p) * 16).astype(np.int64) for p in ((x, y), end)]
    cv2.line(out, points[0].tolist(), points[1].tolist(), float(light), thickness, cv2.LINE_AA, shift=4)
