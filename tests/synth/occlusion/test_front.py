"""Vehicles and people in front of objects: of the right size, labelled one by one, hiding what was wanted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scenes.sample import Annotations, Sample
from synth.boxworld import box_sample
from synth.contracts import disagreement
from synth.cutout import Ground
from synth.pipeline import shifted
from synth.registry import create


def _named(seed: int) -> Sample:
    sample = box_sample(400, 225, seed=seed)
    return replace(sample, meta={"class_names": ("person", "bicycle", "car", "truck", "bus")})


@pytest.mark.parametrize("name", ["vehicle", "person"])
def test_targets_keep_about_the_wanted_fraction(name: str) -> None:
    errors = []
    for seed in range(6):
        for severity in (2, 4):
            result = shifted(_named(seed), create(f"occlusion/{name}", {"max_targets": 1}), severity, seed=seed)
            fractions = {v.instance_id: v.visible_fraction for v in result.verdicts}
            errors += [abs(fractions[key] - result.params.visible_fraction) for key in result.params.targets]
    assert len(errors) >= 6
    assert np.median(errors) < 0.04


@pytest.mark.parametrize(("name", "words"), [("vehicle", {"car", "truck", "bus"}), ("person", {"person"})])
def test_each_is_an_object_of_its_class_with_a_mask_of_its_own(name: str, words: set[str]) -> None:
    added = 0
    for seed in range(4):
        sample = _named(seed)
        result = shifted(sample, create(f"occlusion/{name}"), 3, seed=seed).sample
        n, notes = len(sample.annotations), result.annotations
        assert disagreement(result) == ""
        assert len(set(notes.instance_ids.tolist())) == len(notes)
        assert {sample.meta["class_names"][label] for label in notes.labels[n:]} <= words
        assert notes.masks is not None
        assert (notes.masks.sum(axis=0) <= 1).all()
        added += len(notes) - n
    assert added >= 4


def test_without_class_names_nothing_is_claimed() -> None:
    sample = box_sample(400, 225, seed=1)
    result = shifted(sample, create("occlusion/person"), 4, seed=1)
    assert result.params.targets
    assert len(result.sample.annotations) == len(sample.annotations)
    assert not np.array_equal(result.sample.image, sample.image)


def test_a_person_is_as_tall_as_the_ground_says() -> None:
    """Where a person of 1.7 m stands, the camera's height over the ground is the scale."""
    tall = []
    for seed in range(8):
        sample = _named(seed)
        result = shifted(sample, create("occlusion/person", {"max_targets": 1}), 5, seed=seed).sample
        ground = Ground.of(sample)
        for x1, y1, x2, y2 in result.annotations.boxes[len(sample.annotations) :].tolist():
            if x1 > 1 and x2 < 399 and y1 > 1 and y2 < 224 and y2 > ground.horizon + 10:
                tall.append((y2 - y1) / ground.px_per_m(y2))
    assert tall
    assert 1.2 < np.median(tall) < 2.1


def test_frames_with_a_segmentation_only_get_classes_and_no_objects() -> None:
    boxes = box_sample(400, 225, seed=2)
    segmentation = boxes.annotations.segmentation
    assert segmentation is not None
    names = ("sky", "road", "car", "person")
    sample = Sample(
        sample_id="seg",
        image=boxes.image,
        annotations=Annotations(segmentation=segmentation),
        camera=boxes.camera,
        meta={"class_names": names},
    )
    result = shifted(sample, create("occlusion/person"), 5, seed=2).sample
    assert len(result.annotations) == 0
    assert np.count_nonzero(result.annotations.segmentation == 3)
