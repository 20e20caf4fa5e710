"""Oncoming headlights: where lamps stand, and how their glare falls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scenes.camera import Camera
from scenes.sample import Annotations, Sample
from synth.lighting.oncoming_headlights import (
    METERED,
    OncomingHeadlights,
    OncomingHeadlightsParams,
    glare,
    metered_gain,
)
from synth.lighting.relight import DAY_LUX, LARGEST_GAIN
from synth.lighting.scatter import filled, veiling_luminance
from synth.radiometry import luminance, to_linear
from synth.random import rng_for

Frame = Callable[..., Sample]
PARAMS = OncomingHeadlightsParams(
    glare_lux=1.0, lamps_x=(320.0,), lamps_y=(170.0,), lamps_share=(1.0,), kelvin=5000.0, blades=8, star_rad=0.0,
    street_lux=8.0, warmth=0.5, beam=0.0, read_noise_e=1.0, seed=1,
)  # fmt: skip


def draws(sample: Sample, count: int = 60, severity: float = 3) -> list[OncomingHeadlightsParams]:
    shift = OncomingHeadlights()
    return [shift.draw(sample, severity, rng_for(n, shift=shift.name, sample_id="x")) for n in range(count)]


@pytest.mark.core
def test_glare_falls_as_the_disability_glare_equation(wall: Frame) -> None:
    """Beside the star and off the ground; angles are those between rays."""
    frame = wall(30.0, width=640, height=360)
    assert frame.depth is not None
    assert frame.camera is not None
    veil = luminance(glare(PARAMS, frame.depth, frame.camera))
    rays = frame.camera.rays()
    lamp = np.array([(320.0 - frame.camera.K[0, 2]) / frame.camera.K[0, 0], (170.0 - 180.0) / frame.camera.K[1, 1], 1])
    for i, j in ((4, 20), (10, 150), (44, 150), (85, 12)):
        ray = rays[4 * i + 1 : 4 * i + 3, 4 * j + 1 : 4 * j + 3].mean(axis=(0, 1))
        angle = math.degrees(math.acos(ray @ lamp / np.linalg.norm(ray) / np.linalg.norm(lamp)))
        assert veil[i, j] == pytest.approx(veiling_luminance(angle), rel=0.02)


def test_twice_the_lux_is_twice_the_glare(wall: Frame) -> None:
    frame = wall(30.0)
    assert frame.depth is not None
    assert frame.camera is not None
    once, twice = (glare(replace(PARAMS, glare_lux=e), frame.depth, frame.camera) for e in (1.0, 2.0))
    assert twice == pytest.approx(2.0 * once, rel=1e-5)


def test_lamps_stand_in_pairs_on_the_road_and_share_the_light(plain: Frame) -> None:
    frame = plain()
    camera = frame.camera
    assert camera is not None
    for params in draws(frame):
        assert sum(params.lamps_share) == pytest.approx(1.0)
        assert len(params.lamps_x) in (2, 4)
        for x, y, partner in zip(params.lamps_x[::2], params.lamps_y[::2], params.lamps_x[1::2], strict=True):
            metres = 1.3 * camera.K[0, 0] / (partner - x)  # lamps are 1.3 m apart
            height = 1.5 - (y - camera.K[1, 2]) / camera.K[1, 1] * metres
            assert 7.0 < metres < 121.0
            assert 0.55 < height < 0.95
        order = np.argsort(np.diff(params.lamps_x)[::2])  # the further apart in the picture, the nearer
        assert (np.diff(np.array(params.lamps_share[::2])[order]) >= 0).all()


def test_what_stands_before_a_lamp_hides_it(plain: Frame) -> None:
    """A lorry ahead on the left: no lamp is placed behind it."""
    frame = plain()
    depth = np.array(frame.depth)
    depth[100:260, 150:310] = 12.0
    for params in draws(replace(frame, depth=depth)):
        lamps = zip(params.lamps_x, params.lamps_y, strict=True)
        behind = [100 <= y < 260 and 150 <= x < 310 for x, y in lamps]
        metres = 1.3 * 554.26 / (params.lamps_x[1] - params.lamps_x[0])
        assert not any(behind) or metres < 12.5


def test_lamps_stand_on_the_road_where_it_is_known(plain: Frame) -> None:
    """A street whose road is all on the right, as where one drives on the left: no lamps on the pavement."""
    frame = plain()
    segmentation = np.ones(frame.image.shape[:2], np.uint8)
    segmentation[:, 300:] = 0
    notes = replace(frame.annotations, segmentation=segmentation)
    known = replace(frame, annotations=notes, meta={"class_names": ("road", "sidewalk")})
    for params in draws(known):
        assert min(params.lamps_x) > 299
    assert any(min(params.lamps_x) < 299 for params in draws(frame))
    nowhere = replace(known, meta={"class_names": ("sidewalk", "sidewalk")})
    assert draws(nowhere) == draws(frame)


def _vehicle(camera: Camera, yaw_rad: float) -> Annotations:
    x, y, ahead = -3.0, 0.75, 20.0
    pixel, _ = camera.project(np.array([[ahead, -x, y]]))
    box = np.array([[pixel[0, 0] - 40, pixel[0, 1] - 30, pixel[0, 0] + 40, pixel[0, 1] + 30]], np.float32)
    place = [ahead, -x, y, 4.4, 1.8, 1.5, math.cos(yaw_rad / 2), 0.0, 0.0, math.sin(yaw_rad / 2)]
    return Annotations(boxes=box, labels=np.zeros(1, np.int64), boxes_3d=np.array([place], np.float32))


def test_vehicles_that_face_the_camera_get_the_lamps(plain: Frame) -> None:
    frame = plain()
    assert frame.camera is not None
    facing = replace(frame, annotations=_vehicle(frame.camera, math.pi))
    away = replace(frame, annotations=_vehicle(frame.camera, 0.0))
    for params in draws(facing, 10):
        assert len(params.lamps_x) == 2
        assert np.mean(params.lamps_x) == pytest.approx(320.0 - 3.0 * 554.26 / 17.85, abs=2.0)
        assert abs(params.lamps_x[1] - params.lamps_x[0]) == pytest.approx(0.76 * 1.8 * 554.26 / 17.85, rel=0.03)
    assert len({params.lamps_x for params in draws(away, 10)}) == 10  # drawn on the road instead


def test_the_camera_meters_down_for_glare_and_only_then(plain: Frame) -> None:
    frame = plain()
    assert frame.depth is not None
    assert frame.camera is not None
    weak, strong = (glare(replace(PARAMS, glare_lux=e), frame.depth, frame.camera) for e in (0.01, 40.0))
    assert metered_gain(weak) == LARGEST_GAIN
    gain = metered_gain(strong)
    assert gain < 0.3 * LARGEST_GAIN
    assert filled(strong[..., 1] * np.float32(math.pi * gain / DAY_LUX)).mean() == pytest.approx(METERED, rel=0.02)


def test_glare_takes_contrast_near_the_lamp_more_than_far_from_it(wall: Frame) -> None:
    frame = wall(60.0, grey=60, width=640, height=360)
    image = frame.image.copy()
    image[:, ::40], image[:, 1::40], image[:, 2::40] = 160, 160, 160
    frame = replace(frame, image=image)
    dark = luminance(to_linear(OncomingHeadlights().apply(frame, replace(PARAMS, glare_lux=1e-6)).image))
    lit = luminance(to_linear(OncomingHeadlights().apply(frame, replace(PARAMS, glare_lux=2.0)).image))
    kept = []
    for rows in (slice(120, 150), slice(10, 40)):
        contrast = [light[rows, 361].mean() / light[rows, 350:358].mean() - 1.0 for light in (dark, lit)]
        kept.append(float(contrast[1] / contrast[0]))
    assert kept[0] < 0.7 * kept[1] < 0.7


def test_a_picture_taken_at_night_is_not_darkened_again(wall: Frame) -> None:
    frame = wall(60.0, grey=40, width=640, height=360)
    faint = replace(PARAMS, glare_lux=1e-6)
    same = OncomingHeadlights(darken=False).apply(frame, faint).image
    assert np.abs(same.astype(int) - frame.image).max() <= 1
    assert OncomingHeadlights().apply(frame, faint).image.mean() < 25
