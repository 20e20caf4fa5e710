"""Robustness of a grid: P on clean data, mPC and rPC = mPC / P (Michaelis et al. 2019), mCE (Hendrycks et al. 2019).

mPC is the unweighted mean over a shift's severities, then over shifts; a family's is the mean over its shifts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from scenes.errors import InputError
from stress.plan import CLEAN, Cell
from stress.statistics import Draws, mean_of, ratio

# Top-1 error of AlexNet on ImageNet-C, mean over severities 1 to 5 (Hendrycks and Dietterich 2019), keyed by name:
# one public script lists the corruptions in another order with the same numbers.
ALEXNET_ERROR: Mapping[str, float] = {
    "imagenet_c/gaussian_noise": 0.886428,
    "imagenet_c/shot_noise": 0.894468,
    "imagenet_c/impulse_noise": 0.922640,
    "imagenet_c/defocus_blur": 0.819880,
    "imagenet_c/glass_blur": 0.826268,
    "imagenet_c/motion_blur": 0.785948,
    "imagenet_c/zoom_blur": 0.798360,
    "imagenet_c/snow": 0.866816,
    "imagenet_c/frost": 0.826572,
    "imagenet_c/fog": 0.819324,
    "imagenet_c/brightness": 0.564592,
    "imagenet_c/contrast": 0.853204,
    "imagenet_c/elastic_transform": 0.646056,
    "imagenet_c/pixelate": 0.717840,
    "imagenet_c/jpeg_compression": 0.606500,
}
# Set aside for validation by the benchmark's authors: no part of mCE, no constants.
VALIDATION = frozenset(
    ("imagenet_c/speckle_noise", "imagenet_c/gaussian_blur", "imagenet_c/spatter", "imagenet_c/saturate")
)
BREAKS_BELOW = 0.5  # of the clean score
MONOTONE_TOLERANCE = 0.01  # a rise of the score with severity below this is noise


class Grid:
    """The headline figure of every cell, under each resample, and what is read off it."""

    def __init__(self, draws: Mapping[Cell, Draws], families: Mapping[str, str]) -> None:
        self.clean = draws[Cell(CLEAN, 0.0)]
        self.families = dict(families)
        self.severities: dict[str, list[float]] = {}
        self.draws = {cell: value for cell, value in draws.items() if cell.shift != CLEAN}
        for cell in sorted(self.draws):
            self.severities.setdefault(cell.shift, []).append(cell.severity)

    def of_shift(self, shift: str) -> Draws:
        """Return mPC of one shift."""
        return mean_of([self.draws[Cell(shift, s)] for s in self.severities[shift]])

    def of_family(self, family: str) -> Draws:
        """Return mPC of a family: the mean over its shifts."""
        return mean_of([self.of_shift(shift) for shift in self.severities if self.families[shift] == family])

    def overall(self) -> Draws:
        """Return mPC: the mean over all shifts."""
        return mean_of([self.of_shift(shift) for shift in self.severities])

    def relative(self, mpc: Draws) -> Draws:
        """Return rPC, what is left of the clean score."""
        return ratio(mpc, self.clean)

    def breaks_at(self, shifts: Sequence[str]) -> float | None:
        """Return the first severity at which less than half of the clean score is left, mean over these shifts."""
        if not self.clean[0] > 0:
            return None
        for severity in sorted({s for shift in shifts for s in self.severities[shift]}):
            there = [self.draws[Cell(shift, severity)][0] for shift in shifts if severity in self.severities[shift]]
            known = [value for value in there if not np.isnan(value)]
            if known and np.mean(known) < BREAKS_BELOW * self.clean[0]:
                return severity
        return None

    def is_monotone(self, shift: str) -> bool:
        """Tell whether the score does not rise with severity."""
        values = [self.draws[Cell(shift, s)][0] for s in self.severities[shift]]
        return all(b <= a + MONOTONE_TOLERANCE for a, b in pairwise(values))


def corruption_error(grid: Grid, reference: Mapping[Cell, float] | None = None) -> tuple[Draws, dict[str, Draws]]:
    """Return mCE and CE of each shift: error summed over severities, divided by the reference's.

    reference: error of each cell in another run, which has them all; AlexNet's published constants where not given,
               and then over the 15 corruptions that have one
    """
    missing = [] if reference is None else [cell.label for cell in grid.draws if cell not in reference]
    if missing:
        raise InputError(f"mCE: the reference has no figure of {', '.join(missing)}")
    by_shift: dict[str, Draws] = {}
    for shift, severities in grid.severities.items():
        cells = [Cell(shift, s) for s in severities]
        if reference is None and shift in VALIDATION:
            continue
        if reference is None:
            below = ALEXNET_ERROR[shift] * len(cells)
        else:
            below = sum(reference[cell] for cell in cells)
        if below > 0:
            by_shift[shift] = np.sum([1.0 - grid.draws[cell] for cell in cells], axis=0) / below
    if not by_shift:
        raise InputError("mCE: the reference makes no error in any cell")
    return mean_of(list(by_shift.values())), by_shift


def check_alexnet(cells: Sequence[Cell], task: str) -> None:
    """Raise unless a grid is the one that AlexNet's constants are for: classification, 15 corruptions x 5.

    The four corruptions for validation may be there too; they are no part of mCE.
    """
    wanted = {Cell(shift, float(s)) for shift in ALEXNET_ERROR for s in range(1, 6)}
    found = {cell for cell in cells if cell.shift != CLEAN and cell.shift not in VALIDATION}
    if task != "classification" or found != wanted:
        raise InputError(
            "plan: reference 'alexnet' is for classifiers over imagenet_c at severities 1 to 5 and nothing else; "
            "give that plan, or the folder of another run as reference"
        )
