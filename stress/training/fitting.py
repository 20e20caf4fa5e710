"""`fit`: train a model on weighted frames, with validation, a moving average of the weights, checkpoints and resume.

AdamW (Loshchilov and Hutter 2019) with a clipped gradient. What is kept is the moving average of the weights at the
check with the lowest validation loss. A loss that is no number, or grows tenfold, is an error and never a result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scenes.errors import InputError
from scenes.folders import replacing
from stress.adapters.checked import CheckedModel
from stress.training.learners import Batch, Learner, Mode, learner_of, no_truth
from stress.training.pictures import Frames
from stress.training.settings import Settings, kept, learning_rate

DECAY = 0.05  # of the weights (AdamW); norms and biases do not decay
CLIP = 5.0  # largest norm of the gradient
VALIDATED = 16  # pictures of the validation loss, at most
DIVERGED = 10.0  # times the loss it began with
SMOOTH = 20  # steps that the loss is averaged over, where it is judged
SAVE_EVERY = 25  # steps
State = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Material:
    """What one arm learns from. frames: of the arm's data set; ids and weights (n,) of training, ids of validation.

    colours: share of the pictures that standard augmentation changes
    """

    frames: Frames
    ids: Sequence[str]
    weights: Sequence[float]
    validation: Sequence[str]
    colours: float = 0.0
    name: str = "training"


@dataclass(kw_only=True)
class Curve:
    """Loss of each step and validation loss of each check (steps counted from 1); `best` is the step that is kept."""

    loss: list[float] = field(default_factory=list)
    checks: list[int] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best: int = 0
    stopped: int | None = None

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def fit(
    model: CheckedModel,
    material: Material,
    settings: Settings,
    *,
    seed: int,
    checkpoint: Path | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Curve:
    """Train a model in place and return its curves; with `checkpoint`, a stopped training goes on where it was.

    report: told of steps done and all
    """
    with _one_seed(seed):
        return _Fit(model, material, settings, seed=seed, checkpoint=checkpoint).run(report)


@contextmanager
def _one_seed(seed: int) -> Iterator[None]:
    """Seed torch for what is done inside, and give back the state it had."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.random.set_rng_state(state)


