"""Streaks: their light is kept, they follow rate, exposure and distance, and hide only what is behind them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scenes.camera import Camera
from synth import particles
from synth.weather import rain, snow
from synth.weather.rain import RainParams
from synth.weather.snow import SnowParams

CAMERA = Camera.assumed(320, 180)
FAR = np.full((180, 320), 100.0, np.float32)


def _rain(rate: float = 30.0, exposure: float = 4.0) -> RainParams:
    return RainParams(
        rate_mm_per_h=rate,
        exposure_ms=exposure,
        speed_mps=0.0,
        wind_mps=0.0,
        cloud_base_m=800.0,
        airlight=(0.5, 0.5, 0.5),
        seed=3,
    )


def _one(x0: float, y0: float, x1: float, y1: float, width: float, cover: float, z: float = 2.0) -> particles.Array:
    return np.array([[x0, y0, x1, y1, width, cover, z]], np.float32)


def _hidden(found: particles.Array, depth: NDArray[np.float32] = FAR) -> NDArray[np.float64]:
    return particles.cover(depth, found) / 65535.0


@pytest.mark.core
@pytest.mark.parametrize(
    ("ends", "width"),
    [((100.3, 50.2, 100.9, 80.7), 0.8), ((90.0, 60.0, 140.0, 66.0), 1.0), ((50.4, 50.4, 50.4, 50.4), 9.0),
     ((200.0, 40.0, 212.0, 90.0), 5.0)],
)  # fmt: skip
def test_a_streak_hides_its_area_times_its_cover(ends: tuple[float, float, float, float], width: float) -> None:
    length, drawn = math.hypot(ends[2] - ends[0], ends[3] - ends[1]), max(width, 1.0)
    total = _hidden(_one(*ends, width, 0.4)).sum()
    assert total == pytest.approx(0.4 * (drawn * length + math.pi / 4 * drawn**2), rel=0.12)


def test_thin_and_wide_drawing_agree() -> None:
    """A streak just over a pixel wide is drawn another way than one just under it, and looks the same."""
    under, over = (_hidden(_one(100.2, 40.3, 106.0, 95.1, width, 0.5)) for width in (1.0, 1.0001))
    assert np.abs(under - over).max() < 0.5 * 0.35
    assert under.sum() == pytest.approx(over.sum(), rel=0.08)


def test_the_order_of_streaks_does_not_matter() -> None:
    found = rain.streaks(_rain(), CAMERA)
    shuffled = found[np.random.default_rng(0).permutation(len(found))]
    one, other = (particles.cover(FAR, f).astype(int) for f in (found, shuffled))
    assert np.abs(one - other).max() <= 30  # of 65535: rounding down, streak by streak


def test_only_what_is_behind_is_hidden() -> None:
    depth = FAR.copy()
    depth[:, 150:] = 1.0
    hidden = _hidden(_one(120.0, 80.0, 180.0, 82.0, 3.0, 0.5, z=2.0), depth)
    assert hidden[:, 125:149].max() > 0.4
    assert hidden[:, 150:].max() == 0.0


def test_a_flake_twice_as_far_covers_a_quarter() -> None:
    place = np.array([[0.0, 0.0, 2.5], [0.0, 0.0, 5.0]], np.float32)
    still = np.zeros((2, 3), np.float32)
    found = particles.streaks(place, still, np.full(2, 0.01, np.float32), Camera.assumed(2560, 1440), exposure_s=1e-3)
    areas = found[:, 5] * np.maximum(found[:, 4], 1.0) ** 2
    assert areas[0] / areas[1] == pytest.approx(4.0, rel=0.01)


def test_exposure_draws_streaks_out_and_thins_them() -> None:
    short, long = rain.streaks(_rain(exposure=4.0), CAMERA), rain.streaks(_rain(exposure=8.0), CAMERA)
    lengths = [np.hypot(f[:, 2] - f[:, 0], f[:, 3] - f[:, 1]).mean() for f in (short, long)]
    assert lengths[1] / lengths[0] == pytest.approx(2.0, rel=0.02)
    assert 0.5 < float(np.median(long[:, 5] / short[:, 5])) < 0.75


def test_heavier_rain_has_more_larger_and_longer_streaks() -> None:
    found = [rain.streaks(_rain(rate), CAMERA) for rate in (5.0, 30.0, 120.0)]
    counts = [len(f) for f in found]
    widths = [float(f[:, 4].mean()) for f in found]
    lengths = [float(np.hypot(f[:, 2] - f[:, 0], f[:, 3] - f[:, 1]).mean()) for f in found]
    assert counts == sorted(counts)
    assert counts[2] > 3 * counts[0]
    assert widths == sorted(widths)
    assert lengths == sorted(lengths)


def test_flakes_are_blurred_near_and_sharp_far() -> None:
    params = SnowParams(
        visibility_m=200.0,
        mean_size_mm=2.5,
        exposure_ms=4.0,
        speed_mps=0.0,
        wind_mps=0.0,
        cloud_base_m=500.0,
        airlight=(0.6, 0.6, 0.6),
        seed=1,
    )
    camera = Camera.assumed(1280, 720)
    found = snow.streaks(params, camera)
    blur = camera.K[0, 0] * particles.APERTURE_M / found[:, 6]
    near, far = found[:, 6] < 0.8, found[:, 6] > 3.5
    assert (found[:, 4] >= 0.999 * blur).all()
    assert blur[near].mean() > 3.5  # pixels
    assert blur[far].mean() < 1.0
    assert found[near, 5].mean() < 1.0
    moving = snow.streaks(replace(params, speed_mps=15.0), camera)
    assert (moving[:, 5] <= found[:, 5] + 1e-6).mean() > 0.95  # driving draws them out


def test_numbers_are_uniform_and_places_fill_the_view() -> None:
    position, numbers = particles.place(9, 50_000, CAMERA, farthest_m=4.0)
    assert abs(float(numbers.mean()) - 0.5) < 0.005
    assert float(numbers.min()) >= 0.0
    assert float(numbers.max()) < 1.0
    assert abs(float(np.corrcoef(numbers.T)[0, 1])) < 0.02
    columns = position[:, 0] / position[:, 2] * CAMERA.K[0, 0] + CAMERA.K[0, 2]
    assert columns.min() >= -0.1 * CAMERA.width - 0.01
    assert columns.max() <= 1.1 * CAMERA.width + 0.01
    other, _ = particles.place(10, 50_000, CAMERA, farthest_m=4.0)
    assert not np.allclose(position, other)
