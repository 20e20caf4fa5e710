"""Which frame goes through which shift: quotas of the cells by what was lost there, frames by what they show.

More pictures are planned than are asked for, so that those which show the same, or not what they were made for, can go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from stress.aim import Aim, things_of
from stress.diversity import Rows, cluster_sample, clusters, normalised, radius, random_radius, shares, spread
from stress.frames import Frame
from synth.filters import Duplicates

SPARE = 1.4  # candidates a picture that is wanted
ALIKE_BITS = 3  # of perceptual hashes, as `near_duplicates` of a recipe


@dataclass(frozen=True)
class Wanted:
    """How many pictures, and how many of them clean frames."""

    images: int
    clean: int
    seed: int

    @property
    def shifted(self) -> int:
        return self.images - self.clean


@dataclass(frozen=True, eq=False)
class Planned:
    """What is to be made. frames: the pool; quota: (C,) pictures to keep of each cell.

    variants: {frame: {variant: cell, None where it stays clean}}; worth: (F, C) of the frames
    coverage: radius over the pool of the frames that are used, and of as many drawn blindly
    """

    frames: tuple[Frame, ...]
    wanted: Wanted
    quota: NDArray[np.int64]
    variants: Mapping[str, Mapping[int, int | None]]
    worth: NDArray[np.float64]
    coverage: Mapping[str, float]


def unlike(frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames without those that look like one before them."""
    seen = Duplicates(ALIKE_BITS)
    return [frame for frame in frames if seen.of(frame.sample_id, (), dict(frame.looks)) is None]


def planned(aim: Aim, frames: Sequence[Frame], wanted: Wanted, task: str) -> Planned:
    """Return which frames stay clean, and which go through which cell; raises where there are too few."""
    if wanted.clean > len(frames):
        raise InputError(
            f"images: {wanted.images} with {wanted.clean} clean frames are more than the {len(frames)} different "
            f"frames there are that the run was not tested on: ask for fewer, or a smaller --clean-share"
        )
    worth = aim.frames(things_of(frames, task))
    quota = shares([cell.mass for cell in aim.cells], wanted.shifted)
    rows = normalised(np.array([frame.embedding for frame in frames]))
    label = clusters(rows, seed=wanted.seed)
    variants: dict[str, dict[int, int | None]] = {}
    clean = spread(rows, wanted.clean)
    for index in clean:
        variants[frames[index].sample_id] = {0: None}
    used = np.zeros(len(frames), np.int64)
    for cell in np.argsort(-quota, kind="stable").tolist():
        for index in _frames_of(rows, label, worth[:, cell], used, math.ceil(SPARE * quota[cell])):
            used[index] += 1
            variants.setdefault(frames[index].sample_id, {})[int(used[index])] = cell
    if not used.any():
        raise InputError(
            f"none of {len(frames)} frames that the run was not tested on shows what it lost "
            f"({', '.join(dict.fromkeys(name for name, _ in aim.kinds))}): name other data with --dataset, or more "
            "--frames"
        )
    chosen = [i for i, frame in enumerate(frames) if frame.sample_id in variants]
    return Planned(tuple(frames), wanted, quota, variants, worth, _coverage(rows, clean or chosen, wanted.seed))


def _frames_of(
    rows: Rows, label: NDArray[np.int64], worth: NDArray[np.float64], used: NDArray[np.int64], n: int
) -> list[int]:
    """Return n frames for one cell, those rather that other cells have not used; more often than once where few."""
    if not (worth > 0).any():
        return []
    chosen: list[int] = []
    times = used.copy()
    while len(chosen) < n:
        found = cluster_sample(rows, label, n - len(chosen), worth / (1.0 + times))
        chosen += found
        times[found] += 1
    return chosen


def _coverage(rows: Rows, chosen: Sequence[int], seed: int) -> dict[str, float]:
    """Return how far the worst frame of the pool is from a chosen one, and from one of as many drawn blindly."""
    blind = random_radius(rows, len(chosen), seed=seed)
    return {
        "frames": len(chosen),
        "pool": len(rows),
        "radius": round(radius(rows, chosen), 6),
        "random": round(blind, 6),
    }
