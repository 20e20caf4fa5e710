"""KITTI-style sequences (odometry benchmark, Geiger et al. 2012): image_2, calib.txt, poses.txt or poses/NN.txt.

A row of the poses is camera 0 in the frame of the first camera 0; P2 = K [I | t] moves from camera 0 to camera 2.
`velodyne`, where it is there and calib.txt has Tr, gives points. Units are metres.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.capture import Capture, View
from scenes.captures.axes import from_kitti, inverse, rigid
from scenes.captures.photos import Lens, missing, photo, some
from scenes.datasets.base import find_images
from scenes.datasets.kitti import read_lidar
from scenes.errors import InputError
from scenes.images import image_size

POINTS = 200_000  # kept of the lidar


def kitti_capture(path: Path) -> Capture | None:
    """Open a sequence; None where there is none."""
    poses_file = next((f for f in _pose_files(path) if f.is_file()), None)
    if poses_file is None or not (path / "calib.txt").is_file():
        return None
    calibration = _calibration(path / "calib.txt")
    poses = _table(poses_file, 12)
    images = {int(Path(name).stem): path / "image_2" / name for name in _photos(path) if Path(name).stem.isdecimal()}
    if not images:
        raise InputError(f"capture {path}: expected numbered photos in {path / 'image_2'}, found none")
    K = calibration["P2"][:, :3]
    if not np.isfinite(calibration["P2"]).all():
        raise InputError(f"{path / 'calib.txt'}: P2: expected finite numbers, got {calibration['P2'].tolist()}")
    if K[0, 0] <= 0 or K[1, 1] <= 0 or K[2, 2] != 1:
        raise InputError(f"{path / 'calib.txt'}: P2: expected focal lengths > 0 and a last row 0 0 1, got {K.tolist()}")
    offset = np.eye(4)
    offset[:3, 3] = np.linalg.solve(K, calibration["P2"][:, 3])
    times = _table(path / "times.txt", 1)[:, 0] if (path / "times.txt").is_file() else None
    views: list[View] = []
    absent = []
    for number, row in enumerate(poses):
        owner = f"{poses_file}: line {number + 1}"
        pose = offset @ from_kitti(row.reshape(3, 4), owner=owner)
        if number not in images:
            absent.append(f"{number:06d}")
            continue
        size = image_size(images[number])
        corner = Camera.from_opencv(K, *size).K
        lens = Lens(corner[0, 0], corner[1, 1], corner[0, 2], corner[1, 2], *size)
        time = None if times is None or number >= len(times) else float(times[number])
        views.append(photo(f"{number:06d}", images[number], lens, pose, timestamp_s=time))
    return Capture(
        name=path.resolve().name,
        views=some(views, owner=str(path)),
        points=_lidar(path, poses, calibration.get("Tr")),
        metric=True,
        notes=missing(poses_file, absent),
    )


def _pose_files(path: Path) -> list[Path]:
    return [path / "poses.txt", path.parent.parent / "poses" / f"{path.resolve().name}.txt"]


def _photos(path: Path) -> list[str]:
    return list(find_images(path / "image_2")) if (path / "image_2").is_dir() else []


def _calibration(path: Path) -> dict[str, NDArray[np.float64]]:
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, text = line.partition(":")
        try:
            numbers = np.array([float(v) for v in text.split()])
        except ValueError as error:
            raise InputError(f"{path}: {key}: expected numbers, got {text.strip()!r}") from error
        if numbers.size == 12:
            found[key.strip()] = numbers.reshape(3, 4)
    if "P2" not in found:
        raise InputError(f"{path}: expected a line P2 with twelve numbers")
    return found


def _table(path: Path, columns: int) -> NDArray[np.float64]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rows.append([float(v) for v in line.split()])
        except ValueError as error:
            raise InputError(f"{path}: line {number}: expected numbers, got {line[:60]!r}") from error
        if len(rows[-1]) != columns:
            raise InputError(f"{path}: line {number}: expected {columns} numbers, got {len(rows[-1])}")
    return np.array(rows, np.float64).reshape(-1, columns)


def _lidar(
    path: Path, poses: NDArray[np.float64], lidar_to_cam: NDArray[np.float64] | None
) -> NDArray[np.float32] | None:
    """Return points of the lidar in the world, evenly thinned, or None."""
    files = sorted(f for f in (path / "velodyne").glob("*.bin") if f.stem.isdecimal() and int(f.stem) < len(poses))
    if lidar_to_cam is None or not files:
        return None
    mounted = rigid(lidar_to_cam, owner=f"{path / 'calib.txt'}: Tr")
    parts = []
    for file in files:
        points = read_lidar(file)[:, :3]
        points = points[:: max(1, len(points) * len(files) // POINTS)].astype(np.float64)
        pose = inverse(from_kitti(poses[int(file.stem)].reshape(3, 4), owner=str(file))) @ mounted
        parts.append(points @ pose[:3, :3].T + pose[:3, 3])
    return np.concatenate(parts).astype(np.float32)
