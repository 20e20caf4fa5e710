"""Ground fog, dust and smog by the laws they are named after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scenes.errors import InputError
from scenes.sample import Sample
from synth.radiometry import luminance, to_linear
from synth.random import Rng
from synth.weather.dust import Dust, daylight
from synth.weather.ground_fog import GroundFog, GroundFogParams
from synth.weather.smog import Smog

Street = Callable[..., Sample]


def test_ground_fog_is_thick_low_and_thin_high(street: Street) -> None:
    sample = street(wall_m=60.0, grey=10)
    params = GroundFogParams(visibility_m=60.0, scale_height_m=3.0, airlight=(0.6, 0.6, 0.6))
    wall = to_linear(GroundFog().apply(sample, params).image)[:46, 80, 0]  # from its top down to the horizon
    assert (np.diff(wall) >= 0).all()
    assert wall[-1] > 2.0 * wall[0]


def test_ground_fog_leaves_the_sky_overhead(street: Street) -> None:
    sample = street(height=160)
    shift = GroundFog(scale_height_m=2.0)
    after = shift.apply(sample, shift.draw(sample, 3, Rng("low"))).image
    change = np.abs(after.astype(int) - sample.image).sum(axis=2)[:, 80]
    assert change[79] > 3 * max(change[0], 1)


def test_a_layer_needs_a_height() -> None:
    with pytest.raises(InputError, match="scale_height_m"):
        GroundFog(scale_height_m=0.0)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_dust_is_brown_and_dims(severity: int, street: Street) -> None:
    sample = street(wall_m=30.0)
    shift = Dust()
    params = shift.draw(sample, severity, Rng("dust", severity))
    red, green, blue = params.airlight
    assert red > green > blue
    assert all(0.2 <= gain <= 1.0 for gain in daylight(params))
    assert daylight(params)[2] < daylight(params)[0]
    far = replace(sample, depth=np.full(sample.image.shape[:2], 1e5, np.float32))
    got = to_linear(shift.apply(far, params).image)
    assert np.allclose(got, params.airlight, atol=0.01)  # nothing but airlight is left


def test_thicker_dust_takes_more_daylight(street: Street) -> None:
    sample = street()
    gains = [daylight(Dust().draw(sample, s, Rng("dust"))) for s in (1, 2, 3, 4, 5)]
    for channel in range(3):
        values = [gain[channel] for gain in gains]
        assert values == sorted(values, reverse=True)


def test_smog_keeps_five_percent_of_green_at_the_visibility_and_less_of_blue(street: Street) -> None:
    dark, bright = street(grey=0), street(grey=255)
    shift = Smog(angstrom=1.3)
    params = shift.draw(dark, 3, Rng("smog"))
    distance = np.full(dark.image.shape[:2], params.visibility_m, np.float32)
    pair = [to_linear(shift.apply(replace(s, depth=distance), params).image)[48, 80] for s in (dark, bright)]
    left = (pair[1] - pair[0]) / (0.95, 0.93, 0.86)  # over the daylight under it
    assert left[1] == pytest.approx(0.05, abs=0.01)
    assert left[2] < left[1] < left[0]


def test_smog_is_yellow(street: Street) -> None:
    sample = street()
    red, green, blue = Smog().draw(sample, 5, Rng("smog")).airlight
    assert red > green > blue
    assert luminance(np.array([[red, green, blue]], np.float32))[0] < 0.75
