"""A trainer of one's own: any command that takes a data folder and leaves weights.

    --trainer "python train.py --data {data} --weights {weights} --out {out} --seed {seed} --steps {steps}"

{data} is a folder in the format of the feedback set with `weights.csv` beside it; {weights} the weights to start from;
{out} a folder of its own. What has to be there afterwards is `weights.safetensors` (or `.pt`, `.pth` of tensors), which
goes into the model's module, or whatever `--trained-model` names. `{out}/curve.csv` (`step,loss[,validation]`) is shown
in the report. A command that fails, leaves nothing, or diverges is an error, and nothing of it is used.
"""

from __future__ import annotations

import csv
import math
import re
import shlex
import string
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenes.errors import InputError, did_you_mean
from scenes.plugins import looks_like_attribute

NEEDED, KNOWN = ("data", "out"), ("data", "weights", "out", "seed", "steps", "arm")
FOUND = ("weights.safetensors", "weights.pt", "weights.pth")
LOG = "trainer.log"
NO_NUMBER = re.compile(r"\bloss\b[^\n]{0,12}?\b(nan|inf|infinity)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Made:
    """What a trainer left: weights for the model's module, or the name of a model; its curve; the command."""

    weights: str | None
    model: str | None
    curve: Mapping[str, Any] | None
    command: str


@dataclass(frozen=True)
class Trainer:
    """A command template, checked when it is made.

    start: file of the weights to begin with; model: template of `--model` for what was trained, with {out}
    """

    command: str
    start: Path | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        names = _fields(self.command, "trainer")
        missing = [name for name in NEEDED if name not in names]
        if missing:
            raise InputError(f"trainer: the command has to name {' and '.join('{' + n + '}' for n in missing)}")
        for name in names:
            if name not in KNOWN:
                raise InputError(
                    f"trainer: no {{{name}}}{did_you_mean(name, KNOWN)}; it may name "
                    f"{', '.join('{' + n + '}' for n in KNOWN)}"
                )
        if self.model is not None and _fields(self.model, "trained-model") != {"out"}:
            raise InputError("trained-model: expected a model with {out} in it, e.g. {out}/model.onnx")
        try:
            shlex.split(self.command)
        except ValueError as error:
            raise InputError(f"trainer: the command cannot be read: {error}") from error

    def needs_start(self) -> bool:
        return "weights" in _fields(self.command, "trainer")

    def run(self, *, arm: str, seed: int, data: Path, out: Path, steps: int) -> Made:
        """Run the command for one arm and seed; its output goes to `trainer.log` in `out`."""
        values = {"data": data, "weights": self.start or "", "out": out, "seed": seed, "steps": steps, "arm": arm}
        words = [part.format(**{k: str(v) for k, v in values.items()}) for part in shlex.split(self.command)]
        log = out / LOG
        with log.open("wb") as stream:
            try:
                done = subprocess.run(words, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            except OSError as error:
                raise InputError(f"trainer: {words[0]!r} cannot be started: {error.strerror}") from error
        who = f"trainer of {arm!r} with seed {seed}"
        said = log.read_text(encoding="utf-8", errors="replace")
        if done.returncode != 0:
            raise InputError(f"{who} ended with exit code {done.returncode}: {_tail(said)} (all of it: {log})")
        found = NO_NUMBER.search(said)
        if found:
            raise InputError(f"{who} diverged: it says {found[0]!r} (see {log}); nothing of it is used")
        return Made(*self._left(out, who), curve=_curve(out / "curve.csv", who), command=shlex.join(words))

    def _left(self, out: Path, who: str) -> tuple[str | None, str | None]:
        """Return the file of weights, or the model that the command left; raise where it left neither."""
        if self.model is not None:
            named = self.model.format(out=str(out))
            place = Path(named.rpartition("@")[2] if "@" in named else named)
            if not looks_like_attribute(named) and not place.exists():
                raise InputError(f"{who} left no {place}, which --trained-model names")
            return None, named
        weights = next((out / name for name in FOUND if (out / name).is_file()), None)
        if weights is None:
            raise InputError(f"{who} left no weights: expected {out / FOUND[0]} (or {', '.join(FOUND[1:])})")
        from scenes.weights import tensors_of
        from stress.training.trained import finite

        finite(tensors_of(weights), f"weights of the {who}")
        return weights.name, None


def _fields(text: str, what: str) -> set[str]:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise InputError(f"{what}: {text!r} cannot be read: {error}; write {{{{ and }}}} for braces") from error


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-400:] or "it said nothing"


def _curve(path: Path, who: str) -> dict[str, Any] | None:
    """Return the curve that a trainer wrote, None where it wrote none; a loss that is no number is an error."""
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        loss = [float(row["loss"]) for row in rows]
        steps = [int(row["step"]) for row in rows]
        checked = [(s, float(r["validation"])) for s, r in zip(steps, rows, strict=True) if r.get("validation")]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{who}: {path} cannot be read: expected columns step,loss[,validation]: {error}") from error
    if not all(map(math.isfinite, [*loss, *(v for _, v in checked)])):
        raise InputError(f"{who} diverged: {path} holds a loss that is no number; nothing of it is used")
    return {
        "loss": loss, "steps": steps, "checks": [s for s, _ in checked], "validation": [v for _, v in checked],
        "best": None, "stopped": None,
    }  # fmt: skip
