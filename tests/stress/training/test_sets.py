"""What the arms learn from: held-out families, validation by group, and no leak."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenes.datasets import open_dataset, write_dataset
from scenes.errors import InputError
from stress.feedback import read_feedback
from stress.progress import silent
from stress.training.sets import by_source, guard, rows_of, write_clean, write_standard

spec = importlib.util.spec_from_file_location("material", Path(__file__).with_name("material.py"))
material = importlib.util.module_from_spec(spec)
spec.loader.exec_module(material)


@pytest.fixture
def source(tmp_path):
    return write_dataset(material.boxes(30), tmp_path / "source", format="masks", class_names=material.PIXELS)


@pytest.fixture
def feedback(tmp_path, source):
    return read_feedback(material.feedback_set(tmp_path / "feedback", tmp_path / "run", source, first=18))


def test_validation_is_of_whole_source_groups(feedback):
    rows = rows_of(feedback, ())
    learned, judged = {r.group for r in rows.training}, {r.group for r in rows.validation}
    assert judged
    assert not learned & judged
    assert len(rows.training) + len(rows.validation) == len(feedback.weights)
    assert rows_of(feedback, ()) == rows


def test_few_groups_spare_none_for_validation(tmp_path, source):
    few = read_feedback(material.feedback_set(tmp_path / "few", tmp_path, source, first=18, n=1))
    assert rows_of(few, ()).validation == ()


def test_where_few_sequences_are_known_frames_validate(feedback):
    drive = replace(feedback, weights=tuple(replace(r, group="drive 7") for r in feedback.weights))
    rows = rows_of(drive, ())
    assert rows.validation
    assert not {r.source for r in rows.training} & {r.source for r in rows.validation}


def test_held_out_families_are_not_learned(feedback):
    mixed = replace(
        feedback, weights=tuple(replace(r, shift="weather/fog") if i % 2 and r.shift else r
                                for i, r in enumerate(feedback.weights)),
    )  # fmt: skip
    rows = rows_of(mixed, ["weather"])
    assert rows.held_out == ("weather",)
    assert set(rows.shifts) == {"lighting/night"}
    assert "weather/fog" in rows_of(mixed, ()).shifts
    with pytest.raises(InputError, match="no shifted picture is left to learn from without lighting"):
        rows_of(feedback, ["lighting"])
    with pytest.raises(InputError, match=r"no family 'lightning' \(did you mean 'lighting'"):
        rows_of(feedback, ["lightning"])


def test_a_set_that_holds_what_it_says_it_holds_out_is_refused(feedback):
    lying = replace(feedback, summary={**feedback.summary, "families_held_out": ["lighting"]})
    with pytest.raises(InputError, match="a family that the set says it holds out"):
        rows_of(lying, ())


def test_a_frame_on_both_sides_is_a_leak(feedback, source):
    data = open_dataset(source)
    guard(feedback, material.Frames([data[i] for i in data.sample_ids[:18]]), str(source))
    with pytest.raises(InputError, match=r"leak: 1 source group of the feedback .* is also tested on \('ok/0018'\)"):
        guard(feedback, material.Frames([data[i] for i in data.sample_ids[:19]]), str(source))


def test_a_sequence_on_both_sides_is_a_leak(feedback, source):
    data = open_dataset(source)
    tested = material.Frames([data[i] for i in data.sample_ids[:18]])
    drive = replace(feedback, weights=tuple(replace(r, group="drive 7") for r in feedback.weights))
    tested.groups = {tested.sample_ids[4]: "drive 7"}
    with pytest.raises(InputError, match=r"'drive 7'.*no model is judged on frames or sequences"):
        guard(drive, tested, str(source))
    with pytest.raises(InputError, match="drive 7"):
        guard(drive, tested, "another folder")


def test_another_folder_with_the_same_names_is_a_leak_only_with_the_same_pictures(feedback, source):
    data = open_dataset(source)
    names = data.sample_ids[18:22]
    other = [replace(data[i], image=np.roll(data[i].image, 3, axis=1)) for i in names]
    guard(feedback, material.Frames(other), "elsewhere")
    with pytest.raises(InputError, match="leak: 4 source groups"):
        guard(feedback, material.Frames([data[i] for i in names]), "elsewhere")


def test_the_controls_show_the_same_sources_clean(feedback, source, tmp_path):
    clean = open_dataset(write_clean(feedback, tmp_path / "clean", workers=1, report=silent))
    data = open_dataset(source)
    assert set(clean.sample_ids) == {r.source for r in feedback.weights}
    for name in clean.sample_ids:
        assert np.array_equal(clean[name].image, data[name].image)
        assert np.array_equal(clean[name].annotations.segmentation, data[name].annotations.segmentation)


def test_standard_augmentation_for_an_external_trainer_keeps_labels_on_their_pixels(feedback, tmp_path):
    clean = write_clean(feedback, tmp_path / "clean", workers=1, report=silent)
    rows = rows_of(feedback, ()).training
    place = write_standard(feedback, rows, clean, tmp_path / "standard", seed=0)
    made, mirrored = open_dataset(place), 0
    assert len(made) == len(rows)
    for name in made.sample_ids:
        one, before = made[name], open_dataset(clean)[name.rpartition("-s")[0]]
        same = np.array_equal(one.annotations.segmentation, before.annotations.segmentation)
        mirrored += not same
        if not same:
            assert np.array_equal(one.annotations.segmentation, before.annotations.segmentation[:, ::-1])
    assert 0 < mirrored < len(rows)
    assert (place / "weights.csv").read_text().startswith("sample_id,weight,shift,severity,source,group\n")


def test_weights_of_a_source_add_up(feedback):
    total = dict(by_source(feedback.weights))
    assert len(total) == 12
    assert all(row.weight == 2.0 for row in total.values())
