"""Folders that work goes on in: files written whole or not at all, one process at a time, clear errors of the disk."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scenes.errors import InputError

TEMPORARY = ".tmp-"
LOCK = ".lock"


@contextmanager
def no_empty_folders(folder: Path) -> Iterator[None]:
    """Where what is done inside fails, remove this folder and those above it that were not there before, if empty."""
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):  # one that holds something stays, and with it those above
            for place in new:
                if place.exists():
                    place.rmdir()
        raise


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Make a folder and keep other processes from working in it; the lock ends with the process at the latest.

    what: how messages call the folder
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(folder, descriptor, what)
        try:
            yield
        finally:
            with suppress(OSError):  # while it is held, so that it is ours
                (folder / LOCK).unlink()
    finally:
        os.close(descriptor)


def _take(folder: Path, descriptor: int, what: str) -> None:
    if importlib.util.find_spec("fcntl") is None:
        return  # a platform without such locks
    import fcntl

    taken = InputError(f"{what} {str(folder)!r}: another process is working in this folder; wait for it")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise taken from None
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            return  # a file system without locks
        raise
    path = folder / LOCK
    if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
        raise taken  # it was let go and taken again in between


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
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
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
    """Read a JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error
