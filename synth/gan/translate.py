"""Run a generator on a picture of any size: padded where its sides do not fit, in tiles where it is large.

Generators with batch norm give every pixel the same in a tile as in the frame, but near the tile's border; those with
instance norm see another mean in every tile, so tiles are made large and blended over a wide overlap.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Image
from synth.gan.checkpoint import Generator
from synth.texture.styles import resized
from synth.tiles import tiled

WHOLE_PX = 1 << 20  # pixels of a frame that is run whole unless told otherwise
TILE_PX, OVERLAP_PX = 768, 128


def translate(image: Image, generator: Generator, *, side_px: int = 0, tile_px: int = 0) -> Image:
    """Return the translated picture (H, W, 3), at its own size.

    side_px: shorter side at which the generator sees the picture; 0 = as it is. Less loses detail
    tile_px: side of tiles; 0 = whole, or tiles of 768 pixels for pictures of more than a million pixels

    Raises InputError where the generator's answer is no picture (NaN, another shape).
    """
    height, width = image.shape[:2]
    if not image.size:
        return image
    seen = image
    if side_px and side_px < min(height, width):
        scale = side_px / min(height, width)
        seen = resized(image, max(1, round(height * scale)), max(1, round(width * scale)))
    done = _tiled(seen, generator, tile_px)
    pixels = np.clip(np.rint((done + 1) * np.float32(127.5)), 0, 255).astype(np.uint8)
    return resized(pixels, height, width)


def _tiled(image: Image, generator: Generator, tile_px: int) -> NDArray[np.float32]:
    """Return (H, W, 3) in [-1, 1]."""
    height, width = image.shape[:2]
    if generator.size is not None:
        sides, overlap = generator.size, min(generator.size) // 4
    elif tile_px or height * width > WHOLE_PX:
        side = tile_px or TILE_PX
        sides, overlap = (side, side), min(OVERLAP_PX, side // 3)
    else:
        return _run(image, generator)
    if height <= sides[0] and width <= sides[1]:
        return _run(image, generator)
    step = min(generator.multiple, overlap)
    return tiled(image, lambda part: _run(part, generator), sides=sides, overlap=overlap, step=step)


def _run(image: Image, generator: Generator) -> NDArray[np.float32]:
    """Run one piece, mirrored beyond its lower and right border until it fits."""
    import torch

    height, width = image.shape[:2]
    if generator.size is not None:
        wanted = generator.size
    else:
        step = generator.multiple
        wanted = (max(-(-height // step), 2) * step, max(-(-width // step), 2) * step)  # paddings need two
    fitted = np.pad(image, ((0, wanted[0] - height), (0, wanted[1] - width), (0, 0)), mode="symmetric")
    batch = torch.from_numpy(np.ascontiguousarray(fitted.transpose(2, 0, 1), np.float32) / np.float32(127.5) - 1)[None]
    with torch.inference_mode():
        answer = generator.run(batch)
    if tuple(answer.shape) != (1, 3, *wanted):
        shape = tuple(answer.shape)
        raise InputError(f"GAN {generator.name}: expected a picture (1, 3, {wanted[0]}, {wanted[1]}), got {shape}")
    pixels = answer[0].float().numpy()
    if not np.isfinite(pixels).all():
        raise InputError(f"GAN {generator.name}: its answer holds NaN or infinity: the checkpoint is broken")
    return np.asarray(pixels.transpose(1, 2, 0)[:height, :width], np.float32)
