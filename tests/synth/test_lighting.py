"""Night and low sun: light falls off, lamps stay, the sun stands in the sky."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from scenes.camera import Camera, look
from scenes.sample import Sample
from synth.boxworld import box_sample
from synth.lighting.low_sun import LowSun, LowSunParams
from synth.lighting.night import Night, NightParams
from synth.lighting.relight import lamps
from synth.lighting.scatter import veiling_luminance
from synth.radiometry import luminance, to_linear
from synth.random import rng_for

DARK = NightParams(illuminance_lux=0.01, warmth=0.3, beam=1.0, read_noise_e=1.0, seed=4)


def wall(depth_m: float, grey: int = 150, *, width: int = 160, height: int = 90) -> Sample:
    camera = replace(Camera.assumed(width, height), world_to_cam=look(position=(0.0, 0.0, 1.5)))
    return Sample(
        sample_id="wall",
        image=np.full((height, width, 3), grey, np.uint8),
        depth=np.full((height, width), depth_m, np.float32),
        camera=camera,
    )


def light(sample: Sample, params: NightParams) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return luminance(to_linear(Night().apply(sample, params).image))


def test_headlights_fall_off_with_distance() -> None:
    middle = (slice(40, 60), slice(60, 100))
    near, far, farther = (float(light(wall(d), DARK)[middle].max()) for d in (15.0, 30.0, 60.0))
    assert near > 1.5 * far > 1.5 * 1.5 * farther


def test_headlights_have_a_cut_off() -> None:
    lit = light(wall(25.0), DARK)[:, 70:90].mean(axis=1)
    rows_below = slice(50, 60)  # under the horizon at row 45, and under the lamps' own height at that distance
    assert lit[rows_below].max() > 5 * lit[:40].max()


def test_without_headlights_light_is_proportional_to_lux() -> None:
    sample = wall(30.0, grey=60)
    bright, dim = (float(light(sample, replace(DARK, illuminance_lux=lux, beam=0.0)).mean()) for lux in (4.0, 1.0))
    assert bright / dim == pytest.approx(4.0, rel=0.15)  # less by the camera's shoulder


def test_a_dark_picture_is_noisier_for_its_light() -> None:
    sample = wall(30.0, grey=150)
    spread = []
    for lux in (20.0, 2.0):
        lit = light(sample, replace(DARK, illuminance_lux=lux, beam=0.0))
        spread.append(float(lit.std() / lit.mean()))
    assert spread[1] > 1.5 * spread[0]


def test_the_night_sky_is_darker_than_what_it_lights() -> None:
    sample = box_sample(320, 180)
    assert sample.depth is not None
    night = light(sample, replace(DARK, illuminance_lux=10.0))
    sky = np.isinf(sample.depth)
    day = luminance(to_linear(sample.image))
    assert day[sky].mean() > day[~sky].mean()
    assert night[sky].mean() < night[~sky].mean()


def test_a_red_lamp_stays_and_a_red_panel_does_not() -> None:
    sample = wall(40.0, grey=50, width=640, height=360)
    image = sample.image.copy()
    image[100:106, 300:306] = (255, 40, 30)  # a lamp
    image[100:180, 400:520] = (255, 40, 30)  # a panel
    image[200:204, 100:300] = (255, 40, 30)  # a stripe
    found = lamps(image, sample.depth, sample.camera)[0] / 255.0
    assert found[102, 302] > 0.8
    assert found[110:170, 410:510].max() == 0.0
    assert found[200:204, 120:280].max() == 0.0
    night = light(replace(sample, image=image), DARK)
    assert night[102, 302] > 0.15
    assert night[140, 460] < 0.05
    assert night[92:99, 300:306].mean() > night[20:40, 20:40].mean()  # it blooms


def _gap(width: int = 320, height: int = 180) -> Sample:
    """Buildings everywhere but a gap of sky between two columns."""
    sample = wall(30.0, grey=60, width=width, height=height)
    assert sample.depth is not None
    depth, image = sample.depth.copy(), sample.image.copy()
    depth[:90, 120:220] = np.inf
    image[:90, 120:220] = 150
    return replace(sample, depth=depth, image=image)


def test_the_sun_stands_where_the_sky_is() -> None:
    draws = [LowSun().draw(_gap(), 3, rng_for(n, shift=LowSun.name, sample_id="gap")) for n in range(80)]
    seen = [d for d in draws if d.seen > 0.7]
    assert len(seen) > 0.8 * len(draws)
    assert all(115 < d.sun_x < 225 and 0 < d.sun_y < 90 for d in seen)


def _sun(**changes: float) -> LowSunParams:
    values = {"sun_x": 170.0, "sun_y": 60.0, "glare": 0.15, "seen": 1.0, "star_rad": 0.1, "ghosts": 0.0}
    return LowSunParams(**{**values, **changes}, blades=8)


def test_the_disc_is_hidden_by_what_stands_before_it() -> None:
    sample = _gap()
    assert sample.depth is not None
    sky_sun = LowSun().apply(sample, _sun(glare=0.001)).image
    hidden = LowSun().apply(sample, _sun(glare=0.001, sun_x=40.0)).image
    assert sky_sun[60, 170].min() == 255
    assert hidden[60, 40].max() < 120


def test_glare_of_the_sun_falls_as_the_disability_glare_equation() -> None:
    sample = wall(60.0, grey=0, width=640, height=360)
    assert sample.camera is not None
    focal = sample.camera.K[0, 0]
    params = _sun(sun_x=100.0, sun_y=100.0, glare=0.1, seen=0.0)
    added = -np.log(1.0 - np.minimum(to_linear(LowSun().apply(sample, params).image)[100, :, 0].astype(float), 0.999))
    at = {degrees: added[int(100 + focal * math.radians(degrees))] for degrees in (8, 16)}
    # the law flattens inside the core of two degrees
    wanted = veiling_luminance(math.hypot(8.0, 2.0)) / veiling_luminance(math.hypot(16.0, 2.0))
    assert at[8] / at[16] == pytest.approx(wanted, rel=0.05)


def test_the_camera_stops_down_against_the_sun() -> None:
    sample = wall(60.0, grey=180, width=640, height=360)
    far = LowSun().apply(sample, _sun(sun_x=0.0, sun_y=0.0, glare=0.03, seen=0.0)).image[-1, -1]
    assert far.max() < 180
