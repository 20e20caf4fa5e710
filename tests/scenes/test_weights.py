"""Weights load without executing code, and what cannot be read is said."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from scenes.errors import InputError
from scenes.weights import tensors_of
from stress.adapters import load_model

RAN = []


class Bomb:
    def __reduce__(self):
        return (RAN.append, ("ran",))


@pytest.fixture(autouse=True)
def _nothing_ran():
    RAN.clear()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".pkl", ".bin"])
def test_a_pickle_that_would_run_code_is_refused(tmp_path, suffix):
    path = tmp_path / f"bomb{suffix}"
    torch.save({"a": Bomb()}, path)
    with pytest.raises(InputError, match="--trust"):
        load_model(path, device="cpu")
    assert not RAN


def test_a_plain_pickle_is_refused(tmp_path):
    path = tmp_path / "bomb.pkl"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError):
        load_model(path, device="cpu")
    assert not RAN


def test_trust_loads_a_pickled_module(tmp_path):
    path = tmp_path / "whole.pt"
    torch.save(nn.Conv2d(3, 2, 1), path)
    with pytest.raises(InputError, match="--trust"):
        load_model(path, task="segmentation", classes=["a", "b"], device="cpu")
    model = load_model(path, task="segmentation", classes=["a", "b"], device="cpu", trust=True)
    assert model.n_parameters == 8


@pytest.mark.parametrize("name", ["state.pt", "state.safetensors"])
def test_a_state_dict_needs_its_network(tmp_path, name):
    path = tmp_path / name
    state = {"weight": torch.zeros(2)}
    save_file(state, path) if name.endswith("safetensors") else torch.save(state, path)
    torch.testing.assert_close(tensors_of(path), state)
    with pytest.raises(InputError, match="network they belong to"):
        load_model(path, device="cpu")


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "a.onnx", "a.ts"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 50])
def test_files_that_are_none_are_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    (tmp_path / "model.yaml").write_text("task: classification\nclasses: [a]\ndecoding: logits\n")
    with pytest.raises(InputError, match=name):
        load_model(path, device="cpu")


def test_folders_and_other_files_are_named(tmp_path):
    with pytest.raises(InputError, match="hf:"):
        load_model(tmp_path, device="cpu")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InputError, match=r"expected a file ending in \.onnx"):
        load_model(tmp_path / "a.txt", device="cpu")
