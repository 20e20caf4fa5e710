"""Another lens: radial distortion of the whole frame after Brown (1966), all labels with it.

r' = r (1 + k1 r^2) on the normalised image plane. The focal length is changed just so far that the new frame is full of
the old picture: no pixel is invented, and a border is cut off, as when a distorted lens is used at the same sensor.
`camera.K` and `camera.distortion` say what was done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import cv2
import numpy as np

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Sample
from synth.noise import Field
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.warp import Points, Warp, warp_frame

_LARGEST_GAIN = 8.0  # of the focal length; a lens that still folds then is no lens
_GRID_PX = 8  # the map is computed this coarsely and interpolated; its error stays below 0.02 px


@dataclass(frozen=True)
class LensParams:
    """distortion: signed share by which the radius of the far corner changes; negative = barrel."""

    distortion: float


@register
@dataclass(frozen=True)
class Lens:
    """Barrel or pincushion distortion, in share of the corner's radius (ISO 17850 local geometric distortion).

    kind: "any" draws one of the two
    """

    name: ClassVar[str] = "shape/lens"
    family: ClassVar[Family] = "shape"
    needs: ClassVar[frozenset[Need]] = frozenset({"camera"})
    changes: ClassVar[Change] = "geometry"
    table: ClassVar[SeverityTable] = SeverityTable(
        "radial distortion at the corner",
        "%",
        (2, 5, 10, 17, 25),
        "ISO 17850; machine vision lenses keep below 2 %, wide-angle driving cameras reach 10-30 %",
    )
    params_type: ClassVar[type[LensParams]] = LensParams

    kind: Literal["any", "barrel", "pincushion"] = "any"

    def __post_init__(self) -> None:
        if self.kind not in ("any", "barrel", "pincushion"):
            raise ValueError(f"kind: expected any, barrel or pincushion, got {self.kind!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> LensParams:
        barrel = rng.uniform() < 0.7
        if self.kind != "any":
            barrel = self.kind == "barrel"
        return LensParams(distortion=self.table.at(severity) / 100 * (-1 if barrel else 1))

    def apply(self, sample: Sample, params: LensParams) -> Sample:
        if sample.camera is None:
            raise InputError(f"{self.name} needs a camera; sample {sample.sample_id!r} has none: complete it first")
        return change_lens(sample, sample.camera, _bent(sample.camera, params.distortion))


def change_lens(sample: Sample, old: Camera, new: Camera) -> Sample:
    """Return the frame as another lens at the same place would have shown it."""
    rows, columns = -(-old.height // _GRID_PX) + 2, -(-old.width // _GRID_PX) + 2
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2) * float(_GRID_PX)
    source = _distort(_undistort(grid, new), old).reshape(rows, columns, 2).astype(np.float32)
    warp = Warp(
        x=_refine(source[..., 0], old),
        y=_refine(source[..., 1], old),
        forward=lambda points: _distort(_undistort(points, old), new),
    )
    return warp_frame(sample, warp, camera=new)


def _bent(camera: Camera, distortion: float) -> Camera:
    """Return the camera with a changed k1, its focal length such that no pixel comes from outside the old frame.

    Where the old lens is bent already, so far that the new one has a ray for each of its pixels, too.
    """
    corners = np.array([(x, y) for x in (0.0, camera.width) for y in (0.0, camera.height)])
    radii = np.hypot(*((corners - camera.K[:2, 2]) / camera.K[[0, 1], [0, 1]]).T)
    sides = (
        min(camera.K[0, 2], camera.width - camera.K[0, 2]) / camera.K[0, 0],
        min(camera.K[1, 2], camera.height - camera.K[1, 2]) / camera.K[1, 1],
    )
    k1 = distortion / float(radii.max()) ** 2
    nearest = max(0.0, min(sides))
    gain = 1 / (1 + distortion) if distortion < 0 else 1 / (1 + k1 * nearest**2)
    while True:
        K = camera.K.copy()
        K[:2, :2] *= gain
        new = replace(camera, K=K, distortion=(camera.distortion[0] + k1, *camera.distortion[1:]))
        if not any(camera.distortion) or gain > _LARGEST_GAIN or _shows_only(camera, new):
            return new
        gain *= 1.03  # what the old lens bends adds up with the new: less of the frame is shown


def _shows_only(old: Camera, new: Camera) -> bool:
    """Tell whether every pixel of a new camera has a ray, and that ray a place in the old frame."""
    x, y = np.meshgrid(np.linspace(0, new.width, 33), np.linspace(0, new.height, 33))
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    rays = _undistort(pixels, new)
    source = _distort(rays, old)
    there = (source >= -0.5).all() and (source <= (old.width + 0.5, old.height + 0.5)).all()
    r2 = (rays**2).sum(axis=1)
    k1, k2, _, _, k3 = old.distortion
    sees = (1 + r2 * (3 * k1 + r2 * (5 * k2 + r2 * 7 * k3)) > 0).all()  # the old lens does not fold there either
    return bool(there and sees and np.abs(_distort(rays, new) - pixels).max() < 0.5)


def _distort(rays: Points, camera: Camera) -> Points:
    """Return the pixels (K, 2) where rays (K, 2), on the plane z = 1, meet the sensor (OpenCV's model and order)."""
    k1, k2, p1, p2, k3 = camera.distortion
    x, y = rays[:, 0], rays[:, 1]
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    bent_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    bent_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    K = camera.K
    return np.stack([K[0, 0] * bent_x + K[0, 1] * bent_y + K[0, 2], K[1, 1] * bent_y + K[1, 2]], axis=1)


def _undistort(pixels: Points, camera: Camera) -> Points:
    """Return the rays (K, 2) that meet the sensor at pixels (K, 2); Newton on the radius, which a fixed point needs.

    Beyond the radius at which a barrel folds back no ray exists; the ray of the fold is returned.
    """
    K = camera.K
    y = (pixels[:, 1] - K[1, 2]) / K[1, 1]
    wanted = np.stack([(pixels[:, 0] - K[0, 2] - K[0, 1] * y) / K[0, 0], y], axis=1)
    k1, k2, p1, p2, k3 = camera.distortion
    fold = _fold_radius(k1, k2, k3)
    rays = wanted.copy()
    for _ in range(4 if p1 or p2 else 1):
        r2, xy = (rays**2).sum(axis=1), rays[:, 0] * rays[:, 1]
        tangential = np.stack(
            [2 * p1 * xy + p2 * (r2 + 2 * rays[:, 0] ** 2), p1 * (r2 + 2 * rays[:, 1] ** 2) + 2 * p2 * xy], axis=1
        )
        target = wanted - tangential
        length = np.hypot(target[:, 0], target[:, 1])
        r = np.minimum(length, fold)
        for _ in range(12):
            s = r * r
            value = r * (1 + s * (k1 + s * (k2 + s * k3))) - length
            slope = 1 + s * (3 * k1 + s * (5 * k2 + s * 7 * k3))
            r = np.clip(r - value / np.maximum(slope, 0.05), 0.0, fold)
        rays = target * np.where(length > 1e-12, r / np.maximum(length, 1e-12), 1.0)[:, None]
    return rays


def _fold_radius(k1: float, k2: float, k3: float) -> float:
    """Return the largest radius up to which the distorted radius grows; 100 where it always does."""
    radii = np.linspace(0.0, 10.0, 4001)
    s = radii * radii
    falling = np.flatnonzero(1 + s * (3 * k1 + s * (5 * k2 + s * 7 * k3)) <= 0)
    return float(radii[falling[0]]) if len(falling) else 100.0


def _refine(coarse: Field, camera: Camera) -> Field:
    """Return (H, W) values at pixel centres of a field given every `_GRID_PX` pixels from the frame's corner."""
    step = 1.0 / _GRID_PX
    matrix = np.array([[step, 0, 0.5 * step], [0, step, 0.5 * step]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    fine: Field = cv2.warpAffine(
        coarse, matrix, (camera.width, camera.height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return fine
