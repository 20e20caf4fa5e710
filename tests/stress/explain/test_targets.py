"""The score that is explained: the mean over the region's own pixels, wherever the picture lies in the input."""

import numpy as np
import pytest
import torch
from torch import nn

from stress.adapters.torch_module import DenseModule
from stress.adapters.yaml_spec import InputSpec
from stress.explain.targets import Target, forward_of


class Brightness(nn.Module):
    """Logits of two classes: the brightness of each pixel, and nothing; at a share of the resolution."""

    def __init__(self, stride):
        super().__init__()
        self.pool = nn.AvgPool2d(stride)

    def forward(self, x):
        plane = self.pool(x.mean(dim=1, keepdim=True))
        return torch.cat([plane, torch.zeros_like(plane)], dim=1)


@pytest.mark.parametrize(("picture", "stride"), [((90, 160), 1), ((90, 160), 5), ((160, 90), 5), ((180, 320), 5)])
def test_a_region_of_a_letterboxed_picture(picture, stride):
    spec = InputSpec(size=(160, 160), fit="letterbox", pad=0)
    names = ("bright", "dark")
    adapter = DenseModule(Brightness(stride), task="segmentation", name="m", class_names=names, device="cpu", spec=spec)
    region = np.zeros(picture, np.bool_)
    region[: picture[0] * 2 // 9, : picture[1] // 2] = True
    image = np.repeat(region[..., None] * np.uint8(255), 3, axis=2)
    batch = adapter.tensors([image])

    def mean(of):
        return float(forward_of(adapter, "segmentation", Target((0,), "bright", region=of), picture)(batch))

    assert mean(region) > 0.95
    assert mean(~region) < 0.05
    assert mean(None) == pytest.approx(region.mean(), abs=0.02)  # bars do not count


def test_a_region_at_the_pictures_own_size_is_a_plain_mean():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)
    region = rng.random((30, 40)) < 0.3
    adapter = DenseModule(Brightness(1), task="segmentation", name="m", class_names=("a", "b"), device="cpu")
    score = forward_of(adapter, "segmentation", Target((0,), "a", region=region), (30, 40))
    assert float(score(adapter.tensors([image]))) == pytest.approx(image[region].mean() / 255, rel=1e-5)
