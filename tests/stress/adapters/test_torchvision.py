"""torchvision's models through our adapter equal torchvision's own answers; inner members equal their outer ones."""

import numpy as np
import pytest
import torch
from torchvision import models
from torchvision.models import detection
from torchvision.ops import box_iou

from scenes.errors import InputError
from stress.adapters import load_model

CLASSES = ("car", "bus", "person")
IMAGE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
TINY = {"weights": None, "weights_backbone": None, "min_size": 64, "max_size": 128}


def build(name):
    torch.manual_seed(0)
    if name == "ssd":
        return detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4)
    if name == "faster":
        return detection.fasterrcnn_mobilenet_v3_large_320_fpn(**TINY, num_classes=4)
    backbone = detection.backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, returned_layers=[2, 3]
    )
    sizes = tuple((s,) for s in (16, 32, 64))
    anchors = detection.anchor_utils.AnchorGenerator(sizes, ((1.0,),) * 3)
    kind = {"fcos": detection.FCOS, "retina": detection.RetinaNet}[name]
    return kind(backbone, num_classes=3, min_size=64, max_size=128, anchor_generator=anchors)


@pytest.fixture(scope="module", params=["fcos", "retina", "ssd", "faster"])
def pair(request):
    module = build(request.param).eval()
    for parameter in module.parameters():  # an untrained head says the same everywhere
        if parameter.ndim > 1:
            parameter.data.mul_(1.5)
    return request.param, module, load_model(module, classes=CLASSES, device="cpu")


def raw(module):
    with torch.no_grad():
        return module([torch.from_numpy(IMAGE).permute(2, 0, 1).float() / 255])[0]


def test_answers_are_torchvisions_own(pair):
    name, module, model = pair
    first = 0 if name in ("fcos", "retina") else 1  # background comes before the classes
    ours, theirs = model.predict([IMAGE])[0], raw(module)
    known = theirs["labels"] >= first
    order = theirs["scores"][known].argsort(descending=True, stable=True)[:100]
    assert len(ours.boxes) == len(order) > 0
    np.testing.assert_allclose(ours.boxes, theirs["boxes"][known][order], atol=0.01)
    np.testing.assert_array_equal(ours.labels, theirs["labels"][known][order] - first)
    assert module.training is False


def test_what_it_says_before_thresholds_contains_what_it_says_after(pair):
    """Each final box is a location's box, and among its locations one carries the final class and score."""
    name, _, model = pair
    if name == "faster":
        pytest.skip("two stages")
    logits, boxes = model.dense(model.tensors([IMAGE]))
    assert logits.shape[2] == len(CLASSES)
    assert boxes.shape[:2] == logits.shape[:2]
    best = model.predict([IMAGE])[0]
    inside = boxes[0].detach().clone()
    inside[:, 0::2].clamp_(0, 128)
    inside[:, 1::2].clamp_(0, 96)
    large = (best.boxes[:, 2:] - best.boxes[:, :2]).min(1) > 1  # a degenerate box has no overlap
    overlap = box_iou(torch.from_numpy(best.boxes[large][:5]), inside).nan_to_num()
    assert len(overlap)
    assert overlap.max(1).values.min() > 0.98
    learned = [p for p in model.module.parameters() if p.requires_grad]
    logit = logits[0, int(overlap[0].argmax()), int(best.labels[large][0])]
    grads = torch.autograd.grad(logit, learned, allow_unused=True)
    assert any(g is not None and g.abs().sum() > 0 for g in grads)


def test_the_roi_head_on_a_found_box_says_what_was_found(pair):
    name, module, model = pair
    batch = model.tensors([IMAGE])
    if name != "faster":
        assert model.roi_logits(batch, torch.zeros(1, 4)) is None
        return
    assert model.dense(batch) is None
    boxes = torch.tensor([[10.0, 10.0, 60.0, 80.0], [50.0, 20.0, 120.0, 90.0]])
    logits = model.roi_logits(batch, boxes)
    assert logits.shape == (2, 3)
    kept = []
    hook = module.roi_heads.box_predictor.register_forward_hook(lambda m, i, o: kept.append(o[0]))
    model.predict([IMAGE])
    hook.remove()
    assert torch.isfinite(logits).all()
    assert kept[0].shape[1] == logits.shape[1] + 1
    logits[0, 1].backward()
    assert module.backbone.body["0"][0].weight.grad.abs().sum() > 0


def test_layers_to_explain_are_in_the_network_and_carry_the_picture(pair):
    _, module, model = pair
    names = dict(module.named_modules())
    layers = model.explain_layers()
    assert layers
    seen = {}

    def keep(name):
        def hook(module, given, answer):
            seen[name] = answer

        return hook

    hooks = [names[name].register_forward_hook(keep(name)) for name in layers]
    model.predict([IMAGE])
    for hook in hooks:
        hook.remove()
    assert set(seen) == set(layers)
    assert all(out.ndim == 4 for out in seen.values())


def test_the_number_of_classes_must_fit():
    with pytest.raises(InputError, match="neither the 2 classes"):
        load_model(build("ssd"), classes=("car", "bus"), device="cpu")


def test_own_weights_of_a_published_network(tmp_path):
    torch.manual_seed(0)
    module = models.resnet18(weights=None, num_classes=3).eval()
    path = tmp_path / "mine.pth"
    torch.save(module.state_dict(), path)
    model = load_model(f"torchvision:resnet18@{path}", classes=CLASSES, device="cpu")
    assert model.task == "classification"
    preset = models.ResNet18_Weights.DEFAULT.transforms()
    with torch.no_grad():
        wanted = module(preset(torch.from_numpy(IMAGE).permute(2, 0, 1))[None])[0].softmax(0)
    np.testing.assert_allclose(model.predict([IMAGE])[0].probabilities, wanted, atol=1e-5)
    with pytest.raises(InputError, match="do not fit"):
        load_model(f"torchvision:resnet34@{path}", classes=CLASSES, device="cpu")
    with pytest.raises(InputError, match="classes"):
        load_model(f"torchvision:resnet18@{path}", device="cpu")
    (tmp_path / "model.yaml").write_text("task: classification\nclasses: [car, bus, person]\n")
    said = load_model(f"torchvision:resnet18@{path}", model_yaml=tmp_path / "model.yaml", device="cpu")
    assert said.class_names == CLASSES


def test_segmentation_answers_at_the_size_of_the_picture():
    torch.manual_seed(0)
    module = models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3).eval()
    model = load_model(module, classes=("road", "sky", "car"), device="cpu")
    found = model.predict([IMAGE])[0]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        batch = ((torch.from_numpy(IMAGE).float() / 255 - mean) / std).permute(2, 0, 1)[None]
        wanted = module(batch)["out"][0]
    np.testing.assert_allclose(found.logits, wanted, atol=1e-4)
