"""Overcast: no hard shadows, a grey sky, less light; paint stays paint."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from scenes.sample import Sample
from synth.radiometry import luminance, to_linear
from synth.random import Rng
from synth.weather.overcast import Overcast, exposure, sun_lost

Street = Callable[..., Sample]


def _shadowed(street: Street) -> Sample:
    """A road with a shadow of a quarter of the light over its middle, and a white line on it."""
    sample = street(width=320, height=192, grey=130)
    image = sample.image.copy()
    image[140:170, 100:220] = (66, 68, 74)
    image[100:, 60:64] = 250
    return Sample(sample_id="shadow", image=image, depth=sample.depth, camera=sample.camera)


def _after(sample: Sample, severity: float) -> NDArray[np.float32]:
    shift = Overcast()
    return to_linear(shift.apply(sample, shift.draw(sample, severity, Rng("overcast"))).image)


def _ratio(light: NDArray[np.float32], a: tuple[slice, slice], b: tuple[slice, slice]) -> float:
    level = luminance(light)
    return float(level[a].mean() / level[b].mean())


SHADE, LIT, LINE = (
    (slice(148, 162), slice(120, 200)),
    (slice(148, 162), slice(250, 310)),
    (slice(120, 190), slice(61, 63)),
)


def test_shadows_fade_with_the_sun(street: Street) -> None:
    sample = _shadowed(street)
    before = _ratio(to_linear(sample.image), SHADE, LIT)
    ratios = [_ratio(_after(sample, s), SHADE, LIT) for s in (1, 2, 3, 5)]
    assert before < 0.35
    assert ratios == sorted(ratios)
    assert before + 0.15 < ratios[0]
    assert 0.6 < ratios[-1] < 1.05


def test_a_shadow_loses_its_blue(street: Street) -> None:
    sample = _shadowed(street)
    before, after = to_linear(sample.image)[SHADE], _after(sample, 5)[SHADE]
    assert after[..., 2].mean() / after[..., 0].mean() < before[..., 2].mean() / before[..., 0].mean()


def test_lane_markings_stay_bright(street: Street) -> None:
    sample = _shadowed(street)
    assert _ratio(_after(sample, 5), LINE, LIT) > 0.5 * _ratio(to_linear(sample.image), LINE, LIT)


def test_the_sky_is_grey_and_brighter_overhead(street: Street) -> None:
    sample = street(width=320, height=192)
    sky = _after(sample, 3)[:90]
    assert np.abs(sky[..., 2] / sky[..., 0] - 1.0).max() < 0.12
    level = luminance(sky)
    assert level[:10].mean() > level[-10:].mean()
    assert 0.005 < level.std() / level.mean() < 0.2  # clouds, but of little contrast


@pytest.mark.core
def test_less_light_comes_through_thicker_cloud() -> None:
    lost = [sun_lost(lux) for lux in Overcast.table.values]
    left = [exposure(lux) for lux in Overcast.table.values]
    assert lost == sorted(lost)
    assert 0.5 < lost[0] < lost[-1] == 1.0
    assert left == sorted(left, reverse=True)
    assert 0.3 < left[-1] < left[0] < 1.0
    assert sun_lost(100_000.0) == 0.0
