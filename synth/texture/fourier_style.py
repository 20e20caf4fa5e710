"""The look of another picture by its low frequencies: Fourier domain adaptation (Yang & Soatto, CVPR 2020).

Within a square of half-size floor(min(H, W) beta) around frequency zero, the amplitude of each colour channel of the
sRGB picture moves towards that of a style picture; its phase, and with it what is seen where, stays. At a share of 1
this is the published formula; shares below mix amplitudes (Xu et al., CVPR 2021, AM). Only the coefficients of the
square are computed, as products with cosines and sines, which gives the same numbers as a whole transform.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Image, Sample
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.texture.styles import Style, draw_style, resized, style_image

_LARGEST_BETA = 0.12  # above it, what is taken over is no longer style: the published figures end at 0.09
_SKETCH = 4  # procedural styles are made this many times smaller, which leaves all frequencies below 1/8
_NOTHING = 1e-6  # of the amplitude at frequency zero: what is weaker has no phase that could be kept

Spectrum = NDArray[np.complex64]


@dataclass(frozen=True)
class FourierStyleParams:
    """share: of the amplitude that is the style's; beta: half-size of the square in frame sides."""

    share: float
    beta: float
    style: str
    style_digest: str
    seed: int


@register
@dataclass(frozen=True)
class FourierStyle:
    """The colours and large tones of another picture, its low-frequency amplitudes (FDA); what is where stays.

    styles: folder of style pictures, or one file; made procedurally where empty
    beta:   half-size of the exchanged square of frequencies, in shares of the shorter side (paper: 0.01 to 0.09)
    """

    name: ClassVar[str] = "texture/fourier_style"
    family: ClassVar[Family] = "texture"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "share of the style's amplitude",
        "%",
        (20, 40, 60, 80, 100),
        "100 % is the exchange of Yang & Soatto (2020); shares below mix amplitudes as Xu et al. (2021) do",
    )
    params_type: ClassVar[type[FourierStyleParams]] = FourierStyleParams

    styles: str = ""
    beta: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= _LARGEST_BETA:
            raise ValueError(f"beta: expected 0 to {_LARGEST_BETA}, got {self.beta!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> FourierStyleParams:
        style = draw_style(self.styles, rng)
        share = self.table.at(severity) / 100
        return FourierStyleParams(share, float(self.beta), style.name, style.digest, style.seed)

    def apply(self, sample: Sample, params: FourierStyleParams) -> Sample:
        if not sample.image.size:
            return sample
        band = int(min(sample.height, sample.width) * params.beta)
        amplitude = self._amplitude(sample.height, sample.width, band, params)
        return replace(sample, image=exchange(sample.image, amplitude, band, params.share))

    def _amplitude(self, height: int, width: int, band: int, params: FourierStyleParams) -> NDArray[np.float32]:
        style = Style(params.style, params.style_digest, params.seed)
        if params.style:
            image = style_image(self.styles, style, height, width)
            return _of_file(style.digest, height, width, band, _Held(image))
        rows, columns = max(1, height // _SKETCH), max(1, width // _SKETCH)
        sketch = style_image("", style, rows, columns)
        return np.abs(low_frequencies(sketch, band)) * np.float32(height * width / (rows * columns))


class _Held:
    """A picture beside the key of a cache: equal to any other, for the key already tells."""

    def __init__(self, image: Image) -> None:
        self.image = image

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=32)
def _of_file(digest: str, height: int, width: int, band: int, held: _Held) -> NDArray[np.float32]:
    """Return the amplitudes of a style picture stretched over a frame; kept by the picture's hash."""
    return np.abs(low_frequencies(resized(held.image, height, width), band))


def exchange(image: Image, amplitude: NDArray[np.float32], band: int, share: float) -> Image:
    """Return a picture (H, W, 3) whose amplitudes up to `band` moved by a share towards `amplitude`."""
    height, width = image.shape[:2]
    own = low_frequencies(image, band)
    size = np.abs(own)
    phase = own / np.maximum(size, np.float32(1e-12))
    change = np.where(size > _NOTHING * 255 * height * width, phase, 0) * (share * (amplitude - size))
    change[:, :, 1:] *= 2  # the half of the frequencies that a real picture repeats
    change /= height * width
    out = np.empty(image.shape, np.uint8)
    down, (cosine, sine) = _waves(height, band), _waves_across(width, band)
    for c in range(3):
        rows = down.conj().T @ change[c]  # (H, band + 1)
        delta = np.ascontiguousarray(rows.real) @ cosine.T - np.ascontiguousarray(rows.imag) @ sine.T
        _add(image, delta, c, out)
    return out


def low_frequencies(image: Image, band: int) -> Spectrum:
    """Return (3, 2 band + 1, band + 1) Fourier coefficients: rows -band to band, columns 0 to band, as `fft2` has them.

    The columns -band to -1 are the complex conjugates of these.
    """
    height, width = image.shape[:2]
    down, (cosine, sine) = _waves(height, band), _waves_across(width, band)
    both = np.concatenate([cosine, sine], axis=1)  # (W, 2 band + 2)
    out = np.empty((3, 2 * band + 1, band + 1), np.complex64)
    for c, plane in enumerate(cv2.split(np.ascontiguousarray(image))):
        rows = plane.reshape(height, width).astype(np.float32) @ both
        out[c] = down @ (rows[:, : band + 1] - 1j * rows[:, band + 1 :])
    return out


@lru_cache(maxsize=8)
def _waves(n: int, band: int) -> Spectrum:
    """Return (2 band + 1, n) exp(-2 pi i k y / n) for k from -band to band."""
    turns = np.outer(np.arange(-band, band + 1), np.arange(n)) % n / n
    return np.exp(-2j * np.pi * turns).astype(np.complex64)


@lru_cache(maxsize=8)
def _waves_across(n: int, band: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (n, band + 1) cos and sin of 2 pi k x / n for k from 0 to band."""
    turns = 2 * np.pi * (np.outer(np.arange(n), np.arange(band + 1)) % n / n)
    return np.cos(turns).astype(np.float32), np.sin(turns).astype(np.float32)


@njit(cache=True, nogil=True)
def _add(image: Any, delta: Any, c: int, out: Any) -> None:
    """Write channel c of out (H, W, 3): image + delta (H, W), rounded and clipped."""
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            value = image[i, j, c] + delta[i, j] + np.float32(0.5)
            out[i, j, c] = np.uint8(min(max(value, np.float32(0.0)), np.float32(255.0)))
