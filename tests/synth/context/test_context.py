"""Objects out of place, and places out of the ordinary: objects keep their pixels, labels say what is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenes.errors import InputError
from scenes.sample import Annotations, Sample
from synth.boxworld import box_sample
from synth.context.background import Background
from synth.context.background_weather import WEATHER, BackgroundWeather
from synth.context.misplaced import Misplaced
from synth.context.places import PLACES, make_place
from synth.cutout import horizon_row
from synth.pipeline import params_from, shifted
from synth.regions import regions
from synth.registry import create

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
    for seed in range(40):
        sample = box_sample(640, 360, seed=seed)
        result = shifted(sample, Misplaced(), 3, seed=seed)
        if not all(result.params.donors):
            continue
        before, after = sample.annotations, result.sample.annotations
        assert len(after) == len(before) + 3
        rows = [before.instance_ids.tolist().index(donor) for donor in result.params.donors]
        assert sorted(after.labels[len(before) :]) == sorted(before.labels[rows])
        for row in range(len(before), len(after)):
            assert (result.sample.annotations.segmentation[after.masks[row]] == 2).all()  # type: ignore[index]
        assert np.isnan(after.boxes_3d[len(before) :]).all()  # type: ignore[index]
        return
    pytest.fail("no seed gave donors of the frame")


@pytest.mark.parametrize("weather", WEATHER)
def test_weather_is_behind_the_objects_and_as_it_is_elsewhere(weather: str) -> None:
    import cv2

    sample = box_sample(320, 180)
    result = shifted(sample, BackgroundWeather(weather=weather), 4, seed=1)  # type: ignore[arg-type]
    after = result.sample
    assert sample.instances is not None
    near = cv2.dilate((sample.instances > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    core = cv2.erode((sample.instances > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert core.any()
    assert np.array_equal(after.image[core], sample.image[core])
    alone = create(WEATHER[weather])
    plain = alone.apply(sample, params_from(alone, result.params.inner))
    assert np.array_equal(after.image[~near], plain.image[~near])
    assert not np.array_equal(after.image[~near], sample.image[~near])
    assert after.annotations is sample.annotations
    assert {v.kind for v in result.verdicts} <= {"kept", "invalid"}


def test_upside_down_is_upside_down_and_on_the_ground() -> None:
    for seed in range(8):
        sample = box_sample(640, 360, seed=seed)
        result = shifted(sample, Misplaced(where="upside_down"), 1, seed=seed)
        if not result.params.donors[0]:
            continue
        assert result.params.tilts_deg == (180.0,)
        assert result.params.feet[0] * sample.height > horizon_row(sample)
        donor = next(r for r in regions(sample) if r.key == result.params.donors[0])
        mask = result.sample.annotations.masks[-1]  # type: ignore[index]
        rows = np.flatnonzero(mask.any(axis=1))
        tall = rows[-1] + 1 - rows[0]
        scale = result.params.tall[0] * sample.height / donor.height
        assert tall == pytest.approx(scale * donor.height, abs=2)
        return
    pytest.fail("no seed gave a donor")


def test_on_a_roof_the_copy_stands_on_another_object_at_its_size() -> None:
    for seed in range(12):
        sample = box_sample(640, 360, seed=seed)
        result = shifted(sample, Misplaced(where="roof"), 1, seed=seed)
        if result.params.where != ("roof",):
            continue
        foot = result.params.feet[0] * sample.height
        column = int(result.params.centres[0] * sample.width)
        below = [r for r in regions(sample) if r.window[0] <= column < r.window[2] and r.window[1] <= foot + 1]
        assert below
        return
    pytest.fail("no seed gave a roof")


def test_rendered_copies_bear_the_name_that_the_data_set_has_for_them() -> None:
    boxes = box_sample(400, 225, seed=1)
    notes = Annotations(boxes=boxes.annotations.boxes, labels=boxes.annotations.labels)
    names = ("tram", "lamp", "car", "person", "rider")
    sample = Sample(sample_id="boxes", image=boxes.image, annotations=notes, meta={"class_names": names})
    result = shifted(sample, Misplaced(), 3, seed=4)
    assert result.params.donors == (0, 0, 0)  # boxes alone cannot be cut out
    labels = {names[i] for i in result.sample.annotations.labels[len(notes) :]}
    assert labels
    assert labels <= {"car", "person", "rider"}


def test_the_pavement_is_where_the_segmentation_says() -> None:
    boxes = box_sample(400, 225, seed=1)
    segmentation = boxes.annotations.segmentation
    assert segmentation is not None
    names = ("sky", "road", "thing", "sidewalk", "car")
    ground = segmentation.copy()
    ground[(segmentation == 1) & (np.arange(400)[None, :] > 280)] = 3
    notes = replace(boxes.annotations, segmentation=ground)
    sample = replace(boxes, annotations=notes, meta={"class_names": names})
    result = shifted(sample, Misplaced(where="pavement"), 5, seed=2)
    for where, centre, foot in zip(result.params.where, result.params.centres, result.params.feet, strict=True):
        if where == "pavement":
            assert ground[min(224, round(foot * 225) - 1), int(centre * 400)] == 3
    assert "pavement" in result.params.where


def test_a_picture_of_ones_own_can_be_the_background(tmp_path: Path) -> None:
    from PIL import Image as Picture

    Picture.fromarray(np.full((50, 80, 3), (40, 160, 40), np.uint8)).save(tmp_path / "meadow.png")
    sample = box_sample(320, 180)
    result = shifted(sample, Background(pictures=str(tmp_path)), 5, seed=1)
    assert result.params.picture == "meadow.png"
    assert sample.instances is not None
    assert result.sample.depth is not None
    behind = sample.instances == 0
    above = behind & (np.arange(180)[:, None] < 40)
    assert (result.sample.image[above] == (40, 160, 40)).mean() > 0.99
    assert np.isnan(result.sample.depth[behind]).all()
    Picture.fromarray(np.zeros((50, 80, 3), np.uint8)).save(tmp_path / "meadow.png")
    with pytest.raises(InputError, match="hash"):
        Background(pictures=str(tmp_path)).apply(sample, result.params)
