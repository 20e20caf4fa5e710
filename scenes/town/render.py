"""The picture: first hits, sun and shadow rays, ambient occlusion, mirrors, haze, extra rays at edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.town import light
from scenes.town.light import Weather
from scenes.town.materials import Pattern, Points, Textures, albedo, patterned
from scenes.town.mesh import Surface
from scenes.town.soup import Float, Ground, Soup, cross, dot, unit
from scenes.town.tracer import Hits, Layers

AO_REACH_M = 4.0
AO_RAYS = 4
AO_STEP = 2  # one occlusion sample per block of this many pixels squared
EDGE = 0.05  # display contrast to a neighbour above which a pixel gets extra rays
SUBPIXELS = np.array([[-0.125, -0.375], [0.375, -0.125], [0.125, 0.375], [-0.375, 0.125]])  # rotated grid
OFFSET_M = 2e-3


@dataclass(frozen=True, eq=False)
class Stage:
    """All that the shader needs: the soup of all triangles, layer by layer, their tracer, textures, light, patterns."""

    soup: Soup
    tracer: Layers
    textures: Textures
    weather: Weather
    patterns: Mapping[int, tuple[Pattern, NDArray[np.float64]]]  # instance id -> pattern, world to object (4, 4)


@dataclass(frozen=True, eq=False)
class Frame:
    """image (H, W, 3) uint8; hits of the pixel centres (H * W rays)."""

    image: NDArray[np.uint8]
    hits: Hits


@dataclass(frozen=True, eq=False)
class Geometry:
    """Of R rays that hit: position (R, 3), shading and true normals (R, 3) towards the viewer, view direction (R, 3)
    unit, distance (R,), face (R,), uv (R, 2)."""

    position: Float
    normal: Float
    flat: Float
    view: Float
    distance: Float
    face: NDArray[np.int32]
    uv: Float


def directions(camera: Camera, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> Float:
    """Return world directions (R, 3) through pixel coordinates, scaled so that t is depth along the optical axis."""
    K = camera.K
    rows = (y - K[1, 2]) / K[1, 1]
    columns = (x - K[0, 2]) / K[0, 0] - K[0, 1] / K[0, 0] * rows
    local = np.stack([columns, rows, np.ones_like(rows)], axis=1)
    return (local @ camera.world_to_cam[:3, :3]).astype(np.float32)


def trace(
    stage: Stage, camera: Camera, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]
) -> tuple[Hits, Float]:
    """Return first hits through pixel coordinates, and the directions."""
    rays = directions(camera, x, y)
    origins = np.broadcast_to(camera.position.astype(np.float32), rays.shape)
    return stage.tracer.first(origins, rays), rays


def render(stage: Stage, camera: Camera) -> Frame:
    """Render one frame."""
    h, w = camera.height, camera.width
    rows, columns = np.mgrid[0:h, 0:w]
    x, y = columns.ravel() + 0.5, rows.ravel() + 0.5
    hits, rays = trace(stage, camera, x, y)
    ambient = Ambient(stage, camera, hits, rays)
    color = shade(stage, camera, hits, rays, ambient, x, y)
    image = light.display(color).reshape(h, w, 3)
    edge = np.flatnonzero(edges(image))
    if len(edge):
        sums = np.zeros((len(edge), 3), np.float32)
        for dx, dy in SUBPIXELS:
            sub_x, sub_y = x[edge] + dx, y[edge] + dy
            sub_hits, sub_rays = trace(stage, camera, sub_x, sub_y)
            sums += np.minimum(shade(stage, camera, sub_hits, sub_rays, ambient, sub_x, sub_y), 1.5)
        image.reshape(-1, 3)[edge] = light.display(sums / len(SUBPIXELS))
    return Frame(image=image, hits=hits)


def edges(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return (H, W) True where a pixel differs from one of its neighbours."""
    limit = int(EDGE * 255)
    marked = np.zeros(image.shape[:2], np.bool_)
    for axis in (0, 1):
        a = image[1:] if axis == 0 else image[:, 1:]
        b = image[:-1] if axis == 0 else image[:, :-1]
        different = cv2.absdiff(a, b).max(axis=2) > limit
        if axis == 0:
            marked[1:] |= different
            marked[:-1] |= different
        else:
            marked[:, 1:] |= different
            marked[:, :-1] |= different
    return marked


