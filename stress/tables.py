"""The Parquet tables of a finished run, put together cell by cell from the parts, so memory stays that of one cell."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scenes.errors import InputError
from stress.folder import RunFolder, replacing
from stress.metrics import Scorer
from stress.metrics.scored import Payload
from stress.parts import OBJECT, read_part
from stress.plan import Cell

ROWS = pa.schema(
    [
        ("sample_id", pa.string()),
        ("group", pa.string()),
        ("shift", pa.string()),
        ("severity", pa.float32()),
        ("quantity", pa.string()),
        ("class_name", pa.string()),
        ("value", pa.float64()),
    ]
)
SAMPLES = pa.schema(
    [
        ("sample_id", pa.string()),
        ("group", pa.string()),
        ("shift", pa.string()),
        ("severity", pa.float32()),
        ("params", pa.string()),
        ("completed", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)
OBJECTS = pa.schema([*list(SAMPLES)[:4], *list(OBJECT), ("params", pa.string())])


def read_cell(
    folder: RunFolder,
    cell: Cell,
    shards: Iterable[int],
    excluded: frozenset[int],
    *,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Return the rows of one cell in the order of the samples, without the excluded ones."""
    wanted = None if columns is None else ["index", *columns]
    tables = []
    for shard in shards:
        path = folder.part(cell, shard)
        try:
            tables.append(read_part(path, columns=wanted))
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path} cannot be read: {error}; give the same command to make it again") from error
    table = pa.concat_tables(tables)
    if not excluded:
        return table
    index = table.column("index").to_numpy()
    return table.filter(pa.array(~np.isin(index, list(excluded))))


def severity_of(stored: float) -> float:
    """Return a severity as the plan has it; the tables keep 32 bits, and 1.2 comes back as 1.2000000476837158.

    >>> severity_of(float(np.float32(1.2)))
    1.2
    """
    return float(f"{stored:.6g}")  # as cells are labelled


def payload(table: pa.Table, scorer: Scorer, groups: NDArray[np.int64]) -> Payload:
    """Return what a scorer computes the figures of a cell from; groups (n samples,) index of each sample's group."""
    columns = {name: table.column(name).combine_chunks() for name in scorer.columns}
    used = groups[table.column("index").to_numpy()]
    return Payload(columns=columns, group=used, n_groups=int(groups.max()) + 1)


class TableWriter:
    """Writes rows, objects and samples of one cell after the other; the files appear when all are written."""

    def __init__(self, paths: Mapping[str, Path], group_names: Sequence[str]) -> None:
        self._group_names = pa.array(group_names, pa.string())  # of each sample
        self._writers = {
            name: pq.ParquetWriter(paths[name], schema, compression="zstd")
            for name, schema in (("rows", ROWS), ("objects", OBJECTS), ("samples", SAMPLES))
        }

    def add(self, cell: Cell, table: pa.Table) -> None:
        """Add the rows of one cell."""
        n = table.num_rows
        group = self._group_names.take(table.column("index").combine_chunks())
        frame = pa.table(
            {
                "sample_id": table.column("sample_id"),
                "group": group,
                "shift": pa.array([cell.shift] * n, pa.string()),
                "severity": pa.array([cell.severity] * n, pa.float32()),
                "params": table.column("params"),
                "completed": table.column("completed"),
                "width": table.column("width"),
                "height": table.column("height"),
            }
        )
        self._writers["samples"].write_table(frame.cast(SAMPLES))
        quantities = _unfolded(table, "quantities", frame)
        empty = pa.nulls(quantities.num_rows, pa.string())
        self._writers["rows"].write_table(quantities.append_column("class_name", empty).select(ROWS.names).cast(ROWS))
        objects = _unfolded(table, "objects", frame)
        self._writers["objects"].write_table(objects.select(OBJECTS.names).cast(OBJECTS))

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


@contextmanager
def table_writer(folder: Path, group_names: Sequence[str]) -> Iterator[TableWriter]:
    """Give a writer of rows.parquet, objects.parquet and samples.parquet."""
    with (
        replacing(folder / "rows.parquet") as rows,
        replacing(folder / "objects.parquet") as objects,
        replacing(folder / "samples.parquet") as samples,
    ):
        writer = TableWriter({"rows": rows, "objects": objects, "samples": samples}, group_names)
        try:
            yield writer
        finally:
            writer.close()


def _unfolded(table: pa.Table, name: str, frame: pa.Table) -> pa.Table:
    """Return one row for each entry of a list column of structs, with the sample's own columns beside it."""
    lists = table.column(name).combine_chunks()
    parents = pc.list_parent_indices(lists)
    structs = lists.flatten()
    columns = {column: frame.column(column).take(parents) for column in frame.column_names}
    names = [field.name for field in structs.type]
    columns |= dict(zip(names, structs.flatten(), strict=True))
    return pa.table(columns)


def audit_counts(table: pa.Table) -> dict[str, int]:
    """Count the verdicts on the true objects of a cell."""
    structs = table.column("objects").combine_chunks().flatten()
    found = {row["values"]: row["counts"] for row in pc.value_counts(structs.field("verdict")).to_pylist()}
    counts = {kind: int(found.get(kind, 0)) for kind in ("kept", "modified", "occluded", "invalid")}
    return {**counts, "hard_to_see": int(pc.sum(structs.field("hard_to_see")).as_py() or 0)}


def completions(table: pa.Table) -> dict[str, set[str]]:
    """Return what had to be completed in the samples of a cell, and from where."""
    found: dict[str, set[str]] = {}
    for text in pc.unique(table.column("completed").combine_chunks()).to_pylist():
        values: dict[str, Any] = json.loads(text)
        for need, source in values.items():
            found.setdefault(need, set()).add(str(source))
    return found
