"""Cameras into a NeRF's own space, and what it shows along their rays.

nerfstudio wants the cameras within the unit cube: `Frame` is the motion and scale between the world of a capture and
that. Rays start at pixel centres, as nerfstudio's own do, and know nothing of which way a camera's axes point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scenes.camera import Camera, Matrix
from scenes.nerfs.model import quiet


@dataclass(frozen=True, eq=False)
class Frame:
    """World to NeRF: `scale * (motion @ point)`; motion (4, 4) is rigid."""

    motion: Matrix
    scale: float

    @classmethod
    def around(cls, cameras: Sequence[Camera]) -> Frame:
        """Return the frame in which the cameras fill [-1, 1], as nerfstudio's parsers scale them."""
        centres = np.array([camera.position for camera in cameras])
        middle = centres.mean(axis=0)
        motion = np.eye(4)
        motion[:3, 3] = -middle
        return cls(motion, float(1.0 / max(np.abs(centres - middle).max(), 1e-3)))

    def rays(self, camera: Camera, pixels: NDArray[np.int64] | None = None) -> Any:
        """Return nerfstudio's `RayBundle` of pixels (N,) of a camera, row by row, or of all (H, W).

        Its metadata holds `directions_norm`: how far a ray goes while it goes 1 along the optical axis.
        """
        with quiet():
            from nerfstudio.cameras.rays import RayBundle

        local = camera.rays() if pixels is None else camera.rays().reshape(-1, 3)[pixels]
        length = np.linalg.norm(local, axis=-1, keepdims=True)
        turn = self.motion[:3, :3] @ camera.world_to_cam[:3, :3].T
        place = self.scale * (self.motion[:3, :3] @ camera.position + self.motion[:3, 3])
        directions = torch.from_numpy(local / length @ turn.T).float()
        norm = torch.from_numpy(length).float()
        return RayBundle(
            origins=torch.from_numpy(place).float().expand_as(directions),
            directions=directions,
            pixel_area=norm.new_full(norm.shape, 1.0 / (camera.K[0, 0] * camera.K[1, 1])),  # of a pixel at 1
            camera_indices=torch.zeros(norm.shape, dtype=torch.long),
            metadata={"directions_norm": norm},
        )


@dataclass(frozen=True, eq=False)
class Look:
    """What a NeRF shows: picture (H, W, 3) sRGB in [0, 1], depth (H, W) in units of the world along the optical axis,
    expected over what a ray meets, and alpha (H, W)."""

    picture: NDArray[np.float32]
    depth: NDArray[np.float32]
    alpha: NDArray[np.float32]


def look_at(model: Any, frame: Frame, camera: Camera) -> Look:
    """Return what a camera sees of a model."""
    was = model.training
    model.eval()
    try:
        with quiet(), torch.no_grad(), one_thread(model.device):
            rays = frame.rays(camera)
            length = rays.metadata["directions_norm"].squeeze(-1)
            found = model.get_outputs_for_camera_ray_bundle(rays)
    finally:
        model.train(was)
    depth = found["expected_depth"].squeeze(-1) / length / frame.scale
    return Look(
        picture=found["rgb"].clamp(0, 1).float().cpu().numpy(),
        depth=depth.float().cpu().numpy(),
        alpha=found["accumulation"].squeeze(-1).clamp(0, 1).float().cpu().numpy(),
    )


class one_thread:
    """Run torch on one thread on a CPU: its operations are small, and threads that wait for each other spin."""

    def __init__(self, device: torch.device | str) -> None:
        self._on = torch.device(device).type == "cpu"

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        if self._on:
            torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        if self._on:
            torch.set_num_threads(self._before)
