"""Style pictures: the user's own, read from a folder or a file, or made procedurally after what roads look like.

A picture of the user's is drawn by name and pinned by a hash of its pixels, so that a replay with other files is an
error and not another picture.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from scenes.errors import InputError
from scenes.images import SUFFIXES, read_image
from scenes.sample import Image
from synth.noise import smooth_noise
from synth.random import Rng

# sRGB codes over 255 of sky, horizon and ground in kinds of light and land; what a driver sees in them
_PLACES = {
    "dusk": ((0.36, 0.30, 0.48), (0.92, 0.58, 0.36), (0.20, 0.16, 0.18)),
    "sodium night": ((0.05, 0.05, 0.09), (0.36, 0.24, 0.10), (0.30, 0.21, 0.10)),
    "cold overcast": ((0.70, 0.76, 0.84), (0.62, 0.66, 0.72), (0.34, 0.37, 0.42)),
    "desert": ((0.62, 0.70, 0.78), (0.90, 0.78, 0.56), (0.70, 0.55, 0.36)),
    "snow": ((0.74, 0.79, 0.86), (0.88, 0.90, 0.94), (0.84, 0.87, 0.92)),
    "forest": ((0.42, 0.52, 0.40), (0.22, 0.34, 0.14), (0.18, 0.24, 0.12)),
    "neon rain": ((0.08, 0.07, 0.16), (0.52, 0.20, 0.46), (0.14, 0.20, 0.32)),
    "bleached film": ((0.80, 0.86, 0.84), (0.90, 0.88, 0.76), (0.58, 0.54, 0.48)),
}


@dataclass(frozen=True)
class Style:
    """Which style: name and pixel hash of a picture in the user's folder, or the seed of a procedural one.

    name: path below the folder, or the file's name; empty = procedural
    """

    name: str
    digest: str
    seed: int


def draw_style(styles: str, rng: Rng) -> Style:
    """Draw a style of the folder or file `styles`; one made procedurally where it is empty."""
    at, seed = rng.uniform(), rng.seed()
    if not styles:
        return Style("", "", seed)
    files = style_files(styles)
    name = files[min(int(at * len(files)), len(files) - 1)]
    return Style(name, _digest(_path(styles, name)), seed)


def style_image(styles: str, style: Style, height: int, width: int) -> Image:
    """Return a drawn style at its own size if it is a file, else made at (height, width)."""
    if not style.name:
        return procedural_style(style.seed, height, width)
    if not styles:
        raise InputError(f"style {style.name!r}: give the folder it is in with the option styles")
    path = _path(styles, style.name)
    found = _digest(path)
    if found != style.digest:
        raise InputError(f"style {path}: expected pixels of hash {style.digest}, got {found}: not the picture drawn")
    return _read(path, _stamp(path))


def style_files(styles: str) -> tuple[str, ...]:
    """Return the names of the pictures of a folder (below it, sorted) or the name of one file."""
    root = Path(styles).expanduser()
    if root.is_file():
        return (root.name,)
    if not root.is_dir():
        raise InputError(f"styles {styles!r}: expected a picture or a folder of pictures, found neither")
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not names:
        raise InputError(f"styles {styles!r}: no picture in this folder ({', '.join(sorted(SUFFIXES))})")
    return tuple(names)


def procedural_style(seed: int, height: int, width: int) -> Image:
    """Return a sketch of a place (H, W, 3): sky, horizon and ground in their light, with blotches as natural scenes."""
    rng = Rng(seed, "style")
    sky, horizon, ground = (np.array(c, np.float32) for c in _PLACES[rng.choice(sorted(_PLACES))])
    line, gain = rng.uniform(0.35, 0.6), rng.uniform(0.85, 1.15)
    tint = 1 + 0.04 * np.array([rng.normal() for _ in range(3)], np.float32).clip(-2, 2)
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    above, below = np.clip(1 - y / line, 0, 1)[:, None], np.clip((y - line) / (1 - line), 0, 1)[:, None]
    rows = horizon + (sky - horizon) * above**0.7 + (ground - horizon) * below**0.4
    blotches = smooth_noise(rng.seed(), height, width, cell_px=max(2.0, height / 3), octaves=5, gain=0.6)
    tones = smooth_noise(rng.seed(), height, width, cell_px=max(2.0, height / 2), octaves=2)
    level = gain * (1 + 0.35 * blotches)
    colour = (rows * tint)[:, None, :] * level[..., None]
    colour *= 1 + 0.05 * tones[..., None] * np.array([1, 0, -1], np.float32)
    return np.clip(255 * colour + 0.5, 0, 255).astype(np.uint8)


def _path(styles: str, name: str) -> Path:
    root = Path(styles).expanduser()
    return root if root.is_file() else root / name


def _stamp(path: Path) -> tuple[int, int]:
    if not path.is_file():
        raise InputError(f"style {path}: no such picture")
    state = path.stat()
    return state.st_mtime_ns, state.st_size


def _digest(path: Path) -> str:
    image = _read(path, _stamp(path))
    return _hash(path, _stamp(path)) if image.size else ""


@lru_cache(maxsize=16)
def _read(path: Path, stamp: tuple[int, int]) -> Image:
    image = read_image(path)
    image.flags.writeable = False
    return image


@lru_cache(maxsize=256)
def _hash(path: Path, stamp: tuple[int, int]) -> str:
    image = _read(path, stamp)
    state = hashlib.sha256(repr(image.shape).encode())
    state.update(np.ascontiguousarray(image).tobytes())
    return state.hexdigest()[:16]


def resized(image: Image, height: int, width: int) -> Image:
    """Return a picture at another size."""
    if image.shape[:2] == (height, width):
        return image
    smaller = height * width < image.shape[0] * image.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    scaled: Image = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=way)
    return scaled
