"""Other light on fitted scenes: nothing changes under the same sun, shadows fall away from the new one."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch

from scenes.camera import Camera, look
from scenes.edits import SetSky, SetSun
from scenes.errors import InputError
from scenes.gaussians import GaussianScene
from scenes.splats.cloud import Cloud, base_colour, joined
from scenes.splats.relight import light_of, normals_of
from scenes.town.light import Weather

WIDTH, HEIGHT = 96, 72
SUN = Weather(azimuth_rad=0.5 * math.pi, elevation_rad=0.6)  # from the left of a camera that looks along x


def plate(low: tuple[float, float, float], high: tuple[float, float, float], step: float, label: int) -> Cloud:
    """A sheet or bar of grey Gaussians between two corners."""
    axes = [np.arange(a, b + 1e-6, step) for a, b in zip(low, high, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    n = len(places)
    harmonics = torch.zeros(n, 1, 3)
    harmonics[:, 0] = base_colour(torch.tensor([0.5, 0.5, 0.5]))
    return Cloud(
        means=torch.from_numpy(places).float(),
        quats=torch.tensor([[1.0, 0, 0, 0]]).repeat(n, 1),
        scales=torch.full((n, 3), math.log(0.6 * step)),
        opacities=torch.full((n,), 5.0),
        harmonics=harmonics,
        classes=torch.full((n,), label, dtype=torch.int16),
    )


def street(about: Any = None) -> GaussianScene:
    """A level road with a wall on it, four metres ahead, two metres high."""
    cloud = joined([plate((2, -6, 0), (12, 6, 0), 0.2, 0), plate((6, 0, 0.2), (7, 0.2, 2), 0.1, 1)])
    return GaussianScene(cloud=cloud, class_names=("road", "wall"), about=about or {})


def eye() -> Camera:
    K = np.array([[70.0, 0, WIDTH / 2], [0, 70.0, HEIGHT / 2], [0, 0, 1]])
    pose = look(position=(0.0, 0.0, 3.0), pitch_rad=-0.35)
    return Camera(K=K, width=WIDTH, height=HEIGHT, world_to_cam=pose)


def test_the_same_sun_changes_nothing() -> None:
    scene = street({"light": asdict(SUN)})
    assert light_of(scene.about) == SUN
    before = scene.render(eye())
    after = scene.render(eye(), [SetSun(SUN.azimuth_rad, SUN.elevation_rad), SetSky(0.0)])
    assert np.abs(after.image.astype(int) - before.image).max() <= 1


@pytest.mark.parametrize("side", [1, -1])
def test_a_shadow_falls_away_from_the_sun(side: int) -> None:
    scene = street()
    clear, lit = (scene.render(eye(), e).image.astype(int) for e in ([], [SetSun(side * 0.5 * math.pi, 0.6)]))
    beside = [at(6.5, y * side) for y in (1.2, -1.2)]  # towards the sun, and behind the wall
    assert lit[beside[0]].mean() > clear[beside[0]].mean() + 20
    assert lit[beside[1]].mean() < lit[beside[0]].mean() - 40
    assert abs(lit[beside[1]].mean() - clear[beside[1]].mean()) < 12  # in shadow only the even light is left


def at(x: float, y: float) -> tuple[int, int]:
    pixels, _ = eye().project(np.array([[x, y, 0.0]]))
    return int(pixels[0, 1]), int(pixels[0, 0])


def test_a_baked_shadow_is_taken_out() -> None:
    """A scene captured under a sun, shown with none: what was in the sun is darker, what was in shadow stays."""
    scene = street({"light": asdict(SUN)})
    clear, dull = (scene.render(eye(), e).image.astype(int) for e in ([], [SetSun(0.0, 1.0, strength=0.0)]))
    sunny, shady = at(6.5, 1.2), at(6.5, -1.2)
    assert dull[sunny].mean() < clear[sunny].mean() - 30
    assert dull[shady].mean() > clear[shady].mean() - 25


def test_no_light_is_dark_and_labels_stay() -> None:
    scene = street()
    before, after = scene.render(eye()), scene.render(eye(), [SetSky(0.0, brightness=0.0)])
    assert after.image.max() <= 1
    assert np.array_equal(before.depth, after.depth, equal_nan=True)
    assert np.array_equal(before.annotations.segmentation, after.annotations.segmentation)


def test_colours_of_unknown_light_stay() -> None:
    image = street().render(eye(), [SetSun(0.4, 0.2)]).image.astype(int)
    assert np.ptp(image, axis=2).max() <= 1


def test_normals_look_at_the_eye() -> None:
    cloud = plate((0, 0, 0), (2, 2, 0), 0.2, 0)
    for height in (3.0, -3.0):
        normals = normals_of(cloud, np.array([1.0, 1.0, height]))
        np.testing.assert_allclose(normals, np.tile([0, 0, np.sign(height)], (len(cloud), 1)), atol=1e-5)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (SetSun(0.0, 1.0, strength=-1.0), "strength >= 0"),
        (SetSky(1.5), r"overcast in \[0, 1\]"),
        (SetSky(0.0, brightness=-0.1), "brightness >= 0"),
    ],
)
def test_light_that_cannot_be_is_named(edit: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(street(), name="x").render(eye(), [edit])
