"""The sRGB curve against its formula, and distance along the ray against vector algebra."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from scenes.camera import Camera
from synth.radiometry import encode_row, luminance, range_m, to_linear, to_srgb

CODES = np.arange(256, dtype=np.uint8)

pytestmark = pytest.mark.core


def _decode(code: float) -> float:
    """IEC 61966-2-1, written out once more."""
    value = code / 255.0
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def test_decoding_is_the_standards_formula() -> None:
    image = np.repeat(CODES.reshape(16, 16, 1), 3, axis=2)
    wanted = np.array([_decode(float(code)) for code in CODES]).reshape(16, 16)
    assert np.allclose(to_linear(image)[..., 1], wanted, atol=1e-7)


def test_encoding_inverts_decoding_for_every_code_and_shape() -> None:
    for shape in ((256,), (16, 16), (8, 8, 4), (256, 1, 1)):
        codes = CODES.reshape(shape)
        assert np.array_equal(to_srgb(to_linear(codes)), codes), shape


def test_encoding_is_within_half_a_code_of_the_formula() -> None:
    linear = np.linspace(0, 1, 5001)
    exact = 255 * np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(to_srgb(linear).astype(float) - exact).max() < 0.56  # half a code, and the table's step


def test_rows_are_encoded_as_pictures_are_to_within_a_rounding() -> None:
    def row(light: NDArray[np.float32]) -> NDArray[np.uint8]:
        codes = np.empty(3 * light.size, np.uint8)
        encode_row(light, light[::-1].copy(), light, np.empty((3, light.size), np.uint16), codes)
        assert np.array_equal(codes[1::3], codes[::3][::-1])
        return codes[::3]

    assert np.array_equal(row(to_linear(CODES)), CODES)
    light = np.linspace(0, 1, 50_001).astype(np.float32) ** 3
    away = np.abs(row(light).astype(int) - to_srgb(light))
    assert away.max() <= 1
    assert (away > 0).mean() < 0.015
    assert row(np.array([-np.inf, -1, 0, 1, 2, np.inf], np.float32)).tolist() == [0, 0, 0, 255, 255, 255]
    assert row(np.array([np.nan], np.float32)).tolist() == [255]  # no code of its own, and no read beyond the table


def test_encoding_clips() -> None:
    assert to_srgb(np.array([-3.0, 0.0, 1.0, 7.0])).tolist() == [0, 0, 255, 255]


def test_luminance_of_white_is_one_and_green_counts_most() -> None:
    assert luminance(np.ones((1, 1, 3), np.float32))[0, 0] == pytest.approx(1.0)
    red, green, blue = (float(luminance(row.reshape(1, 1, 3))[0, 0]) for row in np.eye(3, dtype=np.float32))
    assert green > red > blue


def test_range_is_the_length_of_the_ray() -> None:
    camera = Camera.assumed(17, 9)
    depth = np.random.default_rng(0).uniform(1, 80, (9, 17)).astype(np.float32)
    wanted = np.linalg.norm(camera.rays() * depth[..., None], axis=2)
    assert np.allclose(range_m(depth, camera), wanted, rtol=1e-5)
    assert np.isinf(range_m(np.full((9, 17), np.inf, np.float32), camera)).all()
