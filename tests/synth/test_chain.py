"""Shifts in a row: drawn by position, replayed from params, verdicts composed over all parts."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from scenes.errors import InputError
from scenes.sample import Sample
from stress.plan import Cell, Plan
from synth.boxworld import box_sample
from synth.chain import Chain, Part, create_chain
from synth.contracts import digest
from synth.pipeline import params_as_mapping, replay, shifted
from synth.random import Rng
from synth.registry import create
from synth.shift import SeverityTable

pytestmark = pytest.mark.core
STORM = ["rain", {"name": "night", "severity": 2}, "occlusion/target"]


@dataclass(frozen=True)
class _Nothing:
    seed: int = 0


@dataclass(frozen=True)
class _Fake:
    """A shift that does something to the first object of a sample."""

    name: ClassVar[str] = "occlusion/fake"
    family: ClassVar[str] = "occlusion"
    needs: ClassVar[frozenset[str]] = frozenset()
    changes: ClassVar[str] = "content"
    table: ClassVar[SeverityTable] = SeverityTable("n", "", (1, 2, 3, 4, 5), "a test")
    params_type: ClassVar[type[_Nothing]] = _Nothing
    what: str = "hide"

    def draw(self, sample: Sample, severity: float, rng: Rng) -> _Nothing:
        return _Nothing(rng.seed())

    def apply(self, sample: Sample, params: _Nothing) -> Sample:
        notes = sample.annotations
        boxes, visibility = notes.boxes.copy(), np.array(notes.visibility)
        masks = np.array(notes.masks)
        if self.what == "hide":
            boxes[0], visibility[0], masks[0] = 0, 0, False
        if self.what == "show":
            boxes[0], visibility[0] = [2, 2, 9, 9], 1
            masks[0, 2:9, 2:9] = True
        if self.what == "halve":
            visibility[0] *= 0.5
        annotations = replace(notes, boxes=boxes, visibility=visibility, masks=masks)
        return replace(sample, image=sample.image.copy(), annotations=annotations)


def _chain(*whats: str) -> Chain:
    return Chain(tuple(Part(_Fake(what)) for what in whats))  # type: ignore[arg-type]  # a stand-in


def test_a_chain_is_its_parts_one_after_another_each_keyed_by_its_position() -> None:
    sample = box_sample(96, 54)
    whole = shifted(sample, create_chain(STORM), 4, seed=3, variant=2)
    step = sample
    for position, (name, severity) in enumerate([("rain", 4), ("night", 2), ("occlusion/target", 4)]):
        step = replace(step, scene=step.scene if position == 0 else None)
        step = shifted(step, create(name), severity, seed=3, variant=2, position=position).sample
    assert digest(whole.sample) == digest(step)
    assert [part.severity for part in whole.params.parts] == [4, 2, 4]


def test_the_same_shift_twice_draws_twice() -> None:
    drawn = shifted(box_sample(64, 36), create_chain(["rain", "rain"]), 3, seed=1).params.parts
    assert drawn[0].params["seed"] != drawn[1].params["seed"]


def test_one_draw_five_strengths_holds_for_every_part() -> None:
    draws = {
        tuple(
            part.params["seed"]
            for part in shifted(box_sample(64, 36), create_chain(["rain", "night"]), s, seed=1).params.parts
        )
        for s in (1, 2.5, 5)
    }
    assert len(draws) == 1


def test_params_that_went_through_json_replay_every_byte() -> None:
    sample, chain = box_sample(96, 54), create_chain(STORM)
    first = shifted(sample, chain, 4, seed=3)
    again = replay(sample, chain, json.loads(json.dumps(params_as_mapping(first.params))))
    assert digest(again.sample) == digest(first.sample)
    assert again.verdicts == first.verdicts
    assert again.params == first.params


def test_severity_zero_is_the_input_and_nothing_is_written_to_it() -> None:
    sample, chain = box_sample(64, 36), create_chain(STORM)
    before = digest(sample)
    assert shifted(sample, chain, 0, seed=1).sample is sample
    shifted(sample, chain, 5, seed=1)
    assert digest(sample) == before


def test_what_one_part_made_invalid_stays_invalid_whatever_a_later_one_does() -> None:
    verdict = shifted(box_sample(64, 36), _chain("hide", "show"), 3, seed=1).verdicts[0]
    assert verdict.kind == "invalid"
    assert "occlusion/fake" in verdict.reason


def test_the_visible_fraction_is_that_of_the_clean_frame() -> None:
    verdict = shifted(box_sample(64, 36), _chain("halve", "halve", "nothing"), 3, seed=1).verdicts[0]
    assert verdict.kind == "occluded"
    assert verdict.visible_fraction == pytest.approx(0.25)


def test_a_part_that_renders_the_scene_anew_stands_first() -> None:
    with pytest.raises(InputError, match="put it first"):
        create_chain(["rain", "pose/object_turn"])
    assert "scene" in create_chain(["pose/object_turn", "rain"]).needs


def test_later_parts_do_not_see_the_scene_that_would_undo_the_first() -> None:
    seen: list[Any] = []

    class Looking(_Fake):
        def apply(self, sample: Sample, params: _Nothing) -> Sample:
            seen.append(sample.scene)
            return replace(sample, image=sample.image.copy())

    chain = Chain((Part(Looking()), Part(Looking())))  # type: ignore[arg-type]  # stand-ins
    scene = box_sample(64, 36).scene
    shifted(box_sample(64, 36), chain, 3, seed=1)
    assert seen[1] is None
    assert (seen[0] is None) == (scene is None)


def test_params_of_another_chain_are_refused() -> None:
    params = params_as_mapping(shifted(box_sample(64, 36), create_chain(["rain"]), 3, seed=1).params)
    with pytest.raises(InputError, match="do not fit"):
        replay(box_sample(64, 36), create_chain(["fog"]), params)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "at least one"),
        (["rain", "nigth"], "night"),
        ([{"name": "night", "severity": 9}], "severity"),
        ([{"name": "night", "severity": "high"}], "severity"),
        ([{"severity": 2}], "name"),
    ],
)
def test_bad_chains_are_one_clear_error(parts: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        create_chain(parts)


def test_a_plan_takes_chains_and_gives_them_back() -> None:
    plan = Plan.make(
        {"shifts": ["fog", {"chain": ["rain", "night"], "severities": [1, 3]}, {"chain": STORM, "name": "storm"}]}
    )
    names = [cell.shift for cell in plan.cells()]
    assert Cell("chain/rain+night", 3.0) in plan.cells()
    assert names.count("chain/storm") == 5
    assert Plan.make(json.loads(json.dumps(plan.plain()))) == plan
    assert isinstance(plan.create_shifts()["chain/storm"], Chain)


def test_a_chain_whose_parts_all_fix_their_severity_is_one_cell() -> None:
    fixed = [{"name": "rain", "severity": 2}, {"name": "night", "severity": 4}]
    assert Plan.make({"shifts": [{"chain": fixed}]}).cells()[1:] == (Cell("chain/rain=2+night=4", 4.0),)
    with pytest.raises(InputError, match="leave out severities"):
        Plan.make({"shifts": [{"chain": fixed, "severities": [1, 2]}]})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"chain": ["rain"], "severity": 2}, "severities"),
        ({"chain": []}, "at least one"),
        ({"chain": ["rain", {"name": "yaw", "rendrer": "exact"}]}, "renderer"),
    ],
)
def test_a_plan_says_what_is_wrong_with_a_chain(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Plan.make({"shifts": [entry]})


def test_two_chains_of_one_name_are_an_error() -> None:
    with pytest.raises(InputError, match="listed twice"):
        Plan.make({"shifts": [{"chain": ["rain", "night"]}, {"chain": ["rain", "night"]}]}).entries()
