"""Mining: the failures of a finished run, typed, with what they lost, and the slices they gather in.

Two questions are kept apart: what do the shifts cost (score lost against the clean frame), and what is missed even on
clean frames. Both are answered by the slices on which it happens more often than elsewhere, tested on the half of the
source groups that they were not sought in (see `stress.slices`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.folders import write_json
from stress.plan import CLEAN
from stress.results import Results, read
from stress.slices import Predicate, Slice, find_slices, holds

SCHEMA = "roadproof.mining/1"
COLUMNS = (
    "sample_id", "group", "shift", "severity", "instance_id", "class_name", "x1", "y1", "x2", "y2", "verdict",
    "visible_fraction", "outcome", "predicted_class", "score",
)  # fmt: skip
SIZES = ((32**2, "small"), (96**2, "medium"))  # pixels, as COCO has it
FOUND = "found"
FALSE_FINDS = ("invented", "duplicate")


def mine(run_dir: str | Path, *, seed: int = 0, least: int = 20, keep: int = 12) -> dict[str, Any]:
    """Mine a finished run and write `mining.json` into its folder; return the same plain values.

    least: objects that a slice has at least, in each half; keep: slices that are tested, for each question
    """
    results = read(run_dir)
    summary = mined(results, seed=seed, least=least, keep=keep)
    write_json(results.path / "mining.json", summary)
    return summary


def mined(
    results: Results, *, seed: int = 0, least: int = 20, keep: int = 12, shifts: Collection[str] | None = None
) -> dict[str, Any]:
    """Mine a finished run and return what was found as plain values; nothing is written.

    shifts: names of those that are looked at; all of the run when not given
    """
    table = objects_of(results)
    if shifts is not None:
        seen = np.isin(table["shift"], [CLEAN, *shifts])
        table = {name: column[seen] for name, column in table.items()}
    truths = table["outcome"] != "ignored"
    truths &= ~np.isin(table["outcome"], FALSE_FINDS)
    clean, shifted = paired({name: column[truths] for name, column in table.items()})
    groups = _indices(table["group"][truths], clean, shifted)
    lost = np.clip(clean["hit"] - shifted["hit"], 0, 1)
    under = _described(clean, shifted)
    cost = find_slices(under, lost, groups[1], least=least, keep=keep, seed=seed)
    alone = _described(clean, None)
    misses = find_slices(
        _unique(alone, clean),
        1.0 - _unique(clean, clean)["hit"],
        _first(groups[0], clean),
        least=least,
        keep=keep,
        seed=seed,
    )
    return {
        "schema": SCHEMA,
        "run": str(results.path),
        "n_objects": len(_unique(clean, clean)["hit"]),
        "failures": _counted(table),
        "mean_loss": float(lost.mean()) if len(lost) else None,
        "lost_under_shift": [_plain(s, under, clean, shifted) for s in cost],
        "missed_anyway": [_plain(s, _unique(alone, clean), _unique(clean, clean), None) for s in misses],
        "notes": _notes(groups[0], table),
    }


def objects_of(results: Results) -> dict[str, NDArray[Any]]:
    """Return the columns of all objects and false finds."""
    table = results.objects
    if table.num_rows == 0 or results.task == "segmentation":
        raise InputError(
            f"run {str(results.path)!r}: mining looks at objects or pictures with a class; a {results.task} run "
            "keeps none: look at its figures per class"
        )
    found = {name: _column(table, name) for name in COLUMNS}
    there = "distance_m" in table.column_names  # runs of earlier versions have none
    found["distance_m"] = _column(table, "distance_m") if there else np.full(table.num_rows, np.nan)
    return found


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    column = table.column(name)
    if pa.types.is_floating(column.type):
        return np.asarray(column.to_numpy(), np.float64)
    if pa.types.is_integer(column.type):
        return np.asarray(column.fill_null(0).to_numpy(), np.int64)
    return np.array(["" if value is None else value for value in column.to_pylist()], dtype=str)


def paired(table: Mapping[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return, row by row, each object of a shifted cell and itself on the clean frame, with `hit` 1 where found."""
    is_clean = table["shift"] == CLEAN
    keys = np.char.add(np.char.add(table["sample_id"], "\0"), table["instance_id"].astype(str))
    order = {key: row for row, key in zip(np.flatnonzero(is_clean), keys[is_clean], strict=True)}
    shifted = [row for row in np.flatnonzero(~is_clean) if keys[row] in order]  # new objects have no clean self
    clean = [order[keys[row]] for row in shifted]
    both = []
    for rows in (clean, shifted):
        columns = {name: column[rows] for name, column in table.items()}
        columns["hit"] = (columns["outcome"] == FOUND).astype(np.float64)
        columns["row"] = np.asarray(rows, np.int64)
        both.append(columns)
    return both[0], both[1]


