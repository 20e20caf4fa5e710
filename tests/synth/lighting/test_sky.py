"""How much of a pixel is sky, where depth says something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scenes.sample import Sample
from synth.lighting.sky import reduced_directions, sky_matte

Frame = Callable[..., Sample]
BLUE, WHITE, LEAF = (130, 175, 225), (235, 235, 235), (40, 50, 25)


def crown(plain: Frame, sky: tuple[int, int, int], *, hole: tuple[int, int, int]) -> Sample:
    """A dark crown in the sky, as one upright thing to depth, with small holes; and a slab of the holes' colour."""
    frame = plain()
    image, depth = frame.image.copy(), np.array(frame.depth)
    image[np.isinf(depth)] = sky
    image[40:120, 200:320], depth[40:120, 200:320] = LEAF, 30.0
    for row in range(60, 110, 12):
        for column in range(225, 300, 12):
            image[row : row + 3, column : column + 3] = hole
    image[40:150, 420:520], depth[40:150, 420:520] = hole, 30.0
    image[250:253, 300:303] = hole  # on the ground
    return replace(frame, image=image, depth=depth)


def matte(sample: Sample) -> NDArray[np.float32]:
    assert sample.depth is not None
    assert sample.camera is not None
    return (sky_matte(sample.image, sample.depth, sample.camera) / 255.0).astype(np.float32)


def test_sky_shines_through_leaves(plain: Frame) -> None:
    for sky in (BLUE, WHITE):
        sample = crown(plain, sky, hole=sky)
        share = matte(sample)
        assert share[61, 226] > 0.6
        assert share[56, 232] < 0.05  # leaves
        assert share[251, 301] == 0.0  # under the horizon
        assert (share[:30] == 1.0).all()


def test_walls_as_bright_as_the_sky_are_walls(plain: Frame) -> None:
    sample = crown(plain, WHITE, hole=WHITE)
    share = matte(sample)
    assert share[80:120, 450:490].max() < 0.05


def test_specks_of_another_tint_are_no_sky(plain: Frame) -> None:
    sample = crown(plain, BLUE, hole=(225, 190, 120))
    assert matte(sample)[61, 226] < 0.1


def test_directions_of_a_level_camera(plain: Frame) -> None:
    azimuth, elevation = reduced_directions(plain().camera)
    assert np.abs(elevation[:, 39:41]).argmin() in (2 * 22, 2 * 22 + 1, 2 * 22 - 1, 2 * 22 + 2)
    assert abs(float(np.degrees(azimuth[0, -1])) - 30.0) < 0.5
    assert (np.diff(azimuth[0]) > 0).all()
    assert (np.diff(elevation[:, 5]) < 0).all()
