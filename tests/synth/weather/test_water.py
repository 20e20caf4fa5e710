"""Wet roads mirror what stands on them, row for row, and are darker at the feet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scenes.sample import Sample
from synth.boxworld import box_sample
from synth.pipeline import shifted
from synth.radiometry import to_linear
from synth.random import Rng
from synth.weather.rain import Rain, film_mm
from synth.weather.surfaces import ground_map
from synth.weather.wet_road import WetRoad, WetRoadParams
from synth.wet import mirror_image, puddles, water_on, wet_ground, wetness_of_film

Street = Callable[..., Sample]


@pytest.mark.core
@pytest.mark.parametrize("wall_m", [6.0, 10.0, 25.0])
def test_a_mirror_shows_a_point_at_twice_the_foot_minus_its_row(wall_m: float, street: Street) -> None:
    sample = street(wall_m=wall_m)
    assert sample.depth is not None
    assert sample.camera is not None
    foot = sample.camera.K[1, 2] + 1.5 * sample.camera.K[1, 1] / wall_m  # edge of the wall on the road, pixels
    linear = np.zeros((*sample.depth.shape, 3), np.float32)
    stripe = int(foot) - 9
    linear[stripe, :, 1] = 1.0
    mirror = mirror_image(linear, sample.depth, sample.camera)
    bright = np.flatnonzero(mirror[int(foot) + 1 :, 80, 1] > 0.5) + int(foot) + 1
    assert len(bright) == 1
    assert bright[0] + 0.5 == pytest.approx(2 * foot - (stripe + 0.5), abs=0.75)


def test_the_nearest_of_several_is_mirrored(street: Street) -> None:
    near, far = street(wall_m=8.0), street(wall_m=20.0)
    assert near.depth is not None
    assert far.depth is not None
    assert near.camera is not None
    depth = far.depth.copy()
    depth[40:76, 60:100] = np.minimum(near.depth, far.depth)[40:76, 60:100]  # a box before the wall
    linear = np.zeros((*depth.shape, 3), np.float32)
    linear[..., 2] = depth == 20.0
    linear[..., 0] = depth == 8.0
    mirror = mirror_image(linear, depth, near.camera)
    foot = int(near.camera.K[1, 2] + 1.5 * near.camera.K[1, 1] / 8.0)
    assert mirror[foot + 4, 80, 0] > 0.9
    assert mirror[foot + 4, 20, 2] > 0.9


def test_the_reflection_reaches_the_picture(street: Street) -> None:
    sample = street(wall_m=12.0)
    assert sample.depth is not None
    assert sample.camera is not None
    image = sample.image.copy()
    wall = sample.depth >= 12.0
    image[wall] = 10
    image[:, :80][wall[:, :80]] = (240, 30, 30)
    wet = wet_ground(replace(sample, image=image), sample.depth, sample.camera, film_mm=6.0, seed=1)
    row = int(sample.camera.K[1, 2] + 1.5 * sample.camera.K[1, 1] / 12.0) + 5
    left, right = to_linear(wet)[row, 40], to_linear(wet)[row, 120]
    assert left[0] > 2 * right[0]
    assert left[0] > 2 * left[1]
    assert np.array_equal(wet[:50], image[:50])  # what stands there stays, but for its foot


def test_more_water_closes_more_of_the_road(street: Street) -> None:
    camera = street().camera
    assert camera is not None
    shares = [float(puddles(camera, (96, 160), film_mm=film, seed=3)[52:].mean()) for film in WetRoad.table.values]
    assert shares == sorted(shares)
    assert shares[0] < 0.03
    assert shares[-1] > 0.6
    film = [wetness_of_film(value) for value in WetRoad.table.values]
    assert film == sorted(film)
    assert film[0] < 0.5 < 0.95 < film[-1]


def test_a_damp_road_is_as_dark_as_wet_asphalt_at_the_feet(street: Street) -> None:
    sample = street(height=160)
    wet = wet_ground(sample, sample.depth, sample.camera, film_mm=0.6, seed=3)  # type: ignore[arg-type]  # it has both
    assert 0.45 < to_linear(wet)[-1, 80, 1] / to_linear(sample.image)[-1, 80, 1] < 0.75


def test_labelled_objects_stay_dry() -> None:
    sample = box_sample(160, 90, seed=6)
    assert sample.instances is not None
    shift = WetRoad()
    after = shift.apply(sample, shift.draw(sample, 5, Rng("wet")))
    there = sample.instances > 0
    assert np.array_equal(after.image[there], sample.image[there])
    assert not np.array_equal(after.image, sample.image)


def test_rain_brings_its_own_water_or_none() -> None:
    sample = box_sample(160, 90, seed=6)
    assert sample.depth is not None
    assert sample.camera is not None
    params = Rain().draw(sample, 3, Rng("rain"))
    dry, wet = Rain(wet_ground=False).apply(sample, params), Rain().apply(sample, params)
    near = ground_map(sample, sample.depth, sample.camera) == 255
    near[:75] = False  # at the feet, where little is mirrored
    sky = np.isinf(sample.depth)
    assert np.array_equal(dry.image[sky], wet.image[sky])
    assert to_linear(wet.image)[near].mean() < to_linear(dry.image)[near].mean()
    both = WetRoad().apply(dry, WetRoadParams(film_mm=film_mm(params.rate_mm_per_h), seed=params.seed))
    assert to_linear(both.image)[near].mean() < to_linear(dry.image)[near].mean()


def test_no_film_is_no_water(street: Street) -> None:
    sample = street()
    assert water_on(sample, sample.depth, sample.camera, film_mm=0.0, seed=1).laid.size == 4  # type: ignore[arg-type]


def test_a_car_is_no_road_but_its_markings_are(street: Street) -> None:
    """Nothing is labelled: what differs from the road before the camera is left out if it is wide."""
    sample = street(width=640, height=384)
    image = sample.image.copy()
    image += np.random.default_rng(1).integers(0, 6, image.shape, dtype=np.uint8)
    image[230:290, 420:560] = (170, 20, 30)  # a car: 1.7 m and more across
    image[300:380, 315:322] = 245  # a line
    bare = Sample(sample_id="bare", image=image, camera=sample.camera)
    assert sample.depth is not None
    assert sample.camera is not None
    ground = ground_map(bare, sample.depth, sample.camera)
    assert ground[260, 490] == 0
    assert ground[340, 318] == 255
    assert ground[340, 200] == 255


@pytest.mark.parametrize("shift", [Rain(), WetRoad()])
def test_depth_of_zero_somewhere_is_passed_over(shift: Rain | WetRoad) -> None:
    """Some maps say 0 where they know nothing."""
    sample = box_sample(160, 90, seed=3)
    assert sample.depth is not None
    holes = sample.depth.copy()
    holes[8:24, 40:90] = 0.0
    result = shifted(replace(sample, depth=holes), shift, 3, seed=1).sample
    whole = shifted(sample, shift, 3, seed=1).sample
    same = np.abs(result.image[30:, :30].astype(int) - whole.image[30:, :30])
    assert np.median(same) == 0
