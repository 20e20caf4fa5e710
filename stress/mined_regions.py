"""What a segmentation run loses: each class of each frame as a region, from the confusion counts that the run keeps.

A region is right by the share of its pixels that are called by their class; it loses what that share falls by under a
shift. Classes with fewer than `LEAST_SHARE` of a frame's pixels are left out of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scenes.errors import InputError
from stress.failures import Failure, regions_of
from stress.folder import RunFolder, read_json
from stress.plan import CLEAN, Cell
from stress.results import Results
from stress.tables import read_cell, severity_of

LEAST_SHARE = 0.001
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Regions:
    """Regions of shifted frames row by row beside themselves on the clean frame, and the confused ones."""

    clean: Columns
    shifted: Columns
    confused: list[Failure]
    group_of: dict[str, str]


def read_regions(results: Results, shifts: Collection[str] | None = None) -> Regions:
    """Return the regions of a run. shifts: those that are looked at; all when not given."""
    samples = results.table("samples").select(["sample_id", "group", "shift", "severity"])
    group_of = dict(zip(samples.column("sample_id").to_pylist(), samples.column("group").to_pylist(), strict=True))
    pairs = zip(samples.column("shift").to_pylist(), samples.column("severity").to_pylist(), strict=True)
    cells = sorted(Cell(shift, severity_of(severity)) for shift, severity in set(pairs))
    names = list(results.summary["classes"]["evaluated"])
    before = _cell(results, Cell(CLEAN, 0.0), group_of)
    clean: list[Columns] = []
    shifted: list[Columns] = []
    confused: list[Failure] = []
    for cell in cells:
        if cell.shift == CLEAN or (shifts is not None and cell.shift not in shifts):
            continue
        after = _cell(results, cell, group_of)
        one, other = _paired(before, after, cell, names, group_of)
        clean.append(one)
        shifted.append(other)
        confused += regions_of(cell, before, after, names)
    return Regions(_joined(clean), _joined(shifted), confused, group_of)


def _cell(results: Results, cell: Cell, used: Collection[str]) -> pa.Table:
    """Return sample ids and confusion counts of one cell, in the order of the samples."""
    folder = RunFolder(results.path)
    identity = read_json(folder.plan)
    shards = -(-int(identity["dataset"]["n_samples"]) // int(identity["plan"]["batch_size"]))
    if not folder.part(cell, 0).exists():
        raise InputError(
            f"run {str(results.path)!r}: a segmentation run is mined from its folder parts/, which is not there; "
            "give its `roadproof stress` command in a new folder to make it again"
        )
    table = read_cell(folder, cell, range(shards), frozenset(), columns=["sample_id", "confusion"])
    return table.filter(pa.array([s in used for s in table.column("sample_id").to_pylist()]))


def _paired(
    before: pa.Table, after: pa.Table, cell: Cell, names: list[str], group_of: dict[str, str]
) -> tuple[Columns, Columns]:
    n = len(names)
    counts = [
        t.column("confusion").combine_chunks().flatten().to_numpy().reshape(-1, n, n + 1) for t in (before, after)
    ]
    pixels = [c.sum(axis=2) for c in counts]
    right = [np.einsum("iee->ie", c[:, :, :n]) for c in counts]
    share = pixels[0] / np.maximum(pixels[0].sum(axis=1, keepdims=True), 1)
    picture, cls = np.nonzero((share >= LEAST_SHARE) & (pixels[1] > 0))
    ids = np.array(before.column("sample_id").to_pylist(), dtype=str)
    groups = np.array([group_of[s] for s in ids.tolist()], dtype=str)
    both = []
    for i, (shift, severity) in enumerate(((CLEAN, 0.0), (cell.shift, cell.severity))):
        hit = right[i][picture, cls] / np.maximum(pixels[i][picture, cls], 1)
        both.append(
            {
                "sample_id": ids[picture],
                "group": groups[picture],
                "class_name": np.array(names, dtype=str)[cls],
                "share": share[picture, cls],
                "shift": np.full(len(picture), shift),
                "severity": np.full(len(picture), severity),
                "hit": hit,
                "score": hit,
                "row": (picture * n + cls).astype(np.int64),
            }
        )
    return both[0], both[1]


def _joined(parts: list[Columns]) -> Columns:
    if not parts:
        raise InputError("mining: the run has no shifted cell to look at")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
