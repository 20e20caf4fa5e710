"""What is said of each object of a frame: its triangles, 3D box, kind and colour."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.town.classes import INDEX, SECOND_OBJECT, main_class
from scenes.town.mesh import Mesh, Part
from scenes.town.placed import Placed
from scenes.town.truth import Thing


def things_of(placed: Placed) -> list[Thing]:
    """Return the one or two instances of an object."""
    parts = [(placed.id, Part.MAIN, main_class(placed.kind))]
    if placed.kind in SECOND_OBJECT:
        parts.append((placed.second, Part.SECOND, INDEX[SECOND_OBJECT[placed.kind]]))
    things = []
    for number, part, label in parts:
        things.append(Thing(number, label, partial(_triangles, placed, part), partial(_described, placed, part)))
    return things


def _triangles(placed: Placed, part: Part) -> NDArray[np.float32]:
    """Return the triangles (F, 3, 3) of one part in the world, the same floats that are traced."""
    faces = placed.body.mesh.part == part
    matrix = placed.to_world
    tri = placed.body.tri[faces].reshape(-1, 3) @ matrix[:3, :3].astype(np.float32).T + matrix[:3, 3].astype(np.float32)
    return tri.reshape(-1, 3, 3)


def _described(placed: Placed, part: Part) -> tuple[NDArray[np.float32], Mapping[str, Any]]:
    return _box_3d(placed, part), _attributes(placed, part)


def _box_3d(placed: Placed, part: Part) -> NDArray[np.float32]:
    """Return centre, length, width, height and quaternion (10,) of one part of an object."""
    scale = np.array(placed.scale)
    low, high = (corner * scale for corner in placed.body.extent[part])
    centre = placed.pose[:3, :3] @ ((low + high) / 2) + placed.pose[:3, 3]
    return np.concatenate([centre, high - low, quaternion(placed.pose[:3, :3])]).astype(np.float32)


def quaternion(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return w x y z of a rotation matrix, w >= 0.

    >>> quaternion(np.eye(3)).tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    return np.array([w, x, y, z]) * (-1.0 if w < 0 else 1.0) + 0.0


def _attributes(placed: Placed, part: Part) -> Mapping[str, Any]:
    kind = placed.kind if part == Part.MAIN else SECOND_OBJECT[placed.kind]
    attributes: dict[str, Any] = {"kind": kind, "state": placed.state, "actor": placed.id}
    if name := color_name(placed, part):
        attributes["colour"] = name
    return attributes


COLORS = {
    "white": (0.8, 0.8, 0.8),
    "silver": (0.42, 0.43, 0.45),
    "grey": (0.12, 0.12, 0.13),
    "black": (0.02, 0.02, 0.02),
    "red": (0.5, 0.03, 0.03),
    "orange": (0.75, 0.2, 0.03),
    "yellow": (0.8, 0.55, 0.05),
    "green": (0.05, 0.25, 0.08),
    "blue": (0.04, 0.13, 0.45),
    "brown": (0.15, 0.07, 0.03),
    "beige": (0.55, 0.46, 0.32),
    "purple": (0.2, 0.05, 0.3),
}


def color_name(placed: Placed, part: Part) -> str | None:
    """Return the nearest colour word for the parts that take a colour."""
    mesh: Mesh = placed.body.mesh
    chosen = mesh.recolour & (mesh.part == part)
    if not chosen.any():
        return None
    color = np.median((mesh.color if placed.color is None else placed.color)[chosen], axis=0)
    distance = {name: float(np.abs(np.cbrt(color) - np.cbrt(c)).sum()) for name, c in COLORS.items()}
    return min(distance, key=distance.__getitem__)
