"""Gradient maps against their formulas, and on models whose reasons are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scenes.errors import InputError
from scenes.sample import Annotations, Predictions, Sample
from stress.explain import Explanation, MaskBudget, Target, explain, explain_failure
from stress.explain.cam import cam, evaluating, guess_layers


class Net(nn.Module):
    """A few convolutions and a linear head on their mean: logits (B, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU())
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=(2, 3)))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def by_hand(net: Net, x: Tensor, label: int) -> tuple[Tensor, Tensor]:
    """Return Grad-CAM and HiResCAM of the last ReLU by their definitions."""
    features = net.features(x).detach().requires_grad_(True)
    net.head(features.mean(dim=(2, 3)))[0, label].backward()
    gradient = features.grad
    assert gradient is not None
    pooled = (gradient.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1)[0].clamp_min(0)
    return pooled.detach(), (gradient * features).sum(dim=1)[0].clamp_min(0).detach()


@pytest.mark.parametrize("label", [0, 1, 2])
def test_maps_equal_their_definitions(net: Net, label: int) -> None:
    x = torch.rand(1, 3, 24, 40)
    pooled, local = by_hand(net, x, label)
    for kind, wanted in (("gradcam", pooled), ("hirescam", local)):
        got = cam(net, lambda b: net(b)[:, label], x, "features.3", kind=kind)  # type: ignore[arg-type]  # literals
        if got is None:
            assert wanted.max() == 0
        else:
            torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-4)


def test_the_model_is_given_back_as_it_was(net: Net) -> None:
    net.train()
    net.head.weight.requires_grad_(False)
    before = {name: (p.requires_grad, p.clone()) for name, p in net.named_parameters()}
    cam(net, lambda b: net(b)[:, 0], torch.rand(1, 3, 24, 40), "features.2", kind="hirescam")
    assert net.training
    for name, p in net.named_parameters():
        assert p.requires_grad == before[name][0]
        assert torch.equal(p, before[name][1])
        assert p.grad is None
    with pytest.raises(RuntimeError, match="boom"), evaluating(net):
        raise RuntimeError("boom")
    assert net.training


def test_an_unknown_layer_is_named(net: Net) -> None:
    with pytest.raises(InputError, match=r"features\.9.*did you mean"):
        cam(net, lambda b: net(b)[:, 0], torch.rand(1, 3, 24, 40), "features.9", kind="gradcam")


def test_the_layer_is_found_by_itself(net: Net) -> None:
    assert guess_layers(net)[0] == "features.3"  # the activation behind the last convolution
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3))
    assert guess_layers(block) == ["4", "2"]
    segmenter = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 5, 1))
    assert guess_layers(segmenter)[0] == "1"  # the 1x1 convolution is the classifier
    assert guess_layers(Patches()) == ["embed", "norm"]


