"""Generators from files: networks have the published sizes, layouts are read off the keys, bad files are named."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from scenes.errors import InputError
from synth.gan.checkpoint import layout_of, load_generator
from synth.gan.networks import BlurDown, BlurUp, Layout, PatchDiscriminator, generator, initialise
from synth.gan.translate import translate

LAYOUTS = [
    Layout(kind="resnet", depth=9, width=8),
    Layout(kind="resnet", depth=6, width=8, dropout=True),
    Layout(kind="resnet", depth=2, width=4, norm="batch"),
    Layout(kind="resnet", depth=3, width=4, norm="none"),
    Layout(kind="resnet", depth=9, width=4, blur_down=True, blur_up=True),
    Layout(kind="resnet", depth=4, width=4, blur_down=True),
    Layout(kind="resnet", depth=4, width=4, blur_up=True),
    Layout(kind="unet", depth=7, width=4),
    Layout(kind="unet", depth=8, width=2, norm="batch"),
]


def _made(layout: Layout, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = generator(layout)
    initialise(network)
    return network.eval()


@pytest.mark.parametrize(
    ("layout", "millions"),
    [
        (Layout(kind="resnet", depth=9, width=64), 11.378),
        (Layout(kind="resnet", depth=6, width=64), 7.838),
        (Layout(kind="resnet", depth=9, width=64, norm="batch", dropout=True), 11.383),
        (Layout(kind="unet", depth=8, width=64, norm="batch", dropout=True), 54.414),
        (Layout(kind="unet", depth=7, width=64, norm="batch"), 41.829),
    ],
)
def test_networks_have_as_many_parameters_as_the_published_ones_print(layout: Layout, millions: float) -> None:
    with torch.device("meta"):
        network = generator(layout)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 3) == pytest.approx(millions, abs=1e-3)


def test_discriminators_have_as_many_parameters_as_the_published_ones_print() -> None:
    with torch.device("meta"):
        unpaired, paired = PatchDiscriminator(3), PatchDiscriminator(6, norm="batch")
    assert round(sum(p.numel() for p in unpaired.parameters()) / 1e6, 3) == 2.765
    assert round(sum(p.numel() for p in paired.parameters()) / 1e6, 3) == 2.769


def test_names_and_shapes_of_the_published_resnet() -> None:
    state = _made(Layout(kind="resnet", depth=9, width=64)).state_dict()
    wanted = {
        "model.1.weight": (64, 3, 7, 7), "model.4.weight": (128, 64, 3, 3), "model.7.bias": (256,),
        "model.10.conv_block.1.weight": (256, 256, 3, 3), "model.18.conv_block.5.bias": (256,),
        "model.19.weight": (256, 128, 3, 3), "model.22.weight": (128, 64, 3, 3), "model.26.weight": (3, 64, 7, 7),
    }  # fmt: skip
    assert {key: tuple(state[key].shape) for key in wanted} == wanted
    blurred = _made(Layout(kind="resnet", depth=9, width=64, blur_down=True, blur_up=True)).state_dict()
    assert tuple(blurred["model.7.filt"].shape) == (128, 1, 3, 3)
    assert tuple(blurred["model.22.weight"].shape) == (128, 256, 3, 3)
    assert tuple(blurred["model.21.filt"].shape) == (256, 1, 4, 4)


def test_names_and_shapes_of_the_published_unet() -> None:
    state = _made(Layout(kind="unet", depth=8, width=64, norm="batch")).state_dict()
    inner = "model.model.1." + "model.3." * 6
    wanted = {
        "model.model.0.weight": (64, 3, 4, 4), "model.model.1.model.1.weight": (128, 64, 4, 4),
        "model.model.1.model.2.running_mean": (128,), "model.model.1.model.5.weight": (256, 64, 4, 4),
        f"{inner}model.1.weight": (512, 512, 4, 4), f"{inner}model.3.weight": (512, 512, 4, 4),
        "model.model.3.weight": (128, 3, 4, 4), "model.model.3.bias": (3,),
    }  # fmt: skip
    assert {key: tuple(state[key].shape) for key in wanted} == wanted


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_layout_is_read_off_its_keys_and_gives_the_same_pictures(layout: Layout, suffix: str, tmp_path: Path) -> None:
    network = _made(layout)
    path = tmp_path / f"latest_net_G{suffix}"
    save_file(network.state_dict(), path) if suffix == ".safetensors" else torch.save(network.state_dict(), path)
    loaded = load_generator(path)
    assert loaded.multiple == layout.multiple
    batch = torch.rand(1, 3, 256, 256) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(loaded.run(batch), network(batch))


def test_old_statistics_of_instance_norms_and_prefixes_are_dropped(tmp_path: Path) -> None:
    network = _made(Layout(kind="resnet", depth=6, width=4))
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    state |= {"module.model.2.running_mean": torch.zeros(4), "module.model.2.running_var": torch.ones(4)}
    state |= {"module.model.10.conv_block.2.num_batches_tracked": torch.tensor(7)}
    torch.save(state, tmp_path / "old.pth")
    batch = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(load_generator(tmp_path / "old.pth").run(batch), network(batch))


def test_blurred_sampling_keeps_flat_pictures_flat_and_places_in_place() -> None:
    flat = torch.full((1, 2, 8, 12), 0.7)
    assert torch.allclose(BlurDown(2)(flat), torch.full((1, 2, 4, 6), 0.7))
    assert torch.allclose(BlurUp(2)(flat), torch.full((1, 2, 16, 24), 0.7))
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    up = BlurUp(1)(ramp)[0, 0, 8, 4:-4]
    assert torch.allclose(up[1:] - up[:-1], torch.full((23,), 0.5), atol=1e-5)


def _script(path: Path) -> None:
    with warnings.catch_warnings():  # torch asks for torch.export; the files are out there
        warnings.simplefilter("ignore")
        torch.jit.trace(_Darker(), torch.zeros(1, 3, 32, 32)).save(str(path))


def _onnx(path: Path, size: int | None) -> None:
    import onnx
    from onnx import TensorProto, helper

    sides: list[Any] = [size, size] if size else ["h", "w"]
    shape: list[Any] = [1, 3, *sides]
    half = helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5])
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [0.5])
    nodes = [helper.make_node("Mul", ["x", "half"], ["y"]), helper.make_node("Sub", ["y", "one"], ["z"])]
    graph = helper.make_graph(
        nodes,
        "darker",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, shape)],
        [half, one],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))


class _Darker(nn.Module):
    """Halves the light of a picture: x in [-1, 1] to (x - 1) / 2."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0.5 - 0.5


