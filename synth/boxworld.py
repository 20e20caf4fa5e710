"""A few boxes on a plane under a sky, ray-cast in milliseconds: exact frames for the contracts and for small tests.

World as in `scenes.camera`: x forward, y left, z up, metres. Everything that a `Sample` can hold is filled and exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera, look
from scenes.edits import Add, Edit, Move, Recolour, Remove, Reshape, Retexture, Turn
from scenes.errors import InputError
from scenes.sample import Annotations, Sample

SKY, GROUND, OBJECT = 0, 1, 2  # classes of the segmentation
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """One object: centre on the ground (x, y), size, angles and linear colour."""

    instance_id: int
    x_m: float
    y_m: float
    z_m: float = 0.0
    length_m: float = 4.0
    width_m: float = 1.8
    height_m: float = 1.5
    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    roll_rad: float = 0.0
    colour: tuple[float, float, float] = (0.5, 0.1, 0.1)
    label: int = 0

    @property
    def centre(self) -> Array:
        return np.array([self.x_m, self.y_m, self.z_m + 0.5 * self.height_m])

    @property
    def size(self) -> Array:
        return np.array([self.length_m, self.width_m, self.height_m])

    @property
    def rotation(self) -> Array:
        """(3, 3) object (x forward, y left, z up) to world: yaw about z, pitch nose up, roll onto the right side."""
        (cy, cp, cr), (sy, sp, sr) = (
            [f(a) for a in (self.yaw_rad, self.pitch_rad, self.roll_rad)] for f in (math.cos, math.sin)
        )
        yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1.0]])
        pitch = np.array([[cp, 0, -sp], [0, 1, 0], [sp, 0, cp]])
        roll = np.array([[1.0, 0, 0], [0, cr, -sr], [0, sr, cr]])
        rotation: Array = yaw @ pitch @ roll
        return rotation

    @property
    def quaternion(self) -> Array:
        """(4,) w x y z of `rotation`."""
        halves = [0.5 * a for a in (self.yaw_rad, -self.pitch_rad, self.roll_rad)]
        (cy, cp, cr), (sy, sp, sr) = ([f(a) for a in halves] for f in (math.cos, math.sin))
        return np.array(
            [
                cr * cp * cy + sr * sp * sy,
                sr * cp * cy - cr * sp * sy,
                cr * sp * cy + sr * cp * sy,
                cr * cp * sy - sr * sp * cy,
            ]
        )


@dataclass(frozen=True)
class BoxScene:
    """A `Scene` of boxes."""

    boxes: tuple[Box, ...]
    seed: int = 0

    def render(self, camera: Camera, edits: Sequence[Edit] = ()) -> Sample:
        """Return the labelled frame of the edited boxes."""
        boxes = _edited(self.boxes, edits)
        rays = camera.rays() @ camera.world_to_cam[:3, :3]  # (H, W, 3) in the world; length along the axis is 1
        depth, image, segmentation = _backdrop(rays, camera.position)
        instances = np.zeros(depth.shape, np.int32)
        alone: list[NDArray[np.bool_]] = []
        for box in boxes:
            near, local = _hit(box, rays, camera.position)
            alone.append(np.isfinite(near))
            front = near < depth
            depth = np.where(front, near, depth)
            instances[front] = box.instance_id
            image[front] = _paint(box, local[front])
            segmentation[front] = OBJECT
        return Sample(
            sample_id=f"boxes/{self.seed}",
            image=image,
            annotations=_annotate(boxes, instances, alone, segmentation, camera),
            depth=depth.astype(np.float32),
            instances=instances,
            camera=camera,
            scene=self,
        )


def box_sample(width: int, height: int, *, seed: int = 0) -> Sample:
    """Return a frame of any size, of a seeded arrangement of four boxes.

    >>> box_sample(17, 33).image.shape
    (33, 17, 3)
    """
    noise = np.random.Generator(np.random.Philox(seed)).random((4, 4))
    boxes = tuple(
        Box(
            instance_id=i + 1,
            x_m=7.0 + 6.0 * i + 3.0 * u,
            y_m=(-2.2, 1.8, -0.6, 4.0)[i] + v,
            yaw_rad=0.6 * (w - 0.5),
            height_m=1.4 + q,
            colour=((0.6, 0.1, 0.1), (0.1, 0.2, 0.6), (0.7, 0.7, 0.7), (0.1, 0.4, 0.15))[i],
            label=i % 2,
        )
        for i, (u, v, w, q) in enumerate(noise)
    )
    camera = replace(Camera.assumed(width, height), world_to_cam=look(position=(0.0, 0.0, 1.5), pitch_rad=-0.04))
    sample = BoxScene(boxes, seed).render(camera)
    return replace(sample, sample_id=f"boxes/{width}x{height}/{seed}")


def _edited(boxes: tuple[Box, ...], edits: Sequence[Edit]) -> list[Box]:
    world = {box.instance_id: box for box in boxes}
    for edit in edits:
        if isinstance(edit, Add):
            number = max(world, default=0) + 1
            world[number] = Box(number, edit.x_m, edit.y_m, yaw_rad=edit.yaw_rad)
            continue
        box = world.get(getattr(edit, "instance_id", 0))
        if box is None:
            raise InputError(f"box scene: cannot carry out {edit}")
        if isinstance(edit, Turn):
            turned = (box.yaw_rad + edit.yaw_rad, box.pitch_rad + edit.pitch_rad, box.roll_rad + edit.roll_rad)
            world[box.instance_id] = replace(box, yaw_rad=turned[0], pitch_rad=turned[1], roll_rad=turned[2])
        elif isinstance(edit, Move):
            world[box.instance_id] = replace(
                box, x_m=box.x_m + edit.x_m, y_m=box.y_m + edit.y_m, z_m=box.z_m + edit.z_m
            )
        elif isinstance(edit, Retexture):
            mixed = (1 - edit.share) * np.array(box.colour) + edit.share * (0.8 - 0.7 * np.array(box.colour))
            world[box.instance_id] = replace(box, colour=tuple(mixed.tolist()))
        elif isinstance(edit, Recolour):
            world[box.instance_id] = replace(box, colour=(edit.red, edit.green, edit.blue))
        elif isinstance(edit, Reshape):
            length, width, height = box.size * (edit.length, edit.width, edit.height)
            world[box.instance_id] = replace(box, length_m=length, width_m=width, height_m=height)
        elif isinstance(edit, Remove):
            del world[box.instance_id]
        else:
            raise InputError(f"box scene: cannot carry out {edit}")
    return list(world.values())


def _backdrop(rays: Array, position: Array) -> tuple[Array, NDArray[np.uint8], NDArray[np.uint8]]:
    """Return depth (H, W), image (H, W, 3) and segmentation (H, W) of ground and sky."""
    down = rays[..., 2] < -1e-6
    depth = np.where(down, -position[2] / np.where(down, rays[..., 2], -1.0), np.inf)
    reach = np.where(down, depth, 0.0)
    x, y = position[0] + reach * rays[..., 0], position[1] + reach * rays[..., 1]
    grain = 8.0 * np.sin(9.1 * x + 3.0 * np.sin(5.3 * y)) * np.exp(-0.1 * reach)
    asphalt = np.stack([95 + grain, 95 + grain, 98 + grain], axis=-1)
    asphalt[(np.abs(np.abs(y) - 1.8) < 0.12) & (x % 6.0 < 3.0)] = 215
    height = np.clip(rays[..., 2] * 2.0, 0.0, 1.0)[..., None]
    sky = np.array([205.0, 215, 228]) * (1 - height) + np.array([110.0, 150, 215]) * height
    image = np.where(down[..., None], asphalt, sky)
    return depth, np.clip(image, 0, 255).astype(np.uint8), np.where(down, GROUND, SKY).astype(np.uint8)


def _hit(box: Box, rays: Array, position: Array) -> tuple[Array, Array]:
    """Return depth (H, W) to a box, inf where the ray misses, and the hit in the box's own frame (H, W, 3)."""
    origin = box.rotation.T @ (position - box.centre)
    direction = rays @ box.rotation
    direction = np.where(np.abs(direction) < 1e-9, 1e-9, direction)
    low, high = (-0.5 * box.size - origin) / direction, (0.5 * box.size - origin) / direction
    near, far = np.minimum(low, high).max(axis=-1), np.maximum(low, high).min(axis=-1)
    hit = (near <= far) & (near > 0.05)
    depth = np.where(hit, near, np.inf)
    return depth, origin + np.where(hit, near, 0.0)[..., None] * direction


