"""A finished run as the reports see it: `results.json`, checked, and looked up by cell."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scenes.errors import InputError

SCHEMA = "roadproof.results/1"
_REQUIRED = (
    "run", "dataset", "model", "classes", "severities", "shifts", "metrics", "headline", "families", "per_shift",
    "figures", "gallery",
)  # fmt: skip
Key = tuple[str, float, str, str | None, str | None]  # shift, severity, metric, class name, size


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval; None where there were too few samples to say."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None

    @classmethod
    def of(cls, mapping: Any) -> Figure:
        """Read a figure from JSON; whatever is no finite number becomes None."""
        if not isinstance(mapping, dict):
            return cls(None)
        n = mapping.get("n")
        value, low, high = (finite(mapping.get(key)) for key in ("value", "low", "high"))
        return cls(value, low, high, n if isinstance(n, int) else None)


def finite(value: Any) -> float | None:
    """Return a finite number, or None.

    >>> finite(3), finite(float("nan")), finite(None), finite(True)
    (3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


@dataclass(frozen=True, eq=False)
class Run:
    """The results of a run and where they lie."""

    path: Path
    data: dict[str, Any]
    _cells: dict[Key, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.data["figures"]:
            key = (row["shift"], float(row["severity"]), row["metric"], row.get("class_name"), row.get("size"))
            self._cells[key] = row

    @property
    def metric(self) -> str:
        """Return the headline metric."""
        return str(self.data["headline"]["metric"])

    @property
    def severities(self) -> list[float]:
        """Return the severities of the grid, rising; whole numbers where they are whole."""
        return sorted({as_severity(s) for s in self.data["severities"]})

    @property
    def shift_names(self) -> list[str]:
        """Return the shifts in the order of the run."""
        return [shift["name"] for shift in self.data["shifts"]]

    def shift(self, name: str) -> dict[str, Any]:
        """Return what the run says of one shift (empty for the clean data)."""
        return next((shift for shift in self.data["shifts"] if shift["name"] == name), {})

    def cell(
        self,
        shift: str,
        severity: float,
        metric: str | None = None,
        *,
        name: str | None = None,
        size: str | None = None,
    ) -> dict[str, Any]:
        """Return the row of one cell and figure, or an empty one."""
        return self._cells.get((shift, float(severity), metric or self.metric, name, size), {})

    def score(self, *args: Any, **kwargs: Any) -> Figure:
        """Return the figure of one cell; the arguments are those of `cell`."""
        return Figure.of(self.cell(*args, **kwargs))

    def clean(self, metric: str | None = None, *, name: str | None = None, size: str | None = None) -> Figure:
        """Return a figure on the unshifted data."""
        return self.score("clean", 0, metric, name=name, size=size)

    def retention(
        self,
        shift: str,
        severity: float,
        metric: str | None = None,
        *,
        name: str | None = None,
        size: str | None = None,
    ) -> float | None:
        """Return what a cell keeps of the clean score: shifted / clean; None where either is unknown or clean is 0."""
        clean = self.clean(metric, name=name, size=size).value
        value = self.score(shift, severity, metric, name=name, size=size).value
        return None if value is None or not clean else value / clean

    def mean(
        self,
        metric: str | None = None,
        *,
        shifts: list[str] | None = None,
        name: str | None = None,
        size: str | None = None,
    ) -> float | None:
        """Return the mean over a shift's severities, then over shifts (mPC); None where no cell has a value."""
        means = []
        for shift in self.shift_names if shifts is None else shifts:
            values = [self.score(shift, s, metric, name=name, size=size).value for s in self.severities]
            known = [v for v in values if v is not None]
            if known:
                means.append(sum(known) / len(known))
        return sum(means) / len(means) if means else None

    def label(self, metric: str | None = None) -> str:
        """Return how a metric is written for people."""
        metric = metric or self.metric
        return str(self.data["metrics"].get(metric, {}).get("label") or metric)

    def metrics(self) -> list[str]:
        """Return the metrics that have a figure over everything, the headline first."""
        known = dict.fromkeys(
            key[2]
            for key, row in self._cells.items()
            if key[3] is None and key[4] is None and Figure.of(row).value is not None
        )
        return sorted(known, key=lambda m: m != self.metric) or [self.metric]

    def physical(self, shift: str, severity: float, *, quantity: bool = True) -> str:
        """Return the physical value behind a severity, e.g. 'visibility 200 m'; empty where there is none."""
        info = self.shift(shift)
        values = info.get("values") or []
        index = int(severity) - 1
        if severity != int(severity) or not 0 <= index < len(values) or values[index] is None:
            return ""
        unit = unit_of(info)
        amount = plain(values[index])
        text = amount + ("" if not unit else unit if unit == "°" else f"\u00a0{unit}")
        name = str(info.get("quantity") or "")
        return f"{name}{':' if len(name.split()) > 2 else ''} {text}".strip() if quantity else text


def unit_of(shift: Mapping[str, Any]) -> str:
    """Return the unit of a shift's scale as it is written behind a number: nothing where it is a plain number.

    >>> unit_of({"unit": "m"}), unit_of({"unit": "1"}), unit_of({})
    ('m', '', '')
    """
    unit = str(shift.get("unit") or "")
    return "" if unit == "1" else unit


def plain(value: Any) -> str:
    """Return a physical value without needless digits, with a true minus.

    >>> plain(200.0), plain(-0.05), plain("dusk")
    ('200', '−0.05', 'dusk')
    """
    return f"{value:g}".replace("-", "\u2212") if isinstance(value, (int, float)) else str(value)


def as_severity(value: Any) -> float:
    """Return a severity as an int where it is whole, so that it prints as people write it.

    >>> as_severity(3.0), as_severity(2.5)
    (3, 2.5)
    """
    return int(value) if float(value).is_integer() else float(value)


def read(run_dir: str | Path) -> Run:
    """Read a run folder; raises InputError where there is none, or one of another schema."""
    path = Path(run_dir)
    file = path / "results.json"
    if not file.is_file() and (path / "plan.json").is_file():
        raise InputError(f"{path}: the run is not finished; the `roadproof stress` command that began it resumes it")
    if not file.is_file():
        raise InputError(f"{path}: expected a run folder with results.json, found none; `roadproof stress` writes one")
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file}: expected JSON, got something else ({error}); run the same command again") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        got = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise InputError(f"{file}: schema: expected {SCHEMA!r}, got {got!r}; use the roadproof that wrote it")
    missing = [key for key in _REQUIRED if key not in data]
    if missing:
        raise InputError(f"{file}: expected the keys of {SCHEMA}; missing {', '.join(missing)}")
    return Run(path=path, data=data)
