"""The training of learned generators: a folder that can be resumed, losses, previews. What is trained is a `Learner`.

The folder holds `training.json` (what was asked for; the same command goes on, another one is an error),
`checkpoint.pt` (tensors only), `losses.csv` (means over stretches of steps), `previews/STEP.png` and, at the end, what
the learner writes. Batches are keyed by seed and step, so a training that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scenes.errors import InputError
from scenes.folders import write_json
from scenes.images import write_png
from scenes.progress import Report, reporting
from scenes.sample import Image

SCHEMA = "roadproof.training/1"
SAVE_EVERY_S = 60.0
STRETCHES = 200  # points of the loss curves
PREVIEWS = 8


class Learner(Protocol):
    """Networks, their optimisers, and one step."""

    def batch(self, rng: np.random.Generator) -> Any:
        """Draw a batch; called in a thread while the last one is learned."""

    def step(self, batch: Any, done: float) -> Mapping[str, float]:
        """Learn a batch at a share `done` of the training; return losses by name."""

    def state(self) -> dict[str, Any]:
        """Return all that a resumed training needs: tensors and plain values."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take that up again."""

    def preview(self) -> Image:
        """Return a picture of what has been learned so far, the same inputs every time."""

    def finish(self, folder: Path) -> list[Path]:
        """Write the result into the folder; return its files."""


@dataclass(frozen=True)
class Trained:
    """A finished training: its folder, the files of the result, steps and seconds spent."""

    folder: Path
    files: tuple[Path, ...]
    steps: int
    seconds: float


@dataclass
class _Progress:
    step: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0


def train(
    learner: Learner,
    folder: Path,
    asked: Mapping[str, Any],
    *,
    steps: int,
    seed: int,
    progress: bool | Report | None = None,
) -> Trained:
    """Train for a number of steps, going on from where `folder` stands.

    asked: plain values that say what is trained on and how; another training in the folder is an error

    Raises InputError where the losses are no longer finite, or the folder holds something else.
    """
    wanted = {"schema": SCHEMA, **asked, "steps": steps, "seed": seed}
    _claim(folder, wanted)
    state, checkpoint = _Progress(), folder / "checkpoint.pt"
    if checkpoint.exists():
        _resume(checkpoint, learner, state)
    saved = began = time.monotonic()
    stretch = max(1, steps // STRETCHES)
    shown = {round((i + 1) * steps / PREVIEWS) for i in range(PREVIEWS)}
    with reporting(progress) as report:
        for batch in _batches(learner, seed, state.step, steps):
            _note(state, learner.step(batch, state.step / steps))
            now = time.monotonic()
            state.step, state.seconds, began = state.step + 1, state.seconds + now - began, now
            if state.count == stretch or state.step == steps:
                _write_losses(folder / "losses.csv", state)
            if state.step in shown:
                _write_preview(folder, learner, state.step)
            if now - saved > SAVE_EVERY_S or state.step == steps:
                _save(checkpoint, learner, state)
                saved = now
            report("train", state.step, steps)
    files = learner.finish(folder)
    return Trained(folder, tuple(files), state.step, state.seconds)


def read_losses(folder: Path) -> dict[str, list[float]]:
    """Return the columns of `losses.csv`: step, seconds, and one for each loss."""
    with (folder / "losses.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else {})}


def _claim(folder: Path, wanted: dict[str, Any]) -> None:
    path = folder / "training.json"
    plain = json.loads(json.dumps(wanted))
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        others = [key for key in {*found, *plain} if found.get(key) != plain.get(key)]
        if others:
            key = sorted(others)[0]
            raise InputError(
                f"{folder}: holds another training: {key} is {found.get(key)!r} there, {plain.get(key)!r} here; give "
                "its command again to resume, or another --out"
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: expected a new folder or one with a training to resume, got other files")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, plain)


def _batches(learner: Learner, seed: int, first: int, steps: int) -> Iterator[Any]:
    """Yield the batches of steps `first` to `steps`, each made while the one before is learned."""

    def make(step: int) -> Any:
        return learner.batch(np.random.default_rng([seed, step]))

    with ThreadPoolExecutor(max_workers=1) as pool:
        coming: list[Future[Any]] = [pool.submit(make, step) for step in range(first, min(first + 2, steps))]
        for step in range(first, steps):
            batch = coming.pop(0).result()
            if step + 2 < steps:
                coming.append(pool.submit(make, step + 2))
            yield batch


def _note(state: _Progress, losses: Mapping[str, float]) -> None:
    bad = {name: value for name, value in losses.items() if not math.isfinite(value)}
    if bad:
        raise InputError(
            f"training diverged at step {state.step}: {', '.join(f'{name} {value}' for name, value in bad.items())}; "
            "the last checkpoint is kept: lower the learning rate in a new folder"
        )
    for name, value in losses.items():
        state.sums[name] = state.sums.get(name, 0.0) + value
    state.count += 1


def _write_losses(path: Path, state: _Progress) -> None:
    row = {name: total / state.count for name, total in state.sums.items()}
    head = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if head:
            writer.writerow(["step", "seconds", *row])
        writer.writerow([state.step, f"{state.seconds:.1f}", *(f"{value:.5g}" for value in row.values())])
    state.sums, state.count = {}, 0


def _write_preview(folder: Path, learner: Learner, step: int) -> None:
    (folder / "previews").mkdir(exist_ok=True)
    write_png(folder / "previews" / f"{step:07d}.png", learner.preview())


def _save(path: Path, learner: Learner, state: _Progress) -> None:
    import torch

    temporary = path.with_suffix(".writing")
    torch.save({"learner": learner.state(), "progress": vars(state)}, temporary)
    temporary.replace(path)


def _resume(path: Path, learner: Learner, state: _Progress) -> None:
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        learner.restore(found["learner"])
        for name, value in found["progress"].items():
            setattr(state, name, value)
    except Exception as error:
        raise InputError(f"{path}: cannot be resumed: {error}; delete it to begin again") from error
    losses = path.with_name("losses.csv")
    with suppress(FileNotFoundError):  # rows written after the checkpoint are written again
        lines = losses.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line[0].isdigit() or int(line.split(",")[0]) <= state.step]
        losses.write_text("".join(kept), encoding="utf-8")
