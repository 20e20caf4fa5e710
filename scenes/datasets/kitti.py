"""KITTI object detection (Geiger et al. 2012): left colour images, labels, calibration, lidar.

Boxes in the files are `left top right bottom`, 0-based and counted from pixel centres, with width = right - left (so
the devkit counts areas). Ours count from pixel corners: half a pixel is added to all four, which leaves every
overlap as KITTI counts it. K from P2 is in the same convention and goes through `Camera.from_opencv`.

World: x forward, y left, z up; its origin on the road under camera 0, `CAMERA_HEIGHT_M` below it (Geiger et al.,
2013, fig. 3). 3D boxes in the files have their bottom centre in the frame of rectified camera 0 and turn about its
y axis. Lidar points are projected with P2 R0 Tr; of several in one pixel the nearest stays, and pixels without one are
NaN. `truncated, occluded, alpha` are attributes, absent
where the file says unknown (-1, -1, -10).

`classes.txt` beside training/ names classes that are not KITTI's own, one a line; label lines have underscores for the
spaces in them (`traffic_light`), as KITTI's own `Person_sitting`.

DontCare regions are ignore regions of a class of their own, the last, which no model knows: they shield every class.
Written: boxes, classes, ignore regions, attributes `truncated occluded alpha`, 3D boxes (yaw only), camera, depth (as
lidar points, from 0.1 m on).
Not held: masks, segmentation, instance and track ids, visibility, amodal boxes, further attributes, infinite depth
(sky becomes unknown), lens distortion, roll and pitch of objects against the camera, the camera's own pose in the
world, an ignore region of one class.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.datasets.base import (
    FolderDataset,
    ImageFormat,
    choose_splits,
    count,
    find_images,
    index_files,
)
from scenes.datasets.kitti_write import AXES, CAMERA_HEIGHT_M, CLASS_FILE, DONT_CARE, SPLITS, as_word, write_kitti
from scenes.datasets.objects import Objects
from scenes.datasets.registry import register_format
from scenes.datasets.shapes import checked_box
from scenes.errors import InputError
from scenes.images import Orientation, read_oriented
from scenes.sample import Annotations, Dataset, Depth, Sample

CLASS_NAMES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")


class KittiDataset(FolderDataset):
    """Frames of `training/` and `testing/` (the latter without labels), or of one such folder."""

    format: ClassVar[str] = "kitti"

    def __init__(self, path: Path, *, split: str | None = None, strict: bool = False) -> None:
        root, known = _layout(path)
        splits = choose_splits(split, known, owner=f"data set {path}")
        names = (*_class_names(root), DONT_CARE)
        files = index_files(
            ((f"{s}/{name}", f"{s}/image_2/{name}") for s in splits for name in find_images(root / s / "image_2")),
            owner=f"data set {path}",
        )
        self._label = {as_word(name).lower(): row for row, name in enumerate(names)}
        self._labelled = {s for s in splits if (root / s / "label_2").is_dir()}
        notes = _notes(root, splits, files)
        if strict and notes:
            raise InputError("; ".join(notes))
        super().__init__(
            root,
            class_names=names,
            tasks=("detection",) if self._labelled == set(splits) else (),
            files=files,
            splits=splits,
            notes=notes,
        )

    def _read(self, sample_id: str) -> Sample:
        image, orientation = read_oriented(self.image_path(sample_id))
        calibration = self._part(sample_id, "calib", ".txt")
        camera = depth = None
        if calibration.is_file():
            numbers = read_calibration(calibration)
            camera = _camera(numbers["P2"], *orientation.size)
            lidar = self._part(sample_id, "velodyne", ".bin")
            if lidar.is_file():
                depth = lidar_depth(read_lidar(lidar), velodyne_to_image(numbers), *orientation.size)
        annotations = Annotations()
        if sample_id.split("/")[0] in self._labelled:
            annotations = self._objects(self._part(sample_id, "label_2", ".txt"), orientation)
        return Sample(sample_id=sample_id, image=image, annotations=annotations, depth=depth, camera=camera)

    def _part(self, sample_id: str, folder: str, suffix: str) -> Path:
        split, _, frame = sample_id.partition("/")
        return self.root / split / folder / f"{frame}{suffix}"

    def _objects(self, path: Path, orientation: Orientation) -> Annotations:
        objects = Objects()
        for number, line in enumerate(_lines(path), start=1):
            if line.strip():
                _add(objects, line.split(), self._label, f"{path}: line {number}")
        return objects.annotations(orientation)


def read_calibration(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return P2 (3, 4), R0_rect (3, 3) and Tr_velo_to_cam (3, 4) of a calibration file."""
    shapes = {"P2": (3, 4), "R0_rect": (3, 3), "Tr_velo_to_cam": (3, 4)}
    found: dict[str, NDArray[np.float64]] = {}
    for line in _lines(path):
        key, _, text = line.partition(":")
        if key in shapes:
            found[key] = np.array(_numbers(text.split(), f"{path}: {key}"))
    for key, shape in shapes.items():
        if key not in found or found[key].size != shape[0] * shape[1]:
            got = f"{found[key].size} numbers" if key in found else "no such line"
            raise InputError(f"{path}: {key}: expected {shape[0]}x{shape[1]} numbers, got {got}")
        found[key] = found[key].reshape(shape)
    return found


