"""How hit points look: sun and its shadows, light of the sky, clear coats, glass, mirrors in wet ground, lamps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.town import light, noise
from scenes.town.ambient import Ambient
from scenes.town.materials import Points, albedo, patterned
from scenes.town.mesh import Surface
from scenes.town.soup import Float, Ground, dot, unit
from scenes.town.tracer import Hits
from scenes.town.view import OFFSET_M, Geometry, Stage, geometry


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
        at = np.flatnonzero((owner == instance) & ~np.isin(surface, (Surface.GLASS, Surface.EMISSIVE)))
        local = g.position[at] @ to_object[:3, :3].T.astype(np.float32) + to_object[:3, 3].astype(np.float32)
        tint[at] = patterned(pattern, tint[at], local)
    return tint


GLOSS: dict[int, float] = {  # reflectance seen straight on
    int(Surface.PAINT): 0.05,
    int(Surface.GLASS): 0.08,
    int(Surface.METAL): 0.25,
    int(Ground.WINDOW): 0.10,
}
_STRAIGHT = np.array([GLOSS.get(k, 0.0) for k in range(256)], np.float32)
_WETTED = np.isin(np.arange(256), (Ground.ROAD, Ground.MARKING, Ground.PAVEMENT, Ground.KERB))


def _finish(
    stage: Stage, g: Geometry, surface: NDArray[np.uint8], tint: Float, color: Float, direct: Float, openness: Float
) -> Float:
    """Add clear coats, glass, metal, wet ground and lamps to the diffuse light."""
    weather = stage.weather
    f0 = _STRAIGHT[surface]
    at = np.flatnonzero(f0 > 0)
    if len(at):
        mirror, fresnel = _mirror(g.view[at], g.normal[at], f0[at])
        strength = (fresnel * (0.35 + 0.65 * openness[at]))[:, None]
        shine = np.clip(mirror @ weather.sun_direction, 0.0, 1.0) ** 180 * (direct[at] > 0)
        color[at] = color[at] * (1 - strength) + strength * light.reflected(weather, mirror)
        color[at] += (0.9 * shine * (f0[at] < 0.2))[:, None] * weather.sun
    if weather.ground == "wet":
        _wet(stage, g, np.flatnonzero(_WETTED[surface]), color)
    lamps = np.flatnonzero(surface == Surface.EMISSIVE)
    color[lamps] = 0.25 * color[lamps] + tint[lamps] * 1.15
    faces = np.flatnonzero(surface == Surface.RETRO)
    color[faces] += 0.08 * tint[faces] * weather.fill
    return color


def _mirror(view: Float, normal: Float, f0: Float | float) -> tuple[Float, Float]:
    """Return mirrored directions (R, 3) and Fresnel reflectance (R,) after Schlick (1994)."""
    cosine = dot(view, normal)
    mirror = unit(view - 2 * cosine[:, None] * normal)
    return mirror, f0 + (1 - f0) * (1 - np.clip(-cosine, 0.0, 1.0)) ** 5


def _wet(stage: Stage, g: Geometry, at: NDArray[np.int64], color: Float) -> None:
    """Mirror the town in wet ground: a film of water, smooth in puddles and rippled by the asphalt elsewhere."""
    x, y = g.position[at, 0], g.position[at, 1]
    puddle = np.clip(noise.sample(noise.field(1.6, 16), x * 5.0, y * 5.0) + 0.2, 0.0, 1.0)
    ripple = np.stack([noise.sample(noise.field(0.6, seed), x * 30.0, y * 30.0) for seed in (17, 18)], axis=1)
    normal = g.normal[at].copy()
    normal[:, :2] += ripple * (0.02 * (1 - puddle))[:, None]
    mirror, fresnel = _mirror(g.view[at], unit(normal), 0.02)  # water
    mirror[:, 2] = np.maximum(mirror[:, 2], 0.01)
    strength = (fresnel * (0.45 + 0.55 * puddle))[:, None]
    start = g.position[at] + g.flat[at] * (OFFSET_M + 4e-5 * g.distance[at, None])
    color[at] = color[at] * (1 - strength) + strength * _glimpse(stage, start, unit(mirror))


def _glimpse(stage: Stage, start: Float, direction: Float) -> Float:
    """Return what mirror rays meet (R, 3), in plain light without shadows."""
    hits = stage.tracer.first(start, direction)
    met = np.flatnonzero(hits.face >= 0)
    color = light.sky(stage.weather, direction)
    face = hits.face[met]
    normal = unit(stage.soup.normal[face].sum(axis=1))
    normal *= np.where(dot(normal, direction[met]) > 0, np.float32(-1), np.float32(1))[:, None]
    sun = np.maximum(normal @ stage.weather.sun_direction, 0.0)[:, None]
    lit = stage.soup.color[face] * (0.7 * stage.weather.sun * sun + 0.75 * stage.weather.fill)
    color[met] = light.through_air(stage.weather, lit, hits.t[met])
    return color
