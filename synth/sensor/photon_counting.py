"""Photon counting by single-photon avalanche diodes (SPAD): binary frames, summed and linearised.

Within one binary frame a cell notes whether at least one photon (or dark count) came: with probability
1 - exp(-(photons + dark) / frames). The sum over the frames is binomial and saturates; the light is its inverse,
-ln(1 - count / frames) (Fossum 2016, "The quanta image sensor"; Ingle et al. 2019 for the saturation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import bdtr

from scenes.sample import Image, Sample
from synth.photons import mix
from synth.radiometry import to_linear, to_srgb
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

_BITS = 21  # of random number for each channel
_GUIDE_BITS = 8
MOST_FRAMES = 255


@dataclass(frozen=True)
class PhotonCountingParams:
    """photons: detected at a white pixel over all frames; dark_counts: of a cell over all frames."""

    photons: float
    dark_counts: float
    frames: int
    seed: int


@register
@dataclass(frozen=True)
class PhotonCounting:
    """A SPAD camera that has few photons to count.

    frames: binary frames that are summed, 1 to 255; 1 = a binary picture
    """

    name: ClassVar[str] = "sensor/photon_counting"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "photons at a white pixel",
        "photons",
        (300, 100, 30, 10, 3),
        "Ma et al. (2020), quanta burst photography, and Gnanasambandam and Chan (2020) go down to about one photon",
        "log",
    )
    params_type: ClassVar[type[PhotonCountingParams]] = PhotonCountingParams

    frames: int = 255

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= MOST_FRAMES:
            raise ValueError(f"frames: expected 1 to {MOST_FRAMES}, got {self.frames!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> PhotonCountingParams:
        dark = rng.uniform(0.01, 0.05)
        return PhotonCountingParams(
            photons=self.table.at(severity), dark_counts=dark, frames=self.frames, seed=rng.seed()
        )

    def apply(self, sample: Sample, params: PhotonCountingParams) -> Sample:
        counts = count_photons(sample.image, params)
        table = to_srgb(light_of_counts(params).astype(np.float32))
        return replace(sample, image=np.take(table, counts))


def count_photons(image: Image, params: PhotonCountingParams) -> NDArray[np.uint8]:
    """Return (H, W, 3) counts, 0 to `frames`."""
    rate = params.photons * to_linear(np.arange(256, dtype=np.uint8)).astype(np.float64) + params.dark_counts
    chance = -np.expm1(-rate / params.frames)
    counts = np.arange(params.frames + 1)
    below = bdtr(counts[None, :].astype(np.float64), params.frames, chance[:, None])  # of at most k, binomial
    edges = np.minimum(np.rint(below * (1 << _BITS)), 1 << _BITS).astype(np.uint32)
    edges[:, -1] = 1 << _BITS
    first = np.arange(1 << _GUIDE_BITS, dtype=np.uint32) << np.uint32(_BITS - _GUIDE_BITS)
    guide = np.stack([np.searchsorted(row, first, side="right") for row in edges]).astype(np.uint8)
    out = np.empty(image.shape, np.uint8)
    _count(np.ascontiguousarray(image), edges, guide, np.uint64(params.seed), out)
    return out


def light_of_counts(params: PhotonCountingParams) -> NDArray[np.float64]:
    """Return (frames + 1,) linear light, 1 = white, that is most likely behind each count, dark counts taken off."""
    share = np.minimum(np.arange(params.frames + 1) / params.frames, 1.0 - 0.5 / params.frames)
    photons = -params.frames * np.log1p(-share)
    if params.frames == 1:
        photons = np.array([0.0, params.photons + params.dark_counts])  # a binary picture is black and white
    return np.asarray(np.clip((photons - params.dark_counts) / params.photons, 0.0, 1.0))


@njit(cache=True)
def _count(image, edges, guide, seed, out):  # type: ignore[no-untyped-def]  # numba infers
    """Invert the distribution of each code: the guide knows where to start, the edges where to stop."""
    rows, columns = image.shape[:2]
    mask = np.uint64((1 << _BITS) - 1)
    for i in range(rows):
        for j in range(columns):
            bits = mix(seed, i * columns + j)
            for c in range(3):
                number = (bits >> np.uint64(_BITS * c)) & mask
                code = image[i, j, c]
                k = int(guide[code, number >> np.uint64(_BITS - _GUIDE_BITS)])
                while number >= edges[code, k]:
                    k += 1
                out[i, j, c] = k
