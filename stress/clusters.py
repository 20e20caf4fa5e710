"""Failures that look alike: crops of newly failed objects, embedded and gathered by HDBSCAN, named by what they share.

The same object under the neighbouring severities of a shift is one failure (the mildest stands for them), and crops
that are all but the same are one picture. Pictures are made again from the run's own parameters, of a capped sample
that is spread over cells; where the data set is gone there are no clusters, and the run says why.

HDBSCAN: Campello, Moulavi and Sander, PAKDD 2013; scikit-learn's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Dataset, Image
from stress.crops import PICTURES, Crop, Row, crops_of, folded
from stress.pictures import write_picture
from stress.plan import CLEAN
from stress.reproduction import Remaker
from stress.results import Results
from stress.slice_words import NOUNS, PLACES, condition_words, plural, words
from stress.slices import Predicate

SIDE = 64  # pixels of a crop that is embedded, as zoo:classifier was trained on
SAME_LOOK = 0.985  # cosine from which two crops are one picture
LEAST_OBJECTS = 3  # of a cluster
SHARED = 0.7  # share of a cluster that has an attribute in common, to be named by it
PAIRS, PAIR_SHARED = ("class_name", "shift", "failure"), 0.85  # or that two values have in common
SHOWN, SHOWN_SIDE = 6, 112  # pictures of a cluster in the report, and their side
FALLBACK = "zoo:classifier"
Vectors = NDArray[np.float32]  # (N, D)
Embed = Callable[[list[Image]], Any]


def clusters_of(
    results: Results,
    failures: pa.Table,
    *,
    seed: int = 0,
    pictures: int = PICTURES,
    dataset: Dataset | None = None,
    embed: Embed | None = None,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Return the clusters of a run's new failures as plain values, and write their pictures into its evidence.

    dataset: needed where the run was given an opened data set; embed: of (H, W, 3) uint8 crops to (B, D); the model's
    own where it has `embed`, else that of the built-in classifier
    """
    shifted = pa.compute.and_(failures.column("newly"), pa.compute.not_equal(failures.column("shift"), CLEAN))
    rows = failures.filter(shifted).to_pylist()
    once = folded(rows)
    notes: list[str] = []
    found: dict[str, Any] = {
        "n_failures": len(rows), "n_folded": len(rows) - len(once), "n_looked_at": 0, "n_same_look": 0, "n_alone": 0,
        "embedder": None, "clusters": [], "notes": notes,
    }  # fmt: skip
    if results.task == "segmentation":
        notes.append("Clusters are of objects and pictures; a segmentation run has regions: see its slices.")
        return found
    if not once:
        notes.append("No failure is new under a shift: nothing to gather.")
        return found
    try:
        crops = crops_of(results, once, Remaker(results.path, dataset), seed, pictures, progress)
    except (InputError, OSError) as error:
        notes.append(f"No clusters: the pictures cannot be made again: {' '.join(str(error).split())}")
        return found
    name, embedder = ("given", embed) if embed is not None else _embedder(results, notes)
    vectors = embedded([crop.image for crop in crops], embedder)
    kept = distinct(vectors)
    found.update(n_looked_at=len(crops), n_same_look=len(crops) - len(kept), embedder=name)
    crops, vectors = [crops[i] for i in kept], vectors[kept]
    labels = _of_several(gathered(vectors), [crop.row for crop in crops])
    found["n_alone"] = int(np.count_nonzero(labels < 0))
    if not (labels >= 0).any():
        notes.append(f"{len(crops)} different failures were looked at, and no {least_size(len(crops))} look alike.")
    members = sorted((np.flatnonzero(labels == c) for c in range(labels.max(initial=-1) + 1)), key=len, reverse=True)
    for number, own in enumerate(members, start=1):
        found["clusters"].append(_cluster(results, number, [crops[i] for i in own], vectors[own]))
    return found


def _embedder(results: Results, notes: list[str]) -> tuple[str, Embed]:
    """Return the model's own embedding where it has one and can be loaded, else the built-in classifier's."""
    from stress.adapters import load_model

    source = str(results.summary["model"]["source"])
    try:
        model = load_model(source, device="cpu")
        own = getattr(model, "embed", None)
    except (InputError, OSError) as error:
        own = None
        notes.append(f"The model could not be loaded again ({' '.join(str(error).split())[:200]}).")
    if callable(own):
        return source, own
    from stress.zoo import load

    notes.append(f"The model has no embed(images) here: crops are compared by {FALLBACK}.")
    return FALLBACK, load("classifier").embed


def embedded(images: Sequence[Image], embed: Embed) -> Vectors:
    """Return (N, D) vectors of length 1."""
    small = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in images]
    parts = [np.asarray(embed(small[i : i + 32]), np.float32) for i in range(0, len(small), 32)]
    vectors = np.concatenate(parts)
    if vectors.ndim != 2 or len(vectors) != len(small):
        raise InputError(f"embed: expected ({len(small)}, D) vectors, got shape {vectors.shape}")
    vectors = vectors - vectors.mean(axis=0)  # what all crops share tells none apart
    unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def distinct(vectors: Vectors) -> list[int]:
    """Return the rows that are left when of vectors that are all but the same the first is kept."""
    kept: list[int] = []
    for i in range(len(vectors)):
        if not kept or float((vectors[kept] @ vectors[i]).max()) < SAME_LOOK:
            kept.append(i)
    return kept


