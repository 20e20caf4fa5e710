"""One door for our own and foreign shifts: decorator, entry points, `module:attr`, `file.py:attr`."""

from __future__ import annotations

import dataclasses
import importlib
import math
import numbers
import os
import pkgutil
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, TypeVar

from scenes.errors import InputError, did_you_mean
from scenes.plugins import PRIVATE, load_attribute, looks_like_attribute
from synth.backends.shift import BackendShift, backend_class, names_backend
from synth.shift import FAMILIES, SeverityTable, Shift

T = TypeVar("T", bound=type)

_SHIFTS: dict[str, type[Any]] = {}
_PARTS = ("name", "family", "needs", "changes", "table", "params_type", "draw", "apply")


def register(cls: T) -> T:
    """Add a shift class under its ``name``; raises where the name is taken or a part of the protocol is missing."""
    check_shift(cls)
    name: str = cls.name  # type: ignore[attr-defined]  # checked above; a TypeVar bound to type cannot say it
    known = _SHIFTS.get(name)
    if known is not None and _home(known) != _home(cls):
        raise InputError(f"shift {name!r}: {_where(cls)} offers it, but {_where(known)} already does; rename one")
    _SHIFTS[name] = cls
    return cls


def _home(cls: type) -> tuple[str, str]:
    """Return file and name of a class: a file may be imported under two names."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return file or cls.__module__, cls.__qualname__


def _where(cls: type) -> str:
    return _home(cls)[0] if cls.__module__.startswith(PRIVATE) else cls.__module__


def check_shift(cls: type) -> None:
    """Raise with both sides where a class does not follow the `Shift` protocol."""
    missing = [part for part in _PARTS if not hasattr(cls, part)]
    if missing:
        raise InputError(f"shift {cls.__module__}.{cls.__qualname__}: expected {', '.join(_PARTS)}; missing {missing}")
    name, family = cls.name, cls.family  # type: ignore[attr-defined]  # checked above
    if family not in FAMILIES:
        raise InputError(f"shift {name!r}: family: expected one of {', '.join(FAMILIES)}, got {family!r}")
    if name.split("/")[0] != family or name.count("/") != 1:
        raise InputError(f"shift {name!r}: name: expected '{family}/NAME', got {name!r}")
    if not isinstance(cls.table, SeverityTable):  # type: ignore[attr-defined]  # checked above
        raise InputError(f"shift {name!r}: table: expected a SeverityTable, got {type(cls.table).__name__}")  # type: ignore[attr-defined]
    if not dataclasses.is_dataclass(cls) or not dataclasses.is_dataclass(cls.params_type):  # type: ignore[attr-defined]
        raise InputError(f"shift {name!r}: expected the class and its params_type to be dataclasses")


@cache
def _load_all() -> None:
    """Import every module of the family packages, then what other distributions offer."""
    for package in FAMILIES:
        try:
            module = importlib.import_module(f"synth.{package}")
        except ModuleNotFoundError as error:
            if error.name != f"synth.{package}":
                raise
            continue
        for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
            importlib.import_module(f"synth.{package}.{info.name}")
    for point in entry_points(group="roadproof.shifts"):
        try:
            cls = point.load()
        except Exception as error:
            raise InputError(f"shift plug-in {point.value!r}: failed while it was imported: {error}") from error
        register(cls)


def shift_classes() -> Mapping[str, type[Any]]:
    """Return every registered shift class by full name, families in their order, then by name."""
    _load_all()
    return dict(sorted(_SHIFTS.items(), key=lambda item: (FAMILIES.index(item[1].family), item[0])))


def catalogue(names: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Return a row of plain values for each shift: what `roadproof shifts` prints.

    names: full names, those of other libraries' transforms among them; every registered shift where not given

    Keys: name, family, changes, needs, quantity, unit, values (severities 1 to 5), source, options (name, default),
    description.
    """
    shifts = shift_classes()
    if names is not None:
        wanted = set(names)
        others = {name: resolve(name) for name in sorted(wanted - set(shifts))}
        shifts = {**{name: cls for name, cls in shifts.items() if name in wanted}, **others}
    return [_row(name, cls) for name, cls in shifts.items()]


