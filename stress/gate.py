"""A verdict for continuous integration: does a run keep the budget that was agreed on?

    metric: map                        # the run's headline where not given
    minimum: {clean: 0.30, mpc: 0.20, rpc: 0.6}
    families: {weather: {rpc: 0.4}, sensor: {mpc: 0.15}}
    shifts: {weather/fog: {rpc: 0.3}}
    cells: {weather/fog@3: {score: 0.1, kept: 0.25}}
    classes: {person: {clean: 0.25}}
    slices: [{class: person, nearer_than_m: 30, shift: weather/fog, recall: 0.5}]
    maximum_loss: 0.5                  # of any cell, as a share of the clean score
    calibration: {d_ece: 0.15, clean: {d_ece: 0.1}, families: {weather: {d_ece: 0.2}}}    # at most, mean over shifts
    ood: {knn: {shift_auroc: 0.8, failure_auroc: 0.6, shift_fpr95: 0.5}, families: {weather: {knn: {shift_auroc: 0.9}}}}
    baseline: {tolerance: 0.02}        # with --baseline RUN: mPC and clean may fall by this, at most by chance beyond

A limit is met by the value itself. `certain: true` asks for more: the lower end of the 95 % interval has to meet it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from xml.etree import ElementTree

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scenes.errors import InputError, did_you_mean
from stress.compare import compare
from stress.gate_limits import CalibrationLimits, UnknownLimits, dependability_limits
from stress.plan import CLEAN
from stress.results import Results, read
from stress.slice_limits import SliceLimit

Share = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
Outcome = Literal["kept", "broken", "unknown"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Overall(_Frozen):
    """Least values over all shifts."""

    clean: Share | None = None
    mpc: Share | None = None
    rpc: Share | None = None


class Part(_Frozen):
    """Least values of a family or a shift."""

    mpc: Share | None = None
    rpc: Share | None = None


class CellLimit(_Frozen):
    """Least values of one cell: its score, and the share of the clean score that it keeps."""

    score: Share | None = None
    kept: Share | None = None


class ClassLimit(_Frozen):
    """Least value of one class on clean data."""

    clean: Share | None = None


class Baseline(_Frozen):
    """How far the run may fall behind the baseline run, in units of the metric."""

    tolerance: Annotated[float, Field(ge=0, le=1, strict=True)] = 0.0


class Budget(_Frozen):
    """What a run has to keep; see the module."""

    metric: str | None = None
    certain: bool = False
    minimum: Overall = Overall()
    families: dict[str, Part] = Field(default_factory=dict)
    shifts: dict[str, Part] = Field(default_factory=dict)
    cells: dict[str, CellLimit] = Field(default_factory=dict)
    classes: dict[str, ClassLimit] = Field(default_factory=dict)
    slices: tuple[SliceLimit, ...] = ()
    maximum_loss: Annotated[float, Field(ge=0, le=1, strict=True)] | None = None
    calibration: CalibrationLimits | None = None
    ood: UnknownLimits | None = None
    baseline: Baseline | None = None

    @classmethod
    def read(cls, path: str | Path) -> Budget:
        """Read a budget file."""
        where = f"budget {str(path)!r}"
        try:
            found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{where}: cannot be read: {' '.join(str(error).split())}") from error
        if not isinstance(found, dict) or not found:
            raise InputError(f"{where}: expected 'key: value' lines such as 'minimum: {{rpc: 0.6}}', got {found!r:.60}")
        for key in found:
            if key not in cls.model_fields:
                known = list(cls.model_fields)
                raise InputError(f"{where}: no key {key!r}{did_you_mean(str(key), known)}; it takes {', '.join(known)}")
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InputError(f"{where}: {place}: {first['msg']}, got {first['input']!r:.60}") from error


@dataclass(frozen=True)
class Check:
    """One line of a budget: what was wanted, what came, and whether it is kept ("unknown": nothing to judge by).

    low: the end of the 95 % interval on the bad side, the upper one where the limit is `at_most`
    """

    name: str
    wanted: float
    value: float | None
    low: float | None
    outcome: Outcome
    note: str = ""
    at_most: bool = False

    @property
    def sentence(self) -> str:
        value = "no value" if self.value is None else f"{self.value:.4g}"
        end = "" if self.low is None else f" (95 % {'to' if self.at_most else 'from'} {self.low:.4g})"
        sense = "most" if self.at_most else "least"
        note = f"; {self.note}" if self.note else ""
        return f"{self.name}: wanted at {sense} {self.wanted:.4g}, got {value}{end}{note}"


@dataclass(frozen=True)
class Verdict:
    """All checks of a run against a budget."""

    run: Path
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check is kept; what cannot be judged is not."""
        return all(check.outcome == "kept" for check in self.checks)

    @property
    def broken(self) -> list[Check]:
        return [check for check in self.checks if check.outcome != "kept"]

    def markdown(self) -> str:
        """Return a table for a pull request."""
        lines = [
            f"## Robustness gate: {'passed' if self.passed else 'failed'}",
            "",
            f"{len(self.checks) - len(self.broken)} of {len(self.checks)} limits are kept by `{self.run}`.",
            "",
            "| limit | wanted | got | 95 % end | |",
            "|---|---|---|---|---|",
        ]
        for check in sorted(self.checks, key=lambda c: c.outcome == "kept"):
            value = "–" if check.value is None else f"{check.value:.4g}"
            low = "–" if check.low is None else f"{check.low:.4g}"
            word = f"{check.outcome if check.outcome == 'kept' else f'**{check.outcome}**'} {check.note}".rstrip()
            wanted = f"{'≤ ' if check.at_most else ''}{check.wanted:.4g}"
            name = check.name.replace("|", "\\|").replace("<", "&lt;")
            lines.append(f"| {name} | {wanted} | {value} | {low} | {word} |")
        return "\n".join(lines) + "\n"

    def junit(self) -> str:
        """Return the checks as JUnit XML: one test case a limit."""
        failures = sum(check.outcome == "broken" for check in self.checks)
        errors = sum(check.outcome == "unknown" for check in self.checks)
        counts = {"tests": str(len(self.checks)), "failures": str(failures), "errors": str(errors)}
        suites = ElementTree.Element("testsuites", counts)
        suite = ElementTree.SubElement(suites, "testsuite", {"name": "roadproof gate", **counts})
        for check in self.checks:
            case = ElementTree.SubElement(suite, "testcase", {"classname": "roadproof.gate", "name": check.name})
            if check.outcome != "kept":
                kind = "failure" if check.outcome == "broken" else "error"
                ElementTree.SubElement(case, kind, {"message": check.sentence})
        ElementTree.indent(suites)
        return f"<?xml version='1.0' encoding='utf-8'?>\n{ElementTree.tostring(suites, encoding='unicode')}\n"


