"""The arms of a retraining, feedback and its two controls, and the worker that trains them one after another."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scenes.datasets import open_dataset
from scenes.errors import InputError
from stress.adapters.checked import CheckedModel
from stress.feedback import Weight
from stress.job import ModelSource
from stress.training import external, trained
from stress.training.fitting import Curve, Material, fit
from stress.training.pictures import Frames
from stress.training.sets import Rows
from stress.training.settings import Settings

FEEDBACK, CLEAN, STANDARD = "feedback", "clean", "standard"
CONTROLS = (CLEAN, STANDARD)
ARMS = (FEEDBACK, *CONTROLS)
COLOURS = {FEEDBACK: 0.5, CLEAN: 0.0, STANDARD: 1.0}  # share of the pictures that standard augmentation changes
WORDS = {
    FEEDBACK: "the feedback set: shifted and clean frames, half of them with standard augmentation",
    CLEAN: "the same source frames, clean",
    STANDARD: "the same source frames with standard augmentation (colour jitter, slight blur)",
}


@dataclass(frozen=True)
class Training:
    """What all trainings share, as plain values that travel to worker processes.

    data: folder of each arm's pictures; classes: mapping of model classes to data set classes
    """

    model: ModelSource
    rows: Rows
    data: Mapping[str, Path]
    settings: Settings
    out: Path
    classes: Mapping[str, str | None] | str | None = None
    trainer: external.Trainer | None = None

    def folder(self, arm: str, seed: int) -> Path:
        return self.out / "models" / f"{arm}-{seed}"

    def is_done(self, arm: str, seed: int) -> bool:
        return (self.folder(arm, seed) / trained.CARD).is_file()


class Trainer:
    """Trains the arms of one retraining in one process."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self._frames: dict[str, Frames] = {}

    def train(self, task: tuple[str, int]) -> tuple[str, int]:
        """Train one arm with one seed; what is finished is in its folder, whole or not at all."""
        arm, seed = task
        if self.training.is_done(arm, seed):
            return task
        folder = self.training.folder(arm, seed)
        folder.mkdir(parents=True, exist_ok=True)
        base = {"spec": self.training.model.spec, "options": plain_options(self.training.model)}
        about: dict[str, Any] = {"arm": arm, "seed": seed, "settings": self.training.settings.plain()}
        about["name"] = f"{self.base_name} ({arm}, seed {seed})"
        if self.training.trainer is not None:
            self._outside(self.training.trainer, arm, seed, folder, base, about)
            return task
        model = self.training.model.load() if self.training.model.spec else load_copy(self.training.model)
        curve = self._fitted(model, arm, seed, folder)
        trained.save(folder, model, base=base, about={**about, "curve": curve.plain()})
        (folder / "checkpoint.pt").unlink(missing_ok=True)
        return task

    @cached_property
    def base_name(self) -> str:
        return self.training.model.label

    def _fitted(self, model: CheckedModel, arm: str, seed: int, folder: Path) -> Curve:
        rows = self.training.rows
        if arm not in self._frames:
            dataset = open_dataset(self.training.data[arm])
            self._frames = {arm: Frames(dataset, model.class_names, classes=self.training.classes)}
        material = Material(
            self._frames[arm],
            ids=[_shown(row, arm) for row in rows.training],
            weights=[row.weight for row in rows.training],
            validation=list(dict.fromkeys(_shown(row, arm) for row in rows.validation)),
            colours=COLOURS[arm],
            name=arm,
        )
        return fit(model, material, self.training.settings, seed=seed, checkpoint=folder / "checkpoint.pt")

    def _outside(
        self, trainer: external.Trainer, arm: str, seed: int, folder: Path, base: Mapping[str, Any], about: Any
    ) -> None:
        made = trainer.run(
            arm=arm, seed=seed, data=self.training.data[arm], out=folder, steps=self.training.settings.steps
        )
        trained.write_card(
            folder, base=base, about={**about, "curve": made.curve, "command": made.command}, weights=made.weights,
            model=made.model,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing is held."""


def _shown(row: Weight, arm: str) -> str:
    """Return the picture that an arm shows for a row."""
    return row.sample_id if arm == FEEDBACK else row.source


def plain_options(source: ModelSource) -> dict[str, Any]:
    """Return the options that decide what a model says, as plain values."""
    kept = {k: v for k, v in source.options.items() if k in ("task", "classes", "model_yaml") and v is not None}
    return {k: list(v) if k == "classes" else str(v) for k, v in kept.items()}


def load_copy(source: ModelSource) -> CheckedModel:
    """Return a copy of a model that was given as an object, so that training does not change it."""
    try:
        fresh = copy.deepcopy(source.instance)
    except Exception as error:  # whatever its parts raise
        raise InputError(
            f"model {source.label!r} cannot be copied to be trained: {error}; name it by a text"
        ) from error
    return ModelSource(None, fresh, source.device, source.options).load()
