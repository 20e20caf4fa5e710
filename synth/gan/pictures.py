"""Pictures to train a translation on: two sets, or exact pairs, cropped, scaled and mirrored at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenes.datasets.base import find_images, strip_suffix
from scenes.errors import InputError, did_you_mean
from scenes.images import read_image
from scenes.sample import Image
from synth.texture.styles import resized

if TYPE_CHECKING:
    from torch import Tensor

SCALES = (0.7, 1.3)  # of a frame, before it is cropped
KEPT_IN_MEMORY = 256  # decoded pictures


@dataclass(frozen=True)
class Pictures:
    """Two lists of files; `paired`: the same number in both is the same frame."""

    first: tuple[Path, ...]
    second: tuple[Path, ...]
    paired: bool

    def draw(self, rng: np.random.Generator, count: int, side: int) -> tuple[Tensor, Tensor]:
        """Return two batches (count, 3, side, side) in [-1, 1]."""
        import torch

        crops: tuple[list[Image], list[Image]] = ([], [])
        for _ in range(count):
            one = int(rng.integers(len(self.first)))
            other = one if self.paired else int(rng.integers(len(self.second)))
            view = _view(_read(self.first[one]), side, rng)
            crops[0].append(_cut(_read(self.first[one]), side, view))
            if not self.paired:
                view = _view(_read(self.second[other]), side, rng)
            crops[1].append(_cut(_read(self.second[other]), side, view))
        a, b = (torch.from_numpy(np.stack(part).transpose(0, 3, 1, 2).astype(np.float32)) / 127.5 - 1 for part in crops)
        return a, b


def pictures_of(first: str | Path, second: str | Path, *, paired: bool) -> Pictures:
    """List the pictures below two folders; pairs have the same path but for the suffix. Raises InputError."""
    one, two = _files(Path(first)), _files(Path(second))
    if not paired:
        return Pictures(tuple(one.values()), tuple(two.values()), paired=False)
    lonely = sorted(one.keys() ^ two.keys())
    if lonely:
        side, there = (first, two) if lonely[0] in one else (second, one)
        near = did_you_mean(lonely[0], list(there))
        raise InputError(
            f"pairs: {len(lonely)} pictures have no partner of the same name, as {lonely[0]!r} in {side}"
            f"{near}; leave out --paired for two sets of different frames"
        )
    for name in list(one)[:16]:
        shapes = read_image(one[name]).shape, read_image(two[name]).shape
        if shapes[0] != shapes[1]:
            raise InputError(
                f"pairs: {name!r}: expected two pictures of one size, got {shapes[0][:2]} and {shapes[1][:2]}"
            )
    return Pictures(tuple(one.values()), tuple(two[name] for name in one), paired=True)


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"training pictures: no folder {str(folder)!r}")
    found = {strip_suffix(name): folder / name for name in find_images(folder)}
    if len(found) < 2:
        raise InputError(f"training pictures: expected at least 2 below {str(folder)!r}, got {len(found)}")
    return dict(sorted(found.items()))


@lru_cache(maxsize=KEPT_IN_MEMORY)
def _read(path: Path) -> Image:
    return read_image(path)


def _view(image: Image, side: int, rng: np.random.Generator) -> tuple[int, int, int, bool]:
    """Draw a square of a picture: left, top, side in its pixels, and whether it is mirrored."""
    height, width = image.shape[:2]
    scale = max(float(np.exp(rng.uniform(*np.log(SCALES)))), side / min(height, width))
    seen = max(1, min(round(side / scale), height, width))
    left, top = int(rng.integers(width - seen + 1)), int(rng.integers(height - seen + 1))
    return left, top, seen, bool(rng.random() < 0.5)


def _cut(image: Image, side: int, view: tuple[int, int, int, bool]) -> Image:
    left, top, seen, mirrored = view
    crop = resized(image[top : top + seen, left : left + seen], side, side)
    return np.ascontiguousarray(crop[:, ::-1] if mirrored else crop)


def sheet(columns: Sequence[Sequence[Image]]) -> Image:
    """Return pictures of one size side by side: a row for each, a column for each list."""
    return np.concatenate([np.concatenate(list(column), axis=0) for column in columns], axis=1)
