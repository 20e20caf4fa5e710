"""What a run is, as plain values that go to every worker: data set, model, plan, folder."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scenes.datasets import limited, open_dataset
from scenes.errors import InputError
from scenes.sample import Dataset
from stress.adapters.checked import CheckedModel
from stress.plan import Plan


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

    def digest(self) -> str | None:
        """Return the hash of the model's file where it is one, so that other weights are another run."""
        path = Path(self.spec) if self.spec is not None else None
        if path is None or not path.is_file():
            return None
        return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class DataSource:
    """A data set by path or name, or an instance (picklable where worker processes are to have it)."""

    spec: str | None = None
    instance: Dataset | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # format, split

    def open(self, limit: int | None) -> Dataset:
        """Return the data set, or `limit` samples evenly spaced over it."""
        if self.spec is not None:
            dataset = open_dataset(self.spec, **self.options)
        else:
            assert self.instance is not None  # one of the two is set
            dataset = self.instance
        if len(dataset) == 0:
            raise InputError(f"data set {self.spec or dataset.name!r} is empty: nothing to stress a model with")
        return dataset if limit is None else limited(dataset, limit)

    def travels(self) -> bool:
        """Tell whether worker processes can have it: they cannot import what a script or notebook defines."""
        if self.spec is not None:
            return True
        if type(self.instance).__module__ == "__main__":
            return False
        try:
            pickle.dumps(self.instance)
        except Exception:  # pickle raises whatever the object's parts raise; any of it means no
            return False
        return True


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
