"""How far re-renders of a fitted scene are from the truth: held-out views, and the exact town at moved cameras.

What `roadproof scene check` measures and keeps beside the scene (scenes/fidelity.py). Of every scene: PSNR and SSIM of
its renders against the views that were held out of the fit. Of a scene of the town besides: from evenly spaced views
the camera is moved (the same draw for all) and pictures are made by the town, which is the truth; by the scene; by
reprojection of the exact frame through its exact depth, the best that reprojection can do.

Box and mask IoU are means over objects with at least 64 pixels in the exact frame, matched by their ids; those that
the audit sets aside as invalid are left out and counted (`aside`). AP and F1 are of a detector over all views, each
picture with the labels of its own renderer, as `roadproof stress` scores it; `AP - exact` is the difference to the
exact frames, `error of the change` that of what a shift takes: AP less the AP of the renderer's own clean pictures.
`AP by exact labels` scores the same pictures with the labels of the exact frames: what is left is the fault of the
pictures, the rest that of the labels. Views whose moved camera stands within something are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scenes.capture import View, open_capture
from scenes.datasets.scene import SceneDataset
from scenes.errors import InputError
from scenes.fidelity import means, similarity, write_fidelity
from scenes.progress import Report, silent
from scenes.sample import Sample
from stress.adapters import load_model
from stress.class_map import ClassMap
from stress.metrics import scorer_for
from stress.metrics.scored import Payload, Scored
from synth.audit import Verdict
from synth.pipeline import Shifted, shifted
from synth.registry import create

SHIFTS = ("pose/lateral", "pose/height", "pose/yaw")
SEVERITIES = (1, 3, 5)
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
    """A detector and the scores of its finds."""

    def __init__(self, class_names: Sequence[str], name: str = "zoo:detector") -> None:
        self.model = load_model(name, device="cpu")
        if self.model.task != "detection":
            raise InputError(f"check: expected a detector, {name} is for {self.model.task}")
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


def check_scene(
    folder: str | Path,
    *,
    views: int = 10,
    shifts: Sequence[str] = SHIFTS,
    severities: Sequence[int] = SEVERITIES,
    model: str = "zoo:detector",
    report: Report = silent,
) -> dict[str, Any]:
    """Measure the scene in a folder, write fidelity.json beside it, and return what it says."""
    if views < 1:
        raise InputError(f"check: expected one view or more, got {views}")
    folder = Path(folder)
    data = SceneDataset(folder)
    source = str(data.scene.about.get("capture", ""))
    photos = _photos(data, source)
    known: dict[str, Any] = means({name: _like(data, photos[name]) for name in data.scene.held_out if name in photos})
    known |= {"renderer": data.scene.renderer, "against": None, "model": None, "rows": []}
    if source.split(":")[0] == "town" and photos:
        names = data.sample_ids
        chosen = list(dict.fromkeys(names[i * len(names) // views] for i in range(views)))
        rows = measured(data, photos, chosen, Detector(data.class_names, model), shifts, severities, report)
        known |= {"against": source, "model": model, "moved_from": chosen, "rows": rows}
    write_fidelity(folder, known)
    return known


def _photos(data: SceneDataset, source: str) -> dict[str, View]:
    """Return the captured views of the scene's cameras, in their size; none where the capture is gone."""
    if not source or not (source.split(":")[0] == "town" or Path(source).exists()):
        return {}
    cameras = data.scene.cameras
    views = {view.name: view for view in open_capture(source).views}
    return {name: views[name].resized(c.width, c.height) for name, c in cameras.items() if name in views}


def _like(data: SceneDataset, view: View) -> tuple[float, float]:
    """Return PSNR and SSIM of a render against the captured view."""
    photo = view.load()
    return similarity(data.scene.render(data.scene.cameras[view.name]).image, photo.image)


def measured(
    data: SceneDataset, photos: Mapping[str, View], chosen: Sequence[str], detector: Detector,
    shifts: Sequence[str], severities: Sequence[int], report: Report,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return a row for each shift, severity and renderer; severity 0 are the clean frames."""
    cells: dict[tuple[str, int, str], Cell] = {}
    for done, name in enumerate(chosen):
        clean, ours = photos[name].load(), data[name]
        for i, shift in enumerate(shifts):
            for severity in (0, *severities) if i == 0 else severities:
                add(cells, detector, clean, ours, shift, severity)
        report("check", done + 1, len(chosen))
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
    exact = shifted(clean, create(shift, {"renderer": "exact"}), severity, seed=1)
    if exact.sample.depth is not None and np.mean(exact.sample.depth < INSIDE_M) > INSIDE_SHARE:
        return
    own = str(getattr(ours.scene, "renderer", "splats"))
    made = {"exact": exact, own: shifted(ours, create(shift), severity, seed=1)}
    if severity == 0:  # the scene's own render of the captured view
        camera = ours.camera
        if ours.scene is None or camera is None:
            raise ValueError("expected a sample of a scene")
        made[own] = replace(made[own], sample=replace(ours, image=ours.scene.render(camera).image))
    else:
        made["reprojection"] = shifted(clean, create(shift, {"renderer": "reprojection"}), severity, seed=1)
    for renderer, one in made.items():
        cell = cells.setdefault((shift if severity else "clean", severity, renderer), Cell())
        cell.scored.append(detector.score(one))
        cell.on_truth.append(detector.score(replace(exact, sample=replace(exact.sample, image=one.sample.image))))
        if renderer != "exact":
            decibels, alike = similarity(one.sample.image, exact.sample.image)
            cell.psnr.append(decibels)
            cell.ssim.append(alike)
            compare_labels(cell, one.sample, one.verdicts, exact.sample)


def rows_of(
    cells: Mapping[tuple[str, int, str], Cell], detector: Detector, shift: str, severity: int
) -> list[dict[str, Any]]:
    """Return the rows of one shift and severity, the exact frames first."""
    exact = detector.whole(cells[shift, severity, "exact"].scored)
    rows = []
    for cell, renderer in [(c, key[2]) for key, c in cells.items() if key[:2] == (shift, severity)]:
        score = detector.whole(cell.scored)
        row: dict[str, Any] = {"shift": shift, "severity": severity, "renderer": renderer, "pictures": len(cell.scored)}
        if cell.psnr:
            row |= {"PSNR dB": np.mean(cell.psnr), "SSIM": np.mean(cell.ssim)}
            row |= {"box IoU": _mean(cell.box_iou), "mask IoU": _mean(cell.mask_iou)}
            row |= {"aside %": 100 * _mean(cell.aside), "objects": len(cell.box_iou)}
            row["AP by exact labels"] = detector.whole(cell.on_truth)["AP"]
        for key, value in score.items():
            row |= {key: value} | ({f"{key} - exact": value - exact[key]} if renderer != "exact" else {})
        rows.append({k: _plain(v) for k, v in row.items()})
    return rows


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _plain(value: Any) -> Any:
    """Return a value for JSON: rounded, and None in place of what is no finite number."""
    if not isinstance(value, float | np.floating):
        return value
    return round(float(value), 4) if math.isfinite(value) else None


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as Markdown."""
    digits = {"PSNR dB": ".1f", "aside %": ".0f", "AP - exact": "+.3f", "error of the change": "+.3f"}
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for row in rows:
        named = [str(row[key]) for key in HEAD[:3]]
        figures = ["" if row.get(key) is None else format(row[key], digits.get(key, ".3f")) for key in HEAD[3:]]
        lines.append("| " + " | ".join([*named, *figures]) + " |")
    return "\n".join(lines)
