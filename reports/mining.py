"""The section of the page on where a model fails: slices, kinds of failures, failures that look alike."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports import words
from stress.mined_words import nothing_proven

SCHEMA = "roadproof.mining/1"
KINDS = ("missed", "confused", "misplaced", "invented", "duplicate")
MOST_ROWS, MOST_CLUSTERS = 6, 12


def view(path: Path) -> dict[str, Any] | None:
    """Return what the page shows of a run's `mining.json`; None where there is none of this version."""
    found = load(path / "mining.json", SCHEMA)
    if found is None or "noun" not in found:
        return None
    clusters = found.get("clusters") or {"clusters": [], "notes": []}
    return {
        "noun": found["noun"],
        "metric": found["metric"],
        "questions": [
            _question(found, "lost_under_shift", "Lost under shift", "found on the clean frame and no longer"),
            _question(found, "missed_anyway", "Missed on clean frames too", "no shift needed"),
        ],
        "kinds": _kinds(found),
        "sequences": [_sequence(row) for row in found["sequences"] if row["significant"]],
        "clusters": [_cluster(path, c, found["noun"]) for c in clusters["clusters"][:MOST_CLUSTERS]],
        "looked_at": _looked_at(clusters),
        "notes": [*found["notes"], *clusters["notes"]],
    }


def load(file: Path, schema: str) -> dict[str, Any] | None:
    """Return a JSON file of a schema; None where it is missing, damaged or of another one: the page goes on without."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("schema") == schema else None


def _question(found: Mapping[str, Any], key: str, title: str, meaning: str) -> dict[str, Any]:
    slices = found[key]
    proven = any(s["tested"]["significant"] for s in slices)
    return {
        "title": title,
        "meaning": meaning,
        "verdict": "" if proven else nothing_proven(slices, found["n_groups"]),
        "rows": [_row(s) for s in slices[:MOST_ROWS]],
        "shifted": key == "lost_under_shift",
    }


def _row(found: Mapping[str, Any]) -> dict[str, Any]:
    tested = found["tested"]
    now = found["recall_shifted"] if found["recall_shifted"] is not None else found["recall_clean"]
    return {
        "name": found["slice"].replace(">=", "\u2265"),
        "before": words.number(found["recall_clean"], 2),
        "now": words.number(now, 2),
        "elsewhere": words.number(found.get("recall_elsewhere"), 2),
        "at": None if found["recall_clean"] is None else 100 * found["recall_clean"],
        "to": None if now is None else 100 * now,
        "n": f"{found['n_objects']:,}",
        "p": p_words(tested["p_corrected"]),
        "significant": tested["significant"],
    }


def p_words(value: float | None) -> str:
    """Return a corrected p-value in words.

    >>> p_words(0.0002), p_words(0.0312), p_words(None)
    ('< 0.001', '0.031', 'not tested')
    """
    return "not tested" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _kinds(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return new failures by family and kind; the kinds that are there."""
    counts: dict[str, dict[str, int]] = {}
    for row in found["failures"]:
        if row["family"] != "clean":
            counts.setdefault(row["family"], {})[row["failure"]] = int(row.get("newly", row["n"]))
    there = [kind for kind in KINDS if any(kind in row for row in counts.values())]
    rows = [(words.family_name(f), [row.get(kind, 0) for kind in there]) for f, row in counts.items()]
    return {"kinds": there, "rows": sorted(rows, key=lambda row: -sum(row[1]))}


def _sequence(row: Mapping[str, Any]) -> str:
    fall = f"{words.number(row['recall_clean'], 2)} → {words.number(row['recall_shifted'], 2)}"
    return f"{row['group']}: {fall}, p {p_words(row['p_corrected'])}"


def _cluster(path: Path, cluster: Mapping[str, Any], noun: str) -> dict[str, Any]:
    name = str(cluster["name"])
    return {
        "name": name[:1].upper() + name[1:],
        "size": f"{words.counted(cluster['n'], 'failure')} of {words.counted(cluster['n_objects'], noun)}, "
        f"{words.counted(cluster['n_frames'], 'frame')}",
        "shifts": ", ".join(f"{words.full_name(name)} {n}" for name, n in list(cluster["shifts"].items())[:3]),
        "pictures": [p for p in (_picture(path, given) for given in cluster["pictures"]) if p],
    }


def _picture(path: Path, given: Mapping[str, Any]) -> dict[str, str] | None:
    file = path / str(given["path"])
    if not file.is_file() or path.resolve() not in file.resolve().parents:
        return None
    taken = f" for {given['predicted_class']}" if given["failure"] == "confused" and given["predicted_class"] else ""
    title = f"{given['class_name']} {given['failure']}{taken}: {words.full_name(given['shift'])} {given['severity']:g}"
    data = base64.b64encode(file.read_bytes()).decode()
    return {"src": f"data:image/jpeg;base64,{data}", "title": f"{title}, {given['sample_id']}"}


def _looked_at(clusters: Mapping[str, Any]) -> str:
    if not clusters["clusters"]:
        return ""
    return (
        f"Of {words.counted(clusters['n_failures'], 'new failure')}, {clusters['n_folded']:,} are the same object "
        f"under a severer shift. {clusters['n_looked_at']:,} were looked at, {clusters['n_same_look']:,} of them all "
        f"but the same picture; {clusters['n_alone']:,} look like no other. Compared by {clusters['embedder']}. Each "
        "pair is the clean frame and the shifted one."
    )