class _Fit:
    def __init__(
        self, model: CheckedModel, material: Material, settings: Settings, *, seed: int, checkpoint: Path | None
    ) -> None:
        self.learner: Learner = learner_of(model)
        self.model, self.material, self.settings, self.seed = model, material, settings, seed
        self.module, self.checkpoint = self.learner.module, checkpoint
        self.peak = settings.rate or self.learner.rate
        self.batch_size = settings.batch or self.learner.batch_size
        self.mode = Mode(self.module, self.batch_size)
        self.curve, self.step = Curve(), 0
        for parameter in self.module.parameters():
            parameter.requires_grad_(True)
        self.optimiser = torch.optim.AdamW(_groups(self.module), lr=self.peak)
        self.average: State = {k: v.detach().clone() for k, v in self.module.state_dict().items()}
        self.best: State = dict(self.average)
        weights = np.asarray(material.weights, np.float64)
        self.cumulative = np.cumsum(weights / weights.sum())

    def run(self, report: Callable[[int, int], None] | None) -> Curve:
        self._restore()
        steps, checks = self.settings.steps, self.settings.check_steps()
        validation = self._validation() if self.material.validation else []
        if validation and not self.curve.validation:
            self._check(validation)  # what it began with
        for batch in self._batches():
            if self.step >= steps or self.curve.stopped is not None:
                break
            self._learn(batch)
            if self.step in checks:
                self._check(validation)
            if self.checkpoint is not None and (self.step % SAVE_EVERY == 0 or self.step in checks):
                self._save(self.checkpoint)
            if report is not None:
                report(self.step, steps)
        self.module.load_state_dict(self.best if self.curve.validation else self.average)
        self.module.eval()
        refresh = getattr(self.model.model, "refresh", None)
        if callable(refresh):
            refresh()
        return self.curve

    def _learn(self, batch: Batch) -> None:
        self.mode.train()
        rate = learning_rate(self.step, self.settings.steps, self.peak)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = self._loss(batch)
        self._check_loss(loss.item())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        nn.utils.clip_grad_norm_(self.module.parameters(), CLIP)
        self.optimiser.step()
        stay = kept(self.step, self.settings.steps)
        for name, now in self.module.state_dict().items():
            mean = self.average[name]
            if mean.is_floating_point():
                mean.lerp_(now.detach(), 1 - stay)
            else:
                mean.copy_(now)
        self.step += 1

    def _loss(self, batch: Batch) -> Tensor:
        device = next(self.module.parameters()).device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.learner.mixed):
            return self.learner.loss(batch)

    def _check_loss(self, loss: float) -> None:
        """Note the loss of a step; raise where the training has diverged."""
        self.curve.loss.append(round(loss, 6))
        first, last = self.curve.loss[:SMOOTH], self.curve.loss[-SMOOTH:]
        grown = len(self.curve.loss) >= 2 * SMOOTH and np.mean(last) > DIVERGED * max(float(np.mean(first)), 0.1)
        if math.isfinite(loss) and not grown:
            return
        if self.checkpoint is not None:
            self.checkpoint.unlink(missing_ok=True)  # nothing to go on from
        what = "is no number" if not math.isfinite(loss) else f"grew from {np.mean(first):.3g} to {np.mean(last):.3g}"
        raise InputError(
            f"training {self.material.name!r} with seed {self.seed} diverged at step {self.step + 1}: its loss {what}; "
            f"nothing of it is used. Give a lower --rate than {self.peak:g}, or look at the labels"
        )

    @torch.no_grad()
    def _check(self, validation: Sequence[Batch]) -> None:
        """Measure the validation loss of the averaged weights; keep the best."""
        if not validation:
            return
        own = {k: v.clone() for k, v in self.module.state_dict().items()}
        self.module.load_state_dict(self.average)
        self.mode.measure(self.learner)
        loss = round(float(np.mean([self._loss(batch).item() for batch in validation])), 6)
        self.module.load_state_dict(own)
        if not math.isfinite(loss):
            raise InputError(
                f"training {self.material.name!r} with seed {self.seed}: its validation loss is no number after "
                f"{self.step} steps; nothing of it is used. Give a lower --rate than {self.peak:g}"
            )
        self.curve.checks.append(self.step)
        self.curve.validation.append(loss)
        trained = self.curve.validation[1:]
        if trained and loss <= min(trained):  # the weights it began with are no candidate: they are `before`
            self.best, self.curve.best = {k: v.clone() for k, v in self.average.items()}, self.step
        patience = self.settings.patience
        if patience is not None and len(trained) > patience and min(trained) < min(trained[-patience:]):
            self.curve.stopped = self.step

    def _batches(self) -> Iterator[Batch]:
        """Yield the batches of this step and the following: each has its own seed, made while the last is learned."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            first = self.step
            following: list[Future[Batch]] = [pool.submit(self._batch, first), pool.submit(self._batch, first + 1)]
            step = first + 2
            while True:
                yield following.pop(0).result()
                following.append(pool.submit(self._batch, step))
                step += 1

    def _batch(self, step: int) -> Batch:
        """Return the batch of a step. Which frames it has depends on seed and step alone, whatever the arm."""
        rng = np.random.default_rng([self.seed, step])
        taught = []
        for share in rng.random(self.batch_size * 20):
            row = min(int(np.searchsorted(self.cumulative, share, side="right")), len(self.material.ids) - 1)
            found = self.material.frames(self.material.ids[row])
            if self.learner.usable(found):
                taught.append(found)
            if len(taught) == self.batch_size:
                break
        if not taught:
            raise no_truth(self.learner, self.model.task, self.material.name)
        looks = np.random.default_rng([self.seed, step, 1])
        return self.learner.batch(taught, looks, [bool(looks.random() < self.material.colours) for _ in taught])

    def _validation(self) -> list[Batch]:
        """Return the validation pictures in batches, the same views at every check of every seed."""
        ids = list(self.material.validation)
        spread = [ids[i * len(ids) // min(len(ids), VALIDATED)] for i in range(min(len(ids), VALIDATED))]
        taught = [found for found in map(self.material.frames, spread) if self.learner.usable(found)]
        rng, size = np.random.default_rng(0), self.batch_size
        parts = [taught[i : i + size] for i in range(0, len(taught), size)]
        return [self.learner.batch(part, rng, [False] * len(part)) for part in parts]

    def _save(self, path: Path) -> None:
        state = {
            "step": self.step,
            "module": self.module.state_dict(),
            "average": self.average,
            "best": self.best,
            "optimiser": self.optimiser.state_dict(),
            "curve": self.curve.plain(),
        }
        with replacing(path) as temporary:
            torch.save(state, temporary)

    def _restore(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        self.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])
        device = next(self.module.parameters()).device
        self.average = {k: v.to(device) for k, v in state["average"].items()}
        self.best = {k: v.to(device) for k, v in state["best"].items()}
        self.step, self.curve = int(state["step"]), Curve(**state["curve"])


def _groups(module: nn.Module) -> list[dict[str, Any]]:
    """Weights of convolutions and linear layers decay; norms and biases do not."""
    decayed = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
