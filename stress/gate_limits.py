"""Limits of a budget on calibration and on detection of the unknown.

    calibration: {d_ece: 0.15, clean: {d_ece: 0.1}, families: {weather: {d_ece: 0.2}}}
    ood: {knn: {shift_auroc: 0.8, failure_auroc: 0.6}, families: {weather: {knn: {shift_auroc: 0.9}}}}

Without `clean` or `families` a limit is on the mean over severities, then over shifts. Errors and FPR95 are to be at
most that, AUROC and AUPR at least.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from scenes.errors import InputError, did_you_mean

Share = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
ScoreLimits = dict[str, Annotated[float, Field(ge=0, le=1, strict=True)]]
QUESTIONS = ("shift", "failure")


class CalibrationLimits(BaseModel):
    """Greatest errors by the figures' names: means over the shifts, on clean frames, and of families."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Share]

    clean: dict[str, Share] = Field(default_factory=dict)
    families: dict[str, dict[str, Share]] = Field(default_factory=dict)


class UnknownLimits(BaseModel):
    """Limits by the scores' names, each of figures such as `shift_auroc` and `failure_fpr95`; and of families."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, ScoreLimits]

    families: dict[str, dict[str, ScoreLimits]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Limit:
    """One limit and the figure that it is on."""

    name: str
    wanted: float
    figure: Mapping[str, Any]
    at_most: bool


def dependability_limits(
    summary: Mapping[str, Any], calibration: CalibrationLimits | None, unknown: UnknownLimits | None
) -> Iterator[Limit]:
    """Yield the limits with the figures of a run; what the run does not have is an error that names what it has."""
    if calibration is not None:
        yield from _calibration(_block(summary, "calibration"), calibration)
    if unknown is not None:
        yield from _unknown(_block(summary, "ood"), unknown)


def _block(summary: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = summary.get(key)
    if not found:
        raise InputError(
            f"gate: the budget has limits under {key!r}, of which the run has no figure: it was made by an older "
            "roadproof, with 'dependability: none' in its plan, or its model gives neither scores nor probabilities"
        )
    return dict(found)


def _calibration(block: Mapping[str, Any], limits: CalibrationLimits) -> Iterator[Limit]:
    overall = {row["metric"]: row for row in block["overall"] if row["temperature"] is None}
    for key, wanted in (limits.__pydantic_extra__ or {}).items():
        yield Limit(f"{_known(key, overall, 'calibration')} shifted", wanted, overall[key]["shifted"], True)
    for key, wanted in limits.clean.items():
        yield Limit(f"{_known(key, overall, 'calibration.clean')} clean", wanted, overall[key]["clean"], True)
    by_family = {(row["family"], row["metric"]): row for row in block["families"]}
    families = dict.fromkeys(row["family"] for row in block["families"])
    for family, wanted_of in limits.families.items():
        _known(family, families, "calibration.families")
        for key, wanted in wanted_of.items():
            _known(key, overall, f"calibration.families.{family}")
            yield Limit(f"{family} {key}", wanted, by_family[family, key], True)


def _unknown(block: Mapping[str, Any], limits: UnknownLimits) -> Iterator[Limit]:
    scores, families = block["scores"], dict.fromkeys(row["family"] for row in block["families"])
    for score, wanted_of in (limits.__pydantic_extra__ or {}).items():
        rows = [row for row in block["overall"] if row["score"] == _known(score, scores, "ood")]
        yield from _of_score(rows, block["metrics"], score, wanted_of, f"ood.{score}")
    for family, of_scores in limits.families.items():
        _known(family, families, "ood.families")
        for score, wanted_of in of_scores.items():
            _known(score, scores, f"ood.families.{family}")
            rows = [row for row in block["families"] if (row["score"], row["family"]) == (score, family)]
            where = f"ood.families.{family}.{score}"
            yield from _of_score(rows, block["metrics"], f"{family} {score}", wanted_of, where)


def _of_score(
    rows: Iterable[Mapping[str, Any]], metrics: Mapping[str, Any], name: str, wanted_of: ScoreLimits, where: str
) -> Iterator[Limit]:
    """Yield the limits of one score; of several units that it flags, frames come first."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["unit"] == "frames"):
        found[f"{row['question']}_{row['metric']}"] = row
    for key, wanted in wanted_of.items():
        _known(key, found, where)
        at_most = not metrics[key.split("_")[1]]["higher_is_better"]
        yield Limit(f"{name} {key.replace('_', ' ')}", wanted, found[key], at_most)


def _known(name: str, names: Iterable[str], where: str) -> str:
    """Return a name that the run has; another is an error."""
    listed = list(names)
    if name not in listed:
        raise InputError(
            f"gate: {where}: the run has no {name!r}{did_you_mean(name, listed)}; it has {', '.join(listed)}"
        )
    return name
