"""The section on how true the re-renders of a fitted scene are, which a run on one stands on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reports import words
from reports.read import Run

NAMES = {"exact": "exact", "splats": "Gaussian splats", "nerf": "NeRF", "reprojection": "reprojection"}
COLUMNS = (  # key of a row, head, digits, signed
    ("PSNR dB", "PSNR (dB)", 1, False), ("SSIM", "SSIM", 3, False), ("box IoU", "Box IoU", 2, False),
    ("mask IoU", "Mask IoU", 2, False), ("AP", "AP", 3, False), ("AP - exact", "AP − exact", 3, True),
    ("error of the change", "Error of the change", 3, True),
)  # fmt: skip


def section(run: Run) -> dict[str, Any] | None:
    """Return what the section prints; None for a run on data without a fitted scene.

    A scene that was measured after the run gives its figures too, as they are those of the scene and not of the run.
    """
    known = run.data.get("rerendering")
    if not isinstance(known, dict):
        return None
    found = known.get("fidelity") or _measured_since(str(known.get("scene", "")))
    shown: dict[str, Any] = {
        "scene": known.get("scene", ""), "command": known.get("command", ""), "measured": bool(found),
        "photos": known.get("clean") == "photos", "held_out": "", "against": "", "rows": [],
        "heads": [head for _, head, _, _ in COLUMNS], "worst": "", "report": f"roadproof report {run.path}",
    }  # fmt: skip
    if not found:
        return shown
    if found.get("psnr_db") is not None:
        views = words.counted(len(found.get("views") or []), "view")
        shown["held_out"] = (
            f"PSNR {found['psnr_db']:.1f} dB and SSIM {found['ssim']:.3f} on {views} held out of its fit"
        )
    rows = found.get("rows") or []
    shown["against"] = (found.get("against") or "") if rows else ""
    shown["model"] = found.get("model") or ""
    shown["rows"] = [_row(row) for row in rows]
    shown["worst"] = _worst(rows, str(found.get("renderer", "splats")))
    return shown


def sentence(run: Run) -> str:
    """Return the section in a line for the summary; empty for a run on data without a fitted scene."""
    found = section(run)
    if found is None:
        return ""
    if not found["measured"]:
        return f"How true the re-renders are was not measured: {found['command']} does."
    parts = [f"Re-renders: {found['held_out']}." if found["held_out"] else "", found["worst"]]
    return " ".join(part for part in parts if part)


def _measured_since(folder: str) -> dict[str, Any] | None:
    from scenes.fidelity import read_fidelity

    return read_fidelity(Path(folder)) if folder and Path(folder).is_dir() else None


def _row(row: dict[str, Any]) -> dict[str, Any]:
    cells = [
        "–" if row.get(key) is None else words.number(float(row[key]), digits, sign=signed)
        for key, _, digits, signed in COLUMNS
    ]
    shift = "clean" if row["shift"] == "clean" else words.full_name(row["shift"])
    return {"shift": shift, "severity": row["severity"], "renderer": NAMES.get(row["renderer"], row["renderer"]),
            "cells": cells, "exact": row["renderer"] == "exact"}  # fmt: skip


def _worst(rows: list[dict[str, Any]], renderer: str) -> str:
    """Say by how much at most what a shift takes from the score is off on re-renders."""
    errors = [
        (abs(row["error of the change"]), row)
        for row in rows
        if row["renderer"] == renderer and row.get("error of the change") is not None
    ]
    if not errors:
        return ""
    most, row = max(errors, key=lambda pair: pair[0])
    place = f"{words.full_name(row['shift'])}, severity {row['severity']}"
    return f"What a shift takes from the score is off by at most {most:.3f} AP on these re-renders ({place})."
