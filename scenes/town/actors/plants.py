"""Trees and bushes: trunk and boughs, a dark core of noise-displaced icospheres, and a coat of single leaf clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scenes.random import Rng
from scenes.town.actors.shapes import (
    Color,
    Floats,
    Solid,
    circle,
    icosphere,
    limb,
    loft,
    paint,
    pick,
    rgb,
    together,
    vec,
)
from scenes.town.mesh import Mesh, Surface, join, mesh

GREENS = (("#4f7a2a", 10), ("#3d6b28", 10), ("#5d8a35", 8), ("#6b8f3a", 6), ("#38602c", 6), ("#7a9442", 3))
AUTUMN = (("#c9922a", 4), ("#b5562a", 3), ("#d0b13c", 3))
BARK = (("#5a4635", 4), ("#4b3d31", 3), ("#6d5a48", 3))


def foliage(blobs: Floats, color: Color, rng: Rng, leaves: int, leaf_size: float, level: int = 2) -> Mesh:
    """Return leafy blobs. blobs (N, 6): centre x y z and half axes in metres; leaves: clusters on each blob."""
    parts = [_core(blob, rng, level) for blob in blobs]
    core = together(parts)
    coat = _leaves(blobs, rng, leaves, leaf_size)
    solid = together([core, coat])
    middle = solid.vertices[solid.faces].mean(axis=1)
    low, high = middle[:, 2].min(), middle[:, 2].max()
    light = 0.66 + 0.5 * (middle[:, 2] - low) / (high - low)
    light *= 0.72 + 0.56 * rng.uniforms(len(middle))
    light[: len(core.faces)] *= 0.7
    m = mesh(solid.vertices, solid.faces, color, surface=Surface.FOLIAGE, recolour=True)
    warm = 1.0 + 0.18 * (rng.uniforms(len(middle)) - 0.5)
    m.color[:] = np.clip(m.color * (light[:, None] * np.stack([warm, np.ones_like(warm), 1 / warm], -1)), 0, 1)
    return m


def _core(blob: Floats, rng: Rng, level: int) -> Solid:
    sphere = icosphere(level)
    v = sphere.vertices
    waves = rng.normals(4, 3) * 2.6
    lumps = np.sin(v @ waves.T + rng.uniforms(4) * 6.28).sum(axis=1) * 0.055
    radius = 0.92 + lumps + 0.2 * (rng.uniforms(len(v)) - 0.5)
    return Solid(v * radius[:, None] * blob[3:] + blob[:3], sphere.faces)


def _leaves(blobs: Floats, rng: Rng, count: int, size: float) -> Solid:
    """Return triangles strewn over the blobs, leaning outward at random."""
    n = len(blobs) * count
    direction = rng.normals(n, 3)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    owner = np.repeat(blobs, count, axis=0)
    centre = owner[:, :3] + direction * owner[:, 3:] * (0.9 + 0.2 * rng.uniforms(n)[:, None])
    corners = rng.normals(n, 3, 3)
    corners *= size * (0.7 + 0.6 * rng.uniforms(n))[:, None, None] / np.linalg.norm(corners, axis=2, keepdims=True)
    points = centre[:, None] + corners
    normal = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    inward = np.einsum("ij,ij->i", normal, direction) < 0
    points[inward] = points[inward][:, ::-1]
    return Solid(points.reshape(-1, 3), np.arange(3 * n).reshape(-1, 3))


def _trunk(height: float, radius: float, lean: Floats, color: Color) -> Mesh:
    points = [[0, 0, 0.0], [0, 0, 0.12], [0.3 * lean[0], 0.3 * lean[1], 0.5 * height], [lean[0], lean[1], height]]
    c = circle(9)
    r = np.array([1.5, 1.1, 0.9, 0.55]) * radius
    rings = np.array(
        [np.column_stack([c * k + np.array(p[:2]), np.full(9, p[2])]) for p, k in zip(points, r, strict=True)]
    )
    return paint(loft(rings, rings[0].mean(0), rings[-1].mean(0)), color, smooth=True)


def _boughs(start: Floats, ends: Floats, radius: float, color: Color) -> Mesh:
    arms = [
        limb([start, 0.5 * (start + e) + vec(0, 0, -0.08), e], [radius, radius * 0.7, radius * 0.4], 6) for e in ends
    ]
    return paint(together(arms), color, smooth=True)


def build_tree_round(rng: Rng) -> Mesh:
    """Return a broad-leaved street tree."""
    height, spread = rng.uniform(5.0, 9.5), rng.uniform(0.26, 0.36)
    bare = height * rng.uniform(0.24, 0.34)
    color = pick(rng, AUTUMN if rng.uniform() < 0.12 else GREENS)
    crown = (height - bare) / 2
    wide = height * spread
    centre = np.array([0.0, 0.0, bare + crown])
    n = 9
    turn = np.arange(n) * 2.4 + rng.uniform(0, 6.28)
    blobs = np.empty((n + 1, 6))
    blobs[0] = [*centre, 0.78 * wide, 0.78 * wide, 0.86 * crown]
    level = np.linspace(-0.45, 0.55, n) + 0.1 * (rng.uniforms(n) - 0.5)
    out = 0.52 * np.sqrt(np.clip(1 - level**2, 0, 1)) * (0.85 + 0.3 * rng.uniforms(n))
    blobs[1:, 0], blobs[1:, 1] = np.cos(turn) * out * wide, np.sin(turn) * out * wide
    blobs[1:, 2] = centre[2] + level * crown
    blobs[1:, 3:] = np.array([0.5 * wide, 0.5 * wide, 0.38 * crown]) * (0.85 + 0.3 * rng.uniforms(n))[:, None]
    bark = pick(rng, BARK)
    radius = 0.022 * height
    lean = rng.normals(2) * 0.12
    top = np.array([lean[0], lean[1], bare + 0.3 * crown])
    parts = [
        _trunk(float(top[2]), radius, lean, bark),
        _boughs(top * [1, 1, 0.75], blobs[1:4, :3], radius * 0.55, bark),
    ]
    return join([*parts, foliage(blobs, color, rng, 185, 0.027 * height, 1)])


def build_tree_birch(rng: Rng) -> Mesh:
    """Return a birch: slim crown, white trunk with black marks."""
    height = rng.uniform(6.0, 10.0)
    color = pick(rng, (("#d2b23a", 1),) if rng.uniform() < 0.15 else (("#7d9c3e", 3), ("#6c9138", 3), ("#8aa64c", 2)))
    bare = 0.26 * height
    n = 9
    t = np.linspace(0, 1, n)
    wide = height * rng.uniform(0.13, 0.17) * np.sin(np.pi * (0.22 + 0.72 * t)) ** 0.8
    turn = np.arange(n) * 2.4 + rng.uniform(0, 6.28)
    blobs = np.empty((n, 6))
    blobs[:, 0], blobs[:, 1] = np.cos(turn) * 0.35 * wide, np.sin(turn) * 0.35 * wide
    blobs[:, 2] = bare + 0.1 * height + t * (height - bare - 0.2 * height)
    blobs[:, 3], blobs[:, 4], blobs[:, 5] = wide, wide, 0.085 * height
    white = rgb("#e4e0d6")
    radius = 0.013 * height
    lean = rng.normals(2) * 0.1
    trunk = _trunk(0.9 * height, radius, lean, white)
    marks = []
    for _ in range(12):
        z, a = rng.uniform(0.03, 0.55) * height, rng.uniform(0, 6.28)
        axis = lean * 0.3 * min(z / (0.45 * height), 1.0)
        at = [axis[0] + np.cos(a) * radius * 0.85, axis[1] + np.sin(a) * radius * 0.85, z]
        marks.append(icosphere(0).scaled(0.3 * radius, 0.55 * radius, 0.022).turned("z", a).moved(*at))
    parts = [trunk, paint(together(marks), rgb("#26221e"))]
    return join([*parts, foliage(blobs, color, rng, 195, 0.021 * height, 1)])


def build_tree_conifer(rng: Rng) -> Mesh:
    """Return a spruce: ragged cones of branches over a short trunk."""
    height = rng.uniform(5.5, 11.0)
    wide = height * rng.uniform(0.19, 0.25)
    color = pick(rng, (("#2c5233", 4), ("#254a30", 4), ("#345e3c", 3), ("#3f6a5a", 2)))
    bare = 0.09 * height
    tiers, points = 11, 22
    parts = []
    for k in range(tiers):
        t = k / tiers
        z = bare + (height - bare) * t * 0.97
        radius = wide * (1 - t) ** 0.9 + 0.04 * wide
        thick = (height - bare) * 0.19 * (1 - 0.45 * t)
        parts.append(_tier(z, radius, thick, points, rng))
    solid = together(parts)
    m = mesh(solid.vertices, solid.faces, color, surface=Surface.FOLIAGE, recolour=True)
    light = 0.6 + 0.75 * rng.uniforms(len(m.faces))
    m.color[:] = np.clip(m.color * light[:, None], 0, 1)
    trunk = _trunk(0.5 * height, 0.016 * height, np.zeros(2), pick(rng, BARK))
    return join([trunk, m])


def _tier(z: float, radius: float, thick: float, points: int, rng: Rng) -> Solid:
    """Return a drooping, jagged skirt of branches."""
    c = circle(points, rng.uniform(0, 6.28))
    jag = np.where(np.arange(points) % 2 == 0, 1.0, 0.66) * (0.85 + 0.3 * rng.uniforms(points))
    tips: NDArray[np.float64] = np.empty((3, points, 3))
    droop = 0.22 * thick * rng.uniforms(points)
    tips[0, :, :2], tips[0, :, 2] = c * 0.3 * radius, z - 0.02
    tips[1, :, :2], tips[1, :, 2] = c * (radius * jag)[:, None], z - droop
    tips[2, :, :2], tips[2, :, 2] = c * 0.42 * radius, z + 0.5 * thick
    return loft(tips, (0, 0, z + 0.1), (0, 0, z + thick))


def build_bush(rng: Rng) -> Mesh:
    """Return a bush; one in three is a stretch of hedge, one in four flowers."""
    color = pick(rng, GREENS)
    if rng.uniform() < 0.33:
        length, height, depth = rng.uniform(1.5, 2.6), rng.uniform(0.7, 1.2), rng.uniform(0.3, 0.4)
        x = np.linspace(-0.5, 0.5, 5) * length
        blobs = np.column_stack(
            [x, 0 * x, 0 * x + height * 0.48, 0 * x + length * 0.2, 0 * x + depth, 0 * x + height * 0.46]
        )
    else:
        size, n = rng.uniform(0.5, 0.95), 5
        turn = np.arange(n) * 2.4
        out = size * np.array([0.0, 0.5, 0.5, 0.55, 0.5])
        blobs = np.empty((n, 6))
        blobs[:, 0], blobs[:, 1] = np.cos(turn) * out, np.sin(turn) * out
        blobs[:, 3:] = np.array([0.62, 0.62, 0.55]) * size * (0.8 + 0.35 * rng.uniforms(n))[:, None]
        blobs[:, 2] = blobs[:, 5] * 0.95
    m = foliage(blobs, color, rng, 240, 0.06, 1)
    if rng.uniform() < 0.25:
        bloom = np.array(rgb(rng.choice(("#d84a7a", "#f0e9e4", "#e8c23a", "#9a5bc0"))), np.float32)
        core = 80 * len(blobs)
        m.color[core:][rng.uniforms(len(m.faces) - core) < 0.12] = bloom
    m.vertices[:, 2] = np.maximum(m.vertices[:, 2], 0.0)
    return m
