"""The town as a capture: a drive in which time stands still, with exact depth, instances and 3D boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera, look
from scenes.capture import Capture, View, resized_camera
from scenes.errors import InputError
from scenes.sample import Sample
from scenes.town import CLASS_NAMES, Town
from scenes.town.placed import Placed
from scenes.town.town import CAMERA_HEIGHT_M

LENGTH_M = 16.0  # along the street at most, forwards from where the drive starts and then backwards
SWAY_M, WAVE_M = 1.6, 9.0  # to either side and back, so that a lane change later looks at what was seen
CLEARANCE_M = 1.5  # to every object: the traffic stands still and would be driven through
LOOKING_AROUND_RAD = 0.08


@dataclass(frozen=True, eq=False)
class TownView:
    """A view that is rendered when it is asked for."""

    name: str
    town: Town
    camera: Camera

    def resized(self, width: int, height: int) -> TownView:
        return replace(self, camera=resized_camera(self.camera, width, height))

    def load(self) -> Sample:
        return self.town.render(self.camera, sample_id=self.name)


def town_capture(seed: int, n: int = 40, *, width: int = 640, height: int = 360) -> Capture:
    """Return n views from a car that weaves along the free stretch of street where the drive of a town begins."""
    if n < 2:
        raise InputError(f"capture town:{seed}:{n}: expected two views or more")
    town = Town(seed)
    objects = [Placed.of(actor, 0.0) for actor in town.world.actors]
    ahead = _free(town, objects, 1.0, LENGTH_M)
    behind = _free(town, objects, -1.0, LENGTH_M - ahead)
    base = town.camera(0, width, height)
    views: list[View] = []
    for i, s in enumerate(np.linspace(-behind, ahead, n)):
        yaw = float(town.world.path.heading_at(s + 4.0)) + LOOKING_AROUND_RAD * math.sin(2.3 * i)
        x, y = _place(town, float(s))
        pose = look(position=(x, y, CAMERA_HEIGHT_M), yaw_rad=yaw, pitch_rad=-0.01)
        views.append(TownView(f"town/{seed}/{i:03d}", town, replace(base, world_to_cam=pose)))
    return Capture(name=f"town:{seed}:{n}", views=views, class_names=CLASS_NAMES, metric=True)


def _place(town: Town, s: float) -> tuple[float, float]:
    """Return where the weaving car is, world metres."""
    x, y = town.world.path.at(s, town.world.ego_d + SWAY_M * math.sin(2 * math.pi * s / WAVE_M))
    return float(x), float(y)


def _free(town: Town, objects: list[Placed], way: float, most: float) -> float:
    """Return how far one can go (way 1 = forwards, -1 = backwards) before an object comes too close, metres."""
    free = 0.0
    while free < most and _clearance(np.array(_place(town, way * (free + 0.25))), objects) > CLEARANCE_M:
        free += 0.25
    return free


def _clearance(place: NDArray[np.float64], objects: list[Placed]) -> float:
    """Return the distance on the ground to the nearest object's box, metres."""
    nearest = math.inf
    for thing in objects:
        local = (place - thing.pose[:2, 3]) @ thing.pose[:2, :2]
        low, high = thing.body.mesh.bounds[0][:2], thing.body.mesh.bounds[1][:2]
        nearest = min(nearest, float(np.linalg.norm(local - np.clip(local, low, high))))
    return nearest
