"""The run folder: where its files are, how they are written whole or not at all, and whose run it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenes.errors import InputError
from scenes.folders import (
    LOCK,
    TEMPORARY,
    differences,
    disk_errors,
    identity_key,
    locked,
    no_empty_folders,
    read_json,
    replacing,
    write_json,
)
from stress.plan import SCHEMA, Cell

__all__ = [
    "RunFolder",
    "differences",
    "disk_errors",
    "file_name",
    "identity_key",
    "read_json",
    "replacing",
    "write_json",
]


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run; see docs/run-folder.md."""

    path: Path

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def results(self) -> Path:
        return self.path / "results.json"

    @property
    def evidence(self) -> Path:
        return self.path / "evidence"

    def part(self, cell: Cell, shard: int) -> Path:
        """Return the file of one cell and shard; that it is there says that the work is done."""
        return self.path / "parts" / f"{file_name(cell)}-{shard:05d}.parquet"

    def predictions(self, cell: Cell, shard: int) -> Path:
        return self.path / "predictions" / f"{file_name(cell)}-{shard:05d}.parquet"

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self.path, self.path / "parts", self.path / "predictions", self.evidence):
            with disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
        self.clear_temporary()

    def check(self, identity: Mapping[str, Any]) -> bool:
        """Tell whether this run was begun here; raise where the folder holds another run or anything else."""
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"run folder {str(self.path)!r}: there is a file of that name")
        if not self.plan.exists():
            if self.path.is_dir() and any(not p.name.startswith((TEMPORARY, LOCK)) for p in self.path.iterdir()):
                raise InputError(f"run folder {str(self.path)!r}: holds other files; name a new or empty folder")
            return False
        different = differences(read_json(self.plan), {"schema": SCHEMA, **identity})
        if different:
            raise InputError(
                f"run folder {str(self.path)!r} holds another run: {'; '.join(different[:4])}; "
                "give the same plan, data and model to resume it, or name a new folder"
            )
        return True

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Make the folders, clear away what a killed run left half-written, and write whose run this is."""
        self.prepare()
        if not self.plan.exists():
            write_json(self.plan, {"schema": SCHEMA, **identity})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and keep other processes from working in it; the lock ends with the process at the latest.

        Where that fails early, no empty folder is left.
        """
        with no_empty_folders(self.path), locked(self.path, "run folder"):
            yield

    def clear_temporary(self) -> None:
        """Remove what a stopped run left half-written."""
        for folder in (self.path, self.path / "parts", self.path / "predictions", self.evidence):
            for left in folder.glob(f"{TEMPORARY}*"):
                with suppress(OSError):
                    left.unlink()

    def remove_unless_used(self) -> None:
        """Remove a folder that a run has begun, if no work of it is there: an early error leaves nothing behind."""
        begun = {self.plan, self.path / "environment.json", self.path / LOCK}
        if any(p not in begun and not p.is_dir() for p in self.path.rglob("*")):
            return
        with suppress(OSError):  # what cannot be removed does no harm: the same command goes on there
            for file in begun:
                file.unlink(missing_ok=True)
            for folder in (self.path / "parts", self.path / "predictions", self.evidence, self.path):
                if folder.exists():
                    folder.rmdir()


def file_name(cell: Cell) -> str:
    """Return the name of a cell in files.

    >>> file_name(Cell("weather/fog", 3.0))
    'weather-fog@3'
    """
    return cell.label.replace("/", "-")