def geometry(stage: Stage, camera: Camera, hits: Hits, rays: Float, at: NDArray[np.int64]) -> Geometry:
    """Return what is needed for light at the rays `at`, all of which hit."""
    soup, face = stage.soup, hits.face[at]
    t, direction = hits.t[at], rays[at]
    length = np.sqrt(dot(direction, direction))
    view = direction / length[:, None]
    tri = soup.tri[face]
    flat = unit(cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]))
    flat *= np.where(dot(flat, view) > 0, np.float32(-1), np.float32(1))[:, None]
    w1, w2 = hits.bary[at, 0][:, None], hits.bary[at, 1][:, None]
    w0 = 1 - w1 - w2
    corners, uv = soup.normal[face], soup.uv[face]
    normal = unit(corners[:, 0] * w0 + corners[:, 1] * w1 + corners[:, 2] * w2)
    normal *= np.where(dot(normal, flat) < 0, np.float32(-1), np.float32(1))[:, None]
    return Geometry(
        position=camera.position.astype(np.float32) + t[:, None] * direction,
        normal=normal,
        flat=flat,
        view=view,
        distance=t * length,
        face=face,
        uv=uv[:, 0] * w0 + uv[:, 1] * w1 + uv[:, 2] * w2,
    )


def shade(
    stage: Stage,
    camera: Camera,
    hits: Hits,
    rays: Float,
    ambient: Ambient,
    x: NDArray[np.floating[Any]],
    y: NDArray[np.floating[Any]],
) -> Float:
    """Return linear radiance (R, 3) of every ray."""
    color = np.empty((len(rays), 3), np.float32)
    missed = np.flatnonzero(hits.face < 0)
    towards = unit(rays[missed])
    infinite = np.full(len(missed), np.inf, np.float32)
    color[missed] = light.through_air(stage.weather, light.sky(stage.weather, towards), infinite)
    at = np.flatnonzero(hits.face >= 0)
    if not len(at):
        return color
    g = geometry(stage, camera, hits, rays, at)
    openness = ambient.at(x[at], y[at], hits.t[at], g.normal)
    lit = _surface_light(stage, camera, g, openness)
    color[at] = light.through_air(stage.weather, lit, g.distance)
    return color


def _surface_light(stage: Stage, camera: Camera, g: Geometry, openness: Float) -> Float:
    soup, weather = stage.soup, stage.weather
    surface = soup.surface[g.face]
    tint = _albedo(stage, camera, g, surface)
    sun = weather.sun_direction
    facing = np.maximum(g.normal @ sun, 0.0)
    leaves = surface == Surface.FOLIAGE
    facing = np.where(leaves, 0.35 + 0.65 * facing, facing)
    facing = np.where((g.flat @ sun > 0) | leaves, facing, 0.0)
    candidates = np.flatnonzero(facing > 0) if weather.sun.any() else np.zeros(0, np.int64)
    start = g.position[candidates] + g.flat[candidates] * (OFFSET_M + 4e-5 * g.distance[candidates, None])
    shadow = stage.tracer.occluded(start, np.broadcast_to(sun, start.shape))
    direct = np.zeros(len(facing), np.float32)
    direct[candidates] = np.where(shadow, np.where(leaves[candidates], 0.12, 0.0), facing[candidates])
    up = 0.5 + 0.5 * g.normal[:, 2:3]
    sky_light = (weather.fill * up + weather.bounce * (1 - up)) * openness[:, None]
    color = tint * (weather.sun * direct[:, None] + sky_light)
    return _finish(stage, g, surface, tint, color, direct, openness)


