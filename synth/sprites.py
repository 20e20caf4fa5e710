"""Road users and street furniture rendered on their own from the town's models: donors for any frame.

They stand on the ground at a known size, so they can be put where perspective wants them. Light is even (half
overcast); `Sprite.lit` brings it to that of a picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera, look
from scenes.random import Rng
from synth.cutout import Cutout
from synth.radiometry import to_linear

if TYPE_CHECKING:
    from scenes.sample import Image

SLIM = ("bin", "postbox")  # solid, taller than wide
WIDE = ("bush",)
CARS = ("hatchback", "sedan", "estate", "suv")
VEHICLES = (*CARS, "van", "truck", "bus")
PEOPLE = ("pedestrian",)
YAWS = 8  # steps of a turn
VARIANTS = {"pedestrian": 12}  # of a kind; 2 of the others
# What data sets call these kinds; classes are looked up in this order.
WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(CARS, ("car", "vehicle")),
    "van": ("van", "car", "vehicle"),
    "truck": ("truck", "vehicle"),
    "bus": ("bus", "vehicle"),
    "pedestrian": ("person", "pedestrian"),
    "cyclist": ("rider", "bicyclist", "cyclist"),
}
_SIDE_PX = 200
_OVERSIZE = 2  # rendered this much larger, then averaged: a soft edge
_AWAY_M = 14.0
_EYE_M = 1.5
_WHITE = 0.45  # what `scene_white` reads from a street under the light used here


@dataclass(frozen=True, eq=False)
class Sprite:
    """An object on its own: picture and outline at `px_per_m`, its foot on the lower edge.

    image: (h, w, 3) uint8 sRGB, carried on beyond the outline; alpha: (h, w) uint8, 255 = all its own
    """

    image: Image
    alpha: NDArray[np.uint8]
    px_per_m: float

    def lit(self, white: NDArray[np.float32], *, px_per_m: float, flipped: bool = False) -> Cutout:
        """Return it at a size, under the light in which a white surface has the linear colour `white` (3,)."""
        light = to_linear(self.image) * np.clip(white / np.float32(_WHITE), 0.1, 1.5)
        cutout = Cutout(light.astype(np.float32), self.alpha.astype(np.float32) / 255)
        return cutout.scaled(px_per_m / self.px_per_m, flipped=flipped)


def size_m(kind: str) -> tuple[float, float, float]:
    """Return typical length, width and height of a kind, metres."""
    from scenes.town.actors import SIZE

    return SIZE[kind]


def furniture(seed: int, *, wide: bool = False) -> Sprite:
    """Return a piece of street furniture by seed; `wide` = wider than tall."""
    rng = Rng(seed, "sprite")
    slim, variant, side = rng.choice((*SLIM, *WIDE)), rng.integer(0, 2), rng.integer(0, 2)
    return _render(rng.choice(WIDE) if wide else slim, variant, 1 + 3 * side)


def actor(kind: str, *, variant: int, yaw_step: int) -> Sprite:
    """Return a road user: one of a few of its kind, turned by eighths (0 = seen from behind, 4 = coming).

    Every person is seen from two sides only, so that few have to be rendered.
    """
    variant %= VARIANTS.get(kind, 2)
    return _render(kind, variant, (3 * variant + yaw_step % 2 if kind in PEOPLE else yaw_step) % YAWS)


@lru_cache(maxsize=256)
def _render(kind: str, variant: int, yaw_step: int) -> Sprite:
    from scenes.town.actors import build
    from scenes.town.light import Weather
    from scenes.town.materials import Textures
    from scenes.town.render import render
    from scenes.town.soup import Body, place
    from scenes.town.tracer import Layers, Tracer
    from scenes.town.view import Stage

    mesh = build(kind, Rng(variant, kind))
    low, high = mesh.bounds.astype(np.float64)
    yaw = 2 * math.pi * yaw_step / YAWS
    to_world = np.eye(4)
    to_world[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    body = Body.of(mesh)
    soup = place(body, to_world, semantic=(0, 0), ids=(1, 2), texture_start=0)
    weather = Weather(azimuth_rad=2.4, elevation_rad=0.8, overcast=0.5, clouds=0.5, cloud_seed=1)
    stage = Stage(soup, Layers(Tracer(soup.tri)), Textures(body.pyramids), weather, {})
    length, width, tall = (high - low).tolist()
    size = max(tall, abs(math.sin(yaw)) * length + abs(math.cos(yaw)) * width)  # as seen from here
    side = _SIDE_PX * _OVERSIZE
    away = _AWAY_M + 0.5 * length
    focal = side * away / (1.25 * size)
    K = np.array([[focal, 0, side / 2], [0, focal, side / 2], [0, 0, 1.0]])
    aim = _EYE_M - 0.5 * float(high[2])
    camera = Camera(
        K=K, width=side, height=side, world_to_cam=look(position=(-away, 0.0, _EYE_M), pitch_rad=-math.atan2(aim, away))
    )
    frame = render(stage, camera)
    solid = (frame.hits.face >= 0).reshape(side, side).astype(np.uint8)
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    image, alpha = _carried_on(frame.image, solid)
    shape = (max(1, (part[1].stop - part[1].start) // _OVERSIZE), max(1, (part[0].stop - part[0].start) // _OVERSIZE))
    image, alpha = (cv2.resize(a[part], shape, interpolation=cv2.INTER_AREA) for a in (image, 255 * alpha))
    return Sprite(image, alpha, focal / away / _OVERSIZE)


def _carried_on(image: Image, solid: NDArray[np.uint8]) -> tuple[Image, NDArray[np.uint8]]:
    """Return the picture with the object's colours spread over its outline, and the outline itself."""
    core = cv2.erode(solid, np.ones((3, 3), np.uint8)).astype(np.float32)
    total = cv2.blur(core, (9, 9))
    spread = cv2.blur(image * core[..., None], (9, 9)) / np.maximum(total, 1e-6)[..., None]
    use = (core == 0) & (total > 0)
    return np.where(use[..., None], np.clip(spread, 0, 255), image).astype(np.uint8), solid


def side_by_side(widths: list[int], *, overlap: float, rng: Rng) -> list[int]:
    """Return where each of several cutouts begins so that they stand shoulder to shoulder, in pixels."""
    lefts = [0]
    for width in widths[:-1]:
        lefts.append(lefts[-1] + max(1, round(width * (1 - overlap) * rng.uniform(0.8, 1.2))))
    return lefts
