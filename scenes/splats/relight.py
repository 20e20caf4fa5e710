"""Other light on a fitted scene: pictures times the ratio of new to old irradiance, in linear light.

Irradiance is sun, sky and bounce of scenes/town/light.py on the normal of what a pixel shows; whether the sun reaches
it is looked up in a depth map rasterised from the sun (Williams 1978), for the sun of the capture as for the new one,
so that baked shadows are taken out and new ones put in. Normals are those of planes through neighbouring Gaussians.
What is glossy, and light from one surface to the next, stays as it was captured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scenes.camera import Camera, look
from scenes.rasterize import Backend, rasterization
from scenes.splats.cloud import Cloud
from scenes.town.light import Weather, sky

NEIGHBOURS = 24
MAP_PIXELS = 1024
REACH_M = 60.0  # around what is seen; farther away nothing casts a shadow
BIAS_M, SOFT_M = 0.5, 0.5  # so much nearer to the sun something must be to cast a shadow, and to cast a full one
BRIGHTEST = 4.0  # ratio: what was darker holds no detail to bring back
LEVEL = ("road", "sidewalk", "pavement", "terrain", "ground", "parking", "lane marking")  # classes of level ground
EVEN = Weather(azimuth_rad=0.0, elevation_rad=0.8, strength=0.0, clouds=0.0)  # where the light of a capture is unknown

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709
Floats = NDArray[np.float32]


def light_of(about: Mapping[str, Any]) -> Weather | None:
    """Return the light of a scene's capture: what `about["light"]` says, or that of the town; None where unknown."""
    known = about.get("light")
    if isinstance(known, Mapping):
        return Weather(**known)
    capture = str(about.get("capture", ""))
    if not capture.startswith("town:"):
        return None
    from scenes.town import Town

    return Town(int(capture.split(":")[1])).world.weather


@dataclass(frozen=True, eq=False)
class Frame:
    """What is needed of a frame: its picture (H, W, 3) in [0, 1], depth, and where it shows the sky (H, W)."""

    picture: Floats
    depth: Floats
    sky: NDArray[np.bool_]
    camera: Camera


def relit(
    frame: Frame, cloud: Cloud, old: Weather | None, new: Weather, *, flat: torch.Tensor | None = None,
    backend: Backend = "auto",
) -> Floats:  # fmt: skip
    """Return the picture under new light; without a known old one, the capture counts as evenly lit.

    cloud: what casts shadows, without the sky; flat: (N,) which of it is known to be level ground
    """
    from scenes.splats.editing import to_linear, to_srgb

    before = old or EVEN
    ratio = np.ones(frame.picture.shape, np.float64)
    solid = np.isfinite(frame.depth) & ~frame.sky
    if solid.any() and len(cloud):
        points, normals = _points(frame), _normal_map(cloud, frame.camera, flat, backend)
        falls = [_irradiance(light, points, normals, cloud, frame.camera, backend) for light in (before, new)]
        found = falls[1] / np.maximum(falls[0], 1e-4)
        ratio = np.where(
            solid[..., None], found, found[solid].mean(axis=0)
        )  # the rim of things has no place of its own
    if old is None:  # the colour of unknown light is unknown: only its strength changes
        ratio[...] = (ratio @ LUMINANCE)[..., None]
    linear = to_linear(torch.from_numpy(frame.picture.clip(0, 1)).double()).numpy() * ratio.clip(0, BRIGHTEST)
    if frame.sky.any():
        linear[frame.sky] = _sky(linear[frame.sky], frame, before, new)
    return to_srgb(torch.from_numpy(linear.clip(0, 1))).float().numpy()


def _points(frame: Frame) -> NDArray[np.float64]:
    """Return (H, W, 3) world places of the pixels."""
    camera = frame.camera
    local = camera.rays() * np.where(np.isfinite(frame.depth), frame.depth, 1.0)[..., None]
    places: NDArray[np.float64] = (local - camera.world_to_cam[:3, 3]) @ camera.world_to_cam[:3, :3]
    return places


def _sky(shown: NDArray[np.float64], frame: Frame, old: Weather, new: Weather) -> NDArray[np.float64]:
    """Return (K, 3) what the pixels of the sky show: the captured clouds dimmed, a grey cover before them."""
    rays = frame.camera.rays()[frame.sky] @ frame.camera.world_to_cam[:3, :3]
    unit = (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)
    clear = replace(new, overcast=old.overcast)
    levels = [sky(light, unit, clouds=False).clip(0, 1.2) @ LUMINANCE for light in (old, clear)]
    dimmed = shown * (levels[1] / np.maximum(levels[0], 1e-3)).clip(0, BRIGHTEST)[:, None]
    grey = max(0.0, new.overcast - old.overcast) / max(1 - old.overcast, 1e-6)
    covered: NDArray[np.float64] = dimmed * (1 - grey) + sky(replace(new, overcast=1.0), unit, clouds=False) * grey
    return covered


