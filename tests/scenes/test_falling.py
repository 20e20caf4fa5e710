"""Falling rain and snow: at the same places in the world from every camera, moving with time, hidden by the scene."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from scenes.camera import Camera, look
from scenes.edits import SetRain, SetSnow
from scenes.errors import InputError
from scenes.falling import SIDE_M, cover, density_per_m3, in_view, through_weather
from scenes.town import Town


def camera(x: float = 0.0, y: float = 0.0, yaw: float = 0.0) -> Camera:
    K = np.array([[150.0, 0, 96], [0, 150.0, 64], [0, 0, 1]])
    return Camera(K=K, width=192, height=128, world_to_cam=look(position=(x, y, 1.5), yaw_rad=yaw))


KINDS = [SetRain(40.0, seed=5), SetSnow(300.0, seed=5)]


@pytest.mark.core
@pytest.mark.parametrize("edit", KINDS)
def test_two_cameras_see_the_same_particles_at_the_same_places(edit: Any) -> None:
    one, other = (in_view(eye, edit) for eye in (camera(), camera(0.4, -0.2, 0.15)))
    _, at, there = np.intersect1d(one.numbers, other.numbers, return_indices=True)
    assert len(at) > 200
    np.testing.assert_allclose(one.places[at], other.places[there], atol=1e-9)


@pytest.mark.parametrize("edit", KINDS)
def test_streaks_lie_around_where_the_camera_projects_the_place(edit: Any) -> None:
    seen = in_view(camera(0.3, 0.1, -0.1), edit)
    pixels, depth = camera(0.3, 0.1, -0.1).project(seen.places)
    np.testing.assert_allclose(seen.depth, depth, rtol=1e-5)
    far = depth > 1.5  # near the lens a streak's middle is not the middle of its projection
    middle = 0.5 * (seen.streaks[:, :2] + seen.streaks[:, 2:4])
    np.testing.assert_allclose(middle[far], pixels[far], atol=1.0)
    assert (np.diff(seen.depth) <= 0).all()


@pytest.mark.parametrize(("edit", "slowest", "fastest"), [(KINDS[0], 1.0, 9.7), (KINDS[1], 0.7, 1.5)])
def test_time_lets_them_fall(edit: Any, slowest: float, fastest: float) -> None:
    early, late = in_view(camera(), edit), in_view(camera(), replace(edit, time_s=0.02))
    _, at, there = np.intersect1d(early.numbers, late.numbers, return_indices=True)
    assert len(at) > 200
    step = late.places[there] - early.places[at]
    near = np.abs(step[:, 2]) < 0.5 * SIDE_M[type(edit)]  # the rest came in again from the other side
    speed = -step[near, 2] / 0.02
    assert speed.min() > slowest - 1e-6
    assert speed.max() < fastest + 1e-6


@pytest.mark.parametrize("edit", KINDS)
def test_a_picture_is_replayed_by_seed_and_hides_nothing_nearer(edit: Any) -> None:
    eye, far = camera(), np.full((128, 192), 50.0, np.float32)
    hidden = cover(eye, far, edit)
    assert np.array_equal(hidden, cover(eye, far, edit))
    assert not np.array_equal(hidden, cover(eye, far, replace(edit, seed=6)))
    assert hidden.mean() > 0.003
    assert cover(eye, np.full_like(far, 0.3), edit).max() == 0  # a wall before the first drop
    half = far.copy()
    half[:, :96] = 0.3
    assert cover(eye, half, edit)[:, :96].max() == 0
    assert np.array_equal(cover(eye, half, edit)[:, 96:], hidden[:, 96:])


def test_more_weather_is_more_of_it() -> None:
    eye, far = camera(), np.full((128, 192), 50.0, np.float32)
    for edits in ([SetRain(r) for r in (5.0, 30.0, 120.0)], [SetSnow(v) for v in (1000.0, 350.0, 100.0)]):
        assert np.all(np.diff([density_per_m3(edit) for edit in edits]) > 0)
        assert np.all(np.diff([cover(eye, far, edit).mean() for edit in edits]) > 0)
        image = np.zeros((128, 192, 3), np.uint8)
        image[::2] = 200
        contrast = [np.ptp(through_weather(image, far, eye, edit).mean(axis=(1, 2))) for edit in edits]
        assert np.all(np.diff(contrast) < 0)


def test_contrast_at_the_visibility_is_five_percent() -> None:
    eye = camera()
    depth = np.full((128, 192), 400.0, np.float32)
    images = [through_weather(np.full((128, 192, 3), v, np.uint8), depth, eye, SetSnow(400.0)) for v in (0, 255)]
    linear = [((i[60:68, 92:100] / 255.0 + 0.055) / 1.055) ** 2.4 for i in images]
    kept = np.median(linear[1] - linear[0]) / 0.8  # clouds take a fifth of the light
    assert kept == pytest.approx(0.05, abs=0.01)


def test_the_town_under_rain_keeps_its_labels_and_needs_no_hits_in_the_sky() -> None:
    town = Town(3)
    eye = town.camera(width=96, height=54)
    clean, wet = town.render(eye), town.render(eye, [SetRain(60.0, seed=2)])
    assert not np.array_equal(clean.image, wet.image)
    assert np.array_equal(clean.annotations.boxes, wet.annotations.boxes)
    assert np.array_equal(clean.depth, wet.depth)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (SetRain(0.0), "SetRain: expected rate_mm_per_h > 0"),
        (SetSnow(-3.0), "SetSnow: expected visibility_m > 0"),
        (SetRain(5.0, exposure_s=0.0), "exposure_s > 0"),
        (SetRain(float("nan")), "rate_mm_per_h > 0"),
        (SetSnow(300.0, time_s=float("inf")), "finite"),
    ],
)
def test_weather_that_cannot_be_is_named(edit: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        in_view(camera(), edit)


@pytest.mark.parametrize("edit", [SetRain(50.0), SetSnow(200.0)])
@pytest.mark.parametrize("yaw", [0.0, 0.785])
def test_a_wide_camera_sees_as_much_at_its_sides_as_in_the_middle(edit: SetRain | SetSnow, yaw: float) -> None:
    K = np.array([[185.0, 0, 320], [0, 185.0, 180], [0, 0, 1]])  # 120 degrees
    pose = look(position=(3.0, 1.0, 1.4), yaw_rad=yaw, pitch_rad=0.0)
    wide = Camera(K=K, width=640, height=360, world_to_cam=pose)
    seen = in_view(wide, edit)
    pixels, _ = wide.project(seen.places[seen.depth > 0.7 * seen.depth.max()])
    counts = np.histogram(pixels[:, 0], bins=6, range=(0, 640))[0]
    assert counts.min() > 0.9 * counts.max()
