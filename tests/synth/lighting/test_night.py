"""Night: light falls off, lamps stay and bloom, paint and leaves are no lamps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scenes.sample import Sample
from synth.boxworld import box_sample
from synth.lighting.night import Night, NightParams
from synth.lighting.relight import DAY_LUX, LAMP_CD_M2, LARGEST_GAIN, lamps
from synth.lighting.scatter import veiling_luminance
from synth.radiometry import luminance, to_linear

Frame = Callable[..., Sample]
DARK = NightParams(illuminance_lux=0.01, warmth=0.3, beam=1.0, read_noise_e=1.0, seed=4)


def light(sample: Sample, params: NightParams) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return luminance(to_linear(Night().apply(sample, params).image))


def test_headlights_fall_off_with_distance(wall: Frame) -> None:
    middle = (slice(40, 60), slice(60, 100))
    near, far, farther = (float(light(wall(d), DARK)[middle].max()) for d in (15.0, 30.0, 60.0))
    assert near > 1.5 * far > 1.5 * 1.5 * farther


def test_headlights_have_a_cut_off(wall: Frame) -> None:
    lit = light(wall(25.0), DARK)[:, 70:90].mean(axis=1)
    rows_below = slice(50, 60)  # under the horizon at row 45, and under the lamps' own height at that distance
    assert lit[rows_below].max() > 5 * lit[:40].max()


def test_without_headlights_light_is_proportional_to_lux(wall: Frame) -> None:
    sample = wall(30.0, grey=60)
    bright, dim = (float(light(sample, replace(DARK, illuminance_lux=lux, beam=0.0)).mean()) for lux in (4.0, 1.0))
    assert bright / dim == pytest.approx(4.0, rel=0.15)  # less by the camera's shoulder


def test_a_dark_picture_is_noisier_for_its_light(wall: Frame) -> None:
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


def test_a_red_lamp_stays_and_a_red_panel_does_not(wall: Frame) -> None:
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


def _with_lamp(frame: Sample, row: int = 100, column: int = 300, size: int = 6) -> Sample:
    image = frame.image.copy()
    image[row : row + size, column : column + size] = (255, 40, 30)
    return replace(frame, image=image)


def test_a_lamp_scatters_as_its_luminance_and_size_say(wall: Frame) -> None:
    """The veil at an angle is the lamp's illuminance at the camera times the disability glare equation."""
    frame = _with_lamp(wall(40.0, grey=0, width=640, height=360))
    assert frame.depth is not None
    assert frame.camera is not None
    _, sources = lamps(frame.image, frame.depth, frame.camera)
    assert len(sources) == 1
    x, y, red, _, blue = sources[0]
    assert (x, y) == pytest.approx((303.0, 103.0), abs=0.6)
    solid_angle = 36.0 / frame.camera.K[0, 0] ** 2
    assert red == pytest.approx(LAMP_CD_M2 * solid_angle, rel=0.2)
    assert red > 20.0 * blue
    params = replace(DARK, beam=0.0, illuminance_lux=1e-6)
    veil = to_linear(Night().apply(frame, params).image)[..., 0].astype(float)
    for degrees in (1.0, 2.0):
        row = int(y + np.tan(np.radians(degrees)) * frame.camera.K[0, 0])
        wanted = np.pi * LARGEST_GAIN / DAY_LUX * red * veiling_luminance(degrees)
        assert veil[row - 1 : row + 2, 298:308].mean() == pytest.approx(1.0 - np.exp(-wanted), rel=0.15)


def test_light_sources_stay_brighter_than_what_is_around_them(wall: Frame) -> None:
    frame = _with_lamp(wall(40.0, grey=120, width=640, height=360))
    for lux in (10.0, 2.0, 0.5):
        night = light(frame, replace(DARK, illuminance_lux=lux, beam=0.0))
        halo, far = night[84:94, 290:316].mean(), night[20:60, 20:120].mean()
        assert night[103, 303] > 2.0 * halo > 2.0 * 1.2 * far


def test_paint_on_the_ground_and_swarms_of_leaves_are_no_lamps(plain: Frame, wall: Frame) -> None:
    road = _with_lamp(plain(grey=50), row=300)
    assert road.depth is not None
    assert road.camera is not None
    assert not lamps(road.image, road.depth, road.camera)[0].any()
    leaves = wall(20.0, grey=40, width=640, height=360)
    for k in range(20):
        leaves = _with_lamp(leaves, row=60 + 14 * (k // 5), column=200 + 14 * (k % 5), size=4)
    assert leaves.depth is not None
    assert leaves.camera is not None
    found, sources = lamps(leaves.image, leaves.depth, leaves.camera)
    assert not found.any()
    assert len(sources) == 0


def test_no_bright_sky_is_left_between_twigs(plain: Frame) -> None:
    """Holes of sky in a crown that depth calls solid are as dark as the night sky, not as white things."""
    frame = plain(sky=230)
    assert frame.depth is not None
    image, depth = frame.image.copy(), frame.depth.copy()
    image[40:150, 200:400], depth[40:150, 200:400] = (40, 45, 35), 30.0
    for row in range(60, 140, 10):
        image[row : row + 2, 215:385:10] = 230
    night = light(replace(frame, image=image, depth=depth), replace(DARK, illuminance_lux=10.0, beam=0.0))
    white = light(replace(frame, image=np.full_like(image, 230), depth=np.full_like(depth, 30.0)),
                  replace(DARK, illuminance_lux=10.0, beam=0.0))  # fmt: skip
    holes = night[60:140:10, 215:385:10].mean()
    assert holes < 0.35 * white[60:140, 215:385].mean()
