"""Captures: every format gives the same cameras, whatever its axes and pixel centres; bad input is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from scenes.camera import Camera, look
from scenes.capture import Capture, open_capture, resized_camera
from scenes.captures.axes import from_kitti, from_opengl, inverse, to_opengl, upright
from scenes.captures.photos import Lens, Photo
from scenes.errors import InputError
from scenes.images import write_png

WIDTH, HEIGHT = 64, 48


def poses(n: int = 4) -> list[Any]:
    return [look(position=(0.5 * i, 0.2 * i, 1.5), yaw_rad=0.1 * i, pitch_rad=-0.05, roll_rad=0.02) for i in range(n)]


def picture(i: int) -> Any:
    return np.random.default_rng(i).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def write_nerfstudio(folder: Path, n: int = 4, **extra: Any) -> dict[str, Any]:
    frames = []
    for i, pose in enumerate(poses(n)):
        write_png(folder / "images" / f"{i:03d}.png", picture(i))
        frames.append({"file_path": f"images/{i:03d}.png", "transform_matrix": to_opengl(pose).tolist()})
    data = {"fl_x": 50.0, "fl_y": 51.0, "cx": 31.0, "cy": 25.0, "w": WIDTH, "h": HEIGHT, "frames": frames, **extra}
    (folder / "transforms.json").write_text(json.dumps(data))
    return data


def project(capture: Capture, points: Any) -> Any:
    return np.stack([view.camera.project(points)[0] for view in sorted(capture.views, key=lambda v: v.name)])


@pytest.mark.core
def test_transforms_json_gives_the_poses_it_was_written_from(tmp_path: Path) -> None:
    write_nerfstudio(tmp_path)
    capture = open_capture(tmp_path)
    for i, (view, pose) in enumerate(zip(capture.views, poses(), strict=True)):
        np.testing.assert_allclose(view.camera.world_to_cam, pose, atol=1e-9)
        np.testing.assert_allclose(view.camera.K, [[50, 0, 31], [0, 51, 25], [0, 0, 1]])
        assert (view.load().image == picture(i)).all()
    assert [view.name for view in capture.views] == [f"images/{i:03d}" for i in range(4)]


@pytest.mark.core
def test_opengl_axes_by_hand() -> None:
    """A camera at the origin with the unit pose looks along -z with y up."""
    camera = Camera(K=np.diag([10.0, 10.0, 1.0]), width=10, height=10, world_to_cam=from_opengl(np.eye(4), owner="x"))
    pixels, depth = camera.project(np.array([[1.0, 2.0, -10.0]]))
    assert depth[0] == 10
    np.testing.assert_allclose(pixels[0], [1.0, -2.0])


def test_kitti_axes_by_hand() -> None:
    """KITTI: the world is the first camera's frame, y down; ours has z up and x forward."""
    pose = inverse(from_kitti(np.eye(4)[:3], owner="x"))
    np.testing.assert_allclose(pose[:3, :3] @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, :3] @ [0, -1, 0], [0, 0, 1], atol=1e-12)


def test_frames_without_photo_are_skipped_and_named(tmp_path: Path) -> None:
    write_nerfstudio(tmp_path)
    (tmp_path / "images" / "002.png").unlink()
    capture = open_capture(tmp_path)
    assert len(capture.views) == 3
    assert "002.png" in capture.notes[0]


def reconstruction(folder: Path, model: str = "OPENCV") -> Any:
    """Write a COLMAP model of the poses with COLMAP's own library; return it."""
    import pycolmap

    numbers = {
        "OPENCV": [50.0, 51, 31, 25, 0.05, -0.02, 0.001, 0.002],
        "SIMPLE_PINHOLE": [50.0, 31, 25],
        "SIMPLE_RADIAL": [50.0, 31, 25, 0.03],
        "OPENCV_FISHEYE": [50.0, 51, 31, 25, 0.02, 0.01, 0, 0],
    }
    world = pycolmap.Reconstruction()
    camera = pycolmap.Camera(model=model, width=WIDTH, height=HEIGHT, params=numbers[model], camera_id=1)
    world.add_camera_with_trivial_rig(camera)
    for i, pose in enumerate(poses()):
        rigid = pycolmap.Rigid3d(pycolmap.Rotation3d(pose[:3, :3]), pose[:3, 3])
        image = pycolmap.Image(name=f"{i:03d}.png", camera_id=1, image_id=i + 1)
        world.add_image_with_trivial_frame(image, rigid)
        write_png(folder / "images" / f"{i:03d}.png", picture(i))
    for place in np.random.default_rng(0).uniform((5.0, -1, 0), (7.0, 1, 2), (20, 3)):
        world.add_point3D(place, pycolmap.Track(), np.array([10, 20, 30], np.uint8))
    return world


