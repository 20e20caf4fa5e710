"""A town that can be looked at: one drive through procedural streets, by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera, look
from scenes.edits import Edit
from scenes.random import Rng
from scenes.sample import Sample
from scenes.town.actors import KINDS, build
from scenes.town.blocks import line_streets
from scenes.town.cast import Actor, Cast
from scenes.town.classes import INDEX, SECOND_OBJECT, main_class, second_class
from scenes.town.editing import Editor, Placed
from scenes.town.light import Weather
from scenes.town.materials import Textures
from scenes.town.mesh import Mesh, Part
from scenes.town.render import Stage, render
from scenes.town.soup import Body, Pyramid, Soup, concatenate, place
from scenes.town.streets import Path, build_streets, plan_streets
from scenes.town.tracer import Layers, Tracer
from scenes.town.truth import Thing, annotate, depth_map, instance_map, semantic_map

FRAME_S = 0.8
CAMERA_HEIGHT_M = 1.4


@dataclass(frozen=True, eq=False)
class World:
    """What is built once per seed."""

    static: Soup
    tracer: Tracer
    rest: Soup  # objects that do not move
    rest_tracer: Tracer
    resting: frozenset[int]  # their ids
    textures: tuple[Pyramid, ...]  # of the static soup, then of those at rest
    static_textures: int
    actors: tuple[Actor, ...]
    weather: Weather
    path: Path
    ego_d: float
    ego_speed: float
    horizontal_fov_rad: float


@lru_cache(maxsize=3)
def build_world(seed: int) -> World:
    """Draw and build the town of a seed."""
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
    soups = [quads.soup()]
    for body, to_world, kind in cast.furniture:
        classes = (main_class(kind), second_class(kind))
        soups.append(place(body, to_world, semantic=classes, ids=(0, 0), texture_start=len(textures)))
        textures.extend(body.pyramids)
    static = concatenate(soups)
    static_textures = len(textures)
    resting = [Placed.of(a, 0.0) for a in cast.actors if a.motion.speed == 0]
    rest = _placed_soup(resting, textures)
    weather = Weather(
        azimuth_rad=rng.uniform(0.0, 2 * math.pi),
        elevation_rad=math.radians(rng.uniform(25.0, 65.0)),
        clouds=rng.uniform(0.15, 0.6),
        cloud_seed=rng.seed(),
    )
    return World(
        static=static,
        tracer=Tracer(static.tri),
        rest=rest,
        rest_tracer=Tracer(rest.tri),
        resting=frozenset(o.id for o in resting),
        static_textures=static_textures,
        textures=tuple(textures),
        actors=tuple(cast.actors),
        weather=weather,
        path=plan.main.path,
        ego_d=cast.ego_d,
        ego_speed=cast.ego_speed,
        horizontal_fov_rad=math.radians(rng.uniform(56.0, 68.0)),
    )


class Town:
    """One drive. `Town(seed).at(frame)` is the town at a moment of it; a town without `at` is at frame 0.

    >>> town = Town(3).at(2)
    >>> sample = town.render(town.camera(2, width=64, height=36))
    >>> sample.image.shape, sample.depth.shape
    ((36, 64, 3), (36, 64))
    """

    def __init__(self, seed: int, *, frame: int = 0) -> None:
        self.seed, self.frame = int(seed), int(frame)

    @property
    def world(self) -> World:
        """What is built once and kept for the towns used last."""
        return build_world(self.seed)

    @property
    def time_s(self) -> float:
        """Seconds since the start of the drive."""
        return self.frame * FRAME_S

    def at(self, frame: int) -> Town:
        """Return the town at another frame of the drive."""
        return Town(self.seed, frame=frame)

    def camera(self, frame: int | None = None, width: int = 640, height: int = 360) -> Camera:
        """Return the camera of the driving car at a frame (by default the town's own)."""
        world = self.world
        s = world.ego_speed * (self.frame if frame is None else frame) * FRAME_S
        x, y = world.path.at(s, world.ego_d)
        focal = 0.5 * width / math.tan(0.5 * world.horizontal_fov_rad)
        yaw = float(world.path.heading_at(s + 4.0))
        return Camera(
            K=np.array([[focal, 0.0, 0.5 * width], [0.0, focal, 0.52 * height], [0.0, 0.0, 1.0]]),
            width=width,
            height=height,
            world_to_cam=look(position=(float(x), float(y), CAMERA_HEIGHT_M), yaw_rad=yaw, pitch_rad=-0.01),
        )

    def render(
        self,
        camera: Camera,
        edits: Sequence[Edit] = (),
        *,
        sample_id: str | None = None,
        previous: Sample | None = None,
    ) -> Sample:
        """Return the labelled frame that `camera` sees after `edits`."""
        world = self.world
        editor = Editor([Placed.of(a, self.time_s) for a in world.actors], world.weather, build, KINDS)
        editor.carry_out(edits)
        objects = [o for _, o in sorted(editor.objects.items()) if matters(o, camera, editor.weather, world.resting)]
        stage, things = _stage(world, objects, editor.weather)
        frame = render(stage, camera)
        instances = instance_map(frame.hits, stage.soup, camera)
        depth = depth_map(frame.hits, camera)
        semantic = semantic_map(frame.hits, stage.soup, camera)
        return Sample(
            sample_id=sample_id or f"town/{self.seed}/{self.frame:03d}",
            image=frame.image,
            annotations=annotate(things, instances, semantic, depth, camera),
            depth=depth,
            instances=instances,
            camera=camera,
            timestamp_s=self.time_s,
            meta=self._meta(editor.weather),
            scene=self,
            previous=previous,
        )

    def _meta(self, weather: Weather) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "frame": self.frame,
            "sun_azimuth_rad": weather.azimuth_rad,
            "sun_elevation_rad": weather.elevation_rad,
            "clouds": weather.clouds,
            "ego_speed_m_per_s": self.world.ego_speed,
        }


