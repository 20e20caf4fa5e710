"""The failures and their pictures, made small enough to travel in one file.

Every picture is stored once however many failures show it. Photographs become JPEG, pictures of at most 160 pixels and
those with transparency stay PNG, maps become small grey JPEG (they are smooth). Where the whole would exceed the
budget, all pictures are made smaller, step by step; what still does not fit is left out, least severe first, and the
page says so.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from reports.read import Run, as_severity, finite
from reports.words import SCORES, predicted_score, story
from scenes.errors import InputError

Kind = Literal["picture", "overlay", "map"]
SIZES = (
    (1280, 88),
    (960, 85),
    (800, 82),
    (640, 80),
    (640, 72),
    (560, 70),
    (480, 68),
    (400, 64),
)  # pixels, JPEG quality
SMALL = 160  # pixels: up to here a picture is kept as it is
SAMPLE = 32  # pictures that tell at which size all will fit
MAP_SIDE = 320  # pixels
METHODS = {"gradcam": "Grad-CAM", "hirescam": "HiResCAM", "d-rise": "D-RISE", "rise": "RISE"}  # as people write them
BUDGET = 28_000_000  # bytes of encoded pictures; base64 makes them 4/3, so that a page stays below 40 MB


@dataclass(frozen=True)
class Asset:
    """One encoded picture."""

    key: str
    mime: str
    content: bytes

    @property
    def file_name(self) -> str:
        """Return the name that the picture has in the folder of assets."""
        return f"{self.key}.{'png' if self.mime == 'image/png' else 'jpg'}"


@dataclass(frozen=True)
class Gallery:
    """What the page shows of the failures.

    items:   one plain mapping a failure, most severe first, pictures as keys into `assets`
    assets:  pictures by key
    missing: pictures named by the run that are not there or cannot be read
    left_out: number of failures whose pictures did not fit
    """

    items: list[dict[str, Any]]
    assets: dict[str, Asset]
    missing: list[str]
    left_out: int


def build(run: Run, *, budget: int = BUDGET) -> Gallery:
    """Encode the pictures of a run's failures.

    budget: bytes of encoded pictures
    """
    failures = sorted(run.data["gallery"], key=lambda f: -(finite(f.get("loss")) or 0.0))
    wanted = {path: kind for failure in failures for path, kind in _pictures(failure)}
    encoded, missing = _encode_within(run.path, wanted, budget)
    left_out = _drop_beyond(failures, encoded, budget)
    items = [_item(run, failure, encoded) for failure in failures]
    used = {key: asset for asset in encoded.values() for key in (asset.key,)}
    return Gallery(items, used, missing, left_out)


def _pictures(failure: dict[str, Any]) -> Iterable[tuple[str, Kind]]:
    """Yield the paths of a failure's pictures and what they are."""
    for name in ("clean", "shifted"):
        if failure.get(name):
            yield failure[name], "picture"
        if failure.get(f"overlay_{name}"):
            yield failure[f"overlay_{name}"], "overlay"
        if failure.get("explanation") and failure["explanation"].get(f"cam_{name}"):
            yield failure["explanation"][f"cam_{name}"], "map"


def _encode_within(root: Path, wanted: dict[str, Kind], budget: int) -> tuple[dict[str, Asset], list[str]]:
    """Encode every picture at the largest size at which all fit, or at the smallest."""
    assets: dict[str, Asset] = {}
    missing: list[str] = []
    paths = [path for path in wanted if _exists(root, path, missing)]
    start = _first_size(root, paths, wanted, budget)
    for side, quality in SIZES[start:]:
        assets = {}
        for path in paths:
            asset = encode(root / path, wanted[path], side=side, quality=quality)
            if asset is None:
                missing.append(path)
            else:
                assets[path] = asset
        if _total(assets.values()) <= budget:
            break
    return assets, sorted(set(missing))


def _first_size(root: Path, paths: list[str], wanted: dict[str, Kind], budget: int) -> int:
    """Guess from a sample of the pictures at which size all will fit, so that few are encoded twice."""
    sample = sorted(paths, key=lambda path: hashlib.sha256(path.encode()).digest())[:SAMPLE]  # of every kind
    for i, (side, quality) in enumerate(SIZES):
        encoded = [encode(root / path, wanted[path], side=side, quality=quality) for path in sample]
        if sum(len(a.content) for a in encoded if a) * len(paths) <= budget * max(1, len(sample)):
            return i
    return len(SIZES) - 1


def _total(assets: Iterable[Asset]) -> int:
    return sum(len(content) for content in {asset.key: asset.content for asset in assets}.values())


def _drop_beyond(failures: list[dict[str, Any]], assets: dict[str, Asset], budget: int) -> int:
    """Remove the pictures of the least severe failures until the rest fits; return of how many failures."""
    kept: dict[str, Asset] = {}
    for i, failure in enumerate(failures):
        mine = {path: assets[path] for path, _ in _pictures(failure) if path in assets}
        if _total([*kept.values(), *mine.values()]) > budget:
            for path in [path for path in assets if path not in kept]:
                del assets[path]
            return len(failures) - i
        kept.update(mine)
    return 0


