"""What results say of the fitted scene behind a data set: which it is, and how true it was found to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scenes.fidelity import read_fidelity

PREFIXES = ("scene", "rendered")


def rerendering_block(spec: str | None) -> dict[str, Any]:
    """Return {"rerendering": ...} of a data set `scene:DIR` or `rendered:DIR`; nothing for others."""
    kind, _, name = (spec or "").partition(":")
    if kind not in PREFIXES or not name:
        return {}
    folder = Path(name).expanduser().resolve()
    return {
        "rerendering": {
            "scene": str(folder),
            "clean": "photos" if kind == "scene" else "renders",
            "fidelity": read_fidelity(folder),
            "command": f"roadproof scene check {folder}",
        }
    }
