"""Do labels still hold after a learned generator painted? Judged object by object, by teachers who see both pictures.

A teacher is a detector that is not the model under test. What it finds in the clean frame is what it can judge: an
object it never saw says nothing by being gone. For each labelled object: present, missing, moved (found beside its
place) or confused (found as another class); and whatever a teacher finds newly where nothing is labelled was invented.
Several teachers vote. Beside that: pixels that changed outside of a masked edit (there may be none), and how much of
the clean frame's structure is left, by the direction of its edges, which fog and night leave alone.

Geometry stays with `synth.audit`: a teacher never makes an object invalid, it makes a picture untrustworthy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Image, Predictions, Sample
from synth.regions import Mask

Fate = Literal["present", "missing", "moved", "confused", "unjudged"]
Verdict = Literal["keep", "flag", "drop"]
EDGE_SHARE = 0.1  # of the pixels, those with the steepest light
_RANDOM = 2 / np.pi  # mean |cos| of directions that have nothing to do with each other


@dataclass(frozen=True)
class Teacher:
    """A detector that judges: pictures (H, W, 3) uint8 to `Predictions` with boxes, labels in class_names, scores."""

    name: str
    class_names: tuple[str, ...]
    find: Callable[[list[Image]], Sequence[Predictions]]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """When a picture is kept, flagged or dropped.

    score:       finds below it are not looked at; sure: those from it on can get a picture dropped
    iou:         overlap from which a find is the object; beside: overlap from which it is the object moved
    claimed:     overlap with a label from which a find is nothing new
    min_side_px, min_visible: objects below are judged, but can only get a picture flagged
    structure:   (drop below, flag below), share of the edges' directions that are kept
    depth_order: the same for the rank correlation of depths, where an estimator is given
    """

    score: float = 0.3
    sure: float = 0.5
    iou: float = 0.5
    beside: float = 0.05
    claimed: float = 0.3
    min_side_px: float = 24.0
    min_visible: float = 0.5
    structure: tuple[float, float] = (0.1, 0.3)
    depth_order: tuple[float, float] = (0.3, 0.6)


@dataclass(frozen=True)
class ObjectTrust:
    """What the teachers say of one labelled object; votes: those who could judge it."""

    instance_id: int
    fate: Fate
    votes: int
    reliable: bool
    reason: str = ""


@dataclass(frozen=True)
class Invented:
    """Something found where nothing is labelled: box xyxy in pixels."""

    box: tuple[float, float, float, float]
    class_name: str
    score: float
    reliable: bool


@dataclass(frozen=True)
class Trust:
    """The verdict on a generated picture, why, and what it rests on."""

    verdict: Verdict
    reasons: tuple[str, ...]
    objects: tuple[ObjectTrust, ...]
    invented: tuple[Invented, ...]
    scores: Mapping[str, float] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """Return plain values for the manifest."""
        return {
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "scores": {name: round(value, 4) for name, value in self.scores.items()},
            "objects": [vars(thing) for thing in self.objects],
            "invented": [{**vars(thing), "box": list(thing.box)} for thing in self.invented],
        }


def judge(
    clean: Sample,
    made: Sample,
    teachers: Sequence[Teacher],
    class_names: Sequence[str],
    *,
    edited: Mask | None = None,
    depth: Callable[[Sample], NDArray[np.float32]] | None = None,
    limits: Thresholds | None = None,
) -> Trust:
    """Judge a generated picture against the clean one.

    class_names: of the labels; teachers' classes are matched to them by name, whatever the case
    edited:      (H, W) mask with its rim of a masked edit, None where the whole frame was edited
    depth:       an estimator of depth from a picture, for the order of depths

    Raises InputError without a teacher or with one that knows none of the classes.
    """
    limits = limits or Thresholds()
    if not teachers:
        raise InputError("trust: expected at least one teacher, got none")
    scores: dict[str, float] = {}
    if edited is not None:
        scores["changed_outside"] = float(np.count_nonzero((made.image != clean.image).any(axis=2) & ~edited))
    scores["structure"] = structure_kept(clean.image, made.image, None if edited is None else ~edited)
    if depth is not None:
        scores["depth_order"] = depth_order(depth(clean), depth(made))
    ballots = [_Ballot.of(teacher, clean, made, class_names, limits) for teacher in teachers]
    objects = tuple(_fate(made, row, ballots, limits) for row in range(len(made.annotations)))
    invented = _invented(made, ballots, limits)
    judged = [thing for thing in objects if thing.fate != "unjudged"]
    if judged:
        scores["present"] = sum(thing.fate == "present" for thing in judged) / len(judged)
    verdict, reasons = _verdict(scores, objects, invented, limits)
    return Trust(verdict, tuple(reasons), objects, invented, scores)


def structure_kept(before: Image, after: Image, where: Mask | None = None) -> float:
    """Return how far the edges of a picture keep their direction: 1 all of them, 0 as much as chance.

    Directions at the steepest tenth of the pixels; mean |cos| of their change, freed of chance. Contrast, fog and
    light do not matter as long as an edge can be told. 1 for a picture without edges.
    """
    first, second = (_gradient(image) for image in (before, after))
    steep = np.hypot(*first)
    if where is not None:
        steep = np.where(where, steep, 0)
    limit = np.quantile(steep, 1 - EDGE_SHARE)
    chosen = steep > max(float(limit), 1e-6)
    if not chosen.any():
        return 1.0
    dot = sum(a[chosen] * b[chosen] for a, b in zip(first, second, strict=True))
    length = np.hypot(first[0][chosen], first[1][chosen]) * np.hypot(second[0][chosen], second[1][chosen])
    agree = np.where(length > 0, np.abs(dot) / np.maximum(length, 1e-9), _RANDOM)
    return float((agree.mean() - _RANDOM) / (1 - _RANDOM))


def depth_order(first: NDArray[np.float32], second: NDArray[np.float32], *, points: int = 4000) -> float:
    """Return Spearman's rank correlation of two depths over evenly spread pixels; 1 where nothing varies."""
    from scipy.stats import spearmanr

    step = max(1, first.size // points)
    one, other = (np.minimum(depth.ravel()[::step], 1e4) for depth in (first, second))
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 1.0
    return float(spearmanr(one, other).statistic)


def _gradient(image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.5)
    return cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)


