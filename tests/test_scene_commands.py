"""From a capture to a stressed data set by commands: fit, lane change, read back, stress, fidelity, report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli import main
from scenes.datasets import open_dataset
from scenes.errors import InputError
from scenes.fidelity import read_fidelity
from scenes.gaussians import open_scene
from scenes.trajectory import planned


def command(*words: str) -> Result:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small scene of the town."""
    folder = tmp_path_factory.mktemp("scenes") / "town"
    command("scene", "fit", "town:3:16", "--out", str(folder), "--steps", "300", "--pixels", "256",
            "--max-gaussians", "20000")  # fmt: skip
    return folder


@pytest.mark.slow
def test_a_lane_change_is_a_labelled_data_set_that_can_be_stressed(scene: Path, tmp_path: Path) -> None:
    drive, run = tmp_path / "drive", tmp_path / "run"
    command("scene", "render", str(scene), "--trajectory", "lane-change", "--frames", "6", "--out", str(drive))
    assert (drive / "video.mp4").stat().st_size > 1000
    data, world = open_dataset(drive), open_scene(scene)
    assert data.format == "coco"  # type: ignore[attr-defined]
    cameras = planned("lane-change", world.cameras, frames=6, length_m=12.0, offset_m=3.4)
    for name, camera in zip(data.sample_ids, cameras, strict=True):
        seen, read = world.render(camera), data[name]
        assert np.array_equal(seen.image, read.image)
        np.testing.assert_allclose(seen.annotations.boxes, read.annotations.boxes, atol=0.01)
        assert seen.annotations.labels.tolist() == read.annotations.labels.tolist()
    command("stress", str(drive), "--model", "zoo:detector", "--shifts", "fog,dusk,motion_blur,texture/object,yaw",
            "--severities", "3", "--explain", "0", "--workers", "1", "--out", str(run))  # fmt: skip
    results = json.loads((run / "results.json").read_text())
    assert {shift["family"] for shift in results["shifts"]} == {"weather", "lighting", "sensor", "texture", "pose"}
    assert results["headline"]["clean"]["value"] > 0.05
    assert "rerendering" not in results


@pytest.mark.slow
def test_a_scene_is_checked_and_its_reports_say_what_was_found(scene: Path, tmp_path: Path) -> None:
    before = read_fidelity(scene)  # written by the fit
    assert before is not None
    assert before["rows"] == []
    assert before["psnr_db"] > 17
    assert 0.6 < before["ssim"] < 1
    printed = command("scene", "check", str(scene), "--views", "2").stdout.splitlines()
    assert printed[-1].startswith("held-out PSNR: ")
    known = read_fidelity(scene)
    assert known is not None
    assert known["against"] == "town:3:16"
    splats = {(row["shift"], row["severity"]): row for row in known["rows"] if row["renderer"] == "splats"}
    assert len(splats) == 10
    assert splats["clean", 0]["PSNR dB"] == pytest.approx(known["psnr_db"], abs=0.01)  # both are the held-out views
    assert splats["pose/yaw", 1]["mask IoU"] > 0.3
    run = tmp_path / "run"
    command("stress", f"rendered:{scene}", "--model", "zoo:detector", "--shifts", "context/removed", "--severities",
            "3", "--limit", "2", "--explain", "0", "--workers", "1", "--out", str(run))  # fmt: skip
    results = json.loads((run / "results.json").read_text())
    assert results["rerendering"]["fidelity"]["psnr_db"] == known["psnr_db"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "How true are the re-renders?" in page
    assert "town:3:16" in page


@pytest.mark.parametrize(
    ("out", "message"), [("x.obj", "expected the name of a .ply file"), ("scene/gaussians.ply", "of the scene itself")]
)
def test_an_export_never_writes_over_the_scene(out: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "scene").mkdir()
    (tmp_path / "scene" / "gaussians.ply").write_text("mine")
    done = CliRunner().invoke(main, ["scene", "export", str(tmp_path / "scene"), str(tmp_path / out)])
    assert isinstance(done.exception, InputError) or done.exit_code == 2
    assert message in done.output + str(done.exception)
    assert (tmp_path / "scene" / "gaussians.ply").read_text() == "mine"


@pytest.mark.parametrize(
    ("method", "option", "other"),
    [("splat", ["--size", "small"], "nerf"), ("splat", ["--trust"], "nerf"), ("nerf", ["--start", "random"], "splat")],
)
def test_an_option_of_the_other_method_is_refused(method: str, option: list[str], other: str, tmp_path: Path) -> None:
    out = tmp_path / "scene"
    result = CliRunner().invoke(main, ["scene", "fit", "town:3:8", "--out", str(out), "--method", method, *option])
    assert result.exit_code == 2
    assert f"{option[0]}: expected with --method {other} only" in result.output
    assert not out.exists()
