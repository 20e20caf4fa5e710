"""Safety reading of a run: misses weighted by distance and road user, and which part of the domain was covered at all.

A miss weighs what its road user does times what its distance does:

- Road user: 3 for people outside cars, 1 for vehicles, 0.3 for what guides traffic and for things. The order is that of
  the severity classes of ISO 26262-3 (S3 life-threatening for who is hit unprotected, S1 light to moderate for belted
  occupants at town speeds, S0 none); the ratios are a convention and not a measurement: give your own.
- Distance: 1 within the stopping distance, then falling as stopping distance / distance: who is missed at twice the
  stopping distance can still be seen in half of the time that is left. Stopping distance = v t + v**2 / (2 a), with a
  speed of 50 km/h, 1 s to react and 6 m/s**2 to brake: 30 m.

The bands of distance end at the stopping distances from 30, 50, 80 and 100 km/h under the same assumptions. Objects of
unknown distance weigh as if they were within the stopping distance.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scenes.errors import InputError, did_you_mean
from scenes.folders import write_json
from stress.failure_table import things
from stress.mining import objects_of
from stress.plan import CLEAN
from stress.results import Results, read
from stress.statistics import Figure, figure, group_weights, ratio
from stress.summary import plain
from synth.shift import FAMILIES

SCHEMA = "roadproof.safety/1"
BAND_SPEEDS_KMH = (30, 50, 80, 100)
UNKNOWN = "unknown distance"
FEW_OBJECTS = 10  # under which a cell of the domain is not called covered
RESAMPLES = 500
VULNERABLE = (
    "person", "pedestrian", "people", "child", "rider", "cyclist", "bicyclist", "motorcyclist", "bicycle", "bike",
    "motorcycle", "motorbike", "motor", "person_sitting", "wheelchair", "scooter", "human", "man", "woman", "kid",
)  # fmt: skip
VEHICLES = (
    "car", "truck", "bus", "van", "train", "tram", "trailer", "caravan", "vehicle", "pickup", "suv", "autorickshaw",
)  # fmt: skip
Number = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
Columns = Mapping[str, NDArray[Any]]


class Weights(BaseModel):
    """What a miss weighs; see the module. classes: road user of each class where its name does not tell."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    vulnerable: Number = 3.0
    vehicle: Number = 1.0
    other: Number = 0.3
    speed_kmh: Annotated[float, Field(gt=0, le=300, strict=True)] = 50.0
    reaction_s: Annotated[float, Field(ge=0, le=10, strict=True)] = 1.0
    braking_m_per_s2: Annotated[float, Field(gt=0, le=15, strict=True)] = 6.0
    classes: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Weights:
        """Read weights from a YAML file; unknown keys are errors."""
        where = f"weights {str(path)!r}"
        try:
            found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{where}: cannot be read: {' '.join(str(error).split())}") from error
        if not isinstance(found, dict):
            raise InputError(f"{where}: expected 'key: value' lines such as 'speed_kmh: 80', got {found!r:.60}")
        for key in found:
            if key not in cls.model_fields:
                known = list(cls.model_fields)
                raise InputError(f"{where}: no key {key!r}{did_you_mean(str(key), known)}; it takes {', '.join(known)}")
        try:
            made = cls.model_validate(found)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InputError(f"{where}: {place}: {first['msg']}, got {first['input']!r:.60}") from error
        for name, user in made.classes.items():
            if user not in USERS:
                raise InputError(f"{where}: classes: {name}: expected one of {', '.join(USERS)}, got {user!r}")
        return made

    def road_user(self, class_name: str) -> str:
        """Return the road user of a class: by its name, a level of it (`human.pedestrian.adult`), or its last word.

        >>> Weights().road_user("Pedestrian"), Weights().road_user("bus"), Weights().road_user("traffic light")
        ('vulnerable', 'vehicle', 'other')
        """
        if class_name in self.classes:
            return self.classes[class_name]
        name = re.sub(r"[\s_-]+", "_", class_name.lower().strip())
        levels = [name, *name.split(".")]
        said = {*levels, *(level.rpartition("_")[2] for level in levels)}
        said |= {word.removesuffix("s") for word in said}
        return "vulnerable" if said & set(VULNERABLE) else "vehicle" if said & set(VEHICLES) else "other"

    def stopping_m(self, speed_kmh: float | None = None) -> float:
        """Return the metres to a standstill.

        >>> round(Weights().stopping_m(), 1)
        30.0
        """
        v = (self.speed_kmh if speed_kmh is None else speed_kmh) / 3.6
        return v * self.reaction_s + v * v / (2.0 * self.braking_m_per_s2)

    def of_distance(self, distance_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N,) weight of each distance, NaN counting as near."""
        reach = self.stopping_m()
        return np.where(distance_m > reach, reach / np.maximum(distance_m, reach), 1.0)

    def edges_m(self) -> list[float]:
        """Return where the bands of distance end, in whole metres."""
        return sorted({float(round(self.stopping_m(v))) for v in BAND_SPEEDS_KMH})


USERS = ("vulnerable", "vehicle", "other")


@dataclass(frozen=True, eq=False)
class Counted:
    """Objects of the run, one row for each in each cell: found or not, and where it belongs."""

    found: NDArray[np.float64]
    weight: NDArray[np.float64]
    user: NDArray[np.int64]
    band: NDArray[np.int64]
    group: NDArray[np.int64]
    n_groups: int
    thing: NDArray[np.int64]  # the same for an object in every cell
    shift: NDArray[Any]
    severity: NDArray[np.float64]


def assess(run_dir: str | Path, weights: Weights | None = None) -> dict[str, Any]:
    """Read a finished run for safety and write `safety.json` into its folder; return the same plain values."""
    results = read(run_dir)
    found = assessed(results, weights or Weights())
    write_json(results.path / "safety.json", found)
    return found


def assessed(results: Results, weights: Weights) -> dict[str, Any]:
    """Return the safety reading of a detection run as plain values; nothing is written."""
    if results.task != "detection":
        raise InputError(
            f"run {str(results.path)!r}: the safety reading counts road users, which a {results.task} run does not "
            "have: stress a detector"
        )
    table = objects_of(results)
    counted, bands = _count(table, weights)
    drawn = group_weights(counted.n_groups, RESAMPLES, seed=0).astype(np.float64)
    shifts = [CLEAN, *(s for s in dict.fromkeys(counted.shift.tolist()) if s != CLEAN)]
    domain = [row for shift in shifts for row in _domain(counted, shift, bands, drawn)]
    return {
        "schema": SCHEMA,
        "run": str(results.path),
        "weights": weights.model_dump(),
        "stopping_m": round(weights.stopping_m(), 1),
        "bands": bands,
        "road_users": _users(table, weights),
        "n_groups": counted.n_groups,
        "misses": _misses(counted, shifts, drawn),
        "domain": domain,
        "not_covered": [
            {"condition": r["condition"], "road_user": r["road_user"], "distance": r["distance"], "n": r["n"]}
            for r in domain if r["state"] != "covered" and (r["distance"] != UNKNOWN or bands == [UNKNOWN])
        ],
        "notes": [*_notes(table, counted, shifts), *_unmet(results, table, weights)],
    }  # fmt: skip


def _count(table: Columns, weights: Weights) -> tuple[Counted, list[str]]:
    truths = ~np.isin(table["outcome"], ("ignored", "invented", "duplicate"))
    own = {name: column[truths] for name, column in table.items()}
    names, at = np.unique(own["class_name"], return_inverse=True)
    user_of = np.array([USERS.index(weights.road_user(str(name))) for name in names], np.int64)
    thing = things(own)
    away = _distances(own, thing)
    edges = weights.edges_m()
    band = np.where(np.isfinite(away), np.searchsorted(edges, away, "right"), len(edges) + 1)
    bands = [f"{a:g}-{b:g} m" for a, b in zip([0.0, *edges[:-1]], edges, strict=True)] + [f"over {edges[-1]:g} m"]
    _, group = np.unique(own["group"], return_inverse=True)
    user = user_of[at] if len(names) else np.zeros(0, np.int64)
    per_user = np.array([weights.vulnerable, weights.vehicle, weights.other])
    counted = Counted(
        found=(own["outcome"] == "found").astype(np.float64),
        weight=per_user[user] * weights.of_distance(away),
        user=user,
        band=band.astype(np.int64),
        group=group,
        n_groups=len(np.unique(group)),
        thing=thing,
        shift=own["shift"],
        severity=own["severity"],
    )
    unknown = (band > len(edges)) & (own["shift"] == CLEAN)
    if len(band) and (band > len(edges)).all():  # no band is empty, and none is known to be covered
        return replace(counted, band=np.zeros_like(counted.band)), [UNKNOWN]
    return counted, [*bands, *([UNKNOWN] if unknown.any() else [])]


def _distances(own: Columns, thing: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (rows,) metres; those of the same object on its clean frame where a shift leaves them unknown.

    What is unknown there stays so: a depth that a shift had to assume says nothing of distances.
    """
    clean = own["shift"] == CLEAN
    before = np.full(thing.max(initial=-1) + 1, np.nan)
    there = np.zeros(len(before), np.bool_)
    before[thing[clean]], there[thing[clean]] = own["distance_m"][clean], True
    if not len(thing):
        return before
    away = np.where(np.isfinite(own["distance_m"]), own["distance_m"], before[thing])
    return np.where(there[thing] & ~np.isfinite(before[thing]), np.nan, away)