@dataclass(frozen=True)
class _Ballot:
    """What one teacher found: boxes, classes (index of the labels' names, -1 = none of them), scores; before, after."""

    name: str
    class_names: tuple[str, ...]
    known: frozenset[int]
    before: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]
    after: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]

    @classmethod
    def of(
        cls, teacher: Teacher, clean: Sample, made: Sample, class_names: Sequence[str], limits: Thresholds
    ) -> _Ballot:
        order = {name.lower(): index for index, name in enumerate(class_names)}
        table = np.array([order.get(name.lower(), -1) for name in teacher.class_names], np.int64)
        known = frozenset(int(i) for i in table if i >= 0)
        if not known:
            raise InputError(
                f"teacher {teacher.name!r}: knows none of the classes {', '.join(class_names)}; it has "
                f"{', '.join(teacher.class_names)}"
            )
        before, after = (_finds(found, table, limits.score) for found in teacher.find([clean.image, made.image]))
        return cls(teacher.name, tuple(class_names), known, before, after)

    def fate(self, old: NDArray[np.float32], new: NDArray[np.float32], label: int, limits: Thresholds) -> Fate:
        """Return what became of an object in this teacher's eyes; old and new: its labelled boxes."""
        if label not in self.known or not _match(self.before, old, label, limits.iou):
            return "unjudged"
        if _match(self.after, new, label, limits.iou):
            return "present"
        boxes, labels, _ = self.after
        if any(overlap >= limits.iou for overlap in iou(boxes, new)):
            return "confused"
        near = iou(boxes[labels == label], new) >= limits.beside
        return "moved" if near.any() else "missing"


def _finds(
    found: Predictions, table: NDArray[np.int64], least: float
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    if found.boxes is None or found.labels is None or found.scores is None:
        raise InputError("teacher: expected boxes, labels and scores, got none: teachers are detectors")
    kept = found.scores >= least
    return found.boxes[kept], table[found.labels[kept]], found.scores[kept]


def _match(
    finds: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]],
    box: NDArray[np.float32],
    label: int,
    least: float,
) -> bool:
    boxes, labels, _ = finds
    return bool((iou(boxes[labels == label], box) >= least).any())


