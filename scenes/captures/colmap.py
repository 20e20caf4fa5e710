"""COLMAP models, text and binary: cameras, images, points3D (https://colmap.github.io/format.html).

The model lies in the folder itself, in sparse/0, sparse or colmap/sparse/0; the photos in an `images` folder beside it.
A reconstruction knows neither scale nor up: the world is turned so that the cameras stand upright on average.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Matrix
from scenes.capture import Capture, View
from scenes.captures.axes import from_colmap, inverse, upright
from scenes.captures.photos import Lens, missing, photo, some
from scenes.errors import InputError

PLACES = (".", "sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse")
MODELS = {  # id: name, number of parameters
    0: ("SIMPLE_PINHOLE", 3), 1: ("PINHOLE", 4), 2: ("SIMPLE_RADIAL", 4), 3: ("RADIAL", 5), 4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8), 6: ("FULL_OPENCV", 12),
}  # fmt: skip
SINGLE_FOCAL = {"SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL"}


@dataclass(frozen=True)
class Frame:
    """A row of images.txt."""

    name: str
    camera_id: int
    pose: Matrix


def colmap_capture(path: Path) -> Capture | None:
    """Open a COLMAP model; None where there is none."""
    model = next((path / p for p in PLACES if path.is_dir() and _kind(path / p)), None)
    if model is None:
        return None
    images = next((f for f in (model, *model.parents[:3]) if (f / "images").is_dir()), None)
    if images is None:
        raise InputError(f"capture {path}: its photos are not there: expected a folder `images` beside the model")
    binary = _kind(model) == "bin"
    lenses = dict((_cameras_bin if binary else _cameras_txt)(model))
    frames = list((_images_bin if binary else _images_txt)(model))
    points, colors = (_points_bin if binary else _points_txt)(model)
    views: list[View] = []
    turn = inverse(upright([frame.pose for frame in frames])) if frames else np.eye(4)
    absent = []
    for frame in frames:
        if frame.camera_id not in lenses:
            raise InputError(f"{model}: {frame.name} was taken by camera {frame.camera_id}, which the model lacks")
        file = images / "images" / frame.name
        if not file.is_file():
            absent.append(frame.name)
            continue
        name = frame.name[: -len(Path(frame.name).suffix)] if Path(frame.name).suffix else frame.name
        views.append(photo(name, file, lenses[frame.camera_id], frame.pose @ turn))
    return Capture(
        name=path.resolve().name,
        views=some(views, owner=str(path)),
        points=(points @ turn[:3, :3]).astype(np.float32) if len(points) else None,
        colors=colors if len(points) else None,
        notes=missing(model, absent),
    )


def _kind(folder: Path) -> str | None:
    return next(
        (k for k in ("bin", "txt") if all((folder / f"{n}.{k}").is_file() for n in ("cameras", "images"))), None
    )


def lens_of(model: str, width: int, height: int, numbers: tuple[float, ...], *, owner: str) -> Lens:
    """Return the lens of a camera model's parameters, in COLMAP's order."""
    if model not in {name for name, _ in MODELS.values()}:
        known = ", ".join(name for name, _ in MODELS.values())
        raise InputError(f"{owner}: camera model {model}: expected {known}; run `colmap image_undistorter` first")
    count = next(n for name, n in MODELS.values() if name == model)
    if len(numbers) != count:
        raise InputError(f"{owner}: camera model {model}: expected {count} parameters, got {len(numbers)}")
    if model in SINGLE_FOCAL:
        numbers = (numbers[0], *numbers)
    fx, fy, cx, cy, *rest = numbers
    kind: Any = "fisheye" if model == "OPENCV_FISHEYE" else "opencv"
    return Lens(fx, fy, cx, cy, width, height, (*rest, *([0.0] * max(0, 4 - len(rest)))), kind)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("#"):
            yield number, line.split()


def _cameras_txt(model: Path) -> Iterator[tuple[int, Lens]]:
    path = model / "cameras.txt"
    for number, row in _rows(path):
        if row:
            with _told(path, number):
                size, numbers = (int(row[2]), int(row[3])), tuple(map(float, row[4:]))
                yield int(row[0]), lens_of(row[1], *size, numbers, owner=f"{path}: line {number}")


def _images_txt(model: Path) -> Iterator[Frame]:
    """Every image has two lines; the second, its keypoints, may be empty."""
    path = model / "images.txt"
    rows = list(_rows(path))
    while rows and not rows[0][1]:
        rows.pop(0)
    for number, row in rows[::2]:
        if not row:
            continue
        with _told(path, number):
            if len(row) < 10:
                raise ValueError(f"expected 10 fields, got {len(row)}")
            numbers = [float(v) for v in row[1:8]]
            pose = from_colmap(numbers[:4], numbers[4:], owner=f"{path}: line {number}")
            yield Frame(" ".join(row[9:]), int(row[8]), pose)


def _points_txt(model: Path) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    path = model / "points3D.txt"
    places, colors = [], []
    for number, row in _rows(path) if path.is_file() else ():
        if row:
            with _told(path, number):
                places.append([float(v) for v in row[1:4]])
                colors.append([int(v) for v in row[4:7]])
    return np.array(places, np.float64).reshape(-1, 3), np.array(colors, np.uint8).reshape(-1, 3)


class _told:
    """Give what goes wrong with a number the name of file and line."""

    def __init__(self, path: Path, number: int) -> None:
        self.where = f"{path}: line {number}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, ValueError | IndexError | OverflowError) and not isinstance(error, InputError):
            raise InputError(f"{self.where}: cannot be read: {error}") from error


def _unpack(stream: BinaryIO, form: str, path: Path) -> tuple[Any, ...]:
    size = struct.calcsize("<" + form)
    data = stream.read(size)
    if len(data) != size:
        raise InputError(f"{path}: it ends early: {size} bytes were expected, {len(data)} are left; copy it again")
    return struct.unpack("<" + form, data)


def _cameras_bin(model: Path) -> Iterator[tuple[int, Lens]]:
    path = model / "cameras.bin"
    with path.open("rb") as stream:
        for _ in range(_unpack(stream, "Q", path)[0]):
            number, kind, width, height = _unpack(stream, "iiQQ", path)
            if kind not in MODELS:
                raise InputError(f"{path}: camera {number} has the unknown model {kind}; undistort the capture first")
            name, parameters = MODELS[kind]
            numbers = _unpack(stream, f"{parameters}d", path)
            yield number, lens_of(name, width, height, numbers, owner=f"{path}: camera {number}")


def _images_bin(model: Path) -> Iterator[Frame]:
    path = model / "images.bin"
    with path.open("rb") as stream:
        for _ in range(_unpack(stream, "Q", path)[0]):
            fields = _unpack(stream, "i7di", path)
            name = bytearray()
            while (byte := _unpack(stream, "c", path)[0]) != b"\0":
                name += byte
            stream.seek(24 * _unpack(stream, "Q", path)[0], 1)
            text = name.decode("utf-8", "replace")
            pose = from_colmap(fields[1:5], fields[5:8], owner=f"{path}: {text}")
            yield Frame(text, fields[8], pose)


def _points_bin(model: Path) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    path = model / "points3D.bin"
    places, colors = [], []
    if path.is_file():
        with path.open("rb") as stream:
            for _ in range(_unpack(stream, "Q", path)[0]):
                fields = _unpack(stream, "Q3d3Bd", path)
                places.append(fields[1:4])
                colors.append(fields[4:7])
                stream.seek(8 * _unpack(stream, "Q", path)[0], 1)
    return np.array(places, np.float64).reshape(-1, 3), np.array(colors, np.uint8).reshape(-1, 3)
