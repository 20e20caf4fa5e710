"""What a caller of a synthesis may decide when all pictures are made: which of them stay, what stands beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from scenes.progress import Report
from synth.staging import Made


class Curator(Protocol):
    """Chooses among the pictures of a synthesis when all are made, and adds files of its own to the new set."""

    def choose(self, made: Sequence[tuple[Made, Path | None]], report: Report) -> Mapping[str, tuple[str, str]]:
        """Return {name: (reason of `filters.REASONS`, detail)} of pictures to leave out; none has its labels here."""
        ...

    def finish(self, target: Path, rows: Sequence[Mapping[str, Any]], left_out: Mapping[str, int]) -> None:
        """Write into the new set before it appears; rows are those of its manifest."""
        ...
