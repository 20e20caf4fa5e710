"""Drawings of the proof page as SVG text, coloured by the page's own variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, LANE, LEFT, RIGHT, TOP = 860.0, 34.0, 190.0, 24.0, 30.0
CURVE_WIDTH, CURVE_HEIGHT, EDGE, FOOT = 330.0, 170.0, 36.0, 24.0


@dataclass(frozen=True)
class Series:
    """One lane: a score before, of the controls, and after with its interval; aim: the clean score before."""

    label: str
    mark: str
    before: float | None
    controls: tuple[float | None, ...]
    after: float | None
    low: float | None
    high: float | None
    aim: float | None


def lanes(series: Sequence[Series]) -> Markup:
    """Draw one lane a family: before (ring), controls (ticks), after (dot with interval), the clean score (line)."""
    numbers = [n for s in series for n in (s.before, *s.controls, s.after, s.low, s.high, s.aim) if n is not None]
    if not numbers:
        return Markup("")
    top, bottom = max(numbers), min(numbers)
    room = max((top - bottom) * 0.06, 0.005)
    low, high = max(0.0, bottom - room), top + room
    height = TOP + LANE * len(series) + 26

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)

    parts = [_axis(low, high, x, height)]
    for i, one in enumerate(series):
        parts.append(_lane(one, TOP + LANE * (i + 0.5), x))
    label = "Scores before, of the controls and after, by family"
    return Markup('<svg class="lanes" viewBox="0 0 %g %g" role="img" aria-label="%s">%s</svg>') % (
        WIDTH, height, label, Markup("").join(parts),
    )  # fmt: skip


def _axis(low: float, high: float, x: Callable[[float], float], height: float) -> Markup:
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if (high - low) / s <= 8 or s == 1.0)
    parts, value = [], round(low / step) * step
    while value <= high + 1e-9:
        if value >= low:
            parts.append(
                Markup('<path class="grid" d="M%.1f %g V%g"/><text class="tick" x="%.1f" y="%g">%s</text>')
                % (x(value), TOP, height - 24, x(value), height - 8, f"{value:.2f}")
            )
        value += step
    return Markup("").join(parts)


def _lane(s: Series, y: float, x: Callable[[float], float]) -> Markup:
    parts = [Markup('<text class="name" x="0" y="%.1f">%s</text>') % (y + 1, s.label)]
    parts.append(Markup('<text class="mark-text" x="0" y="%.1f">%s</text>') % (y + 14, s.mark))
    if s.aim is not None:
        parts.append(Markup('<path class="aim" d="M%.1f %.1f v18"/>') % (x(s.aim), y - 9))
    if s.low is not None and s.high is not None:
        parts.append(Markup('<path class="span" d="M%.1f %.1f H%.1f"/>') % (x(s.low), y, x(s.high)))
    for value in s.controls:
        if value is not None:
            parts.append(Markup('<path class="control" d="M%.1f %.1f v12"/>') % (x(value), y - 6))
    for value, kind, radius in ((s.before, "before", 5), (s.after, "after", 5.5)):
        if value is not None:
            parts.append(
                Markup('<circle class="%s" cx="%.1f" cy="%.1f" r="%g"><title>%s: %s %.3f</title></circle>')
                % (kind, x(value), y, radius, s.label, kind, value)
            )
    return Markup("").join(parts)


Curve = tuple[Sequence[int], Sequence[float], Sequence[int], Sequence[float]]  # steps, loss, checks, validation


def training_curve(curves: Sequence[Curve], *, label: str) -> Markup:
    """Draw the losses of all seeds of one arm over steps, and the validation losses as dots on lines."""
    values = [v for _, loss, _, checked in curves for v in (*loss, *checked)]
    last = max([s for steps, _, checks, _ in curves for s in (*steps, *checks)] + [1])
    top, bottom = max(values), min(values)
    room = max((top - bottom) * 0.08, 1e-6)
    top, bottom = top + room, max(0.0, bottom - room)

    def at(step: float, value: float) -> str:
        px = EDGE + (CURVE_WIDTH - EDGE - 10) * step / last
        py = 10 + (CURVE_HEIGHT - 10 - FOOT) * (1 - (value - bottom) / (top - bottom))
        return f"{px:.1f} {py:.1f}"

    parts = []
    for value in (bottom + room, (top + bottom) / 2, top - room):
        px, py = at(0, value).split()
        parts.append(
            Markup('<path class="grid" d="M%s %s H%g"/><text class="tick end" x="%g" y="%.1f">%.2g</text>')
            % (px, py, CURVE_WIDTH - 10, EDGE - 5, float(py) + 4, value)
        )
    for step in (0, last):
        px = at(step, bottom).split()[0]
        parts.append(Markup('<text class="tick" x="%s" y="%g">%d</text>') % (px, CURVE_HEIGHT - 6, step))
    for steps, loss, checks, checked in curves:
        line = " L".join(at(s, v) for s, v in zip(steps, loss, strict=True))
        parts.append(Markup('<path class="loss" d="M%s"/>') % line)
        if checked:
            line = " L".join(at(s, v) for s, v in zip(checks, checked, strict=True))
            parts.append(Markup('<path class="validation" d="M%s"/>') % line)
            for s, v in zip(checks, checked, strict=True):
                px, py = at(s, v).split()
                parts.append(
                    Markup('<circle class="check" cx="%s" cy="%s" r="2.2"><title>step %d: %.4f</title></circle>')
                    % (px, py, s, v)
                )
    return Markup('<svg class="curve" viewBox="0 0 %g %g" role="img" aria-label="%s">%s</svg>') % (
        CURVE_WIDTH, CURVE_HEIGHT, escape(label), Markup("").join(parts),
    )  # fmt: skip
