"""transforms.json of nerfstudio, instant-ngp and Blender: OpenGL camera-to-world, intrinsics per file or per frame.

`camera_model` OPENCV, PINHOLE, SIMPLE_PINHOLE, OPENCV_FISHEYE; focal lengths may stand as `camera_angle_x` (rad).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.capture import Capture, View
from scenes.captures.axes import from_opengl
from scenes.captures.photos import Lens, missing, photo, some
from scenes.errors import InputError
from scenes.images import SUFFIXES, image_size

MODELS = {"OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "OPENCV_FISHEYE"}


def nerfstudio_capture(path: Path) -> Capture | None:
    """Open a transforms.json or the folder that holds one; None where there is none."""
    file = path / "transforms.json" if path.is_dir() else path
    if file.suffix != ".json" or not file.is_file():
        return None
    data = _read(file)
    views: list[View] = []
    absent = []
    for number, frame in enumerate(data["frames"]):
        owner = f"{file}: frame {number}"
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
            raise InputError(f"{owner}: expected an object with file_path and transform_matrix, got {str(frame)[:80]}")
        owner += f" ({frame['file_path']})"
        if "transform_matrix" not in frame:
            raise InputError(f"{owner}: it has no transform_matrix")
        image = _photo_of(file.parent, frame["file_path"])
        if image is None:
            absent.append(frame["file_path"])
            continue
        pose = from_opengl(_matrix(frame["transform_matrix"], owner), owner=owner)
        views.append(photo(_name(frame["file_path"]), image, _lens({**data, **frame}, image, owner), pose))
    points, colors = _points(file.parent, data)
    return Capture(
        name=file.parent.name or str(file.parent),
        views=some(views, owner=str(file)),
        points=points,
        colors=colors,
        notes=missing(file, absent),
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"capture {file}: cannot be read: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("frames"), list) or not data["frames"]:
        raise InputError(f"capture {file}: expected an object with a list of frames; is it a transforms.json?")
    return data


def _matrix(given: Any, owner: str) -> NDArray[np.float64]:
    try:
        return np.array(given, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{owner}: transform_matrix: expected 4x4 numbers, got {str(given)[:80]}") from error


def _photo_of(root: Path, file_path: str) -> Path | None:
    """Return the photo; Blender's files name it without a suffix."""
    path = root / file_path
    if path.is_file():
        return path
    if path.suffix.lower() not in SUFFIXES:
        for suffix in (".png", ".jpg", ".jpeg"):
            if path.with_name(path.name + suffix).is_file():
                return path.with_name(path.name + suffix)
    return None


def _name(file_path: str) -> str:
    """Return the path without suffix and without `./` and `../` before it.

    >>> _name("../images/0001.jpg")
    'images/0001'
    """
    parts = [part for part in Path(file_path).parts if part not in ("..", ".", "/")]
    name = "/".join(parts)
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in SUFFIXES else name


def _number(known: Mapping[str, Any], key: str, owner: str) -> float | None:
    value = known.get(key)
    if value is None:
        return None
    if not isinstance(value, int | float):
        raise InputError(f"{owner}: {key}: expected a number, got {value!r}")
    return float(value)


def _lens(known: Mapping[str, Any], image: Path, owner: str) -> Lens:
    """Return the intrinsics of a frame: its own keys, else those of the file."""
    model = known.get("camera_model", "OPENCV")
    if model not in MODELS:
        raise InputError(f"{owner}: camera_model {model!r} is none of {', '.join(sorted(MODELS))}; undistort it first")
    get = {key: _number(known, key, owner) for key in KEYS}
    width, height = get["w"], get["h"]
    if width is None or height is None:
        width, height = image_size(image)
    fx, fy = get["fl_x"], get["fl_y"]
    if fx is None and get["camera_angle_x"] is not None:
        fx = 0.5 * width / math.tan(0.5 * get["camera_angle_x"])
    if fy is None and get["camera_angle_y"] is not None and get["fl_x"] is None:
        fy = 0.5 * height / math.tan(0.5 * get["camera_angle_y"])
    fx = fy if fx is None else fx
    if fx is None:
        raise InputError(f"{owner}: no focal length: expected fl_x or camera_angle_x")
    names = ("k1", "k2", "k3", "k4") if model == "OPENCV_FISHEYE" else ("k1", "k2", "p1", "p2", "k3")
    return Lens(
        fx=fx,
        fy=fx if fy is None else fy,
        cx=0.5 * width if get["cx"] is None else get["cx"],
        cy=0.5 * height if get["cy"] is None else get["cy"],
        width=int(width),
        height=int(height),
        distortion=tuple(get[name] or 0.0 for name in names),
        model="fisheye" if model == "OPENCV_FISHEYE" else "opencv",
    )


KEYS = ("w", "h", "fl_x", "fl_y", "cx", "cy", "camera_angle_x", "camera_angle_y", "k1", "k2", "k3", "k4", "p1", "p2")


def _points(root: Path, data: Mapping[str, Any]) -> tuple[NDArray[np.float32] | None, NDArray[np.uint8] | None]:
    """Return the point cloud that nerfstudio writes beside the file (`ply_file_path`)."""
    named = data.get("ply_file_path")
    if not isinstance(named, str) or not (root / named).is_file():
        return None, None
    from scenes.splats.tables import read_ply

    vertex = read_ply(root / named).get("vertex")
    if vertex is None or not {"x", "y", "z"} <= set(vertex.dtype.names or ()):
        raise InputError(f"{root / named}: expected vertices with x, y and z")
    points = np.stack([vertex[k] for k in "xyz"], axis=1).astype(np.float32)
    if not {"red", "green", "blue"} <= set(vertex.dtype.names or ()):
        return points, None
    return points, np.stack([vertex[k] for k in ("red", "green", "blue")], axis=1).astype(np.uint8)
