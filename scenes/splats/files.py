"""Gaussians on disk: PLY in the layout of the original 3DGS code, compressed PLY, splatfacto checkpoints (read only).

| file | layout |
|---|---|
| .ply | Inria's: x y z, f_dc_*, f_rest_* (channel by channel), opacity (logit), scale_* (log), rot_* (w x y z) |
| .ply, compressed | PlayCanvas': by 256, positions and scales in 11 10 11 bits, rotation 2 10 10 10, colour 8 8 8 8 |
| .ckpt | nerfstudio's step-*.ckpt; read without running code (`weights_only`) |

Our own labels travel in the plain layout as `instance` (int) and `class` (short), and the number of training
views that show a Gaussian as `seen` (short); other readers pass over them.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.splats.cloud import BANDS, Cloud
from scenes.splats.harmonics import C0
from scenes.splats.tables import Table, read_ply, write_ply

CHUNK = 256
LOGIT_MOST = 10.0  # compressed files hold opacity in 8 bits: 0 and 1 become this logit
BOUNDS = tuple(
    f"{end}_{name}" for names in (("x", "y", "z"), ("scale_x", "scale_y", "scale_z"), ("r", "g", "b"))
    for end in ("min", "max") for name in names
)  # fmt: skip
PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
ROTATION_RANGE = 1 / math.sqrt(2)  # no component but the largest of a unit quaternion exceeds it


def read_gaussians(path: Path) -> Cloud:
    """Read Gaussians from a .ply (plain or compressed) or a splatfacto .ckpt."""
    if path.suffix == ".ckpt":
        cloud = _splatfacto(path)
    else:
        elements = read_ply(path)
        if "vertex" not in elements:
            raise InputError(f"{path}: expected an element `vertex`, got {', '.join(elements) or 'none'}")
        cloud = _unpacked(elements, path) if "chunk" in elements else _plain(elements["vertex"], path)
    if not len(cloud):
        raise InputError(f"{path}: it holds no Gaussians")
    cloud.check_finite(str(path))
    return cloud


def _columns(table: Table, names: list[str] | tuple[str, ...], path: Path) -> NDArray[np.float32]:
    missing = [name for name in names if name not in (table.dtype.names or ())]
    if missing:
        raise InputError(f"{path}: expected Gaussians (x ... scale_2), but it has no {', '.join(missing[:4])}")
    if not names:
        return np.zeros((len(table), 0), np.float32)
    return np.stack([table[name].astype(np.float32) for name in names], axis=1)


def _plain(table: Table, path: Path) -> Cloud:
    rest = [name for name in table.dtype.names or () if name.startswith("f_rest_")]
    bands = len(rest) // 3 + 1
    if len(rest) % 3 or bands not in BANDS:
        raise InputError(f"{path}: expected 0, 9, 24 or 45 properties f_rest_*, got {len(rest)}")
    higher = _columns(table, [f"f_rest_{i}" for i in range(len(rest))], path)
    harmonics = np.empty((len(table), bands, 3), np.float32)
    harmonics[:, 0] = _columns(table, ["f_dc_0", "f_dc_1", "f_dc_2"], path)
    harmonics[:, 1:] = higher.reshape(len(table), 3, bands - 1).transpose(0, 2, 1)
    labels: dict[str, Any] = {}
    if "instance" in (table.dtype.names or ()):
        labels["instances"] = torch.from_numpy(table["instance"].astype(np.int32))
    if "class" in (table.dtype.names or ()):
        labels["classes"] = torch.from_numpy(table["class"].astype(np.int16))
    if "seen" in (table.dtype.names or ()):
        labels["seen"] = torch.from_numpy(table["seen"].astype(np.int16))
    return Cloud(
        means=torch.from_numpy(_columns(table, ("x", "y", "z"), path)),
        quats=torch.from_numpy(_columns(table, [f"rot_{i}" for i in range(4)], path)),
        scales=torch.from_numpy(_columns(table, [f"scale_{i}" for i in range(3)], path)),
        opacities=torch.from_numpy(_columns(table, ["opacity"], path)[:, 0]),
        harmonics=torch.from_numpy(harmonics),
        **labels,
    )


def write_gaussians(path: Path, cloud: Cloud) -> None:
    """Write the plain layout, whole or not at all."""
    n, rest = len(cloud), 3 * (cloud.harmonics.shape[1] - 1)
    names = ["x", "y", "z", "nx", "ny", "nz", *(f"f_dc_{i}" for i in range(3)), *(f"f_rest_{i}" for i in range(rest))]
    names += ["opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    harmonics = cloud.harmonics.numpy()
    parts = [
        cloud.means.numpy(), np.zeros((n, 3)), harmonics[:, 0], harmonics[:, 1:].transpose(0, 2, 1).reshape(n, rest),
        cloud.opacities.numpy()[:, None], cloud.scales.numpy(), cloud.quats.numpy(),
    ]  # fmt: skip
    dtype = [(name, "<f4") for name in names]
    dtype += [("instance", "<i4")] if cloud.instances is not None else []
    dtype += [("class", "<i2")] if cloud.classes is not None else []
    dtype += [("seen", "<i2")] if cloud.seen is not None else []
    table = np.zeros(n, dtype)
    for name, column in zip(names, np.concatenate(parts, axis=1).T, strict=True):
        table[name] = column
    if cloud.instances is not None:
        table["instance"] = cloud.instances.numpy()
    if cloud.classes is not None:
        table["class"] = cloud.classes.numpy()
    if cloud.seen is not None:
        table["seen"] = cloud.seen.numpy()
    write_ply(path, {"vertex": table})


def _quantised(values: NDArray[Any], bits: tuple[int, ...]) -> NDArray[np.uint32]:
    """Return (N,) words of values (N, len(bits)) in [0, 1], the first in the highest bits."""
    word = np.zeros(len(values), np.uint32)
    for column, width in zip(values.T, bits, strict=True):
        most = (1 << width) - 1
        word = (word << np.uint32(width)) | np.rint(np.clip(column, 0, 1) * most).astype(np.uint32)
    return word


def _restored(words: NDArray[np.uint32], bits: tuple[int, ...]) -> NDArray[np.float64]:
    """Undo `_quantised`."""
    columns = []
    for width in reversed(bits):
        columns.append((words & np.uint32((1 << width) - 1)) / ((1 << width) - 1))
        words = words >> np.uint32(width)
    return np.stack(columns[::-1], axis=1)


def write_compressed(path: Path, cloud: Cloud) -> None:
    """Write the compressed layout: about a quarter of the size, visually the same; labels are not held."""
    n = len(cloud)
    if n == 0:
        raise InputError(f"{path}: there are no Gaussians to write")
    chunk = np.arange(n) // CHUNK
    starts = np.arange(0, n, CHUNK)
    harmonics = cloud.harmonics.numpy()
    groups = [cloud.means.numpy(), np.clip(cloud.scales.numpy(), -20, 20), harmonics[:, 0] * C0 + 0.5]
    bounds = np.zeros(len(starts), [(name, "<f4") for name in BOUNDS])
    unit = []
    for i, values in enumerate(groups):
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        for k in range(3):
            bounds[BOUNDS[6 * i + k]], bounds[BOUNDS[6 * i + 3 + k]] = low[:, k], high[:, k]
        unit.append((values - low[chunk]) / np.maximum(high - low, 1e-10)[chunk])
    opacity = torch.sigmoid(cloud.opacities).numpy()[:, None]
    table = np.zeros(n, [(name, "<u4") for name in PACKED])
    table["packed_position"] = _quantised(unit[0], (11, 10, 11))
    table["packed_scale"] = _quantised(unit[1], (11, 10, 11))
    table["packed_color"] = _quantised(np.concatenate([unit[2], opacity], axis=1), (8, 8, 8, 8))
    table["packed_rotation"] = _packed_rotation(cloud.quats.numpy().astype(np.float64))
    elements: dict[str, Table] = {"chunk": bounds, "vertex": table}
    rest = 3 * (harmonics.shape[1] - 1)
    if rest:
        flat = harmonics[:, 1:].transpose(0, 2, 1).reshape(n, rest)
        higher = np.zeros(n, [(f"f_rest_{i}", "u1") for i in range(rest)])
        for i in range(rest):
            higher[f"f_rest_{i}"] = np.clip(np.floor((flat[:, i] / 8 + 0.5) * 256), 0, 255)
        elements["sh"] = higher
    write_ply(path, elements)


def _packed_rotation(quats: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Return words with the index of the largest component and the other three, its sign made positive."""
    quats = quats / np.maximum(np.linalg.norm(quats, axis=1, keepdims=True), 1e-12)
    largest = np.abs(quats).argmax(axis=1)
    quats = quats * np.where(np.take_along_axis(quats, largest[:, None], 1) < 0, -1.0, 1.0)
    others = np.array([[k for k in range(4) if k != i] for i in range(4)])[largest]
    small = np.take_along_axis(quats, others, 1) / (2 * ROTATION_RANGE) + 0.5
    return (largest.astype(np.uint32) << np.uint32(30)) | _quantised(small, (10, 10, 10))


