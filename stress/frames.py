"""What frames show and how they look to an embedding, noted by any number of workers; a stopped scan goes on."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.datasets.source import DataSource
from scenes.environment import usable_cores
from scenes.errors import InputError
from scenes.execute import Executor, InOrder, InProcess, Processes
from scenes.fingerprint import pixel_hash
from scenes.folders import disk_errors, read_json, write_json
from scenes.progress import Report
from scenes.sample import Dataset, Image, Sample
from synth.filters import looks_of

SHARD = 4  # frames of one task
LEAST_SHARE = 0.001  # of the pixels, for a class to count as shown


@dataclass(frozen=True)
class Frame:
    """What is known of one frame. objects: rows of instance_id, class_name, x1, y1, x2, y2, visible, distance_m.

    classes: {class: share of the pixels} of a segmentation; embedding: as the embedder gave it
    """

    sample_id: str
    group: str
    sha256: str
    looks: Mapping[str, str]
    embedding: Sequence[float]
    width: int
    objects: Sequence[Sequence[Any]] = ()
    classes: Mapping[str, float] = field(default_factory=dict)


class Scanner:
    """Reads frames in a worker and notes what they show; `embedder` as in `embedder_of`."""

    def __init__(self, data: DataSource, embedder: str, task: str) -> None:
        self.data, self.embedder, self.task = data, embedder, task

    @cached_property
    def dataset(self) -> Dataset:
        return self.data.open(None)

    @cached_property
    def embed(self) -> Any:
        return embedder_of(self.embedder)

    def close(self) -> None:
        """Nothing is held that must be let go."""

    def scan(self, task: tuple[int, tuple[str, ...]]) -> tuple[int, list[dict[str, Any]]]:
        """Return the frames of a shard as plain values; `unreadable` says why one has no more."""
        index, names = task
        return index, [self._one(name) for name in names]

    def _one(self, sample_id: str) -> dict[str, Any]:
        try:
            sample = self.dataset[sample_id]
        except (InputError, OSError, ValueError) as error:
            return {"sample_id": sample_id, "unreadable": " ".join(str(error).split())}
        return {
            "sample_id": sample_id,
            "group": self.dataset.groups.get(sample_id, sample_id),
            "sha256": pixel_hash(sample.image),
            "looks": looks_of(sample.image),
            "embedding": [float(v) for v in self.embed([sample.image])[0]],
            "width": sample.width,
            "objects": objects_of(sample, self.dataset.class_names, self.task),
            "classes": classes_of(sample, self.dataset.class_names) if self.task == "segmentation" else {},
        }


def objects_of(sample: Sample, class_names: Sequence[str], task: str) -> list[list[Any]]:
    """Return the objects that count, each as in `Frame.objects`; the class of a whole picture is an object of id 0."""
    from stress.metrics.range import distances_m

    notes = sample.annotations
    if task == "classification":
        whole = [0.0, 0.0, float(sample.width), float(sample.height)]
        return [] if notes.label is None else [[0, class_names[notes.label], *whole, 1.0, None]]
    far = distances_m(sample)
    visible = np.ones(len(notes)) if notes.visibility is None else notes.visibility
    rows = []
    for i in np.flatnonzero(~notes.ignore):
        box = [round(float(v), 2) for v in notes.boxes[i]]
        metres = round(float(far[i]), 2) if np.isfinite(far[i]) else None
        rows.append(
            [int(notes.instance_ids[i]), class_names[notes.labels[i]], *box, round(float(visible[i]), 4), metres]
        )
    return rows


def classes_of(sample: Sample, class_names: Sequence[str]) -> dict[str, float]:
    """Return {class: share of the pixels} of the segmentation, of classes that are more than specks."""
    labels = sample.annotations.segmentation
    ignored = sample.annotations.segmentation_ignore
    if labels is None or ignored is None:
        return {}
    counts = np.bincount(labels[~ignored].astype(np.int64), minlength=len(class_names)) / labels.size
    return {class_names[i]: round(float(counts[i]), 5) for i in np.flatnonzero(counts >= LEAST_SHARE)}


def embedder_of(name: str) -> Any:
    """Return the function that embeds pictures: (B,) images to (B, D). `zoo:classifier`, or a model with `embed`."""
    from stress.adapters import load_model

    model = load_model(name, device="cpu")
    inner = getattr(model, "model", model)
    embed = getattr(model, "embed", None) or getattr(inner, "embed", None)
    if embed is None:
        raise InputError(f"model {name!r} has no embed(images): leave it out, or name another such as zoo:classifier")
    return functools.partial(_embedded, name, embed)


def _embedded(name: str, embed: Callable[[list[Image]], Any], images: list[Image]) -> NDArray[np.float64]:
    """Return (B, D) what a model's `embed` gives; anything that is no table of finite numbers is an error."""
    found = embed(images)
    try:
        rows = np.asarray(found.detach() if hasattr(found, "detach") else found, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"model {name!r}: embed: expected (B, D) numbers, got {type(found).__name__}") from error
    if rows.ndim != 2 or len(rows) != len(images) or not np.isfinite(rows).all():
        what = "numbers that are not finite" if np.isnan(rows).any() or np.isinf(rows).any() else f"shape {rows.shape}"
        raise InputError(f"model {name!r}: embed: expected ({len(images)}, D) finite numbers, got {what}")
    return rows


def scan(
    data: DataSource,
    sample_ids: Sequence[str],
    cache: Path,
    *,
    embedder: str,
    task: str,
    key: str,
    workers: int | None,
    report: Report,
) -> list[Frame]:
    """Return what frames show, in order; a scan that was stopped goes on from its cache."""
    _begin(cache, key)
    shards = [sample_ids[i : i + SHARD] for i in range(0, len(sample_ids), SHARD)]
    places = [cache / f"{index:06d}.json" for index in range(len(shards))]
    todo = [(index, names) for index, names in enumerate(shards) if not places[index].is_file()]
    done = len(shards) - len(todo)
    executor = _executor(functools.partial(Scanner, data, embedder, task), data, workers, len(todo))
    try:
        for index, rows in executor.each("scan", InOrder(todo)):
            write_json(places[index], rows)
            done += 1
            report("frames looked at", min(done * SHARD, len(sample_ids)), len(sample_ids))
        executor.close()
    except BaseException:
        executor.close(now=True)
        raise
    found = [row for place in places for row in read_json(place)]
    return [Frame(**row) for row in found if "unreadable" not in row]


def _begin(cache: Path, key: str) -> None:
    """Make the folder of a scan; what another command left there is of no use."""
    mark = cache / "key.json"
    if mark.is_file() and read_json(mark) == key:
        return
    if cache.exists():
        if not mark.is_file() and any(cache.iterdir()):
            raise InputError(f"{cache}: is in the way (work in progress is kept there); move it or choose another name")
        shutil.rmtree(cache)
    with disk_errors(cache):
        cache.mkdir(parents=True)
    write_json(mark, key)


def _executor(make: Callable[[], Scanner], data: DataSource, workers: int | None, tasks: int) -> Executor:
    if workers is not None and workers < 1:
        raise InputError(f"workers: expected at least 1, got {workers}")
    wanted = min(workers or usable_cores(), tasks)
    if wanted <= 1 or not data.travels():
        return InProcess(make)
    return Processes(make, wanted, shared=["stress.frames"])
