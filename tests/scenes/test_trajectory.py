"""Trajectories, and the labelled data set that a drive writes."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest

from scenes.camera import Camera, look
from scenes.datasets import open_dataset
from scenes.errors import InputError
from scenes.town import CLASS_NAMES, Town
from scenes.trajectory import drive, encoded, interpolation, lane_change, planned, straight


def camera(x: float = 0.0, yaw: float = 0.3) -> Camera:
    K = np.array([[60.0, 0, 32], [0, 60.0, 18], [0, 0, 1]])
    return Camera(K=K, width=64, height=36, world_to_cam=look(position=(x, 2.0, 1.4), yaw_rad=yaw, pitch_rad=-0.1))


def test_straight_goes_ahead_on_the_level() -> None:
    cameras = straight(camera(), frames=5, length_m=8.0)
    places = np.array([c.position for c in cameras])
    np.testing.assert_allclose(places[-1] - places[0], [8 * np.cos(0.3), 8 * np.sin(0.3), 0], atol=1e-9)
    for one in cameras:
        np.testing.assert_allclose(one.world_to_cam[:3, :3], cameras[0].world_to_cam[:3, :3], atol=1e-12)


def test_lane_change_ends_in_the_next_lane_looking_ahead() -> None:
    cameras = lane_change(camera(), frames=41, length_m=20.0, offset_m=-3.4)
    places = np.array([c.position for c in cameras])
    left = np.array([-np.sin(0.3), np.cos(0.3), 0])
    assert (places[-1] - places[0]) @ left == pytest.approx(-3.4)
    np.testing.assert_allclose(cameras[-1].world_to_cam[:3, :3], cameras[0].world_to_cam[:3, :3], atol=1e-9)
    step = places[21] - places[19]
    heading = cameras[20].world_to_cam[2, :3]
    assert step[:2] @ heading[:2] / np.linalg.norm(step[:2]) / np.linalg.norm(heading[:2]) > 0.9999


def test_interpolation_goes_through_the_given_cameras() -> None:
    given = [camera(0.0, 0.0), camera(1.0, 0.4), camera(3.0, -0.2)]
    found = interpolation(given, frames=5)
    for ours, theirs in zip(found[::2], given, strict=True):
        np.testing.assert_allclose(ours.world_to_cam, theirs.world_to_cam, atol=1e-9)


def test_bad_trajectories_are_named() -> None:
    with pytest.raises(InputError, match="two cameras or more"):
        interpolation([camera()], frames=3)
    with pytest.raises(InputError, match="expected one of straight"):
        planned("loop", {"a": camera()}, frames=3, length_m=1.0, offset_m=0.0)
    with pytest.raises(InputError, match="Gaussians alone"):
        planned("straight", {}, frames=3, length_m=1.0, offset_m=0.0)


def test_video_has_every_frame_and_its_colours() -> None:
    import av

    pictures = [np.full((37, 65, 3), (200, 40 * i, 60), np.uint8) for i in range(4)]
    with av.open(io.BytesIO(encoded(pictures, 10))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 4
    for frame, picture in zip(frames, pictures, strict=True):
        assert frame.shape == (36, 64, 3)
        assert np.abs(frame.astype(int) - picture[:36, :64]).max() < 8


def test_a_drive_is_a_labelled_data_set(tmp_path: Path) -> None:
    town = Town(3)
    views = lane_change(town.camera(0, 64, 36), frames=2, length_m=1.0, offset_m=0.5)
    folder = drive(town, views, tmp_path / "out", class_names=CLASS_NAMES)
    data = open_dataset(folder)
    assert data.sample_ids == ("drive/0000", "drive/0001")
    assert tuple(data.class_names) == CLASS_NAMES
    for sample_id, view in zip(data.sample_ids, views, strict=True):
        exact = town.render(view)
        assert (data[sample_id].image == exact.image).all()
        np.testing.assert_allclose(data[sample_id].annotations.boxes, exact.annotations.boxes, atol=0.01)
    assert (folder / "video.mp4").stat().st_size > 200


@pytest.mark.parametrize(("length_m", "offset_m"), [(math.nan, 3.4), (math.inf, 3.4), (12.0, math.nan), (0.0, 3.4)])
def test_lengths_that_are_none_are_named(length_m: float, offset_m: float) -> None:
    with pytest.raises(InputError, match="a length > 0 and a finite offset"):
        lane_change(Town(3).camera(), frames=3, length_m=length_m, offset_m=offset_m)
