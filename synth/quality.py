"""How a synthesised data set looks beside its source: distance of each picture to its clean frame, and of the two sets.

Pairs: MS-SSIM, and LPIPS where the weights of its backbone are there (synth/distance.py).
Sets: KID (Binkowski et al. 2018) and FID (Heusel et al. 2017) by torchmetrics, on features of Inception where its
weights are there, else of a network that the caller gives, and then named so: `kid[zoo:classifier]`.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.folders import read_json
from scenes.images import encode_jpeg, read_image
from scenes.progress import Report, reporting
from scenes.sample import Dataset, Image
from synth import manifest
from synth.distance import lpips_backbone, lpips_distance, ms_ssim
from synth.filters import REASONS
from synth.preview import headline, source_of
from synth.synthesis import RECORD

T = TypeVar("T")
Figures = dict[str, tuple[float, float | None]]  # mean and spread
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"  # torch-fidelity's port of the network of FID
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION}"
FEWEST = 8  # pictures on either side, below which a distance of sets says nothing
SUBSETS = 50  # random subsets that KID is averaged over
_SHOWN_PX = 360
_SHOWN = 6


@dataclass(frozen=True)
class Features:
    """Pictures to rows of features (N, D); name: as it stands in `kid[name]`, "" for Inception."""

    name: str
    of: Callable[[list[Image]], Any]

    def key(self, figure: str) -> str:
        """Return the name of a figure that was measured with these features.

        >>> Features("zoo:classifier", list).key("kid")
        'kid[zoo:classifier]'
        """
        return f"{figure}[{self.name}]" if self.name else figure


@dataclass(frozen=True)
class Pair:
    """One picture and its clean frame: row of the manifest, distances, both pictures small and as JPEG."""

    row: Mapping[str, Any]
    ms_ssim: float | None
    lpips: float | None
    clean: bytes = b""
    made: bytes = b""

    @property
    def title(self) -> str:
        return headline(self.row)


@dataclass(frozen=True)
class Quality:
    """What is known of a new set.

    entries: a row for each entry of the recipe; figures: {"kid": (value, spread)} between source and new set;
    baseline: the same figures between two halves of the source; missing: what could not be measured, and what to do;
    assumed: what had to be assumed to shift the pictures
    """

    name: str
    source: str
    format: str
    n_made: int
    n_sources: int
    n_pairs: int
    entries: list[dict[str, Any]]
    left_out: list[dict[str, Any]]
    figures: Mapping[str, tuple[float, float | None]]
    baseline: Mapping[str, tuple[float, float | None]]
    ms_ssim: float | None
    lpips: float | None
    pairs: list[Pair] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    licenses: list[str] = field(default_factory=list)
    recipe: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()


def measure(
    folder: str | Path,
    *,
    fallback: Features | None = None,
    pairs: int = 64,
    pictures: int = 256,
    progress: bool | Report | None = None,
) -> Quality:
    """Measure a synthesised data set.

    fallback: features for KID and FID where the weights of Inception are not there
    pairs:    pictures that are compared with their clean frame; pictures: on either side of KID and FID; evenly spread
    """
    folder = Path(folder)
    rows = [row for row in manifest.read_manifest(folder) if row["shifts"] and row.get("image")]
    if not rows:
        raise InputError(f"{folder}: its manifest names no shifted picture whose file is known: nothing to measure")
    source, missing = source_of(rows), []
    if source is None:
        missing.append(f"The source {rows[0]['source']['dataset']!r} is not there: nothing can be compared with it.")
    compare = _comparer(missing) if source is not None else None
    with reporting(progress) as report:
        measured = _pairs(_spread(rows, pairs), source, folder, compare, report) if source is not None else []
        figures: Figures = {}
        baseline: Figures = {}
        features = _features(fallback, missing)
        if source is not None and features is not None:
            figures, baseline = _sets(rows, source, folder, features, pictures, report, missing)
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    return Quality(
        name=folder.resolve().name, source=str(rows[0]["source"]["dataset"]), format=rows[0]["format"],
        n_made=len(rows), n_sources=len({row["source"]["sample_id"] for row in rows}), n_pairs=len(measured),
        entries=_entries(rows, measured), left_out=_left_out(record), figures=figures, baseline=baseline,
        ms_ssim=_mean([p.ms_ssim for p in measured]), lpips=_mean([p.lpips for p in measured]),
        pairs=_extremes(measured), missing=missing, recipe=record.get("recipe"),
        licenses=sorted({str(row["license"]) for row in rows if row.get("license") is not None}),
        versions=rows[0].get("versions", {}), assumed=manifest.assumptions(row.get("completed", {}) for row in rows),
    )  # fmt: skip


def _comparer(missing: list[str]) -> Callable[[Image, Image], float] | None:
    weights = lpips_backbone()
    if weights.is_file():
        return lpips_distance()
    url = f"https://download.pytorch.org/models/{weights.name}"
    missing.append(f"LPIPS: its backbone is not there; put {weights.name} ({url}) at {weights}.")
    return None


def _features(fallback: Features | None, missing: list[str]) -> Features | None:
    """Return Inception where its weights are there, else the fallback; say so."""
    import torch

    weights = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION
    if weights.is_file():
        return Features("", _inception(weights))
    hint = f"put {INCEPTION} ({INCEPTION_URL}) at {weights} for figures that compare with published ones"
    if fallback is None:
        missing.append(f"KID and FID: the weights of Inception are not there; {hint}.")
    else:
        missing.append(f"KID and FID use features of {fallback.name}, and are named so; {hint}.")
    return fallback


def _inception(weights: Path) -> Callable[[list[Image]], Any]:
    import torch
    from torchmetrics.image.fid import NoTrainInceptionV3

    network = NoTrainInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights))

    def features(images: list[Image]) -> Any:
        rows = []
        with torch.inference_mode():
            for image in images:
                tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
                rows.append(network(tensor)[0].numpy())
        return np.stack(rows)

    return features


def _pairs(
    rows: Sequence[Mapping[str, Any]],
    source: Dataset,
    folder: Path,
    compare: Callable[[Image, Image], float] | None,
    report: Report,
) -> list[Pair]:
    found = []
    for number, row in enumerate(rows, start=1):
        clean, made = source[row["source"]["sample_id"]].image, read_image(folder / row["image"])
        if clean.shape == made.shape:
            distance = None if compare is None else compare(clean, made)
            found.append(Pair(row, ms_ssim(clean, made), distance, _small(clean), _small(made)))
        report("pairs", number, len(rows))
    return found


def _small(image: Image) -> bytes:
    scale = _SHOWN_PX / image.shape[1]
    size = (_SHOWN_PX, max(1, round(image.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return encode_jpeg(np.asarray(cv2.resize(image, size, interpolation=how), np.uint8), quality=82)


def _sets(
    rows: Sequence[Mapping[str, Any]],
    source: Dataset,
    folder: Path,
    features: Features,
    pictures: int,
    report: Report,
    missing: list[str],
) -> tuple[Figures, Figures]:
    """Return KID and FID of the new set against its source, and of one half of the source against the other."""
    frames = _spread(list(dict.fromkeys(row["source"]["sample_id"] for row in rows)), pictures)
    made = _spread(rows, pictures)
    if min(len(frames), len(made)) < FEWEST:
        missing.append(f"KID and FID need at least {FEWEST} pictures on either side, there are {len(frames)} frames.")
        return {}, {}
    total = len(frames) + len(made)
    real = _rows_of([functools.partial(_frame, source, name) for name in frames], features, report, 0, total)
    new = _rows_of(
        [functools.partial(read_image, folder / row["image"]) for row in made], features, report, len(frames), total
    )
    figures = set_distances(real, new, features)
    if len(real) < 2 * FEWEST:
        return figures, {}
    return figures, set_distances(real[::2], real[1::2], features)


def _frame(source: Dataset, sample_id: str) -> Image:
    return source[sample_id].image


def _rows_of(
    pictures: Sequence[Callable[[], Image]], features: Features, report: Report, done: int, total: int
) -> NDArray[np.float32]:
    """Return (N, D) features, a few pictures in memory at a time."""
    rows = []
    for start in range(0, len(pictures), 8):
        rows.append(np.asarray(features.of([read() for read in pictures[start : start + 8]]), np.float32))
        report("features", done + min(start + 8, len(pictures)), total)
    return np.concatenate(rows)


def set_distances(one: NDArray[np.float32], other: NDArray[np.float32], features: Features) -> Figures:
    """Return KID (mean and standard deviation over subsets) and FID of two sets of features (N, D)."""
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    class Given(torch.nn.Module):
        """Features that were computed before."""

        num_features = one.shape[1]

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows

    fewer = min(len(one), len(other))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*extracted features in buffer", category=UserWarning)
        kid = KernelInceptionDistance(Given(), subsets=SUBSETS, subset_size=min(fewer, max(FEWEST, fewer // 2)))
    fid = FrechetInceptionDistance(Given())
    for metric in (kid, fid):
        metric.update(torch.from_numpy(one), real=True)
        metric.update(torch.from_numpy(other), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the subsets of KID
        mean, deviation = kid.compute()
    return {
        features.key("kid"): (float(mean), float(deviation)),
        features.key("fid"): (float(fid.compute()), None),
    }


def _entries(rows: Sequence[Mapping[str, Any]], pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Return a row for each entry of the recipe: how many, how far, what became of the objects."""
    found = []
    for name in sorted({row["entry"] for row in rows}):
        own = [row for row in rows if row["entry"] == name]
        near = [pair for pair in pairs if pair.row["entry"] == name]
        severities = [float(row["severity"]) for row in own]
        verdicts = [v for row in own for v in row["verdicts"]]
        kinds = ("kept", "modified", "occluded", "invalid")
        found.append(
            {
                "name": name,
                "n": len(own),
                "severity": (min(severities), max(severities)),
                "ms_ssim": _mean([pair.ms_ssim for pair in near]),
                "lpips": _mean([pair.lpips for pair in near]),
                "objects": len(verdicts),
                **{kind: sum(v["kind"] == kind for v in verdicts) for kind in kinds},
                "hard_to_see": sum(bool(v.get("hard_to_see")) for v in verdicts),
            }
        )
    return sorted(found, key=lambda entry: (-entry["n"], entry["name"]))


def _left_out(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    examples = record.get("examples", {})
    return [
        {"reason": reason, "text": REASONS.get(reason, reason), "n": n, "examples": examples.get(reason, [])[:2]}
        for reason, n in sorted(record.get("left_out", {}).items(), key=lambda item: -item[1])
    ]


def _extremes(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pictures that changed most and least, most changed first."""
    known = sorted((p for p in pairs if p.ms_ssim is not None), key=lambda p: p.ms_ssim or 0.0)
    known = known or list(pairs)
    if len(known) <= 2 * _SHOWN:
        return known
    return [*known[:_SHOWN], *known[-_SHOWN:]]


def _spread(values: Sequence[T], n: int) -> list[T]:
    return list(values) if len(values) <= n else [values[i * len(values) // n] for i in range(n)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
