"""The part of the page on explanations over cells: does attention wander where the score falls?"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape

from reports import words
from reports.read import Figure, Run, finite

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420.0, 240.0, 44.0, 14.0, 12.0, 40.0
PAIRS = (
    ("energy", "energy inside"),
    ("pointing", "pointing game"),
    ("deletion", "deletion"),
    ("insertion", "insertion"),
)


def explained(run: Run) -> dict[str, Any] | None:
    """Return what is shown of explanations over cells; None where none were made."""
    data = run.data.get("explanations")
    if not data:
        return None
    shown = [key for key, _ in PAIRS if any(_known(cell, key) for cell in data["cells"])]
    correlation = Figure.of(data.get("correlation"))
    return {
        "method": {"hirescam": "HiResCAM", "gradcam": "Grad-CAM"}.get(data["method"], data["method"]),
        "rows": [_row(run, cell, shown) for cell in data["cells"]],
        "columns": [label for key, label in PAIRS if key in shown],
        "svg": _scatter(run, data["cells"]),
        "correlation": words.number(correlation.value, 2, sign=True),
        "interval": words.interval(correlation),
        "known": correlation.value is not None,
        "notes": data.get("notes") or [],
        "n": max((cell["n"] for cell in data["cells"]), default=0),
    }


def _known(cell: dict[str, Any], key: str) -> bool:
    return Figure.of(cell[key]).value is not None


def _row(run: Run, cell: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    drift, loss, lost = Figure.of(cell["drift"]), Figure.of(cell["loss"]), finite(cell.get("lost"))
    return {
        "name": words.place(run, cell["shift"], cell["severity"]),
        "n": cell["n"],
        "lost": "–" if lost is None else words.percent(lost),
        "loss": {"value": words.number(loss.value, 2, sign=True), "interval": words.interval(loss)},
        "drift": _points(drift),
        "pairs": [_pair(cell, key) for key in shown],
    }


def _points(drift: Figure) -> dict[str, str]:
    """Return a share in points."""
    value, low, high = (None if v is None else 100 * v for v in (drift.value, drift.low, drift.high))
    return {"value": words.number(value, 0, sign=True), "interval": words.interval(Figure(value, low, high), 0)}


def _pair(cell: dict[str, Any], key: str) -> dict[str, str] | None:
    """Return clean and shifted of one figure; None where it was not measured in a cell."""
    before, now = Figure.of(cell[f"{key}_clean"]), Figure.of(cell[key])
    if now.value is None:
        return None
    title = f"clean {words.number(before.value)} {words.interval(before)}, shifted {words.number(now.value)}"
    return {
        "before": words.number(before.value, 2),
        "now": words.number(now.value, 2),
        "title": f"{title} {words.interval(now)}".rstrip(),
    }


def _scatter(run: Run, cells: list[dict[str, Any]]) -> Markup | None:
    """Draw drift over the share of the clean score that each cell loses."""
    drifts = [
        (finite(c.get("lost")), Figure.of(c["drift"]), words.place(run, c["shift"], c["severity"]), c["n"])
        for c in cells
    ]
    known = [(lost, f, name, n) for lost, f, name, n in drifts if lost is not None and f.value is not None]
    if len(known) < 2:
        return None
    reach = max([0.1, *(abs(v) for _, f, _, _ in known for v in (f.value, f.low, f.high) if v is not None)])

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(value, 0.0), 1.0)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (0.5 - 0.5 * min(max(value / reach, -1.0), 1.0))

    parts = []
    for value in (-reach, 0.0, reach):
        at = y(value)
        kind = "ref" if value == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        text = words.number(100 * value, 0, sign=True)
        parts.append(f'<text class="tick" x="{LEFT - 5}" y="{at + 3.2:.1f}" text-anchor="end">{text}</text>')
    for value in (0.0, 0.5, 1.0):
        parts.append(f'<text class="tick" x="{x(value):.1f}" y="{HEIGHT - 22}" text-anchor="middle">{value:.0%}</text>')
    middle = x(0.5)
    parts.append(f'<text class="tick" x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">clean score lost</text>')
    for lost, f, name, n in known:
        px = x(lost or 0.0)
        if f.low is not None and f.high is not None:
            parts.append(
                f'<line class="whisker" x1="{px:.1f}" x2="{px:.1f}" y1="{y(f.low):.1f}" y2="{y(f.high):.1f}"/>'
            )
        points = _points(f)
        title = f"{name}: drift {points['value']} {points['interval']} points, n = {n}"
        where = f'cx="{px:.1f}" cy="{y(f.value or 0.0):.1f}"'
        parts.append(f'<circle class="dot" {where} r="4"><title>{escape(title)}</title></circle>')
    label = "Drift of attention over the share of the clean score that each cell loses"
    head = f'<svg class="curve drift" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{label}">'
    return Markup(head + "".join(parts) + "</svg>")
