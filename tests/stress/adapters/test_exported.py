"""TorchScript and ONNX with a `model.yaml`: boxes and planes equal those of the network itself."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from scenes.errors import InputError
from stress.adapters import load_model

SIZE = (64, 96)  # h, w of the network's input
GREEN, BLUE = (0, 255, 0), (0, 0, 255)
YAML = "task: {task}\nclasses: [green, blue]\ninput: {{size: [64, 96], fit: {fit}}}\ndecoding: {decoding}\n"


class Colours(nn.Module):
    """Finds the one rectangle of each colour exactly, and says so in the way that `decoding` wants."""

    def __init__(self, decoding: str) -> None:
        super().__init__()
        self.decoding = decoding

    def boxes(self, x):
        """(B, 2, 4) xyxy in pixels: from the sums of a colour's mask along each axis."""
        masks = (x[:, 1:] > 0.6) & (x[:, :1] < 0.4)  # (B, 2, h, w)
        found = []
        for axis, n in ((2, SIZE[1]), (3, SIZE[0])):
            line = masks.any(axis).to(x.dtype)
            place = torch.arange(n, dtype=x.dtype).view(1, 1, n)
            found.append(((1 - line) * 1e4 + place).amin(-1))
            found.append((line * (place + 1)).amax(-1))
        return torch.stack([found[0], found[2], found[1], found[3]], -1)

    def forward(self, x):
        if self.decoding == "logits":
            return (x[:, 1:] - x[:, :1]).mean((2, 3))
        if self.decoding == "dense":
            return x[:, 1:] - x[:, :1]
        boxes = self.boxes(x)
        scores = torch.eye(2).expand(x.shape[0], 2, 2) * 0.8
        centre, extent = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
        around = torch.cat([centre, extent], -1)
        if self.decoding == "yolo8":
            return torch.cat([around, scores], -1).transpose(1, 2)
        if self.decoding == "yolo5":
            return torch.cat([around, torch.ones_like(scores[..., :1]), scores], -1)
        if self.decoding == "detr":
            none = torch.zeros_like(scores[..., :1])
            return torch.cat([scores * 10, none], -1), around / torch.tensor([96.0, 64.0, 96.0, 64.0])
        return torch.cat([1 - scores.sum(-1, keepdim=True), scores], -1), boxes


def picture(height, width):
    """A grey picture with a green and a blue rectangle, and where they are."""
    image = np.full((height, width, 3), 128, np.uint8)
    boxes = np.array([[0.1, 0.2, 0.4, 0.8], [0.5, 0.25, 0.9, 0.6]]) * [width, height, width, height]
    boxes = boxes.round().astype(int)
    for (x1, y1, x2, y2), colour in zip(boxes, (GREEN, BLUE), strict=True):
        image[y1:y2, x1:x2] = colour
    return image, boxes


def script(module, path):
    with warnings.catch_warnings():  # torch announces the end of TorchScript's tools, not of its files
        warnings.simplefilter("ignore")
        torch.jit.trace(module, torch.zeros(1, 3, *SIZE)).save(str(path))
    return path


def onnx(module, path, batch=None):
    """Export with a free batch size, or a fixed one."""
    pytest.importorskip("onnxruntime")
    with warnings.catch_warnings():  # the exporter that needs no further package is on its way out
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.zeros(batch or 1, 3, *SIZE),), str(path), dynamo=False, input_names=["images"],
            dynamic_axes=None if batch else {"images": {0: "batch"}},
        )  # fmt: skip
    return path


EXPORT = {"ts": script, "onnx": onnx}


def exported(tmp_path, kind, decoding, *, task="detection", fit="letterbox"):
    path = EXPORT[kind](Colours(decoding).eval(), tmp_path / f"net.{kind}")
    said = {"yolo8": "yolo", "yolo5": "yolo", "dense": "logits"}.get(decoding, decoding)
    (tmp_path / "model.yaml").write_text(YAML.format(task=task, decoding=said, fit=fit))
    return load_model(path, device="cpu")


