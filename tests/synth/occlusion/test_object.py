"""An object in front of another: size by distance, labels for both."""

from __future__ import annotations

import numpy as np
import pytest

from synth.boxworld import box_sample
from synth.occlusion.object import InFront
from synth.pipeline import shifted


def test_targets_keep_about_the_wanted_fraction_or_as_little_as_can_be() -> None:
    errors = []
    for seed in range(8):
        sample = box_sample(400, 225, seed=seed)
        result = shifted(sample, InFront(max_targets=1), 3, seed=seed)
        fractions = {v.instance_id: v.visible_fraction for v in result.verdicts}
        errors += [abs(fractions[key] - 0.5) for key in result.params.targets]
    assert len(errors) >= 5
    assert np.median(errors) < 0.03


def test_what_is_pasted_is_an_object_with_a_mask_and_a_nearer_depth() -> None:
    for seed in range(8):
        sample = box_sample(400, 225, seed=seed)
        result = shifted(sample, InFront(max_targets=1), 3, seed=seed)
        if not any(result.params.donors):
            continue
        before, after = sample.annotations, result.sample.annotations
        assert len(after) == len(before) + 1
        assert after.masks is not None
        assert after.labels[-1] == before.labels[before.instance_ids.tolist().index(result.params.donors[0])]
        assert result.verdicts[-1].kind == "kept"
        behind = sample.depth[sample.instances == result.params.targets[0]]  # type: ignore[index]
        pasted = result.sample.depth[after.masks[-1]]  # type: ignore[index]
        assert pasted.max() < np.median(behind)
        return
    pytest.fail("no seed gave a donor of the frame")
