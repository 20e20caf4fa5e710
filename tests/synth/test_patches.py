"""Wide holes: texture goes on through them, nothing comes from what must be avoided, and the town's truth is nearer."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from scenes.edits import Remove
from scenes.town import TownDataset
from synth.fill import fill_background
from synth.regions import object_region


@pytest.mark.core
def test_a_pattern_goes_on_through_a_hole() -> None:
    columns = np.indices((120, 200))[1]
    truth = np.repeat(np.where(columns // 8 % 2 == 0, 60, 180)[..., None], 3, axis=2).astype(np.uint8)
    hole = np.zeros((120, 200), np.bool_)
    hole[40:80, 84:116] = True
    image = truth.copy()
    image[hole] = (255, 0, 0)
    errors = {
        texture: np.abs(fill_background(image, hole, texture=texture).astype(int) - truth)[hole].mean()
        for texture in (False, True)
    }
    assert errors[True] < 0.4 * errors[False]


def test_nothing_comes_from_the_hole_or_from_what_is_avoided() -> None:
    rng = np.random.default_rng(2)
    image = rng.integers(90, 130, (100, 160, 3), dtype=np.uint8)
    hole, avoid = np.zeros((2, 100, 160), np.bool_)
    hole[30:70, 60:100], avoid[30:70, 100:140] = True, True
    image[hole], image[avoid] = (255, 0, 0), (0, 0, 255)
    filled = fill_background(image, hole, avoid=avoid, texture=True)
    assert filled[hole].max() <= 130
    assert filled[hole].min() >= 89
    assert (filled[~hole] == image[~hole]).all()
    assert np.array_equal(filled, fill_background(image, hole, avoid=avoid, texture=True))


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (9, 2), (30, 6), (40, 40)])
def test_any_size_of_frame_and_hole_works(size: tuple[int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    for share in (0.3, 0.8, 1.0):
        hole = np.zeros(size, np.bool_)
        hole[: max(1, int(size[0] * share)), : max(1, int(size[1] * share))] = True
        assert fill_background(image, hole, texture=True).shape == image.shape


@pytest.mark.slow
def test_patches_are_nearer_to_the_town_without_the_object_than_a_smooth_fill() -> None:
    """The town is rendered again without each of its largest objects; mean absolute error inside the masks."""
    errors: dict[bool, list[float]] = {False: [], True: []}
    for sample in TownDataset(11, 4, width=480, height=270, split="test", frames_per_drive=1):
        found = [object_region(sample, row) for row in range(len(sample.annotations))]
        inside = [r for r in found if r is not None and r.window[0] > 2 and r.window[2] < 478 and r.window[3] < 268]
        for region in sorted(inside, key=lambda r: -r.pixels)[:3]:
            assert sample.scene is not None
            assert sample.camera is not None
            assert sample.instances is not None
            truth = sample.scene.render(sample.camera, [Remove(region.key)]).image
            mask = region.full((270, 480))
            others = (sample.instances > 0) & ~mask
            hole = (cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0) & ~others
            for texture, found_errors in errors.items():
                filled = fill_background(sample.image, hole, avoid=others, texture=texture)
                found_errors.append(float(np.abs(filled[mask].astype(int) - truth[mask]).mean()))
    assert len(errors[True]) >= 9
    assert np.mean(errors[True]) < 0.95 * np.mean(errors[False])
