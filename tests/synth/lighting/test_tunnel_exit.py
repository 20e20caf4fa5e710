"""Leaving a tunnel: how much lighter it is outside, and what the portal shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scenes.sample import Sample
from synth.lighting.tunnel_exit import METERED_SHARE, TunnelExit, TunnelExitParams, portal_sources
from synth.radiometry import to_linear

Frame = Callable[..., Sample]
PARAMS = TunnelExitParams(
    contrast_ev=4.0, portal_m=30.0, centre_m=0.0, half_width_m=6.0, height_m=6.0, lamp_spacing_m=8.0,
    read_noise_e=1.0, seed=2,
)  # fmt: skip


def gain(frame: Sample, params: TunnelExitParams) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return (H, W) by how much the shift multiplied green light."""
    return to_linear(TunnelExit().apply(frame, params).image)[..., 1] / to_linear(frame.image)[..., 1]


def _row(metres: float) -> int:
    return int(180 + 554.26 * 1.5 / metres)


@pytest.mark.core
def test_the_road_outside_gets_the_stops_that_the_camera_opens_up(plain: Frame) -> None:
    frame = plain(grey=60)
    for contrast in (2.0, 4.0):
        factor = gain(frame, replace(PARAMS, contrast_ev=contrast))
        assert factor[_row(45.0), 300:340].mean() == pytest.approx(2.0 ** (METERED_SHARE * contrast), rel=0.08)


def test_deep_inside_it_is_darker_than_outside_by_the_contrast(plain: Frame) -> None:
    """All but the daylight that comes in, which grows towards the portal."""
    frame = plain(grey=200)
    params = replace(PARAMS, portal_m=60.0, contrast_ev=3.0, half_width_m=3.0, height_m=3.0)
    factor = gain(frame, params)
    wanted = 2.0 ** (METERED_SHARE * 3.0 - 3.0)
    assert factor[350, 250:390].mean() == pytest.approx(wanted, rel=0.1)
    nearer = [float(factor[_row(metres), 315:325].mean()) for metres in (45.0, 53.0, 58.0)]
    assert wanted < nearer[0] < nearer[1] < nearer[2]


def test_sky_is_seen_through_the_portal_and_nowhere_else(plain: Frame) -> None:
    factor = gain(plain(sky=120), PARAMS)
    arch = 180 - 554.26 * 4.5 / 30.0  # six metres of portal are 4.5 over the camera
    assert factor[int(arch) + 12, 320] > 2.0
    assert factor[int(arch) - 12, 320] < 0.5
    side = 320 + 554.26 * 6.0 / 30.0
    assert factor[170, int(side) - 8] > 2.0
    assert factor[170, int(side) + 8] < 0.3 * factor[170, int(side) - 8]


def test_what_stands_before_the_portal_stays_dark(plain: Frame) -> None:
    frame = plain(grey=150)
    depth = np.array(frame.depth)
    depth[140:200, 300:340] = 15.0  # a lorry in the tunnel
    factor = gain(replace(frame, depth=depth), PARAMS)
    assert factor[160, 320] < 0.6
    assert factor[160, 360] > 1.5


def test_the_veil_comes_from_what_the_portal_shows(plain: Frame) -> None:
    frame = plain(grey=100, sky=100)
    assert frame.depth is not None
    assert frame.camera is not None
    portal = np.array([30.0, 0.0, 6.0, 6.0, 8.0], np.float32)
    sources = portal_sources(frame.image, frame.depth, frame.camera, portal, 1.0)
    level = float(to_linear(frame.image)[0, 0, 1])
    opening = 12.0 * (6.0 - 6.0 * 0.22 / 3.0) / 30.0**2  # an arch, in steradian
    assert sources[:, 3].sum() == pytest.approx(level * opening, rel=0.05)
    assert (np.abs(sources[:, 0] - 320) < 120).all()


def test_a_portal_is_not_put_behind_a_wall(wall: Frame) -> None:
    from synth.random import rng_for

    shift, frame = TunnelExit(), wall(20.0, width=640, height=360)
    for n in range(30):
        params = shift.draw(frame, 3, rng_for(n, shift=shift.name, sample_id="x"))
        assert params.portal_m <= 14.0