def read_lidar(path: Path) -> NDArray[np.float32]:
    """Return (M, 4) x y z in metres (x forward, y left, z up, at the sensor) and reflectance."""
    size = path.stat().st_size
    if size % 16:
        raise InputError(f"{path}: expected rows of four float32, got {size} bytes")
    return np.fromfile(path, np.float32).reshape(-1, 4)


def velodyne_to_image(numbers: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """(3, 4) from lidar metres to homogeneous pixels counted from pixel centres; their third component is depth."""
    rectify, move = np.eye(4), np.eye(4)
    rectify[:3, :3] = numbers["R0_rect"]
    move[:3] = numbers["Tr_velo_to_cam"]
    return numbers["P2"] @ rectify @ move


def lidar_depth(points: NDArray[np.float32], matrix: NDArray[np.float64], width: int, height: int) -> Depth:
    """Return (H, W) metres along the optical axis of camera 2, NaN where no point falls."""
    homogeneous = points[:, :3].astype(np.float64) @ matrix[:, :3].T + matrix[:, 3]
    homogeneous = homogeneous[homogeneous[:, 2] > 0.1]
    z = homogeneous[:, 2]
    pixels = np.rint(homogeneous[:, :2] / z[:, None])
    inside = ((pixels >= 0) & (pixels < (width, height))).all(axis=1)
    columns, rows = pixels[inside].astype(np.int64).T
    depth = np.full((height, width), np.inf, np.float32)
    np.minimum.at(depth, (rows, columns), z[inside].astype(np.float32))
    depth[np.isinf(depth)] = np.nan
    return depth


def _layout(path: Path) -> tuple[Path, list[str]]:
    """Root and its split folders; a split folder given alone is a data set of one split."""
    if (path / "image_2").is_dir():
        return path.resolve().parent, [path.resolve().name]
    return path, [name for name in SPLITS if (path / name / "image_2").is_dir()]


def _class_names(root: Path) -> tuple[str, ...]:
    path = root / CLASS_FILE
    return tuple(line for line in _lines(path) if line) if path.is_file() else CLASS_NAMES


def _notes(root: Path, splits: Sequence[str], files: dict[str, str]) -> list[str]:
    notes = []
    for folder, suffix, means in (("calib", ".txt", "no camera"), ("velodyne", ".bin", "no depth")):
        frames = [sample_id.partition("/") for sample_id in files]
        missing = [f"{s}/{frame}" for s, _, frame in frames if not (root / s / folder / f"{frame}{suffix}").is_file()]
        if missing:
            notes.append(f"{root}: {count(len(missing), 'frame')} without {folder}, so {means}; first {missing[0]}")
    unlabelled = [s for s in splits if not (root / s / "label_2").is_dir()]
    if unlabelled:
        notes.append(f"{root}: {', '.join(unlabelled)} has no label_2, so no labels")
    return notes


def _camera(projection: NDArray[np.float64], width: int, height: int) -> Camera:
    """Camera 2 in the world; its offset from camera 0 stands in the fourth column of P2 = K [I | t]."""
    K = projection[:, :3]
    world_to_cam = np.eye(4)
    world_to_cam[:3, :3] = AXES
    world_to_cam[:3, 3] = np.linalg.solve(K, projection[:, 3]) + AXES @ (0.0, 0.0, -CAMERA_HEIGHT_M)
    return Camera.from_opencv(K, width, height, world_to_cam=world_to_cam)


def _add(objects: Objects, fields: list[str], classes: dict[str, int], owner: str) -> None:
    """Add one line: type, truncated, occluded, alpha, 4 of the box, h w l, x y z, rotation_y, perhaps a score."""
    if len(fields) not in (15, 16):
        raise InputError(f"{owner}: expected 15 fields (16 with a score), got {len(fields)}")
    kind, numbers = fields[0], _numbers(fields[1:], owner)
    x1, y1, x2, y2 = checked_box(numbers[3:7], owner=owner, wanted="left top right bottom")
    box = (x1 + 0.5, y1 + 0.5, x2 + 0.5, y2 + 0.5)
    if kind.lower() == DONT_CARE.lower():
        objects.add(box, classes[DONT_CARE.lower()], ignore=True)
        return
    if kind.lower() not in classes:
        raise InputError(f"{owner}: expected a type of {', '.join(classes)}, got {kind!r}")
    observed = (("truncated", numbers[0], -1), ("occluded", int(numbers[1]), -1), ("alpha", numbers[2], -10))
    attributes: dict[str, Any] = {name: value for name, value, unknown in observed if value != unknown}
    height, width, length = numbers[7:10]
    box_3d = None
    if min(height, width, length) > 0:
        yaw = -numbers[13] - math.pi / 2
        centre = AXES.T @ numbers[10:13] + np.array([0.0, 0.0, CAMERA_HEIGHT_M + height / 2])
        box_3d = [*centre.tolist(), length, width, height, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]
    objects.add(box, classes[kind.lower()], attributes=attributes, box_3d=box_3d)


def _numbers(texts: Sequence[str], owner: str) -> list[float]:
    values = []
    for text in texts:
        try:
            values.append(float(text))
        except ValueError as error:
            raise InputError(f"{owner}: expected a number, got {text!r}") from error
        if not math.isfinite(values[-1]):
            raise InputError(f"{owner}: expected a finite number, got {text!r}")
    return values


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


@register_format
class Kitti:
    """KITTI object."""

    name: ClassVar[str] = "kitti"
    fallback: ClassVar[bool] = False

    @staticmethod
    def recognise(path: Path) -> str | None:
        """Recognise `image_2`, directly or in training/ and testing/."""
        if not path.is_dir():
            return None
        if (path / "image_2").is_dir():
            return "image_2"
        return ", ".join(f"{name}/image_2" for name in _layout(path)[1]) or None

    @staticmethod
    def open(path: Path, *, split: str | None = None, strict: bool = False) -> Dataset:
        if Kitti.recognise(path) is None:
            raise InputError(f"data set {path}: expected KITTI with training/image_2 or image_2, found neither")
        return KittiDataset(path, split=split, strict=strict)

    @staticmethod
    def write(
        samples: Iterable[Sample], out: Path, *, class_names: Sequence[str], image_format: ImageFormat = "png"
    ) -> Path:
        """Write `training/image_2, label_2, calib, velodyne`; a sample_id keeps a leading `training/` or `testing/`."""
        return write_kitti(samples, out, class_names=class_names, own=CLASS_NAMES, image_format=image_format)
