"""What goes wrong in an explanation costs the explanation at most, never the run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import stress
from scenes.plugins import load_attribute
from stress.adapters import load_model
from stress.explain import MaskBudget, Target, explain

FAKES = Path(__file__).parents[1] / "fakes.py"
PLAN = {"shifts": "fog", "severities": [5], "resamples": 40}


class WritesInPlace(nn.Module):
    """Runs without gradients only."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        y = self.conv(x).sigmoid()
        z = y * y
        y += 1  # z needs it for its gradient
        return z


def segmenter():
    fake = load_attribute(f"{FAKES}:Segmenter", what="test part")()
    fake.module = WritesInPlace()
    fake.tensors = lambda images: torch.from_numpy(np.stack(images).astype(np.float32) / 255).permute(0, 3, 1, 2)
    fake.class_logits = lambda batch: fake.module(batch)
    return fake


def test_auto_goes_on_with_masks_and_says_why():
    model = load_model(segmenter(), device="cpu")
    image = np.full((16, 24, 3), 90, np.uint8)
    target = Target((0,), "score")
    found = explain(model, image, image, target, target, budget=MaskBudget(masks=8))
    assert found.method == "rise"
    assert found.note.startswith("By masks, because gradients raised RuntimeError: ")
    with pytest.raises(RuntimeError):
        explain(model, image, image, target, target, method="hirescam", budget=MaskBudget(masks=8))


@pytest.mark.parametrize("method", ["auto", "gradcam"])
def test_a_run_outlives_its_explanations(tmp_path, method):
    plan = PLAN | {"explain": {"failures": 2, "method": method, "budget": 8}}
    data = load_attribute(f"{FAKES}:Boxes", what="test part")(6)
    run = stress.run(data, segmenter(), plan, tmp_path / "run", progress=False)
    summary = json.loads((tmp_path / "run" / "results.json").read_text())
    assert run.results.headline["metric"] == "miou"
    assert summary["gallery"]
    for entry in summary["gallery"]:
        if method == "auto":
            assert "RuntimeError" in entry["explanation"]["note"]
        else:
            assert entry["explanation"] is None
    told = [note for note in summary["notes"] if "not explained" in str(note)]
    assert bool(told) == (method != "auto")
    assert all("RuntimeError: " in str(note) for note in told)
