"""Tables of the page and what its script draws: classes, precision-recall, confusion, label audit, scales."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup

from reports import figures, palette, words
from reports.read import Figure, Run, as_severity, plain, unit_of
from reports.views import bar

ALL = "all classes"
SLIGHT = 0.05  # below this clean score nothing is said of what is kept: a share of nearly nothing is noise


def breakdown(run: Run, *, by: str) -> list[dict[str, Any]]:
    """Return a row for each class (by='name') or size (by='size'), least kept first, with what each family leaves."""
    keys = dict.fromkeys(row["class_name" if by == "name" else "size"] for row in run.data["figures"])
    names = [key for key in keys if key is not None]
    order = [f["family"] for f in run.data["families"]]
    rows = [_breakdown_row(run, order, {by: name}) for name in names]
    rows = [row for row in rows if row["known"]]
    if by == "size":
        rank = {"small": 0, "medium": 1, "large": 2}
        return sorted(rows, key=lambda row: rank.get(row["name"], 3))
    return sorted(rows, key=lambda row: (row["retention"] is None, row["retention"]))


def without_figure(run: Run, *, by: str, rows: list[dict[str, Any]]) -> list[str]:
    """Return the classes or sizes that have no figure, because too few objects carry it."""
    keys = dict.fromkeys(row["class_name" if by == "name" else "size"] for row in run.data["figures"])
    listed = {row["name"] for row in rows}
    return [str(key) for key in keys if key is not None and key not in listed]


def _breakdown_row(run: Run, order: list[str], which: dict[str, Any]) -> dict[str, Any]:
    clean = run.clean(**which)
    mean = run.mean(**which)
    fair = clean.value is not None and clean.value >= SLIGHT
    kept = mean / clean.value if mean is not None and clean.value and fair else None
    cells = []
    for family in order:
        members = [s["name"] for s in run.data["shifts"] if s["family"] == family]
        value = run.mean(shifts=members, **which)
        part = value / clean.value if value is not None and clean.value and fair else None
        text = "–" if part is None else words.percent(part, unit=False)
        cells.append({"step": palette.step(part), "kept": text, "value": words.number(value, 2)})
    return {
        "name": next(iter(which.values())), "clean": words.number(clean.value, 2), "interval": words.interval(clean),
        "mean": words.number(mean, 2), "kept": words.percent(kept) if fair else "–", "retention": kept, "cells": cells,
        "bar": bar(Figure(kept)), "worst": _worst(run, which) if fair else "",
        "known": clean.value is not None or mean is not None,
    }  # fmt: skip


def _worst(run: Run, which: dict[str, Any]) -> str:
    cells = [(run.retention(n, s, **which), n, s) for n in run.shift_names for s in run.severities]
    known = [cell for cell in cells if cell[0] is not None]
    if not known:
        return ""
    kept, shift, severity = min(known, key=lambda cell: cell[0] or 0.0)
    return f"{words.full_name(shift)} {severity:g}: {words.percent(kept)}"


def pr_blocks(run: Run, *, most: int = 24) -> list[dict[str, Any]]:
    """Return the precision-recall panels of each shift: a panel a class, the clean curve and one a severity.

    most: classes shown; where there are more, those with the highest clean score come first
    """
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for curve in run.data.get("curves") or []:
        if curve.get("kind") == "precision_recall":
            lines.setdefault((curve["shift"], curve["class_name"] or ALL), []).append(curve)
    classes = list(dict.fromkeys(name for _, name in lines))
    classes = sorted(classes, key=lambda name: (name != ALL, -(run.clean(name=name).value or 0.0)))[:most]
    blocks = []
    for shift in run.shift_names or ["clean"]:
        panels = [{"name": name, "svg": _pr_panel(run, shift, name, lines)} for name in classes]
        blocks.append({"shift": shift, "name": words.full_name(shift), "panels": panels})
    return blocks if classes else []


def _pr_panel(run: Run, shift: str, name: str, lines: dict[tuple[str, str], list[dict[str, Any]]]) -> Markup:
    drawn = []
    own = sorted(lines.get((shift, name), []), key=lambda c: float(c["severity"])) if shift != "clean" else []
    for curve in [*reversed(own), *lines.get(("clean", name), [])]:
        severity = float(curve["severity"])
        title = "clean" if severity == 0 else f"severity {severity:g}: {run.physical(shift, severity)}"
        drawn.append((f"s{round(severity)}", title, curve["x"], curve["y"]))
    return figures.pr_panel(drawn, label=f"Precision over recall of {name}, clean and under {words.full_name(shift)}")


def confusion_json(run: Run) -> list[dict[str, Any]]:
    """Return the confusion matrices for the page's script."""
    out = []
    for matrix in run.data.get("confusion") or []:
        severity = as_severity(matrix["severity"])
        clean = matrix["shift"] == "clean"
        name = "clean" if clean else f"{words.full_name(matrix['shift'])}, severity {severity:g}"
        physical = "" if clean else run.physical(matrix["shift"], float(severity))
        out.append(
            {
                "name": f"{name} ({physical})" if physical else name,
                "classes": matrix["class_names"],
                "counts": matrix["counts"],
            }
        )
    return out


