"""How much of each pixel is sky: at the rim of things, and between twigs and leaves where depth says `tree`.

Under another light the sky changes most of all, and what is left of the day's sky shines at night. A pixel over the
horizon that is nearly as bright as the sky near it is partly sky when it lies at the sky's rim; further off it needs
the sky's tint too, dark things around it, and that the sky is blue, as few things are, or that it is itself a bright
speck (white top-hat, Serra 1982).
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Image
from synth.ground import ground_frame

_REDUCED = 8
_SMALLEST_WITH_LEAVES = 64


def sky_matte(image: Image, depth: Depth, camera: Camera, *, leaves: bool = True) -> NDArray[np.uint8]:
    """Return (H, W) how much of each pixel is sky, 0 to 255; without `leaves` at the rim of the sky only."""
    width = depth.shape[1]
    sky = np.isinf(depth)
    if not sky.any() or sky.all():
        return sky * np.uint8(255)
    share = np.empty(depth.shape, np.uint8)
    edge = max(3, width // 110) | 1
    rim = cv2.dilate(sky.view(np.uint8), np.ones((edge, edge), np.uint8)).reshape(sky.shape)
    opened = _opened(image) if leaves else np.zeros((1, 1), np.uint8)
    _fill(np.ascontiguousarray(image), sky, rim, _near_sky(image, sky), opened, _horizon(camera), leaves, share)
    return share


def _near_sky(image: Image, sky: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return (h, w, 3) the mean colour (0 to 255) of the sky around each place of a reduced picture; 0 = none near."""
    step = min(_REDUCED, *sky.shape)
    part = np.ascontiguousarray(sky[step // 2 :: step, step // 2 :: step], np.float32)
    coarse = image[step // 2 :: step, step // 2 :: step] * part[..., None]
    size = (max(3, part.shape[1] // 3) | 1, max(3, part.shape[1] // 3) | 1)
    count = cv2.blur(part, size).reshape(part.shape)
    near: NDArray[np.float32] = cv2.blur(coarse, size).reshape(coarse.shape) / np.maximum(count, 1e-6)[..., None]
    near[count < 1e-4] = 0.0
    return near.astype(np.float32)


def _opened(image: Image) -> NDArray[np.uint8]:
    """Return (H, W) green without its bright specks; tiny pictures have no leaves to look through."""
    height, width = image.shape[:2]
    if min(height, width) < _SMALLEST_WITH_LEAVES:
        return np.ascontiguousarray(image[..., 1])
    size = (width // 3, height // 3)
    reduced = cv2.extractChannel(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST), 1)
    speck = max(3, width // 130) | 1
    opened = cv2.morphologyEx(reduced, cv2.MORPH_OPEN, np.ones((speck, speck), np.uint8))
    return cv2.resize(opened, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width)


def reduced_directions(camera: Camera, step: int = _REDUCED) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return azimuth (right of straight ahead) and elevation of a picture reduced by `step`, both (h, w) radians."""
    height, width = max(1, camera.height // step), max(1, camera.width // step)
    up, _ = ground_frame(camera)
    x = (((np.arange(width) + 0.5) * camera.width / width - camera.K[0, 2]) / camera.K[0, 0])[None, :]
    y = (((np.arange(height) + 0.5) * camera.height / height - camera.K[1, 2]) / camera.K[1, 1])[:, None]
    rise = up[0] * x + up[1] * y + up[2]
    elevation = np.arcsin(np.clip(rise / np.sqrt(1.0 + x * x + y * y), -1.0, 1.0))
    return np.broadcast_to(np.arctan(x), rise.shape), elevation


def _horizon(camera: Camera) -> NDArray[np.float32]:
    """Return (3,) a, b, c: column j, row i looks over the horizon where a j + b i + c > 0."""
    up, _ = ground_frame(camera)
    a, b = up[0] / camera.K[0, 0], up[1] / camera.K[1, 1]
    return np.array([a, b, up[2] + a * (0.5 - camera.K[0, 2]) + b * (0.5 - camera.K[1, 2])], np.float32)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _fill(image, sky, rim, near, opened, horizon, leaves, share):  # type: ignore[no-untyped-def]  # numba infers
    rows, columns = share.shape
    one = np.float32(1.0)
    place = (np.arange(columns) * near.shape[1] // columns).astype(np.int32)
    for i in range(rows):
        row = i * near.shape[0] // rows
        climb = horizon[1] * np.float32(i) + horizon[2]
        rising = leaves and max(climb, horizon[0] * np.float32(columns - 1) + climb) > 0
        if not (_sky_row(sky[i], rim[i], share[i]) or rising):
            continue
        for j in range(columns):
            if sky[i, j]:
                continue
            over = leaves and horizon[0] * np.float32(j) + climb > 0
            if not (over or rim[i, j]):
                continue
            part = np.float32(0.0)
            green, level = np.float32(image[i, j, 1]), near[row, place[j], 1]
            if green > np.float32(0.45) * level and level >= np.float32(20.0):
                if rim[i, j]:
                    part = min((green / level - np.float32(0.45)) / np.float32(0.4), one)
                if over:
                    tint = np.float32(image[i, j, 2]) - np.float32(image[i, j, 0])
                    blue = near[row, place[j], 2] - near[row, place[j], 0]
                    gap = _between_leaves(green / level, tint / green, blue / level, np.float32(opened[i, j]) / level)
                    part = max(part, gap)
            share[i, j] = np.uint8(part * np.float32(255.0) + np.float32(0.5))


@njit(cache=True, nogil=True)
def _sky_row(sky, rim, share):  # type: ignore[no-untyped-def]  # numba infers
    """Fill share (W,) with 255 for sky, else 0; return whether there is any rim that is not sky."""
    some = np.uint8(0)
    for j in range(share.size):
        code = np.uint8(255) if sky[j] else np.uint8(0)
        share[j] = code
        some = np.uint8(some | (rim[j] & np.uint8(~code)))
    return some > 0


@njit(cache=True, inline="always")
def _between_leaves(green, tint, blue, behind):  # type: ignore[no-untyped-def]  # numba infers
    """Return how much of a pixel is sky by its brightness, its tint (blue less red), the sky's, and what hems it in.

    green, behind: of the pixel and of the darker things around it, as share of the sky's
    """
    zero, one = np.float32(0.0), np.float32(1.0)
    bright = min(max((green - np.float32(0.46)) / np.float32(0.35), zero), one)
    hemmed = min(max((np.float32(0.9) - behind) / np.float32(0.2), zero), one)
    like = min(max(np.float32(1.6) - abs(tint - blue) / (np.float32(0.12) + np.float32(0.5) * abs(blue)), zero), one)
    if tint > blue:  # bluer than the sky lower down: the sky overhead
        like = max(like, np.float32(0.5))
    rare = min(max((blue - np.float32(0.10)) / np.float32(0.15), zero), one)
    speck = min(max((green - behind - np.float32(0.15)) / np.float32(0.2), zero), one)
    return bright * like * hemmed * max(rare, speck)
