"""Train the small diffusion model on a data set: `roadproof train diffusion DATASET` in Python."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from scenes.datasets import open_dataset
from scenes.errors import InputError
from scenes.progress import Report
from scenes.sample import Dataset, Sample
from synth.training import Trained, train

KEPT = 96  # frames that are kept decoded
LOOKED_AT = 200  # frames, to see which classes there are
LEAST_OBJECTS = 8  # of a class among them


def train_diffusion(
    datasets: str | Mapping[str, str],
    out: str | Path,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    channels: Sequence[int] = (48, 96, 144),
    schedule: str = "squaredcos_cap_v2",
    prediction: str = "v_prediction",
    steps: int = 20_000,
    batch: int = 64,
    rate: float = 1e-3,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | Report | None = None,
) -> Trained:
    """Train a model that fills holes with background or an object of a class, under one or several conditions.

    datasets: one data set (its condition is called clear), or data sets by the name of their condition
    classes:  to be taught; every class with enough objects where not given

    Raises InputError for data without objects, settings that do not fit, losses that diverge.
    """
    from synth.diffusion.learner import Settings, SmallLearner, check_prediction
    from synth.diffusion.small import BACKGROUND

    named = {"clear": datasets} if isinstance(datasets, str) else dict(datasets)
    opened = {condition: open_dataset(name, split=split) for condition, name in named.items()}
    names = _common_names(opened)
    taught = tuple(classes) if classes is not None else _taught(next(iter(opened.values())), names)
    unknown = [name for name in taught if name not in names]
    if unknown:
        raise InputError(f"classes: {unknown[0]!r} is none of the data set's: {', '.join(names)}")
    settings = Settings(
        classes=(BACKGROUND, *taught),
        conditions=tuple(opened),
        channels=tuple(channels),
        schedule=schedule,
        prediction=prediction,
        batch=batch,
        rate=rate,
        device=device,
    )
    check_prediction(settings)
    if any(count % 8 for count in channels) or channels[-1] % 24:
        raise InputError(f"channels: expected multiples of 8, the last one of 24, got {list(channels)}")
    learner = SmallLearner(_drawing(opened), names, settings, seed=seed)
    asked: dict[str, Any] = {"kind": "diffusion", "data": dict(named), "split": split, "settings": asdict(settings)}
    return train(learner, Path(out), asked, steps=steps, seed=seed, progress=progress)


def _common_names(opened: Mapping[str, Dataset]) -> tuple[str, ...]:
    (first, *others) = [tuple(data.class_names) for data in opened.values()]
    for condition, names in zip(list(opened)[1:], others, strict=True):
        if names != first:
            raise InputError(
                f"condition {condition!r}: expected the classes {', '.join(first)}, got {', '.join(names)}"
            )
    return first


def _taught(data: Dataset, names: Sequence[str]) -> tuple[str, ...]:
    """Return the classes of which there are enough objects in the first frames."""
    counts = np.zeros(len(names), np.int64)
    for sample_id in data.sample_ids[:LOOKED_AT]:
        notes = data[sample_id].annotations
        np.add.at(counts, notes.labels[~notes.ignore], 1)
    found = tuple(name for name, count in zip(names, counts, strict=True) if count >= LEAST_OBJECTS)
    if not found:
        raise InputError(
            f"training data: expected {LEAST_OBJECTS} objects of a class or more in {min(LOOKED_AT, len(data))} frames"
            f", got {int(counts.sum())} objects in all"
        )
    return found


def _drawing(opened: Mapping[str, Dataset]) -> Callable[[np.random.Generator], tuple[Sample, str]]:
    """Return what draws a frame and its condition; decoded frames are kept while there is room."""
    kept: OrderedDict[tuple[str, str], Sample] = OrderedDict()
    conditions = list(opened)

    def draw(rng: np.random.Generator) -> tuple[Sample, str]:
        condition = conditions[int(rng.integers(len(conditions)))]
        data = opened[condition]
        key = (condition, data.sample_ids[int(rng.integers(len(data.sample_ids)))])
        if key not in kept:
            kept[key] = replace(data[key[1]], scene=None, previous=None)
            if len(kept) > KEPT:
                kept.popitem(last=False)
        return kept[key], condition

    return draw
