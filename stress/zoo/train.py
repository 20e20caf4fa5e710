"""Train one network of the zoo: `python -m stress.zoo.train detector`.

Town frames are rendered into a cache first, clean daytime only. Training is stopped by time, with a learning rate that
follows the time spent (one cycle, Smith 2018), and may be interrupted: the same command goes on from the checkpoint.
What is written is the moving average of the weights, in half precision, with a card beside it.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from torch import Tensor, nn

from stress.zoo import NAMES
from stress.zoo.recipes import Batch, Recipe
from stress.zoo.sources import ENOUGH, TRAINING, figures_of, frames_coming, recipe_for
from stress.zoo.weights import Weights, write_weights

PEAK_RATE = 2e-3
WARM_UP = 0.05  # of the time
DECAY = 0.05  # of the weights (AdamW, Loshchilov and Hutter 2019)
AVERAGE = 0.998  # of the weights' moving average, per step
CLIP = 5.0  # largest norm of the gradient
SAVE_EVERY_S = 60.0
SAY_EVERY_S = 20.0


@dataclass(kw_only=True)
class Progress:
    """Where a training stands: steps done and seconds spent in them."""

    step: int = 0
    seconds: float = 0.0


def learning_rate(done: float) -> float:
    """Learning rate after a share `done` (0 to 1) of the training time.

    >>> round(learning_rate(0.05), 6), learning_rate(1.0) < 1e-5
    (0.002, True)
    """
    if done < WARM_UP:
        return PEAK_RATE * max(done / WARM_UP, 0.01)
    return PEAK_RATE * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * min((done - WARM_UP) / (1 - WARM_UP), 1.0))))


def batches(recipe: Recipe, seed: int, first: int) -> Iterator[Batch]:
    """Yield the batches of steps `first`, `first` + 1, ...: each has its own seed, made while the last is learned."""

    def make(step: int) -> Batch:
        return recipe.batch(np.random.default_rng([seed, step]))

    with ThreadPoolExecutor(max_workers=1) as pool:
        step = first
        following: list[Future[Batch]] = [pool.submit(make, step), pool.submit(make, step + 1)]
        while True:
            yield following.pop(0).result()
            step += 1
            following.append(pool.submit(make, step + 1))


def train(
    recipe: Recipe, folder: Path, *, seconds: float, seed: int, start: Path | None, say: Callable[[str], None]
) -> nn.Module:
    """Train until `seconds` are spent, over all attempts in `folder`; return the averaged network in eval mode."""
    torch.manual_seed(seed)
    network = recipe.network().to(memory_format=torch.channels_last)
    if start is not None:
        _start_from(network, start)
    averaged = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(_groups(network), lr=PEAK_RATE)
    checkpoint, progress = folder / "checkpoint.pt", Progress()
    if checkpoint.exists():
        _restore(checkpoint, network, averaged, optimiser, progress)
        say(f"goes on at step {progress.step}, {progress.seconds / 60:.1f} minutes spent")
    network.train()
    saved = said = began = time.monotonic()
    mean_loss = math.nan
    for batch in batches(recipe, seed, progress.step):
        if progress.seconds >= seconds:
            break
        rate = learning_rate(progress.seconds / seconds)
        loss = _step(recipe, network, optimiser, batch, rate)
        _average(averaged, network, progress.step)
        mean_loss = loss if math.isnan(mean_loss) else 0.98 * mean_loss + 0.02 * loss
        now = time.monotonic()
        progress.step, progress.seconds, began = progress.step + 1, progress.seconds + now - began, now
        if now - said > SAY_EVERY_S:
            say(f"{progress.seconds / 60:5.1f} of {seconds / 60:.0f} min  step {progress.step}  loss {mean_loss:.4f}")
            said = now
        if now - saved > SAVE_EVERY_S:
            _save(checkpoint, network, averaged, optimiser, progress)
            saved = now
    _save(checkpoint, network, averaged, optimiser, progress)
    return averaged.eval()


def _step(
    recipe: Recipe,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    rate: float,
) -> float:
    for group in optimiser.param_groups:
        group["lr"] = rate
    with torch.autocast("cpu", dtype=torch.bfloat16):  # three times as fast where the processor has AMX
        loss: Tensor = recipe.loss(network, batch)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch
    nn.utils.clip_grad_norm_(network.parameters(), CLIP)
    optimiser.step()
    return loss.item()


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, step: int) -> None:
    """Move the averaged weights towards the present ones; faster in the first steps."""
    stay = min(AVERAGE, (1 + step) / (10 + step))
    for mean, now in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, 1 - stay)
        else:
            mean.copy_(now)


def _groups(network: nn.Module) -> list[dict[str, object]]:
    """Weights of convolutions decay; norms and biases do not."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]


