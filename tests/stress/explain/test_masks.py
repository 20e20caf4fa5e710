"""RISE and D-RISE against black boxes whose reasons are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from scenes.sample import Image
from stress.explain import MaskBudget, energy_inside
from stress.explain.masks import masks, saliency

pytestmark = pytest.mark.core

HEIGHT, WIDTH = 60, 100
BLOCK = (slice(20, 40), slice(60, 80))


def picture() -> Image:
    image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    image[BLOCK] = 220
    return image


def brightness_of_block(images: list[Image]) -> NDArray[np.float64]:
    return np.array([image[BLOCK].mean() / 255 for image in images])


def region() -> NDArray[np.bool_]:
    inside = np.zeros((HEIGHT, WIDTH), np.bool_)
    inside[BLOCK] = True
    return inside


def test_the_map_points_at_what_the_score_depends_on() -> None:
    cam = saliency(picture(), brightness_of_block, MaskBudget(masks=400, cells=10))
    share = energy_inside(cam, region())
    area = region().mean()
    assert share is not None
    assert share > 6 * area  # the block is 6.7 % of the picture
    peak = np.unravel_index(cam.argmax(), cam.shape)
    assert region()[peak]


def test_a_score_that_depends_on_nothing_gives_an_empty_map() -> None:
    cam = saliency(picture(), lambda images: np.full(len(images), 0.7), MaskBudget(masks=64))
    assert cam.max() < 1e-6
    assert energy_inside(np.zeros_like(cam), region()) is None


def test_memory_is_bounded_by_the_batch() -> None:
    sizes: list[int] = []

    def score(images: list[Image]) -> NDArray[np.float64]:
        sizes.append(len(images))
        return brightness_of_block(images)

    saliency(picture(), score, MaskBudget(masks=50, batch=8))
    assert sizes == [8] * 6 + [2]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (33, 17), (360, 640)])
def test_masks_of_any_size_keep_half_and_replay(height: int, width: int) -> None:
    budget = MaskBudget(masks=64, batch=16)
    first = np.concatenate(list(masks(height, width, budget)))
    again = np.concatenate(list(masks(height, width, budget)))
    assert first.shape == (64, height, width)
    assert np.array_equal(first, again)
    assert 0.0 <= first.min() <= first.max() <= 1.0
    assert first.mean() == pytest.approx(0.5, abs=0.2 if height * width < 100 else 0.05)


def test_the_slope_is_unbiased_for_a_linear_score() -> None:
    """For a score linear in the visible brightness the map is its slope: error falls with the number of masks."""
    few = saliency(picture(), brightness_of_block, MaskBudget(masks=40, cells=10))
    many = saliency(picture(), brightness_of_block, MaskBudget(masks=1000, cells=10))
    noise_few, noise_many = few[:, :30].mean(), many[:, :30].mean()  # nothing there matters
    assert noise_many < 0.5 * noise_few
