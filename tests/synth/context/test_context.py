"""Objects out of place, and places out of the ordinary: objects keep their pixels, labels say what is there."""

from __future__ import annotations

import numpy as np
import pytest

from scenes.sample import Sample
from synth.boxworld import box_sample
from synth.context.background import Background
from synth.context.misplaced import Misplaced
from synth.context.places import PLACES, make_place
from synth.cutout import horizon_row
from synth.pipeline import shifted

pytestmark = pytest.mark.core


@pytest.mark.parametrize("place", PLACES)
def test_objects_keep_their_pixels(place: str) -> None:
    sample = box_sample(320, 180)
    result = shifted(sample, Background(place=place), 5, seed=1)  # type: ignore[arg-type]
    import cv2

    inner = cv2.erode((sample.instances > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0  # type: ignore[operator]
    assert inner.any()
    assert np.abs(result.sample.image[inner].astype(int) - sample.image[inner]).max() <= 2
    behind = sample.instances == 0
    assert (result.sample.image != sample.image).any(axis=2)[behind].mean() > 0.9
    assert (result.sample.annotations.segmentation[behind] == 255).all()  # type: ignore[index]
    assert np.array_equal(result.sample.annotations.boxes, sample.annotations.boxes)
    assert all(v.visible_fraction in (0.0, 1.0) for v in result.verdicts)


def test_far_things_go_first_and_in_the_wanted_share() -> None:
    sample = box_sample(320, 180)
    behind, before = sample.instances == 0, None
    for severity, share in ((1, 0.2), (3, 0.6), (5, 1.0)):
        after = shifted(sample, Background(), severity, seed=1).sample
        gone = (after.annotations.segmentation == 255) & behind
        assert gone.sum() / behind.sum() == pytest.approx(share, abs=0.04)
        if before is not None:
            assert not (before & ~gone).any()
        before = gone
        if share < 1:
            assert np.nanmax(1 / sample.depth[gone]) <= 1.3 * np.nanmin(1 / sample.depth[behind & ~gone]) + 0.004  # type: ignore[index]


@pytest.mark.parametrize("place", PLACES)
def test_places_have_their_horizon_where_the_camera_has_it(place: str) -> None:
    sample = box_sample(160, 90)
    made = make_place(place, 3, sample.camera)  # type: ignore[arg-type]
    assert np.isfinite(made.light).all()
    assert made.light.min() >= 0
    assert not np.isnan(made.depth).any()
    below = made.depth[int(horizon_row(sample)) + 4 :]
    assert np.isfinite(below).all()


def test_without_objects_the_frame_stays_and_the_params_say_so() -> None:
    sample = Sample(sample_id="bare", image=np.full((40, 60, 3), 90, np.uint8))
    for shift in (Background(), Misplaced()):
        result = shifted(sample, shift, 5, seed=1)
        assert np.array_equal(result.sample.image, sample.image)
    assert shifted(sample, Background(), 5, seed=1).params.objects == 0
    assert shifted(sample, Misplaced(), 5, seed=1).params.donors == ()


def test_copies_are_labelled_and_stand_over_the_horizon() -> None:
    for seed in range(8):
        sample = box_sample(640, 360, seed=seed)
        result = shifted(sample, Misplaced(), 3, seed=seed)
        if not all(result.params.donors):
            continue
        before, after = sample.annotations, result.sample.annotations
        assert len(after) == len(before) + 3
        for row, donor in zip(range(len(before), len(after)), result.params.donors, strict=True):
            assert after.labels[row] == before.labels[before.instance_ids.tolist().index(donor)]
            assert (result.sample.annotations.segmentation[after.masks[row]] == 2).all()  # type: ignore[index]
        assert np.isnan(after.boxes_3d[len(before) :]).all()  # type: ignore[index]
        return
    pytest.fail("no seed gave donors of the frame")
