"""What the page shows, as plain values: each function turns results into what one part of the template prints."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup

from reports import figures, palette, words
from reports.read import Figure, Run, as_severity, plain

SECTIONS = (
    ("verdict", "Verdict"), ("grid", "Grid"), ("curves", "Curves"), ("classes", "Classes"), ("confusion", "Confusion"),
    ("pr", "Precision–recall"), ("failures", "Failures"), ("audit", "Labels"), ("methods", "Methods"),
)  # fmt: skip


def big_numbers(run: Run) -> list[dict[str, str]]:
    """Return the figures at the top: clean, under shift, kept."""
    head, label = run.data["headline"], run.label()
    clean, mpc, rpc = (Figure.of(head[key]) for key in ("clean", "mpc", "rpc"))
    numbers = [
        {"name": f"Clean {label}", "value": words.number(clean.value, 2), "interval": words.interval(clean), "key": "clean"},
        {
            "name": f"{label} under shift", "value": words.number(mpc.value, 2), "interval": words.interval(mpc),
            "key": "mPC",
        },
        {
            "name": "Kept", "value": words.percent(rpc.value), "interval": words.interval(rpc, as_percent=True),
            "key": "rPC",
        },
    ]  # fmt: skip
    return numbers if run.shift_names else numbers[:1]


def valid_only(run: Run) -> str:
    """Return the figure with hard-to-see objects set aside, as a sentence; empty where there is none."""
    given = run.data["headline"].get("valid_only")
    if not given:
        return ""
    clean, mpc, rpc = (Figure.of(given[key]) for key in ("clean", "mpc", "rpc"))
    return (
        f"With hard-to-see and heavily occluded objects set aside: {run.label()} {words.number(clean.value, 2)} clean, "
        f"{words.number(mpc.value, 2)} under shift, {words.percent(rpc.value)} kept "
        f"{words.interval(rpc, as_percent=True)}".rstrip() + "."
    )


def families(run: Run) -> list[dict[str, Any]]:
    """Return the families, weakest first, as rows of the ranking."""
    rows = []
    for family in run.data["families"]:
        rpc, mpc = Figure.of(family["rpc"]), Figure.of(family["mpc"])
        breaking = words.first_break(run, family["family"])
        rows.append({
            "family": family["family"], "name": words.family_name(family["family"]), "bar": bar(rpc),
            "kept": words.percent(rpc.value), "interval": words.interval(rpc, as_percent=True),
            "mpc": words.number(mpc.value, 2), "step": palette.step(rpc.value),
            "breaks": words.place(run, breaking["shift"], breaking["breaks_at"]) if breaking else "",
        })  # fmt: skip
    return rows


def bar(figure: Figure) -> dict[str, float] | None:
    """Return a value and its interval as positions on a line from 0 to 100 %."""
    if figure.value is None:
        return None
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    clip = [100 * min(1.0, max(0.0, v)) for v in (figure.value, low, high)]
    return {"at": round(clip[0], 2), "low": round(clip[1], 2), "width": round(clip[2] - clip[1], 2)}


def heat(run: Run, metric: str) -> list[dict[str, Any]]:
    """Return the shift x severity grid of one metric, grouped by family, families weakest first."""
    ranks = {name: i for i, name in enumerate(f["family"] for f in run.data["families"])}
    groups: dict[str, list[dict[str, Any]]] = {}
    for shift in run.data["shifts"]:
        groups.setdefault(shift["family"], []).append(_heat_row(run, shift, metric))
    ordered = sorted(groups, key=lambda family: ranks.get(family, len(ranks)))
    return [{"family": f, "name": words.family_name(f), "rows": groups[f]} for f in ordered]


def _heat_row(run: Run, shift: dict[str, Any], metric: str) -> dict[str, Any]:
    name = shift["name"]
    ranked = next((p for p in run.data["per_shift"] if p["shift"] == name), {})
    mean, clean = run.mean(metric, shifts=[name]), run.clean(metric).value
    rpc = Figure.of(ranked.get("rpc")) if metric == run.metric else Figure(mean / clean if mean is not None and clean else None)
    first = None if metric != run.metric else ranked.get("breaks_at")
    unit = "" if not shift.get("unit") else f", {shift['unit']}"
    return {
        "shift": name, "name": words.shift_name(name), "scale": f"{shift.get('quantity', '')}{unit}",
        "cells": [_heat_cell(run, name, s, metric, first) for s in run.severities],
        "kept": words.percent(rpc.value), "kept_interval": words.interval(rpc, as_percent=True),
        "mean": words.number(mean, 2), "step": palette.step(rpc.value),
        "completed": ", ".join(f"{k}: {v}" for k, v in (shift.get("completed") or {}).items()),
    }  # fmt: skip


def _heat_cell(run: Run, shift: str, severity: float, metric: str, first: Any) -> dict[str, Any]:
    kept = run.retention(shift, severity, metric)
    figure = run.score(shift, severity, metric)
    return {
        "severity": severity, "step": palette.step(kept), "kept": "–" if kept is None else words.percent(kept, unit=False),
        "value": "–" if figure.value is None else words.number(figure.value, 2),
        "physical": run.physical(shift, severity, quantity=False), "breaks": first is not None and severity == first,
        "title": cell_title(run, shift, severity, metric),
    }  # fmt: skip


def cell_title(run: Run, shift: str, severity: float, metric: str) -> str:
    """Return everything about one cell in a few lines."""
    row, figure = run.cell(shift, severity, metric), run.score(shift, severity, metric)
    physical = run.physical(shift, severity)
    lines = [f"{words.shift_name(shift)}, severity {severity:g}" + (f": {physical}" if physical else "")]
    if figure.value is None:
        return "\n".join([*lines, f"{run.label(metric)}: too few samples"])
    lines.append(f"{run.label(metric)} {words.number(figure.value)} {words.interval(figure, 3)}".rstrip())
    lines.append(f"keeps {words.percent(run.retention(shift, severity, metric))} of clean {words.number(run.clean(metric).value)}")
    delta = Figure.of({"value": row.get("delta"), "low": row.get("delta_low"), "high": row.get("delta_high")})
    if delta.value is not None:
        lines.append(f"change {words.number(delta.value, sign=True)} {words.interval(delta, 3)}".rstrip())
    return "\n".join(lines + ([f"n = {figure.n}"] if figure.n else []))


def curves(run: Run, metric: str) -> list[dict[str, Any]]:
    """Return one drawing a shift, grouped as in the grid."""
    clean = run.clean(metric)
    values = [run.score(n, s, metric).value for n in run.shift_names for s in run.severities]
    top = figures.nice_top([v for v in [*values, clean.value] if v is not None])
    breaks = {p["shift"]: p.get("breaks_at") for p in run.data["per_shift"]} if metric == run.metric else {}
    groups = heat(run, metric)
    for group in groups:
        for row in group["rows"]:
            row["svg"] = _curve(run, row["shift"], metric, clean, top, breaks.get(row["shift"]))
    return groups


def _curve(run: Run, shift: str, metric: str, clean: Figure, top: float, first: Any) -> Markup:
    points = [figures.Point(0, clean, "clean", f"clean: {words.number(clean.value)} {words.interval(clean, 3)}")]
    info = run.shift(shift)
    for s in run.severities:
        figure = run.score(shift, s, metric)
        index = int(s) - 1
        known = s == int(s) and 0 <= index < len(info.get("values") or [])
        tick = plain(info["values"][index]) if known else f"{s:g}"
        broken = first is not None and s >= first
        points.append(figures.Point(s, figure, tick, cell_title(run, shift, s, metric), broken))
    said = "; ".join(f"severity {p.severity:g}: {words.number(p.figure.value)}" for p in points)
    return figures.curve(points, clean=clean, top=top, label=f"{run.label(metric)} under {words.shift_name(shift)}: {said}")


def breakdown(run: Run, *, by: str) -> list[dict[str, Any]]:
    """Return a row for each class (by='name') or size (by='size'), least kept first, with what each family leaves."""
    keys = dict.fromkeys(row["class_name" if by == "name" else "size"] for row in run.data["figures"])
    names = [key for key in keys if key is not None]
    order = [f["family"] for f in run.data["families"]]
    rows = [_breakdown_row(run, order, {by: name}) for name in names]
    rows = [row for row in rows if row["clean"] != words.UNKNOWN or row["n"]]
    if by == "size":
        rank = {"small": 0, "medium": 1, "large": 2}
        return sorted(rows, key=lambda row: rank.get(row["name"], 3))
    return sorted(rows, key=lambda row: (row["retention"] is None, row["retention"]))


def _breakdown_row(run: Run, order: list[str], which: dict[str, str]) -> dict[str, Any]:
    clean = run.clean(**which)  # type: ignore[arg-type]  # the keys are 'name' or 'size', not the metric
    mean = run.mean(**which)  # type: ignore[arg-type]  # as above
    kept = mean / clean.value if mean is not None and clean.value else None
    cells = []
    for family in order:
        members = [s["name"] for s in run.data["shifts"] if s["family"] == family]
        value = run.mean(shifts=members, **which)  # type: ignore[arg-type]  # as above
        part = value / clean.value if value is not None and clean.value else None
        text = "–" if part is None else words.percent(part, unit=False)
        cells.append({"step": palette.step(part), "kept": text, "value": words.number(value, 2)})
    return {
        "name": next(iter(which.values())), "clean": words.number(clean.value, 2), "interval": words.interval(clean),
        "mean": words.number(mean, 2), "kept": words.percent(kept), "retention": kept, "cells": cells,
        "bar": bar(Figure(kept)), "n": clean.n or 0, "worst": _worst(run, clean, which),
    }  # fmt: skip


def _worst(run: Run, clean: Figure, which: dict[str, str]) -> str:
    cells = [(run.retention(n, s, **which), n, s) for n in run.shift_names for s in run.severities]  # type: ignore[arg-type]  # as above
    known = [cell for cell in cells if cell[0] is not None]
    if not known:
        return ""
    kept, shift, severity = min(known, key=lambda cell: cell[0] or 0.0)
    return f"{words.shift_name(shift)} {severity:g}: {words.percent(kept)}"


def pr_blocks(run: Run, *, most: int = 24) -> list[dict[str, Any]]:
    """Return the precision-recall panels of each shift: a panel a class, the clean curve and one a severity.

    most: classes shown; where there are more, those with the highest clean score come first
    """
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for curve in run.data.get("curves") or []:
        if curve.get("kind") == "precision_recall":
            lines.setdefault((curve["shift"], curve["class_name"]), []).append(curve)
    classes = list(dict.fromkeys(name for _, name in lines))
    classes = sorted(classes, key=lambda name: -(run.clean(name=name).value or 0.0))[:most]
    blocks = []
    for shift in run.shift_names or ["clean"]:
        panels = [{"name": name, "svg": _pr_panel(run, shift, name, lines)} for name in classes]
        blocks.append({"shift": shift, "name": words.shift_name(shift), "panels": panels})
    return blocks if classes else []


def _pr_panel(run: Run, shift: str, name: str, lines: dict[tuple[str, str], list[dict[str, Any]]]) -> Markup:
    drawn = []
    own = sorted(lines.get((shift, name), []), key=lambda c: float(c["severity"])) if shift != "clean" else []
    for curve in [*reversed(own), *lines.get(("clean", name), [])]:
        severity = float(curve["severity"])
        title = "clean" if severity == 0 else f"severity {severity:g}: {run.physical(shift, severity)}"
        drawn.append((f"s{round(severity)}", title, curve["x"], curve["y"]))
    return figures.pr_panel(drawn, label=f"Precision over recall of {name}, clean and under {words.shift_name(shift)}")


def confusion_json(run: Run) -> list[dict[str, Any]]:
    """Return the confusion matrices for the page's script."""
    out = []
    for matrix in run.data.get("confusion") or []:
        severity = as_severity(matrix["severity"])
        clean = matrix["shift"] == "clean"
        name = "clean" if clean else f"{words.shift_name(matrix['shift'])}, severity {severity:g}"
        physical = "" if clean else run.physical(matrix["shift"], float(severity))
        out.append({"name": f"{name} ({physical})" if physical else name, "classes": matrix["class_names"], "counts": matrix["counts"]})
    return out


