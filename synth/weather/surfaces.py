"""What weather lies on: which pixels are ground, by depth, without what stands on it; and of what kind others are."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Image, Sample
from synth.ground import ground_frame
from synth.radiometry import FAST
from synth.regions import class_names
from synth.standing import soft_outlines

FLATNESS_M = 0.2  # what lies within so many metres of the plane is ground: road, kerb, pavement
_REDUCED = 4
_BARE_SHARE = 0.15  # nothing lies on pixels of which an object known by its box has more
_MARKING_M = 0.7  # wider things on the road are no lane marking
_NO_MAP = np.zeros((1, 1), np.int32)

PLAIN, BARE, LEAVES, ROAD = 0, 1, 2, 3  # what a pixel is to snow: anything, never covered, sprinkled, driven on

# fmt: off
WARM = frozenset((
    "person", "pedestrian", "rider", "bicyclist", "cyclist", "animal", "dog", "horse", "bicycle", "motorcycle", "sky",
))
GREEN = frozenset(("vegetation", "tree", "plant", "bush"))
DRIVEN = frozenset(("road", "drivable area", "drivable", "street", "lane", "lane marking"))
# fmt: on

Map = NDArray[np.float32]
Codes = NDArray[np.uint8]


def kinds_of(sample: Sample) -> Codes:
    """Return (H, W) PLAIN, BARE, LEAVES or ROAD: what a pixel is to what falls on it.

    By class where names are known, else leaves by their green; in boxes without outline nothing lies.
    """
    notes, names = sample.annotations, class_names(sample)
    if notes.segmentation is not None and names:
        table = np.full(256, PLAIN, np.uint8)
        for index, name in enumerate(names[:255]):
            table[index] = BARE if name in WARM else LEAVES if name in GREEN else ROAD if name in DRIVEN else PLAIN
        found: Codes = cv2.LUT(notes.segmentation.astype(np.uint8), table)
        return found.reshape(notes.segmentation.shape)
    red, green, blue = cv2.split(cv2.blur(sample.image, (5, 5)))
    leaves = (green > cv2.max(red, blue)).astype(np.uint8).reshape(sample.image.shape[:2])
    kinds: Codes = leaves * np.uint8(LEAVES)
    if sample.instances is None and notes.masks is None:  # boxes have no outline for snow to lie on
        for inside, outline in soft_outlines(sample):
            kinds[inside][outline > _BARE_SHARE] = BARE
    return kinds


def plane_of(camera: Camera, shape: tuple[int, ...]) -> Map:
    """Return (4,) a, b, c, h: a ray through column j, row i of a picture of a shape climbs a j + b i + c per metre of
    depth, from height h over the ground."""
    up, height = ground_frame(camera)
    across, down = camera.width / shape[1], camera.height / shape[0]
    a, b = up[0] * across / camera.K[0, 0], up[1] * down / camera.K[1, 1]
    centre_x, centre_y = camera.K[0, 2] / across, camera.K[1, 2] / down
    return np.array([a, b, up[2] + a * (0.5 - centre_x) + b * (0.5 - centre_y), height], np.float32)


@njit(cache=True, inline="always")
def ground_share(z, rise, height):  # type: ignore[no-untyped-def]  # numba infers
    """For kernels: how much a pixel of depth z, whose ray climbs `rise` per metre of depth, is ground, 0 to 1."""
    off = abs(height + z * rise) / (np.float32(FLATNESS_M) + np.float32(0.01) * z)
    share = min(max(np.float32(2.0) - np.float32(2.0) * off, np.float32(0.0)), np.float32(1.0))
    return share if z < np.float32(1e4) and rise < 0 else np.float32(0.0)


def shrunk(image: Image, step: int) -> Image:
    """Return a picture at 1 / step of its size, step a power of two: by halves, which is three times as fast."""
    height, width = image.shape[:2]
    done, small = 1, image
    while done < step:
        done *= 2
        size = (max(1, width // done), max(1, height // done))
        small = cv2.resize(small, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 3)
    return small


def ground_map(sample: Sample, depth: Depth, camera: Camera) -> Codes:
    """Return (H, W) how much of each pixel is ground, 0 to 255, and no labelled object.

    Where neither objects nor classes are known, what does not look like the road before the camera is left out.
    """
    share = np.empty(depth.shape, np.uint8)
    objects = _NO_MAP if sample.instances is None else np.ascontiguousarray(sample.instances)
    _ground(np.ascontiguousarray(depth), objects, plane_of(camera, depth.shape), share)
    notes = sample.annotations
    if sample.instances is None and notes.masks is not None and len(notes.masks):
        share[notes.masks.any(axis=0)] = 0
    elif sample.instances is None and notes.segmentation is None:
        for inside, outline in soft_outlines(sample):
            share[inside] = share[inside] * (1.0 - outline) + 0.5
        like = _road_like(sample.image, share, camera)
        share = share if like is None else cv2.multiply(share, like, scale=1.0 / 255.0).reshape(share.shape)
    return share


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _ground(depth, objects, plane, share):  # type: ignore[no-untyped-def]  # numba infers
    a, b, c, height = plane
    rows, columns = depth.shape
    known = objects.shape[0] == rows and objects.shape[1] == columns
    for i in range(rows):
        climb = b * np.float32(i) + c
        if min(climb, a * np.float32(columns - 1) + climb) >= 0:  # over the horizon
            share[i] = np.uint8(0)
            continue
        for j in range(columns):
            rise = a * np.float32(j) + climb
            share[i, j] = np.uint8(np.float32(255.0) * ground_share(depth[i, j], rise, height) + np.float32(0.5))
        if known:
            for j in range(columns):
                share[i, j] = np.uint8(0) if objects[i, j] > 0 else share[i, j]


def _road_like(image: Image, share: Codes, camera: Camera) -> Codes | None:
    """Return (H, W) 0 to 255: 0 on parts of the ground that differ in colour, light or detail from the road before it.

    What is less than 0.7 m wide is a lane marking, and stays; so do shadows, which are darker.
    Found on a quarter of the size; None where the picture is too small or shows no road before the camera.
    """
    height, width = share.shape
    if min(height, width) < 8 * _REDUCED:
        return None
    size = (width // _REDUCED, height // _REDUCED)
    small = shrunk(image, _REDUCED)
    flat = cv2.resize(share, size, interpolation=cv2.INTER_NEAREST) > 0
    near = np.zeros(flat.shape, np.bool_)
    near[int(0.65 * size[1]) : int(0.95 * size[1]), int(0.3 * size[0]) : int(0.7 * size[0])] = True
    near &= flat
    if np.count_nonzero(near) < 20:
        return None
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    centre = np.median(lab[near], axis=0)
    colour = np.abs(lab[..., 1].astype(np.int16) - centre[1]) + np.abs(lab[..., 2].astype(np.int16) - centre[2])
    detail = cv2.morphologyEx(lab[..., 0], cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    other = (colour > 22) | (lab[..., 0] > centre[0] + 70) | (detail > 70) | (lab[..., 0] < 0.25 * centre[0])
    unlike = (other & flat).astype(np.uint8)
    unlike = cv2.morphologyEx(unlike, cv2.MORPH_CLOSE, np.ones((max(3, size[0] // 90) | 1,) * 2, np.uint8))
    _drop_narrow(unlike, plane_of(camera, flat.shape), np.float32(_MARKING_M * camera.K[0, 0] / _REDUCED))
    kept = np.uint8(255) - np.uint8(255) * cv2.dilate(unlike, np.ones((3, 3), np.uint8)).reshape(unlike.shape)
    soft = cv2.blur(kept, (3, 3))
    like: Codes = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return like


@njit(cache=True, nogil=True)
def _drop_narrow(mask, plane, width_px):  # type: ignore[no-untyped-def]  # numba infers
    """Clear the runs of each row of mask (h, w) that are narrower on the ground than `width_px` are at 1 m."""
    rows, columns = mask.shape
    for i in range(rows):
        per_m = -(plane[0] * np.float32(0.5 * columns) + plane[1] * np.float32(i) + plane[2]) / plane[3]
        least, start = max(width_px * per_m, np.float32(2.0)), -1
        for j in range(columns + 1):
            inside = j < columns and mask[i, j] > 0
            if inside and start < 0:
                start = j
            elif not inside and start >= 0:
                if j - start < least:
                    mask[i, start:j] = 0
                start = -1


@njit(cache=True, nogil=True, error_model="numpy")
def stretch(count, size):  # type: ignore[no-untyped-def]  # numba infers
    """For kernels: how `count` pixels lie on `size` coarser ones: left neighbour, right neighbour, nearness to it."""
    left, right, near = np.empty(count, np.uintp), np.empty(count, np.uintp), np.empty(count, np.float32)
    for j in range(count):
        x = (np.float32(j) + np.float32(0.5)) * np.float32(size / count) - np.float32(0.5)
        x = min(max(x, np.float32(0.0)), np.float32(size - 1))
        left[j] = int(x)
        right[j] = min(int(x) + 1, size - 1)
        near[j] = x - np.float32(int(x))
    return left, right, near


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def stretch_row(maps, upper, lower, down, left, right, near, line, out):  # type: ignore[no-untyped-def]  # numba infers
    """For kernels: fill out (K, W) with a full row of coarse maps (K, h, w), between rows `upper` and `lower`.

    line: (w,) to work in. One loop writes to one array: more would not be turned into vector instructions.
    """
    for k in range(out.shape[0]):
        above, below, made = maps[k, upper], maps[k, lower], out[k]
        for m in range(line.size):
            line[m] = above[m] + down * (below[m] - above[m])
        for j in range(made.size):
            first = line[left[j]]
            made[j] = first + near[j] * (line[right[j]] - first)
