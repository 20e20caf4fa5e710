"""Small models that can be trained, and a feedback set of coloured boxes, for tests of retraining."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from scenes.datasets import write_dataset
from scenes.plugins import load_attribute
from scenes.sample import Annotations, Sample

FAKES = Path(__file__).parents[1] / "fakes.py"
NAMES = ("car", "person", "sign")
PIXELS = ("car", "person", "sign", "ground")


def boxes(n, **options):
    """Return pictures with boxes of three colours; the rest of the segmentation is ground."""
    data = load_attribute(f"{FAKES}:Boxes", what="test part")(n, **options)
    data.class_names = PIXELS
    read = type(data).__getitem__

    class Grounded(type(data)):
        def __getitem__(self, sample_id):
            sample = read(self, sample_id)
            truth = sample.annotations
            pixels = np.where(truth.segmentation == 255, 3, truth.segmentation).astype(np.uint8)
            return replace(sample, annotations=replace(truth, segmentation=pixels))

    data.__class__ = Grounded
    return data


class TinySegmenter:
    """Class logits by two small convolutions; what it is given by `torch.manual_seed(7)` knows little."""

    name, task, class_names = "tiny segmenter", "segmentation", PIXELS

    def __init__(self):
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, len(PIXELS), 1)).eval()

    def tensors(self, images):
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 128 - 1

    def class_logits(self, batch):
        return self.module(batch)

    def predict(self, images):
        with torch.inference_mode():
            return [{"logits": self.class_logits(self.tensors([i]))[0].numpy()} for i in images]


class Diverging(TinySegmenter):
    """Its loss is no number from the start."""

    def class_logits(self, batch):
        return self.module(batch) * float("nan") if self.module.training else self.module(batch)


class Untrainable:
    name, task, class_names = "a table", "segmentation", PIXELS

    def predict(self, images):
        return [{"segmentation": np.zeros(i.shape[:2], int)} for i in images]


def darker(sample: Sample, name: str) -> Sample:
    """Return the frame as a dim light would show it."""
    return replace(sample, sample_id=name, image=(sample.image * 0.35).astype(np.uint8))


def feedback_set(folder: Path, run: Path, source: Path, *, tested=(), shift="lighting/night", first=0, n=12, **extra):
    """Write a feedback set of `n` clean frames of a `masks` data set and their dim versions."""
    data = boxes(first + n)
    chosen = data.sample_ids[first:]
    rows = [(name, "", name) for name in chosen] + [(f"{name}_v1", shift, name) for name in chosen]
    samples = [data[source] if not s else darker(data[source], name) for name, s, source in rows]
    write_dataset(samples, folder, format="masks", class_names=PIXELS)
    with (folder / "weights.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("sample_id", "weight", "shift", "severity", "source", "group"))
        for name, s, origin in rows:
            writer.writerow((name, 1.0, s, 3 if s else "", origin, origin))
    summary = {
        "schema": "roadproof.feedback/1", "run": str(run), "model": f"{__file__}:TinySegmenter",
        "dataset": {"source": str(source), "format": "masks", "root": str(folder), "split": None},
        "task": "segmentation", "class_names": list(PIXELS), "seed": 0, "n_images": len(rows), "n_clean": n,
        "clean_share": 0.5, "families_used": [shift.split("/")[0]], "families_held_out": [], "shifts": {shift: n},
        "slices": [], "tested_groups": list(tested), "groups": list(chosen), "licences": {"made up": n}, "command": "",
        **extra,
    }  # fmt: skip
    (folder / "feedback.json").write_text(json.dumps(summary))
    return folder


def frame(sample_id="a", *, size=(48, 64)):
    """Return a frame with one box, for each task."""
    image = np.full((*size, 3), 90, np.uint8)
    image[10:40, 20:44] = (230, 40, 40)
    pixels = np.full(size, 3, np.uint8)
    pixels[10:40, 20:44] = 0
    truth = Annotations(
        boxes=np.array([[20, 10, 44, 40]], np.float32), labels=np.array([0]), segmentation=pixels, label=0
    )
    return Sample(sample_id=sample_id, image=image, annotations=truth)


class Frames:
    """A data set of given samples."""

    name, tasks, groups = "frames", ("detection", "segmentation", "classification"), {}

    def __init__(self, samples, class_names=PIXELS):
        self.samples, self.class_names = {s.sample_id: s for s in samples}, tuple(class_names)

    @property
    def sample_ids(self):
        return tuple(self.samples)

    def __len__(self):
        return len(self.samples)

    def __iter__(self):
        return iter(self.samples.values())

    def __getitem__(self, sample_id):
        return self.samples[sample_id]