def matters(thing: Placed, camera: Camera, weather: Weather, resting: frozenset[int]) -> bool:
    """Tell whether an object can be seen or throw a shadow into view; those at rest are built in anyway."""
    if thing.id in resting and thing.untouched:
        return True
    x, _, z = camera.world_to_cam[:3, :3] @ thing.pose[:3, 3] + camera.world_to_cam[:3, 3]
    size = float(np.abs(thing.body.mesh.bounds * np.array(thing.scale)).max()) * 1.8
    margin = size + size / math.tan(max(weather.elevation_rad, math.radians(3.0)))
    slope = 0.5 * camera.width / camera.K[0, 0] + abs(camera.K[0, 2] - 0.5 * camera.width) / camera.K[0, 0]
    return bool(z > -margin and abs(x) < slope * max(z, 0.0) + margin * math.hypot(1.0, slope))


def _stage(world: World, objects: Sequence[Placed], weather: Weather) -> tuple[Stage, list[Thing]]:
    """Put the objects into the world: those at rest and unedited as they were built, the others anew."""
    resting = [o for o in objects if o.id in world.resting and o.untouched]
    others = [o for o in objects if not (o.id in world.resting and o.untouched)]
    if len(resting) == len(world.resting):
        rest, rest_tracer, textures = world.rest, world.rest_tracer, list(world.textures)
    else:
        textures = list(world.textures[: world.static_textures])
        rest = _placed_soup(resting, textures)
        rest_tracer = Tracer(rest.tri)
    moving = _placed_soup(others, textures)
    soup = concatenate([world.static, rest, moving])
    stage = Stage(
        soup=soup,
        tracer=Layers(world.tracer, rest_tracer, Tracer(moving.tri)),
        textures=Textures(textures),
        weather=weather,
        patterns={i: (p, np.linalg.inv(o.to_world)) for o in objects for i, p in o.patterns.items()},
    )
    return stage, [thing for o in objects for thing in _things(o)]


