"""What a model is made of, by content."""

from __future__ import annotations

import pytest

from stress.identity import model_files, named_files

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("spec", "edited"),
    [
        ("{}/net.onnx", "net.onnx"),
        ("{}/net.onnx", "net.onnx.data"),
        ("{}/net.onnx", "names.txt"),
        ("{}/net.onnx", "model.yaml"),
        ("{}/code.py:Net", "code.py"),
        ("hf:{}", "config.json"),
        ("hf:{}", "model.safetensors"),
        ("torchvision:resnet18@{}/w.pth", "w.pth"),
        ("timm:resnet18@{}/w.pth", "w.pth"),
        ("own_package_for_identity:Net", "own_package_for_identity.py"),
    ],
)
def test_an_edit_is_seen(tmp_path, monkeypatch, spec, edited):
    for name in ("net.onnx", "net.onnx.data", "code.py", "config.json", "model.safetensors", "w.pth"):
        (tmp_path / name).write_text("old")
    (tmp_path / "own_package_for_identity.py").write_text("Net = None")
    (tmp_path / "names.txt").write_text("car\nbus\n")
    text = "task: detection\nclasses: names.txt\ndecoding: yolo\ninput: {size: [64, 64]}\n"
    (tmp_path / "model.yaml").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = spec.format(tmp_path)
    before = model_files(spec, None)
    assert before == model_files(spec, None)
    changed = text.replace("64, 64", "32, 32") if edited == "model.yaml" else "car\ntram\n"
    (tmp_path / edited).write_text(changed)
    assert model_files(spec, None) != before


def test_a_model_yaml_given_by_name_counts(tmp_path):
    (tmp_path / "a.py").write_text("")
    (tmp_path / "said.yaml").write_text("task: detection\nclasses: [car]\n")
    before = model_files(f"{tmp_path}/a.py:Net", tmp_path / "said.yaml")
    (tmp_path / "said.yaml").write_text("task: detection\nclasses: [bus]\n")
    assert model_files(f"{tmp_path}/a.py:Net", tmp_path / "said.yaml") != before


def test_weights_of_the_zoo_count():
    assert list(model_files("zoo:detector", None)) == ["detector.safetensors"]


def test_what_names_no_file_has_none():
    assert named_files("weather/fog") == named_files("prior") == named_files("no_such_module:attr") == {}
