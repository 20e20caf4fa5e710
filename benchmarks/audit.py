"""How true labels are after a shift: against the town rendered again, object by object.

    python benchmarks/audit.py [--frames 8] [--width 640] [--json FILE] [--only NAME,NAME]

Each shift is carried out on pixels and labels alone, as on a photo, and the same change in the scene, where labels are
exact by construction:

pose/*, occlusion/truncation   reprojection (crop) against the town seen by the moved camera
pose/object_turn               the shift itself is exact: a check that it is
occlusion (object put in)      labels told that a silhouette covers them, against the town with that object added
removal (object taken out)     the object's pixels filled in, against the town without it
shape/*                        the shift on the frame, against the shift on the frame rendered four times as large

Figures are means over objects with at least 64 pixels in the exact frame, or in ours where the exact one has none left
of it (IoU 0 then): box IoU, mask IoU, absolute error of the visible fraction, and the share of equal verdicts (kept and
occluded count as equal where their visible fractions differ by less than 0.05). Pictures
that a moved camera takes from within a truck are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np

from scenes import Sample
from scenes.camera import Camera
from scenes.edits import Add, Remove
from scenes.sample import Annotations
from scenes.town import TownDataset
from synth.audit import Verdict, audit
from synth.canvas import Canvas
from synth.pipeline import shifted
from synth.regions import object_region
from synth.registry import create, shift_classes
from synth.relabel import add_object, covered
from synth.rerender import in_order, render_again

LEAST_PX = 64
LARGE_PX = 32 * 32  # COCO's middle size
FINER = 4  # times as large is the frame that warps are compared with
SEVERITIES = (1, 3, 5)
Pair = tuple[Sample, Sample, Sample]  # clean, ours, exact
Make = Callable[[Sample, int], Iterator[Pair]]


@dataclass(frozen=True)
class Figures:
    """One object: agreement of ours with the exact labels."""

    pixels: int
    box_iou: float
    mask_iou: float
    fraction_error: float
    same_verdict: bool


def moved_camera(name: str, pixel_side: str) -> Make:
    """Return a maker of pairs for a shift that has an exact renderer and one that works on pixels."""

    def make(sample: Sample, severity: int) -> Iterator[Pair]:
        exact = shifted(sample, create(name, {"renderer": "exact"}), severity, seed=1).sample
        if exact.depth is not None and np.mean(exact.depth < 1.5) > 0.2:
            return  # the camera went into something: a picture of the inside of a truck
        yield sample, shifted(sample, create(name, {"renderer": pixel_side}), severity, seed=1).sample, exact

    return make


def turned(sample: Sample, severity: int) -> Iterator[Pair]:
    from scenes.edits import Turn

    result = shifted(sample, create("pose/object_turn"), severity, seed=1)
    angle = np.radians(result.params.angle_deg)
    keys = zip(result.params.targets, result.params.signs, strict=True)
    edits = [Turn(key, yaw_rad=float(sign * angle)) for key, sign in keys]
    yield sample, result.sample, render_again(sample, who="benchmark", edits=edits)


def put_in(sample: Sample, severity: int) -> Iterator[Pair]:
    """Put vehicles and people between camera and objects: one more with each severity."""
    camera = _camera(sample)
    ahead, left = camera.world_to_cam[2, :3], -camera.world_to_cam[0, :3]
    places = ((9.0, 1.5, "person"), (14.0, -2.0, "car"), (11.0, 3.0, "van"), (7.0, -1.2, "person"), (18.0, 0.5, "bus"))
    for away, aside, kind in places[:severity]:
        x, y = (camera.position + away * ahead + aside * left)[:2]
        edit = Add(kind, float(x), float(y), yaw_rad=0.4, seed=3)
        exact = render_again(sample, who="benchmark", edits=[edit])
        if sample.instances is None or exact.instances is None or len(exact.annotations) == len(sample.annotations):
            continue
        new_rows = range(len(sample.annotations), len(exact.annotations))
        number = int(exact.annotations.instance_ids[new_rows[-1]])
        silhouette = np.isin(exact.instances, exact.annotations.instance_ids[list(new_rows)])
        ours = covered(sample, exact.image, silhouette)
        ours = add_object(ours, exact.instances == number, int(exact.annotations.labels[new_rows[-1]]))
        ids = exact.annotations.instance_ids.copy()
        ids[new_rows[-1]] = ours.annotations.instance_ids[-1]  # both number what is new after what they know
        yield sample, ours, replace(exact, annotations=replace(exact.annotations, instance_ids=ids))


def taken_out(sample: Sample, severity: int) -> Iterator[Pair]:
    """Take out the nearest objects, one more with each severity."""
    notes = sample.annotations
    sizes = (notes.boxes[:, 2:] - notes.boxes[:, :2]).prod(axis=1)
    for row in np.argsort(-sizes)[:severity].tolist():
        region = object_region(sample, row)
        if region is None:
            continue
        canvas = Canvas.of(sample)
        canvas.take(region)
        yield sample, canvas.finished(), render_again(sample, who="benchmark", edits=[Remove(region.key)])


def on_larger_frame(name: str) -> Make:
    """Return a maker of pairs for a shift of pixels, exact up to a fraction of a pixel: done on a larger frame."""

    def make(sample: Sample, severity: int) -> Iterator[Pair]:
        if sample.scene is None:
            return
        small, camera = (1.0 / FINER), _camera(sample)
        size = (sample.width // FINER * FINER, sample.height // FINER * FINER)
        K = camera.K.copy()
        K[:2] *= small
        coarse = replace(camera, K=K, width=size[0] // FINER, height=size[1] // FINER)
        clean = replace(render_again(sample, who="benchmark", camera=coarse), scene=None)
        result = shifted(clean, create(name), severity, seed=1)
        fine = shifted(replace(sample, sample_id=clean.sample_id), create(name), severity, seed=1)
        if result.params != fine.params:  # a shift may leave out what is too small: do the small frame's
            fine_sample = create(name).apply(sample, result.params)
        else:
            fine_sample = fine.sample
        yield clean, result.sample, _reduced(fine_sample, coarse)

    return make


def _reduced(fine: Sample, camera: Camera) -> Sample:
    """Return the labels of a larger frame at the pixel centres of a smaller one."""
    notes, middle = fine.annotations, FINER // 2
    if notes.masks is None or fine.instances is None:
        raise ValueError("the town's frames have masks and instances")
    masks = notes.masks[:, middle::FINER, middle::FINER]
    seen = masks.any(axis=(1, 2))
    boxes = np.where(seen[:, None], notes.boxes / FINER, 0).astype(np.float32)
    annotations = Annotations(
        boxes=boxes,
        labels=notes.labels,
        instance_ids=notes.instance_ids,
        masks=masks,
        visibility=notes.visibility,
    )
    size = (camera.width, camera.height)
    image = cv2.resize(fine.image, size, interpolation=cv2.INTER_AREA)
    return Sample(sample_id=fine.sample_id, image=image, annotations=annotations, camera=camera, meta=fine.meta)


def _camera(sample: Sample) -> Camera:
    if sample.camera is None:
        raise ValueError(f"sample {sample.sample_id!r} has no camera")
    return sample.camera


def compared(clean: Sample, ours: Sample, exact: Sample) -> list[Figures]:
    """Return the figures of every object that is large enough."""
    notes = in_order(ours.annotations, exact.annotations)  # objects of the exact frame in our order
    told = {key: ours.meta[key] for key in ("edited", "destroyed", "hidden_by") if key in ours.meta}
    exact = replace(exact, annotations=notes, camera=ours.camera, meta={**exact.meta, **told})
    verdicts = {v.instance_id: v for v in audit(clean, ours)}
    truths = {v.instance_id: v for v in audit(clean, exact)}
    a, b = ours.annotations, notes
    if a.masks is None or b.masks is None:
        raise ValueError("the town's frames have masks")
    found = []
    for row in range(len(a)):
        mine, true = a.masks[row], b.masks[row]
        if max(np.count_nonzero(true), np.count_nonzero(mine) if not true.any() else 0) < LEAST_PX:
            continue
        key = int(a.instance_ids[row])
        found.append(_figures(a.boxes[row], b.boxes[row], mine, true, verdicts[key], truths[key]))
    return found


def _figures(box: Any, true_box: Any, mask: Any, true_mask: Any, verdict: Verdict, truth: Verdict) -> Figures:
    union = np.count_nonzero(mask | true_mask)
    return Figures(
        pixels=int(np.count_nonzero(true_mask)),
        box_iou=_box_iou(box, true_box),
        mask_iou=np.count_nonzero(mask & true_mask) / max(union, 1),
        fraction_error=abs(verdict.visible_fraction - truth.visible_fraction),
        same_verdict=_agree(verdict, truth),
    )


def _agree(a: Verdict, b: Verdict) -> bool:
    """Tell whether two verdicts are the same; kept and occluded meet at a fraction of 0.98, and may differ there."""
    near = {a.kind, b.kind} == {"kept", "occluded"} and abs(a.visible_fraction - b.visible_fraction) < 0.05
    return a.kind == b.kind or near


def _box_iou(a: Any, b: Any) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inner = max(wide, 0.0) * max(high, 0.0)
    outer = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner
    return float(inner / outer) if outer > 0 else 1.0


def cases() -> dict[str, Make]:
    """Return what is measured, by name."""
    found: dict[str, Make] = {
        f"pose/{name}": moved_camera(f"pose/{name}", "reprojection")
        for name in ("yaw", "pitch", "roll", "height", "lateral")
    }
    found["pose/object_turn"] = turned
    found["occlusion/truncation"] = moved_camera("occlusion/truncation", "crop")
    found["occlusion (object put in)"] = put_in
    found["removal (object taken out)"] = taken_out
    shapes = [name for name, cls in shift_classes().items() if cls.family == "shape"]
    return {**found, **{name: on_larger_frame(name) for name in shapes}}


def measure(make: Make, frames: list[Sample]) -> list[dict[str, Any]]:
    """Return a row of means for each severity."""
    rows = []
    for severity in SEVERITIES:
        found = [f for frame in frames for pair in make(frame, severity) for f in compared(*pair)]
        if not found:
            continue
        large = [f for f in found if f.pixels >= LARGE_PX]
        rows.append({"severity": severity, **_means(found), "large": _means(large)})
    return rows


def _means(found: list[Figures]) -> dict[str, Any]:
    """Return how many objects there are and the means of their figures."""
    names = ("box_iou", "mask_iou", "fraction_error", "same_verdict")
    means = {name: round(float(np.mean([getattr(f, name) for f in found])), 4) if found else None for name in names}
    return {"objects": len(found), **means}


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the results as a Markdown table."""
    head = "| shift | severity | objects | box IoU | mask IoU | error of the visible fraction | same verdict "
    lines = [head + "| objects from 32 x 32 px | box IoU | mask IoU |", "|---" * 10 + "|"]
    for name, rows in results.items():
        for row in rows:
            large = row["large"]
            lines.append(
                f"| {name} | {row['severity']} | {row['objects']} | {_number(row['box_iou'])} "
                f"| {_number(row['mask_iou'])} | {_number(row['fraction_error'])} | {row['same_verdict']:.0%} "
                f"| {large['objects']} | {_number(large['box_iou'])} | {_number(large['mask_iou'])} |"
            )
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Labels after a shift against the town rendered again.")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--only", default="", help="names of cases, with commas")
    parser.add_argument("--json", default="", help="write the figures here")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    height = round(options.width * 9 / 16)
    parts = {"n": options.frames, "frames_per_drive": 1, "split": "test"}
    data = TownDataset(seed=11, width=options.width, height=height, **parts)
    fine = TownDataset(seed=11, width=FINER * (options.width // 2), height=FINER * (height // 2), **parts)
    wanted = {name: make for name, make in cases().items() if not options.only or name in options.only.split(",")}
    shapes = [name for name in wanted if name.startswith("shape/")]
    large = list(fine) if shapes else []
    frames = list(data) if len(wanted) > len(shapes) else []
    results = {}
    for name, make in wanted.items():
        results[name] = measure(make, large if name in shapes else frames)
        print("\n".join(table({name: results[name]}).splitlines()[2:]), file=sys.stderr, flush=True)
    print(table(results))
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
