"""Evidence (first version)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Gallery:
    entries: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def gather_evidence(job: Any, folder: Any, executor: Any, cells: Any, described: Any, report: Any) -> Gallery:
    return Gallery()
