"""Comparison and gate: the run's own figures again, known differences found, equal models not told apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

import cli
import reports.comparison
import stress
from scenes.errors import InputError
from scenes.plugins import load_attribute
from stress.compare import Common, ComparedRun, _holm, _ranking, common_of, compare, p_value
from stress.gate import Budget, gate

FAKES = Path(__file__).with_name("fakes.py")
PLAN = {"shifts": "fog,motion_blur", "severities": [1, 5], "resamples": 40, "explain": "none"}


def fake(name):
    return load_attribute(f"{FAKES}:{name}", what="test part")


class Blunted:
    """The fake detector with its scores and a part of its finds gone: worse on every picture."""

    def __init__(self):
        self.inner = fake("Detector")()
        self.name, self.task, self.class_names = "blunted", self.inner.task, self.inner.class_names

    def predict(self, images):
        answers = []
        for found in self.inner.predict(images):
            kept = {key: np.asarray(value)[1:] for key, value in dict(found).items()}
            answers.append(kept)
        return answers


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    data = fake("Boxes")(12)
    stress.run(data, fake("Detector")(), PLAN, folder / "good", progress=False)
    stress.run(data, fake("Detector")(), {**PLAN, "severities": [1, 3, 5]}, folder / "same", progress=False)
    stress.run(data, Blunted(), PLAN, folder / "blunt", progress=False)
    stress.run(data, fake("Detector")(), {**PLAN, "seed": 5}, folder / "seed", progress=False)
    stress.run(data, fake("Classifier")(), PLAN, folder / "classifier", progress=False)
    return folder


@pytest.mark.core
def test_figures_are_those_of_the_runs(runs):
    found = compare([runs / "good", runs / "blunt"], resamples=200)
    for i, name in enumerate(("good", "blunt")):
        headline = stress.read(runs / name).headline
        for row in found["overall"]:
            assert row["values"][i]["value"] == pytest.approx(headline[row["figure"]]["value"], abs=1e-6)


@pytest.mark.core
def test_a_worse_model_is_told_from_a_better_one_and_a_copy_is_not(runs):
    found = compare([runs / "good", runs / "blunt"], resamples=200)
    clean = found["overall"][0]["differences"][0]
    assert clean["value"] < 0
    assert clean["significant"]
    assert [entry["run"] for entry in found["ranking"]] == [0, 1]
    assert found["ranking"][0]["best_share"] > 0.9
    same = compare([runs / "good", runs / "same"], resamples=200)
    assert same["n_cells"] == 4
    assert any("not all runs have the same: " in note and "@3" in note for note in same["notes"])
    gaps = [d for key in ("overall", "families", "cells") for row in same[key] for d in row["differences"]]
    assert all(d["value"] == 0 and not d["significant"] for d in gaps)


def test_what_cannot_be_compared_is_an_error(runs):
    with pytest.raises(InputError, match="two runs"):
        compare([runs / "good"])
    with pytest.raises(InputError, match="one task"):
        compare([runs / "good", runs / "classifier"])
    with pytest.raises(InputError, match="no shifted cell in common"):  # other draws, so other pictures
        compare([runs / "good", runs / "seed"])


def test_holm_is_that_of_scipy():
    from scipy.stats import false_discovery_control

    p_values = [0.01, 0.04, 0.03, 0.005]
    table = [{"differences": [{"p": p}]} for p in p_values]
    _holm(table, 100)
    assert [row["differences"][0]["p_corrected"] for row in table] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    loose = false_discovery_control(p_values)  # false discovery rate: never stricter than Holm's family-wise rate
    assert all(row["differences"][0]["p_corrected"] >= q - 1e-12 for row, q in zip(table, loose, strict=True))


@pytest.mark.parametrize("groups", [5, 12, 60])
def test_false_alarms_come_as_often_as_promised(groups):
    """Under no difference, about one in twenty uncorrected p-values is under 0.05, with few groups too."""
    rng = np.random.default_rng(1)
    low = 0
    for _ in range(400):
        data = rng.normal(size=groups)
        picks = rng.integers(0, groups, (300, groups))
        low += p_value(np.concatenate([[data.mean()], data[picks].mean(axis=1)]), groups) < 0.05
    assert 0.02 <= low / 400 <= 0.08


def test_few_groups_tell_nothing(tmp_path):
    data = fake("Boxes")(12, frames_a_group=12)
    stress.run(data, fake("Detector")(), PLAN, tmp_path / "good", progress=False)
    stress.run(data, Blunted(), PLAN, tmp_path / "blunt", progress=False)
    found = compare([tmp_path / "good", tmp_path / "blunt"], resamples=200)
    assert all(d["p"] is None and not d["significant"] for row in found["cells"] for d in row["differences"])
    assert all(entry["best_share"] is None for entry in found["ranking"])
    assert "cannot be told" in reports.comparison.markdown(found)


def test_the_page_is_escaped_and_whole(runs, tmp_path):
    found = compare([runs / "good", runs / "blunt"], resamples=200, labels=["<b>one</b>"])
    text = reports.comparison.write(tmp_path, found).read_text(encoding="utf-8")
    assert "<b>one</b>" not in text
    assert "&lt;b&gt;one" in text
    row = {**found["classes"][0], "class_name": "car|<i>s"}
    assert "| car\\|&lt;i>s |" in reports.comparison.markdown({**found, "classes": [row]})
    assert "blunt keeps less than" in (tmp_path / "comparison.md").read_text(encoding="utf-8")


def budget(tmp_path, text):
    path = tmp_path / "budget.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.core
def test_the_gate_opens_and_shuts_by_exit_code(runs, tmp_path):
    rpc = stress.read(runs / "good").headline["rpc"]["value"]
    for wanted, code in ((rpc - 0.01, 0), (rpc + 0.01, 1)):
        file = budget(tmp_path, f"minimum: {{rpc: {wanted}}}\nfamilies: {{weather: {{mpc: 0}}}}\n")
        words = ["gate", str(runs / "good"), "--budget", str(file), "--junit", str(tmp_path / "j.xml")]
        result = CliRunner().invoke(cli.main, [*words, "--markdown", str(tmp_path / "m.md")])
        assert result.exit_code == code, result.output
        suite = ElementTree.parse(tmp_path / "j.xml").getroot().find("testsuite")
        assert suite.get("failures") == str(code)
        assert len(suite.findall("testcase")) == 2
        assert ("failed" if code else "passed") in (tmp_path / "m.md").read_text(encoding="utf-8")


def test_certain_asks_for_the_lower_end_of_the_interval(runs):
    clean = stress.read(runs / "good").headline["rpc"]
    between = (clean["low"] + clean["value"]) / 2
    assert clean["low"] < between < clean["value"]
    assert gate(runs / "good", Budget(minimum={"rpc": between})).passed
    assert not gate(runs / "good", Budget(minimum={"rpc": between}, certain=True)).passed


def test_falling_behind_the_baseline_breaks_the_gate(runs):
    limits = Budget(baseline={"tolerance": 0.01})
    assert gate(runs / "same", limits, baseline=runs / "good").passed
    verdict = gate(runs / "blunt", limits, baseline=runs / "good")
    assert not verdict.passed
    assert "against good" in verdict.broken[0].name


def test_a_fall_that_few_groups_cannot_judge_is_not_kept(runs, tmp_path):
    """Three pictures have no interval: a model that finds less must not pass for want of one."""
    for name, model in (("good", fake("Detector")()), ("blunt", Blunted())):
        stress.run(fake("Boxes")(3), model, PLAN, tmp_path / name, progress=False)
    limits = Budget(baseline={"tolerance": 0.0})
    verdict = gate(tmp_path / "blunt", limits, baseline=tmp_path / "good")
    assert [check.outcome for check in verdict.checks] == ["unknown", "unknown"]
    assert "too few groups" in verdict.checks[0].note
    assert gate(tmp_path / "good", limits, baseline=tmp_path / "good").passed


def test_the_gate_says_what_was_not_compared(runs):
    verdict = gate(runs / "same", Budget(baseline={"tolerance": 0.01}), baseline=runs / "good")
    assert "same@3" not in verdict.markdown()
    assert "Not compared of same" in verdict.markdown()


def test_a_run_without_a_figure_is_never_the_best():
    common = Common((), {f"sample {i}": i for i in range(9)}, (), "map", ())
    ranked = _ranking([np.full(11, np.nan), np.full(11, 0.3)], common)
    assert [entry["run"] for entry in ranked] == [1, 0]
    assert ranked[0]["best_share"] == 1.0


def test_wrong_labels_and_metrics_are_told(runs):
    with pytest.raises(InputError, match="at most one label"):
        compare([runs / "good", runs / "same"], labels=["a", "b", "c"])
    with pytest.raises(InputError, match="has no metric 'mapp'"):
        compare([runs / "good", runs / "same"], metric="mapp")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("maximum_loss: 50", "maximum_loss"),
        ("minimun: {rpc: 1}", "did you mean 'minimum'"),
        ("minimum: {rpc: much}", "minimum.rpc"),
        ("families: {wether: {rpc: 1}}", "did you mean 'weather'"),
        ("cells: {weather/fog@2: {kept: 1}}", "no cell 'weather/fog@2'"),
        ("classes: {cat: {clean: 1}}", "of class 'cat'"),
        ("certain: true", "sets no limit"),
        ("baseline: {tolerance: 0}", "--baseline RUN goes with"),
        ("baseline: {tolerance: 2}", "baseline.tolerance"),  # per cent: nothing would ever fall behind
        ("minimum: {mpc: yes}", "minimum.mpc"),
        ("calibration: {d_ece: .inf}", "calibration.d_ece"),
        ("", "expected 'key: value' lines"),
    ],
)
def test_bad_budgets_are_told(runs, tmp_path, text, told):
    result = CliRunner().invoke(cli.main, ["gate", str(runs / "good"), "--budget", str(budget(tmp_path, text))])
    assert result.exit_code == 2
    assert told in result.output


def test_limits_on_slices_are_the_recall_of_their_objects(runs, tmp_path):
    """Counted by hand; a slice without objects is unknown, one of a class that is not there an error."""
    rows = [r for r in stress.read(runs / "good").objects.to_pylist() if r["class_name"] == "car" and r["verdict"]]
    own = [r for r in rows if r["shift"] == "weather/fog" and r["severity"] >= 3 and r["outcome"] != "ignored"]
    recall = np.mean([r["outcome"] == "found" for r in own])
    line = "slices: [{class: car, shift: weather/fog, severity_from: 3, recall: %s}]"
    for wanted, passed in ((recall - 0.01, True), (recall + 0.01, False)):
        verdict = gate(runs / "good", budget(tmp_path, line % max(wanted, 0)))
        assert verdict.passed is passed
        assert verdict.checks[0].value == pytest.approx(recall)
        assert verdict.checks[0].name == "recall of cars in fog >= 3"
    far = budget(tmp_path, "slices: [{class: car, farther_than_m: 1000, recall: 0.1}]")
    assert [c.outcome for c in gate(runs / "good", far).checks] == ["unknown"]
    for text, told in (
        ("class: cra", "did you mean 'car'"),
        ("klass: car", "slices.0"),
        ("", "at least one attribute"),
    ):
        with pytest.raises(InputError, match=told):
            gate(runs / "good", budget(tmp_path, f"slices: [{{{text + ', ' if text else ''}recall: 0.5}}]"))


def test_the_same_names_from_another_place_are_said(runs):
    opened = [ComparedRun.open(runs / name) for name in ("good", "same")]
    assert not any("different places" in note for note in common_of(opened).notes)
    moved = {**opened[1].identity, "dataset": {**opened[1].identity["dataset"], "path": "elsewhere/val"}}
    notes = common_of([opened[0], replace(opened[1], identity=moved)]).notes
    assert any("different places" in note and "elsewhere/val" in note for note in notes)
