"""Puts the objects of a frame into the world."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scenes.camera import Camera
from scenes.town.light import Weather
from scenes.town.materials import Textures
from scenes.town.placed import Placed, placed_soup
from scenes.town.soup import concatenate
from scenes.town.things import things_of
from scenes.town.tracer import Layers, Tracer
from scenes.town.truth import Thing
from scenes.town.view import Stage
from scenes.town.world import World


def matters(thing: Placed, camera: Camera, weather: Weather, resting: frozenset[int]) -> bool:
    """Tell whether an object can be seen or throw a shadow into view; those at rest are built in anyway."""
    if thing.id in resting and thing.untouched:
        return True
    x, _, z = camera.world_to_cam[:3, :3] @ thing.pose[:3, 3] + camera.world_to_cam[:3, 3]
    size = float(np.abs(thing.body.mesh.bounds * np.array(thing.scale)).max()) * 1.8
    margin = size + size / math.tan(max(weather.elevation_rad, math.radians(3.0)))
    slope = 0.5 * camera.width / camera.K[0, 0] + abs(camera.K[0, 2] - 0.5 * camera.width) / camera.K[0, 0]
    return bool(z > -margin and abs(x) < slope * max(z, 0.0) + margin * math.hypot(1.0, slope))


def stage_of(world: World, objects: Sequence[Placed], weather: Weather) -> tuple[Stage, list[Thing]]:
    """Put the objects into the world: those at rest and unedited as they were built, the others anew."""
    resting = [o for o in objects if o.id in world.resting and o.untouched]
    others = [o for o in objects if not (o.id in world.resting and o.untouched)]
    rest, rest_tracer, textures = world.rest, world.rest_tracer, world.textures
    if len(resting) < len(world.resting):
        rest, rest_weld, pyramids = placed_soup(resting, world.static_textures.end)
        rest_tracer, textures = Tracer(rest.tri, rest_weld), Textures(pyramids, world.static_textures)
    moving, weld, pyramids = placed_soup(others, textures.end)
    stage = Stage(
        soup=concatenate([world.static, rest, moving]),
        tracer=Layers(world.tracer, rest_tracer, Tracer(moving.tri, weld)),
        textures=Textures(pyramids, textures),
        weather=weather,
        patterns={i: (p, np.linalg.inv(o.to_world)) for o in objects for i, p in o.patterns.items()},
    )
    return stage, [thing for o in objects for thing in things_of(o)]
