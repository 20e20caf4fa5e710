"""The YAML of docs/after-a-run.md is what the commands take: budget, weights, and a workflow whose commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import cli
import stress
from scenes.plugins import load_attribute
from stress.gate import Budget
from stress.safety import Weights

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "after-a-run.md").read_text("utf-8"), re.M | re.S)


def block(word):
    (found,) = [text for text in BLOCKS if word in text]
    return found


def test_the_budget_and_the_weights_are_read(tmp_path):
    (tmp_path / "b.yaml").write_text(block("maximum_loss"), encoding="utf-8")
    assert Budget.read(tmp_path / "b.yaml").minimum.rpc == 0.6
    (tmp_path / "w.yaml").write_text(block("speed_kmh"), encoding="utf-8")
    assert Weights.from_yaml(tmp_path / "w.yaml").speed_kmh == 80


def commands():
    steps = yaml.safe_load(block("actions/checkout"))["jobs"]["robustness"]["steps"]
    return [shlex.split(step["run"]) for step in steps if step.get("run", "").startswith("roadproof")]


def test_the_workflow_has_no_command_that_is_none():
    assert [words[1] for words in commands()] == ["stress", "gate"]
    for _, name, *rest in commands():
        known = {option for p in cli.main.commands[name].params for option in p.opts}
        assert {word for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize(("rpc", "code"), [(0.0, 0), (1.0, 1)])
def test_the_gate_of_the_workflow_ends_as_it_says(tmp_path, monkeypatch, rpc, code):
    """The gate line as it stands there, beside a run of the name that the line before gave it."""
    monkeypatch.chdir(tmp_path)
    fakes = f"{ROOT / 'tests' / 'stress' / 'fakes.py'}"
    data, model = (load_attribute(f"{fakes}:{name}", what="test part")() for name in ("Boxes", "Detector"))
    stress.run(data, model, {"shifts": "fog", "severities": [5], "explain": "none"}, "run", progress=False)
    Path("budget.yaml").write_text(f"minimum: {{rpc: {rpc}}}", encoding="utf-8")
    line = [str(tmp_path / "summary.md") if word == "$GITHUB_STEP_SUMMARY" else word for word in commands()[1][1:]]
    result = CliRunner().invoke(cli.main, line)
    assert result.exit_code == code, result.output
    assert ("passed" if code == 0 else "failed") in Path("summary.md").read_text(encoding="utf-8")
    assert "<testsuite" in Path("gate.xml").read_text(encoding="utf-8")
