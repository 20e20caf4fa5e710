"""Laws of the town's light, rays and noise, against outside references."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from scenes.random import Rng
from scenes.town import noise
from scenes.town.light import Weather, display, sky, through_air
from scenes.town.tracer import Layers, Tracer

pytestmark = pytest.mark.core
NOON = Weather(azimuth_rad=0.3, elevation_rad=1.0)


def test_contrast_is_five_per_cent_at_the_visibility() -> None:
    """Koschmieder (1924): of black and white at the visibility in fog, 5 % of the difference is left."""
    fog = replace(NOON, fog_visibility_m=75.0)
    pair = through_air(fog, np.array([[0.0] * 3, [1.0] * 3], np.float32), np.full(2, 75.0, np.float32))
    haze = math.exp(-75.0 / 1600.0)
    assert (pair[1] - pair[0]) / haze == pytest.approx(np.full(3, 0.05), rel=1e-4)


def test_air_only_adds_with_distance() -> None:
    distance = np.linspace(0, 500, 50, dtype=np.float32)
    black = through_air(replace(NOON, fog_visibility_m=200.0), np.zeros((50, 3), np.float32), distance)
    assert (np.diff(black, axis=0) >= 0).all()
    assert (black[0] == 0).all()


def test_display_is_monotone_and_ends_at_white() -> None:
    ramp = np.repeat(np.linspace(0, 2, 400, dtype=np.float32)[:, None], 3, axis=1)
    shown = display(ramp)[:, 0].astype(int)
    assert (np.diff(shown) >= 0).all()
    assert shown[0] == 0
    assert shown[-1] == 255


def test_the_sun_reddens_and_sets() -> None:
    low, high = (replace(NOON, elevation_rad=math.radians(e)).sun for e in (4.0, 60.0))
    assert low[2] / low[0] < high[2] / high[0]
    assert low.sum() < high.sum()
    assert not replace(NOON, elevation_rad=-0.01).sun.any()


def test_the_sky_is_brightest_at_the_sun() -> None:
    towards = NOON.sun_direction
    away = towards * np.array([-1, -1, 1], np.float32)
    seen = sky(replace(NOON, clouds=0.0), np.stack([towards, away])).sum(axis=1)
    assert seen[0] > 2 * seen[1]


def test_first_hits_are_those_of_the_plane_equations() -> None:
    """Against every triangle tried by hand (Moeller and Trumbore 1997), in layers as in one."""
    rng = Rng("rays")
    tri = (rng.uniforms(60, 1, 3) * 8 - 4 + rng.normals(60, 3, 3)).astype(np.float32)
    origins = np.zeros((200, 3), np.float32)
    directions = rng.normals(200, 3).astype(np.float32)
    expected = np.full(200, np.inf)
    for a, b, c in tri.astype(np.float64):
        for ray, d in enumerate(directions.astype(np.float64)):
            p = np.cross(d, c - a)
            determinant = p @ (b - a)
            u = -(a @ p) / determinant
            q = np.cross(-a, b - a)
            v, t = d @ q / determinant, (c - a) @ q / determinant
            if u >= 0 and v >= 0 and u + v <= 1 and t > 0:
                expected[ray] = min(expected[ray], t)
    hits = Layers(Tracer(tri[:20]), Tracer(tri[20:21]), Tracer(tri[21:])).first(origins, directions)
    assert np.allclose(hits.t, expected, rtol=1e-3)
    found = np.flatnonzero(np.isfinite(expected))
    assert 20 < len(found) < 200
    points = directions[found] * hits.t[found, None]
    w1, w2 = hits.bary[found].T[:, :, None]
    corners = tri[hits.face[found]]
    assert np.allclose(corners[:, 0] * (1 - w1 - w2) + corners[:, 1] * w1 + corners[:, 2] * w2, points, atol=1e-3)
    blocked = Layers(Tracer(tri[:20]), Tracer(tri[20:])).occluded(origins, directions)
    assert np.array_equal(blocked, np.isfinite(expected))


def test_shadow_rays_end_at_their_reach() -> None:
    wall = np.array([[[5, -9, -9], [5, 9, -9], [5, 0, 9]]], np.float32)
    origin, ahead = np.zeros((1, 3), np.float32), np.array([[2.0, 0, 0]], np.float32)
    assert Tracer(wall).occluded(origin, ahead, 2.6).all()
    assert not Tracer(wall).occluded(origin, ahead, 2.4).any()
    assert not Tracer(wall[:0]).occluded(origin, ahead).any()


def test_noise_is_periodic_and_hits_its_grid() -> None:
    values = noise.field(1.0, 3)
    assert values.mean() == pytest.approx(0.0, abs=1e-4)
    assert values.std() == pytest.approx(1.0, abs=1e-4)
    x, y = np.array([3.0, 100.0]), np.array([7.0, 511.0])
    assert noise.sample(values, x, y) == pytest.approx(values[[7, 511], [3, 100]])
    assert noise.sample(values, x - 512, y + 1024) == pytest.approx(values[[7, 511], [3, 100]])


def test_hashed_cells_are_even() -> None:
    i, j = np.mgrid[-60:60, -60:60]
    values = noise.hashed(i.ravel(), j.ravel())
    assert np.histogram(values, 10, (0, 1))[0] == pytest.approx(np.full(10, 1440), rel=0.12)
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.03