def _unpacked(elements: dict[str, Table], path: Path) -> Cloud:
    """Read the compressed layout."""
    bounds = elements["chunk"]
    table = elements["vertex"]
    n = len(table)
    if any(name not in (table.dtype.names or ()) for name in PACKED):
        raise InputError(f"{path}: expected {', '.join(PACKED)} in a compressed PLY")
    if len(bounds) != -(-n // CHUNK):
        raise InputError(f"{path}: expected {-(-n // CHUNK)} chunks for {n} Gaussians, got {len(bounds)}")
    chunk = np.arange(n) // CHUNK

    def spread(unit: NDArray[np.float64], first: int) -> NDArray[np.float64]:
        low = _columns(bounds, BOUNDS[first : first + 3], path)[chunk]
        high = _columns(bounds, BOUNDS[first + 3 : first + 6], path)[chunk]
        return low + unit * (high - low)

    colour = _restored(table["packed_color"], (8, 8, 8, 8))
    opacity = np.clip(colour[:, 3], 1e-12, 1 - 1e-12)
    words = table["packed_rotation"]
    largest = (words >> np.uint32(30)).astype(np.int64)
    small = (_restored(words & np.uint32(0x3FFFFFFF), (10, 10, 10)) - 0.5) * 2 * ROTATION_RANGE
    quats = np.empty((n, 4))
    others = np.array([[k for k in range(4) if k != i] for i in range(4)])[largest]
    np.put_along_axis(quats, others, small, 1)
    left = np.sqrt(np.maximum(0.0, 1 - (small**2).sum(axis=1)))
    np.put_along_axis(quats, largest[:, None], left[:, None], 1)
    higher = elements.get("sh")
    rest = len(higher.dtype.names or ()) if higher is not None else 0
    harmonics = np.empty((n, rest // 3 + 1, 3), np.float32)
    harmonics[:, 0] = (spread(colour[:, :3], 12) - 0.5) / C0
    if higher is not None:
        flat = (_columns(higher, [f"f_rest_{i}" for i in range(rest)], path) + 0.5) / 32 - 4
        harmonics[:, 1:] = flat.reshape(n, 3, rest // 3).transpose(0, 2, 1)
    return Cloud(
        means=torch.from_numpy(spread(_restored(table["packed_position"], (11, 10, 11)), 0)).float(),
        quats=torch.from_numpy(quats).float(),
        scales=torch.from_numpy(spread(_restored(table["packed_scale"], (11, 10, 11)), 6)).float(),
        opacities=torch.from_numpy(np.clip(np.log(opacity / (1 - opacity)), -LOGIT_MOST, LOGIT_MOST)).float(),
        harmonics=torch.from_numpy(harmonics),
    )


def _splatfacto(path: Path) -> Cloud:
    """Read a checkpoint of nerfstudio's splatfacto; older ones lack the word `gauss_params`."""
    try:
        known = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: cannot be read as a checkpoint of weights: {reason}") from error
    pipeline = known.get("pipeline") if isinstance(known, dict) else None
    if not isinstance(pipeline, dict):
        raise InputError(f"{path}: expected a nerfstudio checkpoint with `pipeline`; is it splatfacto's?")
    found = {}
    for name in ("means", "quats", "scales", "opacities", "features_dc", "features_rest"):
        keys = [f"_model.{prefix}{name}" for prefix in ("gauss_params.", "")]
        value = next((pipeline[key] for key in keys if key in pipeline), None)
        if value is None:
            raise InputError(f"{path}: expected splatfacto's Gaussians, but it has no {keys[0]}")
        found[name] = value.detach().float()
    harmonics = torch.cat([found["features_dc"][:, None], found["features_rest"]], dim=1)
    return Cloud(
        means=found["means"], quats=found["quats"], scales=found["scales"],
        opacities=found["opacities"].reshape(-1), harmonics=harmonics,
    )  # fmt: skip
