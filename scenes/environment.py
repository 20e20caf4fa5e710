"""What a run was made with: versions, platform, threads. In another environment the same plan may differ slightly."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("roadproof", "numpy", "torch", "torchvision", "opencv-python-headless", "numba", "pycocotools", "pyarrow")


def environment() -> dict[str, Any]:
    """Return versions and platform."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": usable_cores(),
        "threads_per_worker": 1,
        "packages": {name: found for name in PACKAGES if (found := installed(name)) is not None},
    }


def installed(name: str) -> str | None:
    """Return the version of an installed distribution, None where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def own_version() -> str:
    """Return the version of roadproof; of a checkout that is not installed, its pyproject's."""
    found = installed("roadproof")
    if found is not None:
        return found
    import tomllib
    from pathlib import Path

    path = Path(__file__).resolve().parent.parent / "pyproject.toml"
    return str(tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"]) if path.is_file() else "unknown"


def usable_cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
