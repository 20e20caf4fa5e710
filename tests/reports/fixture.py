"""Complete run folders (schema roadproof.results/1) with painted streets, so that reports can be built without a model.

The scores are made up but consistent: means, retentions and break points are computed from the cells, as a run does.
"""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image


def _load(name: str) -> Any:
    """Load a file beside this one by path: test folders are no packages (import mode importlib)."""
    spec = importlib.util.spec_from_file_location(f"reports_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


streets = _load("streets")
Task = Literal["detection", "segmentation", "classification"]

# name: (quantity, unit, values, how fast the score falls, changes)
SHIFTS: dict[str, tuple[str, str, list[float], float, str]] = {
    "weather/fog": ("visibility", "m", [800, 400, 200, 100, 50], 0.27, "appearance"),
    "weather/rain": ("rain rate", "mm/h", [2, 7, 20, 50, 100], 0.20, "appearance"),
    "lighting/night": ("illuminance", "lux", [400, 80, 30, 10, 3], 0.22, "appearance"),
    "lighting/low_sun": ("sun elevation", "°", [20, 12, 8, 5, 2], 0.10, "appearance"),
    "sensor/motion_blur": ("blur length", "px", [3, 6, 10, 16, 24], 0.18, "appearance"),
    "sensor/pixelation": ("pixels per side", "%", [60, 40, 25, 15, 10], 0.14, "appearance"),
    "texture/objects": ("texture strength", "%", [10, 25, 45, 70, 100], 0.07, "appearance"),
    "texture/road": ("texture strength", "%", [10, 25, 45, 70, 100], 0.02, "appearance"),
    "shape/object_warp": ("displacement", "% of size", [2, 5, 9, 14, 20], 0.06, "geometry"),
    "shape/lens": ("radial distortion k1", "", [-0.05, -0.1, -0.18, -0.27, -0.38], 0.05, "geometry"),
    "pose/camera": ("yaw", "°", [1, 3, 6, 10, 15], 0.08, "geometry"),
    "pose/object_turn": ("turn", "°", [10, 25, 45, 90, 150], 0.09, "geometry"),
    "context/object_elsewhere": ("background swapped", "%", [20, 40, 60, 80, 100], 0.11, "content"),
    "context/background": ("background swapped", "%", [20, 40, 60, 80, 100], 0.04, "content"),
    "occlusion/occluder": ("visible fraction", "1", [0.8, 0.6, 0.45, 0.3, 0.15], 0.16, "content"),
    "occlusion/pasted": ("visible fraction", "%", [80, 60, 45, 30, 15], 0.12, "content"),
}
CLASSES = ["car", "truck", "bus", "person", "cyclist", "traffic light", "traffic sign"]
METRICS = {
    "detection": ("map", "ap50", "ap75", "precision", "recall", "f1"),
    "segmentation": ("miou", "dice", "pixel_accuracy"),
    "classification": ("accuracy", "top5", "f1", "auroc"),
}
LABELS = {"map": "mAP", "ap50": "AP50", "ap75": "AP75", "miou": "mIoU", "f1": "F1", "auroc": "AUROC"}
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "naïve \u2028 車 & 'quote'", "</script><b>"]


