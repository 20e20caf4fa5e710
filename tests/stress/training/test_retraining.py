"""The loop as a whole on coloured boxes: a model that fails in dim light learns it from feedback."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

import cli
import reports.proof
import stress
from scenes.datasets import write_dataset
from scenes.errors import InputError
from stress.training import retraining

HERE = Path(__file__).with_name("material.py")
spec = importlib.util.spec_from_file_location("material", HERE)
material = importlib.util.module_from_spec(spec)
spec.loader.exec_module(material)

MODEL = f"{HERE}:TinySegmenter"
PLAN = {
    "shifts": "lighting/night,sensor/motion_blur",
    "severities": [3],
    "resamples": 40,
    "explain": "none",
    "dependability": "none",
    "limit": 12,
}
SETTINGS = {"steps": 120, "rate": 0.03}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `source`, `run` (of its first 12 frames, one of three) and `feedback` (of others)."""
    place = tmp_path_factory.mktemp("retraining")
    write_dataset(material.boxes(12), place / "tested", format="masks", class_names=material.PIXELS)
    write_dataset(material.boxes(30), place / "source", format="masks", class_names=material.PIXELS)
    stress.run(str(place / "tested"), MODEL, PLAN, place / "run", progress=False, workers=1)
    material.feedback_set(place / "feedback", place / "run", place / "source", first=12, n=18)
    return place


@pytest.fixture(scope="module")
def proved(place):
    return stress.retrain(None, place / "feedback", place / "proved", settings=SETTINGS, progress=False, workers=1)


def test_the_proof_says_what_was_trained_on_and_what_was_held_out(proved):
    summary = proved.summary
    assert summary["schema"] == "roadproof.proof/1"
    assert summary["families_trained"] == ["lighting"]
    assert summary["families_held_out"] == ["sensor"]
    assert [row["what"] for row in summary["overall"]] == ["trained", "held_out"]
    assert summary["test"]["n_samples"] == summary["test"]["n_groups"] == 12
    assert {row["shift"]: row["trained"] for row in summary["shifts"]} == {
        "lighting/night": True, "sensor/motion_blur": False
    }  # fmt: skip
    assert json.loads((proved.path / "proof.json").read_text()) == summary


def test_the_arms_have_the_same_budget_and_their_curves_are_kept(proved):
    assert len(proved.summary["curves"]) == 9
    assert {len(c["curve"]["loss"]) for c in proved.summary["curves"]} == {120}
    assert all(len(c["curve"]["validation"]) == 11 for c in proved.summary["curves"])


def test_dim_light_is_learned_from_dim_pictures(proved):
    trained = proved.summary["overall"][0]
    assert trained["word"] == "helped"
    assert trained["arms"]["feedback"]["value"] > max(trained["arms"][c]["value"] for c in ("clean", "standard")) + 0.05
    assert trained["p_corrected"] < 0.05
    low = trained["against"][trained["better_control"]]["low"]
    assert low > 0


def test_every_run_is_a_whole_run_of_its_own(proved, place):
    before = stress.read(proved.path / "runs" / "before")
    original = stress.read(place / "run")
    assert before.summary["figures"] == original.summary["figures"]
    after = stress.read(proved.path / "runs" / "feedback-1")
    assert after.summary["model"]["source"] == f"trained:{proved.path / 'models' / 'feedback-1'}"
    again = stress.run(
        str(place / "tested"), f"trained:{proved.path / 'models' / 'feedback-1'}",
        {**PLAN, "predictions": False}, place / "again", progress=False, workers=1,
    )  # fmt: skip
    assert again.results.summary["figures"] == after.summary["figures"]


def test_the_page_shows_words_tables_and_curves(proved, tmp_path):
    text = reports.proof.render(proved.summary)
    assert "Families trained on: helped" in text
    assert text.count("<svg") == 4
    assert "held out" in text
    assert "nan" not in text.lower().replace("dominan", "")
    shown = reports.proof.markdown(proved.summary)
    assert "| Lighting | trained on |" in shown.replace("| lighting", "| Lighting")
    assert "**helped**" in shown
    reports.proof.write(tmp_path, proved.summary)
    assert {p.name for p in tmp_path.iterdir()} == {"proof.html", "proof.md"}


def test_what_is_finished_is_kept(proved, place):
    cards = {p: p.stat().st_mtime_ns for p in proved.path.glob("models/*/trained.json")}
    again = stress.retrain(None, place / "feedback", proved.path, settings=SETTINGS, progress=False, workers=1)
    assert again.already_done
    assert again.summary == proved.summary
    assert cards == {p: p.stat().st_mtime_ns for p in proved.path.glob("models/*/trained.json")}


def test_a_stopped_retraining_goes_on_to_the_same_proof(place, tmp_path, monkeypatch):
    call = {"settings": {"steps": 4}, "seeds": 2, "limit": 5, "progress": False, "workers": 1}
    whole = stress.retrain(None, place / "feedback", tmp_path / "whole", **call).summary
    out, fitted, count = tmp_path / "half", retraining.arms_of.fit, []

    def stopping(*args, **kwargs):
        count.append(1)
        if len(count) == 5:
            raise KeyboardInterrupt
        return fitted(*args, **kwargs)

    monkeypatch.setattr(retraining.arms_of, "fit", stopping)
    with pytest.raises(retraining.Interrupted, match="same command goes on"):
        stress.retrain(None, place / "feedback", out, **call)
    assert len(list(out.glob("models/*/trained.json"))) == 4
    monkeypatch.undo()
    again = stress.retrain(None, place / "feedback", out, **call).summary
    for key in ("overall", "families", "shifts", "clean"):
        assert again[key] == whole[key]
    more = stress.retrain(None, place / "feedback", out, **{**call, "seeds": 3}).summary
    assert [c["seed"] for c in more["curves"]] == [0, 1, 2] * 3


