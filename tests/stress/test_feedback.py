"""Feedback sets: nothing tested in them, nothing held out, aimed at what was lost, the same bytes for any workers."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import cli
import stress
from scenes.datasets import open_dataset, write_dataset
from scenes.errors import InputError
from scenes.plugins import load_attribute
from stress.feedback import make_feedback, read_feedback
from stress.frames import embedder_of
from synth.manifest import read_manifest

FAKES = Path(__file__).with_name("fakes.py")
PLAN = {"shifts": "fog,vignetting", "severities": [2, 4], "resamples": 40, "explain": "none", "limit": 40}


def fake(name):
    return load_attribute(f"{FAKES}:{name}", what="test part")


class CarsInFog:
    """Finds everything, whatever was done to the picture, but cars (red) where the light is flat and grey."""

    name, task, class_names = "no cars in fog", "detection", ["car", "person", "sign"]

    def __init__(self, data):
        self.known = [(self._pattern(s.image), s) for s in data]

    @staticmethod
    def _pattern(image):
        """Edges across, row by row: fog thins out with the row, and takes from each the same share."""
        edges = np.diff(image.astype(np.float64).sum(axis=2), axis=1)
        return edges / (edges.std(axis=1, keepdims=True) + 1.0)

    def predict(self, images):
        return [self._one(image) for image in images]

    def _one(self, image):
        own = self._pattern(image)
        sample = max(self.known, key=lambda item: float((item[0] * own).mean()))[1]
        notes = sample.annotations
        foggy = image.std() < 0.82 * sample.image.std()  # blur leaves 0.86, fog at most 0.81
        keep = notes.labels != 0 if foggy else notes.labels >= 0
        return {"boxes": notes.boxes[keep], "labels": notes.labels[keep], "scores": np.full(int(keep.sum()), 0.9)}


def samples(n, start=0):
    data = fake("Boxes")(start + n)
    for name in data.sample_ids[start:]:
        sample = data[name]
        yield replace(sample, annotations=replace(sample.annotations, segmentation=None, label=None))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A COCO data set of 120 frames in 60 sequences, and a run on 40 of them that loses nothing but cars in fog."""
    root = tmp_path_factory.mktemp("feedback")
    names = fake("Boxes")(120).sample_ids
    groups = {name: f"drive{i // 2}" for i, name in enumerate(names)}
    write_dataset(samples(120), root / "data", format="coco", class_names=["car", "person", "sign"], groups=groups)
    data = open_dataset(root / "data")
    assert len(set(data.groups.values())) == 60
    stress.run(str(root / "data"), CarsInFog(data), PLAN, root / "run", progress=False)
    return root


@pytest.fixture(scope="module")
def made(place):
    return make_feedback(place / "run", place / "set", images=24, seed=3, workers=1, progress=False)


def files(folder):
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


@pytest.mark.core
def test_no_tested_group_is_in_the_set(place, made):
    run = stress.read(place / "run")
    tested = set(run.table("samples").column("group").to_pylist())
    assert tested
    assert set(made.summary["tested_groups"]) == tested
    rows = read_manifest(made.path)
    assert not {row["group"] for row in rows} & tested
    assert {row["group"] for row in rows} == set(made.summary["groups"]) == {w.group for w in made.weights}
    known = open_dataset(place / "data").groups
    assert all(known[row["source"]["sample_id"]] == row["group"] for row in rows)


def test_the_set_is_a_data_set_with_true_labels(place, made):
    data = open_dataset(made.path)
    assert data.class_names == ("car", "person", "sign")
    assert set(data.sample_ids) == {w.sample_id for w in made.weights}
    assert len(data) == made.n_images == made.summary["n_images"] == 24
    source = open_dataset(place / "data")
    for weight in made.weights:
        before, after = source[weight.source], data[weight.sample_id]
        assert before.image.shape == after.image.shape
        assert len(after.annotations) <= len(before.annotations)
        assert (weight.shift == "") == np.array_equal(before.image, after.image)