@pytest.mark.parametrize("model", ["OPENCV", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "OPENCV_FISHEYE"])
@pytest.mark.parametrize("binary", [True, False])
def test_colmap_models_project_as_colmap_does(tmp_path: Path, model: str, binary: bool) -> None:
    world = reconstruction(tmp_path, model)
    sparse = tmp_path / "sparse" / "0"
    sparse.mkdir(parents=True)
    (world.write_binary if binary else world.write_text)(str(sparse))
    capture = open_capture(tmp_path)
    assert capture.points is not None
    assert capture.colors is not None
    assert (capture.colors == [10, 20, 30]).all()
    theirs = np.array([p.xyz for p in world.points3D.values()])
    for view, image in zip(capture.views, sorted(world.images.values(), key=lambda im: im.name), strict=True):
        assert isinstance(view, Photo)
        pinhole, depth = view.camera.project(capture.points.astype(np.float64))
        straight = np.linalg.inv(view.camera.K) @ np.concatenate([pinhole, np.ones((20, 1))], axis=1).T
        seen = np.array([world.cameras[1].img_from_cam(p) for p in straight.T * depth[:, None]])
        wanted = np.array([image.project_point(p) for p in theirs])
        np.testing.assert_allclose(seen[seen[:, 0].argsort()], wanted[wanted[:, 0].argsort()], atol=1e-3)
        up = np.linalg.inv(view.camera.world_to_cam)[:3, 1]
        assert up[2] < -0.98  # y down: the world was turned upright


def test_distortion_is_taken_out(tmp_path: Path) -> None:
    """A checkerboard seen through a lens has straight, evenly spaced lines again."""
    lens = Lens(300.0, 300.0, 160.0, 120.0, 320, 240, (-0.2, 0.05, 0.001, -0.001, 0.0))
    K = lens.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    rows, columns = np.indices((240, 320)).astype(np.float32)
    rays = cv2.undistortPoints(np.stack([columns, rows], -1).reshape(-1, 1, 2), K, np.array(lens.distortion))
    x, y = rays.reshape(240, 320, 2).transpose(2, 0, 1)
    smooth = 127 + 60 * np.sin(20 * x) + 60 * np.sin(20 * y)
    write_png(tmp_path / "a.png", np.repeat(smooth[..., None], 3, axis=2).round().astype(np.uint8))
    view = Photo("a", tmp_path / "a.png", lens, np.eye(4))
    rays = view.camera.rays()
    wanted = 127 + 60 * np.sin(20 * rays[..., 0]) + 60 * np.sin(20 * rays[..., 1])
    difference = np.abs(view.load().image[..., 0] - wanted)
    assert difference.mean() < 0.6
    assert difference.max() < 4


def test_resizing_keeps_where_rays_go(tmp_path: Path) -> None:
    camera = Camera.assumed(64, 48)
    small = resized_camera(camera, 32, 24)
    point = np.array([[7.0, 1.0, 2.0]])
    np.testing.assert_allclose(small.project(point)[0], camera.project(point)[0] / 2)


