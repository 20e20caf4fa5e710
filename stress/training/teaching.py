"""`model.fit(dataset)`: the same training without a feedback set, for any data set with labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scenes.datasets import open_dataset
from scenes.sample import Dataset
from stress.adapters.checked import checked
from stress.training.fitting import Curve, Material, fit
from stress.training.pictures import Frames
from stress.training.sets import FEWEST_VALIDATED, VALIDATED
from stress.training.settings import Settings
from synth.random import Rng


def fit_on(
    model: Any,
    dataset: str | Path | Dataset,
    *,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
    colours: float = 0.5,
    classes: Any = None,
    checkpoint: Path | None = None,
    **settings: Any,
) -> Curve:
    """Train a model in place on the samples of a data set and return its curves.

    weights:  of each sample, by its id; 1 where not given
    colours:  share of the pictures that standard augmentation changes
    settings: steps, rate, batch, checks, patience (see `Settings`); some groups of the data set validate
    """
    opened = open_dataset(dataset) if isinstance(dataset, str | Path) else dataset
    taken = checked(model)
    groups = sorted({opened.groups.get(name, name) for name in opened.sample_ids})
    order = np.argsort(Rng("validation", len(groups)).uniforms(len(groups)), kind="stable")
    count = max(1, round(VALIDATED * len(groups))) if len(groups) >= FEWEST_VALIDATED else 0
    judges = {groups[i] for i in order[:count]}
    judged = [name for name in opened.sample_ids if opened.groups.get(name, name) in judges]
    learned = [name for name in opened.sample_ids if opened.groups.get(name, name) not in judges]
    material = Material(
        Frames(opened, taken.class_names, classes=classes),
        ids=learned,
        weights=[1.0 if weights is None else weights.get(name, 1.0) for name in learned],
        validation=judged,
        colours=colours,
        name=opened.name,
    )
    return fit(taken, material, Settings(**settings), seed=seed, checkpoint=checkpoint)
