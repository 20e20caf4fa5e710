"""Runs that say little or nothing: clear words or "too few" in the place of a figure, never a misleading number."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import cli
import reports
import reports.mining
import stress
from scenes.plugins import load_attribute
from stress.compare import compare
from stress.gate import Budget, gate
from stress.mined_words import nothing_proven
from stress.mining import markdown, mine
from stress.safety import assess
from stress.slices import find_slices
from stress.statistics import figure, group_weights, ratio

FAKES = f"{__file__.rsplit('/', 1)[0]}/fakes.py"
PLAN = {"shifts": "motion_blur", "severities": [1], "resamples": 40, "explain": "none"}


def fake(name):
    return load_attribute(f"{FAKES}:{name}", what="test part")


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A run of a single picture."""
    folder = tmp_path_factory.mktemp("one") / "run"
    stress.run(fake("Boxes")(1), fake("Detector")(), PLAN, folder, progress=False)
    return folder


def readers(run, tmp_path):
    """Every command that reads a finished run."""
    budget = tmp_path / "budget.yaml"
    budget.write_text("minimum: {rpc: 0.5}", encoding="utf-8")
    return {
        "mine": ["mine", str(run)],
        "safety": ["safety", str(run)],
        "compare": ["compare", str(run), str(run)],
        "gate": ["gate", str(run), "--budget", str(budget)],
        "report": ["report", str(run)],
    }


@pytest.mark.parametrize("command", ["mine", "safety", "compare", "gate", "report"])
@pytest.mark.parametrize("what", ["schema", "unfinished", "empty", "broken"])
def test_runs_that_cannot_be_read_are_told_from_each_other(one, tmp_path, command, what):
    run = tmp_path / "run"
    shutil.copytree(one, run)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    if what == "schema":
        (run / "results.json").write_text(json.dumps({**results, "schema": "roadproof.results/9"}), encoding="utf-8")
    elif what == "unfinished":
        (run / "results.json").unlink()
    elif what == "empty":
        shutil.rmtree(run)
        run.mkdir()
    else:
        (run / "results.json").write_text('{"schema": "roadproof', encoding="utf-8")
    before = sorted(p.name for p in run.iterdir())
    result = CliRunner().invoke(cli.main, readers(run, tmp_path)[command])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    told = {"schema": "roadproof.results/9", "unfinished": "not finished", "empty": "results.json", "broken": "results"}
    assert told[what] in result.output
    assert sorted(p.name for p in run.iterdir()) == before


def test_one_picture_has_values_and_no_intervals(one, tmp_path):
    summary = stress.read(one).summary
    assert all(f["low"] is None and f["high"] is None for f in summary["figures"])
    assert any("no confidence intervals" in note for note in summary["notes"])
    found = mine(one)
    assert found["lost_under_shift"] == [] == found["missed_anyway"]
    assert "too few groups" in markdown(found)
    assert all(r["state"] != "covered" for r in assess(one)["domain"])
    same = compare([one, one], labels=["a", "b"])
    assert all(d["p"] is None and not d["significant"] for row in same["overall"] for d in row["differences"])
    assert all(entry["best_share"] is None for entry in same["ranking"])
    verdict = gate(one, Budget(minimum={"rpc": 0.1}, certain=True))
    assert [check.outcome for check in verdict.checks] == ["unknown"]
    text = reports.write(one).read_text(encoding="utf-8")
    assert "too few groups" in text
    assert "nan" not in text.split("<script")[0].lower().replace("finance", "")


def test_a_class_without_objects_has_no_figure(tmp_path):
    """The model knows signs; the pictures have none that count: nothing is said of them, not zero."""

    class NoSigns(type(fake("Boxes")())):
        def __getitem__(self, sample_id):
            from dataclasses import replace

            sample = super().__getitem__(sample_id)
            kept = sample.annotations.labels != 2
            notes = replace(
                sample.annotations, **{
                    name: getattr(sample.annotations, name)[kept]
                    for name in ("boxes", "labels", "instance_ids", "ignore")
                },
            )  # fmt: skip
            return replace(sample, annotations=notes)

    stress.run(NoSigns(8), fake("Detector")(), PLAN, tmp_path / "run", progress=False)
    figures = stress.read(tmp_path / "run").summary["figures"]
    signs = [f for f in figures if f["class_name"] == "sign" and f["metric"] in ("map", "ap50", "recall")]
    assert all(f["value"] is None for f in signs)
    mine(tmp_path / "run")


def test_ties_break_nothing():
    """Equal runs share a rank; equal values have a difference of zero and p = 1; a constant target has no slice."""
    from stress.compare import Common, _ranking, p_value

    draws = np.linspace(0.3, 0.5, 41)
    common = Common((), {f"sample {i}": i for i in range(9)}, (), "map", ())
    ranked = _ranking([draws, draws.copy()], common)
    assert [(entry["rank"], entry["rank_low"], entry["rank_high"]) for entry in ranked] == [(1, 1, 1)] * 2
    assert p_value(draws - draws, 9) == 1.0
    groups = np.repeat(np.arange(20), 10)
    column = {"class": np.array(["car", "person"] * 100)}
    for constant in (0.0, 1.0):
        assert not any(s.significant for s in find_slices(column, np.full(200, constant), groups, least=5))


def test_an_empty_slice_is_too_few():
    weights = group_weights(12, 50, seed=0)
    found = figure(ratio(weights @ np.zeros(12), weights @ np.zeros(12)), 12, share=True)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert find_slices({}, np.zeros(0), np.zeros(0, np.int64)) == []
    assert find_slices({"class": np.array(["car"] * 4)}, np.ones(4), np.arange(4)) == []


def test_where_nothing_was_missed_it_is_not_said_that_groups_are_too_few():
    assert "too few" not in nothing_proven([], 30)
    assert "too few" in nothing_proven([], 4)
    assert "too few" in nothing_proven([{"tested": {"p": None}}], 30)


def test_a_run_without_an_object_says_so(tmp_path):
    run = tmp_path / "run"
    stress.run(Nothing(12), fake("Detector")(), PLAN, run, progress=False)
    assert stress.read(run).headline["rpc"]["value"] is None
    found = mine(run)
    assert (found["n_objects"], found["mean_loss"]) == (0, None)
    assert {row["failure"] for row in found["failures"]} <= {"invented", "duplicate"}
    assert "too few groups" in markdown(found)
    assert assess(run)["misses"] == []
    assert "are covered" not in reports.write(run).read_text(encoding="utf-8")
    assert "Too few" in reports.write(run).read_text(encoding="utf-8")
    assert [c.outcome for c in gate(run, Budget(minimum={"rpc": 0.1})).checks] == ["unknown"]


class Nothing(type(fake("Boxes")())):
    """Pictures without objects."""

    def __getitem__(self, sample_id):
        from dataclasses import replace

        from scenes.sample import Annotations

        empty = Annotations(boxes=np.zeros((0, 4), np.float32), labels=np.zeros(0, np.int64))
        return replace(super().__getitem__(sample_id), annotations=empty)


def test_a_damaged_mining_file_leaves_the_report_whole(one, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(one, run)
    for text in ("{", "[]", '{"schema": "roadproof.mining/0"}'):
        (run / "mining.json").write_text(text, encoding="utf-8")
        assert reports.mining.view(run) is None
        assert 'id="mining"' not in reports.write(run).read_text(encoding="utf-8")
