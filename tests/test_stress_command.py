"""`roadproof stress` as a user meets it: a folder, a model in a file, a report, and what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

import cli

pytestmark = pytest.mark.core

MODEL = '''
import numpy as np

class Brightness:
    """Calls a picture day or night by its brightness."""

    name, task, class_names = "brightness", "classification", ("day", "night")

    def predict(self, images):
        day = [float(image.mean()) / 255 for image in images]
        return [{"probabilities": np.array([p, 1 - p])} for p in day]

class Broken(Brightness):
    def predict(self, images):
        raise RuntimeError("out of luck")

class Nonsense(Brightness):
    def predict(self, images):
        return [{"probabilities": np.array([np.nan, 1.0])} for _ in images]

class Stranger(Brightness):
    class_names = ("cat", "dog")
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an image folder of six bright and six dark pictures, and the model beside it."""
    rng = np.random.default_rng(0)
    for name, level in (("day", 200), ("night", 40)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(6):
            image = np.clip(rng.normal(level, 12, (24, 32, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "data" / name / f"{i}.png"), image)
    (tmp_path / "tiny_model.py").write_text(MODEL)
    return tmp_path


def stress(folder: Path, *words: str, model: str = "Brightness", data: str = "data") -> Result:
    common = [
        "stress",
        str(folder / data),
        "--model",
        f"{folder / 'tiny_model.py'}:{model}",
        "--out",
        str(folder / "run"),
    ]
    quick = ["--shifts", "night,pixelation", "--severities", "1,5", "--resamples", "20", "--workers", "1"]
    return CliRunner().invoke(cli.main, [*common, *quick, "--explain-budget", "8", "--explain", "2", *words])


def test_a_run_ends_with_the_path_of_its_report(folder: Path) -> None:
    result = stress(folder)
    assert result.exit_code == 0, result.output
    report = Path(result.stdout.splitlines()[-1])
    assert report == folder / "run" / "report.html"
    assert "</html>" in report.read_text(encoding="utf-8")
    summary = json.loads((folder / "run" / "results.json").read_text())
    assert summary["headline"]["metric"] == "accuracy"
    assert summary["headline"]["clean"]["value"] == 1.0
    night = [f for f in summary["figures"] if f["shift"] == "lighting/night" and f["metric"] == "accuracy"]
    assert [f["severity"] for f in night if f["class_name"] is None] == [1, 5]
    worst = min(f["value"] for f in night if f["class_name"] is None)
    assert worst == 0.5  # at night every picture is dark, so half of them are called wrong
    assert (folder / "run" / "summary.md").is_file()
    assert "accuracy" in result.stderr


def test_the_same_command_again_changes_nothing_and_another_is_refused(folder: Path) -> None:
    assert stress(folder, "--no-report").exit_code == 0
    assert not (folder / "run" / "report.html").exists()
    before = (folder / "run" / "results.json").read_bytes()
    assert stress(folder, "--no-report").exit_code == 0
    assert (folder / "run" / "results.json").read_bytes() == before
    other = stress(folder, "--seed", "9")
    assert other.exit_code == 2
    assert "another" in other.output or "differ" in other.output
    report = CliRunner().invoke(cli.main, ["report", str(folder / "run")])
    assert report.exit_code == 0
    assert Path(report.stdout.strip()).is_file()


def test_a_dry_run_prints_cells_and_time_and_writes_nothing(folder: Path) -> None:
    result = stress(folder, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "lighting/night@5" in result.output
    assert "60 pictures of 12 frames" in result.output  # clean and two shifts at two severities
    assert "worth 32 predictions" in result.output  # two failures, two maps each of eight masks
    assert "explanations" not in stress(folder, "--dry-run", "--explain", "0").output.replace(
        "without explanations", ""
    )
    assert not (folder / "run").exists()


def test_options_win_over_the_plan_file(folder: Path) -> None:
    plan = folder / "plan.yaml"
    plan.write_text("seed: 5\nlimit: 4\nexplain: {failures: 1, budget: 4}\n")
    assert stress(folder, "--plan", str(plan), "--seed", "6", "--no-report").exit_code == 0
    got = json.loads((folder / "run" / "results.json").read_text())["plan"]
    assert (got["seed"], got["limit"]) == (6, 4)
    assert (got["explain"]["failures"], got["explain"]["budget"]) == (2, 8)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--severities", "0,9"], "severities"),
        (["--severities", "hard"], "expected numbers from 1 to 5"),
        (["--shifts", "fogg"], "did you mean 'fog'"),
        (["--metrics", "beauty"], "beauty"),
        (["--limit", "0"], "limit"),
        (["--workers", "0"], "workers"),
        (["--format", "cocoo"], "did you mean 'coco'"),
        (["--split", "test"], "test"),
        (["--plan", "not-there.yaml"], "not-there.yaml"),
        (["--depth", "not_there.py:depth"], "not_there.py"),
    ],
)
def test_bad_options_are_told_in_one_message(folder: Path, words: list[str], told: str) -> None:
    result = stress(folder, *words)
    assert result.exit_code == 2, result.output
    assert told in result.output
    assert "Traceback" not in result.output
    assert not (folder / "run" / "results.json").exists()


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("Broken", "out of luck"),
        ("Nonsense", "NaN"),
        ("Stranger", "no class in common"),
        ("Brightnes", "did you mean 'Brightness'"),
    ],
)
def test_bad_models_are_told_in_one_message(folder: Path, model: str, told: str) -> None:
    result = stress(folder, model=model)
    assert result.exit_code == 2, result.output
    assert told in result.output
    assert "Traceback" not in result.output


