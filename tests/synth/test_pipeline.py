"""One variant of one sample: what is completed, drawn, applied and said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scenes.errors import InputError
from scenes.sample import Sample
from synth.boxworld import box_sample
from synth.contracts import digest
from synth.depth import PRIOR_NAME
from synth.pipeline import complete, params_as_mapping, params_from, replay, shifted
from synth.registry import create

pytestmark = pytest.mark.core


def _bare() -> Sample:
    return Sample(sample_id="street/1", image=box_sample(64, 36).image)


def test_severity_zero_is_the_sample_itself() -> None:
    sample = _bare()
    result = shifted(sample, create("fog"), 0, seed=1)
    assert result.sample is sample
    assert result.params is None
    assert result.completed == {}


@pytest.mark.parametrize("severity", [0.5, 6, -1, 5.01])
def test_severities_outside_the_scale_are_errors(severity: float) -> None:
    with pytest.raises(InputError, match="severity"):
        shifted(_bare(), create("fog"), severity, seed=1)


def test_what_was_completed_is_said() -> None:
    result = shifted(_bare(), create("fog"), 3, seed=1)
    assert result.completed["depth"] == PRIOR_NAME
    assert "60 degrees" in result.completed["camera"]
    assert shifted(box_sample(64, 36), create("fog"), 3, seed=1).completed == {}
    assert shifted(_bare(), create("pixelation"), 3, seed=1).completed == {}


def test_a_depth_source_is_asked_and_named() -> None:
    def near(sample: Sample) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.full(sample.image.shape[:2], 1.0, np.float32)

    result = shifted(_bare(), create("fog"), 5, seed=1, depth=near)
    assert result.completed["depth"] == "near"
    assert np.abs(result.sample.image.astype(int) - _bare().image).mean() < 12  # a metre of fog


def test_replay_from_plain_values_gives_the_same_pixels() -> None:
    for name in ("fog", "rain", "night", "motion_blur"):
        shift = create(name)
        first = shifted(_bare(), shift, 4, seed=9, variant=2)
        again = replay(_bare(), shift, params_as_mapping(first.params))
        assert digest(first.sample) == digest(again.sample), name
        assert again.params == first.params


def test_the_draw_depends_on_seed_sample_variant_and_place_in_the_chain() -> None:
    shift = create("rain")
    base = shifted(_bare(), shift, 3, seed=1).params
    others = [
        shifted(_bare(), shift, 3, seed=2).params,
        shifted(replace(_bare(), sample_id="street/2"), shift, 3, seed=1).params,
        shifted(_bare(), shift, 3, seed=1, variant=1).params,
        shifted(_bare(), shift, 3, seed=1, position=1).params,
    ]
    assert shifted(_bare(), shift, 3, seed=1).params == base
    assert len({other.seed for other in others} | {base.seed}) == 5


def test_what_cannot_be_made_up_is_an_error() -> None:
    class NeedsScene:
        name, needs = "pose/test", frozenset({"scene"})

    class NeedsMasks:
        name, needs = "texture/test", frozenset({"instances"})

    for shift, words in ((NeedsScene(), "needs a scene"), (NeedsMasks(), "needs object masks")):
        with pytest.raises(InputError, match=f"{words}.*street/1"):
            complete(_bare(), shift)  # type: ignore[arg-type]  # only name and needs are looked at


def test_params_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(InputError, match="visibility"):
        params_from(create("fog"), {"visibility": 3})


def test_every_object_gets_a_verdict() -> None:
    sample = box_sample(64, 36)
    for severity in (0, 3):
        verdicts = shifted(sample, create("fog"), severity, seed=1).verdicts
        assert [v.instance_id for v in verdicts] == sample.annotations.instance_ids.tolist()