def _paint(box: Box, local: Array) -> NDArray[np.uint8]:
    """Return (K, 3) sRGB of hits (K, 3): faces shaded by side, a window band, dark lower edge."""
    faces = np.abs(local / (0.5 * box.size)).argmax(axis=1)
    shade = np.array([0.8, 0.55, 1.1])[faces]
    height = local[:, 2] / box.height_m + 0.5
    colour = np.array(box.colour)[None, :] * shade[:, None]
    along = np.where(faces == 0, local[:, 1], local[:, 0])
    window = (height > 0.6) & (height < 0.9) & (faces != 2) & ((along * 1.1) % 1.0 > 0.12)
    colour[window] = (0.05, 0.06, 0.08)
    colour[height < 0.12] *= 0.3
    return np.clip(255.0 * np.clip(colour, 0, 1) ** (1 / 2.2), 0, 255).astype(np.uint8)


def _annotate(
    boxes: Sequence[Box],
    instances: NDArray[np.int32],
    alone: Sequence[NDArray[np.bool_]],
    segmentation: NDArray[np.uint8],
    camera: Camera,
) -> Annotations:
    n = len(boxes)
    masks = np.zeros((n, *instances.shape), np.bool_)
    visible, amodal = np.zeros((n, 4), np.float32), np.zeros((n, 4), np.float32)
    visibility = np.zeros(n, np.float32)
    for i, box in enumerate(boxes):
        masks[i] = instances == box.instance_id
        visible[i] = mask_box(masks[i])
        amodal[i] = _amodal(box, camera, alone[i])
        visibility[i] = masks[i].sum() / max(int(alone[i].sum()), 1)
    boxes_3d = [[*box.centre, *box.size, *box.quaternion] for box in boxes]
    return Annotations(
        boxes=visible,
        labels=np.array([box.label for box in boxes], np.int64),
        instance_ids=np.array([box.instance_id for box in boxes], np.int32),
        boxes_amodal=amodal,
        masks=masks,
        segmentation=segmentation,
        label=int(boxes[0].label) if boxes else None,
        visibility=visibility,
        boxes_3d=np.array(boxes_3d, np.float32).reshape(n, 10),
        track_ids=np.array([box.instance_id for box in boxes], np.int64),
    )


def _amodal(box: Box, camera: Camera, alone: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return (4,) the box around the whole object: its corners, or its pixels where it reaches behind the camera."""
    corners = np.array([(i, j, k) for i in (-0.5, 0.5) for j in (-0.5, 0.5) for k in (-0.5, 0.5)])
    pixels, depth = camera.project(corners * box.size @ box.rotation.T + box.centre)
    if (depth < 0.1).any():
        return mask_box(alone)
    return np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]).astype(np.float32)


def mask_box(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return (4,) the half-open box around a mask (H, W); zeros where it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.zeros(4, np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
