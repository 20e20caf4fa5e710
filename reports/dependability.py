"""The section on what else can be relied on: is the model as right as it is sure, and does any score of it tell?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from reports import figures, palette, words
from reports.attention import explained
from reports.read import Figure, Run, as_severity, finite

MOST_PANELS = 18  # reliability diagrams shown; the shifts with the largest error first
FEWEST_IN_BIN = 5  # answers of a bin that is drawn
LOWER = "lower is better"
MAIN = ("d_ece", "ece")  # the first that a run has stands for calibration
SIZE, LOW, HIGH = 190.0, 28.0, 180.0
QUESTIONS = (
    ("shift", "Does it flag the shift?", "Shifted frames against the same frames clean."),
    ("failure", "Does it flag the failures?", "Within each cell, what went wrong against what went right."),
)


def section(run: Run) -> dict[str, Any] | None:
    """Return what the section shows; None for runs that kept nothing of it."""
    found = {"calibration": calibration(run), "ood": unknown(run), "explained": explained(run)}
    return found if any(found.values()) else None


def calibration(run: Run) -> dict[str, Any] | None:
    """Return the calibration part; None where the model says nothing that could be calibrated."""
    data = run.data.get("calibration")
    if not data:
        return None
    known = data["metrics"]
    main = _main(data)
    cells = {(f["shift"], float(f["severity"]), f["metric"]): f for f in data["figures"] if f["temperature"] is None}
    return {
        "main": main,
        "label": known[main]["label"],
        "rows": [_overall(data, key) for key in known if "lrp" not in key],
        "lrp": [_overall(data, key) for key in known if "lrp" in key],
        "temperature": _temperature(data),
        "lead": lead(run),
        "metrics": [(key, m["label"], m["description"]) for key, m in known.items()],
        "curves": {key: _curves(run, cells, key) for key in known},
        "panels": _panels(run, data, main),
        "n": max((f.get("n") or 0 for f in data["figures"]), default=0),
    }


def _overall(data: dict[str, Any], metric: str) -> dict[str, Any]:
    """Return one row of the table: clean, shifted, change, and before and after scaling."""
    rows = {r["temperature"]: r for r in data["overall"] if r["metric"] == metric}
    whole = rows[None]

    def said(row: dict[str, Any] | None, key: str) -> dict[str, str]:
        figure = Figure.of((row or {}).get(key))
        value = "–" if row is None else words.number(figure.value)
        return {"value": value, "interval": words.interval(figure, 3)}

    change = Figure.of(whole["difference"])
    return {
        "label": data["metrics"][metric]["label"],
        "clean": said(whole, "clean"),
        "shifted": said(whole, "shifted"),
        "change": {"value": words.number(change.value, sign=True), "interval": words.interval(change, 3)},
        "scaled": [{key: said(rows.get(when), key) for key in ("clean", "shifted")} for when in ("before", "after")]
        if "after" in rows
        else None,
    }


def _temperature(data: dict[str, Any]) -> str:
    """Say what scaling by one number does; empty where none could be fitted."""
    value = finite(data.get("temperature"))
    if value is None:
        return (
            "No temperature is fitted: too few groups or answers of one kind on the clean frames."
            if data.get("n_judged")
            else ""
        )
    fitted, judged = data["n_fitted"], data["n_judged"]
    if f"{value:.2f}" == "1.00":
        way = "leaves the model as sure as it is"
    else:
        way = f"makes the model {'less' if value > 1 else 'more'} sure"
    return (
        f"Temperature {value:.2f}, which {way}, is fitted on the clean frames of {fitted} groups "
        f"and judged on the other {judged}, clean and shifted."
    )


def _main(data: dict[str, Any]) -> str:
    return next((key for key in MAIN if key in data["metrics"]), next(iter(data["metrics"])))


def lead(run: Run) -> str:
    """Say in a sentence or two how calibration is and what the shifts do to it; empty where nothing is known of it."""
    data = run.data.get("calibration")
    if not data:
        return ""
    main = _main(data)
    row = next(r for r in data["overall"] if r["metric"] == main and r["temperature"] is None)
    clean, shifted, gap = (Figure.of(row[key]) for key in ("clean", "shifted", "difference"))
    label = data["metrics"][main]["label"]
    if clean.value is None or shifted.value is None:
        return f"Too few answers for a {label}."
    text = (
        f"{label} {words.number(clean.value)} {words.interval(clean, 3)} on clean frames".rstrip()
        + f", {words.number(shifted.value)} {words.interval(shifted, 3)} over the shifts".rstrip()
    )
    if gap.low is None or gap.high is None:
        text += "; too few groups to call that a change."
    elif gap.low <= 0 <= gap.high:
        text += "; the change is within chance."
    else:
        text += f": {'worse' if gap.low > 0 else 'better'} by more than chance."
    if (row.get("cells") or 0) < (row.get("of_cells") or 0):
        text += (
            f" Shifted is the mean over {row['cells']} of {row['of_cells']} cells: the others have too few answers, as "
            "where a model finds next to nothing."
        )
    tendency = _tendency(data)
    return f"{text} {tendency}".rstrip()


def _tendency(data: dict[str, Any]) -> str:
    """Say whether the model is surer than it is right, on clean and on shifted frames."""
    said = []
    for name, clean in (("clean", True), ("shifted", False)):
        bins = [b for b in data["reliability"] if b["temperature"] is None and (b["shift"] == "clean") == clean]
        count = sure = right = 0.0
        for b in bins:
            for n, c, r in zip(b["count"], b["confidence"], b["right"], strict=True):
                if n and c is not None and r is not None:
                    count, sure, right = count + n, sure + n * c, right + n * r
        if count:
            said.append(f"{words.percent(sure / count)} sure and {words.percent(right / count)} right on {name} frames")
    return f"On average it is {' and '.join(said)}." if said else ""


def _curves(run: Run, cells: dict[tuple[str, float, str], dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """Return one drawing a shift: the figure over severity, clean at 0."""
    drawn = [Figure.of(f) for key, f in cells.items() if key[2] == metric]
    top = figures.nice_top([v for f in drawn for v in (f.value, f.high) if v is not None])
    found = []
    for name in run.shift_names:
        points = []
        for severity in (0, *run.severities):
            figure = Figure.of(cells.get(("clean" if severity == 0 else name, float(severity), metric)))
            physical = run.physical(name, severity) if severity else "clean"
            title = f"{physical or f'severity {severity:g}'}: {words.number(figure.value)} {words.interval(figure, 3)}"
            tick = "clean" if severity == 0 else f"{severity:g}"
            points.append(figures.Point(severity, figure, tick, f"{title.rstrip()}\nn = {figure.n or 0}"))
        if all(p.figure.value is None for p in points):
            continue
        said = "; ".join(f"severity {p.severity:g}: {words.number(p.figure.value)}" for p in points)
        svg = figures.curve(
            points, clean=Figure(None), top=top, label=f"{metric} under {words.full_name(name)}: {said}"
        )
        found.append({"name": words.shift_name(name), "family": words.family_name(name.split("/")[0]), "svg": svg})
    return found


def _panels(run: Run, data: dict[str, Any], main: str) -> list[dict[str, Any]]:
    """Return the reliability diagrams of the shifts with the largest error: the clean line and one a severity."""
    bins = {(b["shift"], float(b["severity"])): b for b in data["reliability"] if b["temperature"] is None}
    worst: dict[str, float] = {}
    for f in data["figures"]:
        value = finite(f["value"])
        if f["metric"] == main and f["temperature"] is None and f["shift"] != "clean" and value is not None:
            worst[f["shift"]] = max(value, worst.get(f["shift"], 0.0))
    found = []
    for name in sorted(worst, key=lambda n: -worst[n])[:MOST_PANELS]:
        lines = [("clean", bins.get(("clean", 0.0)))]
        lines += [(f"severity {s:g}", bins.get((name, float(s)))) for s in run.severities]
        drawn = [(i, title, b) for i, (title, b) in enumerate(lines) if b is not None]
        steps = [0, *(round(as_severity(s)) for s in run.severities)]
        svg = reliability(
            [(steps[i], title, b) for i, title, b in drawn], label=f"Reliability under {words.full_name(name)}"
        )
        found.append({"name": words.full_name(name), "family": words.family_name(name.split("/")[0]), "svg": svg})
    return found


def reliability(lines: Sequence[tuple[int, str, dict[str, Any]]], *, label: str) -> Markup:
    """Draw share right over confidence; on the diagonal a model is as right as it is sure.

    lines: severity, name and bins of each; the last is drawn with its intervals
    """

    def x(value: float) -> float:
        return LOW + (HIGH - LOW) * value

    def y(value: float) -> float:
        return 8 + (HIGH - LOW) * (1 - value)

    parts = [_frame(x, y)]
    for i, (severity, name, bins) in enumerate(lines):
        rows = [
            (n, c, r, bins["low"][k], bins["high"][k])
            for k, (n, c, r) in enumerate(zip(bins["count"], bins["confidence"], bins["right"], strict=True))
            if n >= FEWEST_IN_BIN and c is not None and r is not None
        ]
        if not rows:
            continue
        kind = f"pr s{severity}"
        points = " ".join(f"{x(c):.1f},{y(r):.1f}" for _, c, r, _, _ in rows)
        parts.append(f'<polyline class="{kind}" points="{points}"><title>{escape(name)}</title></polyline>')
        for n, c, r, low, high in rows:
            if i == len(lines) - 1 and low is not None and high is not None:
                at = f'x1="{x(c):.1f}" x2="{x(c):.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}"'
                parts.append(f'<line class="{kind} whisker" {at}/>')
            interval = words.interval(Figure(r, low, high))
            title = f"{name}, confidence {c:.2f}: right {r:.2f} {interval}".rstrip() + f", n = {n:,}"
            where = f'cx="{x(c):.1f}" cy="{y(r):.1f}" r="2"'
            parts.append(f'<circle class="{kind} knot" {where}><title>{escape(title)}</title></circle>')
    head = f'<svg class="reliability" viewBox="0 0 {SIZE:g} {SIZE:g}" role="img" aria-label="{escape(label)}">'
    return Markup(head + "".join(parts) + "</svg>")


def _frame(x: Any, y: Any) -> str:
    parts = [f'<line class="diagonal" x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}"/>']
    for value in (0.0, 0.5, 1.0):
        parts.append(f'<line class="grid" x1="{x(0)}" x2="{x(1)}" y1="{y(value)}" y2="{y(value)}"/>')
        parts.append(f'<line class="grid" x1="{x(value)}" x2="{x(value)}" y1="{y(0)}" y2="{y(1)}"/>')
        parts.append(f'<text class="tick" x="{LOW - 5}" y="{y(value) + 3.2:.1f}" text-anchor="end">{value:g}</text>')
        parts.append(f'<text class="tick" x="{x(value)}" y="{y(0) + 14}" text-anchor="middle">{value:g}</text>')
    return "".join(parts)


def unknown(run: Run) -> dict[str, Any] | None:
    """Return the part on scores that should flag shifts and failures, a table a question."""
    data = run.data.get("ood")
    if not data:
        return None
    names = [f["family"] for f in run.data["families"]]
    tables = []
    for key, title, intro in QUESTIONS:
        rows = [row for row in _scores(data, key, names) if row["known"]]
        best = max(rows, key=lambda row: row["sort"], default=None)
        tables.append({"title": title, "intro": intro, "rows": rows, "best": best and best["label"]})
    return {
        "tables": tables,
        "families": [words.family_name(name) for name in names],
        "n_fitted": data["n_fitted"] if "knn" in data["scores"] else 0,
        "n_judged": data["n_judged"],
        "notes": data.get("notes") or [],
        "scores": [(s["label"], s["description"]) for s in data["scores"].values()],
    }


def _scores(data: dict[str, Any], question: str, families: list[str]) -> list[dict[str, Any]]:
    """Return one row a score and what it flags, best first."""
    overall: dict[tuple[str, str], dict[str, Any]] = {}
    for row in data["overall"]:
        if row["question"] == question:
            overall.setdefault((row["score"], row["unit"]), {})[row["metric"]] = row
    by_family = {
        (f["score"], f["unit"], f["family"]): Figure.of(f).value
        for f in data["families"]
        if f["question"] == question and f["metric"] == "auroc"
    }
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for f in data["figures"]:
        if f["question"] == question and f["shift"] != "clean":
            p, n = counts.get((f["score"], f["unit"]), (0, 0))
            counts[f["score"], f["unit"]] = (p + f["positives"], n + f["negatives"])
    rows = []
    for (score, unit), metrics in overall.items():
        figure = Figure.of(metrics["auroc"])
        p, n = counts.get((score, unit), (0, 0))
        rows.append({
            "label": data["scores"][score]["label"], "unit": unit, "known": True, "sort": figure.value or 0.0,
            "positives": f"{p:,}", "negatives": f"{n:,}", "n": figure.n, "cells": metrics["auroc"].get("cells"),
            "figures": [
                {"value": words.number(f.value), "interval": words.interval(f)}
                for f in (Figure.of(metrics[key]) for key in ("auroc", "aupr", "fpr95"))
            ],
            "families": [_family(by_family.get((score, unit, name))) for name in families],
        })  # fmt: skip
    return sorted(rows, key=lambda row: (row["unit"] != "frames", -row["sort"]))


def _family(value: float | None) -> dict[str, Any]:
    """Return an AUROC as a coloured cell: guessing has the colour of nothing, 1 that of everything."""
    step = None if value is None else palette.step(max(0.0, 2 * value - 1))
    return {"value": "–" if value is None else words.number(value, 2), "step": step}
