"""Parts: one Parquet file a cell x shard, one row a sample. That a part is there says that its work is done.

Page checksums are written and verified, and each part names the run it belongs to, so that a damaged or foreign file
is done again and never counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stress.folder import replacing
from stress.metrics.scored import ObjectRow, Scored

OBJECT = pa.struct(
    [
        ("instance_id", pa.int32()),
        ("class_name", pa.string()),
        ("x1", pa.float32()),
        ("y1", pa.float32()),
        ("x2", pa.float32()),
        ("y2", pa.float32()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("visible_fraction", pa.float32()),
        ("hard_to_see", pa.bool_()),
        ("outcome", pa.string()),
        ("predicted_class", pa.string()),
        ("score", pa.float32()),
        ("iou", pa.float32()),
        ("distance_m", pa.float32()),
    ]
)
QUANTITY = pa.struct([("quantity", pa.string()), ("value", pa.float64())])
BASE = {
    "index": pa.int32(),
    "sample_id": pa.string(),
    "skipped": pa.string(),  # why the sample is left out, null where it is not
    "skipped_at": pa.string(),  # read | shift | score
    "params": pa.string(),  # JSON
    "completed": pa.string(),  # JSON
    "width": pa.int32(),  # of the picture, null where the sample is left out
    "height": pa.int32(),
    "quantities": pa.list_(QUANTITY),
    "objects": pa.list_(OBJECT),
}
_KEY = b"roadproof"
_FAST = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}  # half the time of the defaults


@dataclass
class PartRow:
    """One sample of one cell; `skipped` says why it has no score."""

    index: int
    sample_id: str
    params: Mapping[str, Any] = field(default_factory=dict)
    completed: Mapping[str, str] = field(default_factory=dict)
    scored: Scored | None = None
    width: int | None = None
    height: int | None = None
    skipped: str | None = None
    skipped_at: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)  # values of columns beside the scorer's

    def plain(self) -> dict[str, Any]:
        """Return the columns every task has."""
        scored = self.scored
        quantities = [] if scored is None else [{"quantity": k, "value": v} for k, v in scored.quantities.items()]
        return {
            "index": self.index,
            "sample_id": self.sample_id,
            "skipped": self.skipped,
            "skipped_at": self.skipped_at,
            "params": json.dumps(dict(self.params), separators=(",", ":")),
            "completed": json.dumps(dict(self.completed), separators=(",", ":")),
            "width": self.width,
            "height": self.height,
            "quantities": quantities,
            "objects": [] if scored is None else [_object(row) for row in scored.objects],
        }


def _object(row: ObjectRow) -> dict[str, Any]:
    x1, y1, x2, y2 = row.box
    return {**row.__dict__, "x1": x1, "y1": y1, "x2": x2, "y2": y2}  # arrow takes the fields that OBJECT names


def schema(columns: Mapping[str, pa.DataType]) -> pa.Schema:
    """Return the schema of parts of a scorer with these columns."""
    return pa.schema(list({**BASE, **columns}.items()))


def write_part(path: Path, rows: Sequence[PartRow], columns: Mapping[str, pa.DataType], *, key: str) -> None:
    """Write one part under a temporary name and rename it."""
    plain = [row.plain() for row in rows]
    arrays = [pa.array([row[name] for row in plain], kind) for name, kind in BASE.items()]
    for name, kind in columns.items():
        values = [None if row.scored is None else _value(row.scored, row.extra, name) for row in rows]
        arrays.append(pa.array(values, kind))
    write_table(path, pa.Table.from_arrays(arrays, schema=schema(columns)), key=key)


def _value(scored: Scored, extra: Mapping[str, Any], name: str) -> Any:
    return scored.payload.get(name, extra.get(name))


def write_table(path: Path, table: pa.Table, *, key: str = "") -> None:
    """Write a table with page checksums, whole or not at all."""
    table = table.replace_schema_metadata({_KEY: key.encode()})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True, store_schema=False, **_FAST)


def read_part(path: Path, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a part, or some columns of it, and verify its checksums."""
    return pq.ParquetFile(path, page_checksum_verification=True).read(columns=columns)


def is_whole(path: Path, *, key: str) -> bool:
    """Tell whether a part is there, undamaged, and of this run."""
    if not path.exists():
        return False
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        if (file.schema_arrow.metadata or {}).get(_KEY) != key.encode():
            return False
        file.read()
    except (OSError, pa.ArrowException):
        return False
    return True
