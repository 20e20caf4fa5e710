"""AdaIN: feature statistics become the style's; weights come from disk, safely, and are named when they are absent."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scenes.errors import InputError
from scenes.sample import Sample
from synth.boxworld import box_sample
from synth.contracts import ShiftContract, contract_samples
from synth.pipeline import params_as_mapping, replay, shifted
from synth.registry import expand
from synth.texture.adain import adaptive_instance_norm, find_weights, stylise
from synth.texture.adain_style import AdainStyle
from synth.texture.styles import procedural_style

_ENCODER = {0: (3, 3, 1), 2: (4, 3, 3), 5: (4, 4, 3), 9: (6, 4, 3), 12: (6, 6, 3), 16: (8, 6, 3), 19: (8, 8, 3),
            22: (8, 8, 3), 25: (8, 8, 3), 29: (10, 8, 3)}  # fmt: skip
_DECODER = {1: (8, 10), 5: (8, 8), 8: (8, 8), 11: (8, 8), 14: (6, 8), 18: (6, 6), 21: (4, 6), 25: (4, 4), 28: (3, 4)}


def _tensors(seed: int = 0) -> dict[str, dict[str, torch.Tensor]]:
    """Small random weights in the published layout: layer numbers are those of the released files."""
    made = torch.Generator().manual_seed(seed)

    def layer(out: int, into: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        weight = torch.randn(out, into, size, size, generator=made) * (2 / (into * size * size)) ** 0.5
        return weight, torch.rand(out, generator=made) * 0.2

    states: dict[str, dict[str, torch.Tensor]] = {"vgg_normalised": {}, "decoder": {}}
    for index, (out, into, size) in _ENCODER.items():
        states["vgg_normalised"][f"{index}.weight"], states["vgg_normalised"][f"{index}.bias"] = layer(out, into, size)
    states["vgg_normalised"]["32.weight"] = torch.zeros(1)  # the released file goes on to relu5_4
    for index, (out, into) in _DECODER.items():
        states["decoder"][f"{index}.weight"], states["decoder"][f"{index}.bias"] = layer(out, into, 3)
    states["decoder"]["28.bias"] += 0.4  # pictures of middle grey
    return states


def _as_safetensors(folder: Path) -> str:
    for part, state in _tensors().items():
        save_file(state, folder / f"{part}.safetensors")
    return str(folder)


def _as_pth(folder: Path) -> str:
    for part, state in _tensors().items():
        torch.save(state, folder / f"{part}.pth")
    return str(folder)


def _as_one_file(folder: Path) -> str:
    both = {f"{part}.{key}": value for part, state in _tensors().items() for key, value in state.items()}
    save_file(both, folder / "adain.safetensors")
    return str(folder / "adain.safetensors")


@pytest.fixture
def weights(tmp_path: Path) -> str:
    return _as_safetensors(tmp_path)


def test_statistics_of_each_channel_become_the_styles() -> None:
    made = torch.Generator().manual_seed(1)
    content, style = torch.randn(1, 5, 7, 9, generator=made), 3 * torch.randn(1, 5, 11, 4, generator=made) + 2
    result = adaptive_instance_norm(content, style)
    assert torch.allclose(result.mean((2, 3)), style.mean((2, 3)), atol=1e-4)
    assert torch.allclose(result.flatten(2).std(2), style.flatten(2).std(2), rtol=1e-3)
    same = adaptive_instance_norm(content, content)
    assert torch.allclose(same, content, atol=1e-4)


def test_the_networks_are_those_of_the_published_layout(weights: str) -> None:
    """Built a second time here, layer by layer as the released code writes it, and run by hand."""
    nn, states = torch.nn, _tensors()

    def conv(part: str, index: int) -> torch.nn.Module:
        weight, bias = states[part][f"{index}.weight"], states[part][f"{index}.bias"]
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2])
        layer.load_state_dict({"weight": weight, "bias": bias})
        return layer

    def block(part: str, index: int) -> list[torch.nn.Module]:
        return [nn.ReflectionPad2d(1), conv(part, index), nn.ReLU()]

    v, d = "vgg_normalised", "decoder"
    pool, up = nn.MaxPool2d(2, 2, ceil_mode=True), nn.Upsample(scale_factor=2, mode="nearest")
    encoder = nn.Sequential(
        conv(v, 0), *block(v, 2), *block(v, 5), pool, *block(v, 9), *block(v, 12), pool,
        *block(v, 16), *block(v, 19), *block(v, 22), *block(v, 25), pool, *block(v, 29),
    )  # fmt: skip
    decoder = nn.Sequential(
        *block(d, 1), up, *block(d, 5), *block(d, 8), *block(d, 11), *block(d, 14), up,
        *block(d, 18), *block(d, 21), up, *block(d, 25), *block(d, 28)[:2],
    )  # fmt: skip
    image, style = procedural_style(1, 48, 64), procedural_style(2, 48, 64)

    def tensor(picture: np.ndarray) -> torch.Tensor:  # type: ignore[type-arg]  # (H, W, 3)
        return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255

    with torch.no_grad():
        content = encoder(tensor(image))
        target = adaptive_instance_norm(content, encoder(tensor(style)))
        wanted = decoder(0.6 * target + 0.4 * content)[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255
    got = stylise(image, style, find_weights(weights, who="test"), alpha=0.6, side_px=0)
    assert wanted.std() > 1
    assert np.abs(got - wanted).max() <= 0.51


@pytest.mark.parametrize("save", [_as_safetensors, _as_pth, _as_one_file])
def test_every_way_to_store_weights_gives_the_same_picture(tmp_path: Path, save: Callable[[Path], str]) -> None:
    (tmp_path / "other").mkdir()
    one, other = save(tmp_path), _as_safetensors(tmp_path / "other")
    sample = box_sample(60, 40)
    pictures = [shifted(sample, AdainStyle(weights=place), 3, seed=1).sample.image for place in (one, other)]
    assert np.array_equal(pictures[0], pictures[1])


LAWS = sorted(
    n for n in dir(ShiftContract) if n.startswith("test_") and "distance" not in n
)  # random nets invert nothing


@pytest.mark.parametrize("law", LAWS)
def test_the_laws_hold(weights: str, law: str) -> None:
    class Check(ShiftContract):
        shift_factory = staticmethod(lambda: AdainStyle(weights=weights, side_px=64))
        draws = 20

        def samples(self) -> Sequence[Sample]:
            return contract_samples()[:4]

    getattr(Check(), law)()


def test_absent_weights_are_named_with_what_to_get_and_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / "adain"
    with pytest.raises(InputError, match=r"vgg_normalised and decoder.*") as caught:
        shifted(box_sample(20, 20), AdainStyle(), 3, seed=1)
    assert str(place) in str(caught.value)
    assert "github.com" in str(caught.value)
    assert "texture/adain_style" not in expand("all")
    assert "texture/adain_style" not in expand("texture")
    assert expand("adain_style") == ["texture/adain_style"]
    place.mkdir(parents=True)
    _as_pth(place)
    assert "texture/adain_style" in expand("all")
    assert "texture/adain_style" in expand("texture")


def test_weights_that_do_not_fit_are_named(tmp_path: Path, weights: str) -> None:
    states = _tensors()
    states["decoder"]["5.weight"] = torch.zeros(8, 7, 3, 3)
    save_file(states["decoder"], tmp_path / "decoder.safetensors")
    with pytest.raises(InputError, match=r"decoder layer 5: expected a 3x3 convolution of 8 channels"):
        shifted(box_sample(20, 20), AdainStyle(weights=weights), 3, seed=1)
    save_file({"x": torch.zeros(1)}, tmp_path / "decoder.safetensors")
    with pytest.raises(InputError, match="another layout"):
        shifted(box_sample(20, 20), AdainStyle(weights=weights), 3, seed=1)


def test_a_file_that_could_run_code_is_refused(tmp_path: Path) -> None:
    _as_pth(tmp_path)
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return (ran.__class__.touch, (ran,))  # type: ignore[return-value]  # a call on load

    (tmp_path / "decoder.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match="cannot be read as weights"):
        shifted(box_sample(20, 20), AdainStyle(weights=str(tmp_path)), 3, seed=1)
    assert not ran.exists()


def test_replay_with_other_weights_is_refused(tmp_path: Path, weights: str) -> None:
    sample = box_sample(40, 30)
    first = shifted(sample, AdainStyle(weights=weights), 4, seed=1)
    again = replay(sample, AdainStyle(weights=weights), params_as_mapping(first.params))
    assert np.array_equal(first.sample.image, again.sample.image)
    save_file(_tensors(seed=1)["decoder"], tmp_path / "decoder.safetensors")
    with pytest.raises(InputError, match="give the weights they were drawn with"):
        replay(sample, AdainStyle(weights=weights), params_as_mapping(first.params))
