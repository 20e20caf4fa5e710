"""transformers models from a folder: equal to their own processor, network and post-processing."""

import numpy as np
import pytest
import torch
import transformers

from scenes.errors import InputError
from stress.adapters import load_model

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)
NAMES = {"id2label": {0: "car", 1: "bus"}, "label2id": {"car": 0, "bus": 1}}


def saved(folder, module, processor):
    module.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return module, processor, load_model(f"hf:{folder}", device="cpu")


@pytest.fixture
def detr(tmp_path):
    torch.manual_seed(0)
    config = transformers.YolosConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=[32, 64],
        patch_size=16, num_detection_tokens=7, use_mid_position_embeddings=False, **NAMES,
    )  # fmt: skip
    size = {"shortest_edge": 32, "longest_edge": 64}
    return saved(tmp_path, transformers.YolosForObjectDetection(config), transformers.YolosImageProcessor(size=size))


def test_detection(detr):
    module, processor, model = detr
    assert (model.task, model.class_names) == ("detection", ("car", "bus"))
    with torch.no_grad():
        outputs = module(**processor(images=[IMAGE], return_tensors="pt"))
    wanted = processor.post_process_object_detection(outputs, threshold=0.001, target_sizes=[(48, 80)])[0]
    order = wanted["scores"].argsort(descending=True, stable=True)
    found = model.predict([IMAGE, IMAGE])[1]
    assert len(found.scores) == 7
    limit = torch.tensor([80.0, 48.0, 80.0, 48.0])
    np.testing.assert_allclose(found.boxes, wanted["boxes"][order].clamp(min=0).minimum(limit), atol=0.01)
    np.testing.assert_allclose(found.scores, wanted["scores"][order], atol=1e-5)


def test_queries_before_any_threshold(detr):
    _, _, model = detr
    logits, boxes = model.dense(model.tensors([IMAGE]))
    assert logits.shape == (1, 7, 2)
    found = model.predict([IMAGE])[0]
    limit = torch.tensor([80.0, 48.0, 80.0, 48.0])
    cut = boxes[0].detach().clamp(min=0).minimum(limit)
    for box in found.boxes:
        assert (cut - torch.from_numpy(box)).abs().amax(1).min() < 0.1
    assert logits.requires_grad


def test_segmentation(tmp_path):
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=16,
        **NAMES,
    )
    processor = transformers.SegformerImageProcessor(size={"height": 64, "width": 64})
    module, processor, model = saved(tmp_path, transformers.SegformerForSemanticSegmentation(config), processor)
    with torch.no_grad():
        outputs = module(**processor(images=[IMAGE], return_tensors="pt"))
    wanted = processor.post_process_semantic_segmentation(outputs, target_sizes=[(48, 80)])[0]
    found = model.predict([IMAGE])[0]
    assert found.segmentation.shape == (48, 80)
    assert (found.segmentation == wanted.numpy()).mean() > 0.999
    assert model.class_logits(model.tensors([IMAGE])).requires_grad
    assert model.explain_layers()


def test_classification(tmp_path):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, **NAMES
    )
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    module, processor, model = saved(tmp_path, transformers.ViTForImageClassification(config), processor)
    with torch.no_grad():
        wanted = module(**processor(images=[IMAGE], return_tensors="pt")).logits[0].softmax(0)
    np.testing.assert_allclose(model.predict([IMAGE])[0].probabilities, wanted, atol=1e-5)


def test_an_architecture_that_is_no_picture_model_is_named(tmp_path):
    transformers.BertConfig(architectures=["BertForMaskedLM"]).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="BertForMaskedLM"):
        load_model(f"hf:{tmp_path}", device="cpu")


def test_a_pickle_is_refused(tmp_path):
    config = transformers.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    config.architectures = ["ViTForImageClassification"]
    config.save_pretrained(tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="--trust"):
        load_model(f"hf:{tmp_path}", device="cpu")
