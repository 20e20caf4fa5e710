"""Evidence: the chosen failures made again, with pictures, truth, predictions and an explanation of each."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Predictions, Sample
from stress.execute import Executor, InOrder
from stress.failures import Failure, candidates, choose, strongest
from stress.folder import RunFolder, file_name, read_json, write_json
from stress.job import Job
from stress.metrics.segmentation import SegmentationScorer
from stress.pictures import error_picture, largest_region, map_picture, plain_size, suffix, write_picture
from stress.plan import CLEAN, Cell
from stress.progress import Report
from stress.summary import number
from stress.tables import read_cell
from synth.audit import Verdict
from synth.pipeline import params_as_mapping

if TYPE_CHECKING:
    from stress.worker import Worker

SHOWN_SCORE = 0.25  # predictions below are not drawn
SHOWN_FINDS = 50


@dataclass
class Gallery:
    """What results.json says of the chosen failures, and notes for the reader."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CandidatesTask:
    """Look for failures in one cell."""

    cell: Cell
    excluded: frozenset[int]


@dataclass(frozen=True)
class EvidenceTask:
    """Make one chosen failure again; `identity` is its name in the run, `group` that of its sample."""

    identity: str
    failure: Failure
    group: str


def gather_evidence(
    job: Job,
    folder: RunFolder,
    executor: Executor,
    cells: Sequence[Cell],
    excluded: frozenset[int],
    groups: Sequence[str],
    report: Report,
) -> Gallery:
    """Choose failures over all cells, make their evidence, and return what the gallery shows, greatest loss first."""
    wanted = job.plan.explain
    if wanted.failures == 0:
        return Gallery()
    todo = [CandidatesTask(cell, excluded) for cell in cells if cell.shift != CLEAN]
    found = [failure for failures in executor.each("candidates", InOrder(todo)) for failure in failures]
    chosen = choose(found, wanted.failures, per_cell=wanted.per_cell)
    tasks = [EvidenceTask(f"f{i:03}", failure, groups[failure.index]) for i, failure in enumerate(chosen, start=1)]
    entries: dict[str, dict[str, Any]] = {}
    report("evidence", 0, len(tasks))
    for made in executor.each("evidence", InOrder(_by_shard(tasks, job.plan.batch_size))):
        entries |= {entry["id"]: entry for entry in made}
        report("evidence", len(entries), len(tasks))
    ordered = [entries[task.identity] for task in tasks]
    notes = []
    reasons = {entry.pop("unexplained") for entry in ordered} - {None}
    if reasons:
        notes.append(f"Some failures are not explained: {'; '.join(sorted(reasons))}")
    return Gallery(entries=ordered, notes=notes)


