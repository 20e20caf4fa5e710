"""summary.md: the run's own figures, in Markdown that names cannot break."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

import reports
from reports import summary
from reports.read import read


@pytest.mark.core
def test_the_summary_holds_every_cell_and_family(detection_run: Path) -> None:
    text = summary.render(read(detection_run))
    data = json.loads((detection_run / "results.json").read_text())
    for figure in data["figures"]:
        if (figure["metric"], figure["class_name"], figure["size"]) == ("map", None, None) and figure[
            "shift"
        ] != "clean":
            line = next(
                line for line in text.splitlines() if line.startswith("| " + summary.escape(figure["shift"]) + " |")
            )
            assert f"{figure['value']:.3f}" in line
    order = [text.index(f"| {family['family']} |") for family in data["families"]]
    assert order == sorted(order)
    assert f"{data['headline']['rpc']['value']:.3f}" in text
    assert "roadproof stress town --model zoo:detector" in text


def test_every_row_of_a_table_has_as_many_cells_as_its_head(builder: ModuleType, tmp_path: Path) -> None:
    run = builder.build(tmp_path / "run", hostile=True, failures=2)
    reports.write(run)
    width = 0
    for line in (run / "summary.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = line.replace("\\|", "").count("|")
        assert width in (0, cells)
        width = cells


def test_names_are_no_markup(builder: ModuleType, tmp_path: Path) -> None:
    text = summary.render(read(builder.build(tmp_path / "run", hostile=True, failures=0)))
    body = text[: text.rindex("    roadproof")]
    assert "\\<script\\>alert(1)\\</script\\>" in body
    assert "<script" not in body.replace("\\<", "")


def test_a_backtick_in_a_name_opens_no_door(builder: ModuleType, tmp_path: Path) -> None:
    path = builder.build(tmp_path / "run", failures=0)
    data = json.loads((path / "results.json").read_text())
    data["dataset"]["name"] = "a`b <img src=x>"
    (path / "results.json").write_text(json.dumps(data))
    assert "- data: a\\`b \\<img src=x\\>," in summary.render(read(path))


def test_too_few_samples_is_said(builder: ModuleType, tmp_path: Path) -> None:
    text = summary.render(read(builder.build(tmp_path / "run", empty_figures=True, failures=0)))
    assert "too few" in text
    assert "None" not in text.replace("None of", "")
