"""A whole run of a classifier over the family gives mCE with AlexNet's published constants."""

from __future__ import annotations

from pathlib import Path

import pytest

import stress
from scenes.plugins import load_attribute
from stress.metrics.robust import ALEXNET_ERROR

FAKES = Path(__file__).parents[2] / "stress" / "fakes.py"
PLAN = {"shifts": "imagenet_c", "reference": "alexnet", "explain": "none", "resamples": 20, "predictions": False}


def test_a_classifier_over_the_family_gets_the_published_mce(tmp_path: Path) -> None:
    boxes, classifier = (load_attribute(f"{FAKES}:{name}", what="test part") for name in ("Boxes", "Classifier"))
    found = stress.run(boxes(3), classifier(), PLAN, tmp_path / "run", progress=False, workers=1).results
    mce = found.summary["mce"]
    by_shift = {row["shift"]: row["ce"]["value"] for row in mce["per_shift"]}
    assert set(by_shift) == set(ALEXNET_ERROR)
    for name, ce in by_shift.items():
        errors = [1 - found.figure("accuracy", shift=name, severity=s)["value"] for s in (1, 2, 3, 4, 5)]
        assert ce == pytest.approx(sum(errors) / (5 * ALEXNET_ERROR[name]), rel=1e-3)
    assert mce["figure"]["value"] == pytest.approx(sum(by_shift.values()) / 15, rel=1e-3)
