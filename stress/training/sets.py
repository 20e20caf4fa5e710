"""What the arms of a retraining learn from: the feedback set, its source frames as they are, and who validates.

All arms see the same frames in the same order: a control shows the clean source where feedback shows the shifted one.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scenes.datasets import open_dataset, write_dataset
from scenes.datasets.source import DataSource, data_source
from scenes.errors import InputError, did_you_mean
from scenes.execute import Executor, InOrder, InProcess, Processes
from scenes.fingerprint import pixel_hash
from scenes.folders import replacing
from scenes.sample import Dataset, Sample
from stress.feedback import Feedback, Weight
from stress.progress import Report
from stress.training.pictures import recoloured
from synth.random import Rng
from synth.shift import FAMILIES

VALIDATED = 0.15  # of the source groups
FEWEST_VALIDATED = 6  # source groups, to spare some for validation; else frames
COMPARED = 8  # pictures that are looked at, where two folders use the same names


@dataclass(frozen=True)
class Rows:
    """Rows of a feedback set by use. held_out: families that no row of them is of."""

    training: tuple[Weight, ...]
    validation: tuple[Weight, ...]
    held_out: tuple[str, ...]

    @property
    def shifts(self) -> dict[str, int]:
        """How many training pictures each shift has."""
        counts: dict[str, int] = {}
        for row in self.training:
            if row.shift:
                counts[row.shift] = counts.get(row.shift, 0) + 1
        return dict(sorted(counts.items()))


def rows_of(feedback: Feedback, held_out: Sequence[str]) -> Rows:
    """Return the rows to learn from, without those of held-out families; some source groups validate."""
    known = (*FAMILIES, "chain")
    for name in held_out:
        if name not in known:
            near = did_you_mean(name, known)
            raise InputError(f"held-out: no family {name!r}{near}; expected some of {', '.join(known)}")
    apart = tuple(dict.fromkeys((*feedback.summary["families_held_out"], *held_out)))
    wrong = [r for r in feedback.weights if family_of(r.shift) in feedback.summary["families_held_out"]]
    if wrong:
        raise InputError(
            f"feedback {feedback.path}: {wrong[0].sample_id!r} is of {wrong[0].shift}, a family that the set says it "
            "holds out: make it again"
        )
    left = [row for row in feedback.weights if family_of(row.shift) not in apart]
    if not any(row.shift for row in left):
        raise InputError(
            f"feedback {feedback.path}: no shifted picture is left to learn from"
            + (f" without {', '.join(apart)}" if apart else "")
        )
    few = (
        len({row.group for row in left}) < FEWEST_VALIDATED
    )  # then frames judge: better than nothing, and not the test
    unit = [row.source if few else row.group for row in left]
    judges = _judges(sorted(set(unit)))
    training = tuple(row for row, name in zip(left, unit, strict=True) if name not in judges)
    if not any(row.shift for row in training):  # all of the few shifted ones would validate
        return Rows(tuple(left), (), apart)
    return Rows(training, tuple(row for row, name in zip(left, unit, strict=True) if name in judges), apart)


def _judges(names: Sequence[str]) -> set[str]:
    """Return the groups (or frames) that validate; none where there are few."""
    order = np.argsort(Rng("validation", len(names)).uniforms(len(names)), kind="stable")
    count = max(1, round(VALIDATED * len(names))) if len(names) >= FEWEST_VALIDATED else 0
    return {names[i] for i in order[:count]}


def family_of(shift: str) -> str:
    """Return the family of a shift, "" of a clean frame.

    >>> family_of("weather/fog"), family_of("")
    ('weather', '')
    """
    return shift.split("/")[0] if shift else ""


def guard(feedback: Feedback, test: Dataset, test_source: str | None) -> None:
    """Raise where a frame or a sequence stands on both sides: of what is learned and what is tested."""
    known = test.groups
    tested = {known.get(name, name): name for name in reversed(test.sample_ids)}
    rows = {row.group: row for row in feedback.weights}
    both = sorted(set(tested) & set(rows)) or sorted(set(test.sample_ids) & {r.source for r in feedback.weights})
    if not both:
        return
    source = feedback.summary["dataset"]["source"]
    if source != test_source and not any(name in known.values() for name in both):
        same = _same_pixels(feedback, test, both)
        if not same:  # another folder that happens to use the same file names
            return
        both = same
    raise InputError(
        f"leak: {len(both)} source group{'s' * (len(both) != 1)} of the feedback {feedback.path} "
        f"{'is' if len(both) == 1 else 'are'} also tested on ({', '.join(map(repr, both[:3]))}"
        f"{', ...' if len(both) > 3 else ''}): no model is judged on frames or sequences that it has learned from. "
        "Test on other data (--test), or make the feedback from other frames"
    )


def _same_pixels(feedback: Feedback, test: Dataset, names: Sequence[str]) -> list[str]:
    data = feedback.summary["dataset"]
    learned = open_dataset(data["source"], split=data["split"])
    known = [name for name in names if name in learned.sample_ids and name in test.sample_ids][:COMPARED]
    return [name for name in known if pixel_hash(learned[name].image) == pixel_hash(test[name].image)]


def write_clean(feedback: Feedback, out: Path, *, workers: int, report: Report) -> Path:
    """Write the source frames of a feedback set as they are, in its format; once."""
    if out.exists():
        return out
    sources = list(dict.fromkeys(row.source for row in feedback.weights))
    own = {row.source: row.sample_id for row in feedback.weights if not row.shift}
    data = feedback.summary["dataset"]
    elsewhere = [name for name in sources if name not in own]
    found = data_source(str(feedback.path), {})
    origin = data_source(data["source"], {"split": data["split"]}) if elsewhere else found
    tasks = [(name, own.get(name)) for name in sources]
    make = functools.partial(_Reader, found, origin)
    slow = len(elsewhere) >= 8 and workers > 1
    executor: Executor = Processes(make, workers) if slow else InProcess(make)

    def samples() -> Iterator[Sample]:
        for number, sample in enumerate(executor.each("read", InOrder(tasks)), 1):
            report("clean frames", number, len(tasks))
            yield sample

    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_dataset(samples(), out, format=data["format"], class_names=feedback.summary["class_names"])
    except BaseException:
        executor.close(now=True)
        raise
    executor.close()
    return out


class _Reader:
    """Reads clean frames, from the feedback set where it has them, else from its source."""

    def __init__(self, own: DataSource, origin: DataSource) -> None:
        self.own, self.origin = own.open(None), origin.open(None)

    def read(self, task: tuple[str, str | None]) -> Sample:
        name, here = task
        sample = self.origin[name] if here is None else self.own[here]
        return replace(sample, sample_id=name, scene=None, previous=None, depth=None)

    def close(self) -> None:
        """Nothing is held."""


def write_standard(feedback: Feedback, rows: Sequence[Weight], clean: Path, out: Path, *, seed: int) -> Path:
    """Write the control of standard augmentation for an external trainer: each source, mirrored or not, recoloured."""
    if out.exists():
        return out
    dataset = open_dataset(clean)

    def samples() -> Iterator[Sample]:
        for number, row in enumerate(rows):
            rng = np.random.default_rng([seed, number])
            sample = dataset[row.source]
            sample = _mirrored(sample) if rng.random() < 0.5 else sample
            image = recoloured(np.ascontiguousarray(sample.image), rng)
            yield replace(sample, sample_id=_numbered(row.source, number), image=image)

    write_dataset(samples(), out, format=feedback.summary["dataset"]["format"],
                  class_names=feedback.summary["class_names"])  # fmt: skip
    write_weights(out, [(_numbered(r.source, i), r) for i, r in enumerate(rows)])
    return out


def _numbered(name: str, number: int) -> str:
    return f"{name}-s{number:04d}"


def write_weights(folder: Path, rows: Sequence[tuple[str, Weight]]) -> None:
    """Write weights.csv of a control, with the columns that a feedback set has; its pictures have no shift."""
    with replacing(folder / "weights.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("sample_id", "weight", "shift", "severity", "source", "group"))
        for name, row in rows:
            writer.writerow((name, f"{row.weight:.6g}", "", "", row.source, row.group))


def by_source(rows: Sequence[Weight]) -> list[tuple[str, Weight]]:
    """Return each source once, with the weights of its rows added up."""
    total: dict[str, Weight] = {}
    for row in rows:
        before = total.get(row.source)
        total[row.source] = row if before is None else replace(before, weight=before.weight + row.weight)
    return list(total.items())


def _mirrored(sample: Sample) -> Sample:
    """Return the frame with left and right exchanged, labels moved along."""
    truth, width = sample.annotations, sample.width
    boxes = truth.boxes.copy()
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    flipped: dict[str, Any] = {"boxes": boxes}
    for name in ("masks", "segmentation"):
        value = getattr(truth, name)
        flipped[name] = None if value is None else np.ascontiguousarray(value[..., ::-1])
    notes = replace(truth, **flipped, boxes_amodal=None, boxes_3d=None)
    instances = None if sample.instances is None else np.ascontiguousarray(sample.instances[:, ::-1])
    return replace(
        sample, image=np.ascontiguousarray(sample.image[:, ::-1]), annotations=notes, instances=instances,
        depth=None, camera=None,
    )  # fmt: skip
