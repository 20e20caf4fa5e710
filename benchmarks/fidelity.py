"""How far re-renders of a fitted scene are from the truth: splats and reprojection against the exact town.

    python benchmarks/fidelity.py --scene SCENE [--fit town:3:40] [--steps 1500] [--pixels 320] [--views 10]
                                  [--json FILE] [--markdown FILE]

SCENE is the folder of a scene that was fitted to the town; where there is none, it is fitted first. From evenly spaced
views of the capture the camera is moved (lateral, height, yaw at severities 1, 3, 5, the same draw for all) and three
pictures are made: by the town, which is the truth; by the splats; by reprojection of the exact frame through its exact
depth, the best that reprojection can do.

PSNR and SSIM compare pictures. Box and mask IoU are means over objects with at least 64 pixels in the exact frame,
matched by their ids; those that the audit sets aside as invalid are left out and counted (`aside`). AP and F1 are of
the built-in detector over all views, each picture with the labels of its own renderer, as `roadproof stress` scores it;
`AP - exact` is the difference to the exact frames, `error of the change` that of what a shift takes: AP less the AP of
the renderer's own clean pictures (of the splats: their renders of the captured views, as `rendered:SCENE`).
`AP by exact labels` scores the same pictures with the labels of the exact frames: what is left is the fault of the
pictures, the rest that of the labels. Views whose moved camera stands within something are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow as pa
import torch

from scenes.capture import open_capture
from scenes.datasets.scene import SceneDataset
from scenes.gaussians import SCENE_FILE, FitSettings, fit_scene
from scenes.sample import Sample
from scenes.splats.loss import photometric, psnr
from stress.adapters import load_model
from stress.class_map import ClassMap
from stress.metrics import scorer_for
from stress.metrics.scored import Payload, Scored
from synth.audit import Verdict
from synth.pipeline import Shifted, shifted
from synth.registry import create

SHIFTS = ("pose/lateral", "pose/height", "pose/yaw")
SEVERITIES = (1, 3, 5)
RENDERERS = ("exact", "splats", "reprojection")
LEAST_PX = 64
INSIDE_M, INSIDE_SHARE = 1.5, 0.2  # so much of the picture nearer than this: the camera is within a truck
HEAD = ("shift", "severity", "renderer", "PSNR dB", "SSIM", "box IoU", "mask IoU", "aside %", "AP", "AP - exact",
        "error of the change", "AP by exact labels", "F1")  # fmt: skip


@dataclass
class Cell:
    """What was measured of one renderer at one shift and severity, picture by picture and object by object."""

    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    box_iou: list[float] = field(default_factory=list)
    mask_iou: list[float] = field(default_factory=list)
    aside: list[bool] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)
    on_truth: list[Scored] = field(default_factory=list)  # the same picture, scored with the exact labels


def similarity(one: Sample, other: Sample) -> tuple[float, float]:
    """Return PSNR (dB) and SSIM; the loss of a fit is 0.8 L1 + 0.2 (1 - SSIM)."""
    a, b = one.image / 255.0, other.image / 255.0
    loss = float(photometric(torch.from_numpy(a), b))
    return psnr(a, b), 1 - (loss - 0.8 * float(np.abs(a - b).mean())) / 0.2


def iou_of_boxes(a: Any, b: Any) -> float:
    """Return the overlap of two boxes xyxy."""
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    both = float(sides.prod())
    union = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - both
    return both / union if union > 0 else 0.0


def compare_labels(cell: Cell, ours: Sample, verdicts: Sequence[Verdict], exact: Sample) -> None:
    """Add the overlap of every object that the exact frame shows."""
    truth, mine = exact.annotations, ours.annotations
    rows = {int(key): row for row, key in enumerate(mine.instance_ids)}
    if truth.masks is None or ours.instances is None:
        raise ValueError("expected masks in the exact frame and instances in ours")
    for row, key in enumerate(truth.instance_ids.tolist()):
        mask = truth.masks[row]
        if mask.sum() < LEAST_PX or truth.ignore[row]:
            continue
        at = rows.get(key)
        aside = at is not None and verdicts[at].kind == "invalid"
        cell.aside.append(aside)
        if aside:
            continue
        cell.box_iou.append(0.0 if at is None else iou_of_boxes(truth.boxes[row], mine.boxes[at]))
        of_ours = ours.instances == key
        cell.mask_iou.append(float((mask & of_ours).sum() / (mask | of_ours).sum()))


class Detector:
    """The built-in detector and the scores of its finds."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self.model = load_model("zoo:detector", device="cpu")
        classes = ClassMap.between(self.model.class_names, class_names)
        self.scorer = scorer_for(self.model.task, classes, min_visibility=0.25)

    def score(self, made: Shifted) -> Scored:
        """Return the score of one picture with its own labels."""
        (found,) = self.model.predict([made.sample.image], sample_ids=[made.sample.sample_id])
        return self.scorer.score(made.sample, made.verdicts, found)

    def whole(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Return AP and F1 of all pictures together."""
        columns = {
            name: pa.array([one.payload.get(name) for one in scored], type=kind)
            for name, kind in self.scorer.columns.items()
        }
        payload = Payload(columns, np.zeros(len(scored), np.int64), 1)
        figures = self.scorer.cell(payload, np.ones((1, 1), np.int64)).figures
        plain = {
            f.metric: float(f.draws[0]) for f in figures if not f.aside and f.class_name is None and f.size is None
        }
        return {"AP": plain[self.scorer.metrics[0].key], "F1": plain["f1"]}


def measured(folder: Path, n_views: int) -> list[dict[str, Any]]:
    """Return a row for each shift, severity and renderer; severity 0 are the clean frames."""
    data = SceneDataset(folder)
    source = data.scene.about.get("capture", "")
    if not str(source).startswith("town"):
        sys.exit(f"{folder}: expected a scene of the town, where the truth is known; this one is of {source or '?'}")
    detector = Detector(data.class_names)
    names = data.sample_ids
    chosen = [names[i * len(names) // n_views] for i in range(n_views)]
    views = {view.name: view for view in open_capture(source).views}
    cells: dict[tuple[str, int, str], Cell] = {}
    for name in chosen:
        camera = data.scene.cameras[name]
        clean = views[name].resized(camera.width, camera.height).load()
        ours = data[name]
        for shift in SHIFTS:
            for severity in (0, *SEVERITIES):
                add(cells, detector, clean, ours, shift, severity)
        print(f"{name} done", file=sys.stderr, flush=True)
    whole = [(shift, severity) for shift, severity, renderer in cells if renderer == "exact"]
    return with_changes([row for key in sorted(whole) for row in rows_of(cells, detector, *key)])


def with_changes(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add to each row how far its change of AP from its own clean pictures is from that of the exact frames."""
    offset = {row["renderer"]: row["AP - exact"] for row in rows if row["severity"] == 0 and "AP - exact" in row}
    known = [dict(row) for row in rows]
    for row in known:
        if row["severity"] and "AP - exact" in row:
            row["error of the change"] = round(row["AP - exact"] - offset.get(row["renderer"], 0.0), 4)
    return known


def add(
    cells: dict[tuple[str, int, str], Cell], detector: Detector, clean: Sample, ours: Sample, shift: str, severity: int
) -> None:
    """Add the three pictures of one view to their cells."""
    if severity == 0 and shift != SHIFTS[0]:
        return
    exact = shifted(clean, create(shift, {"renderer": "exact"}), severity, seed=1)
    if exact.sample.depth is not None and np.mean(exact.sample.depth < INSIDE_M) > INSIDE_SHARE:
        return
    made = {"exact": exact, "splats": shifted(ours, create(shift), severity, seed=1)}
    if severity == 0:  # the scene's own render of the captured view
        camera = ours.camera
        if ours.scene is None or camera is None:
            raise ValueError("expected a sample of a scene")
        made["splats"] = replace(made["splats"], sample=replace(ours, image=ours.scene.render(camera).image))
    else:
        made["reprojection"] = shifted(clean, create(shift, {"renderer": "reprojection"}), severity, seed=1)
    for renderer, one in made.items():
        cell = cells.setdefault((shift if severity else "clean", severity, renderer), Cell())
        cell.scored.append(detector.score(one))
        cell.on_truth.append(detector.score(replace(exact, sample=replace(exact.sample, image=one.sample.image))))
        if renderer != "exact":
            decibels, alike = similarity(one.sample, exact.sample)
            cell.psnr.append(decibels)
            cell.ssim.append(alike)
            compare_labels(cell, one.sample, one.verdicts, exact.sample)


def rows_of(
    cells: Mapping[tuple[str, int, str], Cell], detector: Detector, shift: str, severity: int
) -> list[dict[str, Any]]:
    """Return the rows of one shift and severity, the exact frames first."""
    exact = detector.whole(cells[shift, severity, "exact"].scored)
    rows = []
    for renderer in RENDERERS:
        cell = cells.get((shift, severity, renderer))
        if cell is None:
            continue
        score = detector.whole(cell.scored)
        row: dict[str, Any] = {"shift": shift, "severity": severity, "renderer": renderer, "pictures": len(cell.scored)}
        if cell.psnr:
            row |= {"PSNR dB": np.mean(cell.psnr), "SSIM": np.mean(cell.ssim)}
            row |= {"box IoU": np.mean(cell.box_iou), "mask IoU": np.mean(cell.mask_iou)}
            row |= {"aside %": 100 * np.mean(cell.aside), "objects": len(cell.box_iou)}
            row["AP by exact labels"] = detector.whole(cell.on_truth)["AP"]
        for key, value in score.items():
            row |= {key: value} | ({f"{key} - exact": value - exact[key]} if renderer != "exact" else {})
        rows.append({k: round(float(v), 4) if isinstance(v, float | np.floating) else v for k, v in row.items()})
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as Markdown."""
    digits = {"PSNR dB": ".1f", "aside %": ".0f", "AP - exact": "+.3f", "error of the change": "+.3f"}
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for row in rows:
        named = [str(row[key]) for key in HEAD[:3]]
        figures = ["" if row.get(key) is None else format(row[key], digits.get(key, ".3f")) for key in HEAD[3:]]
        lines.append("| " + " | ".join([*named, *figures]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Re-renders of a fitted scene against the exact town.")
    parser.add_argument("--scene", type=Path, required=True, help="folder of the scene; fitted where it holds none")
    parser.add_argument("--fit", default="town:3:40", help="capture to fit")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--pixels", type=int, default=320, help="longest side of the pictures")
    parser.add_argument("--views", type=int, default=10, help="views to move the camera from")
    parser.add_argument("--json", default="", help="write the figures here")
    parser.add_argument("--markdown", default="", help="write the table here")
    options = parser.parse_args()
    if not (options.scene / SCENE_FILE).is_file():
        fit_scene(options.fit, options.scene, FitSettings(steps=options.steps, pixels=options.pixels))
    rows = measured(options.scene, options.views)
    text = table(rows)
    print(text)
    if options.markdown:
        Path(options.markdown).write_text(text + "\n", encoding="utf-8")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
