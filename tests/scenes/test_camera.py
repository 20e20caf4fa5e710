"""The camera agrees with OpenCV, with itself backwards, and says what is wrong with what it is given."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenes import Camera
from scenes.camera import look

pytestmark = pytest.mark.core
angles = st.floats(-1.4, 1.4)


def _camera(yaw: float, pitch: float, roll: float) -> Camera:
    pose = look(position=(1.0, -2.0, 1.5), yaw_rad=yaw, pitch_rad=pitch, roll_rad=roll)
    return Camera(K=np.array([[500.0, 0, 320], [0, 480, 181], [0, 0, 1]]), width=640, height=360, world_to_cam=pose)


@given(angles, angles, angles)
def test_projection_is_opencvs_half_a_pixel_on(yaw: float, pitch: float, roll: float) -> None:
    camera = _camera(yaw, pitch, roll)
    local = np.random.default_rng(0).uniform((-5, -5, 1), (5, 5, 40), (20, 3))
    points = (local - camera.world_to_cam[:3, 3]) @ camera.world_to_cam[:3, :3]
    pixels, depth = camera.project(points)
    rotation, _ = cv2.Rodrigues(camera.world_to_cam[:3, :3])
    wanted, _ = cv2.projectPoints(points, rotation, camera.world_to_cam[:3, 3], camera.opencv_K, np.zeros(5))
    np.testing.assert_allclose(pixels, wanted[:, 0] + 0.5, atol=1e-6)
    np.testing.assert_allclose(depth, local[:, 2], atol=1e-9)


@given(angles, angles, angles)
def test_a_ray_of_a_pixel_projects_back_to_its_centre(yaw: float, pitch: float, roll: float) -> None:
    camera = _camera(yaw, pitch, roll)
    rays = camera.rays()[::60, ::80].reshape(-1, 3)
    world = (rays * 7.0) @ camera.cam_to_world[:3, :3].T + camera.cam_to_world[:3, 3]
    pixels, depth = camera.project(world)
    columns, rows = np.meshgrid(np.arange(0, 640, 80) + 0.5, np.arange(0, 360, 60) + 0.5)
    np.testing.assert_allclose(pixels, np.stack([columns.ravel(), rows.ravel()], axis=1), atol=1e-6)
    np.testing.assert_allclose(depth, 7.0)


def test_opencv_matrices_go_both_ways() -> None:
    K = np.array([[700.0, 0, 600], [0, 700, 180], [0, 0, 1]])
    camera = Camera.from_opencv(K, 1242, 375)
    np.testing.assert_array_equal(camera.opencv_K, K)
    assert camera.K[0, 2] == 600.5  # the first pixel's centre is at 0.5 here, at 0 there


def test_the_inverse_pose_is_the_inverse() -> None:
    camera = _camera(0.3, -0.2, 0.1)
    np.testing.assert_allclose(camera.cam_to_world @ camera.world_to_cam, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(camera.position, (1.0, -2.0, 1.5))


def test_the_assumed_camera_sees_sixty_degrees_from_over_the_ground() -> None:
    camera = Camera.assumed(640, 360)
    left, right = camera.rays()[0, 0, 0] - 0.5 / camera.K[0, 0], camera.rays()[0, -1, 0] + 0.5 / camera.K[0, 0]
    assert math.degrees(math.atan(right) - math.atan(left)) == pytest.approx(60)
    assert camera.position[2] == pytest.approx(1.5)
    pixels, _ = camera.project(np.array([[10.0, 0, 1.5], [10, 1, 1.5], [10, 0, 0]]))
    assert pixels[0] == pytest.approx((320, 180))
    assert pixels[1][0] < 320  # world y is to the left
    assert pixels[2][1] > 180  # the ground is below


def test_the_angles_turn_as_they_say() -> None:
    ahead = np.array([[10.0, 0.0, 0.0]])
    for angle, moves in (("yaw_rad", (1, 0)), ("pitch_rad", (0, 1))):
        pose = look(position=(0, 0, 0), **{angle: 0.1})
        camera = Camera(K=np.diag([500.0, 500, 1]), width=1, height=1, world_to_cam=pose)
        pixels, _ = camera.project(ahead)
        assert np.sign(np.round(pixels[0], 9)).tolist() == list(moves)
    pose = look(position=(0, 0, 0), roll_rad=0.1)
    up = Camera(K=np.diag([500.0, 500, 1]), width=1, height=1, world_to_cam=pose).project(ahead + np.array([0, 0, 1]))[
        0
    ][0]
    assert up[0] < 0  # a camera rolled clockwise sees what is above lean to the left
    assert up[1] < 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"K": np.eye(2)}, r"camera.K: expected shape \(3, 3\), got \(2, 2\)"),
        ({"K": np.full((3, 3), np.nan)}, "camera.K: expected finite numbers"),
        ({"K": np.diag([-1.0, 1, 1])}, "camera.K: expected positive focal lengths"),
        ({"world_to_cam": np.diag([2.0, 1, 1, 1])}, "camera.world_to_cam: expected a rotation"),
        ({"width": 0}, "camera: expected a size of at least 1x1, got 0x3"),
    ],
)
def test_what_is_no_camera_is_refused(change: dict[str, object], message: str) -> None:
    fields = {"K": np.eye(3), "width": 4, "height": 3, **change}
    with pytest.raises(ValueError, match=message):
        Camera(**fields)
