"""Limits of a budget on slices: the least recall of objects that are named by their attributes.

slices:
  - {class: person, nearer_than_m: 30, shift: weather/fog, severity_from: 3, recall: 0.5}
  - {class: car, size: small, recall: 0.6}          # no condition: on the clean frames
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from scenes.errors import InputError, did_you_mean
from stress.mining import attributes_of, objects_of, paired
from stress.results import Results
from stress.slice_words import words
from stress.slices import Predicate, holds
from stress.statistics import figure, group_weights, ratio

FEW_OBJECTS = 10  # under which a slice has no figure
RESAMPLES = 500
IS = ("class", "size", "position", "family", "shift")
BOUNDS = {
    "farther_than_m": ("distance_m", "from"), "nearer_than_m": ("distance_m", "below"),
    "higher_than_px": ("height_px", "from"), "lower_than_px": ("height_px", "below"),
    "severity_from": ("severity", "from"), "severity_below": ("severity", "below"),
}  # fmt: skip
OF_CELLS = ("family", "shift", "severity")


class SliceLimit(BaseModel):
    """The least recall of one slice; without family, shift or severity it is that on the clean frames."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    recall: Annotated[float, Field(ge=0, le=1, strict=True)]
    class_: str | None = Field(default=None, alias="class")
    size: str | None = None
    position: str | None = None
    family: str | None = None
    shift: str | None = None
    farther_than_m: float | None = None
    nearer_than_m: float | None = None
    higher_than_px: float | None = None
    lower_than_px: float | None = None
    severity_from: float | None = None
    severity_below: float | None = None

    @model_validator(mode="after")
    def _names_something(self) -> SliceLimit:
        if not self.predicates():
            raise ValueError("expected at least one attribute beside recall, such as class: person")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the conditions of the slice."""
        given = self.model_dump(by_alias=True)
        named = [Predicate(key, "is", str(given[key])) for key in IS if given[key] is not None]
        bounds = [Predicate(*BOUNDS[key], float(given[key])) for key in BOUNDS if given[key] is not None]
        return (*named, *bounds)

    def figure(self, results: Results) -> tuple[str, dict[str, Any]]:
        """Return the slice in words, and its recall with interval over groups; None where objects are too few."""
        table = objects_of(results)
        truths = (table["outcome"] != "ignored") & ~np.isin(table["outcome"], ("invented", "duplicate"))
        clean, shifted = paired(table, truths)
        predicates = self.predicates()
        under_shift = any(p.attribute in OF_CELLS for p in predicates)
        attributes = attributes_of(clean, shifted)
        self._check(attributes, results)
        rows = holds(predicates, attributes)
        if not under_shift:  # each object of the clean frames once
            first = np.zeros(len(rows), np.bool_)
            first[np.unique(clean["row"], return_index=True)[1]] = True
            rows &= first
        hit = (shifted if under_shift else clean)["hit"]
        groups, group = np.unique(clean["group"], return_inverse=True)
        above = np.bincount(group, weights=rows * hit, minlength=len(groups))
        below = np.bincount(group, weights=rows.astype(np.float64), minlength=len(groups))
        name = f"{words(predicates)}{'' if under_shift else ' on clean frames'}"
        if len(np.unique(clean["row"][rows])) < FEW_OBJECTS:
            return name, {"value": None, "low": None}
        weights = group_weights(len(groups), RESAMPLES, seed=0).astype(np.float64)
        draws = ratio(np.asarray(weights @ above, np.float64), np.asarray(weights @ below, np.float64))
        found = figure(draws, int(np.count_nonzero(below)), share=True)
        return name, {"value": found.value, "low": found.low}

    def _check(self, attributes: dict[str, Any], results: Results) -> None:
        """Raise where the run has no such class, shift, ...: a misspelt slice must not pass as an empty one."""
        known = {name: sorted(set(attributes[name].tolist())) for name in ("family", "shift")}
        known["class"] = [str(name) for name in results.summary["classes"]["evaluated"]]
        known |= {"size": ["small", "medium", "large"], "position": ["left", "middle", "right"]}
        for p in self.predicates():
            if p.kind == "is" and p.value not in known[p.attribute]:
                near = did_you_mean(str(p.value), known[p.attribute])
                has = ", ".join(known[p.attribute][:8])
                raise InputError(f"gate: slices: the run has no {p.attribute} {p.value!r}{near}; it has {has}")


__all__ = ["SliceLimit"]