def _placed_soup(objects: Sequence[Placed], textures: list[Pyramid]) -> Soup:
    """Return the triangles of objects in the world; their textures are appended to the list."""
    soups = []
    for thing in objects:
        soups.append(
            place(
                thing.body,
                thing.to_world,
                semantic=(main_class(thing.kind), second_class(thing.kind)),
                ids=(thing.id, thing.second),
                texture_start=len(textures),
                color=thing.color,
            )
        )
        textures.extend(thing.body.pyramids)
    return concatenate(soups)


def _things(placed: Placed) -> list[Thing]:
    """Return the one or two instances of an object."""
    parts = [(placed.id, Part.MAIN, main_class(placed.kind))]
    if placed.kind in SECOND_OBJECT:
        parts.append((placed.second, Part.SECOND, INDEX[SECOND_OBJECT[placed.kind]]))
    things = []
    for number, part, label in parts:
        things.append(Thing(number, label, partial(_triangles, placed, part), partial(_described, placed, part)))
    return things


def _triangles(placed: Placed, part: Part) -> NDArray[np.float32]:
    """Return the triangles (F, 3, 3) of one part in the world, the same floats that are traced."""
    faces = placed.body.mesh.part == part
    matrix = placed.to_world
    tri = placed.body.tri[faces].reshape(-1, 3) @ matrix[:3, :3].astype(np.float32).T + matrix[:3, 3].astype(np.float32)
    return tri.reshape(-1, 3, 3)


def _described(placed: Placed, part: Part) -> tuple[NDArray[np.float32], Mapping[str, Any]]:
    return _box_3d(placed, part), _attributes(placed, part)


def _box_3d(placed: Placed, part: Part) -> NDArray[np.float32]:
    """Return centre, length, width, height and quaternion (10,) of one part of an object."""
    scale = np.array(placed.scale)
    low, high = (corner * scale for corner in placed.body.extent[part])
    centre = placed.pose[:3, :3] @ ((low + high) / 2) + placed.pose[:3, 3]
    return np.concatenate([centre, high - low, quaternion(placed.pose[:3, :3])]).astype(np.float32)


def quaternion(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return w x y z of a rotation matrix, w >= 0.

    >>> quaternion(np.eye(3)).tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    return np.array([w, x, y, z]) * (-1.0 if w < 0 else 1.0) + 0.0


def _attributes(placed: Placed, part: Part) -> Mapping[str, Any]:
    kind = placed.kind if part == Part.MAIN else SECOND_OBJECT[placed.kind]
    attributes: dict[str, Any] = {"kind": kind, "state": placed.state, "actor": placed.id}
    if name := color_name(placed, part):
        attributes["colour"] = name
    return attributes


COLORS = {
    "white": (0.8, 0.8, 0.8),
    "silver": (0.42, 0.43, 0.45),
    "grey": (0.12, 0.12, 0.13),
    "black": (0.02, 0.02, 0.02),
    "red": (0.5, 0.03, 0.03),
    "orange": (0.75, 0.2, 0.03),
    "yellow": (0.8, 0.55, 0.05),
    "green": (0.05, 0.25, 0.08),
    "blue": (0.04, 0.13, 0.45),
    "brown": (0.15, 0.07, 0.03),
    "beige": (0.55, 0.46, 0.32),
    "purple": (0.2, 0.05, 0.3),
}


def color_name(placed: Placed, part: Part) -> str | None:
    """Return the nearest colour word for the parts that take a colour."""
    mesh: Mesh = placed.body.mesh
    chosen = mesh.recolour & (mesh.part == part)
    if not chosen.any():
        return None
    color = np.median((mesh.color if placed.color is None else placed.color)[chosen], axis=0)
    distance = {name: float(np.abs(np.cbrt(color) - np.cbrt(c)).sum()) for name, c in COLORS.items()}
    return min(distance, key=distance.__getitem__)


__all__ = ["Body", "Town", "World", "build_world", "quaternion"]
