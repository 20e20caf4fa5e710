"""Skins of passenger cars and delivery vans: one loft along the car, its glass, pillars, seams and arches cut into it.

A section across the car has 13 points a side, from the middle of the floor over sill, shoulder and roof edge to the
middle of the roof; along the car, sections follow the side profile. Proportions are those of European cars of 2010-20.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.town.actors.shapes import Color, Floats, loft, rgb, vec
from scenes.town.mesh import Mesh, Surface, mesh

Profile = Sequence[tuple[float, float]]  # (share of length from the nose, share of height)

TRIM = rgb("#1b1c1e")
GLASS = rgb("#14181c")


@dataclass(frozen=True)
class Body:
    """Side profile of a car. Pairs are (share of length from the nose, share of height); positions shares of length."""

    size: tuple[float, float, float]  # length, width, height in m
    top: Profile
    belt: float  # share of height at which the windows begin
    front_screen: tuple[float, float]
    rear_screen: tuple[float, float] | None
    side_glass: tuple[float, float]
    pillars: tuple[float, ...]
    seams: tuple[float, ...]
    axles: tuple[float, float]
    wheel: float = 0.325  # radius in m
    floor: float = 0.20  # m
    tumblehome: float = 0.36  # inward lean of the windows: m a side per m of height
    rails: bool = False


BODIES: dict[str, Body] = {
    "hatchback": Body(
        (4.05, 1.76, 1.48),
        ((0, 0.45), (0.01, 0.535), (0.055, 0.59), (0.23, 0.655), (0.41, 0.955), (0.47, 0.985), (0.56, 1), (0.72, 0.98),
         (0.86, 0.93), (0.885, 0.91), (0.965, 0.67), (0.985, 0.645), (1, 0.6)),
        0.635, (0.235, 0.415), (0.885, 0.962), (0.285, 0.865), (0.52, 0.745), (0.32, 0.52, 0.745), (0.19, 0.815),
    ),
    "sedan": Body(
        (4.65, 1.82, 1.45),
        ((0, 0.45), (0.01, 0.535), (0.05, 0.59), (0.26, 0.655), (0.415, 0.955), (0.47, 0.985), (0.54, 1), (0.64, 0.985),
         (0.71, 0.945), (0.85, 0.73), (0.965, 0.71), (0.988, 0.685), (1, 0.62)),
        0.64, (0.265, 0.42), (0.71, 0.845), (0.305, 0.755), (0.505, 0.675), (0.33, 0.505, 0.69), (0.185, 0.80),
    ),
    "estate": Body(
        (4.7, 1.83, 1.49),
        ((0, 0.45), (0.01, 0.53), (0.05, 0.585), (0.255, 0.65), (0.405, 0.955), (0.46, 0.985), (0.56, 1), (0.75, 0.985),
         (0.895, 0.94), (0.915, 0.92), (0.975, 0.67), (0.99, 0.645), (1, 0.6)),
        0.63, (0.26, 0.41), (0.915, 0.972), (0.3, 0.915), (0.49, 0.66, 0.745), (0.325, 0.49, 0.675), (0.185, 0.80),
        rails=True,
    ),
    "suv": Body(
        (4.5, 1.87, 1.70),
        ((0, 0.49), (0.01, 0.575), (0.05, 0.63), (0.235, 0.675), (0.37, 0.945), (0.43, 0.985), (0.54, 1), (0.74, 0.985),
         (0.895, 0.94), (0.915, 0.92), (0.97, 0.68), (0.988, 0.65), (1, 0.6)),
        0.64, (0.24, 0.375), (0.915, 0.966), (0.28, 0.9), (0.48, 0.67, 0.755), (0.3, 0.48, 0.68), (0.19, 0.805),
        wheel=0.37, floor=0.27, tumblehome=0.3, rails=True,
    ),
    "van": Body(
        (5.6, 2.02, 2.45),
        ((0, 0.30), (0.01, 0.38), (0.05, 0.425), (0.145, 0.475), (0.265, 0.88), (0.3, 0.945), (0.36, 0.985), (0.45, 1),
         (0.95, 1), (0.985, 0.985), (1, 0.95)),
        0.475, (0.15, 0.27), None, (0.185, 0.35), (0.212,), (0.2, 0.355, 0.56), (0.16, 0.76),
        wheel=0.345, floor=0.24, tumblehome=0.07,
    ),
}  # fmt: skip


class Skin:
    """The lofted skin of a body: `points` (S, 13, 3) of its left half."""

    def __init__(self, body: Body) -> None:
        self.body = body
        length, self.width, self.height = body.size
        self.stations = _stations(body)
        self.x = length * (0.5 - self.stations)
        self.top = body.size[2] * _smoothed(body.top, self.stations)
        self.points = self._section_points()

    def half_width(self, s: NDArray[np.float64]) -> Floats:
        """Return the half width at the shoulder: rounded nose, slightly tapered tail."""
        nose = np.clip(1 - s / 0.09, 0, 1) ** 2.3
        tail = np.clip((s - 0.93) / 0.07, 0, 1) ** 2.3
        waist = 0.02 * (2 * s - 1) ** 2
        share = (0.06, 0.03) if self.body.rear_screen is None else (0.2, 0.13)
        return self.width / 2 * (1 - share[0] * nose - share[1] * tail - waist)

    def _section_points(self) -> Floats:
        body, s, top = self.body, self.stations, self.top
        w = self.half_width(s)
        belt = np.minimum(self.height * (body.belt + 0.03 * (s - 0.4)), top - 0.045)
        glass = top - belt
        low = self.bottom()
        side = belt - low
        inset = np.minimum(body.tumblehome * (glass - 0.1).clip(0), 0.3)
        edge = 0.955 * w - inset - 0.012
        rows_y = [
            0 * w, 0.93 * w, 0.985 * w, w, w, 0.982 * w, 0.962 * w, 0.95 * w, 0.5 * (0.95 * w + edge) + 0.012, edge,
            edge - np.minimum(0.035, 0.3 * glass), 0.6 * edge, 0 * w,
        ]  # fmt: skip
        rim = np.minimum(0.09, 0.4 * glass)
        rows_z = [
            low, low, low + 0.06, low + 0.36 * side, low + 0.66 * side, low + 0.94 * side, belt,
            belt + np.minimum(0.03, 0.1 * glass), belt + 0.5 * glass - 0.4 * rim, top - rim,
            top - 0.35 * rim, top - 0.08 * rim, top,
        ]  # fmt: skip
        return np.stack([np.repeat(self.x[:, None], 13, 1), np.stack(rows_y, 1), np.stack(rows_z, 1)], -1)

    def bottom(self) -> Floats:
        """Return the height of the lower edge: the sill, cut by the wheel arches."""
        body = self.body
        low = np.full(len(self.x), body.floor)
        low = np.maximum(low, body.floor + 0.12 * np.clip(1 - self.stations / 0.06, 0, 1))
        low = np.maximum(low, body.floor + 0.14 * np.clip((self.stations - 0.93) / 0.07, 0, 1))
        radius = _arch_radius(body)
        for share in body.axles:
            gap = np.abs(self.x - body.size[0] * (0.5 - share))
            inside = gap <= radius * 1.0005
            arch = body.wheel + np.sqrt(np.clip(radius**2 - gap**2, 0, None))
            low = np.where(inside, np.maximum(arch, low), low)
        return low

    def painted(self, color: Color, stripe: Color | None) -> Mesh:
        """Return the skin with its materials, closed at nose and tail."""
        left, right = self.points[:, ::-1], self.points[:, 1:-1] * np.array([1, -1, 1])
        rings = np.concatenate([left, right], axis=1)
        solid = loft(rings, rings[0].mean(axis=0) + vec(0.03, 0, 0), rings[-1].mean(axis=0) - vec(0.02, 0, 0))
        m = mesh(solid.vertices, solid.faces, color, surface=Surface.PAINT, recolour=True, smooth=True)
        band = np.concatenate([np.arange(11, -1, -1), np.arange(12)])  # the side has 12 strips
        at = np.repeat((0.5 * (self.stations[1:] + self.stations[:-1]))[:, None], 24, axis=1)
        looks = self._looks(at, band[None], stripe)
        ends = [len(m.faces) - at.size * 2]
        for where, paint_color, surface in looks:
            mask = np.concatenate([np.repeat(where.ravel(), 2), np.zeros(ends[0], bool)])
            m.color[mask], m.surface[mask], m.recolour[mask] = paint_color, surface, False
        return m

    def _looks(
        self, at: Floats, band: NDArray[np.int64], stripe: Color | None
    ) -> list[tuple[NDArray[np.bool_], Color, Surface]]:
        body = self.body
        side, roof = (band >= 7) & (band <= 8), band >= 10

        def between(span: tuple[float, float]) -> NDArray[np.bool_]:
            return (at > span[0]) & (at < span[1])

        glass = (roof & between(body.front_screen)) | (side & between(body.side_glass))
        if body.rear_screen is not None:
            glass |= roof & between(body.rear_screen)
        pillar = np.zeros_like(glass)
        for p in body.pillars:
            pillar |= side & (np.abs(at - p) < 0.0075) & between(body.side_glass)
        seam = np.zeros_like(glass)
        for p in body.seams:
            seam |= (band >= 2) & (band <= (5 if p < 0.8 else 9)) & (np.abs(at - p) < _SEAM)
        looks = [
            (np.broadcast_to(band == 0, at.shape), rgb("#0c0c0d"), Surface.MATTE),
            (np.broadcast_to(band == 1, at.shape), TRIM, Surface.MATTE),
            (glass, GLASS, Surface.GLASS),
            ((band == 6) & between(body.side_glass), TRIM, Surface.MATTE),
            (pillar, TRIM, Surface.MATTE),
        ]
        if stripe is not None:
            looks.append(((band == 3) & (at > 0.1) & (at < 0.95), stripe, Surface.PAINT))
            looks.append(((band == 8) & (at > 0.4) & (at < 0.92), stripe, Surface.PAINT))
        looks.append((seam, rgb("#0e0e10"), Surface.MATTE))
        return looks


_SEAM = 0.0022  # half width of a door gap, share of length: 1 cm


def _stations(body: Body) -> Floats:
    """Return the positions of the sections: an even spread, and every edge of glass, pillars, seams and arches."""
    length = body.size[0]
    marks = [np.linspace(0, 1, 15), np.array([0.008, 0.02, 0.035, 0.965, 0.98, 0.992])]
    edges = [*body.front_screen, *body.side_glass, *(body.rear_screen or ())]
    marks.append(np.array(edges))
    marks += [np.array([p - 0.0075, p + 0.0075]) for p in body.pillars]
    marks += [np.array([p - _SEAM, p + _SEAM]) for p in body.seams]
    radius = _arch_radius(body) / length
    for share in body.axles:
        marks.append(share + radius * np.cos(np.linspace(0, np.pi, 10)))
        marks.append(np.array([share - radius * 1.004, share + radius * 1.004]))
    values = np.unique(np.concatenate(marks).clip(0, 1))
    return values[np.concatenate([[True], np.diff(values) > 1e-4])]


def _arch_radius(body: Body) -> float:
    return body.wheel * 1.13


def _smoothed(profile: Profile, at: Floats) -> Floats:
    fine = np.linspace(-0.1, 1.1, 1201)
    line = np.interp(fine, [p[0] for p in profile], [p[1] for p in profile])
    kernel = np.exp(-0.5 * (np.arange(-12, 13) / 5.0) ** 2)
    return np.interp(at, fine, np.convolve(np.pad(line, 12, mode="edge"), kernel / kernel.sum(), mode="valid"))
