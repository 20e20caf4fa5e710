"""Posed photographs: nerfstudio's transforms.json, COLMAP models, KITTI-style sequences, and the town.

    capture = open_capture("fox/")            # or "town:7:40"
    training, held_out = capture.split()

A capture gives pinhole pictures: lens distortion is taken out as a photo is read. Cameras follow scenes/camera.py
whatever the file format says of axes and pixel centres; scenes/captures/axes.py is where that converts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera, Matrix
from scenes.errors import InputError
from scenes.sample import Sample

HELD_OUT_EVERY = 8  # every eighth view, as in Mip-NeRF 360 and 3DGS
_TOWN = re.compile(r"^town(?::(?P<seed>[^:]*))?(?::(?P<n>[^:]*))?$")


class View(Protocol):
    """One posed picture."""

    @property
    def name(self) -> str:
        """Relative POSIX path without suffix, unique in the capture."""
        ...

    @property
    def camera(self) -> Camera:
        """The camera of the picture that `load` returns: a pinhole."""
        ...

    def resized(self, width: int, height: int) -> View:
        """Return the same view as a smaller or larger picture."""
        ...

    def load(self) -> Sample:
        """Return the picture with its camera, and what the capture knows besides (depth, instances, annotations)."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Capture:
    """Views of one scene that stands still.

    points: (P, 3) float32 world, known places on surfaces; colors: (P, 3) uint8 sRGB of them; None where unknown
    metric: lengths are metres and z is up (else the unit of the reconstruction)
    notes:  what was skipped or assumed, for people
    """

    name: str
    views: Sequence[View]
    points: NDArray[np.float32] | None = None
    colors: NDArray[np.uint8] | None = None
    class_names: tuple[str, ...] = ()
    metric: bool = False
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        names = [view.name for view in self.views]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"capture {self.name}: the view {twice[0]!r} comes more than once")

    def split(self) -> tuple[list[View], list[View]]:
        """Return the views to fit to and, every eighth in the order of their names, those held out."""
        ordered = sorted(self.views, key=lambda view: view.name)
        if len(ordered) < 2:
            raise InputError(f"capture {self.name}: expected two views or more, got {len(ordered)}; one is held out")
        held_out = ordered[::HELD_OUT_EVERY]
        return [view for view in ordered if view not in held_out], held_out

    def at_most(self, pixels: int) -> Capture:
        """Return the capture with pictures no longer than `pixels` on their longer side."""
        views = []
        for view in self.views:
            factor = pixels / max(view.camera.width, view.camera.height)
            size = [max(1, round(factor * n)) for n in (view.camera.width, view.camera.height)]
            views.append(view.resized(size[0], size[1]) if factor < 1 else view)
        return replace(self, views=views)

    def extent(self) -> float:
        """Return 1.1 times the largest distance of a camera from their middle, the scene scale of 3DGS."""
        centres = np.array([view.camera.position for view in self.views])
        return float(1.1 * max(np.linalg.norm(centres - centres.mean(0), axis=1).max(), 1e-3))


def resized_camera(camera: Camera, width: int, height: int) -> Camera:
    """Return the camera of a picture that was resized; K scales with the pixels, as (0, 0) is the picture's corner."""
    K: Matrix = np.diag([width / camera.width, height / camera.height, 1.0]) @ camera.K
    return replace(camera, K=K, width=width, height=height)


def open_capture(source: str | Path) -> Capture:
    """Open a folder (or transforms.json) of a known format, or `town`, `town:SEED`, `town:SEED:N` with N views."""
    town = _TOWN.match(str(source))
    if town:
        from scenes.captures.town import town_capture

        return town_capture(_whole(town["seed"], 0, source), _whole(town["n"], 40, source))
    path = Path(source)
    if not path.exists():
        raise InputError(f"capture {path}: no such file or folder; `town` is the built-in one")
    for open_if in _readers():
        capture = open_if(path)
        if capture is not None:
            return capture
    raise InputError(
        f"capture {path}: expected transforms.json (nerfstudio), a COLMAP model (cameras, images, points3D as .bin or "
        "'.txt', also in sparse/0) or a KITTI sequence (image_2, calib.txt, poses.txt); found none of them"
    )


def _readers() -> list[Callable[[Path], Capture | None]]:
    from scenes.captures.colmap import colmap_capture
    from scenes.captures.kitti import kitti_capture
    from scenes.captures.nerfstudio import nerfstudio_capture

    return [nerfstudio_capture, colmap_capture, kitti_capture]


def _whole(text: str | None, default: int, source: str | Path) -> int:
    if text is None:
        return default
    if not text.isdecimal():
        raise InputError(f"capture {str(source)!r}: expected town, town:SEED or town:SEED:N with whole numbers")
    return int(text)
