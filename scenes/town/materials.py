"""What surfaces look like before light falls on them: albedo of ground, walls, roofs, leaves and patterns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.town import noise
from scenes.town.mesh import Surface
from scenes.town.soup import LEVELS, Float, Ground, Pyramid, linear


class Textures:
    """Textures in linear light with their halved versions, sampled bilinearly."""

    def __init__(self, pyramids: Sequence[Pyramid], base: Textures | None = None) -> None:
        """Take textures, numbered from the end of those of `base`."""
        self.base = base
        self.start: int = base.end if base else 0
        self.end: int = self.start + len(pyramids)
        shapes = np.array([[level.shape[:2] for level in p] for p in pyramids], np.int64).reshape(-1, LEVELS, 2)
        sizes = shapes.prod(axis=2).ravel()
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(sizes) else sizes
        self._shapes = np.concatenate([starts.reshape(-1, LEVELS, 1), shapes], axis=2)  # start, height, width
        flat = [level.reshape(-1, 3) for p in pyramids for level in p]
        self._flat = np.concatenate(flat) if flat else np.zeros((1, 3), np.float32)

    def sample(self, index: NDArray[np.int32], uv: Float, footprint: Float) -> Float:
        """Return linear RGB (R, 3) at uv (R, 2); footprint: (R,) of a pixel in texture widths."""
        color = np.zeros((len(index), 3), np.float32)
        own = np.flatnonzero(index >= self.start)
        color[own] = self._sample(index[own] - self.start, uv[own], footprint[own])
        if self.base and len(own) < len(index):
            others = np.flatnonzero(index < self.start)
            color[others] = self.base.sample(index[others], uv[others], footprint[others])
        return color

    def _sample(self, index: NDArray[np.int32], uv: Float, footprint: Float) -> Float:
        size = self._shapes[index, 0, 2]
        level = np.clip(np.floor(np.log2(np.maximum(footprint * size, 1e-6)) + 0.5), 0, LEVELS - 1).astype(np.int64)
        start, height, width = self._shapes[index, level].T
        x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
        y = np.clip(uv[:, 1] * height - 0.5, 0, height - 1)
        x0, y0 = x.astype(np.int64), y.astype(np.int64)
        x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
        fx, fy = (x - x0)[:, None].astype(np.float32), (y - y0)[:, None].astype(np.float32)
        top = self._flat[start + y0 * width + x0] * (1 - fx) + self._flat[start + y0 * width + x1] * fx
        bottom = self._flat[start + y1 * width + x0] * (1 - fx) + self._flat[start + y1 * width + x1] * fx
        return (top * (1 - fy) + bottom * fy).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Points:
    """What is known at R hit points before shading: position (R, 3) m, uv (R, 2), color (R, 3), surface (R,),
    footprint (R,): size of a pixel on the surface in metres."""

    position: Float
    uv: Float
    color: Float
    surface: NDArray[np.uint8]
    footprint: Float


def albedo(points: Points, ground: str) -> Float:
    """Return the albedo (R, 3) of every point."""
    color = points.color.copy()
    for surface in np.unique(points.surface):
        if (paint := _PAINTERS.get(int(surface))) is not None:
            at = np.flatnonzero(points.surface == surface)
            some = Points(*(getattr(points, f)[at] for f in ("position", "uv", "color", "surface", "footprint")))
            color[at] = paint(some)
            if ground != "dry" and surface in _COVERED:
                color[at] = _cover(some, color[at], ground)
    return np.clip(color, 0.0, 1.0)


def _fade(points: Points, size_m: float) -> Float:
    """Return 1 where a detail of a size is resolved, 0 where a pixel is larger, (R, 1)."""
    faded: Float = np.clip(1.4 - points.footprint / size_m, 0.0, 1.0)[:, None]
    return faded


def _road(p: Points) -> Float:
    x, y = p.position[:, 0], p.position[:, 1]
    broad = noise.sample(noise.field(1.5, 3), x * 6.0, y * 6.0)
    patches = noise.sample(noise.field(1.1, 15), x * 14.0, y * 14.0)
    grain = noise.sample(noise.field(0.3, 4), x * 45.0, y * 45.0)[:, None] * _fade(p, 0.05)
    tracks = np.exp(-(((np.abs(np.abs(p.uv[:, 1]) % 3.4 - 1.7) - 0.75) / 0.35) ** 2))  # worn by wheels
    oil = np.exp(-(((np.abs(p.uv[:, 1]) % 3.4 - 1.7) / 0.3) ** 2))
    value = (1.0 + 0.05 * broad + 0.035 * patches + 0.05 * tracks - 0.05 * oil)[:, None] + 0.06 * grain
    mended = noise.hashed(np.floor(x / 5.3), np.floor(y / 3.9)) < 0.07
    vein = np.abs(noise.sample(noise.field(1.45, 11), x * 9.0, y * 9.0))
    crack = (np.clip(1.0 - vein / 0.02, 0.0, 1.0) * (broad > 0.3))[:, None] * _fade(p, 0.1)
    return p.color * value * (1.0 - 0.13 * mended[:, None]) * (1.0 - 0.35 * crack)


def _marking(p: Points) -> Float:
    wear = noise.sample(noise.field(1.0, 5), p.position[:, 0] * 20.0, p.position[:, 1] * 20.0)
    return p.color * (0.92 - 0.10 * np.clip(wear - 0.6, 0.0, 1.5))[:, None]


def _pavement(p: Points) -> Float:
    u, v = p.uv[:, 0] / 0.6, p.uv[:, 1] / 0.6
    tone = noise.hashed(np.floor(u), np.floor(v))
    joint = (np.minimum(np.abs(u - np.round(u)), np.abs(v - np.round(v))) < 0.02)[:, None]
    stain = noise.sample(noise.field(1.4, 6), p.position[:, 0] * 9.0, p.position[:, 1] * 9.0)
    fade = _fade(p, 0.25)
    value = 1.0 + 0.05 * stain[:, None] + fade * 0.12 * (tone[:, None] - 0.5)
    return p.color * value * (1.0 - 0.32 * joint * _fade(p, 0.06) - 0.02)


def _kerb(p: Points) -> Float:
    stain = noise.sample(noise.field(1.2, 6), p.position[:, 0] * 14.0, p.position[:, 1] * 14.0)
    joint = (np.abs(p.uv[:, 0] - np.round(p.uv[:, 0])) < 0.015)[:, None]
    return p.color * (1.0 + 0.05 * stain[:, None]) * (1.0 - 0.3 * joint * _fade(p, 0.05))


def _grass(p: Points) -> Float:
    x, y = p.position[:, 0], p.position[:, 1]
    broad = noise.sample(noise.field(1.5, 7), x * 5.0, y * 5.0)[:, None]
    blades = noise.sample(noise.field(0.6, 8), x * 30.0, y * 30.0)[:, None] * _fade(p, 0.12)
    dry = np.array([1.25, 1.08, 0.85], np.float32)
    color = p.color * (1.0 + 0.14 * broad + 0.22 * blades)
    return color * (1 + (dry - 1) * np.clip(0.4 * broad, 0.0, 1.0))


def _plaster(p: Points) -> Float:
    across = p.position[:, 0] + 0.7 * p.position[:, 1]
    stain = noise.sample(noise.field(1.4, 9), across * 4.0, p.position[:, 2] * 4.0)
    grain = noise.sample(noise.field(0.5, 4), across * 35.0, p.position[:, 2] * 35.0)[:, None]
    foot = np.clip(1.0 - p.position[:, 2] / 1.2, 0.0, 1.0)
    return p.color * ((1.0 + 0.04 * stain - 0.10 * foot)[:, None] + 0.03 * grain * _fade(p, 0.06))


def _brick(p: Points) -> Float:
    row = p.uv[:, 1] / 0.075
    column = p.uv[:, 0] / 0.25 + 0.5 * (np.floor(row) % 2)
    tone = noise.hashed(np.floor(column), np.floor(row))[:, None] - 0.5
    fr, fc = row - np.floor(row), column - np.floor(column)
    mortar = ((fr < 0.16) | (fc < 0.05))[:, None].astype(np.float32)
    fade = _fade(p, 0.07)
    across = p.position[:, 0] + 0.7 * p.position[:, 1]
    stain = noise.sample(noise.field(1.4, 9), across * 4.0, p.position[:, 2] * 4.0)[:, None]
    mix = 0.2 * (1 - fade) + mortar * fade
    joints = np.array([0.42, 0.38, 0.33], np.float32)
    return p.color * (1.0 + 0.35 * tone * fade + 0.05 * stain) * (1 - mix) + joints * mix


def _roof(p: Points) -> Float:
    row = p.uv[:, 1] / 0.33
    column = p.uv[:, 0] / 0.28 + 0.5 * (np.floor(row) % 2)
    tone = noise.hashed(np.floor(column), np.floor(row))[:, None] - 0.5
    lip = (row - np.floor(row))[:, None]
    fade = _fade(p, 0.25)
    return p.color * (1.0 + fade * (0.3 * tone - 0.28 * (lip > 0.85)))


def _foliage(p: Points) -> Float:
    x, y, z = (p.position[:, k] for k in range(3))
    clumps = noise.sample(noise.field(1.0, 10), (x + 0.6 * z) * 16.0, (y + 0.8 * z) * 16.0)[:, None]
    leaves = noise.sample(noise.field(0.3, 8), (x + 0.5 * z) * 60.0, (y + 0.9 * z) * 60.0)[:, None]
    value = 1.0 + 0.22 * clumps + 0.16 * leaves * _fade(p, 0.06)
    return p.color * np.clip(value, 0.35, 1.8)


_PAINTERS = {
    int(Ground.ROAD): _road,
    int(Ground.MARKING): _marking,
    int(Ground.PAVEMENT): _pavement,
    int(Ground.KERB): _kerb,
    int(Ground.GRASS): _grass,
    int(Ground.PLASTER): _plaster,
    int(Ground.BRICK): _brick,
    int(Ground.ROOF): _roof,
    int(Surface.FOLIAGE): _foliage,
}
_COVERED = frozenset(int(g) for g in (Ground.ROAD, Ground.MARKING, Ground.PAVEMENT, Ground.KERB, Ground.GRASS))


def _cover(p: Points, color: Float, ground: str) -> Float:
    """Return the albedo of road and pavement under another surface (`SetGround`)."""
    x, y = p.position[:, 0], p.position[:, 1]
    grass = p.surface == Ground.GRASS
    if ground == "snow":
        drift = noise.sample(noise.field(1.5, 3), x * 6.0, y * 6.0)
        tracks = np.exp(-(((np.abs(np.abs(p.uv[:, 1]) % 3.4 - 1.7) - 0.75) / 0.25) ** 2))
        tracks = np.where(np.isin(p.surface, (Ground.ROAD, Ground.MARKING)), tracks, 0.0)
        amount = np.clip(0.95 + 0.05 * drift - 0.55 * tracks, 0.0, 1.0)[:, None]
        return color * 0.8 * (1 - amount) + np.array([0.60, 0.63, 0.68], np.float32) * amount
    if ground == "wet":
        return np.where(grass[:, None], color, color * 0.55)
    if ground == "cracked":
        veins = np.abs(noise.sample(noise.field(1.3, 11), x * 22.0, y * 22.0))
        crack = (np.clip(1.0 - veins / 0.06, 0.0, 1.0) * 0.75)[:, None] * _fade(p, 0.2)
        return np.where(grass[:, None], color, color * (1 - crack))
    if ground == "brick":
        row = p.uv[:, 1] / 0.12
        column = p.uv[:, 0] / 0.24 + 0.5 * (np.floor(row) % 2)
        tone = noise.hashed(np.floor(column), np.floor(row))[:, None] - 0.5
        joint = ((row - np.floor(row) < 0.1) | (column - np.floor(column) < 0.05))[:, None] * _fade(p, 0.12)
        paved = np.array(linear("#9a6450"), np.float32) * (1 + 0.4 * tone * _fade(p, 0.2)) * (1 - 0.5 * joint)
        return np.where(grass[:, None], color, paved)
    stones = noise.sample(noise.field(0.2, 12), x * 30.0, y * 30.0)[:, None]
    gravel = np.array(linear("#9b9183"), np.float32) * (1.0 + 0.28 * stones * _fade(p, 0.15))
    return np.where(grass[:, None], color, gravel)


@dataclass(frozen=True)
class Pattern:
    """A `Retexture` edit: the pattern on one object, in its own frame."""

    kind: str
    scale_m: float
    seed: int
    share: float = 1.0  # of the object's own colour that it covers


def patterned(pattern: Pattern, color: Float, local: Float) -> Float:
    """Return the albedo (R, 3) of a pattern over a colour at points (R, 3) in the object frame."""
    covered = _full(pattern, color, local)
    if pattern.share >= 1:
        return covered
    share = np.float32(pattern.share)
    return (color * (1 - share) + covered * share).astype(np.float32)


def _full(pattern: Pattern, color: Float, local: Float) -> Float:
    x, y, z = (local[:, k] / pattern.scale_m for k in range(3))
    shift = float(pattern.seed % 97)
    if pattern.kind == "stripes":
        odd = np.floor(x + z + shift) % 2
        return np.where(
            odd[:, None] > 0, np.array([0.75, 0.73, 0.68], np.float32), np.array([0.06, 0.06, 0.07], np.float32)
        )
    if pattern.kind == "checker":
        odd = (np.floor(x) + np.floor(y) + np.floor(z + 0.01)) % 2
        return np.where(
            odd[:, None] > 0, np.array([0.80, 0.78, 0.74], np.float32), np.array([0.55, 0.05, 0.05], np.float32)
        )
    soft = noise.sample(noise.field(1.5, 13), (x + 0.5 * z) * 8 + shift, (y + 0.7 * z) * 8)
    fine = noise.sample(noise.field(1.2, 14), (x + 0.5 * z) * 14 + shift, (y + 0.7 * z) * 14)
    if pattern.kind == "camouflage":
        tones = np.array([linear("#4a5a35"), linear("#7a6d4a"), linear("#2f3527"), linear("#8a8a62")], np.float32)
        return tones[(soft > 0).astype(int) * 2 + (fine > 0.3).astype(int)]
    if pattern.kind == "rust":
        amount = np.clip(0.5 + 0.7 * soft + 0.3 * fine, 0.0, 1.0)[:, None]
        return color * (1 - amount) + np.array(linear("#8a4a22"), np.float32) * (1 + 0.2 * fine[:, None]) * amount
    cells = [noise.hashed(np.floor(x), np.floor(y), np.floor(z) + shift + 101 * c) for c in range(3)]
    return np.stack(cells, axis=1)
