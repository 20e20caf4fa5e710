"""Where the Gaussians of a new scene begin: points of a reconstruction, depth, triangulation over the poses, chance."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from scenes.capture import Capture
from scenes.errors import InputError
from scenes.random import Rng
from scenes.sample import Sample
from scenes.splats.cloud import Cloud, seeds

Start = Literal["auto", "points", "depth", "triangulate", "random"]
STARTS = ("auto", "points", "depth", "triangulate", "random")
FAR_FACTOR = 3.0  # the sky hangs this many times as far away as the farthest known depth
Points = tuple[NDArray[np.float32], NDArray[np.float32]]  # (P, 3) world, (P, 3) colours in [0, 1]


def begin(
    capture: Capture, samples: Sequence[Sample], *, start: Start, count: int, degree: int, seed: int
) -> tuple[Cloud, str]:
    """Return about `count` Gaussians to begin a fit with, and a word on where they come from."""
    if start not in STARTS:
        raise InputError(f"start: expected one of {', '.join(STARTS)}, got {start!r}")
    chosen: str = _choose(capture, samples) if start == "auto" else start
    if chosen == "points":
        points, colors = thinned(_known(capture, samples), count, seed)
    elif chosen == "depth":
        points, colors = from_depth(samples, count, seed)
    elif chosen == "triangulate":
        points, colors = thinned(triangulated(samples), count, seed)
    else:
        points, colors = by_chance(samples, count, seed)
    if chosen in ("points", "triangulate") and len(points) < count // 2:
        more, more_colors = by_chance(samples, count // 2, seed)
        points, colors = np.concatenate([points, more]), np.concatenate([colors, more_colors])
        chosen += " and chance"
    cloud = seeds(torch.from_numpy(points), torch.from_numpy(colors), degree=degree)
    return cloud, f"{len(cloud)} Gaussians from {chosen}"


def _choose(capture: Capture, samples: Sequence[Sample]) -> Start:
    if any(sample.depth is not None for sample in samples):
        return "depth"
    if capture.points is not None and len(capture.points) >= 1000:
        return "points"
    from importlib.util import find_spec

    return "triangulate" if find_spec("pycolmap") is not None else "random"


def _known(capture: Capture, samples: Sequence[Sample]) -> Points:
    """Return the points of the capture, with colours looked up in the photos where it has none."""
    points = capture.points
    if points is None:
        raise InputError(f"capture {capture.name} has no points; use another start: {', '.join(STARTS)}")
    if capture.colors is not None:
        return points, capture.colors.astype(np.float32) / 255
    colors = np.full(points.shape, 0.5, np.float32)
    for sample in samples:
        if sample.camera is not None:
            pixels, depth = sample.camera.project(points.astype(np.float64))
            height, width = sample.image.shape[:2]
            seen = (depth > 0) & (pixels >= 0).all(1) & (pixels < (width, height)).all(1)
            columns, rows = np.floor(pixels[seen]).astype(int).T
            colors[seen] = sample.image[rows, columns] / np.float32(255)
    return points, colors


def thinned(points: Points, count: int, seed: int) -> Points:
    """Return at most `count` of the points, drawn without replacement."""
    n = len(points[0])
    if n <= count:
        return points
    keys = Rng(seed, "splats", "thin").uniforms(n)
    rows = np.sort(np.argsort(keys, kind="stable")[:count])
    return points[0][rows], points[1][rows]


def _pixels(samples: Sequence[Sample], each: int, seed: int) -> list[tuple[Sample, NDArray[np.intp], NDArray[np.intp]]]:
    """Return for each sample the rows and columns of `each` random pixels."""
    found = []
    for i, sample in enumerate(samples):
        at = (Rng(seed, "splats", "pixels", i).uniforms(each) * sample.image.shape[0] * sample.image.shape[1]).astype(
            np.intp
        )
        found.append((sample, *np.divmod(at, sample.image.shape[1])))
    return found


def from_depth(samples: Sequence[Sample], count: int, seed: int) -> Points:
    """Return pixels put back to where they were seen; sky goes onto a far shell. Unknown depth is passed over."""
    known = [s for s in samples if s.depth is not None and s.camera is not None and np.isfinite(s.depth).any()]
    if not known:
        raise InputError("a start from depth: no view has depth; use --start random, points or triangulate")
    far = FAR_FACTOR * max(float(s.depth[np.isfinite(s.depth)].max()) for s in known if s.depth is not None)
    places, colors = [], []
    for sample, rows, columns in _pixels(known, -(-count // len(known)), seed):
        if sample.camera is None or sample.depth is None:
            continue
        depth = sample.depth[rows, columns]
        rays = sample.camera.rays()[rows, columns]
        z = np.where(np.isposinf(depth), far / np.linalg.norm(rays, axis=1), depth)
        use = np.isfinite(z)
        pose = sample.camera.cam_to_world
        places.append((rays * z[:, None])[use] @ pose[:3, :3].T + pose[:3, 3])
        colors.append(sample.image[rows, columns][use] / 255)
    return np.concatenate(places).astype(np.float32), np.concatenate(colors).astype(np.float32)


def focus(samples: Sequence[Sample]) -> float:
    """Return how far ahead of the cameras the place is that their axes pass closest to; they may be parallel."""
    cameras = [s.camera for s in samples if s.camera is not None]
    centres = np.array([c.position for c in cameras])
    axes = np.array([c.world_to_cam[2, :3] for c in cameras])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    spread = float(np.linalg.norm(centres - centres.mean(0), axis=1).max())
    place = np.linalg.lstsq(across.sum(0), (across @ centres[:, :, None]).sum(0)[:, 0], rcond=1e-3)[0]
    ahead = float(np.median(((place - centres) * axes).sum(1)))
    return ahead if ahead > 0.2 * spread else max(3.0 * spread, 1e-3)


def by_chance(samples: Sequence[Sample], count: int, seed: int) -> Points:
    """Return random pixels at random distances, even in disparity, from a quarter to four times where cameras look."""
    middle = focus(samples)
    places, colors = [], []
    each = -(-count // len(samples))
    for i, (sample, rows, columns) in enumerate(_pixels(samples, each, seed)):
        if sample.camera is None:
            continue
        z = middle / (0.25 + 3.75 * Rng(seed, "splats", "depth", i).uniforms(each))
        pose = sample.camera.cam_to_world
        places.append((sample.camera.rays()[rows, columns] * z[:, None]) @ pose[:3, :3].T + pose[:3, 3])
        colors.append(sample.image[rows, columns] / 255)
    return np.concatenate(places).astype(np.float32), np.concatenate(colors).astype(np.float32)


def triangulated(samples: Sequence[Sample]) -> Points:
    """Return points that COLMAP triangulates over the given poses, which stay as they are (extra `scenes`)."""
    try:
        import pycolmap
    except ImportError as error:
        raise InputError("a start by triangulation wants pycolmap: pip install 'roadproof[scenes]'") from error
    from scenes.images import write_png

    by_name = {f"{i:05d}.png": sample for i, sample in enumerate(samples)}
    pycolmap.logging.minloglevel = 2  # its progress goes to standard error, line by line
    with tempfile.TemporaryDirectory(prefix="roadproof-") as name:
        photos, database = Path(name) / "images", Path(name) / "features.db"
        for file, sample in by_name.items():
            write_png(photos / file, sample.image)
        reader = pycolmap.ImageReaderOptions(camera_model="PINHOLE")
        on = pycolmap.Device.cpu
        mode = pycolmap.CameraMode.PER_IMAGE
        pycolmap.extract_features(database, photos, camera_mode=mode, reader_options=reader, device=on)
        pycolmap.match_exhaustive(database, device=on)
        world = _posed(pycolmap, database, by_name)
        found = pycolmap.triangulate_points(world, database, photos, Path(name))
        points = list(found.points3D.values())
    if len(points) < 4:
        raise InputError(f"a start by triangulation: only {len(points)} points were found; use --start random")
    places = np.array([point.xyz for point in points], np.float32)
    return places, np.array([point.color for point in points], np.float32) / 255


def _posed(pycolmap: Any, database: Path, by_name: Mapping[str, Sample]) -> Any:
    """Return a reconstruction without points: the images of a database where their samples say they stand."""
    world = pycolmap.Reconstruction()
    store = pycolmap.Database.open(database)
    for image in store.read_all_images():
        camera = by_name[image.name].camera
        if camera is None:
            raise InputError(f"a start by triangulation: view {by_name[image.name].sample_id} has no camera")
        lens = store.read_camera(image.camera_id)
        lens.params = [camera.K[0, 0], camera.K[1, 1], camera.K[0, 2], camera.K[1, 2]]
        world.add_camera_with_trivial_rig(lens)
        pose = camera.world_to_cam
        rigid = pycolmap.Rigid3d(pycolmap.Rotation3d(pose[:3, :3]), pose[:3, 3])
        copy = pycolmap.Image(name=image.name, camera_id=image.camera_id, image_id=image.image_id)
        world.add_image_with_trivial_frame(copy, rigid)
    store.close()
    return world


__all__ = ["STARTS", "Start", "begin", "by_chance", "focus", "from_depth", "thinned", "triangulated"]