def test_bad_data_are_told_in_one_message(folder: Path) -> None:
    missing = stress(folder, data="dta")
    assert missing.exit_code == 2
    assert "dta" in missing.output
    (folder / "empty").mkdir()
    empty = stress(folder, data="empty")
    assert empty.exit_code == 2
    assert "Traceback" not in empty.output


def test_a_damaged_picture_is_left_out_and_named_or_stops_a_strict_run(folder: Path) -> None:
    damaged = folder / "data" / "day" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    strict = stress(folder, "--strict")
    assert strict.exit_code == 2
    assert "day/3" in strict.output
    loose = stress(folder, "--no-report")
    assert loose.exit_code == 0, loose.output
    assert "day/3" in loose.stderr
    summary = json.loads((folder / "run" / "results.json").read_text())
    assert [skipped["sample_id"] for skipped in summary["skipped"]] == ["day/3"]
    assert summary["dataset"]["n_samples"] == 11


def test_ctrl_c_says_how_to_go_on(folder: Path) -> None:
    """Ctrl-C in the middle exits with 130, and more of it while the process stops and ends changes nothing."""
    impatient = (
        MODEL
        + """
import atexit, os, signal, time

def again():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.05)

class Slow(Brightness):
    asked = 0

    def predict(self, images):
        Slow.asked += 1
        if Slow.asked == 3:
            atexit.register(again)
            again()
        return super().predict(images)

    def close(self):
        again()
        print("closed")
"""
    )
    (folder / "tiny_model.py").write_text(impatient)
    words = [
        "stress",
        str(folder / "data"),
        "--model",
        f"{folder / 'tiny_model.py'}:Slow",
        "--out",
        str(folder / "run"),
    ]
    words += ["--shifts", "night,pixelation,motion_blur", "--workers", "1", "--explain", "0", "--no-report"]
    root = Path(cli.__file__).parent
    ended = subprocess.run(
        [sys.executable, "-m", "cli", *words],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ended.returncode == 130, ended.stderr
    assert any(line.startswith("Stopped.") and "resumes" in line for line in ended.stderr.splitlines()), ended.stderr
    assert "Traceback" not in ended.stderr
    assert "closed" in ended.stdout
    assert not (folder / "run" / ".lock").exists()
