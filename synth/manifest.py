"""`manifest.jsonl`: a line of JSON for each picture of a synthesised data set, enough to make it again.

Keys: image (path below the data set's root), sample_id, format; source (dataset, format, split, sample_id, path below
its root, sha256 of its decoded pixels); group (pictures of one group never part); variant; seed; entry (line of the
recipe); severity; shifts (name, options, severity, params of each part); completed; license; verdicts; sha256 (decoded
pixels) and labels_sha256 of the result; versions.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from scenes.datasets.base import count, plain
from scenes.environment import installed, own_version
from scenes.errors import InputError
from scenes.sample import Sample
from synth.audit import Verdict
from synth.backends.shift import BackendShift
from synth.chain import AnyShift, Chain, Part
from synth.depth import PRIOR_NAME
from synth.registry import create
from synth.shift import Shift

NAME = "manifest.jsonl"
_KEYS = ("source", "shifts", "seed", "variant", "sample_id", "format", "sha256", "labels_sha256")
_PACKAGES = ("numpy", "opencv-python-headless", "numba", "scipy", "torch")
_ARRAYS = (
    "boxes", "labels", "instance_ids", "ignore", "boxes_amodal", "masks", "segmentation", "visibility", "boxes_3d",
    "track_ids",
)  # fmt: skip


@cache
def versions() -> Mapping[str, str]:
    """Return the versions that decide the last bit of a picture."""
    found = {"roadproof": own_version()}
    found.update({name: version for name in _PACKAGES if (version := installed(name)) is not None})
    return found


def labels_hash(sample: Sample) -> str:
    """Return SHA-256 of everything that the labels of a sample say."""
    notes = sample.annotations
    state = hashlib.sha256()
    for name in _ARRAYS:
        value = getattr(notes, name)
        if value is not None:
            state.update(f"{name}{value.shape}".encode())
            state.update((np.packbits(value) if value.dtype == np.bool_ else np.ascontiguousarray(value)).tobytes())
    for name in ("depth", "instances"):
        value = getattr(sample, name)
        if value is not None:
            state.update(name.encode() + np.ascontiguousarray(value).tobytes())
    if sample.camera is not None:
        camera = sample.camera
        state.update(camera.K.tobytes() + camera.world_to_cam.tobytes() + repr(tuple(camera.distortion)).encode())
    state.update(json.dumps([notes.label, [dict(a) for a in notes.attributes]], default=str, sort_keys=True).encode())
    return state.hexdigest()


def verdict_rows(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Return verdicts as plain values; what says nothing is left out."""
    rows = []
    for verdict in verdicts:
        row = dataclasses.asdict(verdict)
        row["visible_fraction"] = round(row["visible_fraction"], 4)
        rows.append({key: value for key, value in row.items() if value not in ("", False) or key == "instance_id"})
    return rows


def shift_rows(
    shift: AnyShift, severity: float, params: Mapping[str, Any], specs: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return name, options, severity and params of each part; a shift alone is one part.

    specs: {full name: how it was asked for} of shifts that are found by file or module
    """
    if isinstance(shift, Chain):
        recorded = params["parts"]
        return [
            _shift_row(part.shift, own["severity"], own["params"], specs)
            for part, own in zip(shift.parts, recorded, strict=True)
        ]
    return [_shift_row(shift, severity, params, specs)]


def _shift_row(
    shift: Shift[Any], severity: float, params: Mapping[str, Any], specs: Mapping[str, str]
) -> dict[str, Any]:
    if isinstance(shift, BackendShift):
        options = plain(params["options"])  # those of the severity, looked up in its tables
    else:
        fields = [f for f in dataclasses.fields(shift) if f.init]  # type: ignore[arg-type]  # every shift is a dataclass
        options = {f.name: plain(getattr(shift, f.name)) for f in fields if getattr(shift, f.name) != f.default}
    name = specs.get(shift.name, shift.name)
    return {"name": name, "options": options, "severity": severity, "params": plain(params)}


def shift_of(row: Mapping[str, Any]) -> tuple[AnyShift, Mapping[str, Any]] | None:
    """Return the shift or chain of a row and its params; None for a clean frame."""
    parts = row["shifts"]
    if not parts:
        return None
    made = [create(part["name"], part.get("options")) for part in parts]
    if len(parts) == 1:
        return made[0], parts[0]["params"]
    params = [
        {"shift": shift.name, "severity": part["severity"], "params": part["params"]}
        for shift, part in zip(made, parts, strict=True)
    ]
    return Chain(tuple(Part(s, float(p["severity"])) for s, p in zip(made, parts, strict=True))), {"parts": params}


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a manifest (the file, or the folder that holds it)."""
    file = path / NAME if path.is_dir() else path
    rows = []
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"manifest {str(file)!r}: cannot be read: {error}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"manifest {str(file)!r}: line {number} is no JSON: {error}") from error
        missing = [key for key in _KEYS if not isinstance(row, dict) or key not in row]
        if missing:
            raise InputError(f"manifest {str(file)!r}: line {number} lacks {', '.join(missing)}: is it ours?")
        rows.append(row)
    if not rows:
        raise InputError(f"manifest {str(file)!r}: expected a line for each picture, got none")
    return rows


def assumptions(completed: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """Say what had to be assumed to shift pictures, of the `completed` of their rows.

    >>> assumptions([{"depth": "ground-plane prior"}, {}])
    ('depth assumed by the ground-plane prior for 1 picture; --depth gives better',)
    """
    counts = Counter(item for one in completed for item in one.items())
    found = []
    if n := counts["depth", PRIOR_NAME]:
        found.append(f"depth assumed by the {PRIOR_NAME} for {count(n, 'picture')}; --depth gives better")
    for (key, how), n in sorted(counts.items()):
        if key == "camera":
            found.append(f"camera not known for {count(n, 'picture')}: {how}")
    return tuple(found)


def row_line(row: Mapping[str, Any]) -> str:
    """Return a row as a line of the manifest."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
