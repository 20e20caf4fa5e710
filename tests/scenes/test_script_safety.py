"""TorchScript that reaches beyond tensors needs trust, however its source is written; nothing runs while it loads."""

import warnings
import zipfile

import pytest
import torch
import torchvision
from torch import nn

from scenes.errors import InputError
from scenes.weights import module_of


class Writes(nn.Module):
    def forward(self, x):
        torch.save(x, "written.pt")
        return x


class WritesInABranch(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(Writes())

    def forward(self, x):
        for _ in range(3):
            if x.sum() > 0:
                x = self.inner(x)
        return x


class Reads(nn.Module):
    def forward(self, x):
        return x + torch.from_file("read.bin", size=1)


class RunsAside(nn.Module):
    def forward(self, x):
        return torch.jit.wait(torch.jit.fork(_aside, x))


def _aside(x):
    torch.save(x, "written.pt")
    return x


class RunsOnLoading(nn.Module):
    def forward(self, x):
        return x

    @torch.jit.export
    def __getstate__(self):
        return torch.zeros(1), self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]):
        torch.save(state[0], "written.pt")
        self.training = state[1]


def archive(module, path):
    with warnings.catch_warnings():  # torch announces the end of TorchScript's tools, not of its files
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))
    return path


def rewritten(path, old, new):
    """Replace text of the program inside an archive."""
    with zipfile.ZipFile(path) as source:
        records = {name: source.read(name) for name in source.namelist()}
    assert any(old in content for content in records.values())
    with zipfile.ZipFile(path, "w") as target:
        for name, content in records.items():
            target.writestr(name, content.replace(old, new) if name.endswith(".py") else content)
    return path


@pytest.mark.parametrize("kind", [Writes, WritesInABranch, Reads, RunsAside, RunsOnLoading])
def test_what_reaches_beyond_tensors_is_refused(tmp_path, monkeypatch, kind):
    path = archive(kind(), tmp_path / "net.ts")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="--trust"):
        module_of(path, trust=False)
    assert [p.name for p in tmp_path.iterdir()] == ["net.ts"]


def test_spaces_in_the_source_do_not_help(tmp_path):
    path = rewritten(archive(Writes(), tmp_path / "net.ts"), b"torch.save(", b"torch . save (")
    with pytest.raises(InputError, match="aten::save"):
        module_of(path, trust=False)


def test_trust_loads_it(tmp_path):
    assert hasattr(module_of(archive(Writes(), tmp_path / "net.ts"), trust=True), "forward")


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_fpn"])
def test_plain_networks_need_none(tmp_path, name):
    module = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=3)
    assert hasattr(module_of(archive(module.eval(), tmp_path / "net.ts"), trust=False), "forward")
