"""Part of a frame lost on the way: slices of macroblocks that never came, in the colour the decoder leaves there.

Blocks of 16 x 16 pixels are sent in raster order, a packet a run of them (H.264, ITU-T H.264 annex B slices). What is
lost is not in the picture: objects there lose those pixels, and those with none left are invalid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from scenes.sample import Sample
from synth.random import Rng
from synth.regions import Mask
from synth.registry import register
from synth.relabel import covered
from synth.shift import Change, Family, Need, SeverityTable

BLOCK_PX = 16
# what decoders leave: nothing, mid grey of all three components, luma and chroma zero seen as BT.601 (green)
LEFT_BEHIND = {"black": (0, 0, 0), "grey": (128, 128, 128), "green": (0, 135, 0)}


@dataclass(frozen=True)
class DroppedFrameParams:
    """share: of the frame's blocks that are lost; packet_rows: mean length of a packet in rows of blocks."""

    share: float
    packet_rows: float
    left_behind: str
    seed: int


@register
@dataclass(frozen=True)
class DroppedFrame:
    """A frame of which packets were lost.

    left_behind: black, grey or green; "any" draws one of them
    """

    name: ClassVar[str] = "sensor/dropped_frame"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "share of the frame lost",
        "%",
        (4, 10, 22, 42, 70),
        "wireless video is studied at 3 to 20 % of packets lost (JVT-N069); a loose plug loses most of a frame",
    )
    params_type: ClassVar[type[DroppedFrameParams]] = DroppedFrameParams

    left_behind: Literal["any", "black", "grey", "green"] = "any"

    def __post_init__(self) -> None:
        if self.left_behind != "any" and self.left_behind not in LEFT_BEHIND:
            raise ValueError(f"left_behind: expected any, {', '.join(LEFT_BEHIND)}, got {self.left_behind!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DroppedFrameParams:
        colour, rows = rng.choice(("black", "grey", "green")), rng.uniform(0.4, 1.6)
        if self.left_behind != "any":
            colour = self.left_behind
        return DroppedFrameParams(
            share=0.01 * self.table.at(severity), packet_rows=rows, left_behind=colour, seed=rng.seed()
        )

    def apply(self, sample: Sample, params: DroppedFrameParams) -> Sample:
        lost = lost_pixels(sample.height, sample.width, params)
        if not lost.any():
            return sample
        image = sample.image.copy()
        image[lost] = LEFT_BEHIND[params.left_behind]
        return covered(sample, image, lost)


def lost_pixels(height: int, width: int, params: DroppedFrameParams) -> Mask:
    """Return (H, W) True where nothing came. A larger share loses the same packets and more."""
    rows, columns = -(-height // BLOCK_PX), -(-width // BLOCK_PX)
    rng, blocks = Rng(params.seed, "packets"), rows * columns
    mean = max(1.0, params.packet_rows * columns)
    lengths = np.ceil(mean * (0.4 + 1.2 * rng.uniforms(int(blocks / (0.4 * mean)) + 2))).astype(np.intp)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    packets = int(np.searchsorted(starts, blocks))
    order, missing = rng.permutation(packets), round(params.share * blocks)
    lost = np.zeros(blocks, np.bool_)
    for packet in order:
        if missing <= 0:
            break
        end = min(starts[packet + 1], blocks)
        start = max(int(starts[packet]), int(end) - missing)  # of the last packet only the end is lost
        lost[start:end] = True
        missing -= int(end) - start
    grid = lost.reshape(rows, columns)
    whole: Mask = np.repeat(np.repeat(grid, BLOCK_PX, axis=0), BLOCK_PX, axis=1)[:height, :width]
    return np.ascontiguousarray(whole)