def least_size(n: int) -> int:
    """Return how many failures make a cluster at least: a fortieth of all, 5 or more."""
    return max(5, n // 40)


def gathered(vectors: Vectors) -> NDArray[np.int64]:
    """Return (N,) cluster of each vector, -1 = none."""
    if len(vectors) < 2 * least_size(len(vectors)):
        return np.full(len(vectors), -1, np.int64)
    from sklearn.cluster import HDBSCAN
    from sklearn.decomposition import PCA

    parts = min(16, *vectors.shape)
    reduced = PCA(parts, svd_solver="full").fit_transform(vectors.astype(np.float64))
    least = least_size(len(vectors))  # leaves: the finest clusters, not the few great ones above them
    method = HDBSCAN(min_cluster_size=least, min_samples=3, cluster_selection_method="leaf", copy=True)
    return np.asarray(method.fit_predict(reduced), np.int64)


def _of_several(labels: NDArray[np.int64], rows: Sequence[Row]) -> NDArray[np.int64]:
    """Return the clusters without those of one or two objects that fail under many shifts; numbered anew."""
    several = []
    for c in range(labels.max(initial=-1) + 1):
        own = [rows[i] for i in np.flatnonzero(labels == c)]
        if len({(r["sample_id"], r["instance_id"], r["class_name"]) for r in own}) >= LEAST_OBJECTS:
            several.append(c)
    again = {c: i for i, c in enumerate(several)}
    return np.array([again.get(c, -1) for c in labels.tolist()], np.int64)


def _cluster(results: Results, number: int, crops: Sequence[Crop], vectors: Vectors) -> dict[str, Any]:
    rows = [crop.row for crop in crops]
    shared = shared_by(rows)
    middle = vectors.mean(axis=0)
    order = np.argsort(-(vectors @ middle), kind="stable")
    return {
        "name": named(shared, NOUNS[results.task]),
        "shared": shared,
        "n": len(rows),
        "n_objects": len({(r["sample_id"], r["instance_id"], r["class_name"]) for r in rows}),
        "n_frames": len({r["sample_id"] for r in rows}),
        "loss": float(np.mean([r["loss"] for r in rows])),
        "failures": dict(Counter(r["failure"] for r in rows).most_common()),
        "shifts": dict(Counter(r["shift"] for r in rows).most_common(6)),
        "pictures": [_written(results.path, number, i, crops[j]) for i, j in enumerate(_spread(order, rows))],
    }


def _spread(order: NDArray[np.int64], rows: Sequence[Row]) -> list[int]:
    """Return the most typical members, no object twice."""
    seen: set[tuple[Any, ...]] = set()
    found = []
    for i in order.tolist():
        key = (rows[i]["sample_id"], rows[i]["instance_id"], rows[i]["x1"] if not rows[i]["instance_id"] else 0)
        if key not in seen:
            found.append(i)
            seen.add(key)
    return found[:SHOWN]


def _written(run: Path, number: int, i: int, crop: Crop) -> dict[str, Any]:
    """Write the clean and the shifted crop side by side; return where, and what it shows."""
    size = (SHOWN_SIDE, SHOWN_SIDE)
    halves = [cv2.resize(image, size, interpolation=_method(image)) for image in (crop.clean, crop.image)]
    path = run / "evidence" / f"cluster-{number:02}-{i}.jpg"
    path.parent.mkdir(exist_ok=True)
    write_picture(path, np.concatenate(halves, axis=1))
    row = crop.row
    keys = ("sample_id", "shift", "severity", "failure", "class_name", "predicted_class", "loss")
    return {"path": f"evidence/{path.name}", **{key: row[key] for key in keys}}


def _method(image: Image) -> int:
    return cv2.INTER_AREA if image.shape[0] > SHOWN_SIDE else cv2.INTER_CUBIC


def shared_by(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the attributes that most of a cluster has in common: {attribute: value}; the shift, else its family."""
    found: dict[str, Any] = {}
    for attribute in ("failure", "class_name", "size", "position", "shift", "family"):
        counts = Counter(row[attribute] for row in rows if row[attribute] is not None).most_common(2)
        if attribute == "family" and "shift" in found:
            continue
        if counts and counts[0][1] >= SHARED * len(rows):
            found[attribute] = counts[0][0]
        elif attribute in PAIRS and sum(n for _, n in counts) >= PAIR_SHARED * len(rows):
            found[attribute] = [value for value, _ in counts]
    return found


def named(shared: Mapping[str, Any], noun: str) -> str:
    """Return a cluster's name.

    >>> named({"failure": "missed", "class_name": "car", "shift": "weather/fog"}, "object")
    'missed cars in fog'
    >>> named({"class_name": ["car", "bus"], "shift": ["weather/fog", "lighting/night"], "size": "small"}, "object")
    'failed small cars and buses in fog or at night'
    """
    failure = " or ".join(_both(shared.get("failure", "failed")))
    what = " and ".join(plural(name) for name in _both(shared.get("class_name", noun)))
    parts = [failure, shared.get("size"), what, PLACES.get(str(shared.get("position")))]
    if "shift" in shared:
        parts.append(" or ".join(condition_words(shift) for shift in _both(shared["shift"])))
    elif "family" in shared:
        parts.append(words([Predicate("family", "is", shared["family"])]).removeprefix("objects "))
    return " ".join(part for part in parts if part)


def _both(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]
