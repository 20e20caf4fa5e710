"""What `--model` takes, and what it says when it cannot."""

import numpy as np
import pytest
import torch
from torch import nn

from scenes.errors import InputError
from stress.adapters import CheckedModel, load_model

IMAGE = np.zeros((8, 10, 3), np.uint8)
SOURCE = """
import torch

class Detector:
    name = "mine"
    task = "detection"
    class_names = ("car",)
    def predict(self, images):
        return [{"boxes": [[0, 0, 1, 1]], "labels": [0], "scores": [0.5]} for _ in images]

class Needs(Detector):
    def __init__(self, weights):
        pass

class Breaks(Detector):
    def __init__(self):
        raise RuntimeError("no weights")

instance = Detector()

def make():
    return Detector()

def answer(images):
    return [{"probabilities": [1.0]} for _ in images]

answer.task = "classification"
answer.class_names = ["car"]

class Net(torch.nn.Module):
    task = "classification"
    class_names = ("car", "bus")
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
    def forward(self, x):
        return self.layer(x.mean((2, 3)))
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_models.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize("attr", ["Detector", "instance", "make", "answer", "Net"])
def test_class_instance_factory_function_and_module(file, attr):
    model = load_model(f"{file}:{attr}", device="cpu")
    assert isinstance(model, CheckedModel)
    assert len(model.predict([IMAGE, IMAGE])) == 2


@pytest.mark.parametrize(
    ("attr", "message"),
    [
        ("Detektor", "did you mean 'Detector'"),
        ("Needs", r"needs arguments \(weights\)"),
        ("Breaks", "raised RuntimeError while it was made: no weights"),
        ("SOURCE", "no attribute"),
        ("torch", "expected a model"),
    ],
)
def test_what_cannot_be_a_model_is_said(file, attr, message):
    with pytest.raises(InputError, match=message):
        load_model(f"{file}:{attr}", device="cpu")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.onnx", "no such file"),
        ("zooo:detector", "did you mean 'zoo'"),
        ("zoo:detectr", "did you mean 'detector'"),
        ("torchvision:resnet19", "did you mean 'resnet18'"),
        ("timm:resnet19", "did you mean 'resnet"),
        ("hf:/nowhere/at/all", "no folder"),
        ("nowhere.py:Model", "no file"),
    ],
)
def test_what_is_not_there_is_said(spec, message):
    with pytest.raises(InputError, match=message):
        load_model(spec, device="cpu")


def test_downloads_are_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match="--allow-download"):
        load_model("torchvision:fcos_resnet50_fpn", device="cpu")
    with pytest.raises(InputError, match="--allow-download"):
        load_model("timm:resnet18", device="cpu")


def test_a_module_needs_task_and_classes():
    module = nn.Conv2d(3, 2, 1)
    with pytest.raises(InputError, match="task"):
        load_model(module, device="cpu")
    with pytest.raises(InputError, match="classes"):
        load_model(module, task="segmentation", device="cpu")
    model = load_model(module, task="segmentation", classes=["road", "sky"], device="cpu")
    logits = module(torch.zeros(1, 3, 8, 10))[0].detach().numpy()
    np.testing.assert_array_equal(model.predict([IMAGE])[0].segmentation, logits.argmax(0))


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "tpu"])
def test_a_device_that_is_not_there_is_said(device):
    with pytest.raises(InputError, match="device"):
        load_model(nn.Identity(), task="segmentation", classes=["a"], device=device)


class Counting(nn.Module):
    """A detector that says the given labels, in torchvision's convention or not."""

    task = "detection"

    def __init__(self, labels, class_names, **members):
        super().__init__()
        self.labels, self.class_names = torch.tensor(labels), class_names
        for name, value in members.items():
            setattr(self, name, value)

    def forward(self, pictures):
        n = len(self.labels)
        boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0]]).repeat(n, 1)
        return [{"boxes": boxes, "labels": self.labels, "scores": torch.linspace(0.9, 0.5, n)} for _ in pictures]


@pytest.mark.parametrize(
    "module",
    [
        Counting([1, 2, 3, 0], ("__background__", "car", "bus", "person")),
        Counting([1, 2, 3, 0], ("car", "bus", "person"), first_label=1),
        Counting([0, 1, 2], ("car", "bus", "person")),
    ],
)
def test_labels_after_background_and_from_zero(module):
    model = load_model(module, device="cpu")
    assert list(model.class_names) == ["car", "bus", "person"]
    assert model.predict([IMAGE])[0].labels.tolist() == [0, 1, 2]


def test_the_first_label_is_read_from_the_yaml(tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text("task: detection\nclasses: [car, bus]\nfirst_label: 1\n")
    model = load_model(Counting([1, 2], None), model_yaml=path, device="cpu")
    assert model.predict([IMAGE])[0].labels.tolist() == [0, 1]


@pytest.mark.parametrize(("labels", "first"), [([1, 2, 3], 0), ([-1], 0), ([4], 1)])
def test_labels_that_are_no_class_are_an_error(labels, first):
    model = load_model(Counting(labels, ("car", "bus", "person"), first_label=first), device="cpu")
    with pytest.raises(InputError, match=rf"labels: expected {first} to {first + 2} .* got {labels[-1]}"):
        model.predict([IMAGE])


def test_a_wrong_first_label_is_named():
    with pytest.raises(InputError, match="first_label: expected 0 or 1"):
        load_model(Counting([0], ("car",), first_label=7), device="cpu")