@pytest.mark.parametrize("kind", ["torchscript", "onnx", "onnx of one size"])
def test_exported_generators_run_on_any_size(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("g.pt" if kind == "torchscript" else "g.onnx")
    _script(path) if kind == "torchscript" else _onnx(path, 64 if "one size" in kind else None)
    loaded = load_generator(path)
    for shape in ((1, 1), (3, 50), (64, 64), (130, 201)):
        image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
        made = translate(image, loaded)
        assert made.shape == image.shape
        assert np.abs(made.astype(int) - image // 2).max() <= 1


class _Touch:
    """Unpickling it would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("executed",))


def test_bad_files_are_named_and_nothing_of_them_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model.1.weight": _Touch()}, tmp_path / "evil.pth")
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    state = _made(Layout(kind="resnet", depth=6, width=4)).state_dict()
    torch.save({k: v for k, v in state.items() if "model.12" not in k}, tmp_path / "part.pth")
    torch.save({**state, "model.1.weight": torch.zeros(4, 4, 7, 7)}, tmp_path / "rgba.pth")
    (tmp_path / "text.onnx").write_text("no model")
    for name, words in {
        "evil.pth": "may run code", "other.pth": "expected a generator of CycleGAN", "part.pth": "lacks",
        "rgba.pth": "RGB on both sides", "text.onnx": "cannot be read as ONNX", "none.pth": "no file",
        "a.bin": "no file",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=words):
            load_generator(tmp_path / name)
    assert "executed" not in capsys.readouterr().out


def test_layouts_are_told_apart_without_a_file() -> None:
    for layout in LAYOUTS:
        found = layout_of(_made(layout).state_dict(), "state")
        assert (found.kind, found.depth, found.width, found.norm) == (
            layout.kind,
            layout.depth,
            layout.width,
            layout.norm,
        )
        assert (found.blur_down, found.blur_up) == (layout.blur_down, layout.blur_up)
