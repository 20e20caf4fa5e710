"""A finished run, read back from its folder: what the report, the gate and the comparison build on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scenes.errors import InputError
from stress.folder import RunFolder, read_json

SCHEMA = "roadproof.results/1"
TABLES = ("rows", "objects", "samples", "cells")


@dataclass(frozen=True)
class Results:
    """One finished run: `summary` is results.json, the tables are read when asked for."""

    path: Path
    summary: Mapping[str, Any]

    @property
    def headline(self) -> Mapping[str, Any]:
        """Headline metric with P (clean), mPC and rPC."""
        return self.summary["headline"]

    @property
    def task(self) -> str:
        return str(self.summary["model"]["task"])

    @cached_property
    def rows(self) -> pa.Table:
        return self.table("rows")

    @cached_property
    def objects(self) -> pa.Table:
        return self.table("objects")

    @cached_property
    def cells(self) -> pa.Table:
        return self.table("cells")

    def table(self, name: str, *, columns: Sequence[str] | None = None) -> pa.Table:
        """Return one of the Parquet tables: rows, objects, samples, cells. columns: those of these that it has"""
        if name not in TABLES:
            raise InputError(f"run {str(self.path)!r}: no table {name!r}; it has {', '.join(TABLES)}")
        path = self.path / f"{name}.parquet"
        try:
            wanted = None if columns is None else [c for c in pq.read_schema(path).names if c in columns]
            return pq.read_table(path, columns=wanted)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error

    def figure(
        self,
        metric: str,
        *,
        shift: str = "clean",
        severity: float = 0,
        class_name: str | None = None,
        size: str | None = None,
    ) -> Mapping[str, Any]:
        """Return one figure of a cell; raises where there is none."""
        wanted = (shift, severity, metric, class_name, size)
        for found in self.summary["figures"]:
            if tuple(found[key] for key in ("shift", "severity", "metric", "class_name", "size")) == wanted:
                return found
        raise InputError(f"run {str(self.path)!r}: no figure {metric!r} of {shift}@{severity:g} ({class_name}, {size})")


def read(run_dir: str | Path) -> Results:
    """Read a finished run; half-finished ones and other schema versions are clear errors."""
    folder = RunFolder(Path(run_dir))
    if not folder.path.is_dir():
        raise InputError(f"run {str(run_dir)!r}: no such folder")
    if not folder.results.exists():
        if folder.plan.exists():
            raise InputError(
                f"run {str(run_dir)!r} is not finished: give its `roadproof stress` command again to resume"
            )
        raise InputError(
            f"run {str(run_dir)!r}: holds no results.json; expected a folder that `roadproof stress` wrote"
        )
    summary = read_json(folder.results)
    schema = summary.get("schema") if isinstance(summary, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"{folder.results}: expected schema {SCHEMA!r}, got {schema!r}: read it with the version that wrote it"
        )
    return Results(path=folder.path, summary=summary)