def _exists(root: Path, path: str, missing: list[str]) -> bool:
    file = (root / path).resolve()
    if not file.is_relative_to(root.resolve()):
        raise InputError(f"{root / 'results.json'}: gallery: expected pictures inside the run, got {path!r}")
    if not file.is_file():
        missing.append(path)
    return file.is_file()


def encode(file: Path, kind: Kind, *, side: int, quality: int) -> Asset | None:
    """Return a picture no larger than `side` pixels, or None where the file is no readable picture."""
    try:
        with Image.open(file) as opened:
            opened.load()
            image = opened.copy()
    except (OSError, UnidentifiedImageError, ValueError):
        return None
    small = max(image.size) <= SMALL
    limit = MAP_SIDE if kind == "map" else side
    image = image.convert("L" if kind == "map" else "RGBA" if _has_alpha(image) else "RGB")
    image.thumbnail((limit, limit), Image.Resampling.LANCZOS if kind == "picture" else Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    if small or image.mode == "RGBA":
        image.save(buffer, "PNG")
        mime = "image/png"
    else:
        image.save(buffer, "JPEG", quality=min(quality, 82) if kind == "map" else quality, subsampling=0)
        mime = "image/jpeg"
    content = buffer.getvalue()
    return Asset(hashlib.sha256(content).hexdigest()[:16], mime, content)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def _item(run: Run, failure: dict[str, Any], assets: dict[str, Asset]) -> dict[str, Any]:
    """Return what the page needs of one failure."""
    keys = ("id", "sample_id", "shift", "family", "failure", "class_name", "predicted_class", "command")
    item = {key: failure.get(key) for key in keys}
    item.update({key: _short(finite(failure.get(key))) for key in ("score_clean", "score_shifted", "iou", "loss")})
    item["severity"] = as_severity(failure["severity"])
    item["physical"] = run.physical(failure["shift"], float(failure["severity"]))
    item["size"] = [int(v) for v in failure["size"]]
    item["box"] = _box(failure.get("box"))
    item["verdict"] = failure.get("verdict")
    item["score_name"] = SCORES.get(str(run.data["model"]["task"]), "score")
    item["story"] = story(failure, str(run.data["model"]["task"]))
    item["score_predicted"] = _short(predicted_score(failure))
    item["params"] = failure.get("params") or {}
    item["completed"] = failure.get("completed") or {}
    for name in ("clean", "shifted"):
        item[name] = _key(assets, failure.get(name))
        item[f"overlay_{name}"] = _key(assets, failure.get(f"overlay_{name}"))
        item[f"truth_{name}"] = [_marked(mark) for mark in failure.get(f"truth_{name}") or []]
        item[f"predictions_{name}"] = [_marked(mark) for mark in failure.get(f"predictions_{name}") or []]
    item["explanation"] = _explanation(run.path, failure.get("explanation"), assets)
    return item


def _explanation(root: Path, given: dict[str, Any] | None, assets: dict[str, Asset]) -> dict[str, Any] | None:
    if not given:
        return None
    numbers = ("scale", "energy_clean", "energy_shifted", "drift")
    return {
        "method": METHODS.get(str(given.get("method")), given.get("method")),
        **{key: given.get(key) for key in ("layer", "target", "note")},
        **{key: finite(given.get(key)) for key in numbers},
        **{f"cam_{name}": _key(assets, given.get(f"cam_{name}")) for name in ("clean", "shifted")},
        **{f"peak_{name}": _peak(root, assets, given, f"cam_{name}") for name in ("clean", "shifted")},
    }


def _peak(root: Path, assets: dict[str, Asset], given: dict[str, Any], name: str) -> float | None:
    """Return the strongest value of a map, in the unit of its scale; None where map or scale is not there."""
    scale = finite(given.get("scale"))
    if scale is None or given.get(name) not in assets:
        return None
    with Image.open(root / given[name]) as image:
        return scale * float(np.asarray(image.convert("L")).max()) / 255


def _marked(mark: dict[str, Any]) -> dict[str, Any]:
    """Return a box with what is written at it."""
    verdict = mark.get("verdict")
    kind = verdict.get("kind") if isinstance(verdict, dict) else verdict
    return {
        "box": _box(mark.get("box")), "name": mark.get("class_name"), "ignore": bool(mark.get("ignore")),
        "verdict": kind, "score": _short(finite(mark.get("score"))),
    }  # fmt: skip


def _box(box: Any) -> list[float] | None:
    return None if box is None else [round(float(v), 1) for v in box]


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _key(assets: dict[str, Asset], path: str | None) -> str | None:
    return assets[path].key if path in assets else None
