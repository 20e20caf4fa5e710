"""The page of a training of a learned generator: what was asked for, loss curves, previews; offline HTML."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
from markupsafe import Markup, escape

from reports import figures, pages
from scenes.errors import InputError
from scenes.images import encode_jpeg, read_image
from synth.training import SCHEMA, read_losses

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 360.0, 170.0, 44.0, 24.0, 10.0
PREVIEW_PX = 900  # widest side of a preview on the page


def write(folder: str | Path) -> Path:
    """Write `training.html` into the folder of a training; return its path. Raises InputError where it is none."""
    folder = Path(folder)
    try:
        asked = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        losses = read_losses(folder)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder}: expected the folder of a training (training.json, losses.csv): {error}") from error
    if asked.get("schema") != SCHEMA:
        raise InputError(f"{folder}: expected schema {SCHEMA!r}, got {asked.get('schema')!r}")
    steps, seconds = losses.pop("step", [0.0]), losses.pop("seconds", [0.0])
    text = pages.render(
        "learning.html",
        title=f"Training of a {asked.get('kind', 'generator')}",
        sentence=f"{steps[-1]:.0f} of {asked['steps']} steps in {seconds[-1] / 60:.1f} minutes.",
        curves=[(name, loss_curve(steps, values, name)) for name, values in losses.items()],
        previews=_previews(folder),
        asked=list(_flat(asked)),
    )
    return pages.write(folder / "training.html", text)


def loss_curve(steps: Sequence[float], values: Sequence[float], name: str) -> Markup:
    """Draw a loss over the steps; above 0, with the last value written."""
    top, last = figures.nice_top(values), max(steps[-1], 1.0)

    def at(step: float, value: float) -> tuple[float, float]:
        high = HEIGHT - TOP - BOTTOM
        return LEFT + (WIDTH - LEFT - 8) * step / last, TOP + high * (1 - min(max(value / top, 0.0), 1.0))

    places = [at(step, value) for step, value in zip(steps, values, strict=True)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    marks = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        for value in (0.0, top / 2, top)
        for y in (at(0, value)[1],)
    ]
    ends = "".join(
        f'<text class="tick" x="{at(step, 0)[0]:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{step:.0f}</text>'
        for step, anchor in ((0.0, "start"), (last, "end"))
    )
    said = escape(f"{name}: {values[0]:.3g} at first, {values[-1]:.3g} at step {steps[-1]:.0f}")
    return Markup(
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{said}">{"".join(marks)}{ends}'
        f'<polyline class="line" fill="none" points="{line}"/></svg>'
    )


def _previews(folder: Path) -> list[tuple[str, str]]:
    """Return (title, data URI) of the previews, the last first."""
    found = sorted((folder / "previews").glob("*.png"), reverse=True)
    shown = []
    for path in found:
        image = read_image(path)
        scale = min(1.0, PREVIEW_PX / max(image.shape[:2]))
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        data = base64.b64encode(encode_jpeg(small, quality=88)).decode()
        shown.append((f"step {int(path.stem)}", f"data:image/jpeg;base64,{data}"))
    return shown


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{before}{key}.")
        else:
            rows.append((before + key, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return rows
