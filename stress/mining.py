"""Mining: the failures of a finished run, typed, with what they lost, and the slices they gather in.

Two questions are kept apart: what do the shifts cost (score lost against the clean frame), and what is missed even on
clean frames. Both are answered by the slices on which it happens more often than elsewhere, tested on the half of the
source groups that they were not sought in (see `stress.slices`). A slice cannot be a sequence, since a sequence is in
one half only: sequences that lose more than the others are tested against these, one by one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import t as student

from scenes.errors import InputError
from scenes.folders import write_json
from stress.failure_table import failures_of, failures_of_regions, families, things
from stress.mined_regions import read_regions
from stress.mined_words import markdown
from stress.parts import write_table
from stress.plan import CLEAN
from stress.results import Results, read
from stress.slice_words import METRICS, NOUNS, words
from stress.slices import Slice, find_slices, holds, holm
from stress.tables import severity_of

SCHEMA = "roadproof.mining/1"
COLUMNS = (
    "sample_id", "group", "shift", "severity", "instance_id", "class_name", "x1", "y1", "x2", "y2", "verdict",
    "visible_fraction", "outcome", "predicted_class", "score", "iou",
)  # fmt: skip
OF_THE_OBJECT = ("sample_id", "class_name", "x1", "y1", "x2", "y2", "distance_m", "visible_fraction", "width")
OF_THE_CELL = ("shift", "severity", "verdict", "outcome", "predicted_class", "iou")
SIZES = ((32**2, "small"), (96**2, "medium"))  # pixels, as COCO has it
FOUND = "found"
FALSE_FINDS = ("invented", "duplicate")
FEWEST_SEQUENCES = 5  # to test one against the others
LEVEL = 0.05
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Mined:
    """What was found, as plain values, and every failure as a table."""

    summary: dict[str, Any]
    failures: pa.Table


def mine(
    run_dir: str | Path, *, seed: int = 0, least: int = 20, keep: int = 12, clusters: bool = False
) -> dict[str, Any]:
    """Mine a finished run, write `mining.json` and `failures.parquet` into its folder, and return what is in the first.

    least: objects that a slice has at least, in each half; keep: slices that are looked at, for each question
    clusters: also gather failures that look alike, which makes their pictures again (see `stress.clusters`)
    """
    results = read(run_dir)
    found = mined_run(results, seed=seed, least=least, keep=keep)
    write_table(results.path / "failures.parquet", found.failures)
    if clusters:
        from stress.clusters import clusters_of

        found.summary["clusters"] = clusters_of(results, found.failures, seed=seed)
    write_json(results.path / "mining.json", found.summary)
    return found.summary


def mined(
    results: Results, *, seed: int = 0, least: int = 20, keep: int = 12, shifts: Collection[str] | None = None
) -> dict[str, Any]:
    """Mine a finished run and return what was found as plain values; nothing is written.

    shifts: names of those that are looked at; all of the run when not given
    """
    return mined_run(results, seed=seed, least=least, keep=keep, shifts=shifts).summary


def mined_run(
    results: Results, *, seed: int = 0, least: int = 20, keep: int = 12, shifts: Collection[str] | None = None
) -> Mined:
    """Mine a finished run; nothing is written. The arguments are those of `mined`."""
    if results.task == "segmentation":
        regions = read_regions(results, shifts)
        clean, shifted = regions.clean, regions.shifted
        failures = failures_of_regions(regions.confused, regions.group_of)
        describe = _described_regions
    else:
        table = objects_of(results)
        if shifts is not None:
            seen = np.isin(table["shift"], [CLEAN, *shifts])
            table = {name: column[seen] for name, column in table.items()}
        truths = (table["outcome"] != "ignored") & ~np.isin(table["outcome"], FALSE_FINDS)
        failures = failures_of(table, attributes_of(table))
        clean, shifted = paired(table, truths)
        del table  # of large runs it is much
        describe = attributes_of
    return Mined(_summary(results, clean, shifted, failures, describe, seed=seed, least=least, keep=keep), failures)


def _summary(
    results: Results, clean: Columns, shifted: Columns, failures: pa.Table, describe: Any, **search: int
) -> dict[str, Any]:
    _, group = np.unique(clean["group"], return_inverse=True)
    lost = np.clip(clean["hit"] - shifted["hit"], 0, 1)
    under = _telling(describe(clean, shifted))
    once = _once(clean)
    alone = _telling(describe(once, None))
    cost = find_slices(under, lost, group, **search)
    misses = find_slices(alone, 1.0 - once["hit"], _once({"row": clean["row"], "group": group})["group"], **search)
    noun, metric = NOUNS[results.task], METRICS[results.task]
    return {
        "schema": SCHEMA,
        "run": str(results.path),
        "task": results.task,
        "noun": noun,
        "metric": metric,
        "n_groups": len(np.unique(group)),
        "n_objects": len(once["hit"]),
        "failures": _counted(failures),
        "newly": sum(failures.column("newly").to_pylist()),
        "mean_loss": float(lost.mean()) if len(lost) else None,
        "lost_under_shift": [_plain(s, under, clean, shifted, noun) for s in cost],
        "missed_anyway": [_plain(s, alone, once, None, noun) for s in misses],
        "sequences": _sequences(clean, shifted),
        "clusters": None,
        "notes": _notes(group, clean, results.task),
    }


def objects_of(results: Results) -> Columns:
    """Return the columns of all objects and false finds."""
    kept = results.task != "segmentation"
    if not kept or results.table("objects", columns=["instance_id"]).num_rows == 0:
        why = "there is none in it" if kept else "it keeps no objects"
        raise InputError(
            f"run {str(results.path)!r}: expected objects, or pictures with a class, to look for failures in; {why}"
        )
    found = {name: _column(results.table("objects", columns=[name]), name) for name in COLUMNS}  # one in memory
    known, index = np.unique(found["severity"], return_inverse=True)
    found["severity"] = np.array([severity_of(value) for value in known.tolist()], np.float64)[index]
    far = results.table("objects", columns=["distance_m"])
    there = "distance_m" in far.column_names  # runs of earlier versions have none
    found["distance_m"] = _column(far, "distance_m") if there else np.full(len(found["shift"]), np.nan)
    found["width"] = _widths(results, found["sample_id"])
    return found


def _widths(results: Results, sample_ids: NDArray[Any]) -> NDArray[np.float64]:
    """Return the width of the picture of each row in pixels, NaN where the run does not say (an earlier version)."""
    samples = results.table("samples")
    if "width" not in samples.column_names:
        return np.full(len(sample_ids), np.nan)
    clean = samples.filter(pa.compute.equal(samples.column("shift"), CLEAN))
    width = dict(zip(clean.column("sample_id").to_pylist(), clean.column("width").to_pylist(), strict=True))
    known, index = np.unique(sample_ids, return_inverse=True)
    return np.array([width.get(name) or np.nan for name in known.tolist()], np.float64)[index]


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    column = table.column(name)
    if pa.types.is_floating(column.type):
        return np.asarray(column.to_numpy(), np.float64)
    if pa.types.is_integer(column.type):
        return np.asarray(column.fill_null(0).to_numpy(), np.int64)
    coded = column.fill_null("").combine_chunks().dictionary_encode()
    names = np.array(coded.dictionary.to_pylist(), dtype=str)
    return names[coded.indices.to_numpy()] if len(names) else np.zeros(0, dtype="<U1")


def paired(table: Mapping[str, NDArray[Any]], truths: NDArray[np.bool_]) -> tuple[Columns, Columns]:
    """Return, row by row, each object of a shifted cell and itself on the clean frame, with `hit` 1 where found.

    truths: (rows,) which rows are objects that count
    """
    is_clean, thing = table["shift"] == CLEAN, things(table)
    row_of = np.full(thing.max(initial=-1) + 1, -1, np.int64)
    before = np.flatnonzero(truths & is_clean)
    row_of[thing[before]] = before
    shifted = np.flatnonzero(truths & ~is_clean & (row_of[thing] >= 0))  # new objects: no clean self
    clean = row_of[thing[shifted]]
    both = []
    for rows, needless in ((clean, OF_THE_CELL), (shifted, OF_THE_OBJECT)):
        columns = {name: column[rows] for name, column in table.items() if name not in needless}
        columns["hit"] = (table["outcome"][rows] == FOUND).astype(np.float64)
        columns["row"] = rows
        both.append(columns)
    return both[0], both[1]


def attributes_of(clean: Mapping[str, NDArray[Any]], shifted: Mapping[str, NDArray[Any]] | None = None) -> Columns:
    """Return every attribute of objects: as they are on the clean frame, and of the cell where `shifted` is given.

    The place in the picture is a share of its width; where that is not known, of how far its objects reach.
    """
    width, height = clean["x2"] - clean["x1"], clean["y2"] - clean["y1"]
    area = width * height
    sizes = np.select([area < limit for limit, _ in SIZES], [name for _, name in SIZES], "large")
    names, sample = np.unique(clean["sample_id"], return_inverse=True)
    reach = np.ones(len(names))
    np.maximum.at(reach, sample, clean["x2"])
    across = clean.get("width", np.full(len(width), np.nan))
    across = np.where(np.isfinite(across), across, reach[sample])
    middle = (clean["x1"] + clean["x2"]) / 2 / across
    found: Columns = {
        "class": clean["class_name"],
        "size": sizes,
        "height_px": height,
        "visible": clean["visible_fraction"],
        "distance_m": clean["distance_m"],
        "position": np.select([middle < 1 / 3, middle < 2 / 3], ["left", "middle"], "right"),
    }
    return found if shifted is None else {**found, **_of_cells(shifted), "verdict": shifted["verdict"]}


def _described_regions(clean: Columns, shifted: Columns | None) -> Columns:
    """Return the attributes of regions of a segmentation."""
    found = {"class": clean["class_name"], "share": clean["share"]}
    return found if shifted is None else {**found, **_of_cells(shifted)}


def _of_cells(shifted: Mapping[str, NDArray[Any]]) -> Columns:
    return {"family": families(shifted["shift"]), "shift": shifted["shift"], "severity": shifted["severity"]}


def _telling(attributes: Columns) -> Columns:
    """Return the attributes that not all objects share."""
    return {name: column for name, column in attributes.items() if len(np.unique(column)) > 1}


def _once(columns: Columns) -> Columns:
    """Return columns with each object of the clean frames once."""
    _, first = np.unique(columns["row"], return_index=True)
    return {name: column[first] for name, column in columns.items()}


def _counted(failures: pa.Table) -> list[dict[str, Any]]:
    """Return how many failures of each type each family has, and what those of the shifts cost."""
    counts: Counter[tuple[str, str]] = Counter()
    losses: dict[tuple[str, str], float] = {}
    newly: Counter[tuple[str, str]] = Counter()
    columns = [failures.column(name).to_pylist() for name in ("family", "failure", "loss", "newly")]
    for family, kind, loss, new in zip(*columns, strict=True):
        counts[family, kind] += 1
        losses[family, kind] = losses.get((family, kind), 0.0) + (loss or 0.0)
        newly[family, kind] += bool(new)
    return [
        {"family": family, "failure": kind, "n": n, "newly": newly[family, kind], "loss": losses[family, kind]}
        for (family, kind), n in sorted(counts.items())
    ]


def _plain(found: Slice, attributes: Columns, clean: Columns, shifted: Columns | None, noun: str) -> dict[str, Any]:
    """Return a slice as plain values, with its recall over all groups."""
    rows = holds(found.predicates, attributes)
    before = clean["hit"][rows]
    now = before if shifted is None else shifted["hit"][rows]
    score = None
    if shifted is not None and len(before):
        score = float((np.nan_to_num(clean["score"][rows]) - np.nan_to_num(shifted["score"][rows])).mean())
    return {
        "slice": words(found.predicates, noun=noun),
        "predicates": [{"attribute": p.attribute, "kind": p.kind, "value": p.value} for p in found.predicates],
        "recall_clean": float(before.mean()) if len(before) else None,
        "recall_shifted": None if shifted is None else float(now.mean()) if len(now) else None,
        "recall_elsewhere": float(now_of(clean, shifted)[~rows].mean()) if len(before) < len(rows) else None,
        "score_loss": score,
        "n": int(np.count_nonzero(rows)),
        "n_objects": len(np.unique(clean["row"][rows])),
        "tested": {
            "mean": found.mean, "rest": found.rest, "n": found.n, "groups": found.groups, "p": found.p,
            "p_corrected": found.p_corrected, "significant": found.significant,
        },
    }  # fmt: skip


def now_of(clean: Columns, shifted: Columns | None) -> NDArray[np.float64]:
    """Return what is found under shift, or on the clean frames where nothing is shifted."""
    hits: NDArray[np.float64] = (clean if shifted is None else shifted)["hit"]
    return hits


def _sequences(clean: Columns, shifted: Columns) -> list[dict[str, Any]]:
    """Return the source groups, those that lose most first; each is tested against the spread of the others.

    One-sided: is its loss what a further draw from the others would have (prediction by Student's t), after Holm.
    """
    names, group = np.unique(clean["group"], return_inverse=True)
    if len(names) == len(np.unique(clean["sample_id"])):
        return []  # frames, not sequences
    n = np.maximum(np.bincount(group, minlength=len(names)), 1)
    before, now = (np.bincount(group, weights=side["hit"], minlength=len(names)) / n for side in (clean, shifted))
    lost = before - now
    p_values = [_outlier(lost, i) for i in range(len(names))]
    corrected = holm(p_values)
    found: list[dict[str, Any]] = [
        {
            "group": str(name), "n": int(n[i]), "recall_clean": float(before[i]), "recall_shifted": float(now[i]),
            "p": p_values[i], "p_corrected": corrected[i],
            "significant": _under(corrected[i]),
        }
        for i, name in enumerate(names)
    ]  # fmt: skip
    return sorted(found, key=lambda row: row["recall_shifted"] - row["recall_clean"])


def _under(p: float | None) -> bool:
    return p is not None and p < LEVEL


def _outlier(values: NDArray[np.float64], i: int) -> float | None:
    """Return the one-sided p-value that a value comes from where the others come from; None where they are too few."""
    others = np.delete(values, i)
    if len(values) < FEWEST_SEQUENCES or not others.std(ddof=1) > 0:
        return None
    error = float(others.std(ddof=1)) * math.sqrt(1.0 + 1.0 / len(others))
    return float(student.sf((values[i] - others.mean()) / error, df=len(others) - 1))


def _notes(groups: NDArray[np.int64], clean: Columns, task: str) -> list[str]:
    notes = []
    count = len(np.unique(groups))
    if count < 10:
        notes.append(
            f"Only {count} source group{'' if count == 1 else 's'}: to test a slice, each half needs five or more."
        )
    if task == "detection" and not np.isfinite(clean["distance_m"]).any():
        notes.append("No distances: the data set has neither 3D boxes nor depth.")
    return notes


__all__ = ["attributes_of", "markdown", "mine", "mined", "mined_run", "objects_of", "paired", "words"]
