"""What the harness costs: a stress run against the plain loop for the same cells, its overhead, its memory.

    python benchmarks/harness.py [--json FILE] [--images 24] [--turns 3] [--only loop|overhead|memory]

loop:     the loop a user would write with cv2, albumentations and torchmetrics, with torch's default threads, against
          `stress.run`; pictures of 1280x720, a light detector, one albumentations transform for each shift
overhead: wall time x workers of a run over the CPU seconds that its shifts and its model alone took; also the
          CPU seconds of its stages and of the process that leads over them, which a busy machine does not spoil
memory:   peak of all processes together over 100 and over 2,000 pictures
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
sys.path.append(str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np

NAMES = ("car", "person", "sign")
SEVERITIES = (1, 3, 5)
# ours: the nearest transform of albumentations, by name and by the option that severity sets
PAIRS: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "weather/fog": ("RandomFog", lambda s: {"fog_coef_range": (0.15 * s, 0.15 * s + 0.1)}),
    "weather/rain": ("RandomRain", lambda s: {"rain_type": ("drizzle", "default", "heavy")[s // 2]}),
    "weather/snow": ("RandomSnow", lambda s: {"snow_point_range": (0.1 * s, 0.1 * s + 0.1)}),
    "lighting/night": ("RandomBrightnessContrast", lambda s: {"brightness_limit": (-0.15 * s, -0.15 * s)}),
    "sensor/motion_blur": ("MotionBlur", lambda s: {"blur_limit": (4 * s - 1, 4 * s + 1)}),
    "sensor/noise": ("ISONoise", lambda s: {"intensity": (0.1 * s, 0.1 * s + 0.1)}),
}


class Detector:
    """A light convolutional detector with fixed weights: what it finds means nothing, what it costs is realistic."""

    name, task, class_names = "light detector", "detection", NAMES

    def __init__(self) -> None:
        import torch

        torch.manual_seed(0)
        layers: list[Any] = []
        for inside, outside in ((3, 16), (16, 32), (32, 64), (64, 64)):
            layers += [torch.nn.Conv2d(inside, outside, 3, stride=2, padding=1), torch.nn.ReLU()]
        self.net = torch.nn.Sequential(*layers, torch.nn.Conv2d(64, 4, 1)).eval()

    def predict(self, images: list[Any]) -> list[dict[str, Any]]:
        """Return the 30 strongest cells of each picture as boxes."""
        import torch

        found = []
        with torch.inference_mode():
            for image in images:
                small = cv2.resize(image, (640, 384), interpolation=cv2.INTER_AREA)
                maps = self.net(torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255.0)[0].numpy()
                best = np.argsort(-maps[0].ravel(), kind="stable")[:30]
                y, x = np.divmod(best, maps.shape[2])
                scale = image.shape[1] / maps.shape[2]
                centre = np.stack([x, y, x, y], axis=1) * scale
                boxes = centre + np.array([-30, -30, 30, 30]) + 20 * np.tanh(maps[1].ravel()[best])[:, None]
                scores = 1 / (1 + np.exp(-20 * (maps[0].ravel()[best] - maps[0].mean())))
                labels = np.floor(3 * np.mod(10 * maps[2].ravel()[best], 1)).astype(np.int64)
                ordered = np.sort(boxes.reshape(-1, 2, 2), axis=1).reshape(-1, 4).astype(np.float32)
                found.append({"boxes": ordered, "labels": labels, "scores": scores.astype(np.float32)})
        return found


def write_pictures(folder: Path, n: int, *, width: int, height: int) -> Path:
    """Write a COCO data set of n pictures of textured boxes; return its folder."""
    from scenes.datasets import write_dataset
    from scenes.sample import Annotations, Sample

    def samples() -> Iterator[Sample]:
        for i in range(n):
            rng = np.random.default_rng(i)
            coarse = rng.integers(60, 190, (height // 16 + 1, width // 16 + 1, 3)).astype(np.uint8)
            image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
            corner = rng.uniform(0, 0.8, (8, 2)) * (width, height)
            size = rng.uniform(0.03, 0.2, (8, 2)) * (width, height)
            boxes = np.concatenate([corner, np.minimum(corner + size, (width, height))], axis=1).round()
            labels = rng.integers(0, 3, 8)
            for (x1, y1, x2, y2), label in zip(boxes.astype(int), labels, strict=True):
                image[y1:y2, x1:x2] = (60 + 60 * int(label), 220 - 50 * int(label), 40)
            yield Sample(
                sample_id=f"{i:05}", image=image, annotations=Annotations(boxes=boxes.astype(np.float32), labels=labels)
            )

    return write_dataset(samples(), folder, format="coco", class_names=NAMES)


def plain_loop(data: Path) -> float:
    """Run the loop a user would write and return its wall time; the data set's labels are read once, before."""
    import albumentations
    import torch
    from torchmetrics.detection import MeanAveragePrecision

    from scenes.datasets import open_dataset

    dataset = open_dataset(data)
    labels = {sample_id: dataset[sample_id].annotations for sample_id in dataset.sample_ids}
    paths = {sample_id: str(dataset.image_path(sample_id)) for sample_id in dataset.sample_ids}  # type: ignore[attr-defined]
    model = Detector()
    started = time.perf_counter()
    boxes = albumentations.BboxParams(format="pascal_voc", label_fields=["labels"])
    transforms = [albumentations.Compose([], bbox_params=boxes)]
    for name, options in PAIRS.values():
        for severity in SEVERITIES:
            transform = getattr(albumentations, name)(**options(severity), p=1)
            transforms.append(albumentations.Compose([transform], bbox_params=boxes))
    for transform in transforms:
        metric = MeanAveragePrecision()
        for sample_id, path in paths.items():
            image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
            truth = labels[sample_id]
            changed = transform(image=image, bboxes=truth.boxes, labels=truth.labels)
            (said,) = model.predict([changed["image"]])
            target = {"boxes": torch.tensor(changed["bboxes"]), "labels": torch.tensor(changed["labels"]).long()}
            metric.update([{key: torch.tensor(value) for key, value in said.items()}], [target])
        metric.compute()
    return time.perf_counter() - started


