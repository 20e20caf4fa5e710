"""The ground-plane prior: depth of a street picture from its camera, its labels and a little of its pixels.

The ground is flat and level under the camera. Objects stand on it: an object has the ground's distance at the bottom
of its box or mask. Regions of a segmentation that rise over the horizon are upright. Without labels the street is a
corridor with walls beside it. Sky is what is bright or blue, smooth, and reaches the upper border.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Annotations, Depth, Image, Sample
from synth.standing import stand_objects

FAR_M = 250.0  # where the ground is taken to end; finite backdrops do not lie beyond
WALL_M = 14.0  # lateral distance of the corridor's walls: two lanes, pavement, front gardens
CAMERA_HEIGHT_M = 1.5
_UPRIGHT_SHARE = 0.12  # a segment with more of its pixels over the horizon than this stands upright
_SPECK_SHARE = 0.0002  # smaller parts of a segmentation are not looked at
_BACKDROP_SHARE = 0.005  # larger parts that are not seen to stand on the ground line the street
_ALL_LIES_SHARE = 0.8  # of a class under the horizon: if so much of it lies, all of it does
_SKY_COLOUR = 40.0  # levels of 255 that the sky may change by under the horizon, and twice its spread there
_STANDS_IF_WIDER = 2.0  # so many times wider, in metres, at its far end than at its near one

Mask = NDArray[np.bool_]


def ground_plane_depth(sample: Sample, *, objects: Sequence[int] | None = None) -> Depth:
    """Return (H, W) metres along the optical axis, inf = sky, for a sample with or without camera and labels.

    objects: rows of the labelled objects that stand in it; None is all of them
    """
    camera = sample.camera or Camera.assumed(sample.width, sample.height)
    ground = _ground(camera)
    sky = sky_mask(sample.image, camera)
    notes = sample.annotations
    if notes.segmentation is not None:
        depth, sky = _upright_segments(notes, sample.image, camera, ground, sky)
    else:
        depth = np.minimum(ground, _corridor(camera))
    depth[sky] = np.inf
    stand_objects(depth, ground, sample, FAR_M, rows=objects)
    return depth


def ground_points(camera: Camera) -> tuple[Mask, Depth]:
    """Return where a street picture most likely shows ground, (H, W) bool, and its depth there, (H, W) metres."""
    ground = _ground(camera)
    where = (ground < 40.0) & ~_above(camera)
    middle = 0.5 * camera.width
    rows, columns = np.indices(where.shape, sparse=True)
    spread = middle * (0.35 + 0.5 * rows / max(camera.height, 1))
    return where & (np.abs(columns + 0.5 - middle) <= spread), ground


def ground_frame(camera: Camera) -> tuple[NDArray[np.float64], float]:
    """Return world up in camera coordinates (3,) and height over ground; a level 1.5 m where the pose says nothing.

    A pose that is not upright, or stands under or far over the ground, is not one of a road camera.
    """
    up, height = camera.world_to_cam[:3, 2], float(camera.position[2])
    if up[1] > -0.7:
        return np.array([0.0, -1.0, 0.0]), CAMERA_HEIGHT_M
    return up, height if 0.2 < height < 20.0 else CAMERA_HEIGHT_M


def climb(camera: Camera) -> NDArray[np.float32]:
    """Return (H, W) how much each ray climbs per metre of depth; 0 on the horizon."""
    up, _ = ground_frame(camera)
    x = (np.arange(camera.width) + 0.5 - camera.K[0, 2]) / camera.K[0, 0]
    y = (np.arange(camera.height) + 0.5 - camera.K[1, 2]) / camera.K[1, 1]
    rise: NDArray[np.float32] = (up[0] * x[None, :] + up[1] * y[:, None] + up[2]).astype(np.float32)
    return rise


def _above(camera: Camera) -> Mask:
    above: Mask = climb(camera) >= 0
    return above


def _ground(camera: Camera) -> Depth:
    """Return (H, W) depth of the plane, at most FAR_M, and FAR_M over the horizon."""
    _, height = ground_frame(camera)
    descent = np.maximum(-climb(camera), height / FAR_M)
    return (height / descent).astype(np.float32)


def _corridor(camera: Camera) -> Depth:
    """Return (1, W) depth of walls at both sides and of the backdrop between them."""
    x = (np.arange(camera.width) + 0.5 - camera.K[0, 2]) / camera.K[0, 0]
    return (WALL_M / np.maximum(np.abs(x), WALL_M / FAR_M)).astype(np.float32)[None, :]


def sky_mask(image: Image, camera: Camera) -> Mask:
    """Return (H, W) True for smooth, bright or blue pixels that reach the upper border.

    Pixels under the horizon only where the sky over it goes on without a border: the picture looks up, or tilts.
    """
    above = _above(camera)
    sky = np.zeros(above.shape, np.bool_)
    if not above.any():
        return sky
    light, smooth = _light_and_smooth(image)
    kernel = np.ones((5, 5), np.uint8)
    candidate = (light & smooth & above).astype(np.uint8)
    _, regions, stats, _ = cv2.connectedComponentsWithStats(candidate, connectivity=4)
    touching = np.unique(regions[0][candidate[0] > 0])
    big = [r for r in touching if stats[r, cv2.CC_STAT_AREA] >= 0.002 * image.shape[0] * image.shape[1]]
    sky = _chosen(regions, big, len(stats))
    going_on = _going_on(sky, image, light & smooth & ~above)
    grown = cv2.dilate((sky | going_on).astype(np.uint8), kernel) > 0  # the rim next to what borders on it
    return grown & light & (above | (cv2.dilate(going_on.astype(np.uint8), kernel) > 0))


def _light_and_smooth(image: Image) -> tuple[Mask, Mask]:
    """Return where a picture is bright or blue, and where it has no detail."""
    blurred = cv2.blur(image, (3, 3), borderType=cv2.BORDER_REPLICATE)
    planes = cv2.split(blurred)
    red, blue = planes[0].astype(np.int16), planes[2].astype(np.int16)
    brightness = cv2.max(cv2.max(planes[0], planes[1]), planes[2])
    grey = cv2.cvtColor(blurred, cv2.COLOR_RGB2GRAY)
    kernel = np.ones((3, 3), np.uint8)
    rough = cv2.subtract(cv2.dilate(grey, kernel), cv2.erode(grey, kernel))
    light = ((brightness > 135) & (blue > red - 25)) | ((blue > red + 12) & (brightness > 70))
    return light, rough < 14


def _going_on(sky: Mask, image: Image, below: Mask) -> Mask:
    """Return the parts of `below` the horizon that go on from the sky: they touch it, have its colour there, and end.

    What reaches the lower border is ground under an overcast sky, or a wall, and no sky.
    """
    rim = cv2.dilate(below.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    edge = sky & rim
    if not edge.any():
        return np.zeros_like(sky)
    mean, spread = image[edge].mean(axis=0), image[edge].std(axis=0)
    reach = _SKY_COLOUR + 2.0 * spread
    low, high = np.clip(np.ceil(mean - reach), 0, 255), np.clip(np.floor(mean + reach), 0, 255)
    alike = cv2.inRange(image, tuple(low.tolist()), tuple(high.tolist())) > 0
    n_regions, regions = cv2.connectedComponents((below & alike).astype(np.uint8), connectivity=4)
    found = np.unique(regions[cv2.dilate(sky.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0])
    going = np.setdiff1d(found, [0, *np.unique(regions[-1])])
    return _chosen(regions, going.tolist(), n_regions)


def _chosen(regions: NDArray[np.int32], wanted: Sequence[int], n_regions: int) -> Mask:
    """Return where the number of a region (H, W) is one of those wanted."""
    table = np.zeros(n_regions, np.bool_)
    table[list(wanted)] = True
    found: Mask = table[regions]
    return found


def _upright_segments(notes: Annotations, image: Image, camera: Camera, ground: Depth, sky: Mask) -> tuple[Depth, Mask]:
    """Return depth and sky where a segmentation says what belongs together; class names are not needed."""
    segmentation = notes.segmentation
    assert segmentation is not None  # the one caller has looked
    sky = sky.copy()
    light_through_leaves = _blue_near(sky, image)
    ignored = notes.segmentation_ignore
    above = _above(camera)
    upright: list[Mask] = []
    for value in np.unique(segmentation):
        mask = segmentation == value
        count = np.count_nonzero(mask)
        if ignored is not None and ignored[mask].all():
            mask &= ~sky
        elif np.count_nonzero(mask & sky) > 0.5 * count:
            sky |= mask
            continue
        else:
            sky &= ~mask
        if np.count_nonzero(mask & above) > _UPRIGHT_SHARE * count:
            upright.extend(_parts(mask))
        else:
            upright.extend(_standing_parts(mask, ground))
    if upright:
        sky |= light_through_leaves & np.any(upright, axis=0)
        upright = [part & ~sky for part in upright]
    flat = np.logical_not(sky | np.any(upright, axis=0)) if upright else ~sky
    depth = np.where(flat, np.minimum(ground, FAR_M), np.nan).astype(np.float32)
    for mask in upright:
        feet = _foot_depth(mask, flat, ground)
        if feet is not None:
            depth = np.where(mask, feet[None, :], depth)
        elif np.count_nonzero(mask) > _BACKDROP_SHARE * mask.size:
            depth = np.where(mask, _corridor(camera), depth)
    unknown = np.isnan(depth) & ~sky
    if unknown.any():  # nothing of it is seen to stand on the ground: as far as what is next to it
        known = (np.isfinite(depth) & ~sky).astype(np.float32)
        logarithm = np.log(np.where(known > 0, depth, 1.0)).astype(np.float32)
        depth = np.where(unknown, np.exp(push_pull(logarithm, known)), depth)
    return np.where(flat, depth, np.minimum(depth, _corridor(camera) * 1.5)).astype(np.float32), sky


def _blue_near(sky: Mask, image: Image) -> Mask:
    """Return blue, bright pixels near the sky: it shines through leaves that a segmentation is too coarse for."""
    if not sky.any():
        return sky
    reach = 2 * (image.shape[1] // 40) + 1
    near = cv2.dilate(sky.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    red, blue = image[..., 0].astype(np.int16), image[..., 2].astype(np.int16)
    found: Mask = near & (blue > red + 12) & (blue > 0.8 * np.median(blue[sky]))
    return found


def _parts(mask: Mask) -> list[Mask]:
    """Return the connected parts of a mask, without specks."""
    _, regions, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return [regions == number for number in 1 + np.flatnonzero(areas >= _SPECK_SHARE * mask.size)]


def _standing_parts(mask: Mask, ground: Depth) -> list[Mask]:
    """Return the parts of a class under the horizon that stand; none where nearly all of the class lies.

    What a car leaves to be seen of a pavement can have any outline, but lies as the rest of the pavement does.
    """
    parts = _parts(mask)
    standing = [part for part in parts if _stands(part, ground)]
    area, total = (sum(np.count_nonzero(part) for part in some) for some in (standing, parts))
    return standing if area > (1 - _ALL_LIES_SHARE) * total else []


def _stands(part: Mask, ground: Depth) -> bool:
    """Tell whether a connected part cannot lie on the ground.

    What lies there gets narrower towards the horizon. A part that keeps its width in the picture would be several
    times as wide, in metres, at its far end: it stands. Parts cut by the lower border are taken to lie.
    """
    rows = np.flatnonzero(part.any(axis=1))
    if len(rows) < 4 or rows[-1] == part.shape[0] - 1:
        return False
    window = slice(rows[0], rows[-1] + 1)
    widths = np.count_nonzero(part[window], axis=1) * ground[window].mean(axis=1)
    quarter = len(widths) // 4
    return bool(widths[:quarter].mean() > _STANDS_IF_WIDER * widths[-quarter:].mean())


def _foot_depth(mask: Mask, flat: Mask, ground: Depth) -> NDArray[np.float32] | None:
    """Return (W,) depth at which a mask stands on flat ground; columns whose foot is hidden follow their neighbours.

    None where no column of it is seen to touch the ground.
    """
    height, width = mask.shape
    columns = np.arange(width)
    lowest = height - 1 - np.argmax(mask[::-1], axis=0)
    below = np.minimum(lowest + 1, height - 1)
    stands = mask.any(axis=0) & (flat[below, columns] | (lowest == height - 1)) & (ground[below, columns] < FAR_M)
    if not stands.any():
        return None
    feet = np.interp(columns, columns[stands], np.log(ground[below, columns][stands]))
    reach = 2 * max(1, width // 80) + 1
    smooth = cv2.blur(feet.astype(np.float32)[None, :], (reach, 1), borderType=cv2.BORDER_REPLICATE)
    depth: NDArray[np.float32] = np.exp(smooth).reshape(-1)
    return depth


def push_pull(values: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill pixels of weight 0 from the nearest scale on which something is known; values, weights (H, W)."""
    height, width = values.shape
    if weights.min() >= 1 or height * width <= 4:
        mean = float((values * weights).sum() / max(float(weights.sum()), 1e-6))
        return np.where(weights > 0, values, np.float32(mean))
    half = ((width + 1) // 2, (height + 1) // 2)
    weight = cv2.resize(weights, half, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(values * weights, half, interpolation=cv2.INTER_AREA) / np.maximum(weight, 1e-6)
    coarse = push_pull(coarse, np.minimum(weight * 4.0, 1.0))
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    mixed: NDArray[np.float32] = weights * values + (1.0 - weights) * fine
    return mixed
