"""Where axes and pixel centres convert: everything becomes what scenes/camera.py says.

| source | camera axes | pose in the file | principal point counts from |
|---|---|---|---|
| nerfstudio, Blender, instant-ngp | x right, y up, z back (OpenGL) | camera to world | the corner of the first pixel |
| COLMAP | x right, y down, z forward | world to camera, quaternion w x y z | the corner of the first pixel |
| KITTI odometry | x right, y down, z forward; world the same | camera to world (3, 4) | the centre of the first pixel |
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from scenes.camera import Matrix
from scenes.errors import InputError

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
FORWARD_TO_UP = np.array(
    [[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]]
)  # x right y down z forward -> z up
ROTATION_SLACK = 1e-2  # how far from a rotation a pose may be before it is refused and not mended


def rigid(matrix: ArrayLike, *, owner: str) -> Matrix:
    """Return (4, 4) with the nearest rotation in place of one that is rounded; raise for anything that is no pose."""
    given = np.asarray(matrix, np.float64)
    if given.shape == (3, 4):
        given = np.vstack([given, [0.0, 0.0, 0.0, 1.0]])
    if given.shape != (4, 4):
        raise InputError(f"{owner}: pose: expected 4x4 or 3x4 numbers, got shape {given.shape}")
    if not np.isfinite(given).all():
        raise InputError(
            f"{owner}: pose: expected finite numbers, got {given.tolist()}; take the frame out of the file"
        )
    u, _, v = np.linalg.svd(given[:3, :3])
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
    if np.abs(rotation - given[:3, :3]).max() > ROTATION_SLACK:
        raise InputError(f"{owner}: pose: expected a rotation in its first 3x3, got {given[:3, :3].tolist()}")
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation, given[:3, 3]
    return out


def from_opengl(cam_to_world: ArrayLike, *, owner: str) -> Matrix:
    """Return world_to_cam of nerfstudio's `transform_matrix`."""
    return inverse(rigid(cam_to_world, owner=owner) @ OPENGL)


def to_opengl(world_to_cam: Matrix) -> Matrix:
    """Return nerfstudio's `transform_matrix` of a world_to_cam."""
    return inverse(world_to_cam) @ OPENGL


def from_colmap(quaternion: ArrayLike, translation: ArrayLike, *, owner: str) -> Matrix:
    """Return world_to_cam of COLMAP's QW QX QY QZ, TX TY TZ."""
    q = np.asarray(quaternion, np.float64)
    length = np.linalg.norm(q)
    if not (np.isfinite(length) and length > 0):
        raise InputError(f"{owner}: pose: expected a quaternion, got {q.tolist()}")
    w, x, y, z = q / length
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = translation
    return rigid(pose, owner=owner)


def from_kitti(cam_to_world: ArrayLike, *, owner: str) -> Matrix:
    """Return world_to_cam, in a world with z up, of a row of KITTI's poses (its world is the first camera's frame)."""
    return inverse(FORWARD_TO_UP @ rigid(cam_to_world, owner=owner))


def inverse(pose: Matrix) -> Matrix:
    """Return the inverse of a rigid (4, 4)."""
    out = np.eye(4)
    out[:3, :3] = pose[:3, :3].T
    out[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return out


def upright(world_to_cams: list[Matrix]) -> Matrix:
    """Return (4, 4), the turn of a world of unknown axes after which the cameras, on average, stand upright in z."""
    up = -np.mean([pose[1, :3] for pose in world_to_cams], axis=0)
    if np.linalg.norm(up) < 1e-6:  # cameras in all directions say nothing of where up is
        return np.eye(4)
    z = up / np.linalg.norm(up)
    forward = np.mean([pose[2, :3] for pose in world_to_cams], axis=0)
    x = forward - (forward @ z) * z
    if np.linalg.norm(x) < 1e-6:
        x = np.eye(3)[int(np.argmin(np.abs(z)))] - z[int(np.argmin(np.abs(z)))] * z
    x /= np.linalg.norm(x)
    turn = np.eye(4)
    turn[:3, :3] = np.stack([x, np.cross(z, x), z])
    return turn
