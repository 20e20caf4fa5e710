"""Put new pixels into a picture without a seam, in linear light, under the light of the scene.

Objects have outlines: they are laid `over` with an edge as soft as a lens makes it, without a rim of where they come
from, and in the light of where they go. Surfaces that go on are joined by `multiband` blending, which leaves no edge.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Image
from synth.radiometry import Linear, luminance, to_linear, to_srgb
from synth.regions import Mask

Alpha = NDArray[np.float32]  # (h, w) 0 = old pixel, 1 = new pixel


def over(image: Image, window: tuple[int, int, int, int], paint: Linear, alpha: Alpha) -> None:
    """Lay linear paint (h, w, 3) over a window of an sRGB picture, in place: callers own a copy."""
    x1, y1, x2, y2 = window
    crop = image[y1:y2, x1:x2]
    touched = alpha > 0
    if not touched.any():
        return
    a = alpha[touched][:, None].astype(np.float32)
    mixed: Linear = to_linear(crop[touched]) * (1 - a) + paint[touched].astype(np.float32) * a
    crop[touched] = to_srgb(mixed)


def multiband(back: Linear, front: Linear, alpha: Alpha, *, levels: int) -> Linear:
    """Return (h, w, 3) `front` over `back`, each band of detail mixed over a width of its own (Burt and Adelson 1983).

    levels: bands above the finest; the coarsest is mixed over about 2^levels pixels. 0 is a plain mix.
    """
    a = alpha[..., None]
    if levels <= 0 or min(alpha.shape) < 4:
        return (back + (front - back) * a).astype(np.float32)
    coarse = [cv2.pyrDown(x) for x in (back, front, alpha)]
    size = (alpha.shape[1], alpha.shape[0])
    fine_back, fine_front = back - cv2.pyrUp(coarse[0], dstsize=size), front - cv2.pyrUp(coarse[1], dstsize=size)
    below = multiband(coarse[0], coarse[1], coarse[2], levels=levels - 1)
    mixed: Linear = cv2.pyrUp(below, dstsize=size) + fine_back + (fine_front - fine_back) * a
    return mixed


def soft(mask: Mask, *, sigma_px: float = 0.7) -> Alpha:
    """Return a mask (h, w) with edges as soft as a lens makes them; half way at the old edge."""
    alpha: Alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return alpha


def matte(mask: Mask, *, inside_px: float = 1.0) -> Alpha:
    """Return an alpha that falls to 0 at the edge of a mask from within, so that no old surroundings come along."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    alpha: Alpha = np.clip((distance - 0.5) / inside_px, 0.0, 1.0).astype(np.float32)
    return alpha


def scene_white(image: Image) -> NDArray[np.float32]:
    """Return the (3,) linear radiance that a white, level surface would have here, as far as a picture tells.

    The ninetieth percentile of luminance below the middle of the frame is taken for a light grey surface (reflectance
    one half); its tint is halved, for what is bright may itself be coloured.
    """
    lower = to_linear(image[image.shape[0] // 2 :: 4, ::4]).reshape(-1, 3)
    light = luminance(lower)
    level = float(np.clip(2.0 * np.percentile(light, 90), 0.02, 1.2)) if len(light) else 0.5
    bright = lower[light >= np.percentile(light, 70)].mean(axis=0)
    tint = bright / max(float(luminance(bright[None])[0]), 1e-4)
    white: NDArray[np.float32] = (level * (0.5 + 0.5 * np.clip(tint, 0.5, 1.8))).astype(np.float32)
    return white


def harmonised(paint: Linear, mask: Mask, around: Linear, *, strength: float = 0.5) -> Linear:
    """Return paint (h, w, 3) with its mean colour inside the mask moved towards that of the new surroundings (K, 3).

    Levels are moved by a gain per channel (a change of light), at most by a factor of two.
    """
    if not mask.any() or not len(around):
        return paint
    mean_paint, mean_around = paint[mask].mean(axis=0) + 1e-3, around.mean(axis=0) + 1e-3
    gain = np.clip(mean_around / mean_paint, 0.5, 2.0) ** strength
    return (paint * gain.astype(np.float32)).astype(np.float32)