def write_kitti(folder: Path) -> Path:
    """A sequence driving straight ahead, as the odometry benchmark lays it out."""
    sequence = folder / "sequences" / "07"
    rows = []
    for i in range(3):
        write_png(sequence / "image_2" / f"{i:06d}.png", picture(i))
        pose = np.eye(4)[:3]
        pose[2, 3] = 2.0 * i
        rows.append(" ".join(map(str, pose.ravel())))
    (folder / "poses").mkdir()
    (folder / "poses" / "07.txt").write_text("\n".join(rows))
    P2 = "P2: 50 0 30.5 5 0 50 24.5 0 0 0 1 0"
    (sequence / "calib.txt").write_text(f"P0: 50 0 30.5 0 0 50 24.5 0 0 0 1 0\n{P2}\nTr: 0 -1 0 0 0 0 -1 0 1 0 0 0\n")
    (sequence / "times.txt").write_text("0.0\n0.1\n0.2\n")
    (sequence / "velodyne").mkdir()
    np.array([[10, 1, -1, 0.5]], np.float32).tofile(sequence / "velodyne" / "000001.bin")
    return sequence


def test_kitti_sequence(tmp_path: Path) -> None:
    capture = open_capture(write_kitti(tmp_path))
    cameras = [view.camera for view in capture.views]
    np.testing.assert_allclose(cameras[2].position - cameras[0].position, [4.0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(cameras[0].position, [0, 0.1, 0], atol=1e-9)  # 5 / 50 m to the left: P2 = K [I | t]
    np.testing.assert_allclose(cameras[0].K[:2, 2], [31, 25])
    assert capture.points is not None
    np.testing.assert_allclose(capture.points, [[12, 1, -1]], atol=1e-6)
    assert capture.views[1].load().timestamp_s == 0.1


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("../../poses/07.txt", "2.0", "nan", r"07.txt: line 2: pose: expected finite numbers"),
        ("../../poses/07.txt", "2.0", "two", r"07.txt: line 2: expected numbers"),
        ("calib.txt", "P2: 50", "P2: 0", "calib.txt: P2: expected focal lengths > 0"),
        ("calib.txt", "P2: 50", "P2: -50", "calib.txt: P2: expected focal lengths > 0"),
        ("calib.txt", "P2: 50", "P2: nan", "calib.txt: P2: expected finite numbers"),
        ("calib.txt", "P2: 50", "P2: 0.5", "are they in pixels"),
        ("calib.txt", "P2", "P5", "expected a line P2"),
    ],
)
def test_broken_sequences_are_named(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    path = write_kitti(tmp_path) / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=message):
        open_capture(tmp_path / "sequences" / "07")


def test_a_sequence_without_some_photos_names_them(tmp_path: Path) -> None:
    sequence = write_kitti(tmp_path)
    (sequence / "image_2" / "000001.png").unlink()
    capture = open_capture(sequence)
    assert [view.name for view in capture.views] == ["000000", "000002"]
    assert "000001" in capture.notes[0]


def test_broken_models_are_named(tmp_path: Path) -> None:
    world, sparse = reconstruction(tmp_path), tmp_path / "sparse"
    sparse.mkdir()
    world.write_text(str(sparse))
    images, cameras = sparse / "images.txt", sparse / "cameras.txt"
    whole = images.read_text()
    lines = whole.splitlines()
    row = next(i for i, line in enumerate(lines) if line.endswith(".png"))
    fields = lines[row].split()
    for at, text in ((1, "nan"), (5, "nan"), (5, "x")):
        bad = " ".join([*fields[:at], text, *fields[at + 1 :]])
        images.write_text("\n".join([*lines[:row], bad, *lines[row + 1 :]]))
        with pytest.raises(InputError, match=rf"images.txt: line {row + 1}: "):
            open_capture(tmp_path)
    images.write_text(whole)
    cameras.write_text(cameras.read_text().replace(" 50 ", " -50 "))
    with pytest.raises(InputError, match="expected focal lengths > 0"):
        open_capture(tmp_path)


def test_town_is_a_capture_with_exact_labels() -> None:
    capture = open_capture("town:3:5").at_most(64)
    sample = capture.views[2].load()
    assert sample.image.shape == (36, 64, 3)
    assert sample.depth is not None
    assert sample.instances is not None
    assert sample.annotations.boxes_3d is not None
    other = capture.views[3].load()
    both = set(sample.annotations.instance_ids.tolist()) & set(other.annotations.instance_ids.tolist())
    rows = [int(np.flatnonzero(s.annotations.instance_ids == min(both))[0]) for s in (sample, other)]
    boxes = [s.annotations.boxes_3d[row] for s, row in zip((sample, other), rows, strict=True)]  # type: ignore[index]  # checked above
    np.testing.assert_allclose(boxes[0], boxes[1])  # time stands still


