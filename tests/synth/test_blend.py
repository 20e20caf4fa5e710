"""Blending leaves no seam: what is cut out and put back is the same, and what is joined has no edge of its own."""

from __future__ import annotations

import numpy as np
import pytest

from synth.blend import multiband, over, scene_white
from synth.boxworld import box_sample
from synth.cutout import cut, paste
from synth.noise import smooth_noise
from synth.radiometry import to_linear
from synth.regions import regions

pytestmark = pytest.mark.core


def _texture(seed: int, level: float) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
    noise = smooth_noise(seed, 96, 96, cell_px=6.0, octaves=3)
    return np.repeat((level * (1 + 0.5 * noise))[..., None], 3, axis=2).astype(np.float32)


@pytest.mark.parametrize("levels", [2, 3])
def test_the_gradient_across_a_joint_is_no_larger_than_inside(levels: int) -> None:
    """Two textures of which one is by half brighter; a plain mix fails this, so the law can be broken."""
    back, front = _texture(1, 0.30), _texture(2, 0.40)
    alpha = np.zeros((96, 96), np.float32)
    alpha[:, 48:] = 1.0

    fine = np.abs(np.diff(multiband(back, front, alpha, levels=levels)[..., 0], axis=1))
    inside = np.concatenate([fine[:, 8:32].ravel(), fine[:, 64:88].ravel()]).mean()
    assert fine[:, 44:52].mean() <= 1.15 * inside
    plain_border = np.abs(np.diff(multiband(back, front, alpha, levels=0)[..., 0], axis=1))[:, 47].mean()
    assert plain_border > 1.5 * inside
    assert fine[:, 47].mean() < 0.75 * plain_border


def test_joining_a_picture_with_itself_changes_nothing() -> None:
    back = _texture(1, 0.3)
    alpha = (smooth_noise(3, 96, 96, cell_px=20.0) > 0).astype(np.float32)
    assert np.abs(multiband(back, back, alpha, levels=3) - back).max() < 1e-5


def test_far_from_the_joint_both_sides_are_as_they_were() -> None:
    back, front = _texture(1, 0.3), _texture(2, 0.6)
    alpha = np.zeros((96, 96), np.float32)
    alpha[:, 48:] = 1.0
    joined = multiband(back, front, alpha, levels=2)
    assert np.abs(joined[:, :32] - back[:, :32]).max() < 1e-4
    assert np.abs(joined[:, 64:] - front[:, 64:]).max() < 1e-4


def test_an_object_put_back_where_it_was_leaves_no_trace() -> None:
    """Cut out and pasted at its own place, without a change of light: no edge appears around it."""
    sample = box_sample(400, 225, seed=3)
    for region in regions(sample):
        if region.width < 12:
            continue
        x1, y1, _, _ = region.window
        back = paste(sample, cut(sample, region), x1, y1, fit_light=0.0)
        change = np.abs(back.image.astype(int) - sample.image).max(axis=2)
        assert change[~region.full(change.shape)].max() == 0  # nothing outside of it is touched
        assert np.median(change[region.full(change.shape)]) == 0
        assert change[region.full(change.shape)].mean() < 4


def test_nothing_of_the_paint_is_left_where_alpha_is_zero() -> None:
    image = np.full((20, 20, 3), 90, np.uint8)
    before = image.copy()
    alpha = np.zeros((10, 10), np.float32)
    alpha[3:6, 3:6] = 1.0
    over(image, (5, 5, 15, 15), np.ones((10, 10, 3), np.float32), alpha)
    changed = (image != before).any(axis=2)
    assert changed.sum() == 9
    assert (image[8:11, 8:11] == 255).all()


def test_the_white_of_a_scene_follows_its_light() -> None:
    image = box_sample(160, 90).image
    dim = np.rint(255 * (to_linear(image) * 0.25) ** (1 / 2.2)).astype(np.uint8)
    assert scene_white(dim).mean() < 0.5 * scene_white(image).mean()
