"""The calibration page: physical value, distance to clean and loss of each severity beside each other, offline HTML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports import pages, palette, words
from reports.read import plain, unit_of

KINDS = {"ms_ssim": "1 − MS-SSIM", "lpips": "LPIPS", "loss": "Loss"}


def write(folder: str | Path, summary: Mapping[str, Any]) -> Path:
    """Write `calibration.html` and `calibration.md` of a calibration into its folder; return the path of the page."""
    folder = Path(folder)
    pages.write(folder / "calibration.md", markdown(summary))
    return pages.write(folder / "calibration.html", render(summary))


def render(summary: Mapping[str, Any]) -> str:
    """Return the page."""
    scale = summary["scale"]
    return pages.render(
        "calibration.html",
        title=f"Severities of {len(summary['shifts'])} shifts on {scale['dataset']}",
        summary=summary,
        scale=scale,
        targets=[words.percent(target) for target in scale["targets"]],
        rows=[_row(shift) for shift in summary["shifts"]],
        kinds=KINDS,
        has_lpips=any(value is not None for shift in summary["shifts"] for value in shift["lpips"]),
        falling=falling(summary),
    )


def _row(shift: Mapping[str, Any]) -> dict[str, Any]:
    unit = unit_of(shift)
    cells = []
    for i in range(5):
        loss, margin, there = shift["loss"][i], shift["loss_margin"][i], shift["measured"][i]
        cells.append(
            {
                "physical": plain(shift["values"][i]),
                "ms_ssim": _number(shift["ms_ssim"][i]),
                "lpips": _number(shift["lpips"][i]),
                "loss": "–" if loss is None else words.percent(loss),
                "margin": "" if margin is None else f"± {words.percent(margin, unit=False)}",
                "step": palette.step(None if loss is None else 1.0 - loss),
                "measured": "–" if there is None else f"{there:.1f}",
            }
        )
    return {
        "name": words.shift_name(shift["name"]),
        "full": shift["name"],
        "family": words.family_name(shift["family"]),
        "scale": f"{shift['quantity']}{f', {unit}' if unit else ''}",
        "cells": cells,
        "falls": [KINDS[kind] for kind, rises in shift["monotone"].items() if rises is False],
    }


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def falling(summary: Mapping[str, Any]) -> list[str]:
    """Return what falls although severity rises, in words."""
    found = []
    for shift in summary["shifts"]:
        kinds = [KINDS[kind] for kind, rises in shift["monotone"].items() if rises is False]
        if kinds:
            found.append(f"{words.full_name(shift['name'])}: {words.listed(kinds)}")
    return found


def markdown(summary: Mapping[str, Any]) -> str:
    """Return the same table as Markdown."""
    scale = summary["scale"]
    lines = [
        f"# Severities on {scale['dataset']}",
        "",
        f"Reference model {scale['model']}, {scale['metric']} {summary['clean']:.3f} on {summary['n_frames']} clean "
        f"frames; distances on {summary['n_pictures']}.",
        *(f"{note}" for note in summary["notes"]),
        "",
        "| shift | severity 1 | 2 | 3 | 4 | 5 | falls |",
        "|---|---|---|---|---|---|---|",
    ]
    for shift in summary["shifts"]:
        row = _row(shift)
        unit = unit_of(shift)
        cells = [f"{c['physical']}{f' {unit}' if unit else ''}: {c['ms_ssim']}, {c['loss']}" for c in row["cells"]]
        lines.append(
            f"| {shift['name']} | {' | '.join(cells)} | {words.listed(row['falls']) if row['falls'] else ''} |"
        )
    lines += [
        "",
        "Each cell: physical value: 1 − MS-SSIM to clean, share of the clean score that is lost.",
        "",
        f"Measured severities 1 to 5 cost {', '.join(words.percent(t) for t in scale['targets'])}.",
    ]
    return "\n".join(lines) + "\n"
