"""Occlusion by name: each kind meets its fraction, says what it is, and leaves the rest as it was."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from scenes.sample import Sample
from synth.boxworld import box_sample, mask_box
from synth.occlusion.graffiti import Graffiti
from synth.pipeline import Shifted, shifted
from synth.registry import create

KINDS = {"pole": "pole", "foliage": "leaves", "dirt": "dirt", "graffiti": "paint"}


@cache
def _frame(seed: int) -> Sample:
    return box_sample(400, 225, seed=seed)


def _made(name: str, seed: int, severity: float) -> Shifted:
    return shifted(_frame(seed), create(f"occlusion/{name}"), severity, seed=seed)


@pytest.mark.core
@pytest.mark.parametrize("name", KINDS)
def test_the_visible_fraction_is_met_and_its_cause_is_named(name: str) -> None:
    errors = []
    for seed in range(3):
        for severity in (1, 3, 5):
            result = _made(name, seed, severity)
            verdicts = {v.instance_id: v for v in result.verdicts}
            for key in result.params.targets:
                errors.append(abs(verdicts[key].visible_fraction - result.params.visible_fraction))
                assert verdicts[key].kind == "occluded"
                assert KINDS[name] in verdicts[key].reason
    assert len(errors) > 8
    assert max(errors) < 0.02


@pytest.mark.parametrize("name", KINDS)
def test_objects_that_nothing_hides_keep_their_labels_to_the_byte(name: str) -> None:
    untouched = 0
    for seed in range(4):
        before, result = _frame(seed).annotations, _made(name, seed, 2)
        after = result.sample.annotations
        for row, verdict in enumerate(result.verdicts):
            if verdict.kind != "kept" or verdict.visible_fraction < 1:
                continue
            untouched += 1
            for field in ("boxes", "masks", "visibility", "boxes_amodal", "boxes_3d", "labels"):
                assert getattr(after, field)[row].tobytes() == getattr(before, field)[row].tobytes()
    assert untouched > 0


def test_paint_leaves_outlines_depth_and_segmentation_alone() -> None:
    before, result = _frame(1), _made("graffiti", 1, 5)
    after = result.sample
    assert result.params.targets
    assert np.array_equal(after.annotations.boxes, before.annotations.boxes)
    assert np.array_equal(after.annotations.masks, before.annotations.masks)  # type: ignore[arg-type]
    assert np.array_equal(after.annotations.segmentation, before.annotations.segmentation)  # type: ignore[arg-type]
    assert np.array_equal(after.depth, before.depth)  # type: ignore[arg-type]
    targets = np.isin(before.instances, result.params.targets)  # type: ignore[arg-type]
    changed = (after.image != before.image).any(axis=2)
    assert not changed[~targets].any()
    assert changed[targets].mean() == pytest.approx(0.85, abs=0.06)


def test_paint_keeps_the_light_of_the_surface() -> None:
    """The same paint on the half of an object that lies in the shade is darker there, beside the other half."""
    sample = _frame(1)
    plain = shifted(sample, Graffiti(max_targets=1), 5, seed=3)
    (key,) = plain.params.targets
    assert sample.instances is not None
    mask = sample.instances == key
    x1, _, x2, _ = mask_box(mask)
    left = mask & (np.arange(sample.width)[None, :] < 0.5 * (x1 + x2))
    dark = sample.image.copy()
    dark[left] //= 2
    shaded = shifted(replace(sample, image=dark), Graffiti(max_targets=1), 5, seed=3)
    painted = left & (plain.sample.image != sample.image).any(axis=2)
    other = mask & ~left & (plain.sample.image != sample.image).any(axis=2)
    ratio = [shaded.sample.image[part].mean() / plain.sample.image[part].mean() for part in (painted, other)]
    assert ratio[0] < 0.85 * ratio[1]