def test_every_eighth_view_is_held_out(tmp_path: Path) -> None:
    write_nerfstudio(tmp_path, 17)
    training, held_out = open_capture(tmp_path).split()
    assert [view.name for view in held_out] == ["images/000", "images/008", "images/016"]
    assert len(training) == 14


def test_upright_needs_no_particular_world() -> None:
    turn = upright([np.eye(4)])
    np.testing.assert_allclose(turn[:3, :3] @ [0, -1, 0], [0, 0, 1], atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


def change_frame(key: str, value: Any) -> Any:
    def change(data: dict[str, Any]) -> None:
        data["frames"][1][key] = value

    return change


def change_top(key: str, value: Any) -> Any:
    def change(data: dict[str, Any]) -> None:
        data[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            change_frame("transform_matrix", [[float("nan")] * 4] * 4),
            r"frame 1 \(images/001.png\): pose: expected finite",
        ),
        (change_frame("transform_matrix", np.diag([2.0, 2, 2, 1]).tolist()), "frame 1 .*expected a rotation"),
        (change_frame("transform_matrix", [[1, 2], [3]]), "expected 4x4 numbers"),
        (change_top("fl_x", -50.0), "expected focal lengths > 0"),
        (change_top("fl_x", "fifty"), "fl_x: expected a number"),
        (change_top("fl_x", 0.9), "are they in pixels"),  # a share of the width
        (change_top("cx", 500.0), "expected a principal point inside 64x48"),
        (change_top("w", 48), "which is no resize of it"),
        (change_top("camera_model", "EQUIRECTANGULAR"), "camera_model 'EQUIRECTANGULAR' is none of"),
        (change_top("frames", []), "expected an object with a list of frames"),
    ],
)
def test_broken_transforms_are_named(tmp_path: Path, change: Any, message: str) -> None:
    data = write_nerfstudio(tmp_path)
    change(data)
    (tmp_path / "transforms.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=message):
        open_capture(tmp_path)


def test_photos_of_half_the_size_scale_the_intrinsics(tmp_path: Path) -> None:
    write_nerfstudio(tmp_path, w=2 * WIDTH, h=2 * HEIGHT, cx=62.0)
    camera = open_capture(tmp_path).views[0].camera
    np.testing.assert_allclose(camera.K[0], [25.0, 0, 31.0])


def test_a_truncated_model_is_named(tmp_path: Path) -> None:
    world = reconstruction(tmp_path)
    (tmp_path / "sparse").mkdir()
    world.write_binary(str(tmp_path / "sparse"))
    file = tmp_path / "sparse" / "images.bin"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"images.bin: it ends early"):
        open_capture(tmp_path)


@pytest.mark.parametrize("source", ["nowhere", "town:x", "town:1:y"])
def test_what_is_no_capture_is_named(source: str) -> None:
    with pytest.raises(InputError, match="capture"):
        open_capture(source)


def test_a_single_view_cannot_be_held_out(tmp_path: Path) -> None:
    write_nerfstudio(tmp_path, 1)
    with pytest.raises(InputError, match="two views or more, got 1"):
        open_capture(tmp_path).split()


@pytest.mark.real
def test_fox(real_data: Path) -> None:
    capture = open_capture(real_data / "fox")
    assert len(capture.views) == 50
    assert capture.notes == ()
    middle = np.mean([view.camera.position for view in capture.views], axis=0)
    ahead = np.mean([view.camera.position + 4 * view.camera.world_to_cam[2, :3] for view in capture.views], axis=0)
    for view in capture.views:  # all look at the fox, wherever they stand
        pixels, depth = view.camera.project(ahead[None])
        assert depth[0] > 0
        assert -90 < pixels[0, 0] < 360
    assert np.linalg.norm(ahead - middle) > 2