def stress_run(data: Path, out: Path, **plan: Any) -> tuple[float, dict[str, Any]]:
    """Run the harness and return its wall time and results.json."""
    import stress

    settings = {"shifts": list(PAIRS), "severities": list(SEVERITIES), "explain": 0, **plan}
    started = time.perf_counter()
    result = stress.run(str(data), f"{Path(__file__).resolve()}:Detector", settings, out, progress=False)
    return time.perf_counter() - started, dict(result.results.summary)


def compare_with_loop(folder: Path, images: int, turns: int) -> dict[str, Any]:
    """Time both, turn by turn, after one warm-up of each."""
    data = write_pictures(folder / "data", images, width=1280, height=720)
    small = write_pictures(folder / "small", 2, width=1280, height=720)
    plain_loop(small)
    stress_run(small, folder / "warm")
    loop, ours = [], []
    for turn in range(turns):
        loop.append(plain_loop(data))
        ours.append(stress_run(data, folder / f"run{turn}")[0])
    ratios = [a / b for a, b in zip(loop, ours, strict=True)]
    return {
        "pictures": images * (1 + len(PAIRS) * len(SEVERITIES)),
        "loop_s": statistics.median(loop),
        "stress_s": statistics.median(ours),
        "times_faster": statistics.median(ratios),
        "spread": [min(ratios), max(ratios)],
    }


def measure_overhead(folder: Path, images: int) -> dict[str, Any]:
    """Compare wall time x workers with the CPU seconds of shifts and model."""
    data = write_pictures(folder / "overhead", images, width=1280, height=720)
    stress_run(data, folder / "warm-overhead", limit=2)
    before = time.process_time()
    wall, summary = stress_run(data, folder / "overhead-run")
    cpu = summary["run"]["cpu_s"]
    spent = time.process_time() - before + sum(cpu.values())
    useful = cpu["shift"] + cpu["predict"]
    workers = summary["run"]["workers"]
    ratios = {"wall_ratio": wall * workers / useful, "cpu_ratio": spent / useful}
    return {"wall_s": wall, "workers": workers, "all_cpu_s": spent, "cpu_s": cpu, **ratios}


def measure_memory(folder: Path) -> dict[str, Any]:
    """Return the peak of all processes together, over few and over many pictures."""
    peaks = {}
    for n in (100, 2000):
        data = write_pictures(folder / f"memory{n}", n, width=320, height=180)
        peaks[str(n)] = _peak_mb([sys.executable, __file__, "--child", str(data), str(folder / f"memory-run{n}")])
    return {"peak_mb": peaks, "ratio": peaks["2000"] / peaks["100"]}


def _peak_mb(command: list[str]) -> float:
    """Return the largest sum of proportional set sizes of a process and its children, in MB."""
    import psutil

    process = subprocess.Popen(command)
    root, peak = psutil.Process(process.pid), 0.0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            total = 0
            for one in [root, *_children(root)]:
                try:
                    total += one.memory_full_info().pss
                except psutil.Error:
                    continue
            peak = max(peak, total / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return peak


def _children(root: Any) -> list[Any]:
    import psutil

    try:
        return list(root.children(recursive=True))
    except psutil.Error:
        return []


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=["loop", "overhead", "memory"])
    parser.add_argument("--child", nargs=2, metavar=("DATA", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        stress_run(Path(options.child[0]), Path(options.child[1]), shifts=["sensor/pixelation"], severities=[3])
        return
    found: dict[str, Any] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only in (None, "loop"):
            found["loop"] = compare_with_loop(folder, options.images, options.turns)
        if options.only in (None, "overhead"):
            found["overhead"] = measure_overhead(folder, 4 * options.images)
        if options.only in (None, "memory"):
            found["memory"] = measure_memory(folder)
    text = json.dumps(found, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
