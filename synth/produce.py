"""The pure task of a synthesis: frames of a shard to finished pictures with their labels. One worker a process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scenes.datasets import limited
from scenes.datasets.source import DataSource
from scenes.errors import InputError
from scenes.fingerprint import pixel_hash
from scenes.images import encode_jpeg, encode_png
from scenes.memory import give_back
from scenes.sample import Dataset, Image, Sample
from synth import manifest
from synth.audit import Verdict
from synth.depth import DepthSource
from synth.filters import looks_of, quality
from synth.labels import fitting, told_truly
from synth.pipeline import Shifted, params_as_mapping, replay, shifted
from synth.random import Rng
from synth.recipe import Choice, Recipe, choose, matches, mismatch
from synth.staging import Made, write_part

CLEAN = "clean"


@dataclass(frozen=True)
class Job:
    """One synthesis as plain values that go to every worker.

    sample_ids: frames in order; names: {(frame, variant): id in the new set}, variant 0 = the frame as it is
    format:     of the new set; work: folder of parts; shard_size: frames of one task
    rows:       of a manifest, by frame, where pictures are made again; None for new ones
    planned:    by frame, the variants that are wanted, each with the number of its choice in the recipe; None draws
                every variant by the weights of the recipe
    """

    data: DataSource
    recipe: Recipe
    format: str
    work: Path
    sample_ids: tuple[str, ...]
    names: Mapping[tuple[str, int], str]
    shard_size: int
    limit: int | None = None
    strict: bool = False
    depth: str | None = None
    allow_download: bool = False
    source: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
    planned: Mapping[str, Mapping[int, int | None]] | None = None

    @property
    def n_shards(self) -> int:
        return -(-len(self.sample_ids) // self.shard_size)

    def shard(self, index: int) -> tuple[str, ...]:
        """Return the frames of a shard."""
        return self.sample_ids[index * self.shard_size : (index + 1) * self.shard_size]

    def variants(self, sample_id: str) -> list[int]:
        """Return the variants that are made of a frame; 0 is the frame as it is."""
        if self.rows is not None:
            return [int(row["variant"]) for row in self.rows[sample_id]]
        if self.planned is not None:
            return sorted(self.planned[sample_id])
        return [*([0] if self.recipe.clean else []), *range(1, self.recipe.variants + 1)]

    def part(self, index: int) -> Path:
        """Return the folder of a shard; that it is there says that the work is done."""
        return self.work / "parts" / f"{index:06d}"


class Worker:
    """Does the tasks of one synthesis; opens the data set when first asked."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @cached_property
    def dataset(self) -> Dataset:
        opened = self.job.data.open(None, strict=self.job.strict)
        return opened if self.job.limit is None else limited(opened, self.job.limit)

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        return self.job.recipe.choices()

    @cached_property
    def depth(self) -> DepthSource | None:
        if self.job.depth is None:
            return None
        from synth.depth import depth_source

        return depth_source(self.job.depth, allow_download=self.job.allow_download)

    def close(self) -> None:
        """Nothing is held that must be let go."""

    def run(self, index: int) -> int:
        """Make the pictures of a shard; return its index."""
        made: list[Made] = []
        for sample_id in self.job.shard(index):
            made += self._frame(sample_id)
        write_part(self.job.part(index), made)
        give_back()
        return index

    def _frame(self, sample_id: str) -> Iterator[Made]:
        """Yield what became of each variant of one frame."""
        variants = self.job.variants(sample_id)
        try:
            sample = self.dataset[sample_id]
        except (InputError, OSError, ValueError) as error:
            if self.job.strict:
                raise InputError(f"sample {sample_id!r} cannot be read: {_one_line(error)} (strict)") from error
            yield from (self._none(sample_id, v, "unreadable", _one_line(error)) for v in variants)
            return
        source = self._source(sample)
        for variant in variants:
            yield self._again(sample, source, variant) if self.job.rows else self._variant(sample, source, variant)

    def _source(self, sample: Sample) -> dict[str, Any]:
        path = None
        inner = getattr(self.dataset, "dataset", self.dataset)
        if hasattr(inner, "image_path") and hasattr(inner, "root"):
            path = inner.image_path(sample.sample_id).relative_to(inner.root).as_posix()
        digest = pixel_hash(sample.image)
        return {**self.job.source, "sample_id": sample.sample_id, "path": path, "sha256": digest}

    def _none(self, sample_id: str, variant: int, reason: str, detail: str = "") -> Made:
        name = self.job.names[sample_id, variant]
        return Made(sample_id=name, variant=variant, left_out=reason, detail=detail)

    def _variant(self, sample: Sample, source: Mapping[str, Any], variant: int) -> Made:
        """Choose, draw, apply; leave out what the recipe's filters say."""
        recipe, sample_id, names = self.job.recipe, sample.sample_id, self.dataset.class_names
        if why := mismatch(sample, names, recipe.classes, recipe.conditions):
            return self._none(sample_id, variant, "no entry", why)
        if variant == 0:
            return self._made(sample, source, variant, None, None)
        offered = self._offered(sample_id, variant)
        fitted = [c for c in offered if matches(sample, names, c.entry.classes, c.entry.conditions)]
        able = [c for c in fitted if not c.lacks(sample)]
        if not able:
            first = (fitted or offered)[0]
            meant = first.entry
            why = f"{first.shift.name} {first.lacks(sample)}" if fitted else ""
            why = why or mismatch(sample, names, meant.classes, meant.conditions)
            return self._none(sample_id, variant, "failed" if fitted else "no entry", why)
        rng = Rng(recipe.seed, "recipe", sample_id, variant)
        choice = choose(able, rng)
        shift, severity = choice.drawn(rng)
        try:
            result = shifted(sample, shift, severity, seed=recipe.seed, variant=variant, depth=self.depth)
        except InputError as error:
            if self.job.strict:
                raise InputError(f"sample {sample_id!r}: {_one_line(error)} (strict)") from error
            return self._none(sample_id, variant, "failed", _one_line(error))
        except Exception as error:
            what = f"{type(error).__name__}: {_one_line(error)}"
            raise InputError(f"shift {shift.name}@{severity:g} failed on sample {sample_id!r}: {what}") from error
        bad = quality(sample, result.sample, result.verdicts, recipe.filters)
        if bad is not None:
            return self._none(sample_id, variant, bad[0], f"{choice.shift.name}@{severity:g}: {bad[1]}".rstrip(": "))
        drawn = manifest.shift_rows(shift, severity, params_as_mapping(result.params), choice.specs)
        row = {"entry": choice.shift.name, "severity": severity, "shifts": drawn}
        return self._made(sample, source, variant, result, row)

    def _offered(self, sample_id: str, variant: int) -> Sequence[Choice]:
        """Return what a variant may go through: what was planned for it, else anything in the recipe."""
        planned = None if self.job.planned is None else self.job.planned[sample_id][variant]
        return self.choices if planned is None else self.choices[planned : planned + 1]

    def _again(self, sample: Sample, source: Mapping[str, Any], variant: int) -> Made:
        """Make the picture of a manifest's row again."""
        rows = (self.job.rows or {})[sample.sample_id]
        row = next(row for row in rows if row["variant"] == variant)
        if row["source"]["sha256"] != source["sha256"]:
            raise InputError(
                f"sample {sample.sample_id!r}: its pixels are not those that the manifest was made from "
                f"(sha256 {source['sha256'][:12]}..., wanted {row['source']['sha256'][:12]}...): name that data set"
            )
        recorded = manifest.shift_of(row)
        if recorded is None:
            return self._made(sample, source, variant, None, row)
        shift, params = recorded
        return self._made(sample, source, variant, replay(sample, shift, params, depth=self.depth), row)

    def _made(
        self,
        sample: Sample,
        source: Mapping[str, Any],
        variant: int,
        result: Shifted | None,
        drawn: Mapping[str, Any] | None,
    ) -> Made:
        verdicts: tuple[Verdict, ...] = () if result is None else result.verdicts
        final = sample if result is None else told_truly(sample, result)
        final, dropped = fitting(final, self.job.format)
        name = self.job.names[sample.sample_id, variant]
        final = replace(final, sample_id=name, scene=None, previous=None)
        data, suffix, image = encoded(final.image, self.job.recipe.image_format)
        row = {
            "image": None,
            "sample_id": name,
            "format": self.job.format,
            "source": dict(source),
            "group": self.dataset.groups.get(sample.sample_id, sample.sample_id),
            "variant": variant,
            "seed": self.job.recipe.seed if drawn is None or "seed" not in drawn else drawn["seed"],
            "entry": CLEAN if drawn is None else drawn["entry"],
            "severity": 0.0 if drawn is None else drawn["severity"],
            "shifts": [] if drawn is None else drawn["shifts"],
            "completed": {} if result is None else dict(result.completed),
            "license": self._license(sample) if drawn is None or "license" not in drawn else drawn["license"],
            "left_out": dropped,
            "verdicts": manifest.verdict_rows(verdicts),
            "sha256": pixel_hash(image),
            "labels_sha256": manifest.labels_hash(final),
            "versions": dict(manifest.versions()),
        }
        return Made(
            sample_id=name, variant=variant, row=row, sample=final, picture=(data, suffix), looks=looks_of(image)
        )

    def _license(self, sample: Sample) -> Any:
        """Return the licence that the labels name for a picture, else the recipe's."""
        known = sample.meta.get("coco")
        found = known.get("license") if isinstance(known, Mapping) else sample.meta.get("license")
        return self.job.recipe.license if found is None else found


def encoded(image: Image, image_format: str) -> tuple[bytes, str, Image]:
    """Return a picture encoded, its suffix, and the pixels that come out of it again."""
    if image_format == "png":
        return encode_png(image), ".png", image
    import io

    from PIL import Image as Pillow

    data = encode_jpeg(image)
    return data, ".jpg", np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB"))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
