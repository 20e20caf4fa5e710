"""What scoring one picture returns, the same for every task, and what a scorer of a task looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import pyarrow as pa
from numpy.typing import NDArray

from scenes.sample import Predictions, Sample, Task
from stress.class_map import ClassMap
from stress.statistics import Draws, Weights
from synth.audit import Verdict

SCORE_THRESHOLD = 0.5  # at which precision, recall, F1, the confusion matrix and failures are counted
IOU_THRESHOLD = 0.5


@dataclass(frozen=True)
class Metric:
    """A figure of a whole cell: what it is called, and which way is good."""

    key: str
    label: str
    unit: str
    description: str
    higher_is_better: bool = True


@dataclass(frozen=True)
class ObjectRow:
    """One true object, or one find that belongs to none, of one picture.

    outcome: found | missed | confused | misplaced | ignored for true objects; invented | duplicate for finds
    score:   of the find that took the object (of the one nearest to it where none did), iou: their overlap
    distance_m: from the camera, where 3D boxes or depth tell
    """

    instance_id: int
    class_name: str
    box: tuple[float, float, float, float]
    outcome: str
    verdict: str = ""
    reason: str = ""
    visible_fraction: float | None = None
    hard_to_see: bool = False
    predicted_class: str | None = None
    score: float | None = None
    iou: float | None = None
    distance_m: float | None = None


@dataclass(frozen=True)
class Scored:
    """One picture: figures of its own, its objects, and what the figures of the cell are computed from.

    quantities: {name: value}; payload: one array for each column that the scorer declares
    """

    quantities: Mapping[str, float]
    payload: Mapping[str, NDArray[Any]]
    objects: Sequence[ObjectRow] = ()


@dataclass(frozen=True, eq=False)
class Payload:
    """One cell put together: the scorer's columns of all pictures, and the group of each picture."""

    columns: Mapping[str, pa.Array]
    group: NDArray[Any]  # (I,) index into the groups
    n_groups: int


@dataclass(frozen=True, eq=False)
class SetFigure:
    """A figure of a cell, for all resamples: draws[0] is the value."""

    metric: str
    draws: Draws
    class_name: str | None = None
    size: str | None = None
    aside: bool = False  # with what is hard to see or heavily occluded set aside


@dataclass(frozen=True, eq=False)
class CellScores:
    """All figures of one cell, its curves and its confusion matrix."""

    figures: Sequence[SetFigure]
    curves: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    confusion: Mapping[str, Any] | None = None


class Scorer(Protocol):
    """Scores pictures one by one, then a cell as a whole from what it kept of each."""

    task: ClassVar[Task]
    metrics: ClassVar[tuple[Metric, ...]]  # the first is the headline
    columns: ClassVar[Mapping[str, pa.DataType]]
    classes: ClassMap
    kept: ClassVar[Mapping[str, pa.DataType]]  # more columns, for calibration and the like; null where not `dependable`

    def __init__(self, classes: ClassMap, *, min_visibility: float, dependable: bool = False) -> None: ...

    def score(self, sample: Sample, verdicts: Sequence[Verdict], prediction: Predictions) -> Scored: ...

    def cell(self, payload: Payload, weights: Weights) -> CellScores: ...
