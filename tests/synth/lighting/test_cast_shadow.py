"""Cast shadows: how dark, where, and how sharp."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scenes.sample import Sample
from synth.lighting.cast_shadow import SKY_TINT, CastShadow, CastShadowParams
from synth.lighting.casters import BRIDGE, CROWN, KINDS, POLE, SUN_RADIUS_RAD, WALL
from synth.radiometry import to_linear
from synth.random import rng_for

Frame = Callable[..., Sample]
WEST = -math.pi / 2
EVERYWHERE = CastShadowParams(
    light_left=0.25, kind="building", azimuth_rad=WEST, elevation_rad=0.3,
    casters=((WALL, -30.0, -500.0, 500.0, 60.0, 0.0, 0.0),), seed=1,
)  # fmt: skip


def left(frame: Sample, params: CastShadowParams) -> NDArray[np.float64]:
    """Return (H, W) the share of green light that a shift left."""
    after = to_linear(CastShadow().apply(frame, params).image)[..., 1].astype(np.float64)
    return after / to_linear(frame.image)[..., 1]


def place(frame: Sample, right_m: float, ahead_m: float) -> tuple[int, int]:
    """Return row and column of a point on the ground."""
    assert frame.camera is not None
    K = frame.camera.K
    return int(K[1, 1] * 1.5 / ahead_m + K[1, 2]), int(K[0, 0] * right_m / ahead_m + K[0, 2])


@pytest.mark.core
def test_full_shadow_leaves_the_stated_share_of_linear_light_and_the_sky_alone(plain: Frame) -> None:
    frame = plain(grey=200, sky=230)
    out = CastShadow().apply(frame, EVERYWHERE).image
    light, was = to_linear(out)[300:].mean(axis=(0, 1)), float(to_linear(frame.image)[300, 0, 0])
    assert light / was == pytest.approx(0.25 * np.array(SKY_TINT), rel=0.02)
    assert np.array_equal(out[:170], frame.image[:170])


def test_without_a_caster_in_the_way_nothing_changes(plain: Frame) -> None:
    frame = plain()
    away = replace(EVERYWHERE, casters=((WALL, -3.0, -500.0, -400.0, 60.0, 0.0, 0.0),))
    assert np.array_equal(CastShadow().apply(frame, away).image, frame.image)


def test_a_wall_throws_its_shadow_as_far_as_the_sun_is_low(plain: Frame) -> None:
    """Wall 5 m to the left, 4 m tall, sun from the left at 30 degrees: shade to 4 / tan 30 = 6.93 m from it."""
    frame = plain(width=1280, height=720)
    params = replace(EVERYWHERE, elevation_rad=math.radians(30.0), casters=((WALL, -5.0, 0.0, 200.0, 4.0, 0, 0),))
    share = left(frame, params)
    assert share[place(frame, 1.80, 8.0)] == pytest.approx(0.25, abs=0.02)
    assert share[place(frame, 2.05, 8.0)] == pytest.approx(1.0, abs=0.02)


def test_a_pole_throws_a_line_and_its_height_ends_it(plain: Frame) -> None:
    """Sun from the left and ahead at 45 degrees azimuth: the shadow runs to the right and towards the camera."""
    frame = plain(width=1280, height=720)
    azimuth, elevation = math.radians(-45.0), math.radians(40.0)
    pole = (POLE, -4.0, 16.0, 0.2, 6.0, 0.0, 0.0)
    share = left(frame, replace(EVERYWHERE, azimuth_rad=azimuth, elevation_rad=elevation, casters=(pole,)))
    reach = 6.0 / math.tan(elevation)
    for along, shaded in ((0.3 * reach, True), (0.8 * reach, True), (1.1 * reach, False)):
        x, z = -4.0 + along * math.sin(math.radians(45)), 16.0 - along * math.cos(math.radians(45))
        assert (share[place(frame, x, z)] < 0.4) == shaded
        assert share[place(frame, x + 0.6, z)] > 0.95


def test_a_bridge_shades_a_band_shifted_by_its_height(plain: Frame) -> None:
    frame = plain(width=1280, height=720)
    elevation = math.radians(50.0)
    bridge = (BRIDGE, 5.5, 14.0, 24.0, 0.0, 0.0, 0.0)
    share = left(frame, replace(EVERYWHERE, azimuth_rad=0.0, elevation_rad=elevation, casters=(bridge,)))
    start = 14.0 - 5.5 / math.tan(elevation)  # the sun is ahead: the shadow comes towards the camera
    assert share[place(frame, 0.5, start + 0.5)] == pytest.approx(0.25, abs=0.02)
    assert share[place(frame, 0.5, start - 0.5)] == pytest.approx(1.0, abs=0.02)
    assert share[place(frame, 0.5, start + 9.0)] == pytest.approx(0.25, abs=0.02)
    assert share[place(frame, 0.5, start + 11.5)] == pytest.approx(1.0, abs=0.02)


def test_the_edge_is_as_wide_as_the_sun_makes_it(plain: Frame) -> None:
    """A roof edge further away has a wider penumbra: its ray is longer."""
    frame = plain(width=1280, height=720)
    row = place(frame, 0.0, 6.5)[0]
    assert frame.camera is not None
    metre = frame.camera.K[0, 0] / 6.5
    widths = []
    for away in (6.0, 60.0):
        elevation = math.radians(40.0)
        wall = (WALL, -away, -200.0, 400.0, away * math.tan(elevation), 0.0, 0.0)  # its shade ends below the camera
        share = left(frame, replace(EVERYWHERE, elevation_rad=elevation, casters=(wall,)))[row]
        # 9 to 91 % of the step: 0.62 of the disc's width, for the step 3 u^2 - 2 u^3 passes them at u = 0.19 and 0.81
        widths.append(float(((share > 0.32) & (share < 0.93)).sum()) / metre)
    ray = 60.0 / math.cos(math.radians(40.0))
    assert widths[1] == pytest.approx(0.62 * 2.0 * ray * SUN_RADIUS_RAD / math.sin(math.radians(40.0)), rel=0.08)
    assert widths[1] > 4.0 * widths[0]


def test_leaves_let_spots_of_sun_through(plain: Frame) -> None:
    frame = plain(width=1280, height=720)
    elevation = math.radians(50.0)
    crown = (CROWN, 0.0, 6.0, 12.0 + 6.0 / math.tan(elevation), 2.5, 0.0, 0.0)
    share = left(frame, replace(EVERYWHERE, azimuth_rad=0.0, elevation_rad=elevation, casters=(crown,)))
    top, bottom = place(frame, 0.0, 14.0)[0], place(frame, 0.0, 10.5)[0]
    middle = share[top:bottom, 560:720]
    assert (middle < 0.35).mean() > 0.3
    assert (middle > 0.8).mean() > 0.03
    assert share[place(frame, 5.0, 12.0)] > 0.98


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_falls_across_the_road_ahead(plain: Frame, kind: str) -> None:
    frame = plain(grey=200)
    shift, seen = CastShadow(kind=kind), 0
    for n in range(40):
        params = shift.draw(frame, 4, rng_for(n, shift=shift.name, sample_id="x"))
        assert params.kind == kind
        seen += bool((left(frame, params)[190:, 100:540] < 0.5).mean() > 0.003)
    assert seen >= 36


def test_the_kind_is_checked() -> None:
    with pytest.raises(ValueError, match="bridge"):
        CastShadow(kind="tunnel")
