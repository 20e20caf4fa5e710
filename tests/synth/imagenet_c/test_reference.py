"""Mean, spread and SSIM to clean against imagecorruptions 1.1.2, whose figures `make_reference.py` wrote.

Tolerances: mean 1.2 grey levels, standard deviation 1.5 %, SSIM 0.015; for what is random four standard errors of both
sides' means are added. Frost and fog are dominated by which texture or cloud was drawn; their own tests follow below.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from scenes.sample import Sample
from synth.imagenet_c.crystals import KINDS, _tile
from synth.imagenet_c.plasma import plasma
from synth.random import rng_for
from synth.registry import create, expand

HERE = Path(__file__).parent


def _reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("imagenet_c_reference", HERE / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = _reference()
DATA: dict[str, Any] = json.loads((HERE / "reference.json").read_text())
SEEDS = 4
FROST_SEEDS = 16  # the five textures differ more than anything else


def _figures(name: str, severity: int, number: int) -> tuple[Any, Any]:
    """Return mean and standard error of mean, standard deviation and SSIM over seeds."""
    clean = REFERENCE.pictures()[number]
    sample, shift = Sample(sample_id=f"p{number}", image=clean), create(name)
    found = []
    seeds = FROST_SEEDS if name == "imagenet_c/frost" else SEEDS
    for seed in range(seeds):
        params = shift.draw(sample, severity, rng_for(seed, shift=name, sample_id=sample.sample_id))
        mean, variance, ssim = REFERENCE.figures(clean, shift.apply(sample, params).image)
        found.append((mean, np.sqrt(variance), ssim))
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(seeds)


@pytest.mark.core
def test_the_pictures_are_the_ones_of_the_reference() -> None:
    assert [int(p.astype(np.int64).sum()) for p in REFERENCE.pictures()] == DATA["checks"]


@pytest.mark.parametrize("name", expand("imagenet_c"))
def test_statistics_are_those_of_the_published_package(name: str) -> None:
    short = name.split("/")[1]
    for severity in (1, 2, 3, 4, 5):
        for number in range(len(REFERENCE.SIZES)):
            mean, variance, ssim, mean_spread, variance_spread, ssim_spread = DATA["rows"][
                f"{short}/{severity}/{number}"
            ]
            deviation = np.sqrt(variance)
            wanted = np.array([mean, deviation, ssim])
            error = np.array([mean_spread, variance_spread / (2 * deviation), ssim_spread]) / np.sqrt(DATA["repeats"])
            got, own_error = _figures(name, severity, number)
            allowed = np.array([1.2, 0.015 * deviation, 0.015]) + 4 * np.hypot(error, own_error)
            where = f"severity {severity}, picture {number}: mean, deviation, SSIM {got}, published {wanted}"
            assert (np.abs(got - wanted) <= allowed).all(), f"{where}, allowed {allowed}"


def test_clouds_are_spread_as_published() -> None:
    """Over many seeds: mean 0.51 and 0.51, mean deviation 0.150 and 0.155 of 150 clouds of the package's function."""
    for size, decay, mean, deviation in (((224, 224), 2.0, 0.510, 0.150), ((96, 160), 1.4, 0.510, 0.155)):
        clouds = [plasma(*size, decay, 7919 * seed) for seed in range(150)]
        assert np.mean([c.mean() for c in clouds]) == pytest.approx(mean, abs=4 * 0.11 / np.sqrt(75))
        assert np.mean([c.std() for c in clouds]) == pytest.approx(deviation, abs=0.012)
        assert all(c.min() >= -1e-6 and c.max() <= 1 + 1e-6 for c in clouds)


@pytest.mark.parametrize("number", range(5))
def test_frost_has_the_colour_and_contrast_of_its_photograph(number: int) -> None:
    tile = _tile(number).reshape(-1, 3)
    assert tile.mean(axis=0) == pytest.approx(KINDS[number].mean, abs=4)
    assert tile.std(axis=0) == pytest.approx(KINDS[number].deviation, rel=0.15)
