"""Translation of any size: tiles agree with the frame, the cache generates once, replay wants the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scenes.errors import InputError
from synth.boxworld import box_sample
from synth.contracts import check_shift_laws
from synth.gan import checkpoint as checkpoints
from synth.gan.checkpoint import load_generator
from synth.gan.networks import Layout, generator, initialise
from synth.gan.translate import translate
from synth.pipeline import params_as_mapping, replay, shifted
from synth.registry import create, expand, shift_classes


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small generator with batch norm; the cache of generated pictures is empty."""
    monkeypatch.setenv("ROADPROOF_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(3)
    network = generator(Layout(kind="resnet", depth=1, width=8, norm="batch"))
    initialise(network)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            module.weight.data.mul_(6)
    path = tmp_path / "generator.safetensors"
    save_file(network.state_dict(), path)
    return path


def test_tiles_agree_with_the_whole_frame(weights: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (200, 330, 3), np.uint8)
    loaded = load_generator(weights)
    whole, tiled = translate(image, loaded), translate(image, loaded, tile_px=128)
    assert np.abs(whole.astype(int) - tiled).mean() < 0.3  # but for what is within reach of a tile's border
    assert whole.std() > 1


def test_sizes_and_a_smaller_view(weights: Path) -> None:
    loaded = load_generator(weights)
    for shape in ((1, 1), (2, 7), (33, 64)):
        assert translate(np.zeros((*shape, 3), np.uint8), loaded).shape == (*shape, 3)
    assert translate(np.zeros((90, 160, 3), np.uint8), loaded, side_px=45).shape == (90, 160, 3)


@pytest.mark.parametrize("name", ["lighting/gan_night", "weather/gan_snow", "weather/gan_rain", "texture/gan_style"])
def test_laws(name: str, weights: Path) -> None:
    check_shift_laws(create(name, {"weights": str(weights)}))


def test_a_picture_is_generated_once(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample, shift = box_sample(96, 64), create("weather/gan_fog", {"weights": str(weights)})
    first = shifted(sample, shift, 5, seed=0)
    loaded = load_generator(weights)
    monkeypatch.setattr(
        checkpoints, "_loaded", lambda *_: checkpoints.Generator(_broken, "x", loaded.digest, 4, by_frame=False)
    )
    for severity in (5, 2):  # any severity mixes the same translation
        again = shifted(sample, shift, severity, seed=0)
        assert (again.sample.image == first.sample.image).all() == (severity == 5)
    monkeypatch.setenv("ROADPROOF_CACHE", "off")
    with pytest.raises(RuntimeError, match="was run"):
        shifted(sample, shift, 5, seed=0)


def _broken(batch: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("was run")


def test_replay_wants_the_same_weights(weights: Path) -> None:
    sample, shift = box_sample(96, 64), create("weather/gan_rain", {"weights": str(weights)})
    first = shifted(sample, shift, 3, seed=0)
    again = replay(sample, shift, params_as_mapping(first.params))
    assert (again.sample.image == first.sample.image).all()
    other = {**params_as_mapping(first.params), "checkpoint": "0" * 16}
    with pytest.raises(InputError, match="were drawn with a checkpoint"):
        replay(sample, shift, other)


def test_a_broken_answer_is_named(weights: Path) -> None:
    loaded = load_generator(weights)
    for run, words in ((lambda b: b * float("nan"), "NaN"), (lambda b: b[:, :1], "expected a picture")):
        wrong = checkpoints.Generator(run, "g", loaded.digest, 4, by_frame=False)
        with pytest.raises(InputError, match=words):
            translate(np.zeros((8, 8, 3), np.uint8), wrong)


def test_without_a_generator_the_shift_is_no_part_of_its_family() -> None:
    assert "weather/gan_rain" in shift_classes()
    assert "weather/gan_rain" not in expand("weather")
    with pytest.raises(InputError, match="needs a generator: give the option weights"):
        shifted(box_sample(96, 64), create("weather/gan_rain"), 3, seed=0)


def test_bad_options() -> None:
    for options in ({"side_px": -1}, {"tile_px": 10}):
        with pytest.raises(InputError, match="expected"):
            create("weather/gan_rain", options)
