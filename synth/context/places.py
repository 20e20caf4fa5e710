"""Places that are not a street: a picture and its depth, made from a seed for a camera.

Every place is light in linear units under a white surface of level 1, and has its horizon where the camera has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scenes.camera import Camera
from scenes.sample import Depth
from synth.ground import climb
from synth.noise import Field, lookup_noise, smooth_noise
from synth.radiometry import Linear
from synth.random import Rng

PLACES = ("desert", "forest", "sea", "hall")
_FAR_M = 300.0
_CAMERA_M = 1.5


@dataclass(frozen=True, eq=False)
class Place:
    """light: (H, W, 3) linear; depth: (H, W) metres along the axis, inf = sky."""

    light: Linear
    depth: Depth


def make_place(kind: str, seed: int, camera: Camera) -> Place:
    """Return a place of a kind as a camera over level ground sees it."""
    height = float(camera.position[2])
    height = height if 0.2 < height < 20 else _CAMERA_M
    rise = climb(camera)
    ground = (height / np.maximum(-rise, height / _FAR_M)).astype(np.float32)
    makers = {"desert": _desert, "forest": _forest, "sea": _sea, "hall": _hall}
    return makers[kind](seed, camera, rise, ground)


def _coordinates(camera: Camera, depth: Field) -> tuple[Field, Field]:
    """Return metres to the right and ahead of pixels on the ground, (H, W)."""
    x = ((np.arange(camera.width) + 0.5 - camera.K[0, 2]) / camera.K[0, 0]).astype(np.float32)
    return x[None, :] * depth, np.ascontiguousarray(depth)


def _sky(seed: int, rise: Field, zenith: tuple[float, ...], low: tuple[float, ...], *, clouds: float) -> Linear:
    """Return a sky that brightens towards the horizon, with clouds that flatten there."""
    up = np.clip(rise / 0.5, 0, 1)[..., None] ** 0.6
    sky = np.array(low, np.float32) * (1 - up) + np.array(zenith, np.float32) * up
    far = 1 / np.maximum(rise, np.float32(0.04))
    columns = np.arange(rise.shape[1], dtype=np.float32)[None, :] / rise.shape[1] - np.float32(0.5)
    cover = lookup_noise(seed, columns * far * np.float32(1.3), far, cell=2.2, octaves=5, gain=0.55)
    amount = np.clip((cover + clouds - 0.45) * 2.2, 0, 1) * np.clip(rise / 0.08, 0, 1)
    cloud = np.array([0.93, 0.94, 0.97], np.float32) * (1 - 0.25 * amount[..., None])
    return (sky + (cloud - sky) * (0.85 * amount[..., None])).astype(np.float32)


def _faded(light: Linear, depth: Field, horizon: tuple[float, ...], reach_m: float) -> Linear:
    """Let the air take the contrast of what is far (Koschmieder)."""
    left = np.exp(-depth / reach_m)[..., None]
    return (light * left + np.array(horizon, np.float32) * (1 - left)).astype(np.float32)


def _seen(size_m: float, depth: Field, camera: Camera) -> Field:
    """Return how much contrast of ground elements of a size is left at a distance."""
    footprint = depth**2 / (1.5 * camera.K[1, 1])
    seen: Field = np.clip(1.5 * size_m / np.maximum(footprint, 1e-3) - 0.2, 0, 1)
    return seen


def _ridge(seed: int, camera: Camera, *, tall_rad: float, cell: float, octaves: int) -> Field:
    """Return (1, W) how far a skyline rises over the horizon."""
    bearing = np.arctan((np.arange(camera.width) + 0.5 - camera.K[0, 2]) / camera.K[0, 0]).astype(np.float32)[None, :]
    shape = lookup_noise(seed, bearing + 5, np.zeros_like(bearing) + 0.5, cell=cell, octaves=octaves, gain=0.5)
    return tall_rad * np.clip(0.55 + 0.9 * shape, 0.05, 2.0)


def _rows(rise: Field) -> tuple[slice, slice]:
    """Return the rows that show any sky, and those that show any ground."""
    sky, ground = (rise >= 0).any(axis=1), (rise < 0).any(axis=1)
    rows = len(rise)
    return slice(0, rows - int(sky[::-1].argmax()) if sky.any() else 0), slice(
        int(ground.argmax()) if ground.any() else rows, rows
    )


def _joined(rise: Field, ground: Linear, sky: Linear) -> Linear:
    """Return (H, W, 3) of ground and sky, each given for its own rows only."""
    above, below = _rows(rise)
    light = np.zeros((*rise.shape, 3), np.float32)
    light[above] = sky
    light[below] = np.where((rise[below] < 0)[..., None], ground, light[below])
    return light


def _desert(seed: int, camera: Camera, rise: Field, ground: Field) -> Place:
    haze = (0.78, 0.70, 0.60)
    above, below = _rows(rise)
    x, z = _coordinates(camera, ground[below])
    sand = np.array([0.52, 0.36, 0.20], np.float32)
    ripple = np.sin(8 * (z + 0.8 * lookup_noise(seed + 1, x, z, cell=3.0))) * _seen(0.4, z, camera)
    dunes = lookup_noise(seed + 2, x, z, cell=9.0, octaves=4)
    grain = lookup_noise(seed + 3, x, z, cell=0.08, octaves=2) * _seen(0.05, z, camera)
    stones = np.clip((lookup_noise(seed + 4, x, z, cell=0.7, octaves=2) - 0.62) * 8, 0, 1) * _seen(0.3, z, camera)
    tone = (1 + 0.07 * ripple + 0.22 * dunes + 0.10 * grain) * (1 - 0.55 * stones)
    floor = _faded(sand * tone[..., None].astype(np.float32), z, haze, 220.0)
    depth = np.where(rise < 0, ground, np.inf).astype(np.float32)
    up = rise[above]
    sky = _sky(seed, up, (0.16, 0.33, 0.68), haze, clouds=0.1)
    mesa = np.array([0.38, 0.22, 0.15], np.float32)
    for layer, (tall, far) in enumerate(((0.075, 0.75), (0.04, 0.4))):
        top = _ridge(seed + 10 + layer, camera, tall_rad=tall, cell=0.35, octaves=5)
        inside = np.clip((top - up) * np.float32(camera.K[1, 1]), 0, 1) * (up >= 0)
        strata = 1 + 0.12 * np.sin(up * 260)
        colour = mesa * strata[..., None] * (1 - far) + np.array(haze, np.float32) * far
        sky += ((colour - sky) * inside[..., None]).astype(np.float32)
        depth[above][(inside > 0.5) & np.isinf(depth[above])] = _FAR_M
    return Place(_joined(rise, floor, sky), depth)


def _forest(seed: int, camera: Camera, rise: Field, ground: Field) -> Place:
    haze = (0.36, 0.42, 0.40)
    above, below = _rows(rise)
    sky = _sky(seed, rise[above], (0.35, 0.50, 0.75), (0.75, 0.80, 0.86), clouds=0.35)
    x, z = _coordinates(camera, ground[below])
    litter = lookup_noise(seed + 1, x, z, cell=0.12, octaves=3) * _seen(0.08, z, camera)
    moss = np.clip(0.5 + 0.9 * lookup_noise(seed + 2, x, z, cell=1.5, octaves=4), 0, 1)[..., None]
    floor = np.array([0.10, 0.065, 0.03], np.float32) * (1 - moss) + np.array([0.06, 0.10, 0.02], np.float32) * moss
    patches = np.clip(0.75 + 0.9 * lookup_noise(seed + 3, x, z, cell=2.5, octaves=3), 0.3, 1.8)
    floor = floor * ((1 + 0.55 * litter) * patches)[..., None]
    light = _joined(rise, _faded(floor, z, haze, 90.0), sky)
    depth = np.where(rise < 0, ground, np.inf).astype(np.float32)
    _trees(seed, camera, rise, light, depth, np.array(haze, np.float32))
    return Place(light, depth)


def _trees(seed: int, camera: Camera, rise: Field, light: Linear, depth: Depth, air: Field) -> None:
    """Stand walls of leaves and then trunks, far to near, on the ground; writes light and depth."""
    height = float(camera.position[2]) if 0.2 < camera.position[2] < 20 else _CAMERA_M
    for layer, distance in enumerate((75.0, 45.0, 26.0)):
        crown = _ridge(seed + 20 + layer, camera, tall_rad=9.0 / distance, cell=9.0 / distance, octaves=6)
        band = ((rise > -height / distance) & (rise < 1.2 * crown.max())).any(axis=1)
        rows = np.s_[int(band.argmax()) : len(band) - int(band[::-1].argmax())] if band.any() else np.s_[0:0]
        up = rise[rows]
        scale = max(3.0, 1.2 * float(camera.K[0, 0]) / distance)
        leaves = smooth_noise(seed + 30 + layer, *up.shape, cell_px=scale, octaves=4, gain=0.75) if up.size else up
        inside = (up > -height / distance) & (up < crown * (1 + 0.15 * leaves))
        left = float(np.exp(-distance / 90.0))
        tone = np.clip(0.8 + 0.75 * leaves[inside], 0.15, 2)[:, None] * np.array([0.045, 0.085, 0.022], np.float32)
        light[rows][inside] = tone * left + air * (0.7 * (1 - left))
        depth[rows][inside] = distance
    rng = Rng(seed, "trunks")
    for _ in range(26):
        distance, side, thick = 7.0 + 40.0 * rng.uniform() ** 0.7, rng.uniform(-1, 1), rng.uniform(0.2, 0.45)
        bark = rng.uniform(0.03, 0.08)
        centre = camera.K[0, 2] + side * 0.75 * camera.width
        half = max(0.4, 0.5 * thick * camera.K[0, 0] / distance)
        first, last = (int(np.clip(centre + end * half, 0, camera.width)) for end in (-1, 1))
        if last <= first:
            continue
        across = np.clip((np.arange(first, last) + 0.5 - centre) / half, -1, 1)
        inside = (rise[:, first:last] > -height / distance) & (depth[:, first:last] > distance)
        left = float(np.exp(-distance / 90.0))
        shade = (0.4 + 0.9 * np.sqrt(1 - across**2))[:, None] * np.array([1.1, 0.9, 0.7]) * bark
        tone = (shade * left + air * (0.6 * (1 - left))).astype(np.float32)
        light[:, first:last][inside] = np.broadcast_to(tone, (len(rise), *tone.shape))[inside]
        depth[:, first:last][inside] = distance


def _sea(seed: int, camera: Camera, rise: Field, ground: Field) -> Place:
    haze = (0.72, 0.80, 0.88)
    above, below = _rows(rise)
    sky = _sky(seed, rise[above], (0.14, 0.34, 0.75), haze, clouds=0.3)
    x, z = _coordinates(camera, ground[below])
    swell = lookup_noise(seed + 1, x * np.float32(0.4), z, cell=1.6, octaves=4, gain=0.6)
    chop = lookup_noise(seed + 2, x, z, cell=0.35, octaves=3) * _seen(0.25, z, camera)
    far = np.clip(z / 60.0, 0, 1)[..., None]
    deep, sheen = np.array([0.02, 0.10, 0.14], np.float32), np.array([0.28, 0.42, 0.55], np.float32)
    mirror = np.clip(0.25 + 0.3 * swell + 0.25 * chop, 0.03, 1)[..., None] * (1 - far) + 0.8 * far
    water = deep * (1 - mirror) + sheen * mirror
    foam = np.clip((swell + 0.6 * chop - 0.85) * 5, 0, 1)[..., None]
    water = _faded(water + (np.float32(0.85) - water) * foam, z, haze, 500.0)
    return Place(_joined(rise, water, sky), np.where(rise < 0, ground, np.inf).astype(np.float32))


def _hall(seed: int, camera: Camera, rise: Field, ground: Field) -> Place:
    """The inside of a large hall: concrete floor, panelled walls, a ceiling with rows of lamps."""
    rng = Rng(seed, "hall")
    half_width, back, ceiling = rng.uniform(8, 14), rng.uniform(28, 50), rng.uniform(4.0, 6.5)
    height = float(camera.position[2]) if 0.2 < camera.position[2] < 20 else _CAMERA_M
    sideways = ((np.arange(camera.width) + 0.5 - camera.K[0, 2]) / camera.K[0, 0]).astype(np.float32)[None, :]
    to_wall = np.minimum(half_width / np.maximum(np.abs(sideways), 1e-4), back).astype(np.float32)
    to_ceiling = np.where(rise > 0, (ceiling - height) / np.maximum(rise, 1e-4), np.inf)
    to_floor = np.where(rise < 0, height / np.maximum(-rise, 1e-4), np.inf)
    depth = np.minimum(np.minimum(to_wall, to_ceiling), to_floor).astype(np.float32)
    x, z = sideways * depth, depth
    floor = (0.20 + 0.03 * lookup_noise(seed, x, z, cell=2.0, octaves=4))[..., None] * np.array(
        [1, 0.98, 0.94], np.float32
    )
    joints = 1 - 0.35 * ((np.minimum(np.mod(x, 5), np.mod(z, 5)) < 0.06) * _seen(0.12, depth, camera))
    lamp = (np.abs(np.mod(x, 5.0) - 2.5) < 0.35) & (np.mod(z, 4.0) < 2.2)
    roof = np.where(lamp[..., None], np.array([1.5, 1.5, 1.4], np.float32), np.array([0.16, 0.17, 0.18], np.float32))
    along = np.where(np.abs(sideways) * back > half_width, z, x)
    seams = (np.mod(along, 2.4) < 0.08) | (np.abs(rise * depth + height - 1.1) < 0.06)
    colour = np.array(rng.choice(((0.42, 0.42, 0.40), (0.45, 0.38, 0.28), (0.28, 0.36, 0.42))), np.float32)
    wall = colour * np.where(seams, 0.55, 1.0)[..., None] * (0.85 + 0.05 * np.sin(along))[..., None]
    nearest = np.where(to_floor <= depth, 0, np.where(to_ceiling <= depth, 1, 2))[..., None]
    light = np.where(nearest == 0, floor * joints[..., None], np.where(nearest == 1, roof, wall))
    corner = np.minimum.reduce([np.abs(to_floor - to_wall), np.abs(to_ceiling - to_wall)]) / np.maximum(depth, 1e-3)
    light = (
        light * (0.75 + 0.25 * np.clip(corner * 4, 0, 1))[..., None] * (0.65 + 0.35 * np.exp(-depth / 40))[..., None]
    )
    return Place(cv2.GaussianBlur(light.astype(np.float32), (0, 0), 0.6), depth)
