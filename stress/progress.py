"""Progress of a run; see scenes/progress.py."""

from __future__ import annotations

from scenes.progress import Report, reporting, silent

__all__ = ["Report", "reporting", "silent"]