def _row(name: str, cls: type[Any]) -> dict[str, Any]:
    table: SeverityTable = cls.table
    return {
        "name": name,
        "family": cls.family,
        "changes": cls.changes,
        "needs": sorted(cls.needs),
        "quantity": table.quantity,
        "unit": table.unit,
        "values": list(table.values),
        "source": table.source,
        "options": [{"name": f.name, "default": _default(f)} for f in dataclasses.fields(cls) if f.init],
        "description": (cls.__doc__ or "").strip().splitlines()[0] if cls.__doc__ else "",
    }


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def resolve(name: str) -> type[Any]:
    """Return the shift class of a full or bare name, `module:attr`, `file.py:attr` or `albumentations:TRANSFORM`.

    A bare name means the physical shift. Transforms of albumentations and imgaug (see `synth.backends`) are found by
    name wherever one stands, and are no part of `all` or a family.
    """
    if names_backend(name):
        return backend_class(name)
    if looks_like_attribute(name):
        cls = load_attribute(name, what="shift")
        if not isinstance(cls, type):
            raise InputError(f"shift {name!r}: expected a class, got {type(cls).__name__}")
        return register(cls)
    shifts = shift_classes()
    if name in shifts:
        return shifts[name]
    bare = [full for full in shifts if full.split("/")[1] == name and not full.startswith("imagenet_c/")]
    if len(bare) == 1:
        return shifts[bare[0]]
    if bare:
        raise InputError(f"shift {name!r}: means {' or '.join(bare)}; write the full name")
    known = [*shifts, *(full.split("/")[1] for full in shifts)]
    raise InputError(f"shift {name!r}: no such shift{did_you_mean(name, known)}; `roadproof shifts` lists them")


def expand(name: str) -> list[str]:
    """Return the full names that a family, `all` (every physical shift) or a single name stands for.

    A shift that needs a model which is not on this machine is no part of `all` or of its family.
    """
    shifts = shift_classes()
    if name == "all":
        return [full for full, cls in shifts.items() if cls.family != "imagenet_c" and _complete(cls)]
    if name in FAMILIES:
        return [full for full, cls in shifts.items() if cls.family == name and _complete(cls)]
    return [resolve(name).name]


def _complete(cls: type[Any]) -> bool:
    """Tell whether the model of a shift is on this machine: its `missing_model`, if it has one, says nothing."""
    return "model" not in cls.needs or not hasattr(cls, "missing_model") or cls.missing_model() is None


def create(name: str, options: Mapping[str, Any] | None = None) -> Shift[Any]:
    """Return a shift by name with its options; unknown options are errors that name the nearest known one."""
    cls = resolve(name)
    options = dict(options or {})
    if issubclass(cls, BackendShift):
        return cls.from_options(options)
    known = [f.name for f in dataclasses.fields(cls) if f.init]
    for key in options:
        if key not in known:
            offer = f"it takes {', '.join(known)}" if known else "it takes none"
            raise InputError(f"shift {cls.name!r}: no option {key!r}{did_you_mean(key, known)}; {offer}")
    _check_types(cls, options)
    try:
        shift: Shift[Any] = cls(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"shift {cls.name!r}: options {options}: {error}") from error
    return shift


def _check_types(cls: type[Any], options: Mapping[str, Any]) -> None:
    """Raise where the field of an option takes numbers, texts or yes and no, and the option is none of those wanted."""
    try:
        hints = typing.get_type_hints(cls)
    except (NameError, TypeError):  # a plug-in whose annotations cannot be looked up
        return
    for key, value in options.items():
        hint = hints.get(key, Any)
        parts = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
        if all(part in _PLAIN for part in parts) and not any(_fits(value, part) for part in parts):
            wanted = " or ".join(_PLAIN[part] for part in parts)
            raise InputError(f"shift {cls.name!r}: {key}: expected {wanted}, got {value!r}")


_PLAIN: dict[Any, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "nothing"
}  # fmt: skip


def _fits(value: Any, kind: type) -> bool:
    if kind in (int, float):
        if isinstance(value, bool):
            return False
        return isinstance(value, numbers.Integral if kind is int else numbers.Real) and math.isfinite(value)
    return isinstance(value, (str, os.PathLike) if kind is str else kind)
