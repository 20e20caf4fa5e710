"""Truncation: the picture's edge leaves what was asked for, and boxes, masks and camera follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scenes.sample import Annotations, Sample
from synth.boxworld import box_sample, mask_box
from synth.contracts import disagreement
from synth.occlusion.truncation import SIDES, Truncation
from synth.pipeline import shifted

pytestmark = pytest.mark.core


def _flat(seed: int) -> Sample:
    return replace(box_sample(400, 225, seed=seed), scene=None)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_the_edge_leaves_the_wanted_fraction(severity: int) -> None:
    found = 0
    for seed in range(6):
        for sample in (_flat(seed), box_sample(400, 225, seed=seed)):
            result = shifted(sample, Truncation(), severity, seed=seed)
            for verdict in result.verdicts:
                if verdict.instance_id == result.params.target:
                    found += 1
                    assert verdict.visible_fraction == pytest.approx(result.params.visible_fraction, abs=0.04)
                    assert verdict.kind == "occluded"
                    assert "edge" in verdict.reason
    assert found >= 6


@pytest.mark.parametrize("side", SIDES)
def test_the_object_ends_at_the_edge_that_cuts_it(side: str) -> None:
    for seed in range(6):
        sample = _flat(seed)
        result = shifted(sample, Truncation(side=side), 3, seed=seed)  # type: ignore[arg-type]
        if result.params.target is None:
            continue
        row = sample.annotations.instance_ids.tolist().index(result.params.target)
        box = result.sample.annotations.boxes[row]
        ends = dict(zip(("left", "top", "right", "bottom"), box.tolist(), strict=True))
        wanted = {"left": 0, "top": 0, "right": sample.width, "bottom": sample.height}[side]
        assert ends[side] == pytest.approx(wanted, abs=1)


def test_boxes_are_those_of_the_masks_and_nothing_contradicts() -> None:
    for seed in range(4):
        after = shifted(_flat(seed), Truncation(), 4, seed=seed).sample
        assert disagreement(after) == ""
        assert after.annotations.masks is not None
        for box, mask in zip(after.annotations.boxes, after.annotations.masks, strict=True):
            assert np.array_equal(box, mask_box(mask))


def test_the_cropped_frame_is_the_scene_seen_by_the_new_camera() -> None:
    ious = []
    for seed in range(4):
        sample = box_sample(400, 225, seed=seed)
        crop, exact = (
            shifted(sample, Truncation(renderer=way), 3, seed=seed).sample  # type: ignore[arg-type]
            for way in ("crop", "exact")
        )
        if crop.camera is None or exact.camera is None or crop.instances is None or exact.instances is None:
            pytest.fail("camera or instances were lost")
        assert np.allclose(crop.camera.K, exact.camera.K)
        ious += [
            ((crop.instances == key) & (exact.instances == key)).sum() / (exact.instances == key).sum()
            for key in np.unique(exact.instances)
            if key and (exact.instances == key).sum() > 200
        ]
    assert len(ious) > 4
    assert min(ious) > 0.93


def test_a_lighter_cut_shows_more_of_the_frame() -> None:
    sizes = [shifted(_flat(1), Truncation(), severity, seed=1).params.size for severity in (1, 2, 3, 4, 5)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_boxes_without_masks_are_cut_at_the_edge() -> None:
    notes = Annotations(boxes=np.array([[40, 80, 120, 140], [300, 100, 360, 150]], np.float32), labels=np.zeros(2, int))
    sample = Sample(sample_id="boxes", image=np.full((225, 400, 3), 90, np.uint8), annotations=notes)
    result = shifted(sample, Truncation(side="left"), 3, seed=1)
    assert result.params.target == 1
    assert result.verdicts[0].visible_fraction == pytest.approx(0.5, abs=0.05)
    assert result.sample.annotations.boxes[0, 0] == 0


def test_nothing_to_cut_leaves_the_frame() -> None:
    for notes in (Annotations(), Annotations(label=2)):
        sample = Sample(sample_id="bare", image=np.zeros((40, 60, 3), np.uint8), annotations=notes)
        result = shifted(sample, Truncation(), 5, seed=1)
        assert result.params.target is None
        assert result.sample.image is sample.image
