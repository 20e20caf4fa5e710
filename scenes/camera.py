"""The pinhole camera: x right, y down, z forward; lengths in metres, angles in radians.

Column j of an image covers [j, j + 1) in x, so the centre of the first pixel is (0.5, 0.5) and K is given in that
convention. Code that counts from pixel centres (OpenCV, KITTI, COLMAP before 3.8) converts with `from_opencv` and
`opencv_K`, and nowhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

ASSUMED_HORIZONTAL_FOV_RAD = math.radians(60.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """Where a picture was taken and how it projects.

    K:            (3, 3) pixels, pixel centres at half integers
    world_to_cam: (4, 4) rigid, metres; the camera frame is x right, y down, z forward; world z is up
    distortion:   k1 k2 p1 p2 k3 (Brown-Conrady, OpenCV order); all zero for a pinhole
    """

    K: Matrix
    width: int
    height: int
    world_to_cam: Matrix = field(default_factory=lambda: np.eye(4))
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for name, wanted in (("K", (3, 3)), ("world_to_cam", (4, 4))):
            value = np.asarray(getattr(self, name), np.float64)
            if value.shape != wanted:
                raise ValueError(f"camera.{name}: expected shape {wanted}, got {value.shape}")
            if not np.isfinite(value).all():
                raise ValueError(f"camera.{name}: expected finite numbers, got {value.tolist()}")
            object.__setattr__(self, name, value)
        if self.K[0, 0] <= 0 or self.K[1, 1] <= 0:
            raise ValueError(f"camera.K: expected positive focal lengths, got {self.K[0, 0]} and {self.K[1, 1]}")
        rotation = self.world_to_cam[:3, :3]
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4):
            raise ValueError(f"camera.world_to_cam: expected a rotation in [:3, :3], got {rotation.tolist()}")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"camera: expected a size of at least 1x1, got {self.width}x{self.height}")

    @classmethod
    def assumed(cls, width: int, height: int, *, horizontal_fov_rad: float = ASSUMED_HORIZONTAL_FOV_RAD) -> Camera:
        """Return a level camera at 1.5 m over the ground, looking along world x, for images without calibration.

        >>> round(float(Camera.assumed(640, 360).K[0, 0]), 2)
        554.26
        """
        focal = 0.5 * width / math.tan(0.5 * horizontal_fov_rad)
        K = np.array([[focal, 0.0, 0.5 * width], [0.0, focal, 0.5 * height], [0.0, 0.0, 1.0]])
        return cls(K=K, width=width, height=height, world_to_cam=look(position=(0.0, 0.0, 1.5)))

    @classmethod
    def from_opencv(cls, K: Matrix, width: int, height: int, *, world_to_cam: Matrix | None = None) -> Camera:
        """Take a K whose principal point counts from the centre of the first pixel."""
        shifted = np.array(K, np.float64)
        shifted[:2, 2] += 0.5
        pose = np.eye(4) if world_to_cam is None else world_to_cam
        return cls(K=shifted, width=width, height=height, world_to_cam=pose)

    @property
    def opencv_K(self) -> Matrix:
        """(3, 3) K with the principal point counted from the centre of the first pixel, as OpenCV does."""
        K = self.K.copy()
        K[:2, 2] -= 0.5
        return K

    @property
    def cam_to_world(self) -> Matrix:
        """(4, 4) the inverse of `world_to_cam`."""
        rotation, translation = self.world_to_cam[:3, :3], self.world_to_cam[:3, 3]
        inverse = np.eye(4)
        inverse[:3, :3] = rotation.T
        inverse[:3, 3] = -rotation.T @ translation
        return inverse

    @property
    def position(self) -> Matrix:
        """(3,) camera centre in the world, metres."""
        centre: Matrix = self.cam_to_world[:3, 3]
        return centre

    def rays(self) -> NDArray[np.float64]:
        """Return (H, W, 3) directions of the pixel centres in the camera frame, with z = 1 (pinhole, no distortion)."""
        columns = (np.arange(self.width) + 0.5 - self.K[0, 2]) / self.K[0, 0]
        rows = (np.arange(self.height) + 0.5 - self.K[1, 2]) / self.K[1, 1]
        rays = np.ones((self.height, self.width, 3))
        rays[..., 0] = columns - self.K[0, 1] / self.K[0, 0] * rows[:, None]
        rays[..., 1] = rows[:, None]
        return rays

    def project(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Project world points (N, 3) in metres; return pixels (N, 2) and depth (N,) along the optical axis.

        Points with depth <= 0 lie behind the camera; their pixels mean nothing.
        """
        local = points @ self.world_to_cam[:3, :3].T + self.world_to_cam[:3, 3]
        depth = local[:, 2]
        homogeneous = local @ self.K.T
        safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
        return homogeneous[:, :2] / safe[:, None], depth


def look(
    *, position: tuple[float, float, float], yaw_rad: float = 0.0, pitch_rad: float = 0.0, roll_rad: float = 0.0
) -> Matrix:
    """Return world_to_cam (4, 4) of a camera in a world with z up.

    At zero angles it looks along world x, with world y to its left. Yaw turns it to the left, pitch up, roll
    clockwise as seen by the camera.

    >>> (look(position=(0, 0, 0))[:3, :3] @ [1.0, 0.0, 0.0]).tolist()
    [0.0, 0.0, 1.0]
    """
    cy, sy, cp, sp = math.cos(yaw_rad), math.sin(yaw_rad), math.cos(pitch_rad), math.sin(pitch_rad)
    forward = np.array([cy * cp, sy * cp, sp])
    right = np.array([sy, -cy, 0.0])
    down = np.cross(forward, right)
    cr, sr = math.cos(roll_rad), math.sin(roll_rad)
    right, down = cr * right + sr * down, -sr * right + cr * down
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, down, forward])
    matrix[:3, 3] = -matrix[:3, :3] @ np.asarray(position, np.float64)
    return matrix + 0.0
