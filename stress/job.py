"""What a run is, as plain values that go to every worker: data set, model, plan, folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scenes.datasets.source import DataSource, data_source
from scenes.errors import InputError
from scenes.sample import Dataset
from stress.adapters.checked import CheckedModel
from stress.class_map import read_mapping
from stress.environment import own_version
from stress.identity import class_hash, model_files, named_files, shift_files
from stress.plan import Plan
from synth.depth import depth_source

MODEL_KEYS = ("task", "classes", "model_yaml")  # options that change what a model says


@dataclass(frozen=True)
class ModelSource:
    """A model by name (`zoo:detector`, `file.py:attr`, a path), or an instance, which stays in this process."""

    spec: str | None = None
    instance: Any = None
    device: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)  # allow_download, trust, ...

    def load(self) -> CheckedModel:
        """Return the model behind the gate that checks its answers."""
        from stress.adapters import load_model

        return load_model(self.spec if self.spec is not None else self.instance, device=self.device, **self.options)

    @property
    def label(self) -> str:
        return (
            self.spec if self.spec is not None else f"{type(self.instance).__module__}:{type(self.instance).__name__}"
        )

    def files(self) -> dict[str, str | None]:
        """Return the hashes of the files behind the model, so that an edited one is another run."""
        if self.spec is None:
            return {type(self.instance).__name__: class_hash(self.instance)}
        return {**model_files(self.spec, self.options.get("model_yaml"))}


@dataclass(frozen=True)
class Job:
    """One run. `sample_ids` in order; `group` of each; `key` names the run in its parts."""

    data: DataSource
    model: ModelSource
    plan: Plan
    out: Path
    sample_ids: tuple[str, ...]
    key: str
    depth: str | None = None
    classes: Mapping[str, str | None] | str | None = None
    strict: bool = False

    @property
    def n_shards(self) -> int:
        return -(-len(self.sample_ids) // self.plan.batch_size)

    def shard(self, index: int) -> range:
        """Return the indices of the samples of a shard."""
        start = index * self.plan.batch_size
        return range(start, min(start + self.plan.batch_size, len(self.sample_ids)))


def job_of(
    dataset: str | Path | Dataset,
    model: Any,
    plan: Plan | Mapping[str, Any] | str | Path | None,
    out: Path,
    *,
    device: str = "auto",
    strict: bool = False,
    depth: str | None = None,
    classes: Mapping[str, str | None] | str | None = None,
    format: str | None = None,
    split: str | None = None,
    model_options: Mapping[str, Any] | None = None,
) -> tuple[Job, Dataset]:
    """Return a run as plain values, and its data set opened; arguments as in `run`. Nothing is written."""
    if depth is not None:
        allowed = bool((model_options or {}).get("allow_download"))
        depth_source(depth, allow_download=allowed)  # one that cannot be had is told before anything is opened
    source = data_source(dataset, {"format": format, "split": split})
    text = isinstance(model, str | Path)
    options = dict(model_options or {})
    model_source = ModelSource(str(model) if text else None, None if text else model, device, options)
    opened = source.open(_plan(plan).limit, strict=strict)
    return _job(source, model_source, _plan(plan), out, opened, depth=depth, classes=classes, strict=strict), opened


def _plan(plan: Plan | Mapping[str, Any] | str | Path | None) -> Plan:
    if isinstance(plan, Plan):
        return plan
    if plan is None:
        return Plan()
    return Plan.make(plan) if isinstance(plan, Mapping) else Plan.from_yaml(Path(plan))


def _job(
    data: DataSource,
    model: ModelSource,
    plan: Plan,
    out: Path,
    opened: Dataset,
    *,
    depth: str | None,
    classes: Mapping[str, str | None] | str | None,
    strict: bool,
) -> Job:
    ids = tuple(opened.sample_ids)
    twice = len(ids) - len(set(ids))
    if twice:
        raise InputError(f"data set {opened.name!r}: {twice} sample names appear twice; every sample needs its own")
    return Job(data, model, plan, out, ids, key="", depth=depth, classes=classes, strict=strict)


def identity_of(job: Job, dataset: Dataset) -> dict[str, Any]:
    """Return what makes two runs the same one, as plain values for plan.json."""
    ids = hashlib.sha256("\n".join(job.sample_ids).encode()).hexdigest()
    instance = job.model.instance
    classes = read_mapping(job.classes) if isinstance(job.classes, str) else job.classes
    asked = {key: str(job.model.options[key]) for key in MODEL_KEYS if job.model.options.get(key) is not None}
    return json.loads(
        json.dumps(
            {
                "plan": job.plan.plain(),
                "dataset": {
                    "name": dataset.name,
                    "path": job.data.spec,
                    "options": dict(job.data.options),
                    "n_samples": len(job.sample_ids),
                    "sample_ids_sha256": ids,
                    "class_names": list(dataset.class_names),
                },
                "model": {
                    "source": job.model.label,
                    "name": getattr(instance, "name", None),
                    "files": job.model.files(),
                    "options": asked,
                },
                "depth": job.depth,
                "classes": classes,
                "files": {
                    "dataset": named_files(job.data.spec) if job.data.spec is not None else {},
                    "shifts": shift_files(name for entry in job.plan.shifts for name in entry.parts()),
                    "depth": named_files(job.depth) if job.depth is not None else {},
                },
                "roadproof": own_version(),
            }
        )
    )
