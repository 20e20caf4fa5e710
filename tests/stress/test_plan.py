"""The plan: keys, families written out, errors that name the nearest known key."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes.errors import InputError
from stress.plan import Cell, Plan

pytestmark = pytest.mark.core


def test_cells_are_clean_and_the_grid():
    plan = Plan.from_yaml("shifts: [fog, {name: night, severities: [2.5]}]\nseverities: [3, 1, 3]")
    assert plan.cells() == (
        Cell("clean", 0.0),
        Cell("weather/fog", 1.0),
        Cell("weather/fog", 3.0),
        Cell("lighting/night", 2.5),
    )


def test_options_beside_the_name_reach_the_shift():
    with pytest.raises(InputError, match="no option 'visibilty'"):
        Plan.from_yaml("shifts: [{name: fog, visibilty: 3}]").create_shifts()


def test_a_shift_by_name_wins_over_its_family_wherever_it_stands():
    for shifts in (
        ["weather", {"name": "weather/fog", "severities": [2]}],
        [{"name": "fog", "severities": [2]}, "weather"],
    ):
        cells = Plan.make({"shifts": shifts, "severities": [5]}).cells()
        assert [c.severity for c in cells if c.shift == "weather/fog"] == [2.0]
        assert [c.severity for c in cells if c.shift == "weather/rain"] == [5.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("severites: [1]", "no key 'severites' \\(did you mean 'severities'\\?\\)"),
        ("severities: [7]", "severities.*7"),
        ("severities: []", "at least one severity"),
        ("shifts: [fog, fog]", "listed twice"),
        ("shifts: [fgo]", "no such shift.*fog"),
        ("shifts: []", "at least one shift"),
        ("limit: 0", "limit"),
        ("explain: {method: magic}", "explain.*magic"),
        ("seed: [1", "cannot be read"),
        ("just text", "key: value"),
    ],
)
def test_a_wrong_plan_is_one_clear_error(text, message):
    with pytest.raises(InputError, match=message):
        Plan.from_yaml(text).cells()


def test_command_line_values_replace_those_of_the_file():
    plan = Plan.from_yaml("shifts: [fog]\nseed: 4\nlimit: 9", seed=7, limit=None)
    assert (plan.seed, plan.limit) == (7, 9)


def test_short_forms_of_explain():
    assert Plan.make({"explain": 3}).explain.failures == 3
    assert Plan.make({"explain": "none"}).explain.method == "none"
    assert Plan.make({"explain": "drise"}).explain.method == "drise"


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from(["weather/fog", "lighting/night", "sensor/motion_blur"]), min_size=1, unique=True),
    st.lists(st.floats(1, 5), min_size=1, max_size=5),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_a_plan_comes_back_from_its_plain_values(shifts, severities, seed, own):
    entries = [{"name": name, "severities": severities} if own else name for name in shifts]
    plan = Plan.make({"shifts": entries, "severities": severities, "seed": seed})
    again = Plan.make(plan.plain())
    assert again == plan
    assert again.cells() == plan.cells()