def _albedo(stage: Stage, camera: Camera, g: Geometry, surface: NDArray[np.uint8]) -> Float:
    soup = stage.soup
    slant = np.maximum(-dot(g.view, g.flat), 0.08)
    footprint = (g.distance / np.float32(camera.K[0, 0]) / np.sqrt(slant)).astype(np.float32)
    tint = albedo(Points(g.position, g.uv, soup.color[g.face], surface, footprint), stage.weather.ground)
    texture = soup.texture[g.face]
    images = np.flatnonzero(texture >= 0)
    if len(images):
        tri, uv = soup.tri[g.face[images]], soup.uv[g.face[images]]
        world = np.linalg.norm(tri[:, 1] - tri[:, 0], axis=1) + np.linalg.norm(tri[:, 2] - tri[:, 0], axis=1)
        span = np.linalg.norm(uv[:, 1] - uv[:, 0], axis=1) + np.linalg.norm(uv[:, 2] - uv[:, 0], axis=1)
        footprint_uv = footprint[images] * span / np.maximum(world, 1e-6)
        tint[images] = stage.textures.sample(texture[images], g.uv[images], footprint_uv)
    owner = soup.object[g.face]
    for instance, (pattern, to_object) in stage.patterns.items():
        at = np.flatnonzero(owner == instance)
        local = g.position[at] @ to_object[:3, :3].T.astype(np.float32) + to_object[:3, 3].astype(np.float32)
        tint[at] = patterned(pattern, tint[at], local)
    return tint


def _finish(
    stage: Stage, g: Geometry, surface: NDArray[np.uint8], tint: Float, color: Float, direct: Float, openness: Float
) -> Float:
    """Add clear coats, glass, metal, wet ground and lamps to the diffuse light."""
    weather = stage.weather
    glossy = {int(Surface.PAINT): 0.05, int(Surface.GLASS): 0.08, int(Surface.METAL): 0.25, int(Ground.WINDOW): 0.10}
    base = np.zeros(256, np.float32)
    for kind, straight in glossy.items():
        base[kind] = straight
    if weather.ground == "wet":
        for kind in (Ground.ROAD, Ground.MARKING, Ground.PAVEMENT, Ground.KERB):
            base[kind] = 0.04
    f0 = base[surface]
    at = np.flatnonzero(f0 > 0)
    if len(at):
        view, normal = g.view[at], g.normal[at]
        cosine = dot(view, normal)
        mirror = unit(view - 2 * cosine[:, None] * normal)
        fresnel = f0[at] + (1 - f0[at]) * (1 - np.clip(-cosine, 0.0, 1.0)) ** 5  # Schlick (1994)
        strength = (fresnel * (0.35 + 0.65 * openness[at]))[:, None]
        shine = np.clip(mirror @ weather.sun_direction, 0.0, 1.0) ** 180 * (direct[at] > 0)
        color[at] = color[at] * (1 - strength) + strength * light.reflected(weather, mirror)
        color[at] += (0.9 * shine * (f0[at] < 0.2))[:, None] * weather.sun
    lamps = np.flatnonzero(surface == Surface.EMISSIVE)
    color[lamps] = 0.25 * color[lamps] + tint[lamps] * 1.15
    faces = np.flatnonzero(surface == Surface.RETRO)
    color[faces] += 0.08 * tint[faces] * weather.fill
    return color