def test_what_was_lost_is_what_is_shown(place, made):
    """Only cars in fog were lost: every shifted picture is foggy and shows a car, as far as frames have one."""
    shifted = [w for w in made.weights if w.shift]
    assert {w.shift for w in shifted} == {"weather/fog"}
    assert len(shifted) == 12
    data = open_dataset(place / "data")
    cars = [bool((data[w.source].annotations.labels == 0).any()) for w in shifted]
    assert all(cars)
    first = made.summary["slices"][0]
    assert "car" in [p["value"] for p in first["predicates"]]
    assert first["clean"] > first["shifted"]
    assert first["n_images"] >= 6


def test_frames_with_more_of_the_lost_class_are_preferred(place, made):
    data = open_dataset(place / "data")
    count = {name: int((data[name].annotations.labels == 0).sum()) for name in data.sample_ids}
    tested = set(made.summary["tested_groups"])
    rest = [count[name] for name in data.sample_ids if data.groups[name] not in tested]
    used = [count[w.source] for w in made.weights if w.shift]
    assert np.mean(used) > np.mean(rest)


def test_clean_frames_cover_the_pool_better_than_chance(made):
    coverage = made.summary["coverage"]
    assert coverage["frames"] == 12
    assert coverage["pool"] >= 30
    assert coverage["radius"] < coverage["random"]


def test_weights_have_mean_one_and_keep_the_ratio(made):
    weights = np.array([w.weight for w in made.weights])
    clean = np.array([w.shift == "" for w in made.weights])
    assert weights.sum() == pytest.approx(len(weights), abs=1e-3)
    assert weights[clean].sum() / weights.sum() == pytest.approx(0.5, abs=1e-4)
    assert (weights > 0).all()
    with (made.path / "weights.csv").open(newline="") as stream:
        assert next(csv.reader(stream)) == ["sample_id", "weight", "shift", "severity", "source", "group"]


def test_the_same_bytes_for_any_number_of_workers_and_when_resumed(place, made, tmp_path):
    again = make_feedback(place / "run", tmp_path / "set", images=24, seed=3, workers=2, progress=False)
    one, other = files(made.path), files(again.path)
    assert set(one) == set(other)
    different = {name for name in one if one[name] != other[name]}
    assert different <= {"feedback.json", "README.md"}  # these name their own folder and command
    said, now = ({k: v for k, v in f.summary.items() if k not in ("command", "dataset")} for f in (made, again))
    assert said == now
    assert make_feedback(place / "run", tmp_path / "set", images=24, seed=3, progress=False).already_done
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]  # nothing of the work is left


def test_another_seed_is_another_set_and_does_not_overwrite(place, made, tmp_path):
    with pytest.raises(InputError, match=r"holds another feedback set: seed is 3 there, 4 here"):
        make_feedback(place / "run", made.path, images=24, seed=4, progress=False)
    other = make_feedback(place / "run", tmp_path / "set", images=24, seed=4, workers=1, progress=False)
    assert [w.sample_id for w in other.weights] != [w.sample_id for w in made.weights] or [
        w.severity for w in other.weights
    ] != [w.severity for w in made.weights]


def test_a_stopped_one_goes_on(place, made, tmp_path):
    def stop(stage, done, total):
        if stage == "frames" and done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="goes on"):
        make_feedback(place / "run", tmp_path / "set", images=24, seed=3, workers=1, progress=stop)
    assert not (tmp_path / "set").exists()
    assert list((tmp_path / "set.part" / "parts").iterdir())
    again = make_feedback(place / "run", tmp_path / "set", images=24, seed=3, workers=1, progress=False)
    assert (again.path / "weights.csv").read_bytes() == (made.path / "weights.csv").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]


@pytest.fixture(scope="module")
def fragile(place):
    """A run of a model that loses objects under most shifts."""
    plan = {**PLAN, "shifts": ["fog", "night", "pixelation", {"chain": ["fog", "night"], "name": "gloom"}]}
    stress.run(str(place / "data"), fake("Detector")(), plan, place / "fragile", progress=False)
    return place / "fragile"