def worst_matrix(run: Run) -> int:
    """Return the index of the confusion matrix of the cell that keeps least."""
    kept = [
        (1.0 if m["shift"] == "clean" else run.retention(m["shift"], float(m["severity"])) or 0.0, i)
        for i, m in enumerate(run.data.get("confusion") or [])
    ]
    return min(kept, default=(0.0, 0))[1]


def audit(run: Run) -> list[dict[str, Any]]:
    """Return the label audit, a row a cell; empty where there was no object to look at."""
    rows: list[dict[str, Any]] = []
    for row in run.data.get("audit") or []:
        if row["shift"] == "clean":
            continue
        kinds = ("kept", "modified", "occluded", "invalid")
        counts = [(kind, int(row.get(kind) or 0)) for kind in kinds]
        rows.append({
            "shift": words.full_name(row["shift"]), "severity": as_severity(row["severity"]), "counts": counts,
            "physical": run.physical(row["shift"], float(row["severity"])), "svg": figures.stack(counts),
            "hard": int(row.get("hard_to_see") or 0),
        })  # fmt: skip
    return rows if any(count for row in rows for _, count in row["counts"]) else []


def shift_rows(run: Run) -> list[dict[str, str]]:
    """Return the physical scale of each shift and where it comes from."""
    rows = []
    for shift in run.data["shifts"]:
        unit = unit_of(shift)
        values = " · ".join(plain(v) for v in shift.get("values") or [])
        rows.append({
            "name": shift["name"], "quantity": f"{shift.get('quantity', '')}{', ' + unit if unit else ''}",
            "values": values,
            "changes": shift.get("changes") or "", "source": shift.get("source") or "",
            "completed": ", ".join(f"{k}: {v}" for k, v in (shift.get("completed") or {}).items()),
        })  # fmt: skip
    return rows


def flat(mapping: Any) -> list[tuple[str, str]]:
    """Return a mapping as rows of words: lists and nested mappings with commas, keys without underscores.

    >>> flat({"n_samples": 3000, "splits": ["val", "test"], "split": None, "shifts": [{"name": "fog"}]})
    [('n samples', '3,000'), ('splits', 'val, test'), ('split', '–'), ('shifts', 'fog')]
    """
    if not isinstance(mapping, dict):
        return []
    return [(str(k).replace("_", " "), _said(v)) for k, v in mapping.items() if k != "class_names"]


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value in ([], {}):
        return "–"
    if isinstance(value, dict) and list(value) == ["name"]:
        return str(value["name"])
    if isinstance(value, dict):
        return ", ".join(f"{str(k).replace('_', ' ')} {_said(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(_said(v) for v in value)
    return (
        f"{value:,}"
        if isinstance(value, int) and not isinstance(value, bool)
        else json.dumps(value, ensure_ascii=False)
    )
