"""Masked edits: objects in another coat, objects replaced, things in front of them, another background.

Pixels outside of a mask and its rim keep their bytes. Labels of objects that were not touched stay; what was covered
loses its covered pixels; surroundings that were painted anew say nothing any more (segmentation = ignore).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np

from scenes.sample import Sample
from synth.diffusion.base import STRENGTH, Diffusion, DiffusionParams
from synth.diffusion.templates import OCCLUDERS, PAINTS, PLACES, object_prompt, occluder_prompt, texture_prompt
from synth.occlusion.object import VISIBLE
from synth.random import Rng
from synth.regions import Mask, Region, class_names, ignore_value, pick, regions
from synth.relabel import covered, note
from synth.shift import Change, SeverityTable

REPLACED = SeverityTable(
    "share of the objects replaced", "%", (20, 40, 60, 80, 100), "full range, in equal steps; at least one object"
)
BESIDE = 0.5  # how far an occluder goes beyond the object, in widths of what it hides
TALLER = 0.15  # and above and below it, in heights


@dataclass(frozen=True)
class Parts(Diffusion):
    """Base of the edits of objects.

    max_targets: at most so many objects, drawn at random; min_side_px: smaller ones are left alone
    rim_px:      over which an edit fades out around its mask
    """

    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = STRENGTH

    max_targets: int = 3
    min_side_px: int = 24
    rim_px: int = 3

    def found(self, sample: Sample, rng: Rng) -> list[Region]:
        """Return objects large enough, in random order."""
        large = [r for r in regions(sample) if min(r.width, r.height) >= self.min_side_px and r.row >= 0]
        return [large[i] for i in rng.permutation(len(large))]

    def edited(self, sample: Sample, params: DiffusionParams, words: str) -> Sample:
        """Repaint the targets inside their outlines, and note that they were edited."""
        image, reasons = sample.image, {}
        for place, region in enumerate(pick(sample, params.targets)):
            mask = region.full((sample.height, sample.width))
            image = self.painted(sample, image, params, place, mask=mask, rim_px=self.rim_px)
            reasons[region.key] = words
        return note(replace(sample, image=image), "edited", reasons) if reasons else sample


def class_of(sample: Sample, region: Region) -> str:
    """Return the class of an object as a word; "thing" where the data set has no names."""
    names = class_names(sample)
    label = int(sample.annotations.labels[region.row])
    return names[label] if 0 <= label < len(names) else "thing"


@dataclass(frozen=True)
class PaintedObjects(Parts):
    """Objects keep their outline and get another coat; strength by severity."""

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DiffusionParams:
        chosen = self.found(sample, rng)[: self.max_targets]
        paints = [rng.choice(PAINTS) for _ in range(self.max_targets)]
        prompts = [self.prompt or texture_prompt(class_of(sample, r), p) for r, p in zip(chosen, paints, strict=False)]
        targets = tuple(region.key for region in chosen)
        return self.params(prompts, rng, targets=targets, strength=self.table.at(severity) / 100)

    def apply(self, sample: Sample, params: DiffusionParams) -> Sample:
        return self.edited(sample, params, "repainted by a diffusion model")


@dataclass(frozen=True)
class ReplacedObjects(Parts):
    """Objects are replaced by others of their class, inside their outline."""

    table: ClassVar[SeverityTable] = REPLACED

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DiffusionParams:
        found = self.found(sample, rng)[: self.max_targets]
        count = max(1, round(len(found) * self.table.at(severity) / 100)) if found else 0
        prompts = [self.prompt or object_prompt(class_of(sample, region)) for region in found[:count]]
        return self.params(prompts, rng, targets=tuple(region.key for region in found[:count]))

    def apply(self, sample: Sample, params: DiffusionParams) -> Sample:
        return self.edited(sample, params, "replaced by another of its class by a diffusion model")


@dataclass(frozen=True)
class InFront(Parts):
    """Something is painted in front of objects until a fraction of each is left visible; it has no label."""

    table: ClassVar[SeverityTable] = VISIBLE

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DiffusionParams:
        chosen = self.found(sample, rng)[: self.max_targets]
        things = [rng.choice(OCCLUDERS) for _ in range(self.max_targets)]
        prompts = [self.prompt or occluder_prompt(thing) for _, thing in zip(chosen, things, strict=False)]
        targets = tuple(region.key for region in chosen)
        return self.params(prompts, rng, targets=targets, visible_fraction=self.table.at(severity))

    def apply(self, sample: Sample, params: DiffusionParams) -> Sample:
        image, whole = sample.image, np.zeros(sample.image.shape[:2], np.bool_)
        reasons = {}
        for place, region in enumerate(pick(sample, params.targets)):
            cover = cover_of(
                region, (sample.height, sample.width), params.visible_fraction, left=params.seeds[place] % 2 == 0
            )
            image = self.painted(sample, image, params, place, mask=cover, rim_px=self.rim_px)
            whole |= cover
            reasons[region.key] = "a diffusion model painted something before it"
        if not reasons:
            return sample
        return note(covered(sample, image, whole), "hidden_by", reasons)


def cover_of(region: Region, shape: tuple[int, int], visible: float, *, left: bool) -> Mask:
    """Return (H, W) of what covers an object from one side until a fraction of its pixels is left."""
    x1, y1, x2, y2 = region.window
    counts = np.cumsum(region.mask.sum(axis=0)[:: 1 if left else -1])
    columns = int(np.searchsorted(counts, (1 - visible) * counts[-1])) + 1
    columns = min(columns, region.width)
    beyond, above = round(BESIDE * columns) + 2, round(TALLER * region.height)
    low, high = (x1 - beyond, x1 + columns) if left else (x2 - columns, x2 + beyond)
    cover = np.zeros(shape, np.bool_)
    cover[max(0, y1 - above) : min(shape[0], y2 + above), max(0, low) : max(0, min(shape[1], high))] = True
    return cover


@dataclass(frozen=True)
class Background(Parts):
    """Everything but the objects is painted anew as another place; strength by severity.

    place: one of the templates, "any" draws one
    """

    place: str = "any"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.place not in ("any", *PLACES):
            raise ValueError(f"place: expected any, {', '.join(PLACES)}, got {self.place!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DiffusionParams:
        drawn = rng.choice(tuple(PLACES))
        words = self.prompt or PLACES[drawn if self.place == "any" else self.place].prompt
        return self.params([words], rng, strength=self.table.at(severity) / 100)

    def apply(self, sample: Sample, params: DiffusionParams) -> Sample:
        objects = np.zeros(sample.image.shape[:2], np.bool_)
        for region in regions(sample):
            objects[region.slices] |= region.mask
        side = 2 * self.rim_px + 1
        mask = cv2.dilate(objects.astype(np.uint8), np.ones((side, side), np.uint8)) == 0
        if not mask.any():
            return sample
        image = self.painted(sample, sample.image, params, 0, mask=mask, rim_px=self.rim_px)
        notes = sample.annotations
        if notes.segmentation is not None:
            segmentation = notes.segmentation.copy()
            segmentation[mask] = ignore_value(notes)
            notes = replace(notes, segmentation=segmentation)
        return replace(sample, image=image, annotations=notes)
