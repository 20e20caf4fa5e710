"""Dusk: exposure, the colours of the sky, backlight, lamps and noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scenes.sample import Sample
from synth.lighting.dusk import UPRIGHT, Dusk, DuskParams, dusk_sky, exposure_gain
from synth.lighting.relight import DAY_LUX, LARGEST_GAIN
from synth.radiometry import luminance, to_linear

Frame = Callable[..., Sample]
PARAMS = DuskParams(illuminance_lux=40.0, sun_azimuth_rad=0.0, glow=1.0, beam=0.0, read_noise_e=1.0, seed=3)


def test_the_camera_follows_the_light_up_to_its_limit() -> None:
    level = {lux: lux * exposure_gain(lux) / DAY_LUX for lux in (10_000.0, 400.0, 40.0, 12.0, 3.4)}
    assert level[10_000.0] == pytest.approx(1.0)
    assert 0.4 > level[12.0] > level[3.4] == pytest.approx(3.4 * LARGEST_GAIN / DAY_LUX)
    assert level[400.0] > level[40.0] > level[12.0]
    assert exposure_gain(1e-3) == LARGEST_GAIN


def test_the_sky_is_warm_over_the_sun_and_blue_overhead_and_away_from_it(plain: Frame) -> None:
    camera = plain().camera
    sky = dusk_sky(camera, replace(PARAMS, sun_azimuth_rad=math.radians(-25.0)))
    horizon, top = sky[sky.shape[0] // 2 - 2], sky[0]
    assert horizon[5, 0] > 1.8 * horizon[5, 2]
    assert top[70, 2] > 1.3 * top[70, 0]
    assert horizon[5, 0] / horizon[5, 2] > 1.5 * horizon[-5, 0] / horizon[-5, 2]
    assert luminance(horizon)[5] > 1.5 * luminance(top)[5]  # the rim is brightest


def test_the_later_the_bluer(plain: Frame) -> None:
    frame = plain(grey=150)
    shades = []
    for lux in (400.0, 40.0, 3.4):
        image = Dusk().apply(frame, replace(PARAMS, illuminance_lux=lux)).image
        red, _, blue = to_linear(image)[300:].reshape(-1, 3).mean(axis=0)
        shades.append(float(blue / red))
    assert 1.0 < shades[0] < shades[1] < shades[2]


def test_upright_things_stand_against_the_light(wall: Frame, plain: Frame) -> None:
    ground = luminance(to_linear(Dusk().apply(plain(grey=60), PARAMS).image))[300:].mean()
    upright = luminance(to_linear(Dusk().apply(wall(30.0, 60, width=640, height=360), PARAMS).image))[:100].mean()
    assert upright / ground == pytest.approx(UPRIGHT, rel=0.1)


def test_a_lamp_gains_on_what_is_around_it(wall: Frame) -> None:
    frame = wall(40.0, grey=50, width=640, height=360)
    image = frame.image.copy()
    image[100:106, 300:306] = (255, 40, 30)
    frame = replace(frame, image=image)
    contrast = []
    for lux in (400.0, 3.4):
        light = luminance(to_linear(Dusk().apply(frame, replace(PARAMS, illuminance_lux=lux)).image))
        contrast.append(float(light[92:114, 292:314].mean() / light[20:60, 20:200].mean()))
    assert contrast[1] > 2.0 * contrast[0] > 2.0


def test_noise_comes_with_the_dark(wall: Frame) -> None:
    spread = []
    for lux in (400.0, 12.0, 3.4):
        light = luminance(to_linear(Dusk().apply(wall(30.0), replace(PARAMS, illuminance_lux=lux)).image))[:40]
        spread.append(float(light.std() / light.mean()))
    assert spread[2] > 1.3 * spread[1] > 1.3 * 1.3 * spread[0]


def test_own_low_beams_count_late(plain: Frame) -> None:
    gains = []
    for lux in (400.0, 3.4):
        off, on = (
            luminance(to_linear(Dusk().apply(plain(60), replace(PARAMS, illuminance_lux=lux, beam=b)).image))[
                250:
            ].mean()
            for b in (0.0, 1.0)
        )
        gains.append(float(on / off))
    assert gains[0] < 1.1 < 1.3 < gains[1]
    assert np.isfinite(gains).all()