def _start_from(network: nn.Module, weights: Path) -> None:
    """Take over what fits by name and shape: a backbone, say."""
    from safetensors.torch import load_file

    own = network.state_dict()
    found = {k: v.float() for k, v in load_file(weights).items() if k in own and own[k].shape == v.shape}
    network.load_state_dict({**own, **found})


def _save(
    path: Path, network: nn.Module, averaged: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "network": network.state_dict(),
        "averaged": averaged.state_dict(),
        "optimiser": optimiser.state_dict(),
        "progress": vars(progress),
    }
    temporary = path.with_suffix(".writing")
    torch.save(state, temporary)
    temporary.replace(path)


def _restore(
    path: Path, network: nn.Module, averaged: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress
) -> None:
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    averaged.load_state_dict(state["averaged"])
    optimiser.load_state_dict(state["optimiser"])
    progress.step, progress.seconds = state["progress"]["step"], state["progress"]["seconds"]


@click.command(help=__doc__)
@click.argument("task", type=click.Choice(NAMES))
@click.option("--minutes", default=40.0, show_default=True, help="Time to train, over all attempts.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the checkpoint and the result.")
@click.option("--seed", default=0, show_default=True)
@click.option("--frames", default=1000, show_default=True, help="Town frames to train on.")
@click.option("--judge", default=200, show_default=True, help="Unseen town frames to judge it on.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of rendered frames.")
@click.option("--threads", default=1, show_default=True, help="More only pay on idle cores.")
@click.option("--workers", default=1, show_default=True, help="Processes that render; 0: another one does.")
@click.option("--start", type=click.Path(path_type=Path, exists=True), help="Weights whose backbone to start from.")
def main(
    task: str,
    minutes: float,
    out: Path | None,
    seed: int,
    frames: int,
    judge: int,
    cache: Path | None,
    threads: int,
    workers: int,
    start: Path | None,
) -> None:
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    home = Path.home() / ".cache" / "roadproof" / "zoo"
    folder, cache = out or home / task, cache or home / "frames"
    folder.mkdir(parents=True, exist_ok=True)
    click.echo(f"{task}: waiting for frames in {cache}")
    with frames_coming(cache, frames, workers=workers, needed=frames if task == "classifier" else min(frames, ENOUGH)):
        recipe = recipe_for(task, cache, frames=frames)
        click.echo(f"{task}: {', '.join(recipe.classes)}; {frames} frames; checkpoint in {folder}")
        network = train(recipe, folder, seconds=minutes * 60, seed=seed, start=start, say=click.echo)
    weights = Weights(name=task, classes=tuple(recipe.classes), network=network)
    figures = figures_of(weights, cache, frames=judge, workers=max(workers, 1))
    began = f" --start {start}" if start else ""
    card = {
        "task": task,
        "classes": list(recipe.classes),
        "parameters": sum(p.numel() for p in network.parameters()),
        "training": {"frames": frames, "split": TRAINING, "minutes": minutes, "seed": seed},
        "figures": figures,
        "command": f"python -m stress.zoo.train {task} --minutes {minutes:g} --frames {frames} --seed {seed}{began}",
        "data": "clean daytime frames of the town",
    }
    path = write_weights(weights, folder)
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    click.echo(f"{json.dumps(figures)}\n{path}")


if __name__ == "__main__":
    main()
