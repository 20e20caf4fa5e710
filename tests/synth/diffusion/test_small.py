"""The small model: fills holes and nothing else, learns, resumes to the same weights, says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scenes.errors import InputError
from scenes.sample import Sample
from synth.boxworld import box_sample
from synth.diffusion.learner import Settings as SmallSettings
from synth.diffusion.learner import SmallLearner, patches_of
from synth.diffusion.small import (
    BACKGROUND,
    PATCH_PX,
    SmallModel,
    fill,
    load_small,
    new_scheduler,
    new_unet,
    save_small,
)
from synth.diffusion.training import train_diffusion
from synth.training import read_losses
from synth.training import train as run_training

TINY = (8, 24)
NAMES = ("car", "person", "truck", "bus", "pole", "tree", "sign", "bicycle")


@pytest.fixture
def model() -> SmallModel:
    torch.manual_seed(0)
    return SmallModel(new_unet(4, TINY).eval(), new_scheduler(), (BACKGROUND, "car"), ("clear", "night"))


def test_only_the_hole_and_its_rim_change(model: SmallModel) -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 80, 3), np.uint8)
    mask = np.zeros((50, 80), bool)
    mask[10:33, 30:52] = True
    made = fill(image, mask, model, content="car", condition="night", steps=3, rim_px=2)
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert (made[away > 3] == image[away > 3]).all()
    assert (made[mask] != image[mask]).mean() > 0.9
    assert (made == fill(image, mask, model, content="car", condition="night", steps=3)).all()
    for options in ({"seed": 1}, {"content": BACKGROUND}, {"condition": "clear"}):
        other = fill(image, mask, model, **{"content": "car", "condition": "night", "steps": 3, **options})  # type: ignore[arg-type]
        assert (other != made).any()


def test_a_saved_model_fills_alike(model: SmallModel, tmp_path: Path) -> None:
    save_small(model, tmp_path / "m", half=False)
    image, mask = np.full((20, 20, 3), 80, np.uint8), np.zeros((20, 20), bool)
    mask[5:9, 5:9] = True
    assert (fill(image, mask, load_small(tmp_path / "m"), steps=2) == fill(image, mask, model, steps=2)).all()


def test_what_is_wrong_is_said(model: SmallModel, tmp_path: Path) -> None:
    image, mask = np.zeros((20, 20, 3), np.uint8), np.ones((20, 20), bool)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"content": "boat"}, "content: expected one of"), ({"condition": "hail"}, "condition: expected one of"),
        ({"mask": np.zeros((20, 20), bool)}, "at least one pixel"), ({"mask": np.ones((3, 3), bool)}, "frame's size"),
    ]  # fmt: skip
    for options, words in cases:
        with pytest.raises(InputError, match=words):
            fill(image, options.pop("mask", mask), model, **options)
    with pytest.raises(InputError, match="expected the folder of a small model"):
        load_small(tmp_path)
    save_small(model, tmp_path / "m")
    (tmp_path / "m/unet/diffusion_pytorch_model.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_small(tmp_path / "m")
    (tmp_path / "m/small.json").write_text(json.dumps({"schema": "other"}))
    with pytest.raises(InputError, match="expected schema"):
        load_small(tmp_path / "m")


def test_patches_hold_their_object_and_background_holds_none() -> None:
    sample = box_sample(192, 128)
    names = tuple(NAMES[: int(sample.annotations.labels.max()) + 1])
    rng = np.random.default_rng(1)
    patches = [p for _ in range(6) for p in patches_of(sample, "clear", names, (BACKGROUND, *names), rng, most=8)]
    assert {p.content for p in patches} >= {BACKGROUND}
    assert any(p.content != BACKGROUND for p in patches)
    for patch in patches:
        assert patch.image.shape == (PATCH_PX, PATCH_PX, 3)
        assert 0 < patch.hole.mean() < 1


def _learner(sample: Sample, **options: Any) -> SmallLearner:
    settings = SmallSettings(
        classes=(BACKGROUND,), conditions=("clear",), channels=TINY, batch=8, bfloat16=False, rate=3e-3, **options
    )
    return SmallLearner(lambda rng: (sample, "clear"), NAMES, settings, seed=0)


@pytest.mark.parametrize("prediction", ["v_prediction", pytest.param("epsilon", marks=pytest.mark.slow)])
def test_it_learns(prediction: str, tmp_path: Path) -> None:
    learner = _learner(box_sample(96, 64), prediction=prediction)
    run_training(learner, tmp_path / prediction, {"kind": "diffusion"}, steps=50, seed=0, progress=False)
    losses = read_losses(tmp_path / prediction)["loss"]
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:5])


def test_a_training_on_a_data_set_resumes_to_the_same_weights(tmp_path: Path) -> None:
    options: dict[str, Any] = {"channels": TINY, "steps": 4, "batch": 4, "classes": ["car"]}
    whole = train_diffusion("town:5:2", tmp_path / "whole", progress=False, **options)

    def stop(stage: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    import synth.training as training

    before, training.SAVE_EVERY_S = training.SAVE_EVERY_S, 0.0
    try:
        with pytest.raises(KeyboardInterrupt):
            train_diffusion("town:5:2", tmp_path / "half", progress=stop, **options)
    finally:
        training.SAVE_EVERY_S = before
    half = train_diffusion("town:5:2", tmp_path / "half", progress=False, **options)
    file = "unet/diffusion_pytorch_model.safetensors"
    one, other = load_file(whole.files[0] / file), load_file(half.files[0] / file)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert load_small(whole.files[0]).classes == (BACKGROUND, "car")
    assert list((whole.folder / "previews").glob("*.png"))


def test_bad_trainings_are_refused(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"classes": ["boat"]}, "is none of the data set's"), ({"classes": ["car"], "schedule": "square"}, "schedule"),
        ({"classes": ["car"], "channels": (7, 24)}, "channels"),
        ({"classes": ["car"], "prediction": "x"}, "prediction"),
    ]  # fmt: skip
    for options, words in cases:
        with pytest.raises(InputError, match=words):
            train_diffusion("town:5:2", tmp_path / "out", steps=2, progress=False, **options)
        assert not (tmp_path / "out").exists()
