"""A data set as plain values that travel to worker processes, each of which opens it anew."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scenes.datasets import limited, open_dataset
from scenes.errors import InputError
from scenes.plugins import PRIVATE
from scenes.sample import Dataset


@dataclass(frozen=True)
class DataSource:
    """A data set by path or name, or an instance (picklable where worker processes are to have it)."""

    spec: str | None = None
    instance: Dataset | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # format, split

    def open(self, limit: int | None, *, strict: bool = False) -> Dataset:
        """Return the data set, or `limit` samples evenly spaced over it."""
        if self.spec is not None:
            dataset = open_dataset(self.spec, strict=strict, **self.options)
        else:
            assert self.instance is not None  # one of the two is set
            dataset = self.instance
        if len(dataset) == 0:
            raise InputError(f"data set {self.spec or dataset.name!r} is empty: nothing to work with")
        return dataset if limit is None else limited(dataset, limit)

    def travels(self) -> bool:
        """Tell whether worker processes can have it: they cannot import what a script or notebook defines."""
        if self.spec is not None:
            return True
        if type(self.instance).__module__ == "__main__":
            return False
        try:
            return PRIVATE.encode() not in pickle.dumps(self.instance)  # classes of a file that was named
        except Exception:  # pickle raises whatever the object's parts raise; any of it means no
            return False


def data_source(dataset: str | Path | Dataset, options: Mapping[str, Any]) -> DataSource:
    """Return the source of a path, a name or an opened data set; options (format, split) are for the former."""
    given = {key: value for key, value in options.items() if value is not None}
    if isinstance(dataset, str | Path):
        return DataSource(spec=str(dataset), options=given)
    if given:
        raise InputError(f"data set {dataset.name!r}: an opened data set takes no {' or '.join(given)}")
    return DataSource(instance=dataset)