class Ambient:
    """How open to the sky the first hits are: short rays on a coarse grid, smoothed and looked up where they fit."""

    def __init__(self, stage: Stage, camera: Camera, hits: Hits, rays: Float) -> None:
        h, w = camera.height, camera.width
        rows, columns = np.mgrid[0:h:AO_STEP, 0:w:AO_STEP]
        self.shape = rows.shape
        index = (rows * w + columns).ravel()
        self.depth = hits.t[index]
        self.normal = np.zeros((len(index), 3), np.float32)
        self.value = np.ones(len(index), np.float32)
        at = np.flatnonzero(hits.face[index] >= 0)
        if len(at):
            g = geometry(stage, camera, hits, rays, index[at])
            self.normal[at] = g.normal
            self.value[at] = self._measure(stage, g, rows.ravel()[at] // AO_STEP, columns.ravel()[at] // AO_STEP)
            self._smooth()

    def _measure(self, stage: Stage, g: Geometry, row: NDArray[np.int64], column: NDArray[np.int64]) -> Float:
        """Cosine-weighted rays: a 4x4 tile of pixels shares 16 x AO_RAYS directions."""
        start = g.position + g.flat * (OFFSET_M + 1e-4 * g.distance[:, None])
        side = np.where(
            np.abs(g.normal[:, 2:3]) < 0.9, np.array([0, 0, 1], np.float32), np.array([1, 0, 0], np.float32)
        )
        t1 = unit(cross(g.normal, side))
        t2 = cross(g.normal, t1)
        cell = (row % 4) * 4 + column % 4
        order = _BAYER[cell]
        total = np.zeros(len(start), np.float32)
        for k in range(AO_RAYS):
            number = k * 16 + order
            radius = np.sqrt((number + 0.5) / (16 * AO_RAYS)).astype(np.float32)
            angle = (number * 2.399963).astype(np.float32)  # golden angle
            up = np.sqrt(1 - radius**2)
            ray = t1 * (radius * np.cos(angle))[:, None] + t2 * (radius * np.sin(angle))[:, None]
            ray += g.normal * up[:, None]
            total += ~stage.tracer.occluded(start, ray, AO_REACH_M)
        return 0.12 + 0.88 * total / AO_RAYS

    def _smooth(self) -> None:
        """Average a 4x4 tile where depth and normal agree."""
        h, w = self.shape
        depth, value = self.depth.reshape(h, w), self.value.reshape(h, w)
        nx, ny, nz = (self.normal[:, k].reshape(h, w) for k in range(3))
        sums, weights = value.copy(), np.ones_like(value)
        with np.errstate(invalid="ignore"):
            for dy in range(-2, 2):
                for dx in range(-2, 2):
                    if dx == 0 and dy == 0:
                        continue
                    rows = np.clip(np.arange(h) + dy, 0, h - 1)[:, None]
                    columns = np.clip(np.arange(w) + dx, 0, w - 1)[None]
                    near = np.abs(depth[rows, columns] - depth) < 0.06 * depth
                    alike = nx[rows, columns] * nx + ny[rows, columns] * ny + nz[rows, columns] * nz
                    fits = near & (alike > 0.9)
                    sums += np.where(fits, value[rows, columns], 0.0)
                    weights += fits
        self.value = (sums / weights).ravel()

    def at(self, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]], depth: Float, normal: Float) -> Float:
        """Return openness (R,) at pixel coordinates of points with a depth and normal."""
        h, w = self.shape
        gx, gy = (x - 0.5) / AO_STEP, (y - 0.5) / AO_STEP
        x0, y0 = np.floor(gx).astype(np.int64), np.floor(gy).astype(np.int64)
        fx, fy = (gx - x0).astype(np.float32), (gy - y0).astype(np.float32)
        total, weight = np.zeros(len(x), np.float32), np.full(len(x), 1e-6, np.float32)
        with np.errstate(invalid="ignore"):
            for dy, wy in ((0, 1 - fy), (1, fy)):
                for dx, wx in ((0, 1 - fx), (1, fx)):
                    index = np.clip(y0 + dy, 0, h - 1) * w + np.clip(x0 + dx, 0, w - 1)
                    near = np.abs(self.depth[index] - depth) < 0.06 * depth + 0.1
                    alike = np.clip(dot(self.normal[index], normal), 0.0, 1.0) ** 2
                    share = wx * wy * (np.where(near, alike, 0.0) + 1e-3) + 1e-5
                    total += share * self.value[index]
                    weight += share
        return total / weight


_BAYER = np.array([0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5])
