"""The quality page of a synthesised data set: one offline HTML file without a script, in the look of the report."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from reports import pages, palette, words
from synth.quality import Pair, Quality

VERDICTS = ("kept", "modified", "occluded", "invalid")


def write(quality: Quality, target: str | Path) -> Path:
    """Write the page to a file and return its path; nothing half-written is left behind."""
    return pages.write(Path(target), render(quality))


def render(quality: Quality) -> str:
    """Return the page."""
    return pages.render(
        "synthesis.html",
        title=f"Quality of {quality.name}",
        q=quality,
        sentence=sentence(quality),
        sets=sets(quality),
        verdicts=VERDICTS,
        colours=palette.VERDICTS,
        entries=[_entry(entry) for entry in quality.entries],
        pairs=[_shown(pair) for pair in quality.pairs],
        recipe=_recipe(quality),
        number=words.number,
    )


def sentence(quality: Quality) -> str:
    """Return what the new set is, in a line."""
    pictures = words.counted(quality.n_made, "picture")
    frames = words.counted(quality.n_sources, "frame")
    objects = sum(entry["objects"] for entry in quality.entries)
    if not objects:
        return f"{pictures} of {frames}, labels moved along."
    lost = sum(entry["invalid"] for entry in quality.entries)
    hard = sum(entry["hard_to_see"] for entry in quality.entries)
    return (
        f"{pictures} of {frames} with {words.counted(objects, 'object')}: {lost} no longer there, {hard} hard to see."
    )


def sets(quality: Quality) -> list[dict[str, Any]]:
    """Return a row for each distance between the sets, with the same distance between two halves of the source."""
    rows = []
    for name, (value, spread) in quality.figures.items():
        base = quality.baseline.get(name)
        rows.append(
            {
                "name": name,
                "value": value,
                "spread": spread,
                "baseline": None if base is None else base[0],
                "baseline_spread": None if base is None else base[1],
            }
        )
    return rows


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the table: plain name, and the share of the objects of each verdict for its bar."""
    low, high = entry["severity"]
    objects = entry["objects"]
    return {
        **entry,
        "title": words.full_name(entry["name"]).replace("+", " + "),
        "span": f"{low:.2g}" if low == high else f"{low:.2g} to {high:.2g}",
        "shares": [(kind, 100.0 * entry[kind] / objects) for kind in VERDICTS if objects and entry[kind]],
    }


def _shown(pair: Pair) -> dict[str, Any]:
    return {
        "title": pair.title,
        "name": pair.row["sample_id"],
        "ms_ssim": pair.ms_ssim,
        "lpips": pair.lpips,
        "clean": _uri(pair.clean),
        "made": _uri(pair.made),
    }


def _uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _recipe(quality: Quality) -> str:
    """Return the recipe as it was understood, a line a key."""
    if not quality.recipe:
        return ""
    lines = []
    for key, value in quality.recipe.items():
        if key == "shifts":
            lines += ["shifts:", *(f"  - {json.dumps(entry)}" for entry in value)]
        else:
            lines.append(f"{key}: {json.dumps(value)}")
    return "\n".join(lines)
