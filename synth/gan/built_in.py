"""Train the built-in generators on exact pairs of the town: `python -m synth.gan.built_in clear_to_night`.

Training frames are of the town's training split; the figures of `benchmarks/gan.py` are of its test split, which shares
no street with it. The same command goes on where it was stopped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from itertools import repeat
from pathlib import Path

import click

from scenes.edits import Edit, SetGround, SetSky, SetSun
from scenes.images import write_png
from scenes.sample import Dataset, Sample
from synth.gan.shift import BUILT_IN
from synth.gan.training import train_gan

SIZE = (640, 360)  # of the frames, pixels
FRAMES_PER_DRIVE = 12
APART = 4  # frames of a drive between two that are taken
NIGHT_SKY = 0.06  # brightness of the sky after dusk relative to noon: what a camera's exposure leaves of it
EDITS = {
    "clear_to_night": (SetSun(0.0, 0.3, 0.0), SetSky(0.3, NIGHT_SKY)),
    "clear_to_snow": (SetGround("snow"), SetSky(1.0, 0.8), SetSun(0.0, 0.5, 0.1)),
}


def exact(sample: Sample, name: str) -> Sample:
    """Return a town frame as it is exactly under the other condition; raises where it has no scene."""
    edits: Sequence[Edit] = EDITS[name]
    if sample.scene is None or sample.camera is None:
        raise ValueError(f"sample {sample.sample_id!r}: expected a scene and a camera")
    return sample.scene.render(sample.camera, edits)


def render_pairs(cache: Path, count: int, *, workers: int = 1) -> None:
    """Render frames of the training split, clear and under every condition, that are not in the cache yet."""
    missing = [i for i in range(count) if not all(_place(cache, name, i).exists() for name in ("clear", *EDITS))]
    with ProcessPoolExecutor(max_workers=workers) as pool:
        list(pool.map(_render, repeat(cache, len(missing)), missing, chunksize=FRAMES_PER_DRIVE // APART))


def _place(cache: Path, name: str, index: int) -> Path:
    return cache / name / f"{index:05d}.png"


def _render(cache: Path, index: int) -> None:
    data = _town()
    sample = data[data.sample_ids[index * APART]]
    for name in ("clear", *EDITS):
        path = _place(cache, name, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, sample.image if name == "clear" else exact(sample, name).image)


@lru_cache(maxsize=1)
def _town() -> Dataset:
    from scenes.town import TownDataset

    width, height = SIZE
    town: Dataset = TownDataset(
        11, 100_000, split="train", frames_per_drive=FRAMES_PER_DRIVE, width=width, height=height
    )
    return town


@click.command(help=__doc__)
@click.argument("name", type=click.Choice(tuple(EDITS)))
@click.option("--steps", default=6000, show_default=True)
@click.option("--frames", default=240, show_default=True, help="Town frames to train on.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the training.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of rendered pairs.")
@click.option("--workers", default=1, show_default=True, help="Processes that render.")
@click.option("--threads", default=1, show_default=True, help="Threads that learn.")
def main(name: str, steps: int, frames: int, out: Path | None, cache: Path | None, workers: int, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    home = Path.home() / ".cache" / "roadproof" / "gan"
    cache = cache or home / "pairs"
    render_pairs(cache, frames, workers=workers)
    trained = train_gan(
        cache / "clear", cache / name, out or home / name, paired=True, width=24, norm="batch", steps=steps, batch=4,
        side=128, rate=4e-4, progress=_say,
    )  # fmt: skip
    BUILT_IN.mkdir(exist_ok=True)
    shutil.copyfile(trained.files[0], BUILT_IN / f"{name}.safetensors")
    card = {
        "network": "resnet_6blocks, 24 channels, batch norm, pix2pix",
        "data": f"{frames} exact pairs of the town at {SIZE[0]}x{SIZE[1]}, training split",
        "command": f"python -m synth.gan.built_in {name} --steps {steps} --frames {frames}",
        "steps": trained.steps,
    }
    (BUILT_IN / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    click.echo(f"{trained.files[0]} after {trained.seconds / 60:.1f} minutes")


def _say(stage: str, done: int, total: int) -> None:
    if done % 100 == 0 or done == total:
        click.echo(f"{stage}: {done} of {total}")


if __name__ == "__main__":
    main()
