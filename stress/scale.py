"""The measured severity scale: severity s of any shift costs the reference model the same share of its clean score.

A calibration holds, for each shift, the physical severities (1 to 5, fractions between) at which the targets are met.
It is measured by `roadproof shifts calibrate`, and read from its file by a plan with `scale: measured`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from scenes.errors import InputError, did_you_mean

SCHEMA = "roadproof.calibration/1"
SEVERITIES = (1.0, 2.0, 3.0, 4.0, 5.0)
ROUNDING = 1e-9
QUANTILES = (0.75, 0.625, 0.5, 0.375, 0.25)  # of the shifts' losses at physical severities 1 to 5
Five = tuple[float | None, float | None, float | None, float | None, float | None]


class Scale(BaseModel):
    """Where on the physical scale each measured severity lies.

    model, dataset, metric: what it was measured with
    targets:  share of the clean score that severities 1 to 5 cost
    physical: for each shift, the physical severity at which each target is met; None where none in [1, 5] does
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    dataset: str
    metric: str
    targets: tuple[float, float, float, float, float]
    physical: Mapping[str, Five]

    @classmethod
    def read(cls, path: str | Path) -> Scale:
        """Read a calibration file."""
        where = f"calibration {str(path)!r}"
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{where}: cannot be read: {error}; `roadproof shifts calibrate` writes one") from error
        schema = found.get("schema") if isinstance(found, dict) else None
        if schema != SCHEMA:
            raise InputError(f"{where}: expected schema {SCHEMA!r}, got {schema!r}; measure it again")
        try:
            return cls.model_validate(found["scale"])
        except (KeyError, ValidationError) as error:
            raise InputError(f"{where}: {' '.join(str(error).split())}; measure it again") from error

    def at(self, shift: str, severity: float) -> float | None:
        """Return the physical severity of a measured one; None where the shift never costs that, or always more."""
        if shift not in self.physical:
            raise InputError(
                f"shift {shift!r}: not in the calibration{did_you_mean(shift, self.physical)}; calibrate it, or use "
                "scale: physical"
            )
        low = int(severity)
        share = severity - low
        here = self.physical[shift][low - 1]
        if share == 0 or here is None:
            return here
        above = self.physical[shift][low]
        return None if above is None else here + share * (above - here)


def rising(values: Sequence[float]) -> list[float]:
    """Return the nearest sequence that never falls, in the least squares: isotonic regression by pooling neighbours.

    Barlow et al., Statistical Inference under Order Restrictions, 1972.

    >>> rising([0.1, 0.3, 0.2, 0.4])
    [0.1, 0.25, 0.25, 0.4]
    """
    pools: list[list[float]] = []  # mean, size
    for value in values:
        pools.append([float(value), 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, size = pools.pop()
            before = pools[-1]
            pools[-1] = [(before[0] * before[1] + mean * size) / (before[1] + size), before[1] + size]
    return [mean for mean, size in pools for _ in range(int(size))]


def severity_of(loss: Sequence[float], target: float) -> float | None:
    """Return the physical severity in [1, 5] at which a loss that never falls first meets a target, or None.

    loss: at physical severities 1 to 5

    >>> severity_of([0.1, 0.2, 0.4, 0.6, 0.8], 0.3)
    2.5
    """
    if not loss[0] - ROUNDING <= target <= loss[-1] + ROUNDING:
        return None
    target = min(max(target, loss[0]), loss[-1])
    above = int(np.searchsorted(loss, target))
    if above == 0:
        return 1.0
    step = loss[above] - loss[above - 1]
    return float(above + (target - loss[above - 1]) / step)


def scale_of(
    losses: Mapping[str, Sequence[float]],
    *,
    model: str,
    dataset: str,
    metric: str,
    targets: Sequence[float] | None = None,
) -> Scale:
    """Return the measured scale of shifts whose losses at physical severities 1 to 5 are known.

    targets: shares of the clean score; where not given, quantiles over the shifts of what each loses at physical
             severities 1 to 5: the upper quartile at 1, the middle at 3, the lower quartile at 5, so that three in
             four shifts can meet the ends and a measured 3 costs what a typical shift's physical 3 does
    """
    smooth = {name: rising(loss) for name, loss in losses.items()}
    if targets is None:
        columns = np.array(list(smooth.values())).T
        targets = rising([float(np.quantile(loss, q)) for loss, q in zip(columns, QUANTILES, strict=True)])
    physical: dict[str, Any] = {name: [severity_of(loss, t) for t in targets] for name, loss in smooth.items()}
    return Scale(model=model, dataset=dataset, metric=metric, targets=tuple(targets), physical=physical)  # type: ignore[arg-type]  # five of them
