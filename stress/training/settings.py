"""How a model is trained again: steps, batch, learning rate and its schedule, validation, moving average."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from scenes.errors import InputError, did_you_mean

STEPS = 300  # enough for a small network to take in new conditions; see docs/feedback.md
WARM_UP = 0.1  # of the steps
LEAST_RATE = 0.01  # of the peak, at the end
AVERAGED_OVER = 0.1  # of the steps: horizon of the weights' moving average
MOST_KEPT = 0.998  # of the moving average, per step


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every arm of a retraining shares; None of batch and rate is what suits the model.

    steps:    optimiser steps; all arms have the same
    rate:     peak learning rate (AdamW), reached after a tenth of the steps, then falling along a half cosine
    batch:    pictures of a step
    checks:   times that the validation loss is measured; the averaged weights of the best one are kept
    patience: checks without a better validation loss after which a training stops; None: all steps are done, so that
              every arm has the same budget
    """

    steps: int = STEPS
    rate: float | None = None
    batch: int | None = None
    checks: int = 10
    patience: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("checks", 1), ("patience", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"retrain: {name}: expected at least {least}, got {value}")
        if self.rate is not None and not (0 < self.rate < math.inf):
            raise InputError(f"retrain: rate: expected a learning rate above 0, e.g. 0.0005, got {self.rate}")

    @classmethod
    def make(cls, mapping: Mapping[str, Any]) -> Settings:
        """Return the settings of plain values; an unknown key is an error."""
        known = [f.name for f in fields(cls)]
        for key in mapping:
            if key not in known:
                raise InputError(f"retrain: no setting {key!r}{did_you_mean(key, known)}; there are {', '.join(known)}")
        return cls(**mapping)

    def plain(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)

    def check_steps(self) -> frozenset[int]:
        """Return after which steps the validation loss is measured; the last is always one of them.

        >>> sorted(Settings(steps=100, checks=4).check_steps())
        [25, 50, 75, 100]
        """
        return frozenset(max(1, round(self.steps * (i + 1) / self.checks)) for i in range(self.checks))


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the rate of a step (from 0): linear warm-up, then a half cosine (Loshchilov and Hutter 2017).

    >>> learning_rate(10, 100, 1.0), round(learning_rate(100, 100, 1.0), 6)
    (1.0, 0.01)
    """
    done = step / steps
    if done < WARM_UP:
        return peak * max(done / WARM_UP, 1 / max(1.0, WARM_UP * steps))
    fallen = 0.5 * (1 + math.cos(math.pi * min((done - WARM_UP) / (1 - WARM_UP), 1.0)))
    return peak * (LEAST_RATE + (1 - LEAST_RATE) * fallen)


def kept(step: int, steps: int) -> float:
    """Return how much of the moving average stays at a step: little at first, then a horizon of a tenth of the steps.

    >>> kept(0, 300), round(kept(299, 300), 4)
    (0.1, 0.9667)
    """
    return min(MOST_KEPT, 1 - 1 / max(2.0, AVERAGED_OVER * steps), (1 + step) / (10 + step))
