"""Pointing game, deletion and insertion on a scorer whose truth is known, and maps of one object in many pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from stress.adapters.checked import checked
from stress.adapters.torch_module import DenseModule
from stress.explain.fidelity import deletion_insertion, maps_of, pointing
from stress.explain.targets import Target, Unreachable

SIZE = 40
CORNER = np.zeros((SIZE, SIZE), np.bool_)
CORNER[:16, :16] = True


def picture():
    image = np.full((SIZE, SIZE, 3), 30, np.uint8)
    image[CORNER] = 250
    return image


def brightness_of_the_corner(images):
    """A score that hangs on the corner alone: 1 on the picture, near 0 where the corner is hidden."""
    return np.array([(i[CORNER].mean() > 200) * i[CORNER].mean() / 250 for i in images])


@pytest.mark.core
def test_a_true_map_has_low_deletion_and_high_insertion():
    true = CORNER.astype(np.float32)
    false = 1 - true
    good = deletion_insertion(picture(), true, brightness_of_the_corner)
    bad = deletion_insertion(picture(), false, brightness_of_the_corner)
    assert good[0] < 0.25 < 0.7 < bad[0]
    assert good[1] > 0.7 > 0.25 > bad[1]
    assert good[2] == 1.0


def test_areas_are_trapezoids_over_five_steps():
    """By hand: scores are the share of shown pixels, so both curves are straight lines."""
    order = np.random.default_rng(0).permutation(SIZE * SIZE).reshape(SIZE, SIZE).astype(np.float32)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[..., 0] = np.arange(SIZE)[None] + 100

    def unchanged(images):
        fill = np.rint(image.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
        assert len(images) == 10
        return np.array([(i != fill).any(axis=2).mean() for i in images])

    deletion, insertion, whole = deletion_insertion(image, order, unchanged)
    assert whole == pytest.approx(1.0, abs=0.05)
    assert deletion == pytest.approx(0.5, abs=0.03)
    assert insertion == pytest.approx(0.5, abs=0.03)


def test_pointing_needs_a_map_and_a_region():
    cam = np.zeros((4, 4), np.float32)
    inside = np.zeros((4, 4), np.bool_)
    assert pointing(cam, inside) is None
    inside[1, 1] = True
    assert pointing(cam, inside) is None
    cam[1, 1], cam[2, 2] = 2.0, 1.0
    assert pointing(cam, inside) is True
    cam[2, 2] = 3.0
    assert pointing(cam, inside) is False
    assert pointing(cam, None) is None


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.early = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.late = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        return self.head(self.late(self.early(x)))


def test_all_maps_of_an_object_are_read_at_one_layer():
    model = checked(DenseModule(Net(), task="segmentation", name="net", class_names=("a", "b", "c"), device="cpu"))
    images = [np.random.default_rng(i).integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8) for i in range(3)]
    targets = [Target(labels=(0,), words="a", region=CORNER) for _ in images]
    maps = maps_of(model, images, targets, kind="hirescam")
    assert len({at.layer for at in maps if at.layer is not None}) == 1
    assert all(at.map.shape == (SIZE, SIZE) for at in maps)
    assert any(at.map.max() > 0 for at in maps)


def test_a_black_box_has_no_maps():
    class Box:
        name, task, class_names = "box", "segmentation", ("a",)

    with pytest.raises(Unreachable, match="no gradients"):
        maps_of(Box(), [picture()], [Target(labels=(0,), words="a")], kind="hirescam")