def iou(boxes: NDArray[np.float32], box: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the overlap (intersection over union) of boxes (N, 4) with one."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1, dtype=np.float64)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1, dtype=np.float64)
    total = areas + float(np.prod(box[2:] - box[:2])) - shared
    return np.where(total > 0, shared / np.maximum(total, 1e-9), 0.0)


def _fate(made: Sample, row: int, ballots: Sequence[_Ballot], limits: Thresholds) -> ObjectTrust:
    notes = made.annotations
    box, key = notes.boxes[row], int(notes.instance_ids[row])
    height = float(box[3] - box[1])
    visible = 1.0 if notes.visibility is None else float(notes.visibility[row])
    reliable = height >= limits.min_side_px and visible >= limits.min_visible and not notes.ignore[row]
    if height <= 0 or notes.ignore[row]:
        return ObjectTrust(key, "unjudged", 0, reliable=False)
    said = [ballot.fate(box, box, int(notes.labels[row]), limits) for ballot in ballots]
    votes = [fate for fate in said if fate != "unjudged"]
    if not votes:
        return ObjectTrust(key, "unjudged", 0, reliable=reliable, reason="no teacher found it in the clean frame")
    present = votes.count("present")
    if 2 * present >= len(votes):
        return ObjectTrust(key, "present", len(votes), reliable=reliable)
    fate = max((f for f in votes if f != "present"), key=votes.count)
    return ObjectTrust(
        key, fate, len(votes), reliable=reliable, reason=f"{fate} for {len(votes) - present} of {len(votes)}"
    )


def _invented(made: Sample, ballots: Sequence[_Ballot], limits: Thresholds) -> tuple[Invented, ...]:
    """Return what most teachers find newly where nothing is labelled."""
    found = []
    for index, ballot in enumerate(ballots):
        for box, label, score in zip(*ballot.after, strict=True):
            known = _accounted(made, ballot, box, limits)
            others = [b for k, b in enumerate(ballots) if k != index and label in b.known]
            agree = sum(_match(b.after, box, int(label), limits.iou) for b in others)
            first = not any(_match(b.after, box, int(label), limits.iou) for b in ballots[:index])
            if label < 0 or known or not first or (others and 2 * (agree + 1) <= len(others) + 1):
                continue
            reliable = float(box[3] - box[1]) >= limits.min_side_px and score >= limits.sure
            x1, y1, x2, y2 = (float(v) for v in box)
            found.append(Invented((x1, y1, x2, y2), ballot.class_names[label], float(score), reliable=bool(reliable)))
    return tuple(found)


def _accounted(made: Sample, ballot: _Ballot, box: NDArray[np.float32], limits: Thresholds) -> bool:
    """Tell whether a find lies on something labelled (or ignored), or was there in the clean frame."""
    if (iou(ballot.before[0], box) >= limits.iou).any():
        return True
    notes = made.annotations
    if len(notes) == 0:
        return False
    low, high = np.maximum(notes.boxes[:, :2], box[:2]), np.minimum(notes.boxes[:, 2:], box[2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    area = max(float(np.prod(box[2:] - box[:2])), 1e-6)
    on_ignored = bool((shared[notes.ignore] / area >= limits.iou).any())
    return on_ignored or bool((iou(notes.boxes, box) >= limits.claimed).any())


def _verdict(
    scores: Mapping[str, float], objects: Sequence[ObjectTrust], invented: Sequence[Invented], limits: Thresholds
) -> tuple[Verdict, list[str]]:
    drop: list[str] = []
    flag: list[str] = []
    if scores.get("changed_outside", 0) > 0:
        drop.append(f"{scores['changed_outside']:.0f} pixels changed outside of the edit")
    for name, words in (("structure", "of the edges' directions"), ("depth_order", "of the order of depths")):
        low, high = getattr(limits, name)
        if name in scores and scores[name] < high:
            (drop if scores[name] < low else flag).append(f"{max(scores[name], 0):.0%} {words} kept")
    for thing in objects:
        if thing.fate not in ("present", "unjudged"):
            (drop if thing.reliable else flag).append(f"object {thing.instance_id} {thing.fate}")
    for new in invented:
        (drop if new.reliable else flag).append(f"a {new.class_name} nobody labelled, score {new.score:.2f}")
    if drop:
        return "drop", [*drop, *flag]
    return ("flag", flag) if flag else ("keep", [])
