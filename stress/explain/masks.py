"""RISE and D-RISE: explain any model by hiding parts of the picture, in bounded memory.

RISE: Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018.
D-RISE: Petsiuk et al., "Black-box Explanation of Object Detectors via Saliency Maps", CVPR 2021.

The map is the covariance of score and mask, normalised by the variance of the mask: the slope of the score with
respect to a pixel being visible. A pixel without influence gets zero in expectation, so maps of two pictures made
with the same masks can be compared, which RISE's mean of masked scores cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.random import Rng
from scenes.sample import Image
from stress.explain.explanation import Map

Score = Callable[[list[Image]], NDArray[np.float64]]  # B images to (B,) scores of the target


@dataclass(frozen=True)
class MaskBudget:
    """How many masks a map may cost, and their shape.

    masks:    number of masked pictures the model sees; error falls with its square root
    cells:    coarse cells along the longer side; smaller cells resolve more and need more masks
    keep:     probability that a cell stays visible (0.5 as in RISE and D-RISE)
    batch:    masked pictures in memory at once
    seed:     of the masks; the same for the clean and the shifted picture
    """

    masks: int = 400
    cells: int = 16
    keep: float = 0.5
    batch: int = 8
    seed: int = 0


def masks(height: int, width: int, budget: MaskBudget) -> Iterator[NDArray[np.float32]]:
    """Yield batches (b, H, W) of smooth masks in [0, 1]: coarse random cells, enlarged and randomly displaced."""
    import cv2

    rng = Rng("rise", budget.seed)
    cell = max(1, -(-max(height, width) // budget.cells))
    rows, columns = -(-height // cell) + 1, -(-width // cell) + 1
    left = budget.masks
    while left > 0:
        size = min(budget.batch, left)
        batch = np.empty((size, height, width), np.float32)
        for i in range(size):
            grid = (rng.uniforms(rows, columns) < budget.keep).astype(np.float32)
            large = cv2.resize(grid, (columns * cell, rows * cell), interpolation=cv2.INTER_LINEAR)
            y, x = rng.integer(0, cell), rng.integer(0, cell)
            batch[i] = large[y : y + height, x : x + width]
        yield batch
        left -= size


def saliency(image: Image, score: Score, budget: MaskBudget) -> Map:
    """Return (H, W) >= 0: how much the target's score rises where the picture is visible.

    Hidden pixels show the mean colour of the picture. Memory is `budget.batch` pictures and three maps, whatever
    the number of masks.
    """
    height, width = image.shape[:2]
    fill = image.reshape(-1, 3).mean(axis=0, dtype=np.float64).astype(np.float32)
    difference = image.astype(np.float32) - fill
    sums = np.zeros((height, width))
    squares = np.zeros((height, width))
    weighted = np.zeros((height, width))
    total, count = 0.0, 0
    for batch in masks(height, width, budget):
        pictures = [np.rint(fill + mask[..., None] * difference).astype(np.uint8) for mask in batch]
        values = np.asarray(score(pictures), np.float64)
        sums += batch.sum(axis=0, dtype=np.float64)
        squares += np.einsum("bhw,bhw->hw", batch, batch, dtype=np.float64)
        weighted += np.tensordot(values, batch.astype(np.float64), axes=1)
        total += float(values.sum())
        count += len(batch)
    covariance = weighted / count - sums / count * (total / count)
    variance = np.maximum(squares / count - (sums / count) ** 2, 1e-6)
    slope: Map = np.maximum(covariance / variance, 0.0).astype(np.float32)
    return slope
