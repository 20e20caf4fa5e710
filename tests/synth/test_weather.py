"""Fog, rain and snow against the laws they are named after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from scenes.camera import Camera, look
from scenes.errors import InputError
from scenes.sample import Sample
from synth import particles
from synth.atmosphere import Air, sky_codes
from synth.boxworld import box_sample
from synth.radiometry import range_m, to_linear
from synth.random import Rng, rng_for
from synth.veil import transmission
from synth.weather import rain, snow
from synth.weather.fog import Fog, FogParams
from synth.weather.rain import Rain, RainParams
from synth.weather.snow import Snow
from synth.wet import wet_ground

AIR = (0.6, 0.6, 0.6)


def flat(depth_m: float, *, grey: int = 40, width: int = 33, height: int = 17) -> Sample:
    return Sample(
        sample_id="flat",
        image=np.full((height, width, 3), grey, np.uint8),
        depth=np.full((height, width), depth_m, np.float32),
        camera=Camera.assumed(width, height),
    )


def fogged(sample: Sample, visibility_m: float, layer_m: float = 100.0) -> Sample:
    return Fog().apply(sample, FogParams(visibility_m=visibility_m, layer_m=layer_m, airlight=AIR))


def test_air_at_zero_depth_is_clear() -> None:
    assert np.array_equal(fogged(flat(0.0), 50.0).image, flat(0.0).image)


@pytest.mark.parametrize("depth", [30.0, 200.0])
def test_contrast_at_the_visibility_is_five_percent_in_linear_light(depth: float) -> None:
    sample = flat(depth, grey=230)
    assert sample.depth is not None
    assert sample.camera is not None
    distance = float(range_m(sample.depth, sample.camera)[3, 5])
    after = to_linear(fogged(sample, distance).image)[3, 5] - 0.6
    before = to_linear(sample.image)[3, 5] - 0.6
    assert after / before == pytest.approx(0.05, abs=0.02)  # 8-bit rounding


def test_fog_goes_by_the_ray_not_the_axis() -> None:
    image = fogged(flat(80.0, grey=0), 100.0).image
    assert image[0, 0, 0] > image[8, 16, 0]


def test_the_horizon_is_airlight_and_thin_fog_lets_the_sky_through_overhead() -> None:
    sample = flat(np.inf, grey=0, height=65, width=17)
    thin, thick = fogged(sample, 800.0).image[:, 8, 0], fogged(sample, 50.0).image[:, 8, 0]
    horizon = 33
    air = int(fogged(flat(1e6), 50.0).image[0, 0, 0])
    assert abs(int(thin[horizon]) - air) <= 2
    assert thin[0] < thin[20] < thin[horizon]
    assert thick[0] > thin[0]


@pytest.mark.parametrize("number", range(100))
def test_fog_only_adds(number: int) -> None:
    sample = replace(flat(60.0), sample_id=f"frame/{number}")
    draws = [Fog().draw(sample, s, rng_for(0, shift=Fog.name, sample_id=sample.sample_id)) for s in (1, 2, 3, 4, 5)]
    assert len({(d.layer_m, d.airlight) for d in draws}) == 1
    distances = [abs(Fog().apply(sample, d).image.astype(int) - 40).mean() for d in draws]
    assert distances == sorted(distances)


def test_missing_depth_names_the_sample() -> None:
    with pytest.raises(InputError, match="left/7"):
        fogged(Sample(sample_id="left/7", image=flat(1).image), 100.0)


def test_pixels_that_hold_sky_and_leaf_share_both_ways_of_the_air() -> None:
    sample = box_sample(160, 90)
    assert sample.depth is not None
    assert sample.camera is not None
    image, sky = sample.image.copy(), np.isinf(sample.depth)
    row = int(np.flatnonzero(sky[:, 80])[-1]) + 1  # the first row that is not sky
    image[row, 80] = image[row - 1, 80]  # as bright as the sky above: a gap between leaves
    image[row, 90] = 10
    share = sky_codes(image, sample.depth) / 255.0
    assert share[row, 80] > 0.9
    assert share[row, 90] < 0.1
    assert share[sky].min() == 1.0
    assert share[-5:].max() == 0.0
    through = transmission(image, sample.depth, sample.camera, Air(0.01, AIR, layer_m=100.0))
    assert ((through >= 0) & (through <= 1)).all()


def test_drop_count_is_the_integral_of_marshall_and_palmer() -> None:
    for rate in (5.0, 30.0, 120.0):
        wanted, _ = quad(lambda d, r=rate: 8000.0 * np.exp(-4.1 * r**-0.21 * d), rain.SMALLEST_MM, np.inf)
        assert rain.drops_per_m3(rate) == pytest.approx(wanted, rel=1e-6)


def test_drop_sizes_follow_marshall_and_palmer() -> None:
    sizes = rain.drop_sizes_mm(Rng("sizes").uniforms(50_000), 30.0)
    slope = 4.1 * 30.0**-0.21
    assert sizes.min() >= rain.SMALLEST_MM
    assert sizes.mean() == pytest.approx(rain.SMALLEST_MM + 1 / slope, rel=0.02)
    assert (sizes > 2.0).mean() == pytest.approx(np.exp(-slope * (2.0 - rain.SMALLEST_MM)), rel=0.03)


def test_fall_speeds_are_those_measured_by_gunn_and_kinzer() -> None:
    measured = {1.0: 4.03, 2.0: 6.49, 3.0: 8.06, 5.0: 9.09}  # mm: m/s (Gunn and Kinzer 1949)
    for size, speed in measured.items():
        assert rain.fall_speed_mps(np.array([size]))[0] == pytest.approx(speed, rel=0.04)


def test_a_streak_is_as_long_as_the_drop_falls() -> None:
    camera = Camera.assumed(640, 360)
    place, velocity = np.float32([[0.0, 0.0, 2.0]]), np.float32([[0.0, 6.5, 0.0]])
    found = particles.streaks(place, velocity, np.float32([2e-3]), camera, exposure_s=5e-3)
    assert found[0, 3] - found[0, 1] == pytest.approx(camera.K[1, 1] * 6.5 * 5e-3 / 2.0, rel=1e-3)
    assert found[0, 0] == pytest.approx(320.0)


def test_streaks_of_a_moving_car_spread_from_the_middle() -> None:
    camera = Camera.assumed(640, 360)
    place, velocity = np.float32([[-0.8, 0.0, 2.0], [0.8, 0.0, 2.0]]), np.float32([[0.0, 1.0, -15.0]] * 2)
    ends = particles.streaks(place, velocity, np.full(2, 2e-3, np.float32), camera, exposure_s=8e-3)
    assert ends[0, 2] < ends[0, 0] < 320 < ends[1, 0] < ends[1, 2]


def test_heavier_rain_is_the_lighter_one_and_more() -> None:
    camera = Camera.assumed(64, 36)
    few, _ = particles.place(1, 50, camera, farthest_m=4.0)
    many, _ = particles.place(1, 200, camera, farthest_m=4.0)
    assert np.array_equal(few, many[:50])


def test_particles_fill_the_volume_evenly() -> None:
    camera = Camera.assumed(640, 360)
    position, _ = particles.place(3, 60_000, camera, farthest_m=4.0)
    near = (position[:, 2] < 2.0).mean()
    low = particles.NEAREST_M**3
    assert near == pytest.approx((8.0 - low) / (64.0 - low), rel=0.05)


def _rain_params(**changes: float) -> RainParams:
    values = {"rate_mm_per_h": 60.0, "exposure_ms": 4.0, "speed_mps": 0.0, "wind_mps": 0.0, "cloud_base_m": 800.0}
    return RainParams(**{**values, **changes}, airlight=AIR, seed=11)


def test_a_wall_hides_what_falls_behind_it() -> None:
    shift = Rain(wet_ground=False)
    open_road, wall = flat(60.0, grey=20, width=160, height=90), flat(0.3, grey=20, width=160, height=90)
    rough = shift.apply(open_road, _rain_params()).image
    smooth = shift.apply(wall, _rain_params()).image
    assert rough.std() > 1.0  # streaks
    assert smooth.std() < 0.6  # nothing nearer than the wall, and hardly any veil


def test_rain_takes_away_what_the_power_law_says() -> None:
    sample = flat(300.0, grey=0, width=33, height=17)
    params = _rain_params(rate_mm_per_h=50.0)
    assert sample.camera is not None
    assert sample.depth is not None
    got = transmission(sample.image, sample.depth, sample.camera, Air(rain.extinction_per_m(50.0), AIR, layer_m=800.0))
    path_km = range_m(sample.depth, sample.camera) / 1000.0
    assert np.allclose(got, np.exp(-0.312 * params.rate_mm_per_h**0.67 * path_km), rtol=1e-4)


def _street(width: int = 64, height: int = 72) -> Sample:
    """A dark road under a level camera, and behind it, at 12 m, a wall: bright red on the left, black on the right."""
    camera = replace(Camera.assumed(width, height), world_to_cam=look(position=(0.0, 0.0, 1.5)))
    rows = np.arange(height) + 0.5 - height / 2
    ground = np.where(rows > 0, 1.5 * camera.K[1, 1] / np.maximum(rows, 1e-6), np.inf)
    depth = np.repeat(np.minimum(ground, 12.0)[:, None], width, axis=1).astype(np.float32)
    image = np.full((height, width, 3), 70, np.uint8)
    image[depth >= 12.0] = 0
    image[:, : width // 2][depth[:, : width // 2] >= 12.0] = (230, 20, 20)
    return Sample(sample_id="street", image=image, depth=depth, camera=camera)


def test_a_wet_road_is_darker_and_mirrors_what_stands_behind_it() -> None:
    sample = _street()
    assert sample.depth is not None
    assert sample.camera is not None
    dry = to_linear(sample.image)
    wet = to_linear(wet_ground(sample, sample.depth, sample.camera, film_mm=1.0, seed=3))
    row = int(np.flatnonzero(sample.depth[:, 0] < 10.0)[0]) + 2
    left, right = wet[row, 8], wet[row, 56]
    assert left[0] > right[0] + 0.05  # the red wall stands in the road
    assert left[0] - left[1] > 0.05
    assert right[1] < dry[row, 56, 1]
    bottom = wet[-1, 56] / dry[-1, 56]
    assert 0.4 < bottom[1] < 0.7  # at the feet: the albedo of wet asphalt, little mirror
    wall = (sample.depth >= 12.0) & (np.arange(sample.height)[:, None] < 36)  # well over the road
    assert np.allclose(wet[wall][::7], dry[wall][::7], atol=1e-6)


def test_dry_ground_stays() -> None:
    sample = _street()
    assert sample.depth is not None
    assert sample.camera is not None
    assert np.array_equal(wet_ground(sample, sample.depth, sample.camera, film_mm=0.0, seed=3), sample.image)


def test_flakes_in_the_air_leave_the_visibility_they_come_from() -> None:
    for visibility in (100.0, 1000.0):
        mean = 2.5e-3
        count = snow.flakes_per_m3(visibility, mean)
        sizes = -mean * np.log1p(-Rng("flakes").uniforms(200_000))
        extinction = 2.0 * count * (np.pi / 4 * sizes**2).mean()
        assert extinction == pytest.approx(-np.log(0.05) / visibility, rel=0.03)


def test_snow_is_brighter_than_a_dark_scene_and_more_of_it_covers_more() -> None:
    sample = flat(6.0, grey=15, width=320, height=180)
    shift = Snow()
    bright = []
    for severity in (1, 3, 5):
        params = replace(shift.draw(sample, severity, Rng("snow")), airlight=AIR)
        clear = to_linear(shift.apply(sample, params).image).mean(axis=2)
        bright.append(float((clear > np.median(clear) + 0.05).mean()))
    assert 0 < bright[0] < bright[1] < bright[2]
