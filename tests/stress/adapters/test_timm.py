"""timm classifiers with own weights equal timm's network behind timm's transform."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from scenes.errors import InputError
from stress.adapters import load_model

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def timm():
    with warnings.catch_warnings():  # old timm scripts functions at import
        warnings.simplefilter("ignore")
        return pytest.importorskip("timm")


def test_own_weights(timm, tmp_path):
    torch.manual_seed(0)
    module = timm.create_model("resnet18", num_classes=2).eval()
    path = tmp_path / "mine.pth"
    torch.save(module.state_dict(), path)
    model = load_model(f"timm:resnet18@{path}", classes=["car", "bus"], device="cpu")
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=module))
    with torch.no_grad():
        wanted = module(transform(Image.fromarray(IMAGE))[None])[0].softmax(0)
    np.testing.assert_allclose(model.predict([IMAGE])[0].probabilities, wanted, atol=1e-5)
    with pytest.raises(InputError, match="do not fit"):
        load_model(f"timm:resnet18@{path}", classes=["car"], device="cpu")
