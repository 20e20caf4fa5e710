"""Occluders leave the visible fraction that was asked for, in front of what is behind them only."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from scenes.sample import Annotations, Sample
from synth.audit import audit
from synth.boxworld import box_sample
from synth.occlusion.occluders import KINDS
from synth.occlusion.target import Target, TargetParams
from synth.pipeline import shifted
from synth.random import Rng


@cache
def _frame(seed: int) -> Sample:
    return box_sample(400, 225, seed=seed)


def _large(kind: str, seed: int, severity: float) -> list[tuple[float, float]]:
    """(wanted, measured) visible fraction of targets."""
    sample = _frame(seed)
    result = shifted(sample, Target(kind=kind), severity, seed=seed)  # type: ignore[arg-type]
    fractions = {v.instance_id: v.visible_fraction for v in result.verdicts}
    return [(result.params.visible_fraction, fractions[key]) for key in result.params.targets]


@pytest.mark.parametrize("kind", KINDS)
def test_the_visible_fraction_is_met(kind: str) -> None:
    found = [pair for seed in range(3) for severity in (1, 2.5, 5) for pair in _large(kind, seed, severity)]
    assert len(found) > 8
    errors = np.array([abs(wanted - got) for wanted, got in found])
    assert errors.max() < 0.02
    assert errors.mean() < 0.005


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_occluder_contains_the_smaller(kind: str) -> None:
    sample, hidden = box_sample(320, 180, seed=2), []
    for visible in (0.9, 0.5, 0.15):
        after = Target().apply(sample, TargetParams(visible, (1,), (kind,), (11,)))
        hidden.append(
            np.not_equal(sample.annotations.segmentation, 255) & np.equal(after.annotations.segmentation, 255)
        )
    assert not (hidden[0] & ~hidden[1]).any()
    assert not (hidden[1] & ~hidden[2]).any()


def test_what_is_nearer_is_not_covered() -> None:
    for seed in range(6):
        sample = box_sample(320, 180, seed=seed)
        assert sample.depth is not None
        assert sample.instances is not None
        for target in (2, 3):
            if not (sample.instances == target).any():
                continue
            after = Target().apply(sample, TargetParams(0.3, (target,), ("pole",), (5,)))
            changed = (after.image != sample.image).any(axis=2)
            mine = sample.depth[sample.instances == target].min()
            nearer = (sample.instances > 0) & (sample.depth < 0.85 * mine)
            assert not (changed & nearer).any()


def test_boxes_without_masks_are_hidden_by_the_ellipse_in_them() -> None:
    image = np.full((200, 300, 3), 120, np.uint8)
    notes = Annotations(boxes=np.array([[100, 60, 200, 160]]), labels=np.array([0]))
    sample = Sample(sample_id="box", image=image, annotations=notes)
    result = shifted(sample, Target(kind="plate"), 3, seed=1)
    assert result.verdicts[0].kind == "occluded"
    assert result.verdicts[0].visible_fraction == pytest.approx(0.5, abs=0.02)
    assert result.sample.annotations.visibility is None


def test_a_classification_image_is_one_object() -> None:
    image = np.full((64, 64, 3), 120, np.uint8)
    sample = Sample(sample_id="crop", image=image, annotations=Annotations(label=3))
    result = shifted(sample, Target(kind="dirt"), 5, seed=1).sample
    changed = (result.image != image).any(axis=2).mean()
    assert changed > 0.8
    assert result.annotations.label == 3


def test_without_objects_the_frame_stays_and_the_params_say_so() -> None:
    sample = Sample(sample_id="bare", image=np.zeros((40, 60, 3), np.uint8))
    result = shifted(sample, Target(), 5, seed=1)
    assert result.params.targets == ()
    assert result.sample.image is sample.image


def test_an_unknown_object_is_named() -> None:
    with pytest.raises(ValueError, match=r"\[77\]"):
        Target().apply(box_sample(160, 90), TargetParams(0.5, (77,), ("pole",), (1,)))


def test_the_audit_reads_fractions_from_labels_without_visibility() -> None:
    sample = box_sample(320, 180)
    sample = replace(sample, annotations=replace(sample.annotations, visibility=None))
    params = Target().draw(sample, 4, Rng("x"))
    verdicts = {v.instance_id: v for v in audit(sample, Target().apply(sample, params))}
    assert params.targets
    for key in params.targets:
        assert verdicts[key].visible_fraction == pytest.approx(0.3, abs=0.02)
