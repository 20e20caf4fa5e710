"""The pure tasks of a run: read a shard, shift it, ask the model, score, write a part. One worker a process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from scenes.errors import InputError
from scenes.memory import give_back
from scenes.sample import Dataset, Predictions, Sample
from stress.adapters.checked import CheckedModel
from stress.cells import CellSummary, CellTask, Skip, skips_of, summarise
from stress.class_map import ClassMap
from stress.dependability import Judge
from stress.devices import resolve
from stress.embedding import last_linear
from stress.evidence import CandidatesTask, EvidenceTask, find_candidates, make_evidence
from stress.execute import Unit
from stress.explained import ExplainedTask, explain_object
from stress.failures import Failure
from stress.folder import RunFolder
from stress.job import Job
from stress.keeping import Keeper
from stress.metrics import Scorer, scorer_for
from stress.parts import PartRow, write_part
from stress.plan import CLEAN, Cell
from stress.saved_predictions import write_predictions
from synth.audit import audit
from synth.chain import AnyShift
from synth.depth import DepthSource
from synth.pipeline import Shifted, complete, params_as_mapping, shifted
from synth.rerender import lacks_scene

LOOKED_AT = 9  # samples, before a shift is left out because the data lacks what it needs
STAGES = ("read", "shift", "predict", "score", "write")


@dataclass
class UnitDone:
    """What a worker reports of a unit: how many pictures, what was skipped, CPU seconds a stage."""

    shard: int
    cells: int
    pictures: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    cpu_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Described:
    """What is known once data and model are open, without keeping them."""

    model: Mapping[str, Any]
    dataset: Mapping[str, Any]
    left_out: Mapping[str, str]  # shift: why this data set cannot have it
    classes: Mapping[str, list[str]]


@dataclass(frozen=True)
class _Read:
    """One sample of the shard at hand, or why it cannot be read."""

    index: int
    sample_id: str
    sample: Sample | None
    reason: str | None = None


class Worker:
    """Does the tasks of one run; opens data and model when first asked for them."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.folder = RunFolder(job.out)
        self._shard: int | None = None
        self._samples: list[_Read] = []
        self._peeked: dict[int, _Read] = {}
        self._last: _Read | None = None
        self._completed: dict[tuple[int, frozenset[str]], tuple[Sample, dict[str, str]]] = {}
        self._cpu = dict.fromkeys(STAGES, 0.0)

    @cached_property
    def dataset(self) -> Dataset:
        return self.job.data.open(self.job.plan.limit, strict=self.job.strict)

    @cached_property
    def model(self) -> CheckedModel:
        return self.job.model.load()

    @cached_property
    def classes(self) -> ClassMap:
        return ClassMap.between(self.model.class_names, self.dataset.class_names, self.job.classes)

    @cached_property
    def scorer(self) -> Scorer:
        self.check()
        return scorer_for(
            self.model.task,
            self.classes,
            min_visibility=self.job.plan.min_visibility,
            dependable=self.job.plan.dependability.on,
        )

    @cached_property
    def judge(self) -> Judge | None:
        if not self.job.plan.dependability.on:
            return None
        wanted = self.job.plan.dependability
        return Judge(self.scorer, self.job.plan.seed, last_linear(self.model), flow=wanted.flow)

    @cached_property
    def keeper(self) -> Keeper:
        return Keeper(self.model, self.job.plan.dependability, len(self.job.sample_ids))

    @cached_property
    def columns(self) -> Mapping[str, Any]:
        """The columns of a part beside those that every task has."""
        kept = self.scorer.kept if self.job.plan.dependability.on else {}
        return {**self.scorer.columns, **kept, **self.keeper.columns}

    def check(self) -> None:
        """Raise unless the data set has labels for the model's task and a class in common with it."""
        if self.model.task not in self.dataset.tasks:
            raise InputError(
                f"model {self.model.name!r} does {self.model.task}, but data set {self.dataset.name!r} has labels for "
                f"{' and '.join(self.dataset.tasks) or 'nothing'}: name a model for that, or a data set, --format or "
                f"--split with {self.model.task} labels"
            )
        _ = self.classes

    @cached_property
    def shifts(self) -> Mapping[str, AnyShift]:
        return self.job.plan.create_shifts()

    @cached_property
    def depth(self) -> DepthSource | None:
        if self.job.depth is None:
            return None
        from synth.depth import depth_source

        allowed = bool(self.job.model.options.get("allow_download"))
        device = resolve(self.job.model.device) if self.job.depth.startswith("hf:") else "cpu"
        return depth_source(self.job.depth, device, allow_download=allowed)

    def warm(self, _: int = 0) -> None:
        """Open data and model, so that several workers do it at the same time."""
        self.check()

    def sample(self, index: int) -> Sample:
        """Return one sample; the last one is kept."""
        if self._last is None or self._last.index != index:
            self._last = self._read(index)
        if self._last.sample is None:
            raise InputError(f"sample {self._last.sample_id!r} can no longer be read: {self._last.reason}")
        return self._last.sample

    def close(self) -> None:
        """Let go of the model."""
        if "model" in self.__dict__ and hasattr(self.model.model, "close"):
            self.model.model.close()

    def run(self, unit: Unit) -> UnitDone:
        """Do some cells of a shard."""
        self._cpu = dict.fromkeys(STAGES, 0.0)
        done = UnitDone(shard=unit.shard, cells=len(unit.cells), pictures=0)
        self.read(unit.shard)
        for cell in unit.cells:
            give_back()
            rows = self._cell(cell, unit.shard)
            done.pictures += len(rows)
            done.skipped += [(row.sample_id, row.skipped) for row in rows if row.skipped is not None]
        done.cpu_s = self._cpu
        return done

    def read(self, shard: int) -> list[_Read]:
        """Read the samples of a shard, once."""
        if self._shard != shard:
            self._completed.clear()
            self._samples = []
            with self._timed("read"):
                self._samples = [self._peeked.get(i) or self._read(i) for i in self.job.shard(shard)]
            self._shard = shard
            self._peeked.clear()
        return self._samples

    def _read(self, index: int) -> _Read:
        sample_id = self.job.sample_ids[index]
        try:
            return _Read(index, sample_id, self.dataset[sample_id])
        except (InputError, OSError, ValueError) as error:
            reason = _one_line(error)
            if self.job.strict:
                raise InputError(f"sample {sample_id!r} cannot be read: {reason} (strict)") from error
            return _Read(index, sample_id, None, reason)

    def _cell(self, cell: Cell, shard: int) -> list[PartRow]:
        """Shift, predict, score and write one cell of the shard at hand."""
        rows: list[PartRow] = []
        variants: list[tuple[PartRow, Shifted]] = []
        for read in self._samples:
            row = PartRow(index=read.index, sample_id=read.sample_id)
            rows.append(row)
            if read.sample is None:
                row.skipped, row.skipped_at = read.reason, "read"
                continue
            try:
                with self._timed("shift"):
                    variant = self.variant(read.index, read.sample, cell)
            except InputError as error:
                self._skip(row, "shift", f"{cell.label}: {_one_line(error)}", error)
                continue
            except Exception as error:
                what = f"{type(error).__name__}: {_one_line(error)}"
                raise InputError(f"shift {cell.label} failed on sample {read.sample_id!r}: {what}") from error
            row.params, row.completed = params_as_mapping(variant.params), variant.completed
            row.width, row.height = variant.sample.width, variant.sample.height
            variants.append((row, variant))
        samples, indices = [variant.sample for _, variant in variants], [row.index for row, _ in variants]
        predictions = self.keeper.predict(self.predict, samples, indices)
        with self._timed("score"):
            for (row, _), extra in zip(variants, self.keeper.extras(samples, indices), strict=True):
                row.extra = extra
            for (row, variant), prediction in zip(variants, predictions, strict=True):
                try:
                    row.scored = self.scorer.score(variant.sample, variant.verdicts, prediction)
                except InputError as error:
                    self._skip(row, "score", _one_line(error), error)
        with self._timed("write"):
            if self.job.plan.predictions:
                said = {row.sample_id: p for (row, _), p in zip(variants, predictions, strict=True)}
                write_predictions(self.folder.predictions(cell, shard), said, self.model.class_names, key=self.job.key)
            write_part(self.folder.part(cell, shard), rows, self.columns, key=self.job.key)
        return rows

    def variant(self, index: int, sample: Sample, cell: Cell) -> Shifted:
        """Return one sample of one cell; depth and camera are completed once for all cells that need them."""
        if cell.shift == CLEAN:
            return Shifted(sample=sample, params=None, verdicts=audit(sample, sample))
        shift = self.shifts[cell.shift]
        needs = frozenset(shift.needs) & {"depth", "camera", "previous"}
        if (index, needs) not in self._completed:
            depth = self.depth if "depth" in needs else None  # loaded when first needed
            self._completed[index, needs] = complete(sample, shift, depth=depth)
        whole, completed = self._completed[index, needs]  # has its depth now, so that no source is asked again
        severity = self.job.plan.physical(cell)
        if severity is None:
            raise InputError(f"{cell.label}: no physical severity of the shift costs what this measured one stands for")
        made = shifted(whole, shift, severity, seed=self.job.plan.seed)
        return Shifted(
            sample=made.sample, params=made.params, verdicts=made.verdicts, completed={**completed, **made.completed}
        )

    def predict(self, samples: list[Sample]) -> list[Predictions]:
        """Ask the model for one batch."""
        if not samples:
            return []
        model = self.model
        with self._timed("predict"):
            return model.predict([s.image for s in samples], sample_ids=[s.sample_id for s in samples])

    def _skip(self, row: PartRow, at: str, reason: str, error: Exception) -> None:
        if self.job.strict:
            raise InputError(f"sample {row.sample_id!r}: {reason} (strict)") from error
        row.skipped, row.skipped_at = reason, at

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.process_time()
        try:
            yield
        finally:
            self._cpu[stage] += time.process_time() - start

    def skips(self, cell: Cell) -> list[Skip]:
        """Return the samples that a cell could not score."""
        return skips_of(self.folder, cell, self.job.n_shards)

    def summary(self, task: CellTask) -> CellSummary:
        """Return the figures of a cell whose parts are all there."""
        return summarise(self.folder, self.scorer, task, self.judge)

    def candidates(self, task: CandidatesTask) -> list[Failure]:
        """Return the failures of a cell that the clean one does not have."""
        return find_candidates(self, task)

    def evidence(self, tasks: Sequence[EvidenceTask]) -> list[dict[str, Any]]:
        """Make failures of one shard again, with pictures and explanations."""
        made = [make_evidence(self, task) for task in tasks]
        give_back()
        return made

    def explained(self, task: ExplainedTask) -> list[dict[str, Any]]:
        """Explain one object in some cells, whether it fails there or not."""
        rows = explain_object(self, task)
        give_back()
        return rows

    def describe(self, _: int) -> Described:
        """Open data and model and say what they are; raises what is wrong with them."""
        dataset, model = self.dataset, self.model
        self.check()
        count = getattr(getattr(model, "module", None), "parameters", None)
        parameters = None if count is None else int(sum(p.numel() for p in count()))
        return Described(
            model={
                "name": model.name,
                "source": self.job.model.label,
                "task": model.task,
                "class_names": list(model.class_names),
                "device": str(getattr(model, "device", self.job.model.device)),
                "n_parameters": parameters,
            },
            dataset={"name": dataset.name, "class_names": list(dataset.class_names)},
            left_out=self._left_out(),
            classes={
                "evaluated": list(self.classes.names),
                "dataset_only": list(self.classes.dataset_only),
                "model_only": list(self.classes.model_only),
            },
        )

    def _left_out(self) -> dict[str, str]:
        """Return the shifts that no sample can have of a few over the data set, and why.

        One that only some samples lack is left to the rule for samples that a shift fails on.
        """
        sample = self._first()
        if sample is None:
            return {}
        lacking = {n: reason for n, shift in self.shifts.items() if (reason := _lacks(sample, shift)) is not None}
        for index in self._spread():
            if not lacking:
                break
            other = self._read(index).sample
            if other is not None:
                lacking = {n: r for n, r in lacking.items() if _lacks(other, self.shifts[n]) is not None}
        return lacking

    def _spread(self) -> list[int]:
        """Return the indices of a few samples, evenly over the data set, without those that were read already."""
        n = len(self.job.sample_ids)
        return [i for i in sorted({k * (n - 1) // (LOOKED_AT - 1) for k in range(LOOKED_AT)}) if i not in self._peeked]

    def _first(self) -> Sample | None:
        """Return the first readable sample of the first shard, and keep what was read."""
        for index in self.job.shard(0):
            self._peeked[index] = self._read(index)
            if self._peeked[index].sample is not None:
                return self._peeked[index].sample
        return None


def _lacks(sample: Sample, shift: AnyShift) -> str | None:
    """Say what of a shift's needs cannot be made up for a sample."""
    if "scene" in shift.needs and (lacking := lacks_scene(sample)):
        return lacking
    if "instances" in shift.needs and sample.instances is None and sample.annotations.masks is None:
        return "needs object masks"
    if "previous" in shift.needs and sample.previous is None and sample.scene is None:
        return "needs the frame before, or a scene to render it from (data in sequences, the town or a fitted one)"
    return None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
