"""`stress.retrain`: feedback and two controls of equal budget are trained, stressed again, and compared.

Everything goes into one folder, and the same call goes on where it was stopped: finished trainings and runs are kept.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenes.environment import own_version, usable_cores
from scenes.errors import InputError
from scenes.execute import Executor, InOrder, InProcess, Processes
from scenes.folders import differences, locked, no_empty_folders, read_json, write_json
from scenes.sample import Dataset
from stress.feedback import Feedback, read_feedback
from stress.job import ModelSource, job_of
from stress.progress import Report, reporting
from stress.results import read
from stress.running import on_gpu
from stress.training import arms as arms_of
from stress.training.arms import ARMS, CONTROLS, FEEDBACK, WORDS, Trainer, Training
from stress.training.external import Trainer as Command
from stress.training.panel import Seat, stress_all
from stress.training.proof import SCHEMA, Evidence, prove
from stress.training.repeated import Repeated
from stress.training.sets import by_source, guard, rows_of, write_clean, write_standard, write_weights
from stress.training.settings import Settings
from stress.training.trained import read_card, save_state

PLAN, PROOF = "retrain.json", "proof.json"
BEFORE = "before"
RESAMPLES = 500  # of the groups, behind the intervals and tests of the proof


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a retraining: what is done is kept, the message says how to go on."""


@dataclass(frozen=True)
class Retrained:
    """A finished retraining: its folder and proof.json."""

    path: Path
    summary: Mapping[str, Any]
    already_done: bool = False