def _irradiance(
    light: Weather, points: NDArray[np.float64], normals: Floats, cloud: Cloud, camera: Camera, backend: Backend
) -> NDArray[np.float64]:
    """Return (H, W, 3) what falls on points (H, W, 3) with normals (H, W, 3)."""
    up = 0.5 + 0.5 * normals[..., 2:3].astype(np.float64)
    falls = np.asarray(light.fill * up + light.bounce * (1 - up), np.float64)
    if not light.sun.any():
        return falls
    facing = np.maximum(normals @ light.sun_direction, 0.0)
    if facing.any():
        facing = facing * _in_sun(light, points, cloud, camera, backend)
    falls += light.sun * facing[..., None]
    return falls


def _in_sun(light: Weather, points: NDArray[np.float64], cloud: Cloud, camera: Camera, backend: Backend) -> Floats:
    """Return (H, W) from 0 in shadow to 1 in the sun; what is thin or was seen once casts no shadow."""
    from scipy.ndimage import map_coordinates, median_filter

    casting = cloud.opacities > 0
    casters = cloud.take(casting if cloud.seen is None else casting & (cloud.seen > 1))
    centre = camera.position + 0.5 * REACH_M * camera.world_to_cam[2, :3]
    far = 20 * REACH_M  # so far away the sun's rays are nearly parallel
    place = centre + far * light.sun_direction
    pose = look(
        position=(float(place[0]), float(place[1]), float(place[2])),
        yaw_rad=light.azimuth_rad + math.pi, pitch_rad=-light.elevation_rad,
    )  # fmt: skip
    focal = 0.5 * MAP_PIXELS * far / REACH_M
    K = np.array([[focal, 0, 0.5 * MAP_PIXELS], [0, focal, 0.5 * MAP_PIXELS], [0, 0, 1]])
    sun = Camera(K=K, width=MAP_PIXELS, height=MAP_PIXELS, world_to_cam=pose)
    nearest, alpha = _rasterised(casters, torch.zeros((len(casters), 1)), sun, "ED", backend)
    pixels, depth = sun.project(points.reshape(-1, 3))
    at = pixels.T[::-1] - 0.5
    hit = map_coordinates(nearest[..., 0], at, order=1, mode="constant", cval=1e9)
    solid = map_coordinates(alpha, at, order=1, mode="constant", cval=0.0)
    behind = np.clip((depth - hit - BIAS_M) / SOFT_M, 0, 1) * np.clip(2 * solid - 0.5, 0, 1)
    lit: Floats = median_filter((1 - behind).astype(np.float32).reshape(points.shape[:2]), 5)
    return lit


def _normal_map(cloud: Cloud, camera: Camera, flat: torch.Tensor | None, backend: Backend) -> Floats:
    """Return (H, W, 3) unit normals towards the camera; straight up on level ground, and where nothing tells."""
    up, normals = np.array([0, 0, 1], np.float32), normals_of(cloud, camera.position)
    if flat is not None:
        normals[flat.numpy()] = up
    found, _ = _rasterised(cloud, torch.from_numpy(normals), camera, "RGB", backend)
    length = np.linalg.norm(found, axis=2, keepdims=True)
    return np.where(length > 0.1, found / np.maximum(length, 1e-6), up).astype(np.float32)


def _rasterised(cloud: Cloud, features: torch.Tensor, camera: Camera, mode: Any, backend: Backend) -> tuple[Any, Any]:
    with torch.no_grad():
        picture, alpha, _ = rasterization(
            cloud.means, cloud.quats, cloud.scales.exp(), cloud.opacities.sigmoid(), features,
            torch.from_numpy(camera.world_to_cam).float()[None], torch.from_numpy(camera.K).float()[None],
            camera.width, camera.height, render_mode=mode, backend=backend,
        )  # fmt: skip
    return np.ascontiguousarray(picture[0].numpy()), np.ascontiguousarray(alpha[0, ..., 0].numpy())


def normals_of(cloud: Cloud, eye: NDArray[np.float64]) -> Floats:
    """Return (N, 3) the normal, towards the eye, of the plane through each Gaussian and its neighbours, smoothed."""
    from scipy.spatial import cKDTree

    places = cloud.means.double().numpy()
    count = min(NEIGHBOURS, len(places))
    _, rows = cKDTree(places).query(places, k=count)
    around = places[np.asarray(rows).reshape(len(places), count)]
    local = around - around.mean(axis=1, keepdims=True)
    _, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", local, local))
    normals = axes[:, :, 0]
    away = np.einsum("ni,ni->n", normals, places - eye) > 0
    normals = np.where(away[:, None], -normals, normals)
    mean = normals[np.asarray(rows).reshape(len(places), count)].mean(axis=1)
    smooth: Floats = (mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-6)).astype(np.float32)
    return smooth
