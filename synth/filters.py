"""Which synthesised pictures are not worth training on, and why.

What nobody can see is told from luminance in linear light: darker than the light that an ordinary lens scatters
(ISO 9358, 1 % of white), or without any contrast over the 5 % of the meteorological optical range (WMO No. 8).
Near duplicates are told by a perceptual hash (Zauner 2010: signs of the lowest 8 x 8 frequencies against their median)
and, because weather and light leave the structure alone, by a thumbnail in colour as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Image, Sample
from synth.audit import THRESHOLD, VEILING_GLARE, Verdict
from synth.radiometry import luminance, to_linear
from synth.recipe import Filters

REASONS = {
    "unreadable": "the source cannot be read",
    "no entry": "no entry of the recipe is meant for this frame",
    "failed": "the shift cannot be applied to this frame",
    "unchanged": "the shift changed no pixel",
    "too dark": "nothing in it is brighter than the light that a lens scatters",
    "blank": "nothing in it stands out by 5 % contrast",
    "nothing left": "no object is left",
    "nothing to see": "every object left is too hard to see",
    "near duplicate": "it looks like another picture that went through the same shifts",
    "aim lost": "the objects that it was made for cannot be made out in it",
    "redundant": "pictures that were kept show the same",
}
_LOOK = 64  # pictures are judged at this many pixels a side, which averages noise
_THUMB = 8
_SAME_LEVELS = 6.0  # mean difference of two thumbnails, in grey levels, that nobody notices


def quality(clean: Sample, made: Sample, verdicts: tuple[Verdict, ...], filters: Filters) -> tuple[str, str] | None:
    """Return (reason, detail) why a picture should be left out; None where it is fine."""
    if filters.unchanged and np.array_equal(clean.image, made.image):
        return "unchanged", ""
    light = _light(made.image)
    brightest, mean = float(np.quantile(light, 0.995)), float(light.mean())
    if filters.too_dark and brightest < VEILING_GLARE:
        return "too dark", f"its brightest parts have {brightest:.2%} of white"
    contrast = float(np.abs(light - mean).max()) / (mean + VEILING_GLARE)
    if filters.blank and contrast < THRESHOLD:
        return "blank", f"its contrast is {contrast:.1%}"
    return _objects(clean, verdicts) if filters.nothing_left else None


def _objects(clean: Sample, verdicts: tuple[Verdict, ...]) -> tuple[str, str] | None:
    wanted = set(clean.annotations.instance_ids[~clean.annotations.ignore].tolist())
    new = {v.instance_id for v in verdicts} - set(clean.annotations.instance_ids.tolist())
    if not wanted:
        return None
    left = [v for v in verdicts if v.kind != "invalid" and v.instance_id in wanted | new]
    if not left:
        return "nothing left", f"all {len(wanted)} objects became invalid"
    if all(v.hard_to_see for v in left):
        return "nothing to see", f"{len(left)} of {len(wanted)} objects are left"
    return None


def _light(image: Image) -> NDArray[np.float32]:
    """Return luminance in linear light at no more than 64 pixels a side."""
    small = _reduced(image)
    size = (min(_LOOK, small.shape[1]), min(_LOOK, small.shape[0]))
    return np.asarray(cv2.resize(luminance(to_linear(small)), size, interpolation=cv2.INTER_AREA), np.float32)


def _reduced(image: Image) -> Image:
    """Return a picture at no more than 256 pixels a side: all that is looked at here is coarser."""
    size = (min(4 * _LOOK, image.shape[1]), min(4 * _LOOK, image.shape[0]))
    if size == image.shape[1::-1]:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def perceptual_hash(image: Image) -> int:
    """Return 64 bits that stay the same under scaling, compression and small changes of light.

    >>> perceptual_hash(np.zeros((9, 9, 3), np.uint8))
    0
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].reshape(-1)
    low[0] = 0.0  # mean brightness says nothing about structure
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big") if np.ptp(low) > 1e-3 else 0


def looks_of(image: Image) -> dict[str, str]:
    """Return what near duplicates are known by, as plain text: perceptual hash and thumbnail in hexadecimal."""
    small = _reduced(image)
    thumb = cv2.resize(small, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
    return {"hash": f"{perceptual_hash(small):016x}", "thumb": np.ascontiguousarray(thumb).tobytes().hex()}


@dataclass
class Duplicates:
    """Pictures seen so far, by the shifts that they went through; asked in the order of the data set."""

    bits: int
    _seen: dict[tuple[str, ...], tuple[list[str], list[int], list[NDArray[np.float32]]]] = field(default_factory=dict)

    def of(self, name: str, shifts: Iterable[str], looks: dict[str, str]) -> str | None:
        """Return which earlier picture this one looks like; one that is new is remembered."""
        names, hashes, thumbs = self._seen.setdefault(tuple(shifts), ([], [], []))
        own = int(looks["hash"], 16)
        thumb = np.frombuffer(bytes.fromhex(looks["thumb"]), np.uint8).astype(np.float32)
        for other, code, there in zip(names, hashes, thumbs, strict=True):
            if (own ^ code).bit_count() <= self.bits and float(np.abs(thumb - there).mean()) <= _SAME_LEVELS:
                return other
        names.append(name)
        hashes.append(own)
        thumbs.append(thumb)
        return None
