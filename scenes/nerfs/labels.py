"""Labels of what a NeRF renders: it knows no instances, so 3D boxes are projected and tested against rendered depth.

A pixel shows an object if the point that is seen there lies in the object's box, and hides it if that point lies on the
ray before the box. Points near the box's lower face are the ground's. Letters: N points or pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Annotations, Sample
from scenes.splats.editing import SplatObject
from scenes.splats.labels import annotate, without_specks

SLACK_M, SLACK = 0.1, 0.02  # by which rendered depth may miss: metres, and part of the depth
GROUND_M = 0.05  # above a box's lower face: the ground seen through it
NEAREST_M = 0.05  # in front of the camera
LEAST_PX = 16  # of an object in one training view, for the object to be part of the scene

Mask = NDArray[np.bool_]
Window = tuple[slice, slice]  # rows, columns


@dataclass(frozen=True, eq=False)
class Cuboid:
    """A 3D box as `Annotations.boxes_3d` has it, seen by a camera."""

    box: NDArray[np.float64]  # (10,)
    camera: Camera

    @cached_property
    def turn(self) -> NDArray[np.float64]:
        """(3, 3) object to world."""
        from scipy.spatial.transform import Rotation

        return np.asarray(Rotation.from_quat(np.roll(self.box[6:10], -1)).as_matrix(), np.float64)

    @cached_property
    def corners(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(8, 2) pixels and (8,) depths, metres."""
        signs = np.stack(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5]), axis=-1).reshape(-1, 3)
        return self.camera.project(self.box[:3] + (signs * self.box[3:6]) @ self.turn.T)

    def window(self) -> Window | None:
        """Return the rows and columns of the picture around it, all where it passes the camera; None: not in it."""
        pixels, depth = self.corners
        height, width = self.camera.height, self.camera.width
        if (depth <= NEAREST_M).all():
            return None
        if (depth <= NEAREST_M).any():
            return slice(0, height), slice(0, width)
        low, high = np.floor(pixels.min(axis=0)), np.ceil(pixels.max(axis=0))
        left, top = (int(v) for v in np.clip(low, 0, (width, height)))
        right, bottom = (int(v) for v in np.clip(high, 0, (width, height)))
        return None if right <= left or bottom <= top else (slice(top, bottom), slice(left, right))

    def local(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points (..., 3) of the world in the box's own axes, metres from its middle."""
        return np.asarray((points - self.box[:3]) @ self.turn, np.float64)

    def span(self, rays: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the depths (...) at which rays (..., 3) of the camera frame, z = 1, enter and leave it (slabs).

        It is not met where they leave before they enter, or leave behind the camera.
        """
        start = self.local(self.camera.position)
        way = rays @ (self.camera.cam_to_world[:3, :3].T @ self.turn)
        with np.errstate(divide="ignore", invalid="ignore"):
            one, other = (-0.5 * self.box[3:6] - start) / way, (0.5 * self.box[3:6] - start) / way
        enter, leave = np.fmin(one, other).max(axis=-1), np.fmax(one, other).min(axis=-1)
        return np.maximum(enter, 0.0), leave


@dataclass(frozen=True, eq=False)
class Views:
    """What of one object is in a picture: where it shows and where something hides it, (rows, columns) of `window`."""

    window: Window
    shows: Mask
    hidden: Mask
    nearness: NDArray[np.float64]  # to the box's middle, in half sides: a point in two boxes goes to the nearer


def look_for(box: NDArray[np.float32], camera: Camera, depth: NDArray[np.float32]) -> Views | None:
    """Test a 3D box (10,) against the depth (H, W) of a picture; None where it is not in the frame."""
    cuboid = Cuboid(box.astype(np.float64), camera)
    window = cuboid.window()
    if window is None:
        return None
    rays = camera.rays()[window]
    seen = np.where(np.isfinite(depth[window]), depth[window], 1e6).astype(np.float64)
    points = (rays * seen[..., None]) @ camera.cam_to_world[:3, :3].T + camera.position
    local = cuboid.local(points)
    slack = SLACK_M + SLACK * seen
    half = 0.5 * cuboid.box[3:6]
    beyond = np.abs(local) - half
    above_ground = local[..., 2] > min(GROUND_M, 0.3 * cuboid.box[5]) - half[2]
    shows = (beyond.max(axis=-1) <= slack) & above_ground
    enter, leave = cuboid.span(rays)
    met = (leave > enter) & (leave > NEAREST_M)
    hidden = met & (seen < enter - slack) & ~shows
    return Views(window, shows & met, hidden, np.linalg.norm(local / np.maximum(half, 1e-6), axis=-1))


def labelled(
    camera: Camera, depth: NDArray[np.float32], objects: Mapping[int, SplatObject]
) -> tuple[NDArray[np.int32], Annotations]:
    """Return instances (H, W) and annotations of the objects of which a pixel shows at a rendered depth (H, W)."""
    instances = np.zeros(depth.shape, np.int32)
    best = np.full(depth.shape, np.inf)
    found: dict[int, Views] = {}
    for number, thing in objects.items():
        view = None if thing.box_3d is None else look_for(thing.box_3d, camera, depth)
        if view is None or not view.shows.any():
            continue
        found[number] = view
        wins = view.shows & (view.nearness < best[view.window])
        instances[view.window][wins] = number
        best[view.window][wins] = view.nearness[wins]
    instances = without_specks(instances)

    def alone(number: int) -> tuple[Mask, int, int]:
        return silhouette(found[number], instances == number, objects[number], camera)

    return instances, annotate(instances, None, objects, camera, alone)


def silhouette(view: Views, mask: Mask, thing: SplatObject, camera: Camera) -> tuple[Mask, int, int]:
    """Return what would be seen of an object alone, on a canvas half a picture larger on every side.

    In the frame that is where it shows or is hidden; beyond it, all of the projected box that the canvas holds.
    """
    x, y = camera.width // 2, camera.height // 2
    K = camera.K.copy()
    K[:2, 2] += (x, y)
    wide = replace(camera, K=K, width=camera.width + 2 * x, height=camera.height + 2 * y)
    canvas = np.zeros((wide.height, wide.width), np.bool_)
    if thing.box_3d is not None:
        cuboid = Cuboid(thing.box_3d.astype(np.float64), wide)
        window = cuboid.window()
        if window is not None:
            enter, leave = cuboid.span(wide.rays()[window])
            canvas[window] = (leave > enter) & (leave > NEAREST_M)
    inner = canvas[y : y + camera.height, x : x + camera.width]
    inner[:] = mask
    inner[view.window] |= view.hidden
    return canvas, -x, -y


def objects_of(samples: Sequence[Sample]) -> dict[int, SplatObject]:
    """Return the objects with a 3D box that labelled views show, by instance id."""
    objects: dict[int, SplatObject] = {}
    for sample in samples:
        truth = sample.annotations
        if truth.boxes_3d is None:
            continue
        area = (truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(axis=1)
        for row, number in enumerate(truth.instance_ids.tolist()):
            if np.isfinite(truth.boxes_3d[row]).all() and area[row] >= LEAST_PX:
                words = {k: v for k, v in truth.attributes[row].items() if k != "distance_m"}
                label, ignore = int(truth.labels[row]), bool(truth.ignore[row])
                objects[number] = SplatObject(label, truth.boxes_3d[row], ignore, words)
    return objects