def _indices(
    names: NDArray[Any], clean: Mapping[str, NDArray[Any]], shifted: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the group index of each row on both sides, the same numbering."""
    known, index = np.unique(names, return_inverse=True)
    del known
    return index[clean["row"]].astype(np.int64), index[shifted["row"]].astype(np.int64)


def _described(
    clean: Mapping[str, NDArray[Any]], shifted: Mapping[str, NDArray[Any]] | None
) -> dict[str, NDArray[Any]]:
    """Return the attributes that slices are made of, without those that all objects share."""
    return {name: column for name, column in attributes_of(clean, shifted).items() if len(np.unique(column)) > 1}


def attributes_of(
    clean: Mapping[str, NDArray[Any]], shifted: Mapping[str, NDArray[Any]] | None = None
) -> dict[str, NDArray[Any]]:
    """Return every attribute of objects: as they are on the clean frame, and of the cell where `shifted` is given."""
    width, height = clean["x2"] - clean["x1"], clean["y2"] - clean["y1"]
    area = width * height
    sizes = np.select([area < limit for limit, _ in SIZES], [name for _, name in SIZES], "large")
    names, sample = np.unique(clean["sample_id"], return_inverse=True)
    extent = np.ones(len(names))  # pictures may differ in width: each is as wide as its objects reach
    np.maximum.at(extent, sample, clean["x2"])
    middle = (clean["x1"] + clean["x2"]) / 2 / extent[sample]
    found: dict[str, NDArray[Any]] = {
        "class": clean["class_name"],
        "size": sizes,
        "height_px": height,
        "visible": clean["visible_fraction"],
        "distance_m": clean["distance_m"],
        "position": np.select([middle < 1 / 3, middle < 2 / 3], ["left", "middle"], "right"),
    }
    if shifted is not None:
        found["family"] = np.array([name.split("/")[0] for name in shifted["shift"]], dtype=str)
        found["shift"] = shifted["shift"]
        found["severity"] = shifted["severity"]
        found["verdict"] = shifted["verdict"]
    return found


def _unique(columns: Mapping[str, NDArray[Any]], clean: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return columns with each object of the clean frames once."""
    _, first = np.unique(clean["row"], return_index=True)
    return {name: column[first] for name, column in columns.items()}


def _first(index: NDArray[np.int64], clean: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    return _unique({"group": index}, clean)["group"]


def _counted(table: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Return how many failures of each type each family has."""
    counts: Counter[tuple[str, str]] = Counter()
    for shift, outcome in zip(table["shift"], table["outcome"], strict=True):
        if outcome not in (FOUND, "ignored"):
            counts[str(shift).split("/")[0], str(outcome)] += 1
    return [{"family": family, "failure": kind, "n": n} for (family, kind), n in sorted(counts.items())]


def _plain(
    found: Slice,
    attributes: Mapping[str, NDArray[Any]],
    clean: Mapping[str, NDArray[Any]],
    shifted: Mapping[str, NDArray[Any]] | None,
) -> dict[str, Any]:
    """Return a slice as plain values, with its recall over all groups."""
    rows = holds(found.predicates, attributes)
    before = clean["hit"][rows]
    now = before if shifted is None else shifted["hit"][rows]
    score = None
    if shifted is not None:
        change = np.nan_to_num(clean["score"][rows]) - np.nan_to_num(shifted["score"][rows])
        score = float(change.mean()) if len(change) else None
    return {
        "slice": words(found.predicates),
        "predicates": [{"attribute": p.attribute, "kind": p.kind, "value": p.value} for p in found.predicates],
        "recall_clean": float(before.mean()) if len(before) else None,
        "recall_shifted": None if shifted is None else float(now.mean()) if len(now) else None,
        "score_loss": score,
        "n": int(np.count_nonzero(rows)),
        "n_objects": len(np.unique(clean["row"][rows])),
        "tested": {
            "mean": found.mean, "rest": found.rest, "n": found.n, "groups": found.groups, "p": found.p,
            "p_corrected": found.p_corrected, "significant": found.significant,
        },
    }  # fmt: skip


UNITS = {"distance_m": ("distance", " m"), "height_px": ("height", " px"), "visible": ("visible fraction", "")}


def words(predicates: Sequence[Predicate]) -> str:
    """Return a slice in words.

    >>> words([Predicate("class", "is", "car"), Predicate("distance_m", "from", 40.0)])
    'class car, distance >= 40 m'
    """
    parts = []
    for p in predicates:
        name, unit = UNITS.get(p.attribute, (p.attribute, ""))
        value = p.value if isinstance(p.value, str) else f"{p.value:g}{unit}"
        sign = {"is": "", "from": ">= ", "below": "< "}[p.kind]
        parts.append(f"{name} {sign}{value}")
    return ", ".join(parts)


def _notes(groups: NDArray[np.int64], table: Mapping[str, NDArray[Any]]) -> list[str]:
    notes = []
    count = len(np.unique(groups))
    if count < 10:
        notes.append(
            f"Only {count} source group{'' if count == 1 else 's'}: to test a slice, each half needs five or more."
        )
    if not np.isfinite(table["distance_m"]).any():
        notes.append("No distances: the data set has neither 3D boxes nor depth.")
    return notes


def markdown(summary: Mapping[str, Any]) -> str:
    """Return what was mined as Markdown."""
    lines = [f"# Mined: {summary['run']}", "", *summary["notes"], *([""] if summary["notes"] else [])]
    for key, title in (("lost_under_shift", "Lost under shift"), ("missed_anyway", "Missed on clean frames too")):
        lines += [f"## {title}", ""]
        shown = [s for s in summary[key] if s["tested"]["significant"]]
        untested = not any(s["tested"]["p"] is not None for s in summary[key])
        nothing = "Nothing could be tested: too few groups." if untested else "No slice stands out by more than chance."
        lines += [_sentence(s) for s in shown] or [nothing]
        lines.append("")
    kinds: Counter[str] = Counter()
    for row in summary["failures"]:
        kinds[row["failure"]] += row["n"]
    lines += [f"Failures in all cells: {', '.join(f'{n} {kind}' for kind, n in kinds.most_common()) or 'none'}."]
    return "\n".join(lines) + "\n"


def _sentence(found: Mapping[str, Any]) -> str:
    p = found["tested"]["p_corrected"]
    recall = f"recall {found['recall_clean']:.2f}"
    if found["recall_shifted"] is not None:
        recall += f" -> {found['recall_shifted']:.2f}"
    return (
        f"- {found['slice']}: {recall}, {found['n_objects']} objects, corrected p "
        f"{'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
    )