def test_a_held_out_family_is_never_there_not_even_in_a_chain(fragile, tmp_path):
    free = make_feedback(fragile, tmp_path / "free", images=24, workers=1, progress=False)
    assert "weather" in free.summary["families_used"]
    held = make_feedback(fragile, tmp_path / "held", images=24, hold_out="weather", workers=1, progress=False)
    rows = read_manifest(held.path)
    parts = {part["name"] for row in rows for part in row["shifts"]}
    assert parts
    assert not {name for name in parts if name.startswith("weather/")}
    assert "weather" not in held.summary["families_used"]
    assert held.summary["families_held_out"] == ["weather"]
    assert "weather" not in json.dumps(held.summary["slices"])


def test_where_all_is_held_out_or_nothing_was_lost_it_says_so(place, fragile, tmp_path):
    with pytest.raises(InputError, match="no shift of other families"):
        make_feedback(fragile, tmp_path / "a", images=24, hold_out="weather,lighting,sensor,chain", progress=False)
    with pytest.raises(InputError, match="nothing was lost under any shift in the families that are not held out"):
        make_feedback(place / "run", tmp_path / "b", images=24, hold_out=["weather"], progress=False)
    with pytest.raises(InputError, match="did you mean 'weather'"):
        make_feedback(fragile, tmp_path / "c", images=24, hold_out=["wether"], progress=False)
    assert not list(tmp_path.iterdir())


def test_where_every_group_was_tested_it_says_what_to_do(tmp_path):
    names = ["car", "person", "sign"]
    write_dataset(samples(24), tmp_path / "data", format="coco", class_names=names)
    plan = {**PLAN, "shifts": "fog", "severities": [4], "limit": 24}
    stress.run(
        str(tmp_path / "data"), CarsInFog(open_dataset(tmp_path / "data")), plan, tmp_path / "run", progress=False
    )
    with pytest.raises(InputError, match=r"all of its 24 frames belong to the 24 groups .*--dataset"):
        make_feedback(tmp_path / "run", tmp_path / "set", images=24, workers=1, progress=False)
    write_dataset(samples(24), tmp_path / "copy", format="coco", class_names=names)
    with pytest.raises(InputError, match="tested on"):
        make_feedback(
            tmp_path / "run", tmp_path / "set", images=24, dataset=tmp_path / "copy", workers=1, progress=False
        )
    renamed = (replace(s, sample_id=f"other/{i}") for i, s in enumerate(samples(24)))
    write_dataset(renamed, tmp_path / "renamed", format="coco", class_names=names)
    with pytest.raises(InputError, match="pixels of one that the run was tested on"):
        make_feedback(
            tmp_path / "run", tmp_path / "set", images=24, dataset=tmp_path / "renamed", workers=1, progress=False
        )
    write_dataset(samples(30, start=60), tmp_path / "new", format="coco", class_names=names)
    made = make_feedback(
        tmp_path / "run", tmp_path / "set", images=16, dataset=tmp_path / "new", workers=1, progress=False
    )
    assert made.n_images == 16


def test_data_that_was_moved_is_used_where_it_is_now(place, made, tmp_path):
    shutil.copytree(place / "data", tmp_path / "moved")
    shutil.copytree(place / "run", tmp_path / "run")
    file = tmp_path / "run" / "plan.json"
    file.write_text(file.read_text().replace(str(place / "data"), str(tmp_path / "gone")))
    with pytest.raises(InputError, match=r"not there any more: name where it is with --dataset"):
        make_feedback(tmp_path / "run", tmp_path / "set", images=24, seed=3, workers=1, progress=False)
    where = {"dataset": tmp_path / "moved", "workers": 1, "progress": False}
    again = make_feedback(tmp_path / "run", tmp_path / "set", images=24, seed=3, **where)
    assert (again.path / "weights.csv").read_bytes() == (made.path / "weights.csv").read_bytes()


