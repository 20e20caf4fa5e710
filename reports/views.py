"""What the page shows, as plain values: each function turns results into what one part of the template prints."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from reports import figures, palette, words
from reports.read import Figure, Run, plain, unit_of

SECTIONS = (
    ("verdict", "Verdict"), ("grid", "Grid"), ("curves", "Curves"), ("classes", "Classes"), ("confusion", "Confusion"),
    ("pr", "Precision–recall"), ("dependability", "Dependability"), ("mining", "Slices"), ("failures", "Failures"),
    ("safety", "Safety"), ("rerendering", "Re-renders"), ("audit", "Labels"), ("methods", "Methods"),
)  # fmt: skip


def big_numbers(run: Run) -> list[dict[str, str]]:
    """Return the figures at the top: clean, under shift, kept."""
    head, label = run.data["headline"], run.label()
    clean, mpc, rpc = (Figure.of(head[key]) for key in ("clean", "mpc", "rpc"))
    numbers = [
        {
            "name": f"Clean {label}", "value": words.number(clean.value, 2), "interval": words.interval(clean),
            "key": "clean",
        },
        {
            "name": f"Shifted {label}", "value": words.number(mpc.value, 2), "interval": words.interval(mpc),
            "key": "mPC",
        },
        {
            "name": "Kept", "value": words.percent(rpc.value), "interval": words.interval(rpc, as_percent=True),
            "key": "rPC",
        },
    ]  # fmt: skip
    mce = words.mce(run)
    if mce.value is not None:
        said = {"value": words.percent(mce.value), "interval": words.interval(mce, as_percent=True)}
        numbers.append({"name": words.mce_name(run), "key": "mCE", **said})
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
        f"{words.interval(rpc, as_percent=True)}".rstrip()
        + "."
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
    ranked: dict[str, Any] = next((p for p in run.data["per_shift"] if p["shift"] == name), {})
    mean, clean = run.mean(metric, shifts=[name]), run.clean(metric).value
    rpc = (
        Figure.of(ranked.get("rpc"))
        if metric == run.metric
        else Figure(mean / clean if mean is not None and clean else None)
    )
    first = None if metric != run.metric else ranked.get("breaks_at")
    unit = f", {unit_of(shift)}" if unit_of(shift) else ""
    return {
        "shift": name, "name": words.shift_name(name), "scale": f"{shift.get('quantity', '')}{unit}",
        "cells": [_heat_cell(run, name, s, metric, first) for s in run.severities],
        "kept": words.percent(rpc.value), "kept_interval": words.interval(rpc, as_percent=True),
        "mean": words.number(mean, 2), "step": palette.step(rpc.value),
        "monotone": bool(ranked.get("monotone", True)) or metric != run.metric,
    }  # fmt: skip


def _heat_cell(run: Run, shift: str, severity: float, metric: str, first: Any) -> dict[str, Any]:
    kept = run.retention(shift, severity, metric)
    figure = run.score(shift, severity, metric)
    return {
        "severity": severity, "step": palette.step(kept),
        "kept": "–" if kept is None else words.percent(kept, unit=False),
        "value": "–" if figure.value is None else words.number(figure.value, 2),
        "physical": run.physical(shift, severity, quantity=False), "breaks": first is not None and severity == first,
        "title": cell_title(run, shift, severity, metric),
    }  # fmt: skip


def cell_title(run: Run, shift: str, severity: float, metric: str) -> str:
    """Return everything about one cell in a few lines."""
    row, figure = run.cell(shift, severity, metric), run.score(shift, severity, metric)
    physical = run.physical(shift, severity)
    lines = [f"{words.full_name(shift)}, severity {severity:g}" + (f": {physical}" if physical else "")]
    if figure.value is None:
        return "\n".join([*lines, f"{run.label(metric)}: too few samples"])
    lines.append(f"{run.label(metric)} {words.number(figure.value)} {words.interval(figure, 3)}".rstrip())
    kept = words.percent(run.retention(shift, severity, metric))
    lines.append(f"keeps {kept} of clean {words.number(run.clean(metric).value)}")
    delta = Figure.of({"value": row.get("delta"), "low": row.get("delta_low"), "high": row.get("delta_high")})
    if delta.value is not None:
        lines.append(f"change {words.number(delta.value, sign=True)} {words.interval(delta, 3)}".rstrip())
    return "\n".join(lines + ([f"n = {figure.n}"] if figure.n else []))


def curves(run: Run, metric: str) -> list[dict[str, Any]]:
    """Return one drawing a shift, grouped as in the grid."""
    clean = run.clean(metric)
    drawn = [clean, *(run.score(n, s, metric) for n in run.shift_names for s in run.severities)]
    top = figures.nice_top([v for figure in drawn for v in (figure.value, figure.high) if v is not None])
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
    return figures.curve(
        points, clean=clean, top=top, label=f"{run.label(metric)} under {words.full_name(shift)}: {said}"
    )
