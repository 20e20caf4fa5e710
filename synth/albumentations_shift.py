"""The shifts of a recipe as one transform of an albumentations pipeline.

    import albumentations as A
    import synth

    pipeline = A.Compose(
        [A.HorizontalFlip(p=0.5), synth.AlbumentationsShift(recipe={"shifts": "fog,rain,night"}, p=0.8)],
        bbox_params=A.BboxParams(format="pascal_voc", label_fields=["labels"]),
        seed=7,
    )
    out = pipeline(image=image, bboxes=boxes, labels=labels, masks=masks)

Boxes, `mask` (class indices) and `masks` (one for each box, in their order) are moved along. A box of which nothing is
left is taken out with its labels; `masks` stay as many as they were. What is drawn hangs on the generator of the
pipeline alone (`seed` of `A.Compose`, which it splits for the workers of a loader); `A.ReplayCompose` replays it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its newest version

import albumentations as A  # after the variable it reads

from scenes.errors import InputError
from scenes.sample import Annotations, Sample
from synth.audit import Verdict
from synth.labels import gone
from synth.pipeline import shifted
from synth.random import Rng
from synth.recipe import Choice, Recipe, choose

_SAMPLE_ID = "albumentations"


class AlbumentationsShift(A.DualTransform):
    """One of the shifts of a recipe, drawn anew for each picture.

    recipe: a `Recipe`, its keys, or a YAML file; filters and conditions play no part here
    """

    def __init__(self, recipe: Recipe | Mapping[str, Any] | str | Path, p: float = 1.0) -> None:
        super().__init__(p=p)
        if isinstance(recipe, str | Path):
            recipe = Recipe.from_yaml(Path(recipe))
        self.recipe = recipe if isinstance(recipe, Recipe) else Recipe.make(recipe)
        self._choices = self.recipe.choices()

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the seed of everything else."""
        return {"draw": self.py_random.getrandbits(53)}

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the data with picture, boxes and masks of the variant."""
        sample = _sample(kwargs)
        able = [choice for choice in self._choices if not choice.lacks(sample)]
        if not able:
            raise InputError(f"AlbumentationsShift: {_why(self._choices[0], sample)}; give `masks` or other shifts")
        rng = Rng("albumentations", params["draw"])
        shift, severity = choose(able, rng).drawn(rng)
        if "keypoints" in kwargs and shift.changes != "appearance":
            raise InputError(f"AlbumentationsShift: {shift.name} moves things, and cannot move keypoints")
        result = shifted(sample, shift, severity, seed=params["draw"])
        return {**kwargs, **_targets(result.sample, result.verdicts, kwargs)}

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """Name what a saved pipeline keeps."""
        return ("recipe",)

    def get_transform_init_args(self) -> dict[str, Any]:
        """Return what a saved pipeline keeps."""
        return {"recipe": self.recipe.plain(), "p": self.p}


def _why(choice: Choice, sample: Sample) -> str:
    return f"{choice.shift.name} {choice.lacks(sample)}"


def _sample(data: Mapping[str, Any]) -> Sample:
    """Return what the pipeline holds as a sample; boxes come in shares of width and height."""
    image = data["image"]
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"AlbumentationsShift: image: expected (H, W, 3) uint8 sRGB, got {got}")
    height, width = image.shape[:2]
    given = np.asarray(data.get("bboxes", ()), np.float32)
    boxes = given[:, :4] if len(given) else np.zeros((0, 4), np.float32)
    boxes = boxes * np.array([width, height, width, height], np.float32)
    masks = data.get("masks")
    own = None
    if masks is not None and len(masks) == len(boxes) and len(boxes):
        own = np.stack([np.asarray(mask) > 0 for mask in masks])
    elif masks is not None and len(masks) != len(boxes) and "bboxes" in data:
        raise InputError(f"AlbumentationsShift: masks: expected one for each of {len(boxes)} boxes, got {len(masks)}")
    elif masks is not None and len(masks):
        own = np.stack([np.asarray(mask) > 0 for mask in masks])
        boxes = _bounds(own)
    segmentation = data.get("mask")
    if segmentation is not None:
        segmentation = np.asarray(segmentation)
        segmentation = segmentation[..., 0] if segmentation.ndim == 3 else segmentation
        segmentation = segmentation.astype(np.uint8 if segmentation.dtype == np.uint8 else np.int16)
    annotations = Annotations(boxes=boxes, labels=np.zeros(len(boxes), np.int64), masks=own, segmentation=segmentation)
    return Sample(sample_id=_SAMPLE_ID, image=np.ascontiguousarray(image), annotations=annotations)


def _bounds(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    from synth.relabel import boxes_of_masks

    return boxes_of_masks(masks)


def _targets(sample: Sample, verdicts: tuple[Verdict, ...], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the targets of the pipeline after the shift; objects that the shift added have no labels there."""
    notes = sample.annotations
    found: dict[str, Any] = {"image": sample.image}
    if "bboxes" in data:
        rows = np.asarray(data["bboxes"], np.float32)
        n = len(rows)
        lost = gone(sample, verdicts)[:n] | np.array([v.kind == "invalid" for v in verdicts[:n]], np.bool_)
        if n:
            size = np.array([sample.width, sample.height, sample.width, sample.height], np.float32)
            rows = rows.copy()
            rows[:, :4] = np.clip(notes.boxes[:n] / size, 0.0, 1.0)
        found["bboxes"] = rows[~lost] if n else rows
    if data.get("masks") is not None and notes.masks is not None:
        like = data["masks"]
        made = [np.asarray(mask, np.asarray(old).dtype) for mask, old in zip(notes.masks, like, strict=False)]
        found["masks"] = np.stack(made) if isinstance(like, np.ndarray) else type(like)(made)
    if data.get("mask") is not None and notes.segmentation is not None:
        old = np.asarray(data["mask"])
        found["mask"] = notes.segmentation.astype(old.dtype).reshape(old.shape)
    return found
