"""The shift protocol: `draw` decides, `apply` does, and the drawn params replay it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import numpy as np

from scenes.errors import InputError
from scenes.sample import Sample
from synth.random import Rng

Family = Literal["weather", "lighting", "sensor", "texture", "shape", "pose", "context", "occlusion", "imagenet_c"]
FAMILIES: tuple[str, ...] = (
    "weather", "lighting", "sensor", "texture", "shape", "pose", "context", "occlusion", "imagenet_c",
)  # fmt: skip
Need = Literal["depth", "instances", "camera", "scene", "model", "previous"]
Change = Literal["appearance", "geometry", "content"]
P = TypeVar("P")


@dataclass(frozen=True)
class SeverityTable:
    """Five physical values behind severities 1 to 5, and where they come from.

    quantity, unit: what is printed, e.g. "visibility", "m"
    source:         paper, standard or reasoning behind the values
    interpolate:    how values between two severities are found
    """

    quantity: str
    unit: str
    values: tuple[float, float, float, float, float]
    source: str
    interpolate: Literal["linear", "reciprocal", "log"] = "linear"

    def at(self, severity: float) -> float:
        """Return the physical value at any severity in [1, 5].

        >>> table = SeverityTable("visibility", "m", (800, 400, 200, 100, 50), "WMO No. 8", "reciprocal")
        >>> table.at(3)
        200.0
        >>> round(table.at(1.5), 1)
        533.3
        """
        check_severity(severity)
        values = np.asarray(self.values, np.float64)
        steps = np.arange(1, 6)
        if float(severity).is_integer():
            return float(values[int(severity) - 1])
        if self.interpolate == "reciprocal":
            return float(1.0 / np.interp(severity, steps, 1.0 / values))
        if self.interpolate == "log":
            return float(np.exp(np.interp(severity, steps, np.log(values))))
        return float(np.interp(severity, steps, values))


def check_severity(severity: float) -> None:
    """Raise unless the severity is a number in [1, 5]."""
    if not 1 <= severity <= 5:
        raise InputError(f"severity: expected 0 (clean) or a number from 1 to 5, got {severity!r}")


def check_option(shift: str, option: str, value: float | None, low: float, high: float, unit: str) -> None:
    """Raise unless an option of a shift is None (drawn) or a number in [low, high]."""
    if value is not None and not low <= value <= high:
        wanted = f"{low:g} to {high:g} {unit}".rstrip()
        raise InputError(f"{shift}: {option}: expected {wanted}, got {value!r}")


class Shift(Protocol[P]):
    """A change of the input whose strength has five steps.

    Options of a shift are the fields of its frozen dataclass; `draw` returns a frozen dataclass of plain numbers and
    strings, which goes into the manifest and the report, and back into `apply` through `params_type(**mapping)`.
    `apply` keeps every object of the annotations, in order and with its instance id (what is no longer visible gets a
    box of zero area, visibility 0); new objects are appended with new ids. It never writes to its input.
    """

    name: ClassVar[str]  # "family/name"
    family: ClassVar[Family]
    needs: ClassVar[frozenset[Need]]
    changes: ClassVar[Change]
    table: ClassVar[SeverityTable]
    params_type: ClassVar[type[Any]]

    def draw(self, sample: Sample, severity: float, rng: Rng) -> P: ...
    def apply(self, sample: Sample, params: P) -> Sample: ...
