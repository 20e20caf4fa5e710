"""What is painted by depth must not draw the label: no step at the border of a box that has no mask."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.datasets import open_dataset
from scenes.sample import Annotations, Sample
from synth.boxworld import box_sample
from synth.ground import FAR_M, ground_plane_depth
from synth.pipeline import shifted
from synth.registry import create
from synth.standing import feet_m, soft_outline

LOOSE_PX = 6  # boxes are made so much larger: what is in them has its own edges elsewhere
PAINTED = (("fog", 4), ("rain", 3), ("night", 2), ("snow", 3), ("snow_cover", 3))
Grey = NDArray[np.float64]


def _only_boxes(sample: Sample, *, loose_px: float = 0.0) -> Sample:
    """Return a frame that knows its objects by boxes alone."""
    notes = sample.annotations
    boxes = notes.boxes + np.array([-loose_px, -loose_px, loose_px, loose_px], np.float32)
    boxes = np.clip(boxes, 0, (sample.width, sample.height) * 2).astype(np.float32)
    return replace(sample, depth=None, instances=None, annotations=Annotations(boxes=boxes, labels=notes.labels))


def _grey_after(sample: Sample, name: str, severity: float) -> Grey:
    grey: Grey = shifted(sample, create(name), severity, seed=3).sample.image.mean(axis=2, dtype=np.float64)
    return grey


def _step(change: Grey, box: NDArray[np.float32], inwards: int) -> float:
    """Return the mean absolute difference of a change across the four sides of a box moved inwards by some pixels."""
    height, width = change.shape
    x1, y1, x2, y2 = np.rint(box).astype(int).tolist()
    across, down = np.abs(np.diff(change, axis=1)), np.abs(np.diff(change, axis=0))
    found = [across[y1:y2, x + s * inwards - 1] for x, s in ((x1, 1), (x2, -1)) if 10 < x < width - 10]
    found += [down[y + s * inwards - 1, x1:x2] for y, s in ((y1, 1), (y2, -1)) if 10 < y < height - 10]
    return float(np.concatenate(found).mean()) if found else 0.0


def _check(
    labelled: Sample, name: str, severity: float, reference: Grey, *, least_px: float = 24, slack: float = 0.0
) -> None:
    """The step at the border is small, or no larger than those a few pixels inside, where the object may be."""
    change = _grey_after(labelled, name, severity) - reference
    for box in labelled.annotations.boxes:
        if min(box[2] - box[0], box[3] - box[1]) < least_px:
            continue
        border = max(_step(change, box, k) for k in (-1, 0, 1))
        inside = max(_step(change, box, k) for k in range(3, 9))
        assert border <= max((1.0 + slack) * inside, 2.5), (labelled.sample_id, name, box.tolist(), border, inside)


@pytest.mark.parametrize(("name", "severity"), PAINTED)
@pytest.mark.parametrize("seed", range(3))
def test_labels_change_no_pixel_at_the_border_of_their_boxes(name: str, severity: float, seed: int) -> None:
    """Beside the same shift of the same picture without labels: whatever differs was drawn by the labels."""
    sample = _only_boxes(box_sample(480, 270, seed=seed), loose_px=LOOSE_PX)
    _check(sample, name, severity, _grey_after(replace(sample, annotations=Annotations()), name, severity))


@pytest.mark.parametrize(("name", "severity"), PAINTED[:3])
def test_a_shift_makes_no_step_at_the_border_of_a_box(name: str, severity: float) -> None:
    """Beside the clean picture: on the road around the object as much changes across the border as beside it."""
    for seed in range(3):
        sample = _only_boxes(box_sample(480, 270, seed=seed), loose_px=2 * LOOSE_PX)
        change = _grey_after(sample, name, severity) - sample.image.mean(axis=2, dtype=np.float64)
        for box in sample.annotations.boxes:
            border = _step(change, box, 0)
            beside = max(_step(change, box, k) for k in (-6, -5, -4, -3, 3, 4, 5, 6))
            assert border <= 1.25 * beside + 0.5, (seed, box.tolist(), border, beside)


@pytest.mark.real
@pytest.mark.skipif("ROADPROOF_REAL_DATA" not in os.environ, reason="ROADPROOF_REAL_DATA is not set")
@pytest.mark.parametrize(("name", "severity"), PAINTED[:3])
@pytest.mark.parametrize("lidar", [False, True])
def test_photographs_labelled_by_boxes_show_none(name: str, severity: float, lidar: bool) -> None:
    dataset = open_dataset(Path(os.environ["ROADPROOF_REAL_DATA"]) / "kitti")
    for sample_id in dataset.sample_ids:
        sample = dataset[sample_id] if lidar else _only_boxes(dataset[sample_id])
        unlabelled = _grey_after(replace(sample, annotations=Annotations()), name, severity)
        _check(sample, name, severity, unlabelled)
        _check(sample, name, severity, sample.image.mean(axis=2, dtype=np.float64), least_px=80, slack=0.25)


def test_an_object_has_no_share_of_the_border_and_most_of_the_middle_of_its_box() -> None:
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    for box in ([20, 30, 90, 100], [40.4, 20.7, 60.2, 110.3], [3, 3, 8, 7], [5, 5, 7, 6]):
        share = soft_outline(image, np.array(box, np.float32))
        rim = np.concatenate([share[0], share[-1], share[:, 0], share[:, -1]])
        assert rim.max() < 0.01
        assert 0.0 <= share.min() <= share.max() <= 1.0
        if min(share.shape) < 3:
            continue
        steps = max(np.abs(np.diff(share[:2], axis=0)).max(), np.abs(np.diff(share[:, :2], axis=1)).max())
        assert steps < 0.2
        if min(share.shape) > 15:
            assert np.median(share[share.shape[0] // 2 - 3 :][:6, share.shape[1] // 2 - 3 :][:, :6]) > 0.5


def test_an_outline_follows_the_colour_of_the_object() -> None:
    image = np.full((120, 160, 3), (90, 110, 80), np.uint8)
    rows, columns = np.indices((120, 160))
    inside = ((rows - 60) / 40.0) ** 2 + ((columns - 80) / 15.0) ** 2 < 1
    image[inside] = (180, 40, 40)
    share = soft_outline(image, np.array([50, 20, 110, 100], np.float32))  # twice as wide as what is in it
    own = inside[20:100, 50:110]
    assert share[own].mean() > 0.6
    assert share[~own].mean() < 0.1


def test_a_box_cut_by_the_picture_does_not_fade_there() -> None:
    image = np.full((90, 160, 3), 70, np.uint8)
    share = soft_outline(image, np.array([120, 20, 160, 80], np.float32))
    assert share[30, -1] > 0.5
    assert share[30, 0] < 0.01


def test_masks_and_instances_keep_their_exact_shape() -> None:
    full = box_sample(320, 180, seed=1)
    notes = full.annotations
    masked = Annotations(boxes=notes.boxes, labels=notes.labels, masks=notes.masks, instance_ids=notes.instance_ids)
    for sample in (
        replace(full, depth=None, instances=None, annotations=masked),
        replace(full, depth=None, annotations=replace(masked, masks=None)),
    ):
        depth = ground_plane_depth(sample)
        without = ground_plane_depth(sample, objects=[])
        assert full.instances is not None
        assert not (depth != without)[full.instances == 0].any()
        for i, key in enumerate(notes.instance_ids):
            own = depth[full.instances == key]
            assert len(np.unique(own)) <= 1 or notes.masks is None, i


def _people(boxes: list[list[float]]) -> NDArray[np.float64]:
    image = np.full((180, 320, 3), 70, np.uint8)
    sample = Sample(
        sample_id="people",
        image=image,
        annotations=Annotations(boxes=np.array(boxes, np.float32), labels=np.zeros(len(boxes), np.int64)),
        camera=Camera.assumed(320, 180),
    )
    return feet_m(ground_plane_depth(sample, objects=[]), sample, FAR_M)


def test_who_is_carried_is_as_near_as_who_carries() -> None:
    """A child in someone's arms ends far over the ground; a person far behind a near one stays far."""
    carrier, child = _people([[100, 40, 160, 170], [120, 50, 150, 110]])
    assert child == carrier < 10
    near, far = _people([[100, 40, 160, 170], [120, 84, 130, 104]])
    assert far > 3 * near
    beside, other = _people([[100, 40, 160, 170], [170, 50, 200, 110]])
    assert other > 2 * beside
