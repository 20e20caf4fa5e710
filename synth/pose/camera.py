"""What the camera shifts of this folder share: move the camera, then look at the scene again.

Where the sample has a scene the new frame is rendered from it (exactly by the town); otherwise it is reprojected
through depth (synth/reproject.py), with what was hidden filled and marked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Sample
from synth.random import Rng
from synth.reproject import reproject
from synth.rerender import render_again, renderer_of
from synth.shift import Change, Family, Need, SeverityTable

Renderer = Literal["auto", "exact", "reprojection"]


@dataclass(frozen=True)
class MoveParams:
    """amount: signed, in the unit of the shift's table; renderer: that of the scene (exact, splats) or reprojection."""

    amount: float
    renderer: str


@dataclass(frozen=True)
class CameraMove:
    """Base of the shifts that move the camera; a shift adds its table and `moved`.

    renderer: auto = that of the scene where the sample has one, else reprojection; exact = that of the scene
    """

    family: ClassVar[Family] = "pose"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "geometry"
    params_type: ClassVar[type[MoveParams]] = MoveParams
    name: ClassVar[str]
    table: ClassVar[SeverityTable]
    chance_of_minus: ClassVar[float] = 0.5

    renderer: Renderer = "auto"

    def __post_init__(self) -> None:
        if self.renderer not in ("auto", "exact", "reprojection"):
            raise ValueError(f"renderer: expected auto, exact or reprojection, got {self.renderer!r}")

    def moved(self, camera: Camera, amount: float) -> Camera:
        """Return the camera after a move by a signed amount."""
        raise NotImplementedError

    def draw(self, sample: Sample, severity: float, rng: Rng) -> MoveParams:
        sign = -1.0 if rng.uniform() < self.chance_of_minus else 1.0
        by_scene = self.renderer == "exact" or (self.renderer == "auto" and sample.scene is not None)
        renderer = renderer_of(sample) if by_scene else "reprojection"
        return MoveParams(amount=sign * self.table.at(severity), renderer=renderer)

    def apply(self, sample: Sample, params: MoveParams) -> Sample:
        if sample.camera is None or sample.depth is None:
            lacking = "camera" if sample.camera is None else "depth"
            raise InputError(f"{self.name} needs {lacking}; sample {sample.sample_id!r} has none: complete it first")
        camera = self.moved(sample.camera, params.amount)
        if params.renderer == "reprojection":
            moved = reproject(sample, camera)
            return replace(moved, meta={**moved.meta, "renderer": "reprojection"})
        return render_again(sample, camera=camera, who=self.name)


def turned(camera: Camera, *, yaw_deg: float = 0.0, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> Camera:
    """Return the camera turned about its own axes: yaw to its left, pitch up, roll clockwise as it sees it."""
    cy, sy, cp, sp, cr, sr = (f(math.radians(a)) for a in (yaw_deg, pitch_deg, roll_deg) for f in (math.cos, math.sin))
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    roll = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    turn = np.eye(4)
    turn[:3, :3] = roll @ pitch @ yaw
    return replace(camera, world_to_cam=turn @ camera.world_to_cam)


def carried(camera: Camera, step_m: NDArray[np.float64]) -> Camera:
    """Return the camera carried through the world by (3,) metres, its direction unchanged."""
    matrix = camera.world_to_cam.copy()
    matrix[:3, 3] = -matrix[:3, :3] @ (camera.position + step_m)
    return replace(camera, world_to_cam=matrix)


def leftward(camera: Camera) -> NDArray[np.float64]:
    """Return the (3,) horizontal unit vector to the camera's left."""
    left = -camera.world_to_cam[0, :3]
    left = left - left[2] * np.array([0.0, 0.0, 1.0])
    length = float(np.linalg.norm(left))
    unit: NDArray[np.float64] = left / length if length > 1e-6 else -camera.world_to_cam[0, :3]
    return unit
