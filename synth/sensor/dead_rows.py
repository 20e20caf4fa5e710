"""Dead and hot rows, columns and pixels of an ageing sensor, and those it was shipped with.

Defects are drawn in one order, so that more of them are the same ones and others beside. A dead cell reads black, a hot
one white, a stuck one a grey of its own (EMVA 1288 calls them defect pixels; fixed after every exposure).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scenes.sample import Image, Sample
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

_PIXELS_SHARE = 0.4  # of the lost cells are single pixels


@dataclass(frozen=True)
class DeadRowsParams:
    """share: of all cells that are lost; rows_share: of lost lines that are rows, the others are columns."""

    share: float
    rows_share: float
    seed: int


@register
@dataclass(frozen=True)
class DeadRows:
    """Rows, columns and single pixels that are dead, hot or stuck."""

    name: ClassVar[str] = "sensor/dead_rows"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "share of cells lost",
        "%",
        (0.3, 0.8, 2, 5, 10),
        "shipped sensors have below 0.1 % (industrial grades); lines fail with a broken column amplifier or bond",
        "log",
    )
    params_type: ClassVar[type[DeadRowsParams]] = DeadRowsParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DeadRowsParams:
        return DeadRowsParams(share=0.01 * self.table.at(severity), rows_share=rng.uniform(0.3, 0.8), seed=rng.seed())

    def apply(self, sample: Sample, params: DeadRowsParams) -> Sample:
        image = np.array(sample.image, order="C")
        lines = (1.0 - _PIXELS_SHARE) * params.share
        _lose_lines(image, lines * params.rows_share, Rng(params.seed, "rows"))
        _lose_lines(image.transpose(1, 0, 2), lines * (1.0 - params.rows_share), Rng(params.seed, "columns"))
        _lose_pixels(image, _PIXELS_SHARE * params.share, Rng(params.seed, "pixels"))
        return replace(sample, image=image)


def _lose_lines(image: Image, share: float, rng: Rng) -> None:
    """Write over a share of the lines along the second axis, in place."""
    lines = image.shape[0]
    order, kinds, levels = rng.permutation(lines), rng.uniforms(lines), rng.uniforms(lines)
    for k in range(min(round(share * lines), lines)):
        image[order[k]] = _reading(kinds[k : k + 1], levels[k : k + 1])[0]


def _lose_pixels(image: Image, share: float, rng: Rng) -> None:
    """Write over a share of the single pixels, in place. A cell has one colour: one channel of three is lost."""
    height, width = image.shape[:2]
    numbers = rng.uniforms(int(np.ceil(share * height * width)), 4)
    place = (numbers[:, 0] * (height * width)).astype(np.intp)
    channel = (numbers[:, 1] * 3).astype(np.intp)
    flat = image.reshape(-1, 3)
    worst = numbers[:, 2] < 0.3  # a defect that the demosaicing carried into all three colours
    readings = _reading(numbers[:, 3], (numbers[:, 2] * 7.0) % 1.0)
    flat[place, channel] = readings
    flat[place[worst]] = readings[worst, None]


def _reading(kind: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return what lost cells read (K,): half are dead, a third hot, the others stuck at a level."""
    readings: NDArray[np.uint8] = np.where(kind < 0.5, 0, np.where(kind < 0.83, 255, 40 + 175 * level)).astype(np.uint8)
    return readings
