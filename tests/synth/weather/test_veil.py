"""The fused pass against its readable twin, and the laws of extinction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad

from scenes.camera import Camera
from scenes.sample import Sample
from synth.atmosphere import Air, by_wavelength, extinction_per_m, sky_codes
from synth.boxworld import box_sample
from synth.radiometry import range_m, to_linear, to_srgb
from synth.veil import decay, transmission, veil

Street = Callable[..., Sample]
MakeCamera = Callable[..., Camera]
MakeDepth = Callable[[Camera], NDArray[np.float32]]

AIR = (0.5, 0.45, 0.4)


@pytest.mark.core
def test_decay_is_the_exponential() -> None:
    tau = np.linspace(-3.0, 19.0, 4000, dtype=np.float32)
    got = np.array([decay.py_func(t) for t in tau])
    assert np.allclose(got, np.exp(-tau.astype(np.float64)), rtol=2e-4, atol=4e-6)


def test_the_fused_pass_equals_the_readable_one() -> None:
    sample = box_sample(160, 90, seed=4)
    depth, camera = sample.depth, sample.camera
    assert depth is not None
    assert camera is not None
    rng = np.random.default_rng(5)
    cover = rng.integers(0, 65536, depth.shape).astype(np.uint16)
    light = np.full((1, 2, 3), (0.7, 0.6, 0.5), np.float32)
    air = Air(0.02, AIR, layer_m=300.0, ratio=by_wavelength(1.3))
    got = veil(sample.image, depth, camera, air, gain=(0.9, 0.8, 0.7), grey=0.2, cover=cover, light=light)

    day = to_linear(sample.image).astype(np.float64)
    level = day @ [0.2126, 0.7152, 0.0722]
    dimmed = (day + 0.2 * (level[..., None] - day)) * (0.9, 0.8, 0.7)
    through = transmission(sample.image, depth, camera, air).astype(np.float64)[..., None] ** np.array(air.ratio)
    hazy = dimmed * through + np.array(AIR) * (1 - through)
    part = cover[..., None] / 65535.0
    wanted = to_srgb((hazy * (1 - part) + light[0, 0] * part).astype(np.float32))
    assert np.abs(got.astype(int) - wanted.astype(int)).max() <= 1


@pytest.mark.parametrize("scale_m", [2.0, 8.0, 60.0])
def test_an_exponential_layer_is_integrated_exactly(scale_m: float, street: Street) -> None:
    sample = street(wall_m=70.0)
    depth, camera = sample.depth, sample.camera
    assert depth is not None
    assert camera is not None
    beta = extinction_per_m(100.0)
    got = transmission(sample.image, depth, camera, Air(beta, AIR, scale_height_m=scale_m))
    length = range_m(depth, camera)
    for row, column in ((2, 5), (30, 80), (47, 80), (50, 20), (80, 150), (95, 0)):
        descent = (row + 0.5 - camera.K[1, 2]) / camera.K[1, 1]
        per_m = length[row, column] / depth[row, column]
        tau, _ = quad(lambda z, d=descent, p=per_m: beta * p * np.exp(-(1.5 - d * z) / scale_m), 0, depth[row, column])
        assert got[row, column] == pytest.approx(np.exp(-tau), rel=2e-3, abs=1e-6)


def test_a_layer_without_end_is_homogeneous_air(street: Street) -> None:
    sample = street(wall_m=40.0)
    assert sample.depth is not None
    assert sample.camera is not None
    low = transmission(sample.image, sample.depth, sample.camera, Air(0.03, AIR, scale_height_m=1e6))
    even = transmission(sample.image, sample.depth, sample.camera, Air(0.03, AIR))
    assert np.allclose(low, even, rtol=1e-3)


def test_a_level_ray_keeps_five_percent_at_the_visibility_of_its_height(camera_over_road: MakeCamera) -> None:
    camera = camera_over_road(33, 17, 1.5)
    beta, scale = extinction_per_m(50.0), 3.0
    far = 50.0 * np.exp(1.5 / scale)  # extinction at the camera's height is exp(-h / H) of that on the road
    depth = np.full((17, 33), far, np.float32)
    got = transmission(np.zeros((17, 33, 3), np.uint8), depth, camera, Air(beta, AIR, scale_height_m=scale))
    assert got[8, 16] == pytest.approx(0.05, rel=0.02)


def test_depth_under_the_road_does_not_blow_up(camera_over_road: MakeCamera, road_depth: MakeDepth) -> None:
    camera = camera_over_road(33, 17)
    depth = road_depth(camera) * np.float32(50.0)
    got = transmission(np.zeros((17, 33, 3), np.uint8), depth, camera, Air(0.1, AIR, scale_height_m=0.5))
    assert np.isfinite(got).all()
    assert ((got >= 0) & (got <= 1)).all()


def test_sky_of_large_pictures_is_told_as_in_small_ones() -> None:
    """Large pictures look at every fourth pixel for the sky's level: sky stays sky, and what is dark is none."""
    sample = box_sample(640, 360, seed=2)
    assert sample.depth is not None
    large = sky_codes(sample.image, sample.depth)
    sky = np.isinf(sample.depth)
    assert (large[sky] == 255).all()
    assert (large[-60:] == 0).all()
    dark = replace(sample, image=np.where(sky[..., None], sample.image, 0).astype(np.uint8))
    assert (sky_codes(dark.image, sample.depth)[~sky] == 0).all()


def test_shorter_waves_are_lost_first() -> None:
    red, green, blue = by_wavelength(1.3)
    assert red < green == 1.0 < blue
    assert by_wavelength(4.0)[2] == pytest.approx((550 / 465) ** 4)  # Rayleigh
