"""Hashes of the files that decide what a run or a synthesis makes: an edited shift or data set is another one.

What those files import or read in turn is not followed, and published weights that a library fetches go by their name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scenes.plugins import looks_like_attribute
from scenes.sample import Image


def named_files(spec: str) -> dict[str, str]:
    """Return {file name: hash} of `file.py:attr`, `module:attr`, `hf:DIR`, `torchvision:NAME@weights`, `scene:DIR`."""
    prefix, _, rest = spec.partition(":")
    if prefix == "hf":
        folder = Path(rest)
        return file_hashes(folder.iterdir()) if folder.is_dir() else {}
    if prefix in ("scene", "rendered"):
        return file_hashes([Path(rest) / name for name in ("scene.json", "gaussians.ply", "nerf.safetensors")])
    if prefix in ("torchvision", "timm"):
        file = rest.partition("@")[2]
        return file_hashes([Path(file)]) if file else {}
    if not looks_like_attribute(spec):
        return {}
    source = spec.rpartition(":")[0]
    if source.endswith(".py"):
        return file_hashes([Path(source)])
    origin = _origin(source)
    return file_hashes([origin]) if origin is not None else {}


def class_hash(instance: Any) -> str | None:
    """Return the hash of the source of an object's class, None where Python cannot tell it."""
    try:
        return short_hash(inspect.getsource(type(instance)).encode())
    except (OSError, TypeError):
        return None


def shift_files(names: Iterable[str]) -> Mapping[str, str]:
    """Return {file name: hash} of the shifts that are not ours."""
    return {name: digest for spec in names for name, digest in named_files(spec).items()}


def _origin(module: str) -> Path | None:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # told where it is loaded
        return None
    return Path(found.origin) if found is not None and found.origin is not None else None


def file_hashes(paths: Iterable[Path]) -> dict[str, str]:
    """Return {file name: hash} of those that are files, hidden ones left out."""
    files = sorted(path for path in paths if path.is_file() and not path.name.startswith("."))
    found = {}
    for path in files:
        with path.open("rb") as stream:
            found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()[:32]
    return found


def short_hash(data: bytes) -> str:
    """Return the first 32 digits of SHA-256."""
    return hashlib.sha256(data).hexdigest()[:32]


def pixel_hash(image: Image) -> str:
    """Return SHA-256 of a picture's shape and pixels, whatever file they came from.

    >>> pixel_hash(np.zeros((1, 2, 3), np.uint8)) == pixel_hash(np.zeros((2, 1, 3), np.uint8))
    False
    """
    state = hashlib.sha256(repr(image.shape).encode())
    state.update(np.ascontiguousarray(image).data)
    return state.hexdigest()