def build(
    run: Path,
    *,
    task: Task = "detection",
    frames: int = 4,
    severities: tuple[int, ...] = (1, 3, 5),
    failures: int = 24,
    size: tuple[int, int] = (320, 180),
    shifts: int = 16,
    hostile: bool = False,
    empty_figures: bool = False,
) -> Path:
    """Write a run folder and return it.

    shifts:        number of shifts; beyond the table they are numbered imagenet_c ones
    hostile:       class names, sample ids, notes and commands that break out of careless HTML
    empty_figures: every interval and many values are null, as with too few samples
    """
    run.mkdir(parents=True, exist_ok=True)
    (run / "evidence").mkdir(exist_ok=True)
    names = [*SHIFTS][:shifts] + [f"imagenet_c/corruption_{i}" for i in range(shifts - len(SHIFTS))]
    classes = HOSTILE + CLASSES[:2] if hostile else CLASSES
    cells = _figures(names, severities, task, classes, empty_figures)
    results = _frame(run, task, frames, classes, severities, names, hostile)
    results.update(_summaries(cells, names, task, severities))
    results["figures"] = cells
    results["curves"] = _pr_curves(names, severities, classes) if task == "detection" else []
    results["confusion"] = _confusion(names, severities, classes) if task == "classification" else []
    results["gallery"] = _gallery(run, task, frames, names, severities, classes, failures, size, hostile)
    (run / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return run


def _frame(
    run: Path, task: Task, frames: int, classes: list[str], severities: tuple[int, ...], names: list[str], hostile: bool
) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    audit = []
    for name in names:
        for s in severities:
            occluded = int(rng.integers(0, 12 * s)) if name.startswith("occlusion") else 0
            invalid = int(rng.integers(0, 4 * s)) if name.startswith(("pose", "occlusion")) else 0
            modified = 120 if name.startswith(("shape", "pose")) else 0
            kept = max(0, 312 - occluded - invalid - modified)
            hard = int(30 * s) if name.startswith(("weather", "lighting")) else 0
            audit.append({
                "shift": name, "severity": s, "kept": kept, "modified": modified, "occluded": occluded,
                "invalid": invalid, "hard_to_see": hard,
            })  # fmt: skip
    metrics = {
        m: {
            "label": LABELS.get(m, m.replace("_", " ")),
            "unit": "1",
            "higher_is_better": True,
            "description": f"What {LABELS.get(m, m)} means, in a sentence.",
        }
        for m in METRICS[task]
    }
    notes = [
        "Depth came with the data set for every sample.",
        "The camera of 3 samples was assumed: horizontal field of view 60 degrees.",
    ]
    return {
        "schema": "roadproof.results/1",
        "roadproof": "0.1.0",
        "created": "2026-11-22T00:40:00+00:00",
        "run": {
            "command": "roadproof stress town --model zoo:detector --out run",
            "seed": 0,
            "scale": "physical",
            "duration_s": 193.4,
            "resumed": 0,
            "path": str(run),
        },
        "dataset": {
            "name": HOSTILE[1] if hostile else "town",
            "format": "town",
            "path": "town",
            "splits": ["val"],
            "n_samples": frames,
            "n_groups": frames,
            "n_objects": 78 * frames,
            "class_names": classes,
        },
        "model": {
            "name": HOSTILE[0] if hostile else f"zoo:{task.replace('ion', 'or').replace('ator', 'er')}",
            "source": "zoo",
            "task": task,
            "class_names": classes,
            "device": "cpu",
            "n_parameters": 684_212,
        },
        "classes": {"evaluated": classes, "dataset_only": ["rider"], "model_only": []},
        "plan": {"shifts": names, "severities": list(severities), "seed": 0, "limit": frames, "explain": "hirescam"},
        "severities": list(severities),
        "shifts": [_shift(name) for name in names],
        "metrics": metrics,
        "audit": audit,
        "skipped": [{"sample_id": HOSTILE[3] if hostile else "town/000017", "reason": "the picture is truncated"}],
        "environment": {"python": "3.11.9", "torch": "2.5.1+cpu", "numpy": "1.26.4", "platform": "Linux", "threads": 2},
        "notes": notes + (HOSTILE if hostile else []),
    }


def _shift(name: str) -> dict[str, Any]:
    quantity, unit, values, _, changes = SHIFTS.get(
        name, ("strength", "", [1.0, 2.0, 3.0, 4.0, 5.0], 0.1, "appearance")
    )
    return {
        "name": name,
        "family": name.split("/")[0],
        "changes": changes,
        "quantity": quantity,
        "unit": unit,
        "values": values,
        "source": "a standard",
        "needs": ["depth", "camera"] if name == "weather/fog" else [],
        "completed": {"depth": "ground plane"} if name == "weather/rain" else {},
    }


def _retained(name: str, severity: float) -> float:
    rate = SHIFTS.get(name, ("", "", [], 0.05 + (streets.hash_of(name) % 20) / 100, ""))[3]
    return math.exp(-rate * severity * (1 + 0.15 * severity) * 0.8)


def _figures(
    names: list[str], severities: tuple[int, ...], task: Task, classes: list[str], empty: bool
) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []

    def add(
        shift: str, severity: int, metric: str, value: float, name: str | None, size: str | None, clean: float
    ) -> None:
        half = 0.02 + 0.03 * (1 - value)
        null = empty and (metric != METRICS[task][0] or name is not None or streets.hash_of(shift) % 2 == 0)
        out.append({
            "shift": shift, "severity": severity, "metric": metric, "class_name": name, "size": size,
            "value": None if null else value, "low": None if empty else max(0.0, value - half),
            "high": None if empty else min(1.0, value + half), "n": 1 if empty else 40,
            "delta": None if null else value - clean,
            "delta_low": None if empty else value - clean - half, "delta_high": None if empty else value - clean + half,
        })  # fmt: skip

    for shift, severity in [("clean", 0), *((n, s) for n in names for s in severities)]:
        kept = 1.0 if shift == "clean" else _retained(shift, severity)
        for i, metric in enumerate(METRICS[task]):
            base = 0.71 + 0.05 * ((i * 3) % 5)
            add(shift, severity, metric, base * kept ** (1 - 0.05 * i), None, None, base)
        metric = METRICS[task][0]
        for i, name in enumerate(classes):
            base = 0.85 - 0.07 * i
            add(shift, severity, metric, base * kept ** (0.7 + 0.12 * i), name, None, base)
        if task == "detection":
            for i, size in enumerate(("large", "medium", "small")):
                base = 0.9 - 0.2 * i
                add(shift, severity, metric, base * kept ** (0.6 + 0.35 * i), None, size, base)
    return out


def _summaries(
    cells: list[dict[str, Any]], names: list[str], task: Task, severities: tuple[int, ...]
) -> dict[str, Any]:
    metric = METRICS[task][0]
    score = {
        (c["shift"], c["severity"]): c for c in cells if c["metric"] == metric and not c["class_name"] and not c["size"]
    }
    clean = score["clean", 0]
    base = clean["value"] or 0.71

    def figure(value: float | None, half: float) -> dict[str, Any]:
        empty = value is None or clean["low"] is None
        low, high = (None, None) if empty or value is None else (max(0.0, value - half), value + half)
        return {"value": value, "low": low, "high": high, "n": clean["n"]}

    per_shift = []
    for name in names:
        values = [score[name, s]["value"] for s in severities]
        mean = None if None in values else float(np.mean(values))
        broken = [s for s, v in zip(severities, values, strict=True) if v is not None and v < base / 2]
        per_shift.append({
            "shift": name, "family": name.split("/")[0], "mpc": figure(mean, 0.03),
            "rpc": figure(None if mean is None else mean / base, 0.04), "breaks_at": broken[0] if broken else None,
            "monotone": True,
        })  # fmt: skip
    per_shift.sort(key=lambda p: (p["rpc"]["value"] is None, p["rpc"]["value"]))
    families = []
    for family in dict.fromkeys(p["family"] for p in per_shift):
        members = [p for p in per_shift if p["family"] == family]
        values = [p["mpc"]["value"] for p in members if p["mpc"]["value"] is not None]
        mean = float(np.mean(values)) if values else None
        broken = [p["breaks_at"] for p in members if p["breaks_at"] is not None]
        families.append({
            "family": family, "mpc": figure(mean, 0.02), "rpc": figure(None if mean is None else mean / base, 0.035),
            "breaks_at": min(broken) if broken else None,
        })  # fmt: skip
    families.sort(key=lambda p: (p["rpc"]["value"] is None, p["rpc"]["value"]))
    values = [p["mpc"]["value"] for p in per_shift if p["mpc"]["value"] is not None]
    mpc = float(np.mean(values)) if values and clean["low"] is not None else None
    rpc = None if mpc is None else mpc / base
    head = {"metric": metric, "clean": figure(clean["value"], 0.03), "mpc": figure(mpc, 0.02), "rpc": figure(rpc, 0.03)}
    valid = None
    if task == "detection" and mpc is not None and rpc is not None:
        valid = {"clean": figure(base + 0.02, 0.03), "mpc": figure(mpc + 0.05, 0.03), "rpc": figure(rpc + 0.06, 0.03)}
    return {"headline": {**head, "valid_only": valid}, "families": families, "per_shift": per_shift}


def _pr_curves(names: list[str], severities: tuple[int, ...], classes: list[str]) -> list[dict[str, Any]]:
    x = np.linspace(0, 1, 41)
    out = []
    for shift, severity in [("clean", 0), *((n, s) for n in names for s in severities)]:
        kept = 1.0 if shift == "clean" else _retained(shift, severity)
        for i, name in enumerate(classes):
            y = np.where(x < 0.95 * kept, (1 - 0.3 * x ** (0.5 + 3 * kept)) * (1 - 0.04 * i) * (0.7 + 0.3 * kept), 0.0)
            out.append({
                "shift": shift, "severity": severity, "kind": "precision_recall", "class_name": name,
                "x": x.round(3).tolist(), "y": y.round(3).tolist(),
            })  # fmt: skip
    return out


def _confusion(names: list[str], severities: tuple[int, ...], classes: list[str]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(8)
    out = []
    for shift, severity in [("clean", 0), *((n, s) for n in names for s in severities)]:
        kept = 1.0 if shift == "clean" else _retained(shift, severity)
        counts = rng.poisson(4 * (1 - kept) + 0.2, (len(classes), len(classes)))
        counts[np.diag_indices(len(classes))] = rng.poisson(40 * kept, len(classes))
        out.append({"shift": shift, "severity": severity, "class_names": classes, "counts": counts.tolist()})
    return out


def _gallery(
    run: Path, task: Task, frames: int, names: list[str], severities: tuple[int, ...], classes: list[str],
    failures: int, size: tuple[int, int], hostile: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    kinds = {
        "detection": ("missed", "invented", "confused", "misplaced"),
        "segmentation": ("confused", "missed", "invented"),
        "classification": ("confused",),
    }[task]
    if task == "classification":
        size = (64, 64)
    painted = [streets.paint_street(i, size) for i in range(frames)]
    for i, (picture, _) in enumerate(painted):
        picture.save(run / f"evidence/{i:03d}_clean.png")
    out = []
    for k in range(failures):
        i, name = k % frames, names[(k * 3 + k // len(names)) % len(names)]
        severity = severities[(k + k // 7) % len(severities)]
        picture, boxes = painted[i]
        stem = f"evidence/{k:04d}"
        streets.worsen(picture, name, severity).save(run / f"{stem}_shifted.png")
        out.append(
            _failure(run, stem, k, i, task, name, severity, kinds[k % len(kinds)], boxes, classes, size, hostile)
        )
    return out


def _failure(
    run: Path, stem: str, k: int, i: int, task: Task, name: str, severity: int, kind: str, boxes: list[list[float]],
    classes: list[str], size: tuple[int, int], hostile: bool,
) -> dict[str, Any]:  # fmt: skip
    labels = [classes[(j + i) % len(classes)] for j in range(len(boxes))]
    verdicts = ["kept", "modified", "occluded", "invalid"]
    truth = [
        {"box": b, "class_name": c, "ignore": j == 3,
         "verdict": {"kind": verdicts[j % 4], "visible_fraction": 1 - 0.2 * (j % 4), "reason": ""}}
        for j, (b, c) in enumerate(zip(boxes, labels, strict=True))
    ]  # fmt: skip
    target = k % len(boxes)
    seen = [
        {"box": [v + 1.5 for v in b], "class_name": c, "score": 0.93 - 0.06 * j}
        for j, (b, c) in enumerate(zip(boxes, labels, strict=True))
    ]
    after = [p for j, p in enumerate(seen) if j != target]
    box = boxes[target]
    predicted = None
    if kind in ("confused", "misplaced", "invented"):
        predicted = (
            classes[(labels.index(labels[target]) + 1) % len(classes)] if kind != "misplaced" else labels[target]
        )
        shift_by = 0.35 * (box[2] - box[0]) if kind == "misplaced" else 0
        after.append(
            {"box": [box[0] + shift_by, box[1], box[2] + shift_by, box[3]], "class_name": predicted, "score": 0.61}
        )
    whole = task != "detection"
    for side, spread in (("clean", 0.16), ("shifted", 0.5)):
        focus = [0, 0, *size] if whole else box
        streets.heat(size, focus, spread, 1.0 if side == "clean" else 0.55).save(run / f"{stem}_cam_{side}.png")
    if task == "segmentation":
        errors = np.zeros((size[1], size[0], 4), np.uint8)
        errors[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = (213, 94, 0, 170)
        Image.fromarray(errors, "RGBA").save(run / f"{stem}_errors.png")
    before = 0.61 - 0.03 * (k % 5)
    now = max(0.03, before - 0.09 * severity)
    explained = None if k % 6 == 5 else {
        "method": "D-RISE" if k % 9 == 4 else "HiResCAM", "layer": None if k % 9 == 4 else "backbone.layer3.1.conv2",
        "target": f"class logit {labels[target]} of the anchors that overlap the object best",
        "cam_clean": f"{stem}_cam_clean.png", "cam_shifted": f"{stem}_cam_shifted.png", "scale": 0.0123,
        "note": "no gradients: D-RISE with 400 masks" if k % 9 == 4 else None,
        "energy_clean": before, "energy_shifted": now, "drift": now - before,
    }  # fmt: skip
    sample_id = f"{HOSTILE[k % 4]}/{i:06d}" if hostile else f"val/{i:06d}"
    return {
        "id": f"{name.replace('/', '-')}-{severity}-{i:06d}-{target}-{k}" if not hostile else f"{HOSTILE[k % 4]} {k}",
        "sample_id": sample_id, "group": sample_id, "shift": name, "family": name.split("/")[0], "severity": severity,
        "failure": kind, "class_name": labels[target], "predicted_class": predicted,
        "score_clean": 0.93 - 0.06 * target if kind != "invented" else None,
        "score_shifted": 0.61 if predicted else 0.04, "iou": {"misplaced": 0.48, "missed": None}.get(kind, 0.83),
        "loss": round(0.99 - 0.012 * (k % 70), 4), "box": None if task == "classification" else box, "size": list(size),
        "verdict": None if kind == "invented" else
        {"kind": "kept", "visible_fraction": 0.94, "reason": "", "hard_to_see": severity == 5},
        "truth_clean": truth if not whole else [], "truth_shifted": truth if not whole else [],
        "predictions_clean": seen if not whole else [], "predictions_shifted": after if not whole else [],
        "clean": f"evidence/{i:03d}_clean.png", "shifted": f"{stem}_shifted.png",
        "overlay_clean": None, "overlay_shifted": f"{stem}_errors.png" if task == "segmentation" else None,
        "explanation": explained, "params": {"visibility_m": 200.0, "airlight": 0.6412345, "seed": 123456789},
        "completed": {"depth": "ground plane"} if name == "weather/rain" else {},
        "command": f"roadproof synth replay run --sample '{sample_id}' --shift {name} --severity {severity}",
    }  # fmt: skip


if __name__ == "__main__":
    import sys

    build(Path(sys.argv[1]), task=sys.argv[2], frames=8, failures=60, size=(640, 360))  # type: ignore[arg-type]
