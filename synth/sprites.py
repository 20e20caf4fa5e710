"""Street furniture rendered on its own from the town's models: donors for frames whose own objects cannot be cut out.

They carry no label: no class of a road data set is claimed for a bin, a post box or a bush.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np

from scenes.camera import Camera, look
from scenes.random import Rng
from synth.cutout import Cutout
from synth.radiometry import to_linear

SLIM = ("bin", "postbox")  # solid, taller than wide
WIDE = ("bush",)
_SIDE_PX = 160
_OVERSIZE = 2  # rendered this much larger, then averaged: a soft edge


def furniture(seed: int, *, wide: bool = False) -> Cutout:
    """Return a piece of street furniture by seed, at most 160 pixels tall, under daylight; `wide` = wider than tall."""
    rng = Rng(seed, "sprite")
    slim, variant, side = rng.choice((*SLIM, *WIDE)), rng.integer(0, 2), rng.integer(0, 2)
    return _render(rng.choice(WIDE) if wide else slim, variant, side)


@lru_cache(maxsize=32)
def _render(kind: str, variant: int, side_seen: int) -> Cutout:
    from scenes.town.actors import build
    from scenes.town.light import Weather
    from scenes.town.materials import Textures
    from scenes.town.render import render
    from scenes.town.soup import Body, place
    from scenes.town.tracer import Layers, Tracer
    from scenes.town.view import Stage

    mesh = build(kind, Rng(variant, kind))
    low, high = mesh.bounds.astype(np.float64)
    yaw = 0.6 + side_seen * 2.4
    to_world = np.eye(4)
    to_world[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    body = Body.of(mesh)
    soup = place(body, to_world, semantic=(0, 0), ids=(1, 2), texture_start=0)
    weather = Weather(azimuth_rad=2.4, elevation_rad=0.8, clouds=0.5, cloud_seed=1)
    stage = Stage(soup, Layers(Tracer(soup.tri)), Textures(body.pyramids), weather, {})
    size = float(max(high[2] - low[2], np.hypot(*(high - low)[:2])))
    side = _SIDE_PX * _OVERSIZE
    focal = side * 8.0 / (1.15 * size)
    K = np.array([[focal, 0, side / 2], [0, focal, side / 2], [0, 0, 1.0]])
    eye = (-8.0, 0.0, 0.5 * float(high[2]) + 0.8)
    camera = Camera(K=K, width=side, height=side, world_to_cam=look(position=eye, pitch_rad=-math.atan2(0.8, 8.0)))
    frame = render(stage, camera)
    solid = (frame.hits.face >= 0).reshape(side, side).astype(np.uint8)
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    light = to_linear(frame.image)
    core = cv2.erode(solid, np.ones((3, 3), np.uint8)).astype(np.float32)
    total = cv2.blur(core, (9, 9))
    spread = cv2.blur(light * core[..., None], (9, 9)) / np.maximum(total, 1e-6)[..., None]
    paint = np.where(((core == 0) & (total > 0))[..., None], spread, light).astype(np.float32)
    sprite = Cutout(paint[part], solid[part].astype(np.float32), None)
    return replace(sprite.scaled(1 / _OVERSIZE), label=None)