class Patches(nn.Module):
    """A transformer-like model: tokens (B, 1 + h * w, C) with a class token first."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 8, stride=8)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([torch.zeros_like(tokens[:, :1]), tokens], dim=1)
        return self.norm(tokens)[:, 1:].amax(dim=1)


def test_tokens_become_a_grid() -> None:
    torch.manual_seed(0)
    model = Patches().eval()
    got = cam(model, lambda b: model(b)[:, 0], torch.rand(1, 3, 32, 64), "norm", kind="hirescam")
    assert got is not None
    assert got.shape == (4, 8)


class LocalDetector:
    """A one-stage detector by hand: each 8x8 cell is an anchor whose class logits are its mean colour channels."""

    name, task, class_names = "local", "detection", ("red thing", "green thing")

    def __init__(self) -> None:
        self.module = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.AvgPool2d(8))
        with torch.no_grad():
            self.module[0].weight.copy_(torch.eye(3)[:, :, None, None])

    def explain_layers(self) -> list[str]:
        return ["0"]

    def tensors(self, images: list[Any]) -> Tensor:
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255

    def dense(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        cells = self.module(batch)[:, :2]
        logits = cells.flatten(2).transpose(1, 2)
        h, w = cells.shape[-2:]
        y, x = torch.meshgrid(torch.arange(h) * 8.0, torch.arange(w) * 8.0, indexing="ij")
        boxes = torch.stack([x, y, x + 8, y + 8], dim=-1).reshape(1, -1, 4)
        return logits, boxes.expand(len(batch), -1, -1)

    def predict(self, images: list[Any]) -> list[Predictions]:
        with torch.no_grad():
            logits, boxes = self.dense(self.tensors(images))
        return [
            Predictions(
                boxes=b.numpy().astype(np.float32),
                labels=score.argmax(dim=1).numpy(),
                scores=score.amax(dim=1).clamp(0, 1).numpy().astype(np.float32),
            )
            for score, b in zip(logits, boxes, strict=True)
        ]


def two_things() -> np.ndarray[Any, Any]:
    image = np.zeros((32, 64, 3), np.uint8)
    image[8:16, 8:16, 0] = 200
    image[16:24, 48:56, 0] = 200
    return image


BOXES = [(8.0, 8.0, 16.0, 16.0), (48.0, 16.0, 56.0, 24.0)]


@pytest.mark.parametrize("method", ["hirescam", "drise"])
def test_two_objects_of_one_class_have_different_maps(method: Any) -> None:
    model, image = LocalDetector(), two_things()
    found = [
        explain(model, image, image, target, target, method=method, budget=MaskBudget(masks=800, cells=16, batch=64))
        for target in (Target(labels=(0,), words="score", box=box) for box in BOXES)
    ]
    for explanation in found:
        assert explanation.energy_shifted is not None
        assert explanation.energy_shifted > (0.95 if method == "hirescam" else 0.25)  # one anchor is 3 % of the area
        assert explanation.drift == 0.0
    assert not np.allclose(found[0].cam_clean, found[1].cam_clean)


class Failure:
    failure, class_name, predicted_class, box, instance_id = "missed", "red thing", None, BOXES[1], 2


def test_a_missed_object_is_explained_on_one_scale() -> None:
    model, image = LocalDetector(), two_things()
    annotations = Annotations(boxes=np.array(BOXES, np.float32), labels=np.array([0, 0]))
    clean = Sample(sample_id="a", image=image, annotations=annotations)
    dim = Sample(sample_id="a", image=image // 2, annotations=annotations)
    got = explain_failure(model, clean, dim, Failure())
    assert isinstance(got, Explanation)
    assert got.method == "hirescam"
    assert got.layer == "0"
    assert got.note is None
    assert got.cam_shifted.max() == pytest.approx(got.cam_clean.max() / 2, rel=0.02)  # half the light, half the score
    assert got.scale == got.cam_clean.max()
    assert explain_failure(model, clean, dim, Failure(), method="none") is None


class TwoLevels(LocalDetector):
    """Bright pictures are answered by one branch, dark ones by another, as the levels of a pyramid are by size."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.ModuleDict({"bright": self.module, "dark": LocalDetector().module})

    def explain_layers(self) -> list[str]:
        return ["bright.0", "dark.0"]

    def dense(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        branch = LocalDetector()
        branch.module = self.module["bright" if batch.max() > 0.5 else "dark"]
        return branch.dense(batch)


def test_maps_of_different_layers_give_no_drift() -> None:
    image = two_things()
    annotations = Annotations(boxes=np.array(BOXES, np.float32), labels=np.array([0, 0]))
    clean = Sample(sample_id="a", image=image, annotations=annotations)
    dim = Sample(sample_id="a", image=image // 2, annotations=annotations)
    got = explain_failure(TwoLevels(), clean, dim, Failure())
    assert isinstance(got, Explanation)
    assert got.layer == "bright.0 (clean), dark.0 (shifted)"
    assert got.energy_clean is not None
    assert got.energy_shifted is not None
    assert got.drift is None
    assert explain_failure(TwoLevels(), clean, clean, Failure()).drift == 0.0  # type: ignore[union-attr]  # not "none"


class BlackBox:
    """Only what a user's class must have."""

    name, task, class_names = "box", "detection", ("red thing",)

    def predict(self, images: list[Any]) -> list[Predictions]:
        return LocalDetector().predict(images)


def test_a_model_without_gradients_gets_masks_and_says_so() -> None:
    image = two_things()
    target = Target(labels=(0,), words="score", box=BOXES[0])
    got = explain(BlackBox(), image, image, target, target, budget=MaskBudget(masks=20))
    assert got.method == "d-rise"
    assert got.layer is None
    assert got.note is not None
    assert "no gradients" in got.note
    with pytest.raises(InputError, match="use method 'drise'"):
        explain(BlackBox(), image, image, target, target, method="gradcam", budget=MaskBudget(masks=20))


class Cancelling(nn.Module):
    """Two channels whose pooled gradients are zero, while places speak for the class and against it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, padding=1)
        nn.init.constant_(self.conv.weight, 0.1)
        nn.init.constant_(self.conv.bias, 0.0)  # type: ignore[arg-type]  # it has one

    def forward(self, x: Tensor) -> Tensor:
        plane = self.conv(x)
        half = plane.shape[-1] // 2
        score = plane[..., :half].mean(dim=(1, 2, 3)) - plane[..., half:].mean(dim=(1, 2, 3))
        return torch.stack([score, -score], dim=1)


def test_where_pooled_gradients_cancel_local_ones_are_shown() -> None:
    class Adapter:
        name, task, class_names = "cancelling", "classification", ("left", "right")
        module = Cancelling()

        def tensors(self, images: Any) -> Tensor:
            return torch.from_numpy(np.stack(images).astype(np.float32) / 255).permute(0, 3, 1, 2)

        def class_logits(self, batch: Tensor) -> Tensor:
            return self.module(batch)

    image = np.full((8, 8, 3), 200, np.uint8)
    target = Target((0,), "left")
    found = explain(Adapter(), image, image, target, target, budget=MaskBudget(masks=4))
    assert found.method == "hirescam"
    assert "By hirescam" in str(found.note)
    assert found.cam_clean[:, :3].min() > 0
    assert found.cam_clean[:, 5:].max() == 0


def test_an_unknown_class_is_named() -> None:
    class Other(Failure):
        class_name = "blue thing"

    image = two_things()
    sample = Sample(sample_id="a", image=image)
    with pytest.raises(InputError, match="blue thing"):
        explain_failure(LocalDetector(), sample, sample, Other())
