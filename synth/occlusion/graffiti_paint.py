"""Graffiti as an occluder that grows: bubble letters and tags, sprayed dab by dab, each word over the last.

Words go where most of the surface is still bare, so that any share of it can be covered.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from synth.noise import Field
from synth.radiometry import Linear
from synth.random import Rng

_MOST_WORDS = 40
# Strokes of letters in a unit square, y down: as a hand sprays them, without lifting the can.
_LETTERS = (
    ((0.9, 0.15), (0.45, 0.0), (0.1, 0.2), (0.45, 0.48), (0.9, 0.7), (0.5, 1.0), (0.05, 0.85)),  # S
    ((0.5, 0.0), (0.05, 0.3), (0.1, 0.8), (0.5, 1.0), (0.9, 0.75), (0.9, 0.25), (0.5, 0.0)),  # O
    ((0.05, 1.0), (0.1, 0.0), (0.5, 0.55), (0.85, 1.0), (0.95, 0.0)),  # N
    ((0.1, 0.0), (0.1, 1.0), (0.15, 0.5), (0.9, 0.0), (0.35, 0.42), (0.95, 1.0)),  # K
    ((0.05, 1.0), (0.45, 0.0), (0.95, 1.0), (0.7, 0.6), (0.2, 0.62)),  # A
    ((0.05, 0.05), (0.95, 0.0), (0.1, 0.95), (0.95, 1.0)),  # Z
    ((0.1, 1.0), (0.1, 0.0), (0.75, 0.1), (0.7, 0.42), (0.15, 0.52), (0.95, 1.0)),  # R
    ((0.95, 0.05), (0.2, 0.0), (0.1, 0.5), (0.7, 0.48), (0.12, 0.52), (0.2, 1.0), (0.95, 0.95)),  # E
    ((0.0, 0.0), (0.25, 1.0), (0.5, 0.3), (0.75, 1.0), (1.0, 0.0)),  # W
)
# Reflectance of fill and outline: chrome, pink, turquoise, yellow, white, blue, lime, violet.
_PAINTS = (
    ((0.52, 0.53, 0.55), (0.015, 0.015, 0.02)), ((0.62, 0.10, 0.28), (0.03, 0.02, 0.10)),
    ((0.05, 0.42, 0.44), (0.01, 0.01, 0.02)), ((0.72, 0.52, 0.04), (0.30, 0.02, 0.02)),
    ((0.75, 0.75, 0.73), (0.02, 0.05, 0.25)), ((0.04, 0.13, 0.50), (0.70, 0.70, 0.68)),
    ((0.30, 0.55, 0.05), (0.02, 0.02, 0.02)), ((0.22, 0.06, 0.38), (0.62, 0.55, 0.10)),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Word:
    """Ranks at which the outline and the fill of one word reach each pixel (h, w), inf = never; and their colours."""

    outline_rank: Field
    fill_rank: Field
    fill: tuple[float, ...]
    outline: tuple[float, ...]


def sprayed(mask: NDArray[np.bool_], seed: int) -> tuple[Field, list[Word]]:
    """Return (h, w) the rank at which each pixel of a surface is first painted, and the words, in their order."""
    rng = Rng(seed, "graffiti")
    order = np.full(mask.shape, np.inf, np.float32)
    words: list[Word] = []
    rank, bare = 0, mask.copy()
    tallest = _tallest(mask)
    while len(words) < _MOST_WORDS and np.count_nonzero(bare) > 0.02 * np.count_nonzero(mask):
        word, rank = _word(bare, tallest * (1.0 if len(words) < 2 else 0.55), rank, rng)
        words.append(word)
        order = np.minimum(order, word.outline_rank)
        bare &= ~np.isfinite(word.outline_rank)
    left = ~np.isfinite(order)  # the can's haze, last of all
    near = cv2.distanceTransform(left.astype(np.uint8), cv2.DIST_L2, 3)
    order[left] = rank + near[left]
    return order, words


def coloured(order: Field, words: list[Word], t: float) -> Linear:
    """Return (h, w, 3) the reflectance of what has been sprayed up to rank t."""
    light = np.empty((*order.shape, 3), np.float32)
    light[:] = words[0].fill if words else 0.3
    for word in words:
        light[word.outline_rank <= t] = word.outline
        light[word.fill_rank <= t] = word.fill
    return light


def _tallest(mask: NDArray[np.bool_]) -> float:
    """Return how tall letters may be that fit a surface of this shape, pixels."""
    h, w = mask.shape
    return max(3.0, min(0.6 * h, 0.34 * w, 0.45 * float(np.sqrt(h * w))))


def _word(bare: NDArray[np.bool_], tall: float, rank: int, rng: Rng) -> tuple[Word, int]:
    """Spray one word around the middle of the largest bare spot; return it and the next rank."""
    tag = rng.uniform() < 0.3
    fill, outline = rng.choice(_PAINTS)
    padded = cv2.copyMakeBorder(bare.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    tall *= rng.uniform(0.75, 1.1) * (0.6 if tag else 1.0)
    dabs = _letters(3 + rng.integer(0, 3), tall, rng) + np.array([x + 0.5, y + 0.5])
    radius = max(0.6, tall * (0.045 if tag else 0.15))
    rim = 0.0 if tag else max(0.5, 0.05 * tall)
    ranks = np.arange(rank, rank + len(dabs), dtype=float)
    return (
        Word(
            outline_rank=_dabbed(bare.shape, dabs, ranks, radius + rim),
            fill_rank=_dabbed(bare.shape, dabs, ranks, radius),
            fill=outline if tag else fill,
            outline=outline,
        ),
        rank + len(dabs),
    )


def _letters(count: int, tall: float, rng: Rng) -> NDArray[np.float64]:
    """Return (K, 2) dabs along the strokes of some letters, around (0, 0), leaning and a little uneven."""
    lean, rise = rng.uniform(-0.1, 0.3), rng.uniform(-0.18, 0.12)
    wide = rng.uniform(0.62, 0.8) * tall
    strokes = []
    for number in range(count):
        corners = np.array(rng.choice(_LETTERS))
        corners = corners + (rng.uniforms(len(corners), 2) - 0.5) * 0.12
        px = (corners[:, 0] - lean * (corners[:, 1] - 0.5) + 1.12 * (number - 0.5 * count)) * wide
        py = (corners[:, 1] - 0.5) * tall * rng.uniform(0.88, 1.08) + rise * px
        strokes.append(_smooth(np.stack([px, py], axis=1), step=max(0.5, 0.05 * tall)))
    return np.concatenate(strokes)


def _smooth(corners: NDArray[np.float64], *, step: float) -> NDArray[np.float64]:
    """Return points about `step` pixels apart on a Catmull-Rom curve through some corners (K, 2)."""
    p = np.concatenate([2 * corners[:1] - corners[1:2], corners, 2 * corners[-1:] - corners[-2:-1]])
    parts = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        t = np.linspace(0, 1, max(2, int(np.hypot(*(c - b)) / step)), endpoint=False)[:, None]
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*parts, corners[-1:]])


def _dabbed(shape: tuple[int, ...], dabs: NDArray[np.float64], ranks: NDArray[np.float64], radius: float) -> Field:
    """Return (h, w) the rank of the first dab that reaches each pixel, inf where none does."""
    field = np.full(shape, np.inf, np.float32)
    centres = np.rint((dabs - 0.5) * 16).astype(int).tolist()
    r = max(1, round(radius * 16))
    for centre, rank in zip(reversed(centres), ranks[::-1].tolist(), strict=True):
        cv2.circle(field, centre, r, rank, -1, lineType=cv2.LINE_8, shift=4)
    return field
