"""The section on a fitted scene: its figures, or how to get them, and nothing for other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports.read import Run
from reports.rerendering import section, sentence
from scenes.fidelity import means, write_fidelity

ROWS: list[dict[str, Any]] = [
    {"shift": "clean", "severity": 0, "renderer": "exact", "AP": 0.2},
    {"shift": "clean", "severity": 0, "renderer": "splats", "AP": 0.3, "AP - exact": 0.1, "PSNR dB": 29.0, "SSIM": 0.9},
    {"shift": "pose/yaw", "severity": 3, "renderer": "splats", "AP": 0.25, "AP - exact": 0.07, "PSNR dB": 25.0,
     "SSIM": 0.88, "box IoU": 0.8, "mask IoU": None, "error of the change": -0.03},
]  # fmt: skip


def run(path: Path, **data: Any) -> Run:
    return Run(path=path, data={"figures": [], **data})


@pytest.mark.core
def test_no_scene_no_section(tmp_path: Path) -> None:
    assert section(run(tmp_path)) is None
    assert sentence(run(tmp_path)) == ""


def test_an_unmeasured_scene_says_so_and_how(tmp_path: Path) -> None:
    known = {"scene": str(tmp_path), "clean": "photos", "fidelity": None, "command": "roadproof scene check X"}
    found = section(run(tmp_path, rerendering=known))
    assert found is not None
    assert not found["measured"]
    assert found["command"] == "roadproof scene check X"
    assert "not measured: roadproof scene check X" in sentence(run(tmp_path, rerendering=known))


def test_figures_are_those_of_the_run_or_measured_since(tmp_path: Path) -> None:
    (tmp_path / "scene.json").write_text("{}")
    record = {**means({"a": (28.0, 0.9)}), "renderer": "splats", "against": "town:3:40", "model": "m", "rows": ROWS}
    write_fidelity(tmp_path, record)
    for fidelity in (None, record):
        known = {"scene": str(tmp_path), "clean": "renders", "fidelity": fidelity, "command": "c"}
        found = section(run(tmp_path, rerendering=known))
        assert found is not None
        assert found["held_out"].replace("\u00a0", " ") == "PSNR 28.0 dB and SSIM 0.900 on 1 view held out of its fit"
        assert "at most 0.030 AP" in found["worst"]
        assert "severity 3" in found["worst"]
        assert "PSNR 28.0" in sentence(run(tmp_path, rerendering=known)).replace("\u00a0", " ")
        assert [row["renderer"] for row in found["rows"]] == ["exact", "Gaussian splats", "Gaussian splats"]
        assert found["rows"][2]["cells"] == ["25.0", "0.880", "0.80", "–", "0.250", "+0.070", "−0.030"]