def test_bad_input_is_told_and_nothing_is_written(place, tmp_path):
    for options, said in (
        ({"images": 3}, "expected at least 8"),
        ({"images": 24, "clean_share": 1.0}, "0 to 0.9"),
        ({"images": 400}, "different frames there are"),
        ({"images": 24, "split": "val"}, "val"),
        ({"images": 24, "embedder": "zoo:nothing"}, "nothing"),
        ({"images": 24, "dataset": tmp_path / "gone"}, "no such folder"),
        ({"images": 24, "workers": 0}, "at least 1"),
    ):
        with pytest.raises(InputError, match=said):
            make_feedback(place / "run", tmp_path / "set", progress=False, **options)
        assert not list(tmp_path.iterdir()), options
    with pytest.raises(InputError, match="no such folder"):
        make_feedback(tmp_path / "nowhere", tmp_path / "set", images=24)
    with pytest.raises(InputError, match=r"no feedback\.json"):
        read_feedback(place / "data")


def test_half_finished_runs_and_other_schemas_are_refused(place, tmp_path):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "plan.json").write_text("{}")
    with pytest.raises(InputError, match="not finished"):
        make_feedback(tmp_path / "half", tmp_path / "set", images=24)
    (tmp_path / "half" / "results.json").write_text('{"schema": "roadproof.results/9"}')
    with pytest.raises(InputError, match="expected schema"):
        make_feedback(tmp_path / "half", tmp_path / "set", images=24)


def test_the_card_says_what_why_and_from_where(made):
    text = (made.path / "README.md").read_text()
    for said in (
        "weather/fog",
        "cars",
        "clean frames",
        "families held out",
        "licences",
        "none in common",
        "weights.csv",
    ):
        assert said in text


def test_segmentation_is_aimed_by_the_classes_that_lost_most(tmp_path):
    data = fake("Boxes")(40)
    plan = {**PLAN, "shifts": "fog,night", "severities": [5], "limit": 12}
    stress.run(data, fake("Segmenter")(), plan, tmp_path / "run", progress=False)
    with pytest.raises(InputError, match="name the training data"):
        make_feedback(tmp_path / "run", tmp_path / "set", images=16, progress=False)
    made = make_feedback(tmp_path / "run", tmp_path / "set", images=16, dataset=data, workers=1, progress=False)
    assert made.summary["dataset"]["format"] == "masks"
    assert open_dataset(made.path).tasks == ("segmentation",)
    assert all(one["clean"] > one["shifted"] for one in made.summary["slices"])
    assert not any(one["significant"] and one["p_corrected"] is None for one in made.summary["slices"])  # no test
    assert any("pixels could not be compared" in note for note in made.summary["notes"])
    assert not set(made.summary["groups"]) & set(made.summary["tested_groups"])


def test_classification_too(tmp_path):
    data = fake("Boxes")(40)
    plan = {**PLAN, "shifts": "night,fog", "severities": [5], "limit": 12}
    stress.run(data, fake("Classifier")(), plan, tmp_path / "run", progress=False)
    made = make_feedback(tmp_path / "run", tmp_path / "set", images=16, dataset=data, workers=1, progress=False)
    assert made.summary["dataset"]["format"] == "image_folder"
    assert Counter(w.shift == "" for w in made.weights)[True] == 8


@pytest.mark.parametrize(("given", "told"), [(np.zeros((1, 2, 3)), "shape"), ([[np.nan, 1.0]], "finite"), ("x", "str")])
def test_what_an_embed_must_not_give_is_told(monkeypatch, given, told):
    class Odd:
        def embed(self, images):
            return given

    monkeypatch.setattr("stress.adapters.load_model", lambda *_, **__: Odd())
    with pytest.raises(InputError, match=told):
        embedder_of("odd")([np.zeros((4, 4, 3), np.uint8)])


def test_the_command(place, tmp_path):
    arguments = ["feedback", str(place / "run"), "--out", str(tmp_path / "set"), "--images", "12", "--workers", "1"]
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 0, result.output
    assert "12 pictures, 6 of them clean frames, as coco" in result.output
    assert str(tmp_path / "set") in result.stdout
    again = CliRunner().invoke(cli.main, arguments)
    assert again.exit_code == 0
    assert "finished already" in again.output
    bad = CliRunner().invoke(cli.main, [*arguments[:4], "--images", "2"])
    assert bad.exit_code == 2
    assert "Error: images: expected at least 8, got 2" in bad.output
