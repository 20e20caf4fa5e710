"""The run that mCE divides by: read and compared before anything is made."""

from __future__ import annotations

from collections.abc import Sequence

from scenes.errors import InputError
from stress.metrics.robust import check_alexnet
from stress.plan import CLEAN, Cell
from stress.results import Results, read

ALEXNET = "alexnet"


def check_reference(named: str | None, cells: Sequence[Cell], *, task: str, metric: str) -> None:
    """Raise unless a plan's reference has this task, this headline metric and every cell of the grid."""
    if named is None:
        return
    if named == ALEXNET:
        check_alexnet(cells, task)
        return
    errors_of(named, cells, task=task, metric=metric)


def errors_of(run_dir: str, cells: Sequence[Cell], *, task: str, metric: str) -> dict[Cell, float]:
    """Return 1 - headline figure of each shifted cell in another run."""
    other = read_reference(run_dir)
    where = f"reference {run_dir!r}"
    if other.task != task:
        raise InputError(f"{where}: it is of a model for {other.task}, this one does {task}")
    if other.headline["metric"] != metric:
        raise InputError(
            f"{where}: its headline metric is {other.headline['metric']!r}, this run's is {metric!r}: "
            f"give a reference with the same one, or metrics: [{other.headline['metric']}] in the plan"
        )
    found = {
        Cell(f["shift"], float(f["severity"])): 1.0 - f["value"]
        for f in other.summary["figures"]
        if f["metric"] == metric and f["class_name"] is None and f["size"] is None and f["value"] is not None
    }
    wanted = [cell for cell in cells if cell.shift != CLEAN]
    missing = [cell.label for cell in wanted if cell not in found]
    if missing:
        more = f" and {len(missing) - 6} more" if len(missing) > 6 else ""
        raise InputError(
            f"{where}: it has no figure of {', '.join(missing[:6])}{more}: run the reference with the same shifts and "
            "severities, or leave these out"
        )
    return {cell: found[cell] for cell in wanted}


def read_reference(run_dir: str) -> Results:
    """Return the run that a plan's reference names; one that is missing or not finished is an error."""
    try:
        return read(run_dir)
    except InputError as error:
        raise InputError(f"reference: {error}; give 'alexnet' or the folder of a finished run") from error
