"""The dependability section: figures that are those of the run, what is not known, and runs without it."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

import reports
from reports import attention, dependability
from reports.read import read


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"reports_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fixture = _load("fixture")
HOSTILE = "<script>alert(1)</script>"


def figure(value, spread=0.05, n=30):
    known = value is not None and spread is not None
    return {"value": value, "low": value - spread if known else None, "high": value + spread if known else None, "n": n}


def blocks(run, *, few=False, text=""):
    """Blocks as a run writes them, with made-up figures; few: nothing is known."""
    cells = [("clean", 0), *((s, k) for s in run.shift_names for k in run.severities)]
    known = {} if few else {"value": 0.2, "low": 0.1, "high": 0.3}
    none = {"value": None, "low": None, "high": None}
    row = {**none, **known, "n": 30}
    families = [f["family"] for f in run.data["families"]]
    label = {"label": f"D-ECE{text}", "unit": "", "higher_is_better": False, "description": f"an error{text}"}
    lrp = {**label, "label": "optimal LRP"}
    calibration = {
        "metrics": {"d_ece": label, "olrp": lrp},
        "temperature": None if few else 1.7,
        "n_fitted": 15,
        "n_judged": 15,
        "overall": [
            {"metric": m, "temperature": t, "clean": row, "shifted": row, "difference": row}
            for m, t in (("d_ece", None), ("olrp", None), *(() if few else (("d_ece", "before"), ("d_ece", "after"))))
        ],
        "families": [{"family": f, "metric": "d_ece", **row} for f in families],
        "figures": [
            {"shift": s, "severity": k, "metric": m, "temperature": None, **row}
            for s, k in cells
            for m in ("d_ece", "olrp")
        ],
        "reliability": [
            {
                "shift": s,
                "severity": k,
                "temperature": None,
                "count": [0 if few else 20] * 15,
                "confidence": [None if few else (i + 0.5) / 15 for i in range(15)],
                "right": [None if few else (i + 0.5) / 20 for i in range(15)],
                "low": [None if few else i / 20 for i in range(15)],
                "high": [None if few else (i + 1) / 20 for i in range(15)],
            }
            for s, k in cells
        ],
    }
    names = {"score": "knn", "question": "shift", "unit": "frames"}
    ood = {
        "scores": {"knn": {"label": f"KNN{text}", "description": f"a distance{text}"}},
        "metrics": {
            k: {"label": k, "higher_is_better": k != "fpr95", "description": ""} for k in ("auroc", "aupr", "fpr95")
        },
        "n_fitted": 0 if few else 15,
        "n_judged": 15,
        "notes": [f"left out{text}"],
        "overall": [{**names, "metric": m, **row, "cells": 3} for m in ("auroc", "aupr", "fpr95")],
        "families": [{**names, "family": f, "metric": "auroc", **row} for f in families],
        "figures": [{**names, "shift": s, "severity": k, "positives": 7, "negatives": 8} for s, k in cells[1:]],
    }
    pair = {k: row for n in ("energy", "pointing", "deletion", "insertion") for k in (n, f"{n}_clean")}
    explanations = {
        "method": "hirescam",
        "notes": [f"not explained{text}"],
        "correlation": row,
        "cells": [
            {"shift": s, "severity": k, "lost": 0.3, "n": 6, "loss": row, "drift": row, **pair} for s, k in cells[1:4]
        ],
        "objects": [],
    }
    return {"calibration": calibration, "ood": ood, "explanations": explanations}


def build(path, **options):
    path = fixture.build(path, shifts=4)
    added = blocks(read(path), **options)
    data = json.loads((path / "results.json").read_text())
    (path / "results.json").write_text(json.dumps({**data, **added}))
    return path


def section_of(page):
    return re.search(r'<section id="dependability">.*?</section>', page, re.S).group(0)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = build(tmp_path_factory.mktemp("page") / "run")
    reports.write(path)
    return (path / "report.html").read_text(encoding="utf-8")


@pytest.mark.core
def test_the_section_shows_what_the_run_has(page):
    section = section_of(page)
    assert 'href="#dependability"' in page
    assert "D-ECE 0.200 [0.100, 0.300] on clean frames" in section
    assert "Temperature 1.70, which makes the model less sure" in section
    assert section.count('class="reliability"') == 4
    assert "fitted on the clean frames of 15 groups" in section
    assert "Does it flag the failures?" in section
    assert "Rank correlation of an object&#39;s drift" in section or "Rank correlation of an object's drift" in section
    assert "HiResCAM" in section


def test_the_summary_says_how_sure_the_model_is(tmp_path):
    path = build(tmp_path / "run")
    reports.write(path)
    text = (path / "summary.md").read_text(encoding="utf-8").replace("\\", "")
    assert "D-ECE 0.200 [0.100, 0.300] on clean frames" in text
    assert "sure and" in text
    fixture.build(tmp_path / "old", shifts=2)
    reports.write(tmp_path / "old")
    assert "ECE" not in (tmp_path / "old" / "summary.md").read_text(encoding="utf-8")


def test_too_few_is_said_in_the_place_of_figures(tmp_path):
    path = build(tmp_path / "run", few=True)
    reports.write(path)
    section = section_of((path / "report.html").read_text(encoding="utf-8"))
    assert "Too few answers for a D-ECE." in section
    assert "No temperature is fitted" in section
    assert "too few" in section
    assert "None" not in section
    assert "nan" not in section


def test_a_run_without_the_blocks_has_no_section(tmp_path):
    path = fixture.build(tmp_path / "run", shifts=2)
    assert dependability.section(read(path)) is None
    reports.write(path)
    assert 'id="dependability"' not in (path / "report.html").read_text(encoding="utf-8")


def test_words_of_a_run_stay_words(tmp_path):
    path = build(tmp_path / "run", text=HOSTILE)
    reports.write(path)
    assert HOSTILE not in section_of((path / "report.html").read_text(encoding="utf-8"))


def test_reliability_leaves_out_bins_of_few_and_draws_intervals_once():
    bins = {"count": [50, 3, 50], "confidence": [0.2, 0.5, 0.8], "right": [0.3, 0.5, 0.7]}
    bins |= {"low": [0.2, 0.1, 0.6], "high": [0.4, 0.9, 0.8]}
    svg = str(dependability.reliability([(0, "clean", bins), (5, "severity 5", bins)], label="test"))
    assert svg.count("<circle") == 4
    assert svg.count("whisker") == 2
    assert "right 0.70 [0.60, 0.80], n = 50" in svg
    empty = {key: [] for key in bins}
    assert "<circle" not in str(dependability.reliability([(0, "clean", empty)], label="test"))


def test_a_drift_plot_needs_two_cells(tmp_path):
    run = read(build(tmp_path / "run"))
    assert attention.explained(run)["svg"] is not None
    run.data["explanations"]["cells"] = run.data["explanations"]["cells"][:1]
    assert attention.explained(run)["svg"] is None


def test_a_temperature_of_one_leaves_the_model_as_sure_as_it_is_and_missing_cells_are_told(tmp_path):
    path = build(tmp_path / "run")
    found = json.loads((path / "results.json").read_text(encoding="utf-8"))
    block = found["calibration"]
    for value, said in ((1.0, "as sure as it is"), (0.8, "more sure"), (1.7, "less sure")):
        block["temperature"] = value
        (path / "results.json").write_text(json.dumps(found), encoding="utf-8")
        assert said in dependability.calibration(read(path))["temperature"]
    assert "mean over" not in dependability.lead(read(path))
    for row in block["overall"]:
        row |= {"cells": 7, "of_cells": 10}
    (path / "results.json").write_text(json.dumps(found), encoding="utf-8")
    assert "mean over 7 of 10 cells" in dependability.lead(read(path))
