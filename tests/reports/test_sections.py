"""Slices and safety in the page: what is proven and what is not, what is not covered, and names that are only text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import reports
from reports import mining, safety

NASTY = "</script><img src=x onerror=alert(1)>"


def judged(p: float | None) -> dict[str, Any]:
    known = {"mean": 0.7, "rest": 0.1, "n": 40, "groups": 9, "p": p, "p_corrected": p}
    return {**known, "significant": p is not None and p < 0.05}


def a_slice(name: str, p: float | None) -> dict[str, Any]:
    figures = {"recall_clean": 0.91, "recall_shifted": 0.22, "recall_elsewhere": 0.6, "score_loss": 0.3}
    return {"slice": name, "predicates": [], **figures, "n": 300, "n_objects": 143, "tested": judged(p)}


def mined(name: str) -> dict[str, Any]:
    picture = {"path": "evidence/../../../etc/passwd", "sample_id": name, "shift": "weather/fog", "severity": 3.0,
               "failure": "missed", "class_name": name, "predicted_class": None, "loss": 0.5}  # fmt: skip
    cluster = {"name": name, "shared": {}, "n": 9, "n_objects": 5, "n_frames": 3, "loss": 0.4, "failures": {},
               "shifts": {"weather/fog": 9}, "pictures": [picture]}  # fmt: skip
    clusters = {"n_failures": 99, "n_folded": 9, "n_looked_at": 40, "n_same_look": 2, "n_alone": 20,
                "embedder": name, "clusters": [cluster], "notes": [name]}  # fmt: skip
    return {
        "schema": mining.SCHEMA, "run": name, "task": "detection", "noun": "object", "metric": "recall", "n_groups": 18,
        "n_objects": 900, "newly": 30, "mean_loss": 0.1, "notes": [name], "clusters": clusters, "missed_anyway": [],
        "failures": [{"family": name, "failure": "missed", "n": 40, "newly": 30, "loss": 9.0}],
        "lost_under_shift": [a_slice(f"cars farther than 40 m in fog >= 3 {name}", 0.0001), a_slice("people", None)],
        "sequences": [{"group": name, "n": 20, "recall_clean": 0.9, "recall_shifted": 0.2, "p": 0.001,
                       "p_corrected": 0.01, "significant": True}],
    }  # fmt: skip


def domain_row(distance: str, n: int, state: str, value: float | None, name: str) -> dict[str, Any]:
    figure = {"value": value, "low": None if value is None else value - 0.1, "high": value, "n": 9}
    return {"condition": "clean", "family": "clean", "road_user": "vulnerable", "distance": distance, "n": n,
            "n_groups": 9, "recall": figure, "state": state}  # fmt: skip


def read_for_safety(name: str) -> dict[str, Any]:
    figure = {"value": 0.25, "low": 0.2, "high": 0.3, "n": 9}
    rows = [domain_row("0-14 m", 30, "covered", 0.8, name), domain_row("14-30 m", 4, "few", None, name),
            domain_row("30-63 m", 0, "none", None, name)]  # fmt: skip
    weights = {"vulnerable": 3.0, "vehicle": 1.0, "other": 0.3, "speed_kmh": 50.0, "reaction_s": 1.0,
               "braking_m_per_s2": 6.0, "classes": {}}  # fmt: skip
    misses = [{"shift": shift, "family": "weather", "severity": s, "n": 34, "missed": figure, "weighted": figure}
              for shift, s in (("clean", 0.0), ("weather/fog", 3.0))]  # fmt: skip
    return {"schema": safety.SCHEMA, "run": name, "weights": weights, "stopping_m": 30.0, "notes": [name],
            "bands": ["0-14 m", "14-30 m", "30-63 m"], "road_users": {"vulnerable": [name]}, "n_groups": 9,
            "misses": misses, "domain": rows,
            "not_covered": [{"condition": "clean", "road_user": "vulnerable", "distance": r["distance"], "n": r["n"]}
                            for r in rows if r["state"] != "covered"]}  # fmt: skip


@pytest.fixture
def run(detection_run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(detection_run, folder)
    (folder / "mining.json").write_text(json.dumps(mined(NASTY)), encoding="utf-8")
    (folder / "safety.json").write_text(json.dumps(read_for_safety(NASTY)), encoding="utf-8")
    return folder


def test_names_are_text_and_paths_stay_in_the_run(run: Path) -> None:
    text = reports.write(run).read_text(encoding="utf-8")
    assert NASTY not in text
    assert "&lt;/script&gt;&lt;img" in text
    found = mining.view(run)
    assert found is not None
    assert found["clusters"][0]["pictures"] == []


def test_what_is_proven_is_told_from_what_was_seen(run: Path) -> None:
    found = mining.view(run)
    assert found is not None
    rows = found["questions"][0]["rows"]
    assert [(row["significant"], row["p"]) for row in rows] == [(True, "< 0.001"), (False, "not tested")]
    assert (rows[0]["before"], rows[0]["now"], rows[0]["n"]) == ("0.91", "0.22", "143")
    assert found["questions"][1]["verdict"] == "No slice goes wrong more often than the rest."
    text = reports.write(run).read_text(encoding="utf-8")
    assert 'href="#mining"' in text
    assert 'href="#safety"' in text


def test_what_is_not_covered_stands_out_and_has_no_figure(run: Path) -> None:
    found = safety.view(run)
    assert found is not None
    cells = found["rows"][0]["cells"]
    assert [(c["state"], c["text"], c["n"]) for c in cells] == [("covered", "80", "30"), ("few", "few", "4"),
                                                                ("none", "none", "")]  # fmt: skip
    assert found["uncovered"].startswith("Not covered: 1 of 3 cells have no object at all, 1 too few")
    text = reports.write(run).read_text(encoding="utf-8")
    assert 'class="dom none' in text


def test_pages_of_runs_without_them_have_no_such_section(detection_run: Path, tmp_path: Path) -> None:
    shutil.copytree(detection_run, tmp_path / "run")
    text = reports.write(tmp_path / "run").read_text(encoding="utf-8")
    assert "#mining" not in text.split("</nav>")[0]
    assert 'id="safety"' not in text
