"""What the severities of each shift measure: distance to clean, and what they cost a reference model.

One stress run of the reference model over all shifts at severities 1 to 5, then MS-SSIM and LPIPS between clean and
shifted pictures of a few samples. From the losses comes the measured scale (see `stress.scale`).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from scenes.environment import usable_cores
from scenes.errors import InputError
from scenes.execute import Executor, InOrder, InProcess, Processes
from scenes.folders import read_json, write_json
from scenes.progress import Report, reporting
from scenes.sample import Dataset, Sample
from stress.job import job_of
from stress.plan import Cell
from stress.results import Results
from stress.running import run
from stress.scale import SCHEMA, SEVERITIES, Scale, scale_of
from stress.worker import Worker
from synth.distance import lpips_backbone, lpips_distance, ms_ssim

NOT_RISING = 0.002  # a fall of a distance with severity below this is rounding
NOT_LOSING = 0.01  # a fall of the loss below this is noise, as in the report
Distances = dict[str, list[float | None]]  # "ms_ssim" and "lpips": five means


@dataclass(frozen=True)
class Calibration:
    """A finished calibration: its folder, the plain values of `calibration.json`, and the scale."""

    path: Path
    summary: Mapping[str, Any]
    scale: Scale


class DistanceWorker(Worker):
    """Measures how far the variants of a few samples are from their clean pictures."""

    @functools.cached_property
    def frames(self) -> list[Sample]:
        return [self.sample(index) for index in range(len(self.job.sample_ids))]

    @functools.cached_property
    def lpips(self) -> Any:
        return lpips_distance() if lpips_backbone().is_file() else None

    def distances(self, shift: str) -> tuple[str, Distances]:
        """Return means over the samples at severities 1 to 5: 1 - MS-SSIM, and LPIPS; None where there is none."""
        found: Distances = {"ms_ssim": [], "lpips": []}
        for severity in SEVERITIES:
            pairs = []
            for index, clean in enumerate(self.frames):
                try:
                    made = self.variant(index, clean, Cell(shift, severity)).sample
                except InputError:
                    continue  # this sample lacks what the shift needs; the run names it
                if made.image.shape == clean.image.shape:
                    pairs.append((clean.image, made.image))
            close = [value for one, other in pairs if (value := ms_ssim(one, other)) is not None]
            found["ms_ssim"].append(1.0 - float(np.mean(close)) if close else None)
            far = [self.lpips(one, other) for one, other in pairs] if self.lpips is not None else []
            found["lpips"].append(float(np.mean(far)) if far else None)
        self._completed.clear()
        return shift, found


def calibrate(
    dataset: str | Path | Dataset,
    model: Any,
    out: str | Path,
    *,
    shifts: str | Sequence[Any] = "all",
    limit: int = 24,
    pictures: int = 8,
    seed: int = 0,
    workers: int | None = None,
    progress: bool | Report | None = None,
    command: str | None = None,
    **options: Any,
) -> Calibration:
    """Measure shifts against a reference model and write `calibration.json` into `out`.

    limit:    source frames of the stress run; pictures: of them, how many distances are measured on
    options:  as `stress.run` takes them (device, format, split, depth, classes, model_options)

    The same call resumes what was stopped.
    """
    out = Path(out)
    score_alone = {"explain": "none", "predictions": False, "dependability": "none"}  # the rest takes longer than it
    plan = {"shifts": shifts, "seed": seed, "limit": limit, **score_alone}
    result = run(
        dataset, model, plan, out / "run", workers=workers, progress=progress, command=command, **options
    ).results
    names = [shift["name"] for shift in result.summary["shifts"]]
    chosen = {**plan, "shifts": names, "limit": min(pictures, limit)}
    job, _ = job_of(dataset, model, chosen, out, **options)
    measures = pictures, lpips_backbone().is_file()
    key = hashlib.sha256(repr((read_json(out / "run" / "plan.json"), measures)).encode()).hexdigest()
    done = _known(out, names, key)
    todo = [name for name in names if name not in done]
    count = min(workers or usable_cores(), max(len(todo), 1))
    make = functools.partial(DistanceWorker, job)
    travels = job.model.spec is not None and job.data.travels()
    executor: Executor = (
        Processes(make, count, shared=["stress.calibration"]) if count > 1 and travels else InProcess(make)
    )
    try:
        with reporting(progress) as report:
            report("distances", len(done), len(names))
            for name, found in executor.each("distances", InOrder(todo)):
                done[name] = found
                write_json(_distance_file(out, name), {"key": key, **found})
                report("distances", len(done), len(names))
    except BaseException:
        executor.close(now=True)
        raise
    executor.close()
    summary, scale = _summarise(result, {name: done[name] for name in names}, len(job.sample_ids))
    write_json(out / "calibration.json", summary)
    return Calibration(out, summary, scale)


def _distance_file(out: Path, shift: str) -> Path:
    return out / "distances" / f"{shift.replace('/', '.')}.json"


def _known(out: Path, names: Sequence[str], key: str) -> dict[str, Distances]:
    """Return what an earlier call of the same kind measured."""
    (out / "distances").mkdir(parents=True, exist_ok=True)
    found = {}
    for name in names:
        path = _distance_file(out, name)
        try:
            there = read_json(path) if path.exists() else {}
        except InputError:  # damaged: measured again
            continue
        if there.get("key") == key:
            found[name] = {kind: there[kind] for kind in ("ms_ssim", "lpips")}
    return found


def _summarise(result: Results, distances: Mapping[str, Distances], pictures: int) -> tuple[dict[str, Any], Scale]:
    metric, clean = result.headline["metric"], result.headline["clean"]["value"]
    if not clean:
        raise InputError(
            f"calibrate: the reference model's {metric} on clean pictures is {clean}: it has nothing to lose; "
            "name a model that knows this data"
        )
    figures = {
        (f["shift"], f["severity"]): f
        for f in result.summary["figures"]
        if f["metric"] == metric and f["class_name"] is None and f["size"] is None
    }
    rows = []
    for shift in result.summary["shifts"]:
        cells = [figures[shift["name"], severity] for severity in SEVERITIES]
        loss = [None if c["value"] is None else 1.0 - c["value"] / clean for c in cells]
        margin = [None if c["delta_low"] is None else (c["delta_high"] - c["delta_low"]) / 2 / clean for c in cells]
        measured = {"loss": loss, **distances[shift["name"]]}
        rows.append(
            {
                **{key: shift[key] for key in ("name", "family", "changes", "quantity", "unit", "values", "source")},
                **measured,
                "loss_margin": margin,
                "monotone": {
                    kind: _rises(values, _noise(margin) if kind == "loss" else NOT_RISING)
                    for kind, values in measured.items()
                },
            }
        )
    losses = {row["name"]: row["loss"] for row in rows if None not in row["loss"]}
    if not losses:
        raise InputError("calibrate: no shift has a score at every severity: give more frames with --limit")
    model, data = result.summary["model"]["source"], result.summary["dataset"]["name"]
    scale = scale_of(losses, model=model, dataset=data, metric=metric)
    for row in rows:
        row["measured"] = list(scale.physical.get(row["name"], (None,) * 5))
    return {
        "schema": SCHEMA,
        "clean": clean,
        "n_frames": result.summary["dataset"]["n_samples"],
        "n_pictures": pictures,
        "command": result.summary["run"].get("command"),
        "notes": [*_certainty(rows), *_unmet(rows), *_notes(rows)],
        "scale": scale.model_dump(mode="json"),
        "shifts": rows,
    }, scale


def _rises(values: Sequence[float | None], tolerance: float) -> bool | None:
    """Tell whether values do not fall from one severity to the next; None where they were not measured."""
    known = [value for value in values if value is not None]
    return all(b >= a - tolerance for a, b in pairwise(known)) if len(known) > 1 else None


def _noise(margins: Sequence[float | None]) -> float:
    """Return the fall of a loss between two severities that chance explains."""
    known = [margin for margin in margins if margin is not None]
    return max(NOT_LOSING, float(np.median(known)) if known else 0.0)


def _certainty(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how well the losses are known, which is how well the measured scale is."""
    margins = [margin for row in rows for margin in row["loss_margin"] if margin is not None]
    if not margins:
        return ["Too few frames for intervals: the measured scale may be chance; give more with --limit."]
    return [
        f"Losses are known to within {float(np.median(margins)):.0%} of the clean score (the middle one of the 95 % "
        "intervals, half its width), and the measured scale no better; more frames (--limit) narrow it."
    ]


def _unmet(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how many cells the measured scale leaves out."""
    counts = [sum(row["measured"][i] is None for row in rows) for i in range(5)]
    if not any(counts):
        return []
    return [
        f"Of {len(rows)} shifts, {', '.join(map(str, counts))} cannot meet measured severities 1 to 5: means over the "
        "measured scale are over the others."
    ]


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = []
    if all(value is None for row in rows for value in row["lpips"]):
        path = lpips_backbone()
        notes.append(
            f"LPIPS was not measured: the weights of its backbone are not at {path.name} in torch's hub folder "
            f"(https://download.pytorch.org/models/{path.name}); MS-SSIM stands alone."
        )
    if any(value is None for row in rows for value in row["ms_ssim"]):
        notes.append("MS-SSIM needs pictures of at least 176 pixels on the shorter side and of unchanged size.")
    return notes
