"""Every failure of a run, typed, with what it lost against the clean frame and what it is a failure on.

Kinds as in `stress.metrics.outcomes`: missed, confused, misplaced for true objects, invented and duplicate for finds;
for segmentation a confused region is a class of which a frame newly loses pixels, to the class that takes most of them.
`loss` (0 to 1) is how much of the model's certainty went the wrong way since the clean frame, as in `stress.failures`;
0 where the clean frame fails already. `newly` tells the failures that the shift caused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stress.failures import Failure
from stress.metrics.outcomes import iou_table
from stress.plan import CLEAN

FAILURES = pa.schema(
    [
        ("sample_id", pa.string()),
        ("group", pa.string()),
        ("shift", pa.string()),
        ("family", pa.string()),
        ("severity", pa.float32()),
        ("failure", pa.string()),
        ("class_name", pa.string()),
        ("predicted_class", pa.string()),
        ("instance_id", pa.int32()),
        *((name, pa.float32()) for name in ("x1", "y1", "x2", "y2")),
        ("size", pa.string()),
        ("position", pa.string()),
        ("distance_m", pa.float32()),
        ("visible_fraction", pa.float32()),
        ("verdict", pa.string()),
        ("score_clean", pa.float32()),
        ("score_shifted", pa.float32()),
        ("loss", pa.float32()),
        ("newly", pa.bool_()),
    ]
)
KINDS = ("missed", "confused", "misplaced", "invented", "duplicate")
SAME_PLACE = 0.5  # IoU from which a find on the clean frame is the same one
Columns = Mapping[str, NDArray[Any]]


def failures_of(table: Columns, attributes: Columns) -> pa.Table:
    """Return the failures among the rows of a run's objects.

    attributes: size and position of each row of the table
    """
    rows = np.flatnonzero(np.isin(table["outcome"], KINDS))
    before = _before(table)
    known = before >= 0
    was = np.where(known, np.nan_to_num(table["score"][before]), 0.0)
    was_found = known & (table["outcome"][before] == "found")
    score, overlap = np.nan_to_num(table["score"]), np.nan_to_num(table["iou"])
    kind = table["outcome"]
    loss = np.select(
        [kind == "missed", kind == "confused", kind == "misplaced"],
        [was - score, np.where(table["instance_id"] == 0, was - score, 0.5 * (was + score)), was * (1.0 - overlap)],
        0.0,
    )
    loss = np.where(was_found, loss, 0.0)
    newly = was_found & (table["shift"] != CLEAN)
    invented = np.flatnonzero(np.isin(kind, ("invented", "duplicate")) & (table["shift"] != CLEAN))
    same = _same_finds(table, invented)
    was[invented], newly[invented] = same, same < 0.5
    loss[invented] = np.maximum(score[invented] - same, 0.0)
    columns = {name: table[name][rows] for name in FAILURES.names if name in table}
    columns |= {name: attributes[name][rows] for name in ("size", "position")}
    columns["family"] = families(columns["shift"])
    columns["failure"] = kind[rows]
    columns["score_clean"] = np.where(table["shift"][rows] == CLEAN, score[rows], was[rows])
    columns["score_shifted"] = np.where(table["shift"][rows] == CLEAN, np.nan, score[rows])
    columns["loss"], columns["newly"] = np.clip(loss, 0.0, 1.0)[rows], newly[rows]
    return _table(columns)


def failures_of_regions(found: Sequence[Failure], group_of: Mapping[str, str]) -> pa.Table:
    """Return the confused regions of a segmentation run; the score is the IoU of the class in the frame."""
    columns: dict[str, Any] = {
        "sample_id": [f.sample_id for f in found],
        "group": [group_of[f.sample_id] for f in found],
        "shift": [f.cell.shift for f in found],
        "family": [f.cell.shift.split("/")[0] for f in found],
        "severity": [f.cell.severity for f in found],
        "failure": [f.failure for f in found],
        "class_name": [f.class_name for f in found],
        "predicted_class": [f.predicted_class for f in found],
        "instance_id": [0] * len(found),
        "score_clean": [f.score_clean for f in found],
        "score_shifted": [f.score_shifted for f in found],
        "loss": [f.loss for f in found],
        "newly": [True] * len(found),
    }
    return _table({name: np.asarray(values) for name, values in columns.items()})


def families(shifts: NDArray[Any]) -> NDArray[Any]:
    """Return the family of each shift."""
    known, index = np.unique(shifts, return_inverse=True)
    names = np.array([str(name).split("/")[0] for name in known], dtype=str)
    return names[index] if len(names) else np.zeros(0, dtype="<U1")


def _table(columns: Mapping[str, NDArray[Any]]) -> pa.Table:
    n = len(columns["loss"])
    arrays = []
    for field in FAILURES:
        if field.name not in columns:
            arrays.append(pa.nulls(n, field.type))
        elif pa.types.is_floating(field.type):
            values = columns[field.name].astype(np.float32)
            arrays.append(pa.array(values, field.type, mask=np.isnan(values)))
        else:
            arrays.append(pa.array(columns[field.name].tolist(), field.type))
    return pa.Table.from_arrays(arrays, schema=FAILURES)


def _before(table: Columns) -> NDArray[np.int64]:
    """Return (rows,) the row of the same object on the clean frame, -1 where it is not there or no object."""
    real = ~np.isin(table["outcome"], ("invented", "duplicate"))
    thing = things(table)
    clean = np.flatnonzero(real & (table["shift"] == CLEAN))
    row_of = np.full(thing.max(initial=-1) + 1, -1, np.int64)
    row_of[thing[clean]] = clean
    return np.where(real & (table["shift"] != CLEAN), row_of[thing], -1)


def things(table: Columns) -> NDArray[np.int64]:
    """Return (rows,) a number for each object, 0 to as many as there are: the same in every cell."""
    _, sample = np.unique(table["sample_id"], return_inverse=True)
    _, instance = np.unique(table["instance_id"], return_inverse=True)
    _, thing = np.unique(sample.astype(np.int64) * (instance.max(initial=0) + 1) + instance, return_inverse=True)
    return thing.astype(np.int64)


def _same_finds(table: Columns, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the score that a find of no object has on the clean frame already: the best there of its class."""
    clean = np.flatnonzero(np.isin(table["outcome"], ("invented", "duplicate")) & (table["shift"] == CLEAN))
    there: dict[tuple[str, str], list[int]] = {}
    for row in clean.tolist():
        there.setdefault((str(table["sample_id"][row]), str(table["class_name"][row])), []).append(row)
    boxes = np.stack([table[name] for name in ("x1", "y1", "x2", "y2")], axis=1)
    found = np.zeros(len(rows))
    for i, row in enumerate(rows.tolist()):
        near = there.get((str(table["sample_id"][row]), str(table["class_name"][row])))
        if near:
            same = iou_table(boxes[[row]], boxes[near])[0] >= SAME_PLACE
            found[i] = float(table["score"][near][same].max(initial=0.0))
    return found