def retrain(
    model: Any,
    feedback: str | Path,
    out: str | Path = "retrained",
    *,
    seeds: int = 3,
    settings: Settings | Mapping[str, Any] | None = None,
    held_out: Sequence[str] | str = (),
    run: str | Path | None = None,
    test: str | Path | Dataset | None = None,
    split: str | None = None,
    format: str | None = None,
    limit: int | None = None,
    trainer: str | None = None,
    trained_model: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    progress: bool | Report | None = None,
    model_options: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> Retrained:
    """Train a model on a feedback set, and two controls for as many steps; stress all of them and compare.

    model:    as `stress.run` takes it; None for the model of the run that the feedback came from
    seeds:    trainings of each arm; fewer than three never show more than "no evidence"
    settings: steps, batch, rate, checks, patience (see `Settings`)
    held_out: families that are kept out of the training, beside those that the feedback holds out already
    run:      the run whose plan and frames are repeated; the one that the feedback was made from when not given
    test:     other data to repeat the plan on, with `split`, `format` and `limit`
    trainer, trained_model: a command that trains instead of `fit`, and how its result is named (see `external`)
    """
    if seeds < 1:
        raise InputError(f"retrain: seeds: expected at least 1, got {seeds}")
    chosen = settings if isinstance(settings, Settings) else Settings.make(settings or {})
    made = read_feedback(feedback)
    named = made.summary["model"] if model is None else model
    text = isinstance(named, str | Path)
    options = dict(model_options or {})
    source = ModelSource(str(named) if text else None, None if text else named, device, options)
    families = [p.strip() for p in (held_out.split(",") if isinstance(held_out, str) else held_out) if p.strip()]
    tested = Repeated.of(run or made.summary["run"], test, split=split, format=format, limit=limit)
    work = _Work(Path(out), source, made, tested, chosen, seeds, families, trainer, trained_model, workers)
    return work.all(progress, command)


@dataclass(frozen=True, eq=False)
class _Work:
    """One retraining from its parts to proof.json."""

    out: Path
    model: ModelSource
    feedback: Feedback
    test: Repeated
    settings: Settings
    seeds: int
    held_out: Sequence[str]
    command: str | None
    trained_model: str | None
    workers: int | None

    def all(self, progress: bool | Report | None, command: str | None) -> Retrained:
        rows = rows_of(self.feedback, self.held_out)
        opened = self._check()
        identity = self._identity()
        self._check_folder(identity)
        with no_empty_folders(self.out), locked(self.out, "folder"), reporting(progress) as report:
            self._check_folder(identity)
            if (done := self._done()) is not None:
                return done
            if not (self.out / PLAN).exists():
                write_json(self.out / PLAN, identity)
            try:
                training = self._training(rows, report)
                tasks = [(arm, seed) for seed in range(self.seeds) for arm in ARMS]
                self._train(training, tasks, report)
                evidence = self._stress(training, rows.shifts, opened, report)
            except KeyboardInterrupt as stop:
                raise Interrupted(f"The same command goes on with the retraining in {self.out}.") from stop
            summary = {**self._facts(training, opened, command, rows.held_out), **prove(evidence)}
            write_json(self.out / PROOF, summary)
        return Retrained(self.out, summary)

    def _done(self) -> Retrained | None:
        """Return what is finished already; more seeds than it has go on from there."""
        path = self.out / PROOF
        if not path.exists():
            return None
        summary = read_json(path)
        same = summary.get("schema") == SCHEMA and summary["seeds"] == list(range(self.seeds))
        return Retrained(self.out, summary, already_done=True) if same else None

    def _check(self) -> Dataset:
        """Open model and test, and raise what is wrong with them before anything is made."""
        if self.command is not None:
            Command(self.command, None, self.trained_model)  # raises what is wrong with it
            if self.held_out:
                raise InputError(
                    "held-out: an external trainer reads the feedback folder itself: make the feedback without these "
                    "families instead (roadproof feedback --hold-out)"
                )
        else:
            from stress.training.learners import learner_of

            loaded = self.model.load() if self.model.spec else arms_of.load_copy(self.model)
            learner_of(loaded)
        _, opened = job_of(
            self.test.dataset, self.model.label if self.model.spec else self.model.instance, self.test.plan, self.out,
            **self.test.options,
        )  # fmt: skip
        path = self.test.dataset if isinstance(self.test.dataset, str | Path) else None
        guard(self.feedback, opened, None if path is None else str(path))
        return opened

    def _identity(self) -> dict[str, Any]:
        files = [self.feedback.path / name for name in ("feedback.json", "weights.csv")]
        plain = self.test.plan.plain()
        return {
            "schema": "roadproof.retrain/1",
            "model": {"source": self.model.label, "files": self.model.files()},
            "feedback": hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:32],
            "settings": self.settings.plain(),
            "held_out": sorted(self.held_out),
            "test": {"dataset": str(getattr(self.test.dataset, "name", self.test.dataset)), "plan": plain,
                     "options": {k: v for k, v in self.test.options.items() if v is not None}},
            "trainer": self.command,
            "trained_model": self.trained_model,
            "roadproof": own_version(),
        }  # fmt: skip

    def _check_folder(self, identity: Mapping[str, Any]) -> None:
        """Raise where the folder holds another retraining or anything else."""
        path = self.out / PLAN
        if path.exists():
            different = differences(read_json(path), dict(identity))
            if different:
                raise InputError(
                    f"folder {str(self.out)!r} holds another retraining: {'; '.join(different[:4])}; give the same "
                    "options to go on with it, or name a new folder"
                )
        elif self.out.exists() and (not self.out.is_dir() or any(p.name != ".lock" for p in self.out.iterdir())):
            raise InputError(f"folder {str(self.out)!r}: holds other files; name a new or empty folder")

    @property
    def cores(self) -> int:
        return self.workers or usable_cores()

    def _training(self, rows: Any, report: Report) -> Training:
        """Write what the controls learn from, and check the trainer."""
        start = self.out / "start.safetensors"
        outside = None
        if self.command is not None:
            outside = Command(self.command, start.resolve(), self.trained_model)
            if outside.needs_start() and not start.exists():
                save_state(self._module_state(), start)
        clean = write_clean(self.feedback, self.out / "data" / "clean", workers=self.cores, report=report)
        data = {FEEDBACK: self.feedback.path, "clean": clean, "standard": clean}
        if outside is not None:
            write_weights(clean, by_source(rows.training))
            standard = self.out / "data" / "standard"
            data["standard"] = write_standard(self.feedback, rows.training, clean, standard, seed=0)
            data = {arm: path.resolve() for arm, path in data.items()}
        return Training(self.model, rows, data, self.settings, self.out, self.test.options.get("classes"), outside)

    def _module_state(self) -> Any:
        model = self.model.load()
        if getattr(model.model, "module", None) is None:
            raise InputError(
                f"trainer: {{weights}} needs a model with a torch module, {model.name!r} has none: leave it out of the "
                "command and name the weights to begin with yourself"
            )
        return model.module.state_dict()

    def _train(self, training: Training, tasks: Sequence[tuple[str, int]], report: Report) -> None:
        left = [task for task in tasks if not training.is_done(*task)]
        report("trainings", len(tasks) - len(left), len(tasks))
        if not left:
            return
        make = functools.partial(Trainer, training)
        count = min(self.cores, len(left))
        alone = count == 1 or self.model.spec is None or on_gpu(self.model.device)
        executor: Executor = (
            InProcess(make) if alone else Processes(make, count, shared=["stress.training.arms", "torch"])
        )
        try:
            for done, _ in enumerate(executor.each("train", InOrder(left)), len(tasks) - len(left) + 1):
                report("trainings", done, len(tasks))
        except BaseException:
            executor.close(now=True)
            raise
        executor.close()

    def _stress(self, training: Training, shifts: Mapping[str, int], opened: Dataset, report: Report) -> Evidence:
        """Run the plan on the model before and on every trained one."""
        labels = [(arm, seed) for arm in ARMS for seed in range(self.seeds)]
        seats = [self._seat(training, None)] + [self._seat(training, label) for label in labels]
        found = stress_all(
            self.test.dataset, seats, self.test.plan, device=self.model.device, workers=self.workers, report=report,
            metric=self.test.metric, resamples=RESAMPLES, **self.test.options,
        )  # fmt: skip
        of_arm = {arm: [found[1 + labels.index((arm, seed))] for seed in range(self.seeds)] for arm in ARMS}
        n_groups = int(read(seats[0].out).summary["dataset"]["n_groups"])
        return Evidence(found[0], of_arm, shifts, n_groups, self.test.higher_is_better)

    def _seat(self, training: Training, label: tuple[str, int] | None) -> Seat:
        name = BEFORE if label is None else f"{label[0]}-{label[1]}"
        given: Any = self.model.spec if self.model.spec is not None else self.model.instance
        allowed = {k: v for k, v in self.model.options.items() if k in ("trust", "allow_download")}
        if label is None:
            return Seat(name, given, self.model.options, self.out / "runs" / name)
        folder = training.folder(*label)
        if self.model.spec is not None:
            return Seat(name, f"trained:{folder}", allowed, self.out / "runs" / name)
        from stress.training.trained import install

        copied = install(arms_of.load_copy(self.model), folder / read_card(folder)["weights"])
        return Seat(name, copied.model, allowed, self.out / "runs" / name)

    def _facts(
        self, training: Training, opened: Dataset, command: str | None, held_out: Sequence[str]
    ) -> dict[str, Any]:
        """Return what was done, for the report."""
        before = read(self.out / "runs" / BEFORE).summary
        curves = []
        for arm in ARMS:
            for seed in range(self.seeds):
                card = read_card(training.folder(arm, seed))
                curves.append({"arm": arm, "seed": seed, "folder": f"models/{arm}-{seed}", "curve": card["curve"]})
        return {
            "schema": SCHEMA,
            "roadproof": own_version(),
            "command": command,
            "metric": self.test.metric,
            "metric_label": before["metrics"][self.test.metric]["label"],
            "model": {"name": before["model"]["name"], "source": self.model.label},
            "run": self.test.path,
            "test": {"dataset": before["dataset"]["name"], "path": before["dataset"]["path"],
                     "n_samples": before["dataset"]["n_samples"], "n_groups": before["dataset"]["n_groups"]},
            "feedback": {"path": str(self.feedback.path), "n_images": len(self.feedback.weights),
                         "clean_share": self.feedback.summary["clean_share"], "shifts": training.rows.shifts,
                         "n_validation": len(training.rows.validation), "licences": self.feedback.summary["licences"]},
            "families_asked_held_out": list(held_out),
            "arms": {arm: WORDS[arm] for arm in ARMS},
            "controls": list(CONTROLS),
            "seeds": list(range(self.seeds)),
            "settings": self.settings.plain(),
            "trainer": self.command,
            "resamples": RESAMPLES,
            "curves": curves,
        }  # fmt: skip


__all__ = ["PROOF", "Interrupted", "Retrained", "retrain"]
