"""results.json of a run, put together from what its stages found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scenes.sample import Dataset
from stress.dependability_results import calibration_block, dependability_notes, unknown_block
from stress.environment import own_version
from stress.exclusion import Exclusion
from stress.explained_results import explained_block
from stress.folder import read_json
from stress.job import Job
from stress.metrics.robust import corruption_error
from stress.plan import CLEAN, Cell
from stress.reference import ALEXNET, errors_of
from stress.rerendering import rerendering_block
from stress.results import SCHEMA
from stress.summary import Figures, number
from stress.worker import Described


@dataclass(frozen=True)
class Facts:
    """How a run went: what may differ between two runs with the same results, and notes for the reader."""

    command: str | None
    duration_s: float
    cpu_s: Mapping[str, float]
    workers: int
    resumed: bool
    notes: Sequence[str]


def assemble(
    job: Job,
    dataset: Dataset,
    described: Described,
    figures: Figures,
    exclusion: Exclusion,
    gallery: list[dict[str, Any]],
    facts: Facts,
    explained: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return results.json as plain values."""
    plan, clean = job.plan, figures.cells[Cell(CLEAN, 0.0)]
    return {
        "schema": SCHEMA,
        "roadproof": own_version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": {
            "command": facts.command or _call(job),
            "seed": plan.seed,
            "scale": plan.scale,
            "duration_s": round(facts.duration_s, 2),
            "cpu_s": {stage: round(seconds, 2) for stage, seconds in facts.cpu_s.items()},
            "workers": facts.workers,
            "resumed": facts.resumed,
            "path": str(job.out),
        },
        "dataset": {
            "name": dataset.name,
            "format": str(getattr(dataset, "format", type(dataset).__name__)),
            "path": job.data.spec or dataset.name,
            "splits": list(getattr(dataset, "splits", ())),
            "n_samples": clean.n_samples,
            "n_groups": figures.n_groups,
            "n_objects": sum(clean.audit[kind] for kind in ("kept", "modified", "occluded", "invalid")),
            "class_names": list(dataset.class_names),
        },
        "model": dict(described.model),
        "classes": dict(described.classes),
        "plan": plan.plain(),
        "severities": sorted({number(cell.severity) for cell in figures.cells if cell.shift != CLEAN}),
        "shifts": figures.described_shifts(),
        "metrics": figures.known_metrics(),
        **figures.robustness(),
        "mce": _mce(job, figures, described.model["task"]),
        "figures": figures.listed(),
        "curves": figures.curves(),
        "confusion": figures.confusion(),
        "audit": figures.audit(),
        **_dependability(job, figures, described.model["task"], explained),
        **rerendering_block(job.data.spec),
        "gallery": gallery,
        "skipped": exclusion.listed(),
        "environment": read_json(job.out / "environment.json"),
        "notes": list(dict.fromkeys([*figures.notes(), *dependability_notes(figures.cells), *facts.notes])),
    }


def _dependability(
    job: Job, figures: Figures, task: Any, explained: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """Return the blocks beside the score, none where the plan leaves them out."""
    if not job.plan.dependability.on:
        return {}
    families = {name: shift.family for name, shift in figures.shifts.items()}
    n, seed = figures.n_groups, job.plan.seed
    return {
        "calibration": calibration_block(figures.cells, task, families, n, seed),
        "ood": unknown_block(figures.cells, task, families, n, seed),
        "explanations": explained_block(explained, figures, job.sample_ids, job.plan.resamples, seed),
    }


def _mce(job: Job, figures: Figures, task: str) -> dict[str, Any] | None:
    """Return mCE against the plan's reference, None where it names none."""
    named, grid = job.plan.reference, figures.grid()
    if named is None or grid is None:
        return None
    reference = None
    if named != ALEXNET:
        reference = errors_of(named, list(figures.cells), task=task, metric=figures.headline)
    total, by_shift = corruption_error(grid, reference)
    per_shift = [{"shift": name, "ce": figures.figure(draws)} for name, draws in by_shift.items()]
    return {"reference": named, "figure": figures.figure(total), "per_shift": per_shift}


def _call(job: Job) -> str:
    """Return the Python call of a run that no command line started."""
    data = repr(job.data.spec) if job.data.spec is not None else "dataset"
    model = repr(job.model.spec) if job.model.spec is not None else "model"
    return f"stress.run({data}, {model}, plan, {str(job.out)!r})"