def gate(run: str | Path, budget: Budget | str | Path, *, baseline: str | Path | None = None) -> Verdict:
    """Judge a finished run by a budget.

    baseline: another run that this one must not fall behind, where the budget has a `baseline`
    """
    limits = budget if isinstance(budget, Budget) else Budget.read(budget)
    results = read(run)
    if (baseline is None) != (limits.baseline is None):
        raise InputError(
            "gate: --baseline RUN goes with a `baseline` in the budget, which says by how much the run may fall; "
            f"got {'only the budget' if baseline is None else 'only the run'}"
        )
    checks = [*_checks(results, limits)]
    for limit in limits.slices:
        name, found = limit.figure(results)
        checks.append(_check(f"recall of {name}", limit.recall, found, limits))
    if baseline is not None and limits.baseline is not None:
        checks += _against(Path(run), Path(baseline), limits, limits.baseline.tolerance)
    if not checks:
        raise InputError("gate: the budget sets no limit; give at least one, such as 'minimum: {rpc: 0.6}'")
    return Verdict(Path(run), tuple(checks))


def _checks(results: Results, limits: Budget) -> Iterator[Check]:
    summary = results.summary
    metric = limits.metric or summary["headline"]["metric"]
    if metric != summary["headline"]["metric"]:
        raise InputError(
            f"gate: the run's headline is {summary['headline']['metric']!r}, the budget is in {metric!r}: stress with "
            f"--metrics {metric} first in the list"
        )
    for key, wanted in _set(limits.minimum):
        yield _check(f"{metric} {key}", wanted, summary["headline"][key], limits)
    for kind, key, table in (("family", "families", limits.families), ("shift", "per_shift", limits.shifts)):
        rows = {row[kind]: row for row in summary[key]}
        for name, part in table.items():
            if name not in rows:
                raise InputError(
                    f"gate: the run has no {kind} {name!r}{did_you_mean(name, rows)}; it has {_some(rows)}"
                )
            for figure, wanted in _set(part):
                yield _check(f"{name} {figure}", wanted, rows[name][figure], limits)
    figures = {
        (f["shift"], f["severity"], f["class_name"]): f
        for f in summary["figures"]
        if f["metric"] == metric and f["size"] is None
    }
    yield from _cells(figures, limits)
    for name, limit in limits.classes.items():
        if (CLEAN, 0, name) not in figures:
            known = [key[2] for key in figures if key[2] is not None]
            raise InputError(f"gate: the run has no {metric} of class {name!r}{did_you_mean(name, known)}")
        for _, wanted in _set(limit):
            yield _check(f"{name} {metric} clean", wanted, figures[CLEAN, 0, name], limits)
    for one in dependability_limits(summary, limits.calibration, limits.ood):
        yield _check(one.name, one.wanted, one.figure, limits, at_most=one.at_most)


