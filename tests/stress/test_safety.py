"""Safety reading: weights against arithmetic, the domain against counts by hand, few objects against silence."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import cli
import reports.safety
import stress
from scenes.errors import InputError
from scenes.plugins import load_attribute
from stress.safety import Weights, assess

FAKES = f"{__file__.rsplit('/', 1)[0]}/fakes.py"
PLAN = {"shifts": "fog,motion_blur", "severities": [1, 5], "resamples": 40, "explain": "none"}


def fake(name):
    return load_attribute(f"{FAKES}:{name}", what="test part")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("safety") / "run"
    stress.run(fake("Boxes")(30), fake("Detector")(), PLAN, folder, progress=False)
    return folder


def test_stopping_distances_and_weights_are_those_of_the_formula():
    weights = Weights(speed_kmh=36, reaction_s=2, braking_m_per_s2=5)
    assert weights.stopping_m() == pytest.approx(10 * 2 + 100 / 10)
    assert weights.of_distance(np.array([0.0, 30.0, 60.0, np.nan])).tolist() == [1.0, 1.0, 0.5, 1.0]
    assert [Weights().road_user(name) for name in ("Rider", "truck", "pole")] == ["vulnerable", "vehicle", "other"]
    assert Weights(classes={"pole": "vehicle"}).road_user("pole") == "vehicle"


@pytest.mark.parametrize(
    ("user", "names"),
    [
        ("vulnerable", "human.pedestrian.adult,vehicle.bicycle,other person,Person sitting,cyclists,motor,human"),
        ("vehicle", "vehicle.car,construction vehicle,Cars,bus,Pickup Truck,autorickshaw"),
        ("other", "traffic light,bus stop,static_object.bicycle_rack,animal,movable_object.barrier"),
    ],
)
def test_people_are_people_under_the_names_that_data_sets_have(user, names):
    assert {name: Weights().road_user(name) for name in names.split(",")} == dict.fromkeys(names.split(","), user)


def test_a_class_that_is_not_there_and_a_weight_without_end_are_told(run, tmp_path):
    notes = assess(run, Weights(classes={"cra": "vulnerable"}))["notes"]
    assert any("'cra'" in note and "car" in note for note in notes)
    for text in ("vulnerable: .inf", "vehicle: yes"):
        (tmp_path / "weights.yaml").write_text(text)
        with pytest.raises(InputError, match="weights"):
            Weights.from_yaml(tmp_path / "weights.yaml")


def test_weighted_misses_are_counted_by_hand(run):
    found = assess(run)
    rows = [r for r in stress.read(run).objects.to_pylist() if r["outcome"] not in ("ignored", "invented", "duplicate")]
    worth = {"person": 3.0, "car": 1.0, "sign": 0.3}
    assert len(found["misses"]) == 5
    for cell in found["misses"]:
        own = [r for r in rows if r["shift"] == cell["shift"] and r["severity"] == cell["severity"]]
        missed = [r for r in own if r["outcome"] != "found"]
        weigh = lambda rows: sum(worth[r["class_name"]] for r in rows)  # noqa: E731  # twice in one line
        assert cell["missed"]["value"] == pytest.approx(len(missed) / len(own), abs=1e-6)
        assert cell["weighted"]["value"] == pytest.approx(weigh(missed) / weigh(own), abs=1e-6)
        assert cell["n"] == len(own)
    assert any("No distances" in note for note in found["notes"])


def test_the_domain_holds_every_object_and_says_what_is_not_there(run, tmp_path):
    found = assess(run)
    clean = [r for r in stress.read(run).objects.to_pylist() if r["shift"] == "clean" and r["instance_id"]]
    cells = [r for r in found["domain"] if r["condition"] == "clean"]
    assert sum(r["n"] for r in cells) == len([r for r in clean if r["outcome"] != "ignored"])
    none = {(r["condition"], r["road_user"], r["distance"]) for r in found["not_covered"] if r["n"] == 0}
    assert none == {(r["condition"], r["road_user"], r["distance"]) for r in found["domain"] if r["n"] == 0}


def test_where_no_distance_is_known_no_band_is_said_to_be_empty(run):
    found = assess(run)
    assert found["bands"] == ["unknown distance"]
    text = reports.safety.markdown(found)
    assert "0-14 m" not in text
    assert "At which distances is not known" in text


def test_a_band_without_objects_is_not_covered(run, tmp_path):
    """The same run, with cars 20 m away and nothing nearer."""
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "objects.parquet"
    table = pq.read_table(file)
    far = [20.0 if name == "car" else None for name in table.column("class_name").to_pylist()]
    column = table.column_names.index("distance_m")
    pq.write_table(table.set_column(column, table.schema.field(column), pa.array(far, pa.float32())), file)
    text = reports.safety.markdown(assess(tmp_path / "run"))
    assert "Not covered" in text
    assert "no object: vehicles, 0-14 m" in text
    assert "no object: vehicles, 14-30 m" not in text


def test_few_objects_have_no_figure(tmp_path):
    stress.run(fake("Boxes")(1), fake("Detector")(), PLAN, tmp_path / "run", progress=False)
    found = assess(tmp_path / "run")
    assert all(r["recall"]["value"] is None for r in found["domain"] if r["n"] < 10)
    assert all(r["state"] != "covered" for r in found["domain"])
    assert all(m["weighted"]["low"] is None for m in found["misses"])


def test_the_command_answers_bad_weights_and_other_tasks(run, tmp_path):
    file = tmp_path / "w.yaml"
    for text, told in (
        ("speed: 80", "no key 'speed'"),
        ("speed_kmh: fast", "speed_kmh"),
        ("classes: {dog: animal}", "expected one of vulnerable"),
        ("[1]", "expected 'key: value'"),
    ):
        file.write_text(text, encoding="utf-8")
        result = CliRunner().invoke(cli.main, ["safety", str(run), "--weights", str(file)])
        assert result.exit_code == 2
        assert told in result.output
    stress.run(fake("Boxes")(6), fake("Segmenter")(), PLAN, tmp_path / "seg", progress=False)
    with pytest.raises(InputError, match="stress a detector"):
        assess(tmp_path / "seg")
    file.write_text("vulnerable: 10\nspeed_kmh: 80", encoding="utf-8")
    result = CliRunner().invoke(cli.main, ["safety", str(run), "--weights", str(file)])
    assert result.exit_code == 0, result.output
    assert "80 km/h" in result.output
    assert 'id="safety"' in (run / "report.html").read_text(encoding="utf-8")
