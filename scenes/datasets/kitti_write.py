"""Samples as KITTI frames: label lines, calibration and lidar points; the inverse of the reader in kitti.py.

Label lines have two decimals, as KITTI's own: pixels, metres and radians are told to within 0.005.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.datasets.base import ImageFormat, check_labels, checked_id, new_folder, write_picture
from scenes.errors import InputError
from scenes.images import write_bytes
from scenes.sample import Sample

CAMERA_HEIGHT_M = 1.65
# world (x forward, y left, z up) to the axes of camera 0 (x right, y down, z forward)
AXES = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
SPLITS = ("training", "testing")
CLASS_FILE = "classes.txt"  # only where the classes are not KITTI's own
DONT_CARE = "DontCare"
_NO_BOX_3D = [-1.0, -1.0, -1.0, -1000.0, -1000.0, -1000.0, -10.0]
_NEAR_M = 1.0  # camera 2 of a rig is nearer than this to camera 0


def write_kitti(
    samples: Iterable[Sample], out: Path, *, class_names: Sequence[str], own: Sequence[str], image_format: ImageFormat
) -> Path:
    """Write `training/` (and `testing/`) with image_2, label_2, calib and velodyne; own: KITTI's class names."""
    _check_names(class_names)
    solid_names = [name for name in class_names if name != DONT_CARE]
    with new_folder(out) as folder:
        seen: set[str] = set()
        for sample in samples:
            sample_id = checked_id(sample, seen)
            check_labels(sample, class_names)
            split, _, frame = sample_id.partition("/")
            if split not in SPLITS or not frame:
                split, frame = SPLITS[0], sample_id
            write_picture(folder / split / "image_2", frame, sample.image, image_format)
            _write_parts(folder / split, frame, sample, class_names)
        if not seen:
            raise InputError(f"cannot write {out}: there are no samples")
        if not {name.lower() for name in solid_names} <= {name.lower() for name in own}:
            (folder / CLASS_FILE).write_text("".join(f"{name}\n" for name in solid_names), encoding="utf-8")
    return out


def as_word(name: str) -> str:
    """Return how a label line says a class: in one word, `traffic_light` as KITTI's own `Person_sitting`."""
    return "_".join(name.split())


def _check_names(names: Sequence[str]) -> None:
    """Raise where a label line or a line of the class file could not say which class is meant."""
    words: dict[str, str] = {}
    for name in names:
        if not name.strip() or name != name.strip() or name.splitlines() != [name]:
            raise InputError(
                f"class {name!r}: a KITTI label line cannot hold this name: expected words on one line, no space around"
            )
        other = words.setdefault(as_word(name).lower(), name)
        if other != name:
            raise InputError(
                f"classes {other!r} and {name!r} are one in a KITTI label line, which has no spaces and takes small "
                "letters for capitals: rename one of them"
            )


def _write_parts(folder: Path, frame: str, sample: Sample, class_names: Sequence[str]) -> None:
    camera = sample.camera
    owner = f"sample {sample.sample_id!r}"
    if camera is None and (sample.depth is not None or sample.annotations.boxes_3d is not None):
        raise InputError(f"{owner}: KITTI needs the camera to hold depth or 3D boxes, got none")
    if camera is not None and any(camera.distortion):
        raise InputError(f"{owner}: KITTI cannot hold lens distortion, got {camera.distortion}: undistort it first")
    lines = [_line(sample, row, class_names) for row in range(len(sample.annotations))]
    if folder.name == SPLITS[0]:
        write_bytes(folder / "label_2" / f"{frame}.txt", "".join(lines).encode())
    elif lines:
        raise InputError(f"{owner}: KITTI has no labels in testing/, got {len(lines)} objects")
    if camera is None:
        return
    offset = rig_offset(camera)
    projection = camera.opencv_K @ np.hstack([np.eye(3), offset[:, None]])
    matrices = dict.fromkeys(("P0", "P1", "P2", "P3"), projection)
    matrices |= {"R0_rect": np.eye(3), "Tr_velo_to_cam": np.hstack([AXES, np.zeros((3, 1))])}
    text = "".join(f"{key}: {' '.join(map(repr, m.reshape(-1).tolist()))}\n" for key, m in matrices.items())
    write_bytes(folder / "calib" / f"{frame}.txt", text.encode())
    if sample.depth is not None:
        points = _points(sample.depth, camera, offset)
        write_bytes(folder / "velodyne" / f"{frame}.bin", points.tobytes())


def rig_offset(camera: Camera) -> NDArray[np.float64]:
    """(3,) translation from camera 0 to this camera; zero unless it stands level over the origin of KITTI's world."""
    offset: NDArray[np.float64] = camera.world_to_cam[:3, 3] + AXES @ (0.0, 0.0, CAMERA_HEIGHT_M)
    level = np.allclose(camera.world_to_cam[:3, :3], AXES, atol=1e-9)
    return offset if level and float(np.linalg.norm(offset)) < _NEAR_M else np.zeros(3)


def _points(depth: NDArray[np.float32], camera: Camera, offset: NDArray[np.float64]) -> NDArray[np.float32]:
    """(M, 4) lidar points, one through the centre of each pixel of known, finite depth; reflectance 0."""
    known = np.isfinite(depth)
    at_camera = camera.rays()[known] * depth[known].astype(np.float64)[:, None]
    points = np.zeros((len(at_camera), 4), np.float32)
    points[:, :3] = (at_camera - offset) @ AXES  # the inverse of a rotation is its transpose
    return points


def _line(sample: Sample, row: int, class_names: Sequence[str]) -> str:
    annotations = sample.annotations
    box = (annotations.boxes[row].astype(np.float64) - 0.5).tolist()
    attributes = annotations.attributes[row]
    if annotations.ignore[row]:
        kind, observed, solid = DONT_CARE, [-1.0, -1, -10.0], _NO_BOX_3D
    else:
        kind = as_word(class_names[int(annotations.labels[row])])
        if kind == DONT_CARE:
            raise InputError(
                f"sample {sample.sample_id!r}: object {row} is DontCare: expected ignore = True, got False"
            )
        solid = _solid(sample, row)
        observed = [
            attributes.get("truncated", -1.0),
            int(attributes.get("occluded", -1)),
            attributes.get("alpha", -10.0),
        ]
    truncated, occluded, alpha = observed
    numbers = [float(truncated), int(occluded), float(alpha), *box, *solid]
    return f"{kind} {' '.join(str(n) if isinstance(n, int) else f'{n:.2f}' for n in numbers)}\n"


def _solid(sample: Sample, row: int) -> list[float]:
    """Height, width, length, x y z of the bottom centre at camera 0, rotation_y; KITTI's blanks where unknown."""
    boxes, camera = sample.annotations.boxes_3d, sample.camera
    if boxes is None or camera is None or np.isnan(boxes[row]).any():
        return _NO_BOX_3D
    x, y, z, length, width, height, qw, qx, qy, qz = boxes[row].astype(np.float64).tolist()
    forward = np.array([1 - 2 * (qy * qy + qz * qz), 2 * (qx * qy + qw * qz), 2 * (qx * qz - qw * qy)])
    ahead = camera.world_to_cam[:3, :3] @ forward
    centre = camera.world_to_cam[:3, :3] @ (x, y, z) + camera.world_to_cam[:3, 3] - rig_offset(camera)
    bottom = (centre + np.array([0.0, height / 2, 0.0])).tolist()
    return [height, width, length, *bottom, math.atan2(-ahead[2], ahead[0])]
