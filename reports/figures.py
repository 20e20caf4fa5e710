"""Drawings as SVG text: sharp on paper, a few kB each, coloured by the page's own variables (so dark mode is free).

Written by hand rather than by plotly: its script alone is 4.5 MB of a page that has to travel by mail, and its
canvases neither follow the theme nor print well. What a pointer shows is a <title>, so a screen reader has it too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from reports.read import Figure

WIDTH, HEIGHT = 260.0, 158.0
LEFT, RIGHT, TOP, BOTTOM = 30.0, 12.0, 10.0, 24.0


@dataclass(frozen=True)
class Point:
    """One severity of a curve: what is drawn, what stands below it, and what a pointer shows."""

    severity: float
    figure: Figure
    tick: str
    title: str
    broken: bool = False


def curve(points: Sequence[Point], *, clean: Figure, top: float, label: str) -> Markup:
    """Draw a score over severity with its confidence band, and the clean score and its half for reference.

    points: rising severities, the clean data first (severity 0)
    top:    value at the upper edge
    """
    last = max([p.severity for p in points] + [1.0])

    def x(severity: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * severity / last

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(max(value / top, 0.0), 1.0))

    parts = [_grid(top, y), _references(clean, y)]
    known = [p for p in points if p.figure.value is not None]
    band = [p for p in known if p.figure.low is not None and p.figure.high is not None]
    if len(band) > 1:
        upper = [f"{x(p.severity):.1f},{y(p.figure.high or 0.0):.1f}" for p in band]
        lower = [f"{x(p.severity):.1f},{y(p.figure.low or 0.0):.1f}" for p in reversed(band)]
        parts.append(f'<polygon class="band" points="{" ".join(upper + lower)}"/>')
    line = " ".join(f"{x(p.severity):.1f},{y(p.figure.value or 0.0):.1f}" for p in known)
    parts.append(f'<polyline class="line" points="{line}"/>')
    for p in points:
        where = f'x="{x(p.severity):.1f}" y="{HEIGHT - 8:.1f}"'
        parts.append(f'<text class="tick" {where} text-anchor="middle">{escape(p.tick)}</text>')
        if p.figure.value is not None:
            kind = "dot broken" if p.broken else "dot"
            at = f'cx="{x(p.severity):.1f}" cy="{y(p.figure.value):.1f}"'
            parts.append(f'<circle class="{kind}" {at} r="3.2"><title>{escape(p.title)}</title></circle>')
    return _svg(WIDTH, HEIGHT, "curve", label, parts)


def _grid(top: float, y: Callable[[float], float]) -> str:
    lines = []
    for value in (0.0, top / 2, top):
        at = y(value)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        lines.append(f'<text class="tick" x="{LEFT - 5}" y="{at + 3.2:.1f}" text-anchor="end">{value:g}</text>')
    return "".join(lines)


def _references(clean: Figure, y: Callable[[float], float]) -> str:
    if clean.value is None:
        return ""
    parts = []
    for value, kind, title in ((clean.value, "ref", "clean"), (clean.value / 2, "ref half", "half of clean")):
        at = y(value)
        line = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"'
        parts.append(f'<line class="{kind}" {line}><title>{title}: {value:.3f}</title></line>')
    return "".join(parts)


def nice_top(values: Sequence[float]) -> float:
    """Return the upper edge of an axis: the next 1, 2 or 5 times a power of ten; 1 where nothing is known.

    >>> nice_top([0.2, 0.7]), nice_top([0.25, 0.3]), nice_top([38.0]), nice_top([])
    (1.0, 0.5, 50.0, 1.0)
    """
    high = max(values, default=1.0)
    if high <= 0:
        return 1.0
    power = math.floor(math.log10(high))
    return next(float(f"{k}e{power}") for k in (1, 2, 5, 10) if high <= float(f"{k}e{power}") * (1 + 1e-9))


def pr_panel(lines: Sequence[tuple[str, str, Sequence[float], Sequence[float]]], *, label: str) -> Markup:
    """Draw precision over recall.

    lines: (CSS class, title, recall, precision) each, drawn in order
    """
    size, low, high = 190.0, 28.0, 180.0

    def at(x: float, y: float) -> str:
        return f"{low + (high - low) * x:.1f},{8 + (high - low) * (1 - y):.1f}"

    parts = []
    for value in (0.0, 0.5, 1.0):
        px, py = at(value, value).split(",")
        parts.append(f'<line class="grid" x1="{low}" x2="{high}" y1="{py}" y2="{py}"/>')
        parts.append(f'<line class="grid" x1="{px}" x2="{px}" y1="8" y2="{8 + high - low}"/>')
        parts.append(f'<text class="tick" x="{low - 5}" y="{float(py) + 3.2:.1f}" text-anchor="end">{value:g}</text>')
        parts.append(f'<text class="tick" x="{px}" y="{8 + high - low + 14}" text-anchor="middle">{value:g}</text>')
    parts.append('<g transform="scale(0.5)">')  # whole numbers of half pixels keep many curves small
    for kind, title, xs, ys in lines:
        drawn = [(x, y) for x, y in zip(xs, ys, strict=False) if x is not None and y is not None and y > 0]
        if drawn and len(drawn) < len(xs):
            drawn.append((drawn[-1][0], 0.0))  # nothing is found beyond this recall
        places = [(2 * (low + (high - low) * x), 2 * (8 + (high - low) * (1 - y))) for x, y in drawn]
        parts.append(f'<path class="pr {escape(kind)}" d="{path(places)}"><title>{escape(title)}</title></path>')
    parts.append("</g>")
    return _svg(size, size, "pr-panel", label, parts)


def path(places: Sequence[tuple[float, float]]) -> str:
    """Return a line through points as path data in whole steps; points on the way straight ahead are left out.

    >>> path([(0, 0), (2, 0), (4.2, 0.1), (4, 9)])
    'M0 0h4v9'
    """
    whole = [(round(x), round(y)) for x, y in places]
    kept: list[tuple[int, int]] = []
    for at in whole:
        if len(kept) > 1 and _straight(kept[-2], kept[-1], at):
            kept[-1] = at
        elif not kept or at != kept[-1]:
            kept.append(at)
    steps = [(x1 - x0, y1 - y0) for (x0, y0), (x1, y1) in pairwise(kept)]
    moves = [f"v{dy}" if dx == 0 else f"h{dx}" if dy == 0 else f"l{dx} {dy}" for dx, dy in steps]
    return f"M{kept[0][0]} {kept[0][1]}" + "".join(moves) if kept else ""


def _straight(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
    """Return whether c lies straight ahead of the step from a to b."""
    one, two = (b[0] - a[0], b[1] - a[1]), (c[0] - b[0], c[1] - b[1])
    return one[0] * two[1] == one[1] * two[0] and one[0] * two[0] + one[1] * two[1] >= 0


def stack(counts: Sequence[tuple[str, int]]) -> Markup:
    """Draw counts as parts of one bar, each with its number as a title."""
    total = sum(count for _, count in counts)
    parts, x = [], 0.0
    for kind, count in counts:
        width = 100.0 * count / total if total else 0.0
        if count:
            title = f"<title>{escape(kind)}: {count}</title>"
            parts.append(
                f'<rect class="v-{escape(kind)}" x="{x:.2f}" y="0" width="{width:.2f}" height="10">{title}</rect>'
            )
        x += width
    label = ", ".join(f"{kind} {count}" for kind, count in counts)
    return _svg(100, 10, "stack", label, parts, extra=' preserveAspectRatio="none"')


def _svg(width: float, height: float, kind: str, label: str, parts: Sequence[str], *, extra: str = "") -> Markup:
    head = f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}"{extra} role="img" aria-label="{escape(label)}">'
    return Markup(head + "".join(parts) + "</svg>")