def _share(above: NDArray[np.float64], below: NDArray[np.float64], counted: Counted, drawn: NDArray[Any]) -> Figure:
    """Return a ratio of sums over objects with its interval. above, below: (rows,) of all objects, 0 where not meant"""
    over = np.bincount(counted.group, weights=above, minlength=counted.n_groups)
    under = np.bincount(counted.group, weights=below, minlength=counted.n_groups)
    draws = ratio(np.asarray(drawn @ over, np.float64), np.asarray(drawn @ under, np.float64))
    return figure(draws, int(np.count_nonzero(under)), share=True)


def _misses(counted: Counted, shifts: list[str], drawn: NDArray[Any]) -> list[dict[str, Any]]:
    """Return the share of objects that is missed in each cell, plain and weighted."""
    found = []
    for shift in shifts:
        for severity in np.unique(counted.severity[counted.shift == shift]).tolist():
            rows = ((counted.shift == shift) & (counted.severity == severity)).astype(np.float64)
            missed = rows * (1.0 - counted.found)
            found.append(
                {
                    "shift": shift,
                    "family": shift.split("/")[0],
                    "severity": severity,
                    "n": int(rows.sum()),
                    "missed": plain(_share(missed, rows, counted, drawn)),
                    "weighted": plain(_share(missed * counted.weight, rows * counted.weight, counted, drawn)),
                }
            )
    return found