def _cells(figures: Mapping[Any, Mapping[str, Any]], limits: Budget) -> Iterator[Check]:
    clean = figures[CLEAN, 0, None]
    known = {f"{s}@{v:g}": f for (s, v, c), f in figures.items() if c is None and s != CLEAN}
    for label, limit in limits.cells.items():
        if label not in known:
            raise InputError(f"gate: the run has no cell {label!r}{did_you_mean(label, known)}; it has {_some(known)}")
        if limit.score is not None:
            yield _check(f"{label} score", limit.score, known[label], limits)
        if limit.kept is not None:
            yield _check(f"{label} kept", limit.kept, _kept(known[label], clean), limits)
    if limits.maximum_loss is not None:
        for label, figure in known.items():
            if label in limits.cells and (limits.cells[label].kept or 0) >= 1.0 - limits.maximum_loss:
                continue  # its own limit is as strict
            yield _check(f"{label} kept (maximum_loss)", 1.0 - limits.maximum_loss, _kept(figure, clean), limits)


def _kept(figure: Mapping[str, Any], clean: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the share of the clean score that a cell keeps; its interval from the paired difference."""
    if not clean["value"] or figure["value"] is None:
        return {"value": None, "low": None}
    low = figure.get("delta_low")
    return {
        "value": figure["value"] / clean["value"],
        "low": None if low is None else (clean["value"] + low) / clean["value"],
    }


def _against(run: Path, baseline: Path, limits: Budget, tolerance: float) -> Iterator[Check]:
    """Yield what must not fall behind the baseline: a fall beyond the tolerance that chance does not explain."""
    found = compare([baseline, run], metric=limits.metric)
    for row in found["overall"][:2]:
        gap = row["differences"][0]
        outcome, note = _fall(gap, limits, tolerance)
        yield Check(
            f"{found['metric']} {row['figure']} against {baseline.name}",
            -tolerance,
            gap["value"],
            gap["low"],
            outcome,
            " ".join([*([note] if note else []), *found["notes"]]),
        )


def _fall(gap: Mapping[str, Any], limits: Budget, tolerance: float) -> tuple[Outcome, str]:
    """Judge a difference to the baseline; a fall that no interval can tell from chance is not kept."""
    if gap["value"] is None:
        return "unknown", ""
    if limits.certain and gap["low"] is None:
        return "unknown", "too few groups for an interval."
    if limits.certain:
        return ("kept", "") if gap["low"] >= -tolerance else ("broken", "it may be behind: the interval reaches there.")
    if gap["value"] >= -tolerance:
        return "kept", ""
    if gap["high"] is None:
        return "unknown", "behind, and too few groups for an interval."
    return ("broken", "") if gap["high"] < -tolerance else ("kept", "behind, but not by more than chance.")


def _check(name: str, wanted: float, figure: Mapping[str, Any], limits: Budget, *, at_most: bool = False) -> Check:
    value, end = figure["value"], figure.get("high" if at_most else "low")
    if value is None:
        return Check(name, wanted, None, None, "unknown", "too few objects for a figure", at_most)
    if limits.certain and end is None:
        return Check(name, wanted, value, None, "unknown", "too few groups for an interval", at_most)
    judged = end if limits.certain and end is not None else value
    kept = judged <= wanted if at_most else judged >= wanted
    return Check(name, wanted, value, end, "kept" if kept else "broken", at_most=at_most)


def _set(limits: BaseModel) -> Iterator[tuple[str, float]]:
    for key in type(limits).model_fields:
        value = getattr(limits, key)
        if value is not None:
            yield key, value


def _some(names: Any) -> str:
    listed = list(names)
    return ", ".join(listed[:6]) + (", ..." if len(listed) > 6 else "")
