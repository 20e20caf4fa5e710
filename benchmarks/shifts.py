"""What a shift costs beside the nearest transform of other packages: 1280x720, one thread, side by side.

    python benchmarks/shifts.py [--only weather,sensor/noise] [--turns 7] [--severity 3] [--json FILE] [--markdown FILE]
                                [--peer-python PYTHON]

Every weather, lighting and sensor shift and every corruption of imagenet_c is found by itself. Peers are tried where
they are installed (albumentations, imgaug, kornia, nrtk); imagecorruptions, which needs old packages, runs in a second
interpreter that `--peer-python` names, turn by turn with ours, on the same picture.

Ours are `apply` of drawn params on a frame with depth and camera, so that completing is not counted; peers get the
picture alone. The last columns say what the aim is, in times the speed of the fastest peer, and whether it is met; and
how many whole passes over the picture a shift costs: the pass reads a picture, looks every value up in a table and
writes it (about 1 ms).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
sys.path.append(str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np

from scenes.errors import InputError

WIDTH, HEIGHT = 1280, 720
FAMILIES = ("weather", "lighting", "sensor", "imagenet_c")
Run = Callable[[], Any]
# ours: transforms of albumentations and imgaug that do most nearly the same, with options near severity 3
NEAREST: dict[str, tuple[tuple[str, str, dict[str, Any]], ...]] = {
    "weather/fog": (
        ("albumentations", "RandomFog", {"fog_coef_range": (0.5, 0.6)}),
        ("imgaug", "Fog", {}),
    ),
    "weather/rain": (
        ("albumentations", "RandomRain", {"rain_type": "heavy"}),
        ("imgaug", "Rain", {}),
    ),
    "weather/snow": (
        ("albumentations", "RandomSnow", {"snow_point_range": (0.3, 0.4), "method": "texture"}),
        ("imgaug", "Snowflakes", {}),
    ),
    "weather/snow_cover": (("imgaug", "FastSnowyLandscape", {"lightness_threshold": 140}),),
    "weather/dust": (("albumentations", "RandomFog", {"fog_coef_range": (0.5, 0.6)}),),
    "weather/overcast": (("imgaug", "Clouds", {}),),
    "lighting/underexposure": (
        ("albumentations", "RandomBrightnessContrast", {"brightness_limit": (-0.5, -0.5)}),
        ("imgaug", "MultiplyBrightness", {"mul": 0.4}),
    ),
    "lighting/overexposure": (("albumentations", "RandomBrightnessContrast", {"brightness_limit": (0.5, 0.5)}),),
    "lighting/low_sun": (
        ("albumentations", "RandomSunFlare", {}),
        ("albumentations", "RandomSunFlare", {"method": "physics_based"}),
    ),
    "lighting/oncoming_headlights": (("albumentations", "RandomSunFlare", {}),),
    "lighting/cast_shadow": (("albumentations", "RandomShadow", {}),),
    "sensor/motion_blur": (
        ("albumentations", "MotionBlur", {"blur_limit": (25, 25)}),
        ("imgaug", "MotionBlur", {"k": 25}),
    ),
    "sensor/defocus": (("albumentations", "Defocus", {"radius": (6, 6)}),),
    "sensor/noise": (
        ("albumentations", "ISONoise", {"intensity": (0.4, 0.5)}),
        ("albumentations", "ShotNoise", {"scale_range": (0.1, 0.1)}),
        ("imgaug", "AdditivePoissonNoise", {"lam": 20}),
    ),
    "sensor/pixelation": (
        ("albumentations", "Downscale", {"scale_range": (0.25, 0.25)}),
        ("imgaug", "KMeansColorQuantization", {}),
    ),
    "sensor/jpeg": (
        ("albumentations", "ImageCompression", {"quality_range": (20, 20)}),
        ("imgaug", "JpegCompression", {"compression": 80}),
    ),
    "sensor/white_balance": (
        ("albumentations", "PlanckianJitter", {}),
        ("imgaug", "ChangeColorTemperature", {"kelvin": 4000}),
    ),
    "sensor/vignetting": (("albumentations", "Illumination", {"mode": "gaussian"}),),
    "sensor/lens_dirt": (("albumentations", "Spatter", {"mode": "mud"}),),
    "sensor/water_drops": (("albumentations", "Spatter", {"mode": "rain"}),),
    "sensor/dead_rows": (("albumentations", "PixelDropout", {}),),
}
# a second row of the same shift with options of its own: what the peers do, without what they do not
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "weather/rain, streaks alone": ("weather/rain", {"wet_ground": False}),
}
# how much faster than the fastest peer a shift is to be, where not as fast: fog, snow, glare and noise three times,
# rain's streaks within 1.5 times of lines in 8 bits, motion blur, in linear light, within twice of that in 8 bits
AIMS: dict[str, float] = {
    "weather/fog": 3.0,
    "weather/snow": 3.0,
    "lighting/low_sun": 3.0,
    "sensor/noise": 3.0,
    "weather/rain, streaks alone": 1 / 1.5,
    "sensor/motion_blur": 1 / 2.0,
}
FAMILY_AIMS = {"imagenet_c": 10.0}  # in the geometric mean
KORNIA: dict[str, tuple[str, dict[str, Any]]] = {
    "weather/rain": ("RandomRain", {}),
    "weather/snow": ("RandomSnow", {}),
    "sensor/motion_blur": ("RandomMotionBlur", {"kernel_size": 25, "angle": 35.0, "direction": 0.5}),
}


def frame() -> Any:
    """Return a town frame with depth, camera, labels and a frame before it, at the size of the comparison."""
    from dataclasses import replace

    from scenes.datasets import open_dataset

    sample = next(iter(open_dataset("town:3:1")))
    if (sample.width, sample.height) != (WIDTH, HEIGHT):
        rows, columns = np.arange(HEIGHT) * sample.height // HEIGHT, np.arange(WIDTH) * sample.width // WIDTH
        sample = _resized(sample, rows, columns)
    return replace(sample, previous=replace(sample, image=np.roll(sample.image, 8, axis=1)))


def _resized(sample: Any, rows: Any, columns: Any) -> Any:
    from dataclasses import replace

    from scenes.sample import Annotations

    cut = np.ix_(rows, columns)
    camera = sample.camera
    if camera is not None:
        K = camera.K.copy()
        K[0] *= WIDTH / sample.width
        K[1] *= HEIGHT / sample.height
        camera = replace(camera, K=K, width=WIDTH, height=HEIGHT)
    segmentation = sample.annotations.segmentation
    notes = Annotations(segmentation=None if segmentation is None else segmentation[cut])
    return replace(
        sample,
        image=cv2.resize(sample.image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC),
        depth=None if sample.depth is None else sample.depth[cut],
        instances=None if sample.instances is None else sample.instances[cut],
        annotations=notes,
        camera=camera,
        scene=None,
        previous=None,
    )


def ours(name: str, options: dict[str, Any], sample: Any, severity: float) -> Run:
    """Return one apply of a shift of ours; depth and camera are completed before."""
    from synth.pipeline import complete
    from synth.random import rng_for
    from synth.registry import create

    shift = create(name, options)
    whole, _ = complete(sample, shift)
    params = shift.draw(whole, severity, rng_for(0, shift=name, sample_id="bench"))
    return lambda: shift.apply(whole, params)


def peers(name: str, image: Any, depth: Any) -> dict[str, Run]:
    """Return the peers of a shift that can be imported here, by name."""
    from synth.registry import create

    found: dict[str, Run] = {}
    for library, transform, options in NEAREST.get(name, ()):
        if find_spec(library) is None:
            continue
        create(f"{library}:{transform}", options)  # lends imgaug the names that numpy dropped
        label = f"{library} {transform}" + (" (physics)" if "physics_based" in options.values() else "")
        found[label] = _augmenter(library, transform, options, image)
    if name in KORNIA and find_spec("kornia") is not None:
        found[f"kornia {KORNIA[name][0]}"] = _kornia(*KORNIA[name], image)
    if name == "weather/fog" and find_spec("nrtk") is not None:
        from nrtk.impls.perturb_image.environment import HazePerturber

        haze = HazePerturber(factor=1.0)
        finite = np.where(np.isfinite(depth), depth, 300.0)
        found["nrtk haze from depth"] = lambda: haze.perturb(image, depth_map=finite)
    return found


def _augmenter(library: str, transform: str, options: dict[str, Any], image: Any) -> Run:
    if library == "albumentations":
        import albumentations

        pipeline = albumentations.Compose([getattr(albumentations, transform)(**options, p=1.0)], seed=0)
        return lambda: pipeline(image=image)
    import imgaug.augmenters

    augmenter = getattr(imgaug.augmenters, transform)(**options, seed=0)
    return lambda: augmenter(image=image)


def _kornia(transform: str, options: dict[str, Any], image: Any) -> Run:
    import kornia.augmentation
    import torch

    torch.set_num_threads(1)
    module = getattr(kornia.augmentation, transform)(p=1.0, **options)
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255.0
    return lambda: module(batch)


class Elsewhere:
    """imagecorruptions in another interpreter: it gets a name and a severity, and answers with milliseconds."""

    SCRIPT = """
import sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np, cv2
cv2.setNumThreads(1)
from imagecorruptions import corrupt
image = np.frombuffer(sys.stdin.buffer.read(int(sys.argv[1]) * int(sys.argv[2]) * 3), np.uint8)
image = image.reshape(int(sys.argv[2]), int(sys.argv[1]), 3)
print("ready", flush=True)
for line in sys.stdin.buffer:
    name, severity = line.decode().split()
    start = time.process_time()
    corrupt(image, corruption_name=name, severity=int(severity))
    print(1000 * (time.process_time() - start), flush=True)
"""

    def __init__(self, python: str, image: Any) -> None:
        height, width = image.shape[:2]
        command = [python, "-c", self.SCRIPT, str(width), str(height)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        self.process.stdin.write(image.tobytes())
        self.process.stdin.flush()
        if self._line() != "ready":
            raise SystemExit(f"{python} cannot import imagecorruptions")

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def milliseconds(self, name: str, severity: int) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{name} {severity}\n".encode())
        self.process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        self.process.communicate()


def timed(run: Run) -> float:
    """Return CPU milliseconds of one call: what a neighbour on the machine spoils least."""
    start = time.process_time()
    run()
    return 1000 * (time.process_time() - start)


def measured(runs: dict[str, Callable[[], float]], turns: int) -> dict[str, list[float]]:
    """Return milliseconds of every side, turn by turn, after a warm-up; what takes a second gets fewer turns."""
    found: dict[str, list[float]] = {label: [] for label in runs}
    slow = {label: run() > 1000 for label, run in runs.items()}
    for turn in range(turns):
        for label, run in runs.items():
            if not slow[label] or turn < 1:
                found[label].append(run())
    return found


def figure(values: list[float]) -> dict[str, float]:
    """Return median and the quartiles around it."""
    low, middle, high = (float(v) for v in np.percentile(values, (25, 50, 75)))
    return {"median_ms": round(middle, 3), "low_ms": round(low, 3), "high_ms": round(high, 3)}


def one_pass(image: Any) -> Run:
    """Return a whole pass over a picture: read, look up, write."""
    table, out = np.arange(256, dtype=np.uint8)[::-1].copy(), np.empty_like(image)
    return lambda: cv2.LUT(image, table, dst=out)


def names_of(only: str | None) -> list[str]:
    """Return the shifts to be measured."""
    from synth.registry import expand, shift_classes

    chosen = only.split(",") if only else list(FAMILIES)
    names = [full for part in chosen for full in expand(part)]
    names = [name for name in names if not shift_classes()[name].needs & {"scene", "model"}]
    return [title for name in names for title in (name, *(v for v, (of, _) in VARIANTS.items() if of == name))]


def measure(name: str, sample: Any, options: argparse.Namespace, elsewhere: Elsewhere | None) -> dict[str, Any]:
    """Return the row of one shift."""
    title = name
    name, own_options = VARIANTS.get(name, (name, {}))
    run, image = ours(name, own_options, sample, options.severity), np.ascontiguousarray(sample.image)
    whole_pass = one_pass(image)
    sides: dict[str, Callable[[], float]] = {"ours": lambda: timed(run), "pass": lambda: timed(whole_pass)}
    for label, peer in peers(name, image, sample.depth).items():
        sides[label] = lambda p=peer: timed(p)
    if elsewhere is not None and name.startswith("imagenet_c/"):
        corruption = name.split("/")[1]
        sides["imagecorruptions"] = lambda: elsewhere.milliseconds(corruption, round(options.severity))
    found = measured(sides, options.turns)
    own, whole = figure(found.pop("ours")), statistics.median(found.pop("pass"))
    others = {label: figure(values) for label, values in found.items()}
    fastest = min(others, key=lambda label: others[label]["median_ms"]) if others else None
    ratio = others[fastest]["median_ms"] / own["median_ms"] if fastest else None
    return {
        "shift": title, "ours": own, "peers": others, "fastest_peer": fastest, "times_faster": ratio,
        "pass_ms": whole,
    }  # fmt: skip


def with_passes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with how many whole passes each costs: by the median of all that were timed."""
    whole = statistics.median(row["pass_ms"] for row in rows) if rows else 1.0
    return [{**row, "passes": row["ours"]["median_ms"] / max(whole, 1e-3)} for row in rows]


