"""Drives through a scene: cameras along a path, the labelled frames they see, and a video of them.

cameras = lane_change(scene.cameras["town/3/000"], frames=40, length_m=12.0, offset_m=-3.4)
drive(scene, cameras, "lane-change")     # a data set with annotations and video.mp4
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera, Matrix
from scenes.captures.axes import inverse
from scenes.errors import InputError
from scenes.images import write_bytes
from scenes.sample import Image, Sample, Scene

Trajectory = Literal["straight", "lane-change", "interpolation"]
TRAJECTORIES = ("straight", "lane-change", "interpolation")
VIDEO = "video.mp4"


def straight(start: Camera, *, frames: int, length_m: float) -> list[Camera]:
    """Return cameras that go straight ahead on the level, looking as the first one does."""
    return lane_change(start, frames=frames, length_m=length_m, offset_m=0.0)


def lane_change(start: Camera, *, frames: int, length_m: float, offset_m: float) -> list[Camera]:
    """Return cameras on a lane change: `offset_m` to the left over `length_m`, turned along the path.

    The lateral path is the quintic 10 s^3 - 15 s^4 + 6 s^5 of minimum jerk (Flash and Hogan 1985).
    """
    if frames < 1 or not (math.isfinite(length_m) and length_m > 0 and math.isfinite(offset_m)):
        raise InputError(
            "trajectory: expected one frame or more, a length > 0 and a finite offset, "
            f"got {frames} frames, {length_m} m and {offset_m} m"
        )
    pose = start.cam_to_world
    ahead = pose[:3, 2] * (1.0, 1.0, 0.0)
    if np.linalg.norm(ahead) < 1e-6:
        raise InputError("trajectory: the first camera looks straight up or down; there is no way ahead")
    ahead /= np.linalg.norm(ahead)
    left = np.array([-ahead[1], ahead[0], 0.0])
    cameras = []
    for s in np.linspace(0.0, 1.0, frames):
        aside = offset_m * (10 * s**3 - 15 * s**4 + 6 * s**5)
        yaw = math.atan2(offset_m * 30 * s**2 * (1 - s) ** 2, length_m)
        here = np.eye(4)
        here[:3, :3] = _yaw(yaw) @ pose[:3, :3]
        here[:3, 3] = pose[:3, 3] + s * length_m * ahead + aside * left
        cameras.append(replace(start, world_to_cam=inverse(here)))
    return cameras


def interpolation(cameras: Sequence[Camera], *, frames: int) -> list[Camera]:
    """Return cameras evenly spread over the way through given ones: places on a cubic spline, turns by slerp."""
    from scipy.interpolate import CubicSpline
    from scipy.spatial.transform import Rotation, Slerp

    if len(cameras) < 2 or frames < 1:
        raise InputError(
            f"trajectory: expected two cameras or more and one frame or more, got {len(cameras)}, {frames}"
        )
    times = np.arange(len(cameras), dtype=np.float64)
    places = CubicSpline(times, np.array([camera.position for camera in cameras]))
    turns = Slerp(times, Rotation.from_matrix(np.array([camera.cam_to_world[:3, :3] for camera in cameras])))
    found = []
    for t in np.linspace(0.0, times[-1], frames):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turns(t).as_matrix(), places(t)
        found.append(replace(cameras[0], world_to_cam=inverse(pose)))
    return found


def _yaw(angle: float) -> Matrix:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def planned(kind: str, cameras: Mapping[str, Camera], *, frames: int, length_m: float, offset_m: float) -> list[Camera]:
    """Return the cameras of a trajectory by name, from the captured ones in the order of their names."""
    if kind not in TRAJECTORIES:
        raise InputError(f"trajectory: expected one of {', '.join(TRAJECTORIES)}, got {kind!r}")
    ordered = [cameras[name] for name in sorted(cameras)]
    if not ordered:
        raise InputError("trajectory: the scene knows no cameras to start from; it is Gaussians alone")
    if kind == "interpolation":
        return interpolation(ordered, frames=frames)
    return lane_change(ordered[0], frames=frames, length_m=length_m, offset_m=0.0 if kind == "straight" else offset_m)


def shown(scene: Scene, camera: Camera, where: str) -> Sample:
    """Return what a camera sees of a scene; raise where that is nothing at all."""
    sample = scene.render(camera)
    unseen = sample.meta.get("unseen")
    if unseen is not None and bool(np.all(unseen)) and not sample.image.any():
        place = ", ".join(f"{x:.1f}" for x in camera.position)
        raise InputError(
            f"{where}: nothing of the scene is in view of a camera at ({place}) m; shorten the path, or go through the "
            "captured cameras (--trajectory interpolation)"
        )
    return sample


def drive(
    scene: Scene,
    cameras: Sequence[Camera],
    out: str | Path,
    *,
    class_names: Sequence[str],
    format: str = "coco",
    name: str = "drive",
    frames_per_second: int = 10,
    report: Callable[[int], None] | None = None,
) -> Path:
    """Render every camera into a labelled data set of a known format, with video.mp4 beside it; return its folder."""
    from scenes.datasets import write_dataset

    pictures: list[Image] = []

    def samples() -> Iterator[Sample]:
        for i, camera in enumerate(cameras):
            seen = shown(scene, camera, f"frame {i + 1} of {len(cameras)}")
            sample = replace(seen, sample_id=f"{name}/{i:04d}", timestamp_s=i / frames_per_second)
            pictures.append(sample.image)
            if report is not None:
                report(i + 1)
            yield sample

    folder = write_dataset(samples(), out, format=format, class_names=tuple(class_names) or ("object",))
    write_bytes(folder / VIDEO, encoded(pictures, frames_per_second))
    return folder


def encoded(pictures: Sequence[NDArray[np.uint8]], frames_per_second: int) -> bytes:
    """Return an MP4 (H.264, yuv420p, constant quality) of pictures of one size; odd sizes lose a row or column."""
    import io

    import av

    height, width = (n - n % 2 for n in pictures[0].shape[:2])
    if min(height, width) < 2:
        raise InputError(f"video: expected pictures of at least 2x2, got {pictures[0].shape[1]}x{pictures[0].shape[0]}")
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=Fraction(frames_per_second), options={"crf": "18"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return stream.getvalue()
