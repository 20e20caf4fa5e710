"""Before, controls, after: what a retraining changed, as plain values (schema `roadproof.proof/1`).

All figures are of one metric over all classes, on the same frames under the same resamples of their groups. Families
that the training had pictures of are `trained`, the others `held_out`; mPC is the mean over severities, then shifts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stress.metrics.robust import Grid
from stress.plan import CLEAN, Cell
from stress.statistics import FEWEST_GROUPS, Draws
from stress.training.sets import family_of
from stress.training.verdict import ALPHA, FEWEST_SEEDS, HELPED, Effect, Row, Seeded, answered, effect, question

SCHEMA = "roadproof.proof/1"
DIGITS = 6
Figures = Mapping[Cell, NDArray[np.float64]]
Part = Callable[[Grid], Draws]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Draws (1 + B,) of every cell: of the model before, and of each arm for each seed.

    arms: the first is the one that is judged, the others are its controls
    trained: shifts that it learned from, with the number of their pictures
    """

    before: Figures
    arms: Mapping[str, Sequence[Figures]]
    trained: Mapping[str, int]
    n_groups: int
    higher_is_better: bool = True

    def cells(self) -> list[Cell]:
        """Return the cells that every run has, and whose figure is known in all."""
        runs = [self.before, *(run for seeds in self.arms.values() for run in seeds)]
        return [c for c in sorted(self.before) if all(c in run and not np.isnan(run[c][0]) for run in runs)]


@dataclass(frozen=True, eq=False)
class _Grids:
    before: Grid
    arms: Mapping[str, Sequence[Grid]]

    def of_before(self, part: Part) -> Seeded:
        return part(self.before)[None]

    def of_arm(self, arm: str, part: Part) -> Seeded:
        return np.stack([part(grid) for grid in self.arms[arm]])


def prove(evidence: Evidence) -> dict[str, Any]:
    """Return the rows of the report: overall, families, shifts; and in words what they say."""
    cells = evidence.cells()
    families = {cell.shift: family_of(cell.shift) for cell in cells if cell.shift != CLEAN}
    grids = _Grids(
        Grid({c: evidence.before[c] for c in cells}, families),
        {arm: [Grid({c: run[c] for c in cells}, families) for run in runs] for arm, runs in evidence.arms.items()},
    )
    learned = {family_of(shift) for shift in evidence.trained}
    shifts = list(grids.before.severities)
    groups = {
        "trained": [s for s in shifts if families[s] in learned],
        "held_out": [s for s in shifts if families[s] not in learned],
    }
    tables: dict[str, list[tuple[dict[str, Any], Part]]] = {
        "overall": [({"what": k, "shifts": names}, _over(names)) for k, names in groups.items() if names],
        "families": [
            ({"family": f, "trained": f in learned}, _over([s for s in shifts if families[s] == f]))
            for f in sorted(set(families.values()), key=lambda f: (f not in learned, f))
        ],
        "shifts": [
            ({"shift": s, "trained": families[s] in learned, "pictures": evidence.trained.get(s, 0)}, _over([s]))
            for s in sorted(shifts, key=lambda s: (families[s] not in learned, s))
        ],
        "clean": [({"what": "clean"}, lambda grid: grid.clean)],
    }
    made = {name: _table(parts, grids, evidence) for name, parts in tables.items()}
    return {
        "n_cells": len(cells) - 1,
        "families_trained": sorted(learned & set(families.values())),
        "families_held_out": sorted(set(families.values()) - learned),
        **made,
        "clean": made["clean"][0],
        "notes": _notes(evidence, groups),
    }


def _over(shifts: Sequence[str]) -> Part:
    def part(grid: Grid) -> Draws:
        return np.mean([grid.of_shift(shift) for shift in shifts], axis=0)

    return part


def _table(parts: Sequence[tuple[dict[str, Any], Part]], grids: _Grids, evidence: Evidence) -> list[dict[str, Any]]:
    """Return one table; its p-values are corrected for the number of its rows."""
    judged, *controls = evidence.arms
    asked = [
        question(
            grids.of_arm(judged, part), {c: grids.of_arm(c, part) for c in controls}, evidence.n_groups,
            higher_is_better=evidence.higher_is_better,
        )
        for _, part in parts
    ]  # fmt: skip
    rows = answered(asked)
    return [{**what, **_row(part, row, grids, evidence)} for (what, part), row in zip(parts, rows, strict=True)]


def _row(part: Part, row: Row, grids: _Grids, evidence: Evidence) -> dict[str, Any]:
    n = evidence.n_groups
    before, clean = grids.of_before(part), grids.of_before(lambda grid: grid.clean)
    lost = clean - before
    arms = {}
    for arm in evidence.arms:
        draws = grids.of_arm(arm, part)
        gain = draws - before
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(lost > 0, gain / lost, np.nan)
        known = bool(lost[0, 0] > 0)
        arms[arm] = {
            **_plain(_level(draws, n)),
            "seeds": [round(float(v), DIGITS) for v in draws[:, 0]],
            "gain": _plain(effect(gain, n)),
            "won_back": _plain(effect(share, n)) if known else _plain(Effect(None)),
        }
    return {
        "before": _plain(_level(before, n)),
        "lost": round(float(lost[0, 0]), DIGITS),
        "arms": arms,
        "against": {name: _plain(found) for name, found in row.against.items()},
        "better_control": row.better,
        "p": _rounded(row.p),
        "p_corrected": _rounded(row.p_corrected),
        "word": row.word,
        "reason": row.reason,
    }


def _level(draws: Seeded, n_groups: int) -> Effect:
    """Return a score with its interval, which does not leave [0, 1] where no resample does."""
    found = effect(draws, n_groups)
    known = draws[~np.isnan(draws)]
    if found.low is None or found.high is None or known.min() < 0 or known.max() > 1:
        return found
    return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))


def _notes(evidence: Evidence, groups: Mapping[str, Sequence[str]]) -> list[str]:
    notes = []
    seeds = min(len(runs) for runs in evidence.arms.values())
    if seeds < FEWEST_SEEDS:
        notes.append(
            f"Only {seeds} training seed{'s' * (seeds != 1)}: by chance alone another training may come out otherwise, "
            f'so that nothing better than "no evidence" is said; give --seeds {FEWEST_SEEDS} or more.'
        )
    if evidence.n_groups < FEWEST_GROUPS:
        notes.append(
            f"Only {evidence.n_groups} independent group{'s' * (evidence.n_groups != 1)} of frames (sequences where "
            f"known): too few for intervals or a test, for which {FEWEST_GROUPS} are needed."
        )
    if not groups["held_out"]:
        notes.append("No family was held out: nothing is known of conditions that the training had no pictures of.")
    if not groups["trained"]:
        notes.append("The test has none of the families that were trained on.")
    return notes


def _plain(found: Effect) -> dict[str, float | None]:
    """Return an effect as plain values, rounded."""
    names = ("value", "low", "high", "p", "seed_share")
    return {name: _rounded(getattr(found, name)) for name in names}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DIGITS)


__all__ = ["ALPHA", "HELPED", "SCHEMA", "Evidence", "prove"]