def aim_of(title: str) -> float | None:
    """Return how much faster than the fastest peer a shift is to be; those of imagenet_c have a common aim."""
    return AIMS.get(title, None if title.split("/")[0] in FAMILY_AIMS else 1.0)


def verdict(title: str, ratio: float | None) -> str:
    """Return the cell that says what the aim is and whether it is met: to the two digits that the table shows."""
    aim = aim_of(title)
    if ratio is None or aim is None:
        return "-"
    return f"{aim:.2g}, {'met' if round(ratio, 2) >= round(aim, 2) else 'missed'}"


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the table: medians with quartiles, every peer, fastest first, how much faster ours is, and the aim."""
    lines = [
        "| shift | ours, ms | peers, ms | x faster than the fastest | aim | passes |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        own = row["ours"]
        spread = f"{own['median_ms']:.1f} ({own['low_ms']:.1f}-{own['high_ms']:.1f})"
        order = sorted(row["peers"].items(), key=lambda peer: peer[1]["median_ms"])
        others = ", ".join(f"{figures['median_ms']:.1f} {name}" for name, figures in order) or "-"
        ratio = row["times_faster"]
        faster, aim = "-" if ratio is None else f"{ratio:.2f}", verdict(row["shift"], ratio)
        lines.append(f"| `{row['shift']}` | {spread} | {others} | {faster} | {aim} | {row['passes']:.1f} |")
    return "\n".join(lines + [line for family in FAMILIES for line in summary(family, rows)]) + "\n"


def summary(family: str, rows: list[dict[str, Any]]) -> list[str]:
    """Return what to say of a family under the table: mean, and how many aims are met."""
    chosen = [row for row in rows if row["shift"].startswith(f"{family}/") and row["times_faster"]]
    if not chosen:
        return []
    mean = math.exp(statistics.fmean(math.log(row["times_faster"]) for row in chosen))
    text = f"{family}: {mean:.1f} times the fastest peer's speed in the geometric mean of {len(chosen)}"
    if family in FAMILY_AIMS:
        met = "met" if mean >= FAMILY_AIMS[family] else "missed"
        return ["", f"{text}; the aim of {FAMILY_AIMS[family]:g} is {met}."]
    missed = [row["shift"] for row in chosen if verdict(row["shift"], row["times_faster"]).endswith("missed")]
    names = f": all but {', '.join(missed)}" if missed else ""
    return ["", f"{text}; {len(chosen) - len(missed)} aims met{names}."]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="shifts or families, with commas")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--severity", type=float, default=3.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--peer-python", help="interpreter that has imagecorruptions")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    sample = frame()
    elsewhere = Elsewhere(options.peer_python, np.ascontiguousarray(sample.image)) if options.peer_python else None
    rows = []
    for name in names_of(options.only):
        try:
            rows.append(measure(name, sample, options, elsewhere))
        except InputError as error:
            print(f"{name}: left out: {error}", file=sys.stderr, flush=True)
            continue
        print(f"{name}: {rows[-1]['ours']['median_ms']:.1f} ms", file=sys.stderr, flush=True)
    if elsewhere is not None:
        elsewhere.close()
    rows = with_passes(rows)
    table = markdown(rows)
    print(table)
    if options.markdown:
        options.markdown.write_text(table, encoding="utf-8")
    if options.json:
        about = {"width": WIDTH, "height": HEIGHT, "threads": 1, "clock": "CPU time", "severity": options.severity}
        options.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
