"""Motion blur, pixelation and noise against slow references and the physics they claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Image, Sample
from synth.photons import expose, normal_field
from synth.radiometry import to_linear, to_srgb
from synth.sensor.motion_blur import MotionBlur, MotionBlurParams, blur_along
from synth.sensor.pixelation import Pixelation, PixelationParams


def _noise_image(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _codes_apart(a: Image, b: Image) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def _slow_horizontal(image: Image, length: float) -> Image:
    """Average linear light over `length` pixels along x, pixel by pixel."""
    linear = to_linear(image).astype(np.float64)
    half = 0.5 * (length - 1)
    whole, end = int(half), half - int(half)
    out = np.empty_like(linear)
    for x in range(image.shape[1]):
        total = np.zeros((image.shape[0], 3))
        for k in range(-whole - 1, whole + 2):
            weight = 1.0 if abs(k) <= whole else end
            total += weight * linear[:, min(max(x + k, 0), image.shape[1] - 1)]
        out[:, x] = total / length
    return to_srgb(out)


@pytest.mark.parametrize("length", [1.0, 2.0, 3.7, 9.0, 40.5])
def test_horizontal_blur_equals_the_slow_average(length: float) -> None:
    image = _noise_image(12, 31)
    assert _codes_apart(blur_along(image, length, 0.0), _slow_horizontal(image, length)) <= 1


def test_vertical_blur_is_horizontal_blur_turned() -> None:
    image = _noise_image(20, 15)
    turned = blur_along(np.ascontiguousarray(image.transpose(1, 0, 2)), 6.0, 0.0).transpose(1, 0, 2)
    assert _codes_apart(blur_along(image, 6.0, math.pi / 2), turned) <= 1


@pytest.mark.parametrize("direction", [0.0, 0.3, 0.785, 1.2, 1.57, -0.6, 3.0])
def test_a_point_becomes_a_line_of_that_direction_and_keeps_its_light(direction: float) -> None:
    image = np.zeros((81, 81, 3), np.uint8)
    image[40, 40] = 255
    light = to_linear(blur_along(image, 21.0, direction))[..., 0].astype(np.float64)
    rows, columns = np.indices(light.shape) - 40
    assert light.sum() == pytest.approx(1.0, rel=0.06)  # rounding to codes
    second = np.array([[(columns**2 * light).sum(), (columns * rows * light).sum()], [0, (rows**2 * light).sum()]])
    second[1, 0] = second[0, 1]
    values, vectors = np.linalg.eigh(second / light.sum())
    assert math.sqrt(12 * values[1]) == pytest.approx(
        21.0, rel=0.08
    )  # a uniform line of length L has variance L^2 / 12
    along = vectors[:, 1]
    assert abs(along @ [math.cos(direction), math.sin(direction)]) > 0.995


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (23, 37)])
def test_a_flat_picture_stays_flat_in_every_direction(size: tuple[int, int]) -> None:
    flat = np.full((*size, 3), 90, np.uint8)
    for direction in np.linspace(-4.0, 4.0, 61):
        assert _codes_apart(blur_along(flat, 7.3, float(direction)), flat) == 0, direction


def test_blur_averages_light_not_codes() -> None:
    image = np.zeros((5, 40, 3), np.uint8)
    image[:, ::2] = 255
    blurred = blur_along(image, 20.0, 0.0)[2, 15:25]
    assert abs(int(blurred.mean()) - 188) <= 1  # half the light of white is code 188; the mean of the codes is 128


def test_blur_length_is_focal_length_times_tangent() -> None:
    camera = Camera.assumed(200, 60)
    image = np.zeros((60, 200, 3), np.uint8)
    image[:, 100:] = 255
    sample = Sample(sample_id="edge", image=image, camera=camera)
    params = MotionBlurParams(turned_rad=math.radians(4.0), direction_rad=0.0)
    row = MotionBlur().apply(sample, params).image[30, :, 0]
    width = int(((row > 0) & (row < 255)).sum())
    assert width == pytest.approx(camera.K[0, 0] * math.tan(math.radians(4.0)), abs=2)


def test_blocks_have_the_mean_light() -> None:
    image = _noise_image(24, 36, seed=3)
    sample = Sample(sample_id="blocks", image=image)
    out = Pixelation().apply(sample, PixelationParams(block_px=6.0, phase_x=0.0, phase_y=0.0)).image
    blocks = to_linear(image).reshape(4, 6, 6, 6, 3).mean(axis=(1, 3))
    assert _codes_apart(out, to_srgb(np.repeat(np.repeat(blocks, 6, axis=0), 6, axis=1))) <= 1


def test_blocks_cover_any_size_and_phase() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        height, width = (int(n) for n in rng.integers(1, 30, 2))
        params = PixelationParams(
            block_px=float(rng.uniform(1, 13)), phase_x=float(rng.random()), phase_y=float(rng.random())
        )
        grey = np.full((height, width, 3), 90, np.uint8)
        out = Pixelation().apply(Sample(sample_id="grey", image=grey), params).image
        assert np.array_equal(out, grey), (params, height, width)


def test_the_normal_field_is_normal_and_white() -> None:
    field = normal_field(200, 300, seed=5)
    flat = field.astype(np.float64)
    assert abs(flat.mean()) < 0.01
    assert flat.std() == pytest.approx(1.0, abs=0.01)
    assert (np.abs(flat) < 1).mean() == pytest.approx(0.6827, abs=0.01)
    assert abs((flat[:, 1:] * flat[:, :-1]).mean()) < 0.01
    assert abs((flat[1:] * flat[:-1]).mean()) < 0.01
    assert abs((flat[..., 0] * flat[..., 1]).mean()) < 0.01
    assert not np.array_equal(field, normal_field(200, 300, seed=6))


@pytest.mark.parametrize("level", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("full_scale", [300.0, 2000.0])
def test_noise_has_the_variance_of_photons_and_reading(level: float, full_scale: float) -> None:
    light: NDArray[np.float32] = np.full((200, 200, 3), level, np.float32)
    codes = expose(light, full_scale_e=full_scale, read_noise_e=3.0, seed=1)
    measured = to_linear(codes).astype(np.float64)
    wanted = level / full_scale + (3.0 / full_scale) ** 2
    quantisation = 1e-6
    assert measured.mean() == pytest.approx(level, rel=0.02)
    assert measured.var() == pytest.approx(wanted + quantisation, rel=0.06)
