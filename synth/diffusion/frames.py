"""Whole-frame edits: every pixel may change, and labels stay. Whether they still hold is for `synth.trust` to judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from scenes.sample import Sample
from synth.diffusion.base import STRENGTH, Diffusion, DiffusionParams
from synth.diffusion.pipelines import Task
from synth.diffusion.templates import Template
from synth.random import Rng
from synth.shift import Change, SeverityTable


@dataclass(frozen=True)
class WholeFrame(Diffusion):
    """Base of the whole-frame edits; a shift adds its name and templates.

    condition: one of the templates, "any" draws one
    method:    image (partly noised, then denoised) or instruct (an instruction to an InstructPix2Pix pipeline)
    """

    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = STRENGTH
    templates: ClassVar[Mapping[str, Template]] = {}

    condition: str = "any"
    method: Literal["image", "instruct"] = "image"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.condition not in ("any", *self.templates):
            raise ValueError(f"condition: expected any, {', '.join(self.templates)}, got {self.condition!r}")
        if self.method not in ("image", "instruct"):
            raise ValueError(f"method: expected image or instruct, got {self.method!r}")

    @property
    def task(self) -> Task:
        return self.method

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DiffusionParams:
        drawn = rng.choice(tuple(self.templates))
        template = self.templates[drawn if self.condition == "any" else self.condition]
        words = self.prompt or (template.instruction if self.method == "instruct" else template.prompt)
        return self.params([words], rng, strength=self.table.at(severity) / 100)

    def apply(self, sample: Sample, params: DiffusionParams) -> Sample:
        if not sample.image.size:
            return sample
        return replace(sample, image=self.painted(sample, sample.image, params, 0, mask=None))
