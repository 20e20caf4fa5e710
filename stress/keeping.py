"""What a part keeps of some pictures beside their score: embeddings, and for classifiers the score of ODIN."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pyarrow as pa

from scenes.sample import Predictions, Sample
from stress.embedding import Recorder, odin_scores
from stress.plan import DependabilityEntry

ODIN, ODIN_LEAST = 32, 20  # pictures that it is tried on unless told otherwise, and the fewest that say anything
ODIN_COST = 80  # predictions for each of them: four passes are a twentieth of these
Predict = Callable[[list[Sample]], list[Predictions]]


class Keeper:
    """Chooses pictures evenly over the data set, the same in every cell, and reads what is kept of them."""

    def __init__(self, model: Any, wanted: DependabilityEntry, n_samples: int) -> None:
        self.model, self.n = model, n_samples
        self.recorder = Recorder(model)
        self.embeddings = wanted.embeddings if wanted.on and self.recorder.able else 0
        self.odin = odin_pictures(wanted, n_samples) if wanted.on and model.task == "classification" else 0
        self.columns: Mapping[str, pa.DataType] = {"embedding": pa.binary(), "odin": pa.float32()} if wanted.on else {}

    def predict(self, predict: Predict, samples: list[Sample], indices: Sequence[int]) -> list[Predictions]:
        """Predict, and remember what the model's layers say meanwhile where it is wanted."""
        listening = any(evenly(i, self.embeddings, self.n) for i in indices)
        with self.recorder.recording() if listening else nullcontext():
            return predict(samples)

    def extras(self, samples: Sequence[Sample], indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return what is kept of each of the pictures that were predicted last."""
        found: list[dict[str, Any]] = [{} for _ in samples]
        chosen = [k for k, i in enumerate(indices) if evenly(i, self.embeddings, self.n)]
        vectors = self.recorder.vectors([s.image for s in samples]) if chosen else None
        for k in chosen if vectors is not None else ():
            assert vectors is not None
            found[k]["embedding"] = vectors[k].astype(np.float16).tobytes()
        tried = [k for k, i in enumerate(indices) if evenly(i, self.odin, self.n)]
        scores = odin_scores(self.model, [samples[k].image for k in tried]) if tried else None
        for k, score in zip(tried, scores, strict=True) if scores is not None else ():
            found[k]["odin"] = float(score)
        return found


def odin_pictures(wanted: DependabilityEntry, n: int) -> int:
    """Return how many of n pictures ODIN is tried on.

    >>> [odin_pictures(DependabilityEntry(), n) for n in (1000, 2000, 50_000)]
    [0, 25, 32]
    """
    if wanted.odin is not None:
        return wanted.odin
    affordable = min(ODIN, n // ODIN_COST)
    return affordable if affordable >= ODIN_LEAST else 0


def evenly(index: int, wanted: int, n: int) -> bool:
    """Tell whether one of n pictures is among `wanted` that lie evenly over them.

    >>> [i for i in range(10) if evenly(i, 4, 10)]
    [2, 4, 7, 9]
    """
    return wanted >= n or (index + 1) * wanted // n != index * wanted // n
