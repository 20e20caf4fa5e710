"""Low sun: where it stands, its glare and what hides it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scenes.sample import Sample
from synth.lighting.low_sun import LowSun, LowSunParams
from synth.lighting.scatter import veiling_luminance
from synth.radiometry import luminance, to_linear
from synth.random import rng_for

Frame = Callable[..., Sample]


def _gap(wall: Frame, width: int = 320, height: int = 180) -> Sample:
    """Buildings everywhere but a gap of sky between two columns."""
    sample = wall(30.0, grey=60, width=width, height=height)
    assert sample.depth is not None
    depth, image = sample.depth.copy(), sample.image.copy()
    depth[:90, 120:220] = np.inf
    image[:90, 120:220] = 150
    return replace(sample, depth=depth, image=image)


def test_the_sun_stands_where_the_sky_is(wall: Frame) -> None:
    draws = [LowSun().draw(_gap(wall), 3, rng_for(n, shift=LowSun.name, sample_id="gap")) for n in range(80)]
    seen = [d for d in draws if d.seen > 0.7]
    assert len(seen) > 0.8 * len(draws)
    assert all(115 < d.sun_x < 225 and 0 < d.sun_y < 90 for d in seen)


def _sun(**changes: float) -> LowSunParams:
    values = {"sun_x": 170.0, "sun_y": 60.0, "glare": 0.15, "seen": 1.0, "star_rad": 0.1, "ghosts": 0.0}
    return LowSunParams(**{**values, **changes}, blades=8)


def test_the_disc_is_hidden_by_what_stands_before_it(wall: Frame) -> None:
    sample = _gap(wall)
    assert sample.depth is not None
    sky_sun = LowSun().apply(sample, _sun(glare=0.001)).image
    hidden = LowSun().apply(sample, _sun(glare=0.001, sun_x=40.0)).image
    assert sky_sun[60, 170].min() == 255
    assert hidden[60, 40].max() < 120


def test_glare_of_the_sun_falls_as_the_disability_glare_equation(wall: Frame) -> None:
    sample = wall(60.0, grey=0, width=640, height=360)
    assert sample.camera is not None
    focal = sample.camera.K[0, 0]
    params = _sun(sun_x=100.0, sun_y=100.0, glare=0.1, seen=0.0)
    added = -np.log(1.0 - np.minimum(to_linear(LowSun().apply(sample, params).image)[100, :, 0].astype(float), 0.999))
    at = {degrees: added[int(100 + focal * math.radians(degrees))] for degrees in (8, 16)}
    # the law flattens inside the core of two degrees
    wanted = veiling_luminance(math.hypot(8.0, 2.0)) / veiling_luminance(math.hypot(16.0, 2.0))
    assert at[8] / at[16] == pytest.approx(wanted, rel=0.05)


def test_the_camera_stops_down_against_the_sun(wall: Frame) -> None:
    sample = wall(60.0, grey=180, width=640, height=360)
    far = LowSun().apply(sample, _sun(sun_x=0.0, sun_y=0.0, glare=0.03, seen=0.0)).image[-1, -1]
    assert far.max() < 180


def test_ghosts_lie_on_the_line_through_the_centre(wall: Frame) -> None:
    sample = wall(60.0, grey=0, width=640, height=360)
    lit = [
        luminance(to_linear(LowSun().apply(sample, _sun(sun_x=120.0, sun_y=60.0, glare=0.1, ghosts=g)).image))
        for g in (0.0, 1.0)
    ]
    ghost = lit[1] - lit[0]
    rows, columns = np.nonzero(ghost > 0.3 * ghost.max())
    towards = np.array([320.0 - 120.0, 180.0 - 60.0])
    off = np.abs((columns - 120.0) * towards[1] - (rows - 60.0) * towards[0]) / np.hypot(*towards)
    assert len(off) > 100
    assert off.max() < 0.06 * 640  # within the largest disc


def test_asphalt_shines_below_the_sun(plain: Frame) -> None:
    frame = plain(grey=60)
    lit = luminance(to_linear(LowSun().apply(frame, _sun(sun_x=320.0, sun_y=100.0, glare=0.1)).image))
    glare = luminance(to_linear(LowSun().apply(frame, _sun(sun_x=320.0, sun_y=100.0, glare=0.1, seen=0.0)).image))
    assert lit[205, 320] - glare[205, 320] > 3.0 * (lit[340, 40] - glare[340, 40])
