"""What is built once per seed: streets, buildings, furniture, the objects and the weather of one drive."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scenes.memory import give_back
from scenes.random import Rng
from scenes.town.actors import build
from scenes.town.blocks import line_streets
from scenes.town.cast import Actor, Cast
from scenes.town.classes import main_class, second_class
from scenes.town.light import Weather
from scenes.town.materials import Textures
from scenes.town.paving import build_streets
from scenes.town.placed import Placed, placed_soup
from scenes.town.soup import Ground, Pyramid, Soup, concatenate, place, weld_all
from scenes.town.streets import KERB_HEIGHT_M, Path, plan_streets
from scenes.town.tracer import Tracer

GROUND_SURFACES = (Ground.ROAD, Ground.MARKING, Ground.PAVEMENT, Ground.KERB, Ground.GRASS)


@dataclass(frozen=True, eq=False)
class World:
    """What is built once per seed."""

    static: Soup
    tracer: Tracer
    rest: Soup  # objects that do not move
    rest_tracer: Tracer
    resting: frozenset[int]  # their ids
    static_textures: Textures
    textures: Textures  # those, and of the objects at rest
    actors: tuple[Actor, ...]
    weather: Weather
    path: Path
    ego_d: float
    ego_speed: float
    horizontal_fov_rad: float

    def height_at(self, x: float, y: float) -> float:
        """Return the height of carriageway, pavement or grass at a place, metres; 0 where something is built on it."""
        start, down = np.array([[x, y, KERB_HEIGHT_M + 0.1]], np.float32), np.array([[0.0, 0.0, -1.0]], np.float32)
        hit = self.tracer.first(start, down)
        if hit.face[0] < 0 or self.static.surface[hit.face[0]] not in GROUND_SURFACES:
            return 0.0
        return float(start[0, 2] - hit.t[0])


_LAST: dict[int, World] = {}


def build_world(seed: int) -> World:
    """Return the town of a seed; the last one is kept, and let go before another is built (each takes 200 MB)."""
    if seed not in _LAST:
        _LAST.clear()
        give_back()
        _LAST[seed] = _draw_world(seed)
    return _LAST[seed]


def _draw_world(seed: int) -> World:
    rng = Rng(seed, "town")
    plan = plan_streets(Rng(seed, "streets"))
    quads = build_streets(plan, Rng(seed, "ground"))
    cast = Cast(plan, Rng(seed, "cast"), seed, build)
    cast.traffic()
    cast.people()
    cast.signs()
    cast.furnish()
    line_streets(quads, cast, plan, Rng(seed, "blocks"))
    textures: list[Pyramid] = []
    soups, welds = [quads.soup()], [quads.weld()]
    for body, to_world, kind in cast.furniture:
        classes = (main_class(kind), second_class(kind))
        soups.append(place(body, to_world, semantic=classes, ids=(0, 0), texture_start=len(textures)))
        welds.append(body.weld)
        textures.extend(body.pyramids)
    static = concatenate(soups)
    static_textures = Textures(textures)
    resting = [Placed.of(a, 0.0) for a in cast.actors if a.motion.speed == 0]
    rest, rest_weld, rest_textures = placed_soup(resting, static_textures.end)
    weather = Weather(
        azimuth_rad=rng.uniform(0.0, 2 * math.pi),
        elevation_rad=math.radians(rng.uniform(25.0, 65.0)),
        clouds=rng.uniform(0.15, 0.6),
        cloud_seed=rng.seed(),
    )
    return World(
        static=static,
        tracer=Tracer(static.tri, weld_all(welds)),
        rest=rest,
        rest_tracer=Tracer(rest.tri, rest_weld),
        resting=frozenset(o.id for o in resting),
        static_textures=static_textures,
        textures=Textures(rest_textures, static_textures),
        actors=tuple(cast.actors),
        weather=weather,
        path=plan.main.path,
        ego_d=cast.ego_d,
        ego_speed=cast.ego_speed,
        horizontal_fov_rad=math.radians(rng.uniform(56.0, 68.0)),
    )
