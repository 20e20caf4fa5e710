"""The run folder: where its files are, how they are written whole or not at all, and whose run it is."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenes.errors import InputError
from stress.plan import SCHEMA, Cell

_TEMPORARY = ".tmp-"
_LOCK = ".lock"


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
            if self.path.is_dir() and any(not p.name.startswith((_TEMPORARY, _LOCK)) for p in self.path.iterdir()):
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
        """Make the folder and keep other processes from working in it; the lock ends with the process at the latest."""
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._take(descriptor)
            try:
                yield
            finally:
                with suppress(OSError):  # while it is held, so that it is ours
                    (self.path / _LOCK).unlink()
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int) -> None:
        if importlib.util.find_spec("fcntl") is None:
            return  # a platform without such locks
        import fcntl

        taken = InputError(f"run folder {str(self.path)!r}: another process is working in this folder; wait for it")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise taken from None
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                return  # a file system without locks
            raise
        path = self.path / _LOCK
        if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise taken  # it was let go and taken again in between

    def clear_temporary(self) -> None:
        """Remove what a stopped run left half-written."""
        for folder in (self.path, self.path / "parts", self.path / "predictions", self.evidence):
            for left in folder.glob(f"{_TEMPORARY}*"):
                with suppress(OSError):
                    left.unlink()

    def remove_unless_used(self) -> None:
        """Remove a folder that a run has begun, if no work of it is there: an early error leaves nothing behind."""
        begun = {self.plan, self.path / "environment.json", self.path / _LOCK}
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


def identity_key(identity: Mapping[str, Any]) -> str:
    """Return a short hash of what a run is, which every part carries."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def differences(found: Any, wanted: Any, where: str = "") -> list[str]:
    """Say in which keys two plain values differ.

    >>> differences({"plan": {"seed": 1}}, {"plan": {"seed": 2}})
    ['plan.seed is 1 there, 2 here']
    """
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = [*wanted, *(key for key in found if key not in wanted)]
        return [text for key in keys for text in differences(found.get(key), wanted.get(key), f"{where}.{key}")]
    if found == wanted:
        return []
    return [f"{where.lstrip('.')} is {json.dumps(found):.60} there, {json.dumps(wanted):.60} here"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; it takes the name when all is written, or is gone."""
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{path.name}")
    with disk_errors(path):
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into one clear error; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"the disk is full while {path} is written; free some space and give the same command to resume"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR):
            raise InputError(f"cannot write {path}: {error.strerror}; name a folder you can write to") from error
        raise


def write_json(path: Path, value: Any) -> None:
    """Write plain values, whole or not at all; NaN is refused (JSON has none)."""
    if isinstance(value, dict):  # one line a key: readable, and a tenth of the size of full indentation
        lines = (f"{json.dumps(key)}: {json.dumps(v, ensure_ascii=False, allow_nan=False)}" for key, v in value.items())
        text = "{\n" + ",\n".join(lines) + "\n}"
    else:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file of a run folder."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error