@pytest.mark.parametrize("fit", ["letterbox", "resize"])
@pytest.mark.parametrize("decoding", ["yolo8", "yolo5", "detr", "ssd"])
@pytest.mark.parametrize("kind", ["ts", "onnx"])
def test_boxes_come_back_to_the_picture(tmp_path, kind, decoding, fit):
    model = exported(tmp_path, kind, decoding, fit=fit)
    for size in ((64, 96), (128, 192), (200, 150), (50, 160)):
        image, boxes = picture(*size)
        found = model.predict([image])[0]
        top = [int(np.flatnonzero(found.labels == label)[0]) for label in (0, 1)]
        pixel = max(size[0] / SIZE[0], size[1] / SIZE[1])  # a pixel of the input, in pixels of the picture
        np.testing.assert_allclose(found.boxes[top], boxes, atol=0.5 * max(pixel, 1) + 0.5)
        assert found.scores[top].min() > 0.5


@pytest.mark.parametrize("kind", ["ts", "onnx"])
def test_at_its_own_size_boxes_are_exact(tmp_path, kind):
    image, boxes = picture(*SIZE)
    found = exported(tmp_path, kind, "yolo8").predict([image])[0]
    np.testing.assert_allclose(found.boxes[np.argsort(found.labels)], boxes, atol=1e-4)


@pytest.mark.parametrize("kind", ["ts", "onnx"])
def test_logits_of_both_kinds(tmp_path, kind):
    image, _ = picture(128, 192)
    one = exported(tmp_path, kind, "logits", task="classification").predict([image, image])
    assert one[0].logits.shape == (2,)
    image, boxes = picture(*SIZE)
    dense = exported(tmp_path, kind, "dense", task="segmentation").predict([image])[0]
    for label, (x1, y1, x2, y2) in enumerate(boxes):
        assert (dense.segmentation[y1:y2, x1:x2] == label).all()


def test_a_batch_of_several_sizes_keeps_its_order(tmp_path):
    model = exported(tmp_path, "onnx", "yolo8")
    images = [picture(*size)[0] for size in ((64, 96), (128, 192), (128, 192), (64, 96))]
    together = model.predict(images)
    for image, answer in zip(images, together, strict=True):
        np.testing.assert_allclose(answer.boxes, model.predict([image])[0].boxes, atol=1e-4)


def test_a_fixed_batch_is_filled_up(tmp_path):
    path = onnx(Colours("ssd"), tmp_path / "net.onnx", batch=3)
    (tmp_path / "model.yaml").write_text(YAML.format(task="detection", decoding="ssd", fit="resize"))
    model = load_model(path, device="cpu")
    pictures = [picture(*size) for size in ((64, 96), (128, 192), (64, 96), (64, 96), (64, 96), (64, 96))]
    found = model.predict([image for image, _ in pictures])
    for (_, boxes), answer in zip(pictures, found, strict=True):
        np.testing.assert_allclose(answer.boxes[np.argsort(answer.labels)], boxes, atol=1.1)


@pytest.mark.parametrize("kind", ["ts", "onnx"])
def test_without_a_yaml_it_says_what_to_write(tmp_path, kind):
    path = EXPORT[kind](Colours("logits"), tmp_path / f"net.{kind}")
    with pytest.raises(InputError, match=r"model\.yaml"):
        load_model(path, device="cpu")


def test_without_a_decoding_it_says_so(tmp_path):
    path = script(Colours("logits"), tmp_path / "net.ts")
    (tmp_path / "model.yaml").write_text("task: classification\nclasses: [green, blue]\n")
    with pytest.raises(InputError, match="decoding"):
        load_model(path, device="cpu")


def test_outputs_that_do_not_fit_the_yaml_are_named(tmp_path):
    path = script(Colours("logits"), tmp_path / "net.ts")
    (tmp_path / "model.yaml").write_text(YAML.format(task="detection", decoding="yolo", fit="resize"))
    model = load_model(path, device="cpu")
    with pytest.raises(InputError, match=r"expected boxes of shape .* got output \(1, 2\)"):
        model.predict([picture(*SIZE)[0]])


def test_a_fixed_input_that_differs_from_the_yaml_is_named(tmp_path):
    path = onnx(Colours("logits"), tmp_path / "net.onnx")
    text = YAML.format(task="classification", decoding="logits", fit="resize").replace("[64, 96]", "[32, 32]")
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(InputError, match=r"its input is \[64, 96\]"):
        load_model(path, device="cpu")
