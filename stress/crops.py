"""Crops of failed objects: which failures to look at, their pictures made again, and the place cut out."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from scenes.sample import Image, Sample
from stress.plan import CLEAN
from stress.progress import reporting
from stress.reproduction import Remaker
from stress.results import Results
from synth.random import Rng

PICTURES = 144  # shifted frames made again at most
FRAMES = 16  # source frames behind them at most: reading one may cost as much as shifting it ten times
MARGIN = 0.25  # of the box on each side, so that a crop shows what the object stands before
LEAST_SIDE = 24  # pixels of the picture that a crop shows at least
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Crop:
    """A failed object: its row in the failures, its picture, and the same place on the clean frame."""

    row: Row
    image: Image
    clean: Image


def folded(rows: Sequence[Row]) -> list[Row]:
    """Return the failures with one row for the same object under the severities of a shift: the mildest.

    Finds that belong to no object are the same where their class and about their place (32 pixels) are.
    """
    first: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=lambda r: r["severity"]):
        place: Any = row["instance_id"]
        if row["failure"] in ("invented", "duplicate"):
            place = tuple(round((row[a] + row[b]) / 64) for a, b in (("x1", "x2"), ("y1", "y2")))
        key = (row["sample_id"], row["shift"], row["failure"] in ("invented", "duplicate"), row["class_name"], place)
        first.setdefault(key, row)
    return list(first.values())


def chosen(rows: Sequence[Row], *, seed: int, pictures: int) -> dict[str, dict[tuple[str, float], list[Row]]]:
    """Return failures by sample and cell: as many pictures of every cell, of few source frames from many groups."""
    by_sample: dict[str, dict[tuple[str, float], list[Row]]] = defaultdict(lambda: defaultdict(list))
    group_of: dict[str, str] = {}
    for row in rows:
        by_sample[row["sample_id"]][row["shift"], row["severity"]].append(row)
        group_of[row["sample_id"]] = row["group"]
    names = sorted(by_sample)
    order = [names[i] for i in np.argsort(Rng("clusters", seed).uniforms(len(names)), kind="stable")]
    turn: Counter[str] = Counter()
    ranked = []
    for name in order:  # one of each group, then a second of each
        ranked.append((turn[group_of[name]], name))
        turn[group_of[name]] += 1
    samples = [name for _, name in sorted(ranked, key=lambda item: item[0])][:FRAMES]
    queues: dict[tuple[str, float], list[str]] = defaultdict(list)
    for name in samples:
        for cell in by_sample[name]:
            queues[cell].append(name)
    found: dict[str, dict[tuple[str, float], list[Row]]] = defaultdict(dict)
    left = pictures
    while left > 0 and any(queues.values()):
        for cell in sorted(queues):
            if queues[cell] and left > 0:
                name = queues[cell].pop(0)
                found[name][cell] = by_sample[name][cell]
                left -= 1
    return found


def crops_of(
    results: Results, rows: Sequence[Row], again: Remaker, seed: int, pictures: int, progress: bool | None
) -> list[Crop]:
    """Return crops of the chosen failures, each frame read once."""
    wanted = chosen(rows, seed=seed, pictures=pictures)
    total = sum(len(cells) for cells in wanted.values())
    columns = ["sample_id", "shift", "severity", "params"]
    samples = results.table("samples").select(columns)
    params = {(r["sample_id"], r["shift"], r["severity"]): r["params"] for r in samples.to_pylist()}
    boxes = _clean_boxes(results)
    found: list[Crop] = []
    done = 0
    with reporting(progress) as report:
        for name, cells in wanted.items():
            clean = again.dataset[name]
            for (shift, severity), own in cells.items():
                made = again.shifted(clean, shift, json.loads(params[name, shift, severity])).sample
                found += [_crop(row, made, clean, boxes) for row in own]
                done += 1
                report("pictures made again", done, total)
    return found


def _clean_boxes(results: Results) -> dict[tuple[str, int], tuple[float, ...]]:
    """Return the box of each object on its clean frame."""
    names = ("sample_id", "instance_id", "x1", "y1", "x2", "y2")
    table = results.table("objects", columns=["shift", *names])
    clean = table.filter(pa.compute.equal(table.column("shift"), CLEAN))
    rows = zip(*(clean.column(name).to_pylist() for name in names), strict=True)
    return {(row[0], row[1]): tuple(row[2:]) for row in rows}


def _crop(row: Row, made: Sample, clean: Sample, boxes: Mapping[tuple[str, int], tuple[float, ...]]) -> Crop:
    box = tuple(row[name] for name in ("x1", "y1", "x2", "y2"))
    before = boxes.get((row["sample_id"], row["instance_id"]), box) if row["instance_id"] else box
    return Crop(row, cropped(made.image, box), cropped(clean.image, before))


def cropped(image: Image, box: Sequence[float]) -> Image:
    """Return the square around a box, with a margin; where it leaves the picture its border is repeated."""
    x1, y1, x2, y2 = box
    half = max((x2 - x1) * (0.5 + MARGIN), (y2 - y1) * (0.5 + MARGIN), LEAST_SIDE / 2)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    side = max(round(2 * half), 1)
    left, top = round(x - half), round(y - half)
    columns = np.clip(np.arange(left, left + side), 0, image.shape[1] - 1)
    rows = np.clip(np.arange(top, top + side), 0, image.shape[0] - 1)
    cut: Image = np.ascontiguousarray(image[rows[:, None], columns])
    return cut
