"""Options by severity: tables of values, between which numbers are interpolated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenes.errors import InputError
from synth.shift import check_severity

BY_SEVERITY = "by_severity"


def as_tables(options: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Return options with what `by_severity` says as a table for each of them.

    >>> as_tables({"by_severity": {1: {"a": 2}, 5: {"a": 4}}, "b": "x"}, where="shift 's'")
    {'b': 'x', 'a': {1.0: 2, 5.0: 4}}
    """
    flat = {str(key): value for key, value in options.items() if key != BY_SEVERITY}
    tables = options.get(BY_SEVERITY, {})
    if not isinstance(tables, Mapping) or not all(isinstance(row, Mapping) for row in tables.values()):
        raise InputError(f"{where}: {BY_SEVERITY}: expected severity: {{option: value}}, got {tables!r}")
    for severity, row in tables.items():
        if _severity(severity) is None:
            raise InputError(f"{where}: {BY_SEVERITY}: expected severities from 1 to 5, got {severity!r}")
        for key, value in row.items():
            flat.setdefault(str(key), {})
            if not is_table(flat[key]) and flat[key] != {}:
                raise InputError(f"{where}: option {key!r} is given twice, once under {BY_SEVERITY}")
            flat[key][_severity(severity)] = value
    return flat


def is_table(value: Any) -> bool:
    """Tell whether a value is a table by severity: a mapping whose keys are all numbers from 1 to 5.

    >>> is_table({1: 0.1, "5": 0.9}), is_table({"x": 1}), is_table({})
    (True, False, False)
    """
    return isinstance(value, Mapping) and bool(value) and all(_severity(key) is not None for key in value)


def at_severity(options: Mapping[str, Any], severity: float) -> dict[str, Any]:
    """Return the options at one severity; beyond the ends of a table its last value holds.

    >>> at_severity({"a": {1: [0, 10], 5: [4, 20]}, "b": {1: "low", 4: "high"}, "c": 7}, 3)
    {'a': (2, 15), 'b': 'low', 'c': 7}
    """
    check_severity(severity)
    return {key: _look_up(value, severity) if is_table(value) else freeze(value) for key, value in options.items()}


def freeze(value: Any) -> Any:
    """Return a value with lists as tuples, all the way down, as it comes back from a manifest."""
    if isinstance(value, Mapping):
        return {str(key): freeze(item) for key, item in value.items()}
    return tuple(freeze(item) for item in value) if isinstance(value, list | tuple) else value


def _severity(key: Any) -> float | None:
    try:
        number = float(key)
    except (TypeError, ValueError):
        return None
    return number if 1 <= number <= 5 else None


def _look_up(table: Mapping[Any, Any], severity: float) -> Any:
    rows = sorted((float(key), freeze(value)) for key, value in table.items())
    below = [row for row in rows if row[0] <= severity] or rows[:1]
    above = [row for row in rows if row[0] >= severity] or rows[-1:]
    (low, first), (high, second) = below[-1], above[0]
    return first if high <= low else _between(first, second, (severity - low) / (high - low))


def _between(first: Any, second: Any, part: float) -> Any:
    """Return what lies between two values: numbers are interpolated, whole ones rounded; others stay as the first."""
    if isinstance(first, tuple) and isinstance(second, tuple) and len(first) == len(second):
        return tuple(_between(a, b, part) for a, b in zip(first, second, strict=True))
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in (first, second)):
        return first
    value = first + part * (second - first)
    return round(value) if isinstance(first, int) and isinstance(second, int) else float(value)
