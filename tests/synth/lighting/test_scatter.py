"""The veil of point sources against the disability glare equation."""

from __future__ import annotations

import numpy as np
import pytest

from scenes.camera import Camera
from synth.lighting.scatter import mix_rows, veil_of, veiling_luminance


def test_the_equation_meets_stiles_and_holladay_and_its_own_terms() -> None:
    assert veiling_luminance(2.0) == pytest.approx(10.0 / 2.0**2, rel=0.02)  # 10 E / angle^2
    assert veiling_luminance(10.0) == pytest.approx(0.01 + 0.05 * (1 + (25 / 62.5) ** 4), rel=1e-6)
    assert veiling_luminance(0.01) == veiling_luminance(0.1)  # where it ends


@pytest.mark.core
@pytest.mark.parametrize("place", [(320.0, 180.0), (40.0, 300.0)])
def test_the_veil_falls_with_the_angle_between_rays(place: tuple[float, float]) -> None:
    camera = Camera.assumed(640, 360)
    veil = veil_of(np.array([[*place, 2.0, 1.0, 0.5]], np.float32), camera)
    rays = np.linalg.inv(camera.K) @ np.array([*place, 1.0])
    for i, j in ((10, 20), (45, 150), (80, 100), (60, 30)):
        other = np.linalg.inv(camera.K) @ np.array([4 * (j + 0.5), 4 * (i + 0.5), 1.0])
        cosine = rays @ other / np.linalg.norm(rays) / np.linalg.norm(other)
        wanted = veiling_luminance(float(np.degrees(np.arccos(cosine))))
        assert veil[i, j] == pytest.approx(np.array([2.0, 1.0, 0.5]) * wanted, rel=0.01)


def test_veils_add_up() -> None:
    camera = Camera.assumed(320, 180)
    lamps = np.array([[100.0, 90.0, 1, 1, 1], [220.0, 80.0, 3, 2, 1]], np.float32)
    both = veil_of(lamps, camera)
    assert both == pytest.approx(veil_of(lamps[:1], camera) + veil_of(lamps[1:], camera), rel=1e-4)
    assert not veil_of(lamps[:0], camera).any()


def test_a_reduced_field_is_spread_bilinearly() -> None:
    ramp = np.add.outer(np.arange(10.0), 2.0 * np.arange(20.0))[..., None].repeat(3, axis=2).astype(np.float32)
    row, kept, held = np.empty(3 * 80, np.float32), np.empty((2, 3 * 80), np.float32), np.full(2, -1)
    for i in (3, 16, 17):
        mix_rows(ramp, i, 40, row, kept, held)
    columns = (np.arange(80) + 0.5) / 4 - 0.5
    inside = slice(2, 78)
    assert row[::3][inside] == pytest.approx(((17.5 / 4 - 0.5) + 2.0 * columns)[inside], abs=1e-3)
