"""Laws of matching class lists."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenes.errors import InputError
from stress.class_map import ClassMap, normalised, read_mapping

pytestmark = pytest.mark.core
WORDS = ["car", "truck", "bus", "person", "rider", "traffic light", "traffic sign", "sky"]


@given(st.permutations(WORDS), st.integers(1, 8), st.permutations(WORDS), st.integers(1, 8))
def test_indices_lead_to_the_same_name_on_both_sides(model, n_model, dataset, n_dataset):
    model, dataset = model[:n_model], dataset[:n_dataset]
    if not set(model) & set(dataset):
        with pytest.raises(InputError, match="no class in common"):
            ClassMap.between(model, dataset)
        return
    found = ClassMap.between([name.upper() for name in model], dataset)
    assert found.names == tuple(name for name in dataset if name in model)
    for i, e in enumerate(found.from_model):
        assert (e == -1) == (model[i] not in dataset)
        assert e == -1 or found.names[e] == model[i]
    for i, e in enumerate(found.from_dataset):
        assert e == -1 or found.names[e] == dataset[i]
    assert len(found.model_only) == (found.from_model == -1).sum()
    assert set(found.dataset_only) == set(dataset) - set(found.names)


@pytest.mark.parametrize(
    ("left", "right"),
    [("Traffic_Lights", "traffic light"), ("BUSES", "bus"), ("traffic-sign", "Traffic  Signs"), ("boxes", "box")],
)
def test_spelling_does_not_matter(left, right):
    assert normalised(left) == normalised(right)
    assert ClassMap.between([left], [right]).names == (right,)


def test_synonyms_need_a_mapping():
    with pytest.raises(InputError, match="--class-map"):
        ClassMap.between(["person"], ["pedestrian"])
    assert ClassMap.between(["person"], ["pedestrian"], {"person": "pedestrian"}).names == ("pedestrian",)


def test_several_model_classes_may_be_one_and_null_leaves_out(tmp_path: Path):
    path = tmp_path / "map.yaml"
    path.write_text("van: car\nbus: null\n")
    found = ClassMap.between(["car", "van", "bus"], ["bus", "car"], path)
    assert found.names == ("car",)
    np.testing.assert_array_equal(found.from_model, [0, 0, -1])
    assert found.dataset_only == ("bus",)


def test_an_exact_name_wins_over_a_similar_one_and_a_tie_is_an_error():
    assert ClassMap.between(["cars"], ["car", "cars"]).names == ("cars",)
    with pytest.raises(InputError, match="say which"):
        ClassMap.between(["CAR"], ["car", "cars"])


@pytest.mark.parametrize(
    ("mapping", "message"),
    [({"perso": "car"}, "did you mean 'person'"), ({"person": "caar"}, "did you mean 'car'")],
)
def test_unknown_names_in_a_mapping_are_errors(mapping, message):
    with pytest.raises(InputError, match=message):
        ClassMap.between(["person", "car"], ["car"], mapping)


@pytest.mark.parametrize("text", ["- car\n", "car: [a]\n", "a: b: c\n"])
def test_a_mapping_file_that_is_none_is_an_error(tmp_path: Path, text):
    path = tmp_path / "map.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"map\.yaml"):
        read_mapping(path)


def test_a_data_set_with_a_class_twice_is_an_error():
    with pytest.raises(InputError, match="unique"):
        ClassMap.between(["car"], ["car", "car"])
