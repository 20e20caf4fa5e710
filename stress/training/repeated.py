"""The stress test that a retraining repeats: the plan and the frames of a run, or other data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenes.errors import InputError
from scenes.folders import read_json
from stress.folder import RunFolder
from stress.plan import Plan
from stress.results import read


@dataclass(frozen=True)
class Repeated:
    """The stress test that is repeated: data set, plan, and the options of `stress.run`."""

    dataset: Any
    plan: Plan
    metric: str
    higher_is_better: bool
    options: Mapping[str, Any]
    path: str

    @classmethod
    def of(cls, run: str | Path, test: Any, *, split: str | None, format: str | None, limit: int | None) -> Repeated:
        results = read(run)
        identity = read_json(RunFolder(results.path).plan)
        data = identity["dataset"]
        dataset = test if test is not None else data["path"]
        if dataset is None:
            raise InputError(f"run {str(run)!r} was given an opened data set: name it again with --test (test=...)")
        named = dict(data["options"]) if test is None else {}
        named.update({k: v for k, v in (("split", split), ("format", format)) if v is not None})
        keys: dict[str, Any] = {"explain": "none", "predictions": False, "reference": None, "dependability": "none"}
        if limit is not None or test is not None:
            keys["limit"] = limit
        plan = Plan.make({**identity["plan"], **keys})
        options = {**named, "depth": identity.get("depth"), "classes": identity.get("classes")}
        metric = str(results.headline["metric"])
        higher = bool(results.summary["metrics"][metric]["higher_is_better"])
        return cls(dataset, plan, metric, higher, options, str(results.path))
