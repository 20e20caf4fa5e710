"""Recipes: what they take, how they draw, and that every mistake is one message that says what to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenes.errors import InputError
from scenes.sample import Annotations, Sample
from synth.boxworld import box_sample
from synth.chain import Chain
from synth.random import Rng
from synth.recipe import Recipe, choose, matches, mismatch

pytestmark = pytest.mark.core
TEXT = """
variants: 2
shifts:
  - {name: fog, severity: 3, weight: 2}
  - {name: rain, severity: {min: 1, max: 3}, wet_ground: false}
  - {chain: [rain, {name: night, severity: [1, 2]}]}
  - {name: lighting/low_sun, classes: [car], conditions: {timeofday: daytime}}
"""


def test_a_recipe_reads_and_comes_back_from_plain_values(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(TEXT)
    recipe = Recipe.from_yaml(file)
    assert recipe == Recipe.from_yaml(TEXT)
    assert Recipe.make(recipe.plain()) == recipe
    assert recipe.shifts[1].options == {"wet_ground": False}
    assert Recipe.from_yaml(file, variants=5, seed=None).variants == 5


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"shift": ["fog"]}, "did you mean 'shifts'"),
        ({"shifts": [{"name": "fog", "severty": 2}]}, "did you mean 'severity'"),
        ({"shifts": ["fogg"]}, "did you mean 'fog'"),
        ({"shifts": [{"name": "fog", "severity": 7}]}, r"number from 1 to 5"),
        ({"shifts": [{"name": "fog", "severity": []}]}, r"number from 1 to 5"),
        ({"shifts": [{"name": "fog", "severity": {"mn": 2}}]}, r"number from 1 to 5"),
        ({"shifts": [{"name": "fog", "severity": {"min": 4, "max": 2}}]}, "min <= max"),
        ({"shifts": [{"name": "fog", "weight": 0}]}, "greater than 0"),
        ({"shifts": [{"chain": ["rain"], "wet_ground": False}]}, "stand in its part"),
        ({"shifts": [{"chain": ["rain", "object_turn"]}]}, "put it first"),
        ({"shifts": [{"weight": 2}]}, "name or a chain"),
        ({"shifts": []}, "at least one"),
        ({}, "expected a list"),
        ({"shifts": "fog", "variants": 0}, "variants"),
        ({"shifts": "fog", "filters": {"near_dup": 1}}, "near_duplicates"),
        ({"shifts": "fog", "splits": {"trian": 1}}, "train"),
        ({"shifts": "fog", "splits": {"train": 0}}, "shares"),
        ({"shifts": "fog", "image_format": "gif"}, "expected 'png' or 'jpeg'"),
        ({"shifts": [{"fog": 3}]}, "did you mean {name: fog, severity: 3}"),
        ({"shifts": [{"name": "fog", "visibility": 100}]}, "severity sets the visibility: 1 to 5 stand for"),
        ({"shifts": "fog", "scale": "measured"}, "measured severities are for plans"),
    ],
)
def test_every_mistake_is_named(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        Recipe.make(mapping)
    assert str(raised.value).startswith("recipe")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["- a\n- b\n", "shifts: [fog", ""])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match="recipe"):
        Recipe.from_yaml(file)


def test_weights_say_how_often() -> None:
    choices = Recipe.make({"shifts": [{"name": "fog", "weight": 3}, "night"]}).choices()
    counts = Counter(choose(choices, Rng("weights", i)).shift.name for i in range(2000))
    assert counts["weather/fog"] / 2000 == pytest.approx(0.75, abs=0.03)


def test_a_family_shares_its_weight() -> None:
    choices = Recipe.make({"shifts": [{"name": "lighting", "weight": 2}, "fog"]}).choices()
    assert sum(choice.weight for choice in choices) == pytest.approx(3.0)
    assert len(choices) > 2


@pytest.mark.parametrize(
    ("severity", "low", "high"), [(3, 3, 3), ([2, 4], 2, 4), ({"min": 1.5, "max": 2}, 1.5, 2), (None, 1, 5)]
)
def test_severities_are_drawn_where_the_recipe_says(severity: Any, low: float, high: float) -> None:
    (choice,) = Recipe.make({"shifts": [{"name": "fog", "severity": severity}]}).choices()
    drawn = [choice.drawn(Rng("severities", i))[1] for i in range(300)]
    assert low <= min(drawn) <= low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) <= max(drawn) <= high
    if isinstance(severity, list):
        assert set(drawn) == set(map(float, severity))


def test_parts_of_a_chain_draw_their_own_severity_and_the_others_take_the_entrys() -> None:
    entry = {"chain": ["rain", {"name": "night", "severity": [1, 2]}], "severity": 4}
    (choice,) = Recipe.make({"shifts": [entry]}).choices()
    for i in range(20):
        chain, severity = choice.drawn(Rng("chain", i))
        assert isinstance(chain, Chain)
        rain, night = chain.severities(severity)
        assert rain == 4
        assert night in (1, 2)


def test_class_filters_look_at_objects_that_count_and_at_whole_pictures() -> None:
    sample = box_sample(64, 36)
    names = tuple("abcdefgh")
    there = names[int(sample.annotations.labels[0])]
    absent = next(name for i, name in enumerate(names) if i not in sample.annotations.labels)
    assert matches(sample, names, [there.upper()], {})
    assert not matches(sample, names, [absent], {})
    ignored = replace(sample.annotations, ignore=np.ones(len(sample.annotations), np.bool_), label=None)
    assert not matches(replace(sample, annotations=ignored), names, [there], {})
    whole = Sample(sample_id="x", image=sample.image, annotations=Annotations(label=2))
    assert matches(whole, names, ["c"], {})
    assert not matches(whole, names, ["d"], {})


def test_conditions_look_at_the_attributes_of_the_frame() -> None:
    sample = replace(box_sample(64, 36), meta={"attributes": {"weather": "Clear", "tags": ["city", "wet"]}})
    assert matches(sample, (), [], {"weather": ["clear", "overcast"]})
    assert matches(sample, (), [], {"weather": ["clear"], "tags": ["wet"]})
    assert not matches(sample, (), [], {"weather": ["rainy"]})
    assert not matches(sample, (), [], {"timeofday": ["night"]})


def test_a_frame_says_what_keeps_it_from_an_entry() -> None:
    frame = replace(box_sample(32, 18), meta={"attributes": {"timeofday": "night"}})
    assert mismatch(frame, (), (), {"timofday": ("night",)}) == (
        "has no attribute 'timofday' (did you mean 'timeofday'?)"
    )
    assert "timeofday is night, not nihgt (did you mean 'night'?)" in mismatch(frame, (), (), {"timeofday": ("nihgt",)})
    assert mismatch(frame, (), (), {"timeofday": ("Night",)}) == ""
    assert mismatch(frame, ("a",), ("b",), {}) == "shows no b"
