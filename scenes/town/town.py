"""The town as a scene: one drive through procedural streets, by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scenes.camera import Camera, look
from scenes.edits import Edit
from scenes.falling import through_weather
from scenes.sample import Sample
from scenes.town.actors import KINDS, build
from scenes.town.classes import CLASS_NAMES
from scenes.town.editing import Editor
from scenes.town.light import Weather
from scenes.town.placed import Placed
from scenes.town.render import render
from scenes.town.staging import matters, stage_of
from scenes.town.truth import annotate, depth_map, instance_map, semantic_map
from scenes.town.world import World, build_world

FRAME_S = 0.8
CAMERA_HEIGHT_M = 1.4


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
        objects = [Placed.of(actor, self.time_s) for actor in world.actors]
        editor = Editor(objects, world.weather, build=build, kinds=KINDS, height_at=world.height_at)
        editor.carry_out(edits)
        objects = [o for _, o in sorted(editor.objects.items()) if matters(o, camera, editor.weather, world.resting)]
        stage, things = stage_of(world, objects, editor.weather)
        frame = render(stage, camera)
        instances = instance_map(frame.hits, stage.soup, camera)
        depth = depth_map(frame.hits, camera)
        semantic = semantic_map(frame.hits, stage.soup, camera)
        falling = editor.falling
        image = frame.image if falling is None else through_weather(frame.image, depth, camera, falling)
        return Sample(
            sample_id=sample_id or f"town/{self.seed}/{self.frame:03d}",
            image=image,
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
            "class_names": CLASS_NAMES,
            "seed": self.seed,
            "frame": self.frame,
            "sun_azimuth_rad": weather.azimuth_rad,
            "sun_elevation_rad": weather.elevation_rad,
            "clouds": weather.clouds,
            "ego_speed_m_per_s": self.world.ego_speed,
        }
