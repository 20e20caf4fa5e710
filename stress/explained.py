"""Does attention wander before the score falls? A few objects, explained clean and in a few cells of the run.

The objects are drawn at random from those that the model has right on clean frames, one a group as far as they reach,
and are the same in every cell, so that nothing is chosen by how it turned out. Cost is bounded by the plan: objects
times cells maps, and in the clean and the first two cells ten more pictures each for deletion and insertion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Image, Sample, Task
from stress.folder import RunFolder
from stress.metrics.scored import SCORE_THRESHOLD
from stress.metrics.segmentation import SegmentationScorer
from stress.plan import CLEAN, Cell
from stress.tables import read_cell
from synth.random import Rng

if TYPE_CHECKING:
    from stress.worker import Worker

Score = Callable[[list[Image]], NDArray[np.float64]]
CLEAN_CELL = Cell(CLEAN, 0.0)
LEAST_SHARE = 0.01  # of a picture, that a region has which is explained
LEAST_RIGHT = 0.5  # of a region's pixels
DEEP = 2  # shifted cells in which deletion and insertion are measured


@dataclass(frozen=True)
class ExplainedTask:
    """Explain one object of one sample in some cells. instance_id: 0 where the class is explained, not one object."""

    index: int
    group: int
    class_name: str
    instance_id: int
    cells: tuple[Cell, ...]


def chosen_cells(
    cells: Sequence[Cell], losses: Mapping[Cell, float], families: Mapping[str, str], n: int
) -> list[Cell]:
    """Return n cells: of each family in turn the shift that costs most, at its severities from the strongest down.

    losses: what each cell costs of the clean score
    """
    by_family: dict[str, list[Cell]] = {}
    for family in sorted({families[c.shift] for c in cells if c.shift != CLEAN}):
        mine = [c for c in cells if c.shift != CLEAN and families[c.shift] == family]
        total = {c.shift: sum(losses.get(o, 0.0) for o in mine if o.shift == c.shift) for c in mine}
        by_family[family] = sorted(mine, key=lambda c: (-total[c.shift], c.shift, -c.severity))
    found: list[Cell] = []
    while len(found) < n and any(by_family.values()):
        for queue in by_family.values():
            if queue and len(found) < n:
                found.append(queue.pop(0))
    return found


def chosen_objects(
    task: Task, folder: RunFolder, n_shards: int, excluded: frozenset[int], groups: NDArray[np.int64],
    names: Sequence[str], *, n: int, seed: int,
) -> list[tuple[int, int, str, int]]:  # fmt: skip
    """Return (index, group, class name, instance id) of n objects that are right on clean frames, a group at a time."""
    columns = ["sample_id", "objects", *(["confusion"] if task == "segmentation" else [])]
    table = read_cell(folder, CLEAN_CELL, range(n_shards), excluded, columns=columns)
    found: list[tuple[int, int, str, int]] = []
    for row in table.to_pylist():
        index = int(row["index"])
        of_sample = _regions(row["confusion"], names) if task == "segmentation" else _objects(row["objects"])
        found += [(index, int(groups[index]), name, number) for name, number in of_sample]
    order = np.argsort(Rng("explained", seed).uniforms(len(found)), kind="stable")
    rank: dict[int, int] = {}
    keyed = []
    for position, k in enumerate(order.tolist()):
        group = found[k][1]
        rank[group] = rank.get(group, -1) + 1
        keyed.append((rank[group], position, k))
    return [found[k] for _, _, k in sorted(keyed)[:n]]


def _objects(objects: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    sure = [o for o in objects if o["outcome"] == "found" and (o["score"] or 0.0) >= SCORE_THRESHOLD]
    return [(str(o["class_name"]), int(o["instance_id"])) for o in sure]


def _regions(confusion: Sequence[int], names: Sequence[str]) -> list[tuple[str, int]]:
    """Return the classes of a picture that are large enough and mostly right."""
    counts = np.asarray(confusion, np.int64).reshape(len(names), -1)
    true, right = counts.sum(axis=1), np.diagonal(counts)
    large = (true >= LEAST_SHARE * counts.sum()) & (right >= LEAST_RIGHT * true) & (true > 0)
    return [(names[c], 0) for c in np.flatnonzero(large)]


def explain_object(worker: Worker, task: ExplainedTask) -> list[dict[str, Any]]:
    """Return one row a cell of an object: scores, energy, drift, pointing game, deletion and insertion.

    A row with `reason` stands for a model or an object that cannot be explained.
    """
    from stress.explain.targets import Unreachable

    if getattr(worker.model, "module", None) is None:
        return [{"reason": "the model gives no gradients"}]
    try:
        return _rows(worker, task)
    except (Unreachable, InputError) as error:
        return [{"reason": f"{error}"}]
    except Exception as error:  # of the model's own code under gradients: figures are worth more than a map
        return [{"reason": f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"}]


def _rows(worker: Worker, task: ExplainedTask) -> list[dict[str, Any]]:
    from stress.explain.explanation import box_region, energy_inside
    from stress.explain.fidelity import deletion_insertion, maps_of, pointing
    from stress.explain.run import AUTO
    from stress.explain.targets import Target, black_box_score

    source = worker.sample(task.index)
    made = [(c, worker.variant(task.index, source, c).sample) for c in (CLEAN_CELL, *task.cells)]
    labels = tuple(
        int(i) for i in np.flatnonzero(worker.classes.from_model == worker.classes.names.index(task.class_name))
    )
    places = [(c, s, _place(worker, s, task)) for c, s in made]
    there = [(c, s, p) for c, s, p in places if p is not None]
    if not there or there[0][0] != CLEAN_CELL:
        return []
    targets = [Target(labels=labels, words=task.class_name, box=p[0], region=p[1]) for _, _, p in there]
    plan = worker.job.plan.explain
    kind = plan.method if plan.method in ("gradcam", "hirescam") else AUTO[worker.model.task][0]
    maps = maps_of(worker.model, [s.image for _, s, _ in there], targets, kind=kind, layer=plan.layer)
    rows = []
    for (cell, sample, _), target, at in zip(there, targets, maps, strict=True):
        inside = target.region
        if inside is None and target.box is not None:
            inside = box_region(target.box, sample.height, sample.width)
        score = _in_batches(black_box_score(worker.model, worker.model.task, target), worker.job.plan.batch_size)
        deletion, insertion = None, None
        if cell == CLEAN_CELL or cell in task.cells[:DEEP]:
            deletion, insertion, whole = deletion_insertion(sample.image, at.map, score)
        else:
            whole = float(score([sample.image])[0])
        rows.append({
            "index": task.index, "group": task.group, "shift": cell.shift, "severity": cell.severity,
            "class_name": task.class_name, "instance_id": task.instance_id, "method": kind, "layer": at.layer,
            "score": whole, "energy": energy_inside(at.map, inside),
            "pointing": pointing(at.map, inside), "deletion": deletion, "insertion": insertion,
        })  # fmt: skip
    return rows


def _in_batches(score: Score, size: int) -> Score:
    """Return the same score, which shows the model no more pictures at once than the run does."""
    return lambda images: np.concatenate([score(images[k : k + size]) for k in range(0, len(images), size)])


def _place(
    worker: Worker, sample: Sample, task: ExplainedTask
) -> tuple[tuple[float, float, float, float] | None, NDArray[np.bool_] | None] | None:
    """Return box and region of a task's object in a sample; None where it is not there any more."""
    if worker.model.task == "classification":
        return None, None
    if worker.model.task == "segmentation":
        assert isinstance(worker.scorer, SegmentationScorer)  # asked for by task
        region = worker.scorer.truth(sample) == worker.classes.names.index(task.class_name)
        return (None, region) if region.any() else None
    rows = np.flatnonzero(sample.annotations.instance_ids == task.instance_id)
    if not len(rows):
        return None
    x1, y1, x2, y2 = (float(v) for v in sample.annotations.boxes[int(rows[0])])
    return ((x1, y1, x2, y2), None) if x2 > x1 and y2 > y1 else None