def worst_matrix(run: Run) -> int:
    """Return the index of the confusion matrix of the cell that keeps least."""
    kept = [
        (1.0 if m["shift"] == "clean" else run.retention(m["shift"], float(m["severity"])) or 0.0, i)
        for i, m in enumerate(run.data.get("confusion") or [])
    ]
    return min(kept, default=(0.0, 0))[1]


def audit(run: Run) -> list[dict[str, Any]]:
    """Return the label audit, a row a cell."""
    rows = []
    for row in run.data.get("audit") or []:
        kinds = ("kept", "modified", "occluded", "invalid")
        counts = [(kind, int(row.get(kind) or 0)) for kind in kinds]
        rows.append({
            "shift": words.shift_name(row["shift"]), "severity": as_severity(row["severity"]), "counts": counts,
            "physical": run.physical(row["shift"], float(row["severity"])), "svg": figures.stack(counts),
            "hard": int(row.get("hard_to_see") or 0),
        })  # fmt: skip
    return rows


def shift_rows(run: Run) -> list[dict[str, str]]:
    """Return the physical scale of each shift and where it comes from."""
    rows = []
    for shift in run.data["shifts"]:
        unit = shift.get("unit") or ""
        values = " · ".join(plain(v) for v in shift.get("values") or [])
        rows.append({
            "name": shift["name"], "quantity": f"{shift.get('quantity', '')}{', ' + unit if unit else ''}", "values": values,
            "changes": shift.get("changes") or "", "source": shift.get("source") or "",
            "completed": ", ".join(f"{k}: {v}" for k, v in (shift.get("completed") or {}).items()),
        })  # fmt: skip
    return rows


def flat(mapping: Any) -> list[tuple[str, str]]:
    """Return a mapping as rows of words: lists with commas, nested mappings as JSON, keys without underscores.

    >>> flat({"n_samples": 3, "splits": ["val", "test"], "split": None})
    [('n samples', '3'), ('splits', 'val, test'), ('split', '–')]
    """
    if not isinstance(mapping, dict):
        return []
    return [(str(k).replace("_", " "), _said(v)) for k, v in mapping.items() if k != "class_names"]


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value in ([], {}):
        return "–"
    if isinstance(value, list) and not any(isinstance(v, (dict, list)) for v in value):
        return ", ".join(str(v) for v in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else json.dumps(value, ensure_ascii=False)
