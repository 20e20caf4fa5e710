"""Defocus, vignetting, white balance, dirt and drops against the formulas they claim."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from scenes.camera import Camera
from scenes.sample import Image, Sample
from synth.boxworld import box_sample
from synth.pipeline import shifted
from synth.radiometry import luminance, to_linear, to_srgb
from synth.registry import create
from synth.sensor.defocus import Defocus, DefocusParams, blur_discs, confusion_px, drawn_px
from synth.sensor.discs import disc, spread
from synth.sensor.ego_motion_blur import EgoMotionBlur, EgoMotionBlurParams, motion_px
from synth.sensor.lens_dirt import LensDirt, LensDirtParams, dirt_map
from synth.sensor.vignetting import Vignetting, VignettingParams, illumination
from synth.sensor.water_drops import WaterDrops, WaterDropsParams, place_drops
from synth.sensor.white_balance import DAYLIGHT_K, WhiteBalance, WhiteBalanceParams, adaptation, planckian_xyz


def flat(level: int, width: int = 160, height: int = 90) -> Sample:
    camera = Camera.assumed(width, height)
    depth = np.full((height, width), np.inf, np.float32)
    return Sample(sample_id="flat", image=np.full((height, width, 3), level, np.uint8), camera=camera, depth=depth)


# --- defocus ---


def test_the_circle_of_confusion_is_the_thin_lens_formula() -> None:
    """Against c = A |S2 - S1| / S2 x f / (S1 - f) on the sensor, for a lens of a real focal length."""
    focal_m, f_number, focus_m, pitch_m = 0.006, 1.6, 0.9, 3e-6
    depth = np.array([[2.0, 5.0, 30.0, 1e9]], np.float32)
    aperture = focal_m / f_number
    wanted = aperture * np.abs(depth - focus_m) / depth * focal_m / (focus_m - focal_m) / pitch_m
    got = confusion_px(depth, focal_m / pitch_m, DefocusParams(focus_m=focus_m, aperture_m=aperture))
    assert got == pytest.approx(wanted, rel=0.01)  # the sensor stands at the image distance, not at f


@pytest.mark.core
def test_what_is_in_focus_stays() -> None:
    sample = box_sample(160, 90)
    whole = Sample(
        sample_id="at focus", image=sample.image, camera=sample.camera, depth=np.full((90, 160), 0.5, np.float32)
    )
    assert np.array_equal(Defocus().apply(whole, DefocusParams(focus_m=0.5, aperture_m=0.004)).image, sample.image)


@pytest.mark.parametrize("diameter", [1.3, 2.0, 3.7, 8.0, 21.5])
def test_a_disc_has_its_area(diameter: float) -> None:
    whole, end = disc(diameter)
    chords = np.where(whole < 0, 2 * end, 2 * whole + 1 + 2 * end)
    assert chords.sum() == pytest.approx(math.pi / 4 * diameter**2, rel=0.02)


@pytest.mark.parametrize("diameter", [2.0, 5.0, 12.4])
def test_a_point_becomes_a_disc_of_its_light(diameter: float) -> None:
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 255
    out = spread(image, diameter)
    assert out[..., 0].sum() == pytest.approx(1.0, rel=1e-3)
    y, x = np.indices((41, 41)) - 20
    assert (out[..., 0] * (x**2 + y**2)).sum() == pytest.approx(diameter**2 / 8 + 1 / 12, rel=0.1, abs=0.15)
    assert out[np.hypot(x, y) > diameter / 2 + 1].max() < 1e-5
    middle = out[np.hypot(x, y) < diameter / 2 - 1][:, 0]
    assert np.ptp(middle) < 1e-5 if len(middle) else True


def test_defocus_equals_a_convolution_in_linear_light() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    size = 7.0
    whole, end = disc(float(drawn_px(np.array([size], np.float32))[0]))
    n = len(whole) // 2
    kernel = np.zeros((2 * n + 1, 2 * n + 3), np.float64)
    for k in range(2 * n + 1):
        middle = n + 1
        if whole[k] < 0:
            kernel[k, middle] = 2 * end[k]
        else:
            kernel[k, middle - whole[k] : middle + whole[k] + 1] = 1.0
            kernel[k, [middle - whole[k] - 1, middle + whole[k] + 1]] = end[k]
    kernel /= kernel.sum()
    wanted = cv2.filter2D(to_linear(image).astype(np.float64), -1, kernel, borderType=cv2.BORDER_REPLICATE)
    got = blur_discs(image, np.full((40, 60), size, np.float32))
    assert np.abs(got.astype(int) - to_srgb(wanted).astype(int)).max() <= 1


# --- vignetting ---


@pytest.mark.core
def test_natural_vignetting_is_the_fourth_power_of_the_cosine() -> None:
    sample = flat(200)
    camera = sample.camera
    assert camera is not None
    rays = camera.rays()
    cosine = 1.0 / np.linalg.norm(rays, axis=-1)
    corner = float((cosine**4).min())
    result = Vignetting().apply(sample, VignettingParams(-math.log2(corner), 0.0, 0.0))
    wanted = to_srgb((to_linear(sample.image) * (cosine**4)[..., None]).astype(np.float32))
    assert np.abs(result.image.astype(int) - wanted.astype(int)).max() <= 1


@pytest.mark.parametrize("stops", [0.5, 2.0, 4.0])
def test_the_corner_loses_the_stops_and_the_middle_nothing(stops: float) -> None:
    camera = Camera.assumed(640, 360)
    x2, y2, gain = illumination(camera, VignettingParams(stops, 0.0, 0.0))
    assert gain[0] == 1.0
    assert gain[-1] == pytest.approx(2.0**-stops, rel=1e-4)
    assert (np.diff(gain) <= 0).all()
    assert x2[0] + y2[0] == pytest.approx(1.0, abs=1e-5)


# --- white balance ---


@pytest.mark.core
def test_white_balance_is_neutral_at_the_reference() -> None:
    assert adaptation(5000.0, 5000.0) == pytest.approx(np.eye(3), abs=1e-6)
    sample = box_sample(33, 17)
    assert np.array_equal(WhiteBalance().apply(sample, WhiteBalanceParams(DAYLIGHT_K, DAYLIGHT_K)).image, sample.image)


def test_planckian_white_points_are_those_of_the_tables() -> None:
    """Illuminant A (2,856 K) by CIE 15, and 6,504 and 10,000 K from tables of the Planckian locus."""
    for kelvin, x, y in ((2856.0, 0.4476, 0.4074), (6504.0, 0.3135, 0.3236), (10000.0, 0.2807, 0.2884)):
        white = planckian_xyz(kelvin)
        assert white[:2] / white.sum() == pytest.approx([x, y], abs=0.001)


@pytest.mark.parametrize("kelvin", [2900.0, 4500.0])
def test_white_balance_keeps_the_luminance_of_white_and_there_is_a_way_back(kelvin: float) -> None:
    blue, orange = adaptation(kelvin, DAYLIGHT_K), adaptation(DAYLIGHT_K, kelvin)
    for matrix in (blue, orange):
        white = (matrix @ np.ones(3)).astype(np.float32)[None]
        assert float(luminance(white)[0]) == pytest.approx(1.0, abs=1e-3)
    assert (blue @ np.ones(3))[2] > (blue @ np.ones(3))[0]
    assert (orange @ np.ones(3))[0] > (orange @ np.ones(3))[2]
    back = blue @ orange
    assert back / back[0, 0] == pytest.approx(np.eye(3), abs=1e-9)


# --- dirt and drops ---


@pytest.mark.parametrize("blocked", [0.03, 0.2, 0.5])
def test_dirt_blocks_the_light_that_it_says(blocked: float) -> None:
    params = LensDirtParams(blocked=blocked, albedo=(0.0, 0.0, 0.0), spot=0.08, seed=4)
    sample = flat(255, 320, 180)
    light = to_linear(LensDirt().apply(sample, params).image).mean()
    assert light == pytest.approx(1.0 - blocked, abs=0.015)


def test_dirt_without_light_to_scatter_is_black_and_more_dirt_covers_the_same_spots() -> None:
    less, more = (
        dirt_map(320, 180, LensDirtParams(blocked=b, albedo=(0.2, 0.2, 0.2), spot=0.08, seed=9)) for b in (0.1, 0.3)
    )
    assert (more >= less - 1e-6).all()
    black = flat(0)
    params = LensDirtParams(blocked=0.4, albedo=(0.3, 0.3, 0.3), spot=0.08, seed=1)
    assert not LensDirt().apply(black, params).image.any()


@pytest.mark.parametrize("covered", [0.05, 0.2, 0.4])
def test_drops_cover_the_share_that_they_say(covered: float) -> None:
    shares = []
    for seed in range(6):
        params = WaterDropsParams(covered=covered, radius=0.03, softness=0.05, seed=seed)
        # a picture of black below and white above: drops show something else than what is behind them
        sample = Sample(sample_id="half", image=np.full((360, 640, 3), 120, np.uint8))
        out = WaterDrops().apply(sample, params).image
        shares.append(float((out != sample.image).any(axis=2).mean()))
    assert float(np.mean(shares)) == pytest.approx(covered, rel=0.35)


def test_a_drop_shows_the_scene_upside_down() -> None:
    image = np.zeros((180, 320, 3), np.uint8)
    image[:90] = 255
    for seed in range(20):
        params = WaterDropsParams(covered=0.0, radius=0.08, softness=0.1, seed=seed)
        x, y, radius, *_ = place_drops(320, 180, params)[0]
        if radius > 8 and 20 < x < 300 and 60 < y < 120:
            out = WaterDrops().apply(Sample(sample_id="sky", image=image), params).image[..., 0].astype(int)
            step, column = int(0.5 * radius), int(x)
            assert out[int(y) + step, column] > out[int(y) - step, column]
            return
    pytest.fail("no large drop near the middle in 20 seeds")


def test_fewer_drops_are_the_first_of_more() -> None:
    less, more = (
        place_drops(640, 360, WaterDropsParams(covered=c, radius=0.03, softness=0.3, seed=2)) for c in (0.05, 0.3)
    )
    assert len(less) < len(more)
    assert np.array_equal(more[: len(less)], less)


# --- ego motion ---


def test_the_road_moves_as_a_pinhole_camera_sees_it() -> None:
    """Against two projections of the same points, before and after the drive."""
    camera = Camera.assumed(640, 360)
    depth = np.full((360, 640), 20.0, np.float32)
    motion = motion_px(depth, camera, EgoMotionBlurParams(driven_m=0.5, turned_rad=0.0))
    x = (np.arange(160) + 0.5) * 4 - 320
    wanted = x * (20.25 / 19.75 - 1)  # half the way before, half behind
    assert motion[45, :, 0] == pytest.approx(wanted, rel=0.05, abs=0.02)


def test_turning_blurs_what_is_far_as_what_is_near() -> None:
    camera = Camera.assumed(640, 360)
    params = EgoMotionBlurParams(driven_m=0.0, turned_rad=0.02)
    near, far = (motion_px(np.full((360, 640), z, np.float32), camera, params) for z in (5.0, 500.0))
    assert np.array_equal(near, far)
    assert near[45, 80, 0] == pytest.approx(camera.K[0, 0] * 0.02, rel=0.01)


def test_sky_and_where_the_car_goes_stay_sharp() -> None:
    image: Image = np.random.default_rng(1).integers(0, 256, (180, 320, 3), np.uint8)
    depth = np.full((180, 320), np.inf, np.float32)
    depth[90:] = 4.0
    sample = Sample(sample_id="road", image=image, depth=depth, camera=Camera.assumed(320, 180))
    out = EgoMotionBlur().apply(sample, EgoMotionBlurParams(driven_m=0.4, turned_rad=0.0)).image
    assert np.array_equal(out[:60], image[:60])
    assert out[150:, :80].std() < 0.7 * image[150:, :80].std()


@pytest.mark.parametrize("name", ["defocus", "lens_dirt", "water_drops", "vignetting", "ego_motion_blur"])
def test_labels_are_the_same_objects(name: str) -> None:
    sample = box_sample(160, 90)
    assert shifted(sample, create(f"sensor/{name}"), 3, seed=1).sample.annotations is sample.annotations
