"""`roadproof demo --loop`, as small as it gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli


@pytest.mark.slow
def test_the_loop_goes_all_the_way_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SHIFTS": ("fog", "motion_blur"), "IMAGES": 8, "STEPS": 2, "SEEDS": 1}.items():
        monkeypatch.setattr(cli, f"LOOP_{name}", value)
    arguments = ["demo", "--loop", "--frames", "5", "--workers", "1", "--out", str(tmp_path / "loop")]
    done = CliRunner().invoke(cli.main, arguments)
    assert done.exit_code == 0, done.output
    proof = json.loads((tmp_path / "loop" / "retrained" / "proof.json").read_text())
    assert proof["families_trained"] == ["weather"]
    assert proof["families_held_out"] == ["sensor"]
    assert proof["test"]["n_groups"] == 5
    assert {row["word"] for row in proof["families"]} == {"no evidence"}  # of one seed
    assert (tmp_path / "loop" / "run" / "report.html").is_file()
    assert (tmp_path / "loop" / "run" / "mining.json").is_file()
    assert (tmp_path / "loop" / "feedback" / "README.md").is_file()
    again = CliRunner().invoke(cli.main, arguments)
    assert "nothing was trained" in again.stderr
