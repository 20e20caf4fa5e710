"""Pipelines of every supported layout load and run; what is missing, wrong or not to be trusted is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from scenes.errors import InputError
from synth.boxworld import box_sample
from synth.diffusion import edit as edits
from synth.diffusion.control import colours, control_of
from synth.diffusion.edit import Wish, edit_masked, edit_whole, feathered, window_around
from synth.diffusion.pipelines import Checkpoint, load

SMALL = Wish("rain at night", strength=0.6, steps=2, side_px=32)
WHOLE = [("sd", "image", ""), ("sdxl", "image", ""), ("pix2pix", "instruct", ""), ("sd", "image", "controlnet")]
MASKED = [("sd", ""), ("sd-inpaint", ""), ("sdxl", ""), ("sd", "controlnet")]


def _load(models: Path, name: str, task: Any, control: str = "", **options: Any) -> Any:
    steered = str(models / control) if control else ""
    return load(Checkpoint(str(models / name), task, controlnet=steered, **options))


@pytest.mark.parametrize(("name", "task", "control"), WHOLE)
def test_whole_frames_of_any_size_are_edited_and_the_same_again(
    name: str, task: str, control: str, models: Path
) -> None:
    loaded = _load(models, name, task, control)
    for shape in ((45, 80), (1, 3)):
        image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
        steer = image if control else None
        first = edit_whole(image, loaded, SMALL, control=steer)
        assert first.shape == image.shape
        assert (first == edit_whole(image, loaded, SMALL, control=steer)).all()
    other = edit_whole(image, loaded, Wish("x", strength=0.6, steps=2, side_px=32, seed=1), control=steer)
    assert (other != first).any()


@pytest.mark.parametrize(("name", "control"), MASKED)
def test_bytes_outside_of_mask_and_rim_stay(name: str, control: str, models: Path) -> None:
    loaded = _load(models, name, "inpaint", control)
    image = np.random.default_rng(1).integers(0, 256, (60, 90, 3), np.uint8)
    mask = np.zeros((60, 90), bool)
    mask[20:31, 40:63] = True
    made = edit_masked(image, mask, loaded, SMALL, rim_px=3, control=image if control else None)
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert (made[away > 4] == image[away > 4]).all()
    assert (made[mask] != image[mask]).mean() > 0.9


def test_a_control_and_a_strength_make_a_difference(models: Path) -> None:
    image = np.random.default_rng(2).integers(0, 256, (48, 48, 3), np.uint8)
    steered = _load(models, "sd", "image", "controlnet")
    dark, bright = (edit_whole(image, steered, SMALL, control=np.full_like(image, v)) for v in (0, 255))
    assert (dark != bright).any()
    plain = _load(models, "sd", "image")
    weak, strong = (edit_whole(image, plain, Wish("x", strength=s, steps=10, side_px=32)) for s in (0.1, 0.9))
    assert (weak != strong).any()


def test_large_frames_go_in_tiles(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    run = edits._run
    monkeypatch.setattr(edits, "_run", lambda image, *rest: (seen.append(image.shape), run(image, *rest))[1])
    image = np.zeros((64, 160, 3), np.uint8)
    edit_whole(image, _load(models, "sd", "image"), Wish("x", steps=2, side_px=0, tile_px=64))
    assert len(seen) > 2
    assert max(max(shape[:2]) for shape in seen) <= 64


def test_the_hash_follows_the_files(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "sd", tmp_path / "sd")
    same = load(Checkpoint(str(tmp_path / "sd"), "image")).digest
    assert same == _load(models, "sd", "image").digest
    config = tmp_path / "sd/scheduler/scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.013"))
    assert load(Checkpoint(str(tmp_path / "sd"), "image")).digest != same
    assert _load(models, "sd", "image", "controlnet").digest != same


def test_what_is_wrong_with_a_model_is_said(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROADPROOF_ALLOW_DOWNLOAD", raising=False)
    shutil.copytree(models / "sd", tmp_path / "partial")
    shutil.rmtree(tmp_path / "partial/vae")
    shutil.copytree(models / "sd", tmp_path / "pickled")
    weights = tmp_path / "pickled/unet/diffusion_pytorch_model.safetensors"
    weights.unlink()
    torch.save({}, weights.with_suffix(".bin"))
    shutil.copytree(models / "sd", tmp_path / "broken")
    (tmp_path / "broken/unet/diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    (tmp_path / "empty").mkdir()
    (tmp_path / "json").mkdir()
    (tmp_path / "json/model_index.json").write_text("{")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"model": str(tmp_path / "no"), "task": "image"}, "no such folder"),
        ({"model": "no-such/name-on-hub", "task": "image"}, "--allow-download"),
        ({"model": str(tmp_path / "empty"), "task": "image"}, "no model_index.json"),
        ({"model": str(tmp_path / "json"), "task": "image"}, "cannot be read as JSON"),
        ({"model": str(tmp_path / "partial"), "task": "image"}, "is incomplete: vae"),
        ({"model": str(tmp_path / "pickled"), "task": "image"}, "is a pickle"),
        ({"model": str(tmp_path / "broken"), "task": "image"}, "cannot be loaded for image-to-image"),
        ({"model": str(models / "pix2pix"), "task": "inpaint"}, "does not do inpainting"),
        ({"model": str(models / "sd"), "task": "instruct"}, "expected an InstructPix2Pix pipeline"),
        ({"model": str(models / "sd"), "task": "image", "scheduler": "Foo"}, "scheduler: expected a class"),
        ({"model": str(models / "sd"), "task": "image", "dtype": "int8"}, "dtype: expected one of"),
    ]
    for options, words in cases:
        with pytest.raises(InputError, match=words):
            load(Checkpoint(**options))


def test_savers_and_schedulers_run(models: Path) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    for options in (
        {"saver": "slices"},
        {"saver": "tiles"},
        {"scheduler": "EulerDiscreteScheduler"},
        {"dtype": "bfloat16"},
    ):
        assert edit_whole(image, _load(models, "sd", "image", **options), SMALL).shape == image.shape


@pytest.mark.parametrize(
    ("error", "words"), [(RuntimeError("not enough memory: tried"), "ran out of memory"), (ValueError("odd"), "odd")]
)
def test_failures_while_running_are_one_line(
    error: Exception, words: str, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = _load(models, "sd", "image")

    def fail(**_: Any) -> None:
        raise error

    broken = edits.Loaded(fail, loaded.checkpoint, loaded.digest)
    with pytest.raises(InputError, match=words):
        edit_whole(np.zeros((32, 32, 3), np.uint8), broken, SMALL)


def test_nan_is_named(models: Path) -> None:
    loaded = _load(models, "sd", "image")

    class Nan:
        images = (np.full((32, 32, 3), np.nan),)

    with pytest.raises(InputError, match="holds NaN"):
        edit_whole(np.zeros((32, 32, 3), np.uint8), edits.Loaded(lambda **_: Nan, loaded.checkpoint, "x"), SMALL)


def test_masks_that_are_none(models: Path) -> None:
    loaded, image = _load(models, "sd", "inpaint"), np.zeros((20, 30, 3), np.uint8)
    for mask, words in ((np.zeros((20, 30), bool), "at least one pixel"), (np.ones((30, 20), bool), "frame's size")):
        with pytest.raises(InputError, match=words):
            edit_masked(image, mask, loaded, SMALL)


def test_windows_hold_the_mask_and_stay_in_the_frame() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        height, width = rng.integers(1, 80, 2)
        mask = np.zeros((height, width), bool)
        y, x = rng.integers(height), rng.integers(width)
        mask[y : y + rng.integers(1, 40), x : x + rng.integers(1, 40)] = True
        x1, y1, x2, y2 = window_around(mask)
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert mask[y1:y2, x1:x2].sum() == mask.sum()


def test_a_rim_falls_from_one_to_nothing() -> None:
    mask = np.zeros((9, 15), bool)
    mask[4, 7] = True
    alpha = feathered(mask, 2)
    assert alpha[4, 7] == 1
    assert alpha[4, 5] > 0 == alpha[4, 10]
    assert (feathered(mask, 0) == mask).all()


def test_controls_of_a_sample() -> None:
    sample = box_sample(96, 64)
    for kind in ("depth", "segmentation", "edges"):
        picture = control_of(sample, kind)  # type: ignore[arg-type]
        assert picture is not None
        assert picture.shape == sample.image.shape
        assert picture.std() > 0
    assert control_of(sample, "") is None
    depth = control_of(sample, "depth")
    assert depth is not None
    assert sample.depth is not None
    near, far = np.nanargmin(sample.depth), np.nanargmax(sample.depth)
    assert depth[..., 0].flat[near] > depth[..., 0].flat[far]
    assert [tuple(row) for row in colours(4).tolist()] == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]


def test_the_index_of_a_saved_pipeline_is_what_we_think(models: Path) -> None:
    assert json.loads((models / "sdxl/model_index.json").read_text())["_class_name"] == "StableDiffusionXLPipeline"