def _domain(counted: Counted, shift: str, bands: list[str], drawn: NDArray[Any]) -> list[dict[str, Any]]:
    """Return the cells of the operational domain under one condition, all severities together."""
    here = counted.shift == shift
    found = []
    for u, user in enumerate(USERS):
        if not (counted.user == u).any():
            continue
        for b, band in enumerate(bands):
            rows = here & (counted.user == u) & (counted.band == b)
            n = len(np.unique(counted.thing[rows]))
            recall = _share(rows * counted.found, rows.astype(np.float64), counted, drawn)
            found.append(
                {
                    "condition": shift,
                    "family": shift.split("/")[0],
                    "road_user": user,
                    "distance": band,
                    "n": n,
                    "n_groups": recall.n,
                    "recall": plain(recall) if n >= FEW_OBJECTS else plain(Figure(None, None, None, recall.n)),
                    "state": "none" if n == 0 else "few" if n < FEW_OBJECTS or recall.low is None else "covered",
                }
            )
    return found


def _users(table: Columns, weights: Weights) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {user: [] for user in USERS}
    for name in sorted(set(table["class_name"].tolist())):
        found[weights.road_user(name)].append(name)
    return found


def _unmet(results: Results, table: Columns, weights: Weights) -> list[str]:
    """Say which classes of the weights the run does not have: they may be misspelt."""
    known = sorted({*table["class_name"].tolist(), *map(str, results.summary["classes"]["evaluated"])})
    missing = [f"{name!r}{did_you_mean(name, known)}" for name in weights.classes if name not in known]
    return [f"The weights name classes that the run does not have: {', '.join(missing)}."] if missing else []


def _notes(table: Columns, counted: Counted, shifts: list[str]) -> list[str]:
    notes = []
    if not np.isfinite(table["distance_m"][table["shift"] == CLEAN]).any():
        notes.append("No distances: the data set has neither 3D boxes nor depth, so that no miss weighs less for it.")
    tested = {shift.split("/")[0] for shift in shifts}
    missing = [f for f in FAMILIES if f not in tested and f != "imagenet_c"]
    if missing:
        notes.append(f"No shift of these families was run: {', '.join(missing)}.")
    absent = [user for u, user in enumerate(USERS) if not (counted.user == u).any()]
    if absent:
        notes.append(f"The data has none of these road users: {', '.join(absent)}.")
    return notes
