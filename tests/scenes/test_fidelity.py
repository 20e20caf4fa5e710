"""What is kept of how true a scene is: with the scene it was measured on, and with no other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scenes.fidelity import FILE, means, read_fidelity, similarity, write_fidelity


def folder(path: Path, content: str = "a") -> Path:
    path.mkdir()
    (path / "scene.json").write_text(content)
    return path


@pytest.mark.core
def test_figures_are_kept_with_their_scene(tmp_path: Path) -> None:
    scene = folder(tmp_path / "scene")
    assert read_fidelity(scene) is None
    write_fidelity(scene, {**means({"b": (20.0, 0.8), "a": (30.0, 0.9)}), "rows": []})
    known = read_fidelity(scene)
    assert known is not None
    assert (known["psnr_db"], known["ssim"]) == (25.0, 0.85)
    assert [view["view"] for view in known["views"]] == ["a", "b"]
    (scene / "checkpoint.safetensors").write_text("of a fit")  # decides nothing of what is rendered
    assert read_fidelity(scene) == known
    (scene / "for_a_viewer.ply").write_text("exported")  # nor what the user puts beside
    (scene / "notes.json").write_text("{}")
    assert read_fidelity(scene) == known
    (scene / "scene.json").write_text("fitted anew")
    assert read_fidelity(scene) is None


def test_what_is_no_record_is_none(tmp_path: Path) -> None:
    scene = folder(tmp_path / "scene")
    for text in ("{", "[]", json.dumps({"format": "x"})):
        (scene / FILE).write_text(text)
        assert read_fidelity(scene) is None
    assert means({}) == {"views": [], "psnr_db": None, "ssim": None}


def test_similarity() -> None:
    rng = np.random.Generator(np.random.Philox(1))
    image = rng.integers(0, 200, (32, 48, 3)).astype(np.uint8)
    noisy = (image + rng.integers(0, 40, image.shape)).astype(np.uint8)
    psnr, ssim = similarity(image, noisy)
    mse = ((image / 255.0 - noisy / 255.0) ** 2).mean()
    assert psnr == pytest.approx(-10 * np.log10(mse), abs=1e-6)
    assert 0.5 < ssim < 0.99
    assert similarity(image, image)[1] == pytest.approx(1.0, abs=1e-5)
