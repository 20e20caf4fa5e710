"""A transform of another library behind the shift protocol."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from scenes.errors import InputError, did_you_mean
from scenes.sample import Image, Sample
from synth.backends.follow import Coordinates, coordinates_of, follow
from synth.backends.options import BY_SEVERITY, as_tables, at_severity, freeze
from synth.random import Rng
from synth.shift import FAMILIES, Change, Family, Need, SeverityTable

LIBRARIES = ("albumentations", "imgaug")
_NAME = re.compile(rf"^(?:(?P<family>{'|'.join(FAMILIES)})/)?(?P<library>{'|'.join(LIBRARIES)})[:.](?P<transform>\w+)$")


@dataclass(frozen=True)
class BackendParams:
    """seed: of the library's generator; options: of the transform, those of the severity looked up."""

    seed: int
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", freeze(self.options))


@dataclass(frozen=True)
class BackendShift:
    """Base of the shifts that another library does; `backend_class` makes one for each transform.

    options: of the transform, tables by severity among them; use `from_options`, which checks them
    """

    name: ClassVar[str]
    family: ClassVar[Family]
    changes: ClassVar[Change]
    needs: ClassVar[frozenset[Need]] = frozenset()
    params_type: ClassVar[type[BackendParams]] = BackendParams
    table: ClassVar[SeverityTable]
    library: ClassVar[str]
    transform: ClassVar[str]

    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> BackendShift:
        """Return the shift with checked options; an unknown one is an error that names the nearest known."""
        where = f"shift {cls.name!r}"
        tables = as_tables(options, where=where)
        known = _library(cls.library).option_names(cls.transform)
        for key in tables:
            if key not in known:
                if key == "p":
                    raise InputError(f"{where}: no option 'p': it is always applied; use the weight of its entry")
                offer = f"{cls.library}.{cls.transform} takes {', '.join(known)}, and {BY_SEVERITY}"
                raise InputError(f"{where}: no option {key!r}{did_you_mean(key, known)}; {offer}")
        for severity in (1, 3, 5):
            at = at_severity(tables, severity)
            try:
                _library(cls.library).build(cls.transform, at, 0)
            except Exception as error:  # whatever the library raises is about the user's options
                reason = " ".join(str(error).split())
                raise InputError(f"{where}: options {at} at severity {severity}: {reason}") from error
        return cls(options=tables)

    def draw(self, sample: Sample, severity: float, rng: Rng) -> BackendParams:
        return BackendParams(seed=rng.seed(), options=at_severity(self.options, severity))

    def apply(self, sample: Sample, params: BackendParams) -> Sample:
        image = np.array(sample.image, order="C")  # a copy: some transforms write to what they get
        coordinates = None if self.changes == "appearance" else coordinates_of(sample)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what the library says to its own developers
                made, moved = _library(self.library).run(
                    self.transform, params.options, params.seed, image, coordinates
                )
        except Exception as error:  # the library's own failures, named, so that a run can leave the sample out
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise InputError(f"{self.name}: {self.library} failed on sample {sample.sample_id!r}: {reason}") from error
        self._check(made, sample)
        return follow(sample, np.ascontiguousarray(made), moved)

    def _check(self, made: Any, sample: Sample) -> None:
        if not isinstance(made, np.ndarray) or made.dtype != np.uint8 or made.ndim != 3 or made.shape[2] != 3:
            got = f"{made.shape} {made.dtype}" if isinstance(made, np.ndarray) else type(made).__name__
            raise InputError(f"{self.name}: expected a (H, W, 3) uint8 picture of {sample.sample_id!r}, got {got}")


def names_backend(name: str) -> bool:
    """Tell whether a shift's name is one of another library's transforms.

    >>> names_backend("albumentations:RandomFog"), names_backend("weather/imgaug.Rain"), names_backend("weather/fog")
    (True, True, False)
    """
    return _NAME.match(name) is not None


@cache
def backend_class(name: str) -> type[BackendShift]:
    """Return the shift class of `[FAMILY/]LIBRARY:TRANSFORM`; the library is imported here."""
    match = _NAME.match(name)
    if match is None:
        raise InputError(f"shift {name!r}: expected albumentations:TRANSFORM or imgaug:AUGMENTER")
    library, transform = match["library"], match["transform"]
    module = _library(library)
    known = module.transform_names()
    if transform not in known:
        raise InputError(f"shift {name!r}: {library} has no {transform!r}{did_you_mean(transform, known)}")
    changes = module.changes(transform)
    family = match["family"] or module.family(transform)
    full = f"{family}/{library}.{transform}"
    facts = {
        "__doc__": f"{library}'s {transform}, its labels moved along.",
        "__module__": __name__,
        "__qualname__": full,
        "name": full,
        "family": family,
        "changes": changes,
        "library": library,
        "transform": transform,
        "table": SeverityTable(
            "severity", "", (1, 2, 3, 4, 5), f"options of {library}.{transform} as the user gives them"
        ),
    }
    made: type[BackendShift] = dataclass(frozen=True)(type(transform, (BackendShift,), facts))
    return made


def _library(name: str) -> ModuleType:
    return importlib.import_module(f"synth.backends.{name}")


__all__ = ["BackendParams", "BackendShift", "Coordinates", "Image", "backend_class", "names_backend"]
