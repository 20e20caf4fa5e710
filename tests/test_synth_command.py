"""`roadproof synth`: what it prints, where the result goes, how it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli
from scenes.datasets import open_dataset, write_dataset
from scenes.images import read_image
from synth.boxworld import box_sample

ROOT = Path(__file__).resolve().parents[1]
RECIPE = "variants: 2\nshifts: [fog, {chain: [rain, night]}]\nfilters: none\n"


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.main, ["synth", *map(str, words)], prog_name="roadproof")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three frames in COCO, and a recipe beside them."""
    frames = [replace(box_sample(96, 54, seed=i), sample_id=f"{i}", scene=None, depth=None) for i in range(3)]
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return write_dataset(frames, tmp_path / "source", format="coco", class_names=tuple("abcdefgh"))


def test_a_data_set_is_made_shown_and_made_again(source: Path, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out", tmp_path / "recipe.yaml"
    result = run(source, "--recipe", recipe, "--out", out, "--workers", "1", "--preview", "--limit", "2")
    assert result.exit_code == 0, result.output
    assert "made   4 pictures of 2 frames, as coco" in result.output
    assert result.output.splitlines()[-1] == str(tmp_path / "out-preview.png")
    assert read_image(tmp_path / "out-preview.png").shape[1] > 800
    assert len(open_dataset(out)) == 4
    again = run("--replay", out / "manifest.jsonl", "--out", tmp_path / "again", "--workers", "1")
    assert again.exit_code == 0, again.output
    assert "4 of 4 pictures are byte for byte the same" in again.output
    repeated = run(source, "--recipe", recipe, "--out", out, "--workers", "1", "--limit", "2")
    assert repeated.exit_code == 0
    assert "finished already" in repeated.output


def test_a_replay_that_is_not_faithful_says_so_and_exits_with_1(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(source, "--recipe", tmp_path / "recipe.yaml", "--out", out, "--workers", "1", "--limit", "1")
    manifest = out / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace('"sha256": "', '"sha256": "0').replace('"path": "', '"path": "'))
    text = manifest.read_text()
    for row in text.splitlines():
        assert '"sha256": "0' in row
    # the hash of the source is put right again, that of the result stays wrong
    import json

    rows = [json.loads(line) for line in text.splitlines()]
    for row in rows:
        row["source"]["sha256"] = row["source"]["sha256"][1:]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = run("--replay", manifest, "--out", tmp_path / "again", "--workers", "1")
    assert result.exit_code == 1
    assert "0 of 2 pictures are byte for byte the same" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{source}"], "needs DATASET and --recipe"),
        (["--recipe", "{recipe}"], "needs DATASET and --recipe"),
        (["{source}", "--recipe", "{bad}"], "did you mean 'fog'"),
        (["nowhere", "--recipe", "{recipe}"], "no such folder"),
        (["{source}", "--recipe", "{recipe}", "--format", "koko"], "no such format"),
        (
            ["{source}", "--recipe", "{recipe}", "--format", "cityscapes"],
            "has detection only, and cityscapes holds the class",
        ),
        (["{source}", "--recipe", "{recipe}", "--workers", "0"], "workers: expected at least 1"),
        (["{source}", "--recipe", "{recipe}", "--dataset", "x"], "belongs to --replay"),
        (["{source}", "--replay", "{recipe}"], "takes everything from the manifest"),
        (["--replay", "{recipe}"], "is no JSON"),
        (["town:0:1", "--recipe", "{recipe}", "--split", "tset"], "test"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(source: Path, tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "bad.yaml").write_text("shifts: [fogg]\n")
    names = {"source": source, "recipe": tmp_path / "recipe.yaml", "bad": tmp_path / "bad.yaml"}
    before = sorted(tmp_path.iterdir())
    result = run(*[word.format(**names) for word in words], "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_ctrl_c_exits_with_130_says_how_to_go_on_and_the_same_command_does(source: Path, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out", tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.replace("variants: 2", "variants: 150"))
    command = [sys.executable, str(ROOT / "cli.py"), "synth", str(source), "--recipe", str(recipe), "--out", str(out)]
    process = subprocess.Popen([*command, "--workers", "2"], stderr=subprocess.PIPE, text=True, cwd=ROOT)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out.part" / "parts").is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the machine was done before it could be stopped")
    assert process.returncode == 130
    assert "the same command goes on from there" in said.splitlines()[-1]
    assert not out.exists()
    finished = subprocess.run([*command, "--limit", "3"], capture_output=True, text=True, cwd=ROOT, timeout=200)
    assert finished.returncode == 0, finished.stderr
    assert len(open_dataset(out)) == 450


def test_a_replay_refuses_what_it_does_not_use(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(source, "--recipe", tmp_path / "recipe.yaml", "--out", out, "--workers", "1", "--limit", "1")
    for words in (["--format", "kitti"], ["--variants", "3"], ["--seed", "0"], ["--strict"], ["--limit", "1"]):
        result = run("--replay", out, "--out", tmp_path / "again", *words)
        assert result.exit_code == 2
        assert f"no {words[0]}" in result.output
    assert not (tmp_path / "again").exists()


def test_a_failed_command_leaves_nothing_and_says_how_the_data_was_read(source: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("shifts: [object_turn]\n")  # needs a scene: no picture is left
    before = sorted(tmp_path.iterdir())
    result = run(source, "--recipe", recipe, "--out", tmp_path / "deep" / "er" / "out", "--workers", "1")
    assert result.exit_code == 2
    assert "data   coco" in result.output
    assert "needs a scene" in result.output
    assert sorted(tmp_path.iterdir()) == before
