"""The labels of a frame, read off the rays that made it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from scenes.camera import Camera
from scenes.sample import Annotations
from scenes.town.classes import CLASS_NAMES, INDEX, OBJECT_CLASSES
from scenes.town.soup import Float, Soup
from scenes.town.tracer import Hits, Tracer
from scenes.town.view import directions

NEAR_M = 0.05


@dataclass(frozen=True, eq=False)
class Thing:
    """One instance of a frame; the callables are asked only if it is seen.

    triangles: (F, 3, 3) in the world; described: (10,) as `Annotations.boxes_3d`, and attributes."""

    id: int
    label: int
    triangles: Callable[[], Float]
    described: Callable[[], tuple[NDArray[np.float32], Mapping[str, Any]]]


def depth_map(hits: Hits, camera: Camera) -> Float:
    """Return (H, W) depth along the optical axis, inf = sky."""
    return hits.t.reshape(camera.height, camera.width)


def instance_map(hits: Hits, soup: Soup, camera: Camera) -> NDArray[np.int32]:
    """Return (H, W) instance ids, 0 = none."""
    ids = np.where(hits.face >= 0, soup.object[hits.face], 0).astype(np.int32)
    return ids.reshape(camera.height, camera.width)


def semantic_map(hits: Hits, soup: Soup, camera: Camera) -> NDArray[np.uint8]:
    """Return (H, W) Cityscapes classes, 255 = none of them."""
    classes = np.where(hits.face >= 0, soup.semantic[hits.face], INDEX["sky"]).astype(np.uint8)
    return classes.reshape(camera.height, camera.width)


def annotate(
    things: Sequence[Thing], instances: NDArray[np.int32], semantic: NDArray[np.uint8], depth: Float, camera: Camera
) -> Annotations:
    """Return the annotations of all things of which a pixel is visible, by instance id."""
    pixels = np.bincount(instances.ravel(), minlength=max((t.id for t in things), default=0) + 1)
    seen = [t for t in sorted(things, key=lambda t: t.id) if pixels[t.id]]
    ids = np.array([t.id for t in seen], np.int32)
    masks = instances[None] == ids[:, None, None]
    around = find_objects(instances)
    boxes = np.array([_box(around[t.id - 1]) for t in seen], np.float32).reshape(-1, 4)
    whole = [_whole(t, instances, depth, camera) for t in seen]
    alone = np.array([w[0] for w in whole], np.float32)
    amodal = np.array([w[1] for w in whole], np.float32).reshape(-1, 4)
    labels = np.array([t.label for t in seen], np.int64)
    described = [t.described() for t in seen]
    return Annotations(
        boxes=boxes,
        labels=labels,
        instance_ids=ids,
        ignore=np.array([CLASS_NAMES[label] not in OBJECT_CLASSES for label in labels], np.bool_),
        boxes_amodal=amodal,
        masks=masks,
        segmentation=semantic,
        visibility=np.clip(pixels[ids] / np.maximum(alone, 1), 0.0, 1.0).astype(np.float32),
        boxes_3d=np.array([box for box, _ in described], np.float32).reshape(-1, 10),
        track_ids=ids.astype(np.int64),
        attributes=tuple({**words, "distance_m": _distance(box, camera)} for box, words in described),
    )


def _distance(box_3d: NDArray[np.float32], camera: Camera) -> float:
    return round(float(np.linalg.norm(box_3d[:3] - camera.position)), 2)


def _box(window: tuple[slice, slice]) -> tuple[int, int, int, int]:
    rows, columns = window
    return columns.start, rows.start, columns.stop, rows.stop


def _around(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return the half-open box around the True pixels of a mask that has some."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _whole(
    thing: Thing, instances: NDArray[np.int32], depth: Float, camera: Camera
) -> tuple[int, tuple[float, float, float, float]]:
    """Return how many pixels of the frame the thing alone would cover, and its amodal box.

    Inside the frame the box follows the pixels, so that it equals the modal one where nothing is in front; beyond
    the frame it follows the projected outline.
    """
    tri = thing.triangles()
    local = tri.reshape(-1, 3) @ camera.world_to_cam[:3, :3].T + camera.world_to_cam[:3, 3]
    projected = (local @ camera.K.T)[:, :2] / np.maximum(local[:, 2:], NEAR_M)
    x1, y1, x2, y2 = _outline(local, projected, camera)
    left, top = max(int(np.floor(x1)), 0), max(int(np.floor(y1)), 0)
    right, bottom = min(int(np.ceil(x2)), camera.width), min(int(np.ceil(y2)), camera.height)
    window = (slice(top, bottom), slice(left, right))
    covered = instances[window] == thing.id
    in_front = ~covered & (depth[window] < local[:, 2].max())  # what lies behind the thing cannot hide it
    rows, columns = np.nonzero(in_front)
    if len(rows):
        rays = directions(camera, columns + (left + 0.5), rows + (top + 0.5))
        origins = np.broadcast_to(camera.position.astype(np.float32), rays.shape)
        part = _touching(projected - (left, top), in_front) | (local[:, 2] < NEAR_M).reshape(-1, 3).any(axis=1)
        covered[in_front] = Tracer(tri[part]).first(origins, rays).face >= 0
    if not covered.any():
        return 0, (x1, y1, x2, y2)
    a, b, c, d = _around(covered)
    box = (
        x1 if x1 < 0 else left + a,
        y1 if y1 < 0 else top + b,
        x2 if x2 > camera.width else left + c,
        y2 if y2 > camera.height else top + d,
    )
    return int(covered.sum()), box


def _touching(corners: NDArray[np.float64], pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (F,) True for triangles whose corners (F * 3, 2), in pixels, have a True pixel in the box around them."""
    sums = np.zeros((pixels.shape[0] + 1, pixels.shape[1] + 1), np.int64)  # of the pixels above and to the left
    sums[1:, 1:] = pixels.cumsum(axis=0).cumsum(axis=1)
    a, b, c = corners[0::3], corners[1::3], corners[2::3]
    limit = np.array(pixels.shape[::-1])
    x1, y1 = np.clip(np.floor(np.minimum(np.minimum(a, b), c)) - 1, 0, limit).astype(np.int64).T
    x2, y2 = np.clip(np.ceil(np.maximum(np.maximum(a, b), c)) + 1, 0, limit).astype(np.int64).T
    touches: NDArray[np.bool_] = sums[y2, x2] - sums[y1, x2] - sums[y2, x1] + sums[y1, x1] > 0
    return touches


def _outline(
    local: NDArray[np.float64], projected: NDArray[np.float64], camera: Camera
) -> tuple[float, float, float, float]:
    """Return the box around projected triangles, cut at the near plane.

    local (F * 3, 3): their corners in the camera frame; projected (F * 3, 2): those in pixels, where in front of it.
    """
    behind = local[:, 2] < NEAR_M
    pixels = [projected[~behind]]
    if behind.any():
        corners = local.reshape(-1, 3, 3)
        for k in range(3):
            a, b = corners[:, k], corners[:, (k + 1) % 3]
            cut = (a[:, 2] >= NEAR_M) != (b[:, 2] >= NEAR_M)
            a, b = a[cut], b[cut]
            crossing = a + (NEAR_M - a[:, 2:]) / (b[:, 2:] - a[:, 2:]) * (b - a)
            pixels.append((crossing @ camera.K.T)[:, :2] / NEAR_M)
    seen = np.concatenate(pixels)
    low, high = seen.min(axis=0), seen.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
