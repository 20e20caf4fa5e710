"""How true labels are after a shift where a data set has boxes only: no masks, no instance map, no depth.

    python benchmarks/audit_boxes.py [--frames 4] [--width 640] [--json FILE] [--only NAME,NAME]

The town's frames lose all truth but boxes, classes and camera, as sets of boxes come. Each shift is then carried out on
picture and boxes:

shape/*                 against the objects' own pixels, carried along unseen by the same bend as a segmentation
pose/*                  reprojection by assumed depth against the town seen by the moved camera
occlusion (put in)      boxes told that a silhouette covers them, against what is left of the objects' own pixels

Objects of at least 64 pixels: mean and median IoU of boxes, and the share of boxes with an IoU under 0.5.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np

from benchmarks.audit import LEAST_PX, SEVERITIES, _box_iou
from scenes import Sample
from scenes.sample import Annotations
from scenes.town import TownDataset
from synth.pipeline import shifted
from synth.regions import Mask, tight_box
from synth.registry import create, shift_classes
from synth.relabel import covered

Pairs = Iterator[tuple[Any, Any]]  # our box and the true one
POSES = ("yaw", "pitch", "roll", "height", "lateral")


def boxes_only(sample: Sample, *, hidden: bool = False) -> Sample:
    """Return the frame with boxes only; hidden: object numbers ride along as a segmentation, which tells the truth."""
    notes = sample.annotations
    instances = None if sample.instances is None or not hidden else sample.instances.astype(np.int16)
    bare = Annotations(
        boxes=notes.boxes,
        labels=notes.labels,
        instance_ids=notes.instance_ids,
        segmentation=instances,
        boxes_3d=notes.boxes_3d,
    )
    return replace(sample, annotations=bare, instances=None, depth=None, scene=None, previous=None)


def bent(sample: Sample, name: str, severity: int) -> Pairs:
    after = shifted(boxes_only(sample, hidden=True), create(name), severity, seed=1).sample.annotations
    if after.segmentation is None:
        return
    for row, key in enumerate(after.instance_ids.tolist()):
        there = after.segmentation == key
        if np.count_nonzero(there) >= LEAST_PX:
            yield after.boxes[row], tight_box(there)


def moved(sample: Sample, name: str, severity: int) -> Pairs:
    exact = shifted(sample, create(name, {"renderer": "exact"}), severity, seed=1).sample.annotations
    ours = shifted(boxes_only(sample), create(name, {"renderer": "reprojection"}), severity, seed=1).sample.annotations
    rows = {int(key): row for row, key in enumerate(exact.instance_ids)}
    for row, key in enumerate(ours.instance_ids.tolist()):
        if key in rows and exact.masks is not None and np.count_nonzero(exact.masks[rows[key]]) >= LEAST_PX:
            yield ours.boxes[row], exact.boxes[rows[key]]


def put_in(sample: Sample, name: str, severity: int) -> Pairs:
    """Lay a person's silhouette over each object in turn, until a quarter, a half or three quarters are left."""
    notes = sample.annotations
    if notes.masks is None:
        return
    for row, mask in enumerate(notes.masks):
        cover = _silhouette(notes.boxes[row], mask.shape, {1: 0.25, 3: 0.5, 5: 0.75}[severity])
        left = mask & ~cover
        if np.count_nonzero(left) >= LEAST_PX:
            yield covered(boxes_only(sample), sample.image, cover).annotations.boxes[row], tight_box(left)


def _silhouette(box: Any, size: tuple[int, ...], share: float) -> Mask:
    """Return (H, W) a figure that stands over the left part of a box."""
    cover = np.zeros(size, np.uint8)
    x1, y1, x2, y2 = (float(v) for v in box)
    half, middle = 0.5 * share * (x2 - x1), x1 + 0.5 * share * (x2 - x1)
    axes = (max(1, round(half)), max(1, round(0.6 * (y2 - y1))))
    cv2.ellipse(cover, (round(middle), round(0.5 * (y1 + y2))), axes, 0, 0, 360, 1, -1)
    return cover > 0


def cases() -> dict[str, Any]:
    """Return what is measured, by name."""
    shapes = [name for name, cls in shift_classes().items() if cls.family == "shape"]
    return {**dict.fromkeys(shapes, bent), **{f"pose/{p}": moved for p in POSES}, "occlusion (put in)": put_in}


def measure(name: str, make: Any, frames: list[Sample]) -> list[dict[str, Any]]:
    """Return a row for each severity."""
    rows = []
    for severity in SEVERITIES:
        found = [_box_iou(ours, true) for frame in frames for ours, true in make(frame, name, severity)]
        if found:
            low = float(np.mean(np.array(found) < 0.5))
            rows.append(
                {
                    "severity": severity,
                    "objects": len(found),
                    "mean": round(float(np.mean(found)), 4),
                    "median": round(float(np.median(found)), 4),
                    "under_half": round(low, 4),
                }
            )
    return rows


def lines(name: str, rows: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [
        f"| {name} | {r['severity']} | {r['objects']} | {r['mean']:.3f} | {r['median']:.3f} | {r['under_half']:.0%} |"
        for r in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Boxes after a shift where there are no masks.")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--only", default="", help="names of cases, with commas")
    parser.add_argument("--json", default="", help="write the figures here")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    size = {"width": options.width, "height": round(options.width * 9 / 16)}
    frames = list(TownDataset(seed=11, n=options.frames, frames_per_drive=1, split="test", **size))
    wanted = {name: make for name, make in cases().items() if not options.only or name in options.only.split(",")}
    print("| shift | severity | objects | box IoU, mean | median | under 0.5 |", "|---" * 6 + "|", sep="\n")
    results = {}
    for name, make in wanted.items():
        results[name] = measure(name, make, frames)
        print("\n".join(lines(name, results[name])), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
