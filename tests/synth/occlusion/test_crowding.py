"""A crowd: as many as the table says, each an object of its own, behind what is nearer; crowds hold smaller ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from scenes.sample import Sample
from synth.boxworld import box_sample
from synth.contracts import disagreement
from synth.occlusion.crowding import Crowding
from synth.pipeline import Shifted, shifted


@cache
def _made(seed: int, severity: float) -> tuple[Sample, Shifted]:
    sample = box_sample(400, 225, seed=seed)
    sample = replace(sample, meta={"class_names": ("car", "rider", "person")})
    return sample, shifted(sample, Crowding(), severity, seed=seed)


@pytest.mark.parametrize(("severity", "count"), [(1, 2), (3, 9)])
def test_new_objects_have_masks_boxes_and_ids_of_their_own(severity: int, count: int) -> None:
    for seed in range(3):
        sample, result = _made(seed, severity)
        notes, n = result.sample.annotations, len(sample.annotations)
        assert len(result.params.donors) == count
        assert n < len(notes) <= n + count  # what is hidden in full from the start is not added
        assert len(set(notes.instance_ids.tolist())) == len(notes)
        assert disagreement(result.sample) == ""
        assert notes.masks is not None
        assert (notes.masks.sum(axis=0) <= 1).all()
        assert np.isnan(notes.boxes_3d[n:]).all()  # type: ignore[index]


def test_a_larger_crowd_holds_the_smaller_one() -> None:
    _, few = _made(1, 1)
    _, many = _made(1, 4)
    for field in ("donors", "kinds", "seeds", "centres", "feet", "sizes"):
        small = getattr(few.params, field)
        assert getattr(many.params, field)[: len(small)] == small


def test_an_object_that_stands_nearer_than_all_of_the_crowd_loses_nothing() -> None:
    sample, result = _made(0, 4)
    assert result.params.donors
    feet = tuple(min(foot, 0.62) for foot in result.params.feet)  # all of them far away
    nearest = int(sample.annotations.boxes[:, 3].argmax())
    assert sample.annotations.boxes[nearest, 3] > 0.7 * sample.height
    after = Crowding().apply(sample, replace(result.params, feet=feet))
    assert len(after.annotations) > len(sample.annotations)
    assert np.array_equal(after.annotations.masks[nearest], sample.annotations.masks[nearest])  # type: ignore[index]
    inside = sample.instances == sample.annotations.instance_ids[nearest]
    assert np.array_equal(after.image[inside], sample.image[inside])


def test_objects_that_nothing_hides_keep_their_labels_to_the_byte() -> None:
    untouched = 0
    for seed in range(3):
        sample, result = _made(seed, 1)
        for row in range(len(sample.annotations)):
            if result.verdicts[row].kind == "kept":
                untouched += 1
                for field in ("boxes", "masks", "visibility", "labels"):
                    ours = getattr(result.sample.annotations, field)[row]
                    assert ours.tobytes() == getattr(sample.annotations, field)[row].tobytes()
    assert untouched
