"""Shifts on the fly while a model trains: the variants of a recipe, a new one each epoch, the same for any workers.

    from torch.utils.data import DataLoader
    import synth
    from scenes.datasets import open_dataset

    data = synth.ShiftedDataset(open_dataset("town:7:200"), {"shifts": "fog,rain,night"}, seed=1,
                                transform=synth.as_torchvision)
    loader = DataLoader(data, batch_size=4, num_workers=2, collate_fn=lambda batch: tuple(zip(*batch)))
    for epoch in range(1, 11):
        data.set_epoch(epoch)
        for images, targets in loader: ...

What a frame goes through is keyed by seed, epoch and the frame's name alone: epoch 2 shows what `synth.generate` writes
as variant 2. For pipelines of albumentations see `synth.AlbumentationsShift`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenes.sample import Dataset, Sample
from synth.depth import DepthSource
from synth.labels import told_truly
from synth.pipeline import shifted
from synth.random import Rng
from synth.recipe import Recipe, choose, matches


class Shifts:
    """A recipe as a function of a sample; what no entry is meant for comes out as it went in.

    recipe:      a `Recipe`, its keys, or a YAML file; its filters are for data sets on disk and play no part here
    probability: of a frame being shifted at all
    """

    def __init__(
        self,
        recipe: Recipe | Mapping[str, Any] | str | Path,
        *,
        seed: int | None = None,
        probability: float = 1.0,
        depth: DepthSource | None = None,
    ) -> None:
        if isinstance(recipe, str | Path):
            recipe = Recipe.from_yaml(Path(recipe))
        self.recipe = recipe if isinstance(recipe, Recipe) else Recipe.make(recipe)
        self.seed = self.recipe.seed if seed is None else seed
        self.probability = probability
        self.depth = depth
        self._choices = self.recipe.choices()

    def __call__(self, sample: Sample, *, variant: int = 1) -> Sample:
        """Return a variant of a sample, invalid objects as ignore regions, those that are gone left out."""
        rng = Rng(self.seed, "recipe", sample.sample_id, variant)
        if self.probability < 1 and Rng(self.seed, "at all", sample.sample_id, variant).uniform() >= self.probability:
            return sample
        names = tuple(sample.meta.get("class_names", ()))
        if not matches(sample, names, self.recipe.classes, self.recipe.conditions):
            return sample
        able = [
            c
            for c in self._choices
            if matches(sample, names, c.entry.classes, c.entry.conditions) and not c.lacks(sample)
        ]
        if not able:
            return sample
        shift, severity = choose(able, rng).drawn(rng)
        result = shifted(sample, shift, severity, seed=self.seed, variant=variant, depth=self.depth)
        return told_truly(sample, result)


class ShiftedDataset(torch.utils.data.Dataset[Any]):
    """A map-style PyTorch data set whose items are variants of another one's.

    dataset:   a roadproof data set (`scenes.datasets.open_dataset`), or any map-style one together with `to_sample`
    to_sample: (item, index) to `Sample`; the sample id is the key of what is drawn
    transform: `Sample` to what the loader is to collate; the sample itself unless given (see `as_torchvision`)
    """

    def __init__(
        self,
        dataset: Any,
        recipe: Recipe | Mapping[str, Any] | str | Path,
        *,
        seed: int | None = None,
        probability: float = 1.0,
        depth: DepthSource | None = None,
        to_sample: Callable[[Any, int], Sample] | None = None,
        transform: Callable[[Sample], Any] | None = None,
    ) -> None:
        self.dataset, self.to_sample, self.transform = dataset, to_sample, transform
        self.shifts = Shifts(recipe, seed=seed, probability=probability, depth=depth)
        self._epoch: torch.Tensor = torch.ones((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # torch's own; workers that live on see it

    def set_epoch(self, epoch: int) -> None:
        """Show other variants from now on; call it before each epoch."""
        self._epoch.fill_(epoch)

    @property
    def epoch(self) -> int:
        """The epoch whose variants are shown, 1 at first."""
        return int(self._epoch)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        sample = self.shifts(self._sample(index), variant=self.epoch)
        return sample if self.transform is None else self.transform(sample)

    def _sample(self, index: int) -> Sample:
        if self.to_sample is not None:
            return self.to_sample(self.dataset[index], index)
        if isinstance(self.dataset, Dataset):
            return self.dataset[self.dataset.sample_ids[index]]
        found: Sample = self.dataset[index]
        return found


def as_torchvision(sample: Sample) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return (3, H, W) float32 in [0, 1] and the target of torchvision's models; ignore regions are left out.

    boxes (N, 4) xyxy, labels (N,) from 1 (0 is torchvision's background), masks (N, H, W) uint8 where known;
    semantic (H, W) int64 with 255 = ignore where known; label () where the whole picture has one.
    """
    notes = sample.annotations
    keep = ~notes.ignore & (notes.boxes[:, 2] > notes.boxes[:, 0]) & (notes.boxes[:, 3] > notes.boxes[:, 1])
    image = torch.from_numpy(np.ascontiguousarray(sample.image)).permute(2, 0, 1).float().div_(255.0)
    target = {
        "boxes": torch.from_numpy(notes.boxes[keep].copy()),
        "labels": torch.from_numpy(notes.labels[keep] + 1),
    }
    if notes.masks is not None:
        target["masks"] = torch.from_numpy(notes.masks[keep].astype(np.uint8))
    ignored = notes.segmentation_ignore
    if notes.segmentation is not None and ignored is not None:
        target["semantic"] = torch.from_numpy(np.where(ignored, 255, notes.segmentation).astype(np.int64))
    if notes.label is not None:
        target["label"] = torch.tensor(notes.label)
    return image, target
