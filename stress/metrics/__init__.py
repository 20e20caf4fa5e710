"""Figures of a cell and of a picture, one file a task; matching and counting by the field's own libraries."""

from __future__ import annotations

from scenes.sample import Task
from stress.class_map import ClassMap
from stress.metrics.classification import ClassificationScorer
from stress.metrics.detection import DetectionScorer
from stress.metrics.scored import Metric, Scorer
from stress.metrics.segmentation import SegmentationScorer

SCORERS: dict[Task, type[Scorer]] = {
    "detection": DetectionScorer,
    "segmentation": SegmentationScorer,
    "classification": ClassificationScorer,
}


def scorer_for(task: Task, classes: ClassMap, *, min_visibility: float, dependable: bool = False) -> Scorer:
    """Return the scorer of a task; `dependable` keeps what calibration and detection of the unknown need."""
    return SCORERS[task](classes, min_visibility=min_visibility, dependable=dependable)


__all__ = ["SCORERS", "Metric", "Scorer", "scorer_for"]