def test_each_family_may_be_left_out_in_turn(place, tmp_path):
    from stress.training.leave_out import leave_one_out

    options = {"settings": {"steps": 2}, "seeds": 1, "limit": 5, "progress": False, "workers": 1}
    with pytest.raises(InputError, match="leaving one out needs two or more"):
        leave_one_out(None, place / "feedback", tmp_path / "one", **options)
    both = shutil.copytree(place / "feedback", tmp_path / "both")
    rows = (both / "weights.csv").read_text().splitlines()
    changed = [r.replace("lighting/night", "sensor/motion_blur") if i % 2 else r for i, r in enumerate(rows)]
    (both / "weights.csv").write_text("\n".join(changed) + "\n")
    made = leave_one_out(None, both, tmp_path / "two", **options)
    assert [(row["family"], row["trained"]) for row in made.summary["families"]] == [
        ("lighting", False),
        ("sensor", False),
    ]
    assert "| lighting |" in reports.proof.left_out(made.summary).lower()
    assert leave_one_out(None, both, tmp_path / "two", **options).already_done


def test_another_retraining_in_the_folder_and_foreign_files_are_errors(proved, place, tmp_path):
    with pytest.raises(InputError, match=r"holds another retraining: settings.steps is 120 there, 61 here"):
        stress.retrain(None, place / "feedback", proved.path, settings={**SETTINGS, "steps": 61}, progress=False)
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="holds other files"):
        stress.retrain(None, place / "feedback", tmp_path, settings=SETTINGS, progress=False)


def test_frames_that_were_tested_on_are_a_leak_and_nothing_is_left_behind(place, tmp_path):
    leaky = material.feedback_set(tmp_path / "leaky", place / "run", place / "tested", first=0, n=12)
    with pytest.raises(InputError, match="leak: 12 source groups"):
        stress.retrain(None, leaky, tmp_path / "out", settings=SETTINGS, progress=False)
    assert not (tmp_path / "out").exists()


def test_a_training_that_diverges_leaves_no_proof(place, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="diverged at step 1"):
        stress.retrain(
            f"{HERE}:Diverging", place / "feedback", out, seeds=1, settings=SETTINGS, progress=False, workers=1
        )
    assert not list(out.glob("**/proof.*"))
    assert not list(out.glob("models/*/trained.json"))


def test_a_model_that_cannot_be_trained_is_told_at_once(place, tmp_path):
    with pytest.raises(InputError, match="give --trainer"):
        stress.retrain(f"{HERE}:Untrainable", place / "feedback", tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_one_seed_and_few_frames_never_say_more_than_no_evidence(place, tmp_path):
    made = stress.retrain(
        None, place / "feedback", tmp_path / "out", seeds=1, limit=1, settings={"steps": 2}, progress=False, workers=1
    ).summary
    assert {row["word"] for key in ("overall", "families", "shifts") for row in made[key]} == {"no evidence"}
    assert any("Only 1 training seed" in note for note in made["notes"])
    assert any("Only 1 independent group" in note for note in made["notes"])
    assert made["overall"][0]["arms"]["feedback"]["low"] is None
    assert "no evidence" in reports.proof.render(made)


def test_a_trainer_of_ones_own_gets_data_of_equal_size(place, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "import sys, shutil, pathlib\n"
        "data, weights, out = map(pathlib.Path, sys.argv[1:4])\n"
        "shutil.copy(weights, out / 'weights.safetensors')\n"
        "rows = (data / 'weights.csv').read_text().splitlines()[1:]\n"
        "print(len(rows), sum(float(r.split(',')[1]) for r in rows))\n"
    )
    command = f"{sys.executable} {script} {{data}} {{weights}} {{out}}"
    made = stress.retrain(
        None, place / "feedback", tmp_path / "out", seeds=1, limit=5, trainer=command, progress=False, workers=1
    )
    said = {
        arm: (made.path / "models" / f"{arm}-0" / "trainer.log").read_text().split() for arm in ("clean", "standard")
    }
    assert said["clean"][1] == said["standard"][1]
    row = made.summary["overall"][0]
    assert {row["arms"][arm]["value"] for arm in ("feedback", "clean", "standard")} == {row["before"]["value"]}
    assert all(c["curve"] is None for c in made.summary["curves"])
    assert "left no curve.csv" in reports.proof.render(made.summary)


def test_a_wrong_trainer_is_told_before_anything_is_written(place, tmp_path):
    for options in ({"trainer": "train {data}"}, {"trainer": "train {data} {out}", "held_out": "weather"}):
        with pytest.raises(InputError, match=r"has to name \{out\}|reads the feedback folder itself"):
            stress.retrain(None, place / "feedback", tmp_path / "out", progress=False, **options)
        assert not (tmp_path / "out").exists()


def test_the_command_prints_what_came_of_it(proved, place, tmp_path):
    from click.testing import CliRunner

    copied = shutil.copytree(place / "feedback", tmp_path / "feedback")
    found = CliRunner().invoke(
        cli.main, ["retrain", "--feedback", str(copied), "--out", str(tmp_path / "out"), "--seeds", "1", "--steps", "2",
                   "--limit", "5", "--workers", "1"],
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert found.stdout.strip().endswith("proof.html")
    assert "Families trained on: no evidence" in found.stderr
    bad = CliRunner().invoke(cli.main, ["retrain", "--feedback", str(place / "run"), "--out", str(tmp_path / "b")])
    assert bad.exit_code == 2
    assert "holds no feedback.json" in bad.stderr
    assert not (tmp_path / "b").exists()