def _by_shard(tasks: Sequence[EvidenceTask], size: int) -> list[list[EvidenceTask]]:
    """Group tasks whose samples stand together in the data set: what one of them reads often serves the next."""
    shards: dict[int, list[EvidenceTask]] = {}
    for task in sorted(tasks, key=lambda task: task.failure.index):
        shards.setdefault(task.failure.index // size, []).append(task)
    return sorted(shards.values(), key=len, reverse=True)


def find_candidates(worker: Worker, task: CandidatesTask) -> list[Failure]:
    """Return the failures of one cell that the clean one does not have."""
    columns = ["sample_id", "objects", *(["confusion"] if worker.model.task == "segmentation" else [])]
    found: list[Failure] = []
    for shard in range(worker.job.n_shards):  # one at a time, so that memory does not grow with the data set
        clean, shifted = (
            read_cell(worker.folder, cell, [shard], task.excluded, columns=columns)
            for cell in (Cell(CLEAN, 0.0), task.cell)
        )
        found += candidates(worker.model.task, task.cell, clean, shifted, worker.classes.names)
    return strongest(found)


def make_evidence(worker: Worker, task: EvidenceTask) -> dict[str, Any]:
    """Return the gallery entry of one failure, its files written; what is there already is kept."""
    done = worker.folder.evidence / f"{task.identity}.json"
    failure = task.failure
    origin: dict[str, Any] = {
        "key": worker.job.key,
        "cell": failure.cell.label,
        "sample_id": failure.sample_id,
        "kind": failure.failure,
    }
    origin |= {"class_name": failure.class_name, "instance_id": failure.instance_id, "loss": failure.loss}
    if done.exists():
        kept = read_json(done)
        if kept["origin"] == origin:
            return kept["entry"]
    entry = _Evidence(worker, task).entry()
    write_json(done, {"origin": origin, "entry": entry})
    return entry


class _Evidence:
    """One failure made again: the clean and the shifted sample, and what the model says of both."""

    def __init__(self, worker: Worker, task: EvidenceTask) -> None:
        self.worker, self.task, self.failure = worker, task, task.failure
        clean = worker.sample(task.failure.index)
        self.clean = worker.variant(task.failure.index, clean, Cell(CLEAN, 0.0))
        self.shifted = worker.variant(task.failure.index, clean, task.failure.cell)
        self.said = worker.predict([self.clean.sample, self.shifted.sample])
        self.box = task.failure.box
        self.region: NDArray[np.bool_] | None = None
        if worker.model.task == "segmentation":
            self._find_region()

    def _find_region(self) -> None:
        """Take the largest connected region that is newly called the wrong class."""
        scorer = self._segmentation
        truth, predicted = scorer.truth(self.shifted.sample), scorer.predicted(self.said[1])
        names = list(scorer.classes.names)
        mine = truth == names.index(self.failure.class_name)
        called = self.failure.predicted_class
        wrong = mine & (predicted == (names.index(called) if called in names else len(names)))
        found = largest_region(wrong if wrong.any() else mine & (predicted != truth))
        if found is not None:
            self.region, self.box = found

    @property
    def _segmentation(self) -> SegmentationScorer:
        assert isinstance(self.worker.scorer, SegmentationScorer)  # asked for by task
        return self.worker.scorer

    def entry(self) -> dict[str, Any]:
        failure, cell = self.failure, self.failure.cell
        shift = self.worker.shifts[cell.shift]
        explanation, unexplained = self._explanation()
        return {
            "id": self.task.identity,
            "sample_id": failure.sample_id,
            "group": self.task.group,
            "shift": cell.shift,
            "family": shift.family,
            "severity": number(cell.severity),
            "failure": failure.failure,
            "class_name": failure.class_name,
            "predicted_class": failure.predicted_class,
            "score_clean": failure.score_clean,
            "score_shifted": failure.score_shifted,
            "iou": failure.iou,
            "loss": failure.loss,
            "box": None if self.box is None else [float(v) for v in self.box],
            "size": plain_size(self.shifted.sample.image),
            "verdict": None if failure.verdict is None else dict(failure.verdict),
            "truth_clean": self._truth(self.clean.sample, self.clean.verdicts),
            "truth_shifted": self._truth(self.shifted.sample, self.shifted.verdicts),
            "predictions_clean": self._finds(self.said[0]),
            "predictions_shifted": self._finds(self.said[1]),
            "clean": self._picture("clean", self.clean.sample),
            "shifted": self._picture(file_name(cell), self.shifted.sample),
            **self._overlays(),
            "explanation": explanation,
            "unexplained": unexplained,
            "params": json.loads(json.dumps(params_as_mapping(self.shifted.params))),
            "completed": dict(self.shifted.completed),
            "command": self._command(),
        }

    def _picture(self, name: str, sample: Sample) -> str:
        """Write one frame, under a name that failures of the same frame share."""
        short = hashlib.sha256(sample.sample_id.encode()).hexdigest()[:12]
        path = self.worker.folder.evidence / f"{name}-{short}{suffix(sample.image)}"
        if not path.exists():
            write_picture(path, sample.image)
        return self._relative(path.name)

    def _overlays(self) -> dict[str, str | None]:
        if self.worker.model.task != "segmentation":
            return {"overlay_clean": None, "overlay_shifted": None}
        paths: dict[str, str | None] = {}
        for when, variant, said in (("clean", self.clean, self.said[0]), ("shifted", self.shifted, self.said[1])):
            scorer = self._segmentation
            picture = error_picture(variant.sample.image, scorer.truth(variant.sample), scorer.predicted(said))
            path = self.worker.folder.evidence / f"{self.task.identity}-errors-{when}{suffix(picture)}"
            write_picture(path, picture)
            paths[f"overlay_{when}"] = self._relative(path.name)
        return paths

    def _truth(self, sample: Sample, verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
        """Return the true objects of a detector's classes."""
        if self.worker.model.task != "detection":
            return []
        classes, a = self.worker.classes, sample.annotations
        evaluated = classes.from_dataset[a.labels]
        return [
            {
                "box": [float(v) for v in a.boxes[i]],
                "class_name": classes.names[int(evaluated[i])],
                "ignore": bool(a.ignore[i]) or verdicts[i].kind == "invalid",
                "verdict": verdicts[i].kind,
            }
            for i in np.flatnonzero(evaluated >= 0)
        ]

    def _finds(self, said: Predictions) -> list[dict[str, Any]]:
        """Return what a detector found with some certainty, or the likeliest classes of a classifier."""
        classes = self.worker.classes
        if said.boxes is not None and said.labels is not None and said.scores is not None:
            evaluated = classes.from_model[said.labels]
            rows = np.flatnonzero((evaluated >= 0) & (said.scores >= SHOWN_SCORE))[:SHOWN_FINDS]
            return [
                _find([float(v) for v in said.boxes[i]], classes.names[int(evaluated[i])], said.scores[i]) for i in rows
            ]
        if said.probabilities is not None and said.probabilities.ndim == 1:
            shares = said.probabilities
            best = [int(i) for i in np.argsort(-shares, kind="stable")[:5]]
            return [_find(None, self.worker.model.class_names[i], shares[i]) for i in best]
        return []

    def _explanation(self) -> tuple[dict[str, Any] | None, str | None]:
        """Return the explanation with its maps written, or None and why there is none."""
        from stress.explain.masks import MaskBudget
        from stress.explain.run import explain_failure

        plan = self.worker.job.plan.explain
        try:
            found = explain_failure(
                self.worker.model,
                self.clean.sample,
                self.shifted.sample,
                SimpleNamespace(
                    failure=self.failure.failure,
                    class_name=self.failure.class_name,
                    predicted_class=self._explainable(),
                    box=self.box,
                    instance_id=self.failure.instance_id or None,
                    region=self.region,
                ),
                method=plan.method,
                layer=plan.layer,
                budget=MaskBudget(masks=plan.budget),
                labels=self._labels(),
            )
        except InputError as error:
            return None, str(error)
        except Exception as error:  # of the model's own code under gradients: figures are worth more than a map
            return None, f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
        if found is None:
            return None, None
        return {
            "method": found.method,
            "layer": found.layer,
            "target": found.target,
            "cam_clean": self._map("clean", found.cam_clean, found.scale),
            "cam_shifted": self._map("shifted", found.cam_shifted, found.scale),
            "scale": float(found.scale),
            "note": found.note,
            "energy_clean": found.energy_clean,
            "energy_shifted": found.energy_shifted,
            "drift": found.drift,
        }, None

    def _explainable(self) -> str | None:
        """Return the predicted class where it is one that both know."""
        name = self.failure.predicted_class
        return name if name in self.worker.classes.names else None

    def _labels(self) -> Mapping[str, list[int]]:
        """Return the model's class indices behind each evaluated class."""
        found: dict[str, list[int]] = {name: [] for name in self.worker.classes.names}
        for index, evaluated in enumerate(self.worker.classes.from_model):
            if evaluated >= 0:
                found[self.worker.classes.names[int(evaluated)]].append(index)
        return found

    def _map(self, when: str, cam: NDArray[np.float32], scale: float) -> str:
        path = self.worker.folder.evidence / f"{self.task.identity}-map-{when}.png"
        write_picture(path, map_picture(cam, scale))
        return self._relative(path.name)

    def _relative(self, name: str) -> str:
        return f"{self.worker.folder.evidence.name}/{name}"

    def _command(self) -> str:
        """Return a command that makes the shifted picture again, from the run folder alone."""
        if self.worker.job.data.spec is not None:
            return shlex.join(["roadproof", "reproduce", str(self.worker.folder.path), self.task.identity])
        call = f"import stress; stress.reproduce({str(self.worker.folder.path)!r}, {self.task.identity!r})"
        return f"python -c {shlex.quote(call)}" if set(call) & set('"$`\\!') else f'python -c "{call}"'


def _find(box: list[float] | None, name: str, score: Any) -> dict[str, Any]:
    return {"box": box, "class_name": name, "score": round(float(score), 4)}
