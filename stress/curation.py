"""Which of the candidates stay in a feedback set, and the files that say so: weights, summary, card."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.execute import single_threaded
from scenes.folders import disk_errors, write_json
from scenes.images import read_image
from scenes.progress import Report
from stress.aim import Aim, things_of
from stress.diversity import normalised, spread
from stress.feedback_card import card
from stress.frames import Frame, embedder_of
from stress.results import Results
from stress.selection import ALIKE_BITS, Planned
from synth.filters import Duplicates
from synth.staging import Made

COLUMNS = ("sample_id", "weight", "shift", "severity", "source", "group")


class FeedbackFiles:
    """feedback.json, weights.csv and README.md of a set, once it is known which pictures are in it."""

    def __init__(self, summary: Mapping[str, Any], aim: Aim, plan: Planned, results: Results) -> None:
        self.summary, self.aim, self.plan, self.results = dict(summary), aim, plan, results
        self.kept: dict[str, tuple[int | None, float]] = {}  # by name: cell and worth of each picture that stays

    def write(self, target: Path, rows: Sequence[Mapping[str, Any]], left_out: Mapping[str, int]) -> None:
        """Write the files; rows are those of the manifest."""
        weights = self._weights(rows)
        with disk_errors(target), (target / "weights.csv").open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(COLUMNS)
            for row, weight in zip(rows, weights, strict=True):
                shifted = row["variant"] != 0
                said = (row["entry"], f"{row['severity']:g}") if shifted else ("", "")
                source = row["source"]["sample_id"]
                table.writerow([row["sample_id"], f"{weight:.6f}", *said, source, row["group"]])
        full = self._summary(rows, left_out)
        write_json(target / "feedback.json", full)
        (target / "README.md").write_text(card(full, rows, self.results), encoding="utf-8")

    def _weights(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Return (N,) sampling weights of mean 1: clean frames together have their share, cells what was lost there.

        Within a cell a picture counts by half, and by half as what it is worth against the others of the cell.
        """
        cells = [self.kept[row["sample_id"]][0] for row in rows]
        weights = np.zeros(len(rows))
        clean = np.array([cell is None for cell in cells])
        share = self.summary["clean_share"] if clean.any() and not clean.all() else float(clean.all())
        weights[clean] = share / max(int(clean.sum()), 1)
        there = sorted({cell for cell in cells if cell is not None})
        mass = np.array([self.aim.cells[cell].mass for cell in there])
        for cell, part in zip(there, mass / mass.sum() if len(there) else mass, strict=True):
            members = np.array([i for i, own in enumerate(cells) if own == cell])
            worth = np.array([self.kept[rows[i]["sample_id"]][1] for i in members])
            bent = 0.5 + 0.5 * worth / worth.mean() if worth.mean() > 0 else np.ones(len(members))
            weights[members] = (1.0 - share) * part * bent / bent.sum()
        return weights * len(rows)

    def _summary(self, rows: Sequence[Mapping[str, Any]], left_out: Mapping[str, int]) -> dict[str, Any]:
        shifts = Counter(str(row["entry"]) for row in rows if row["variant"])
        used = {self.kept[row["sample_id"]][0] for row in rows} - {None}
        families = {f for cell in used if cell is not None for f in self.aim.cells[cell].families}
        licences = Counter(_licence(row["license"]) for row in rows)
        verdicts = Counter(verdict["kind"] for row in rows for verdict in row["verdicts"])
        n_clean = sum(not row["variant"] for row in rows)
        counts = self._of_slices(rows)
        slices = [{**one.plain(), "n_images": n} for one, n in zip(self.aim.slices, counts, strict=True)]
        return {
            **self.summary,
            "n_images": len(rows),
            "n_clean": n_clean,
            "families_used": sorted(families),
            "shifts": dict(sorted(shifts.items())),
            "slices": slices,
            "groups": sorted({str(row["group"]) for row in rows}),
            "licences": dict(sorted(licences.items())),
            "left_out": dict(sorted(left_out.items())),
            "verdicts": dict(sorted(verdicts.items())),
            "coverage": dict(self.plan.coverage),
            "notes": [*self.summary["notes"], *self.aim.notes, *self._notes(len(rows))],
        }

    def _notes(self, made: int) -> list[str]:
        wanted = self.plan.wanted.images
        if made == wanted:
            return []
        return [f"{made} of {wanted} pictures: the others showed the same, or not what they were made for."]

    def _of_slices(self, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Return how many shifted pictures each slice has: its cell, and a thing of it in the frame."""
        frames = {frame.sample_id: i for i, frame in enumerate(self.plan.frames)}
        things = things_of(self.plan.frames, self.results.task)
        found = []
        for one in self.aim.slices:
            owners = set(things.owner[one.on_things(things.attributes)].tolist())
            hits = 0
            for row in rows:
                cell = self.kept[row["sample_id"]][0]
                shows = frames[row["source"]["sample_id"]] in owners
                hits += cell is not None and shows and one.in_cell(self.aim.cells[cell].cell)
            found.append(hits)
        return found


class Curation:
    """Chooses among the candidates; the `Curator` of the synthesis behind a feedback set."""

    def __init__(self, aim: Aim, plan: Planned, embedder: str, task: str, files: FeedbackFiles) -> None:
        self.aim, self.plan, self.embedder, self.task, self.files = aim, plan, embedder, task, files

    def choose(self, made: Sequence[tuple[Made, Path | None]], report: Report) -> Mapping[str, tuple[str, str]]:
        """Return what is left out: pictures that lost their aim, twins, and beyond the quotas what adds least."""
        frames = {frame.sample_id: frame for frame in self.plan.frames}
        out: dict[str, tuple[str, str]] = {}
        twins = Duplicates(ALIKE_BITS)
        candidates: list[tuple[Made, Path, int, float]] = []
        for one, file in made:
            if one.left_out is not None or file is None:
                continue
            cell = self.plan.variants[one.row["source"]["sample_id"]][one.variant]
            if cell is None:
                self.files.kept[one.sample_id] = (None, 0.0)
                continue
            worth = self._worth(frames[one.row["source"]["sample_id"]], one.row["verdicts"], cell)
            twin = twins.of(one.sample_id, [part["name"] for part in one.row["shifts"]], dict(one.looks or {}))
            if worth <= 0:
                out[one.sample_id] = ("aim lost", f"{one.row['entry']}@{one.row['severity']:g}")
            elif twin is not None:
                out[one.sample_id] = ("near duplicate", f"like {twin}")
            else:
                candidates.append((one, file, cell, worth))
        kept = self._diverse(candidates, report)
        for number, (one, _, cell, worth) in enumerate(candidates):
            if number in kept:
                self.files.kept[one.sample_id] = (cell, worth)
            else:
                out[one.sample_id] = ("redundant", f"{one.row['entry']}@{one.row['severity']:g}")
        return out

    def _worth(self, frame: Frame, verdicts: Sequence[Mapping[str, Any]], cell: int) -> float:
        """Return what a picture is worth by the objects that are still valid and can be made out in it."""
        things = things_of([frame], self.task)
        said = {verdict["instance_id"]: verdict for verdict in verdicts}
        gone = {i for i, verdict in said.items() if verdict["kind"] == "invalid" or verdict.get("hard_to_see")}
        there = np.array([i not in gone for i in things.instance_id.tolist()], np.bool_)
        return float(self.aim.worth(things)[there, cell].sum())

    def _diverse(self, candidates: Sequence[tuple[Made, Path, int, float]], report: Report) -> set[int]:
        """Return which candidates stay: each cell its quota, spread by k-centre; what cells lack, the others give."""
        if not candidates:
            return set()
        vectors = []
        embed = embedder_of(self.embedder)
        with single_threaded():
            for number, (_, file, _, _) in enumerate(candidates, 1):
                vectors.append(embed([read_image(file)])[0])
                report("pictures compared", number, len(candidates))
        rows = normalised(np.stack(vectors))
        cells = np.array([cell for _, _, cell, _ in candidates])
        worth = np.array([value for _, _, _, value in candidates])
        kept: list[int] = []
        for cell, quota in enumerate(self.plan.quota.tolist()):
            members = np.flatnonzero(cells == cell)
            kept += [int(members[i]) for i in spread(rows[members], quota, np.sqrt(worth[members]))]
        missing = self.plan.wanted.shifted - len(kept)
        if missing > 0:
            rest = np.sqrt(worth)
            rest[kept] = 0.0
            kept += spread(rows, missing, rest, rows[kept] if kept else None)
        return set(kept)

    def finish(self, target: Path, rows: Sequence[Mapping[str, Any]], left_out: Mapping[str, int]) -> None:
        """Write what stands beside the pictures."""
        self.files.write(target, rows, left_out)


def _licence(value: Any) -> str:
    """Return a licence in words; where the labels name none, that is said."""
    if isinstance(value, Mapping):
        return str(value.get("name") or value.get("url") or value)
    return "not stated by the data set" if value is None else str(value)
