"""Training a translation: it learns, it resumes to the same weights, and what is wrong is said before it begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scenes.errors import InputError
from scenes.images import write_png
from synth.gan.checkpoint import load_generator
from synth.gan.training import train_gan
from synth.gan.translate import translate
from synth.training import read_losses

SMALL = {"width": 4, "side": 32, "batch": 2, "progress": False}


def _folders(root: Path, *, count: int = 6, paired: bool = True) -> tuple[Path, Path]:
    """Two folders: shapes on grey, and the same (or others) in the negative."""
    rng = np.random.default_rng(0)
    for index in range(count):
        for name in ("a", "b"):
            if name == "a" or not paired:
                picture = np.full((40, 56, 3), 90, np.uint8)
                x, y = rng.integers(4, 30, 2)
                picture[y : y + 10, x : x + 20] = rng.integers(150, 255, 3)
            (root / name).mkdir(parents=True, exist_ok=True)
            suffix = index if paired or name == "a" else index + 100
            write_png(
                root / name / f"{suffix:03d}.png", picture if name == "a" else np.asarray(255 - picture, np.uint8)
            )
    return root / "a", root / "b"


@pytest.mark.parametrize("method", ["pix2pix", "cyclegan", "cut"])
def test_every_method_writes_a_generator_that_loads(method: str, tmp_path: Path) -> None:
    paired = method == "pix2pix"
    first, second = _folders(tmp_path, paired=paired)
    done = train_gan(first, second, tmp_path / "out", paired=paired, method=method, steps=3, blur=True, **SMALL)  # type: ignore[arg-type]
    assert done.files[0].name == "generator.safetensors"
    assert len(done.files) == (2 if method == "cyclegan" else 1)
    image = np.zeros((50, 70, 3), np.uint8)
    assert translate(image, load_generator(done.files[0])).shape == image.shape
    losses = read_losses(done.folder)
    assert losses["step"] == [1, 2, 3]
    assert list((done.folder / "previews").glob("*.png"))


def test_pairs_are_learned(tmp_path: Path) -> None:
    """The negative of a picture: after a few steps the distance to it has fallen by much."""
    first, second = _folders(tmp_path)
    done = train_gan(first, second, tmp_path / "out", paired=True, steps=120, rate=2e-3, norm="batch", **SMALL)  # type: ignore[arg-type]
    near = read_losses(done.folder)["near"]
    assert np.mean(near[-10:]) < 0.6 * np.mean(near[:5])


@pytest.mark.parametrize("method", ["pix2pix", "cyclegan", "cut"])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(method: str, tmp_path: Path) -> None:
    paired = method == "pix2pix"
    first, second = _folders(tmp_path, paired=paired)
    whole = train_gan(first, second, tmp_path / "whole", paired=paired, method=method, steps=6, **SMALL)  # type: ignore[arg-type]

    def stop(stage: str, done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    import synth.training as training

    before = training.SAVE_EVERY_S
    training.SAVE_EVERY_S = 0.0
    try:
        with pytest.raises(KeyboardInterrupt):
            train_gan(
                first, second, tmp_path / "half", paired=paired, method=method, steps=6, **{**SMALL, "progress": stop}
            )  # type: ignore[arg-type]
    finally:
        training.SAVE_EVERY_S = before
    half = train_gan(first, second, tmp_path / "half", paired=paired, method=method, steps=6, **SMALL)  # type: ignore[arg-type]
    one, other = load_file(whole.files[0]), load_file(half.files[0])
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert (tmp_path / "whole/losses.csv").read_text().count("\n") == (tmp_path / "half/losses.csv").read_text().count(
        "\n"
    )


def test_what_is_wrong_is_said_and_nothing_begun(tmp_path: Path) -> None:
    first, second = _folders(tmp_path)
    others = _folders(tmp_path / "o", paired=False)
    cases: list[tuple[tuple[Path, Path], dict[str, object], str]] = [
        ((first, tmp_path / "no"), {}, "no folder"),
        (others, {"paired": True}, "have no partner"),
        ((first, second), {"paired": True, "method": "cut"}, "without --paired"),
        ((first, second), {"method": "pix2pix"}, "pairs"),
        ((first, second), {"network": "resnet_5blocks"}, "network: expected one of"),
        ((first, second), {"network": "unet_128"}, "ResNet"),
        ((first, second), {"side": 33}, "multiple of 4"),
        ((first, second), {"batch": 0}, "batch: expected 1"),
    ]
    for folders, options, words in cases:
        with pytest.raises(InputError, match=words):
            train_gan(*folders, tmp_path / "out", **{"steps": 2, **SMALL, **options})  # type: ignore[arg-type]
        assert not (tmp_path / "out").exists()


def test_another_training_in_the_folder_and_losses_that_diverge(tmp_path: Path) -> None:
    first, second = _folders(tmp_path)
    train_gan(first, second, tmp_path / "out", paired=True, steps=2, **SMALL)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="another training: steps is 2"):
        train_gan(first, second, tmp_path / "out", paired=True, steps=3, **SMALL)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="diverged at step"):
        train_gan(first, second, tmp_path / "nan", paired=True, steps=50, rate=1e30, **SMALL)  # type: ignore[arg-type]
