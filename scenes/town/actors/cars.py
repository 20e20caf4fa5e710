"""Passenger cars and delivery vans: one skin lofted along the car, its glass, pillars, seams and arches cut into it.

A section across the car has 13 points a side, from the middle of the floor over sill, shoulder and roof edge to the
middle of the roof; along the car, sections follow the side profile. Proportions are those of European cars of the 2010s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scenes.random import Rng
from scenes.town.actors.shapes import Color, Floats, ball, both_sides, box, loft, pick, paint, rgb, shade
from scenes.town.actors.wheels import axle, wheel
from scenes.town.mesh import Mesh, Surface, join, mesh

Profile = Sequence[tuple[float, float]]  # (share of length from the nose, share of height)

PAINTS = (
    ("#f2f2f0", 22), ("#16171a", 18), ("#6d7177", 17), ("#b9bdc2", 13), ("#1f3f77", 9), ("#3c75b5", 3), ("#a5161d", 9),
    ("#5e1420", 2), ("#2d4a35", 3), ("#d9a813", 2), ("#d2601a", 2), ("#6d5c49", 3), ("#7fa3a8", 2),
)  # fmt: skip
VAN_PAINTS = (("#f4f4f2", 60), ("#c9ccd0", 12), ("#e0b21b", 8), ("#2b4f86", 6), ("#8e1b20", 4), ("#4b4f55", 10))
STRIPES = ("#d3202a", "#1668b3", "#f0a018", "#2a8f4d", "#5a3b8c", "#e35f14")
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


def build_car(kind: str, rng: Rng) -> Mesh:
    """Return a hatchback, sedan, estate, suv or van."""
    base = BODIES[kind]
    length, width, height = base.size
    grow = rng.uniform(0.94, 1.06)
    scale = (length * grow, width * (0.5 + 0.5 * grow) * rng.uniform(0.99, 1.01), height * rng.uniform(0.965, 1.035))
    body = replace(base, size=scale, wheel=base.wheel * rng.uniform(0.97, 1.05))
    color = pick(rng, VAN_PAINTS if kind == "van" else PAINTS)
    spokes = rng.choice((5, 6, 7, 10))
    stripe = rgb(rng.choice(STRIPES)) if kind == "van" and rng.uniform() < 0.6 else None
    skin = _Skin(body)
    parts = [skin.painted(color, stripe), *_under(body), *_wheels(body, spokes), *_front(body, skin, rng)]
    parts += _rear(body, skin, color, kind) + _side_details(body, skin, color)
    return join(parts)


class _Skin:
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
        solid = loft(rings, rings[0].mean(axis=0) + [0.03, 0, 0], rings[-1].mean(axis=0) - [0.02, 0, 0])
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


def _under(body: Body) -> list[Mesh]:
    length, width, _ = body.size
    black = rgb("#08080a")
    wells = [
        box(2.1 * body.wheel, width - 0.56, 0.9 * body.wheel).moved(length * (0.5 - share), 0, 1.5 * body.wheel)
        for share in body.axles
    ]
    return [
        paint(box(0.94 * length, width - 0.56, 0.3).moved(z=body.floor + 0.16), black),
        *(paint(w, black) for w in wells),
    ]


def _wheels(body: Body, spokes: int) -> list[Mesh]:
    length, width, _ = body.size
    tyre = 0.215 if body.wheel > 0.34 else 0.195
    one = wheel(round(body.wheel, 3), tyre, spokes, 0.62 if body.rear_screen is None else 0.7)
    return [
        m for share in body.axles for m in axle(one, length * (0.5 - share), width / 2 - tyre / 2 - 0.015, body.wheel)
    ]


def _plate(x: float, z: float, facing: int) -> list[Mesh]:
    return [
        paint(box(0.02, 0.52, 0.115).moved(x=x, z=z), rgb("#f3f3ee")),
        paint(box(0.01, 0.4, 0.06).moved(x=x + facing * 0.008, z=z), rgb("#2a2a2c")),
        paint(box(0.022, 0.045, 0.113).moved(x=x, y=facing * -0.24, z=z), rgb("#1d3f9b")),
    ]


def _front(body: Body, skin: _Skin, rng: Rng) -> list[Mesh]:
    length, width, height = body.size
    x, w = length / 2, width / 2
    nose = float(skin.top[0])
    is_van = body.rear_screen is None
    lamp_z = nose + (0.10 if is_van else 0.045)
    slim = rng.uniform(0.075, 0.1) * (1.5 if is_van else 1.0)
    lamp = both_sides(ball(0.16, 0.2, slim, 10, 6, 0.7).turned("z", -0.5).moved(x - 0.17, 0.7 * w, lamp_z))
    core = both_sides(ball(0.1, 0.075, slim * 0.75, 8, 5).moved(x - 0.075, 0.64 * w, lamp_z - 0.005))
    grille_w = rng.uniform(0.42, 0.62) * w
    grille_h = rng.uniform(0.05, 0.085) * (1.6 if is_van else 1.0)
    floor = float(skin.bottom()[0])
    intake_z = floor + 0.075
    parts = [
        paint(lamp, rgb("#d4d9de"), Surface.GLASS, smooth=True),
        paint(core, rgb("#ffffff"), Surface.METAL, smooth=True),
        paint(
            ball(0.1, grille_w, grille_h, 12, 6, 0.55).moved(x - 0.055, 0, lamp_z - 0.035), rgb("#0d0d0f"), smooth=True
        ),
        paint(ball(0.1, 0.6 * w, 0.055, 12, 6, 0.55).moved(x - 0.07, 0, intake_z), rgb("#0d0d0f"), smooth=True),
        paint(
            ball(0.02, 0.06, 0.06, 8, 4).moved(x + 0.045, 0, lamp_z - 0.03), rgb("#dcdfe2"), Surface.METAL, smooth=True
        ),
        paint(
            both_sides(ball(0.05, 0.07, 0.045, 8, 5).moved(x - 0.1, 0.66 * w, intake_z)), rgb("#9a9fa6"), Surface.METAL
        ),
    ]
    bar = box(0.03, 2 * grille_w, 0.016).moved(x + 0.03, 0, lamp_z - 0.035)
    return [*parts, paint(bar, rgb("#c9ccd0"), Surface.METAL), *_plate(x + 0.035, 0.5 * (lamp_z + intake_z) - 0.015, 1)]


def _rear(body: Body, skin: _Skin, color: Color, kind: str) -> list[Mesh]:
    length, width, height = body.size
    x, w = -length / 2, width / 2
    red = rgb("#cf1016")
    floor = float(skin.bottom()[-1])
    bumper = paint(ball(0.09, 0.88 * w, 0.07, 12, 6, 0.5).moved(x + 0.06, 0, floor + 0.07), TRIM, smooth=True)
    if kind == "van":
        lamps = both_sides(box(0.05, 0.13, 0.5).moved(x - 0.005, 0.86 * w, 0.45 * height))
        windows = both_sides(box(0.02, 0.62 * w, 0.3 * height).moved(x - 0.03, 0.42 * w, 0.7 * height))
        gap = box(0.02, 0.02, 0.74 * height).moved(x - 0.025, 0, 0.56 * height)
        return [
            bumper,
            paint(lamps, red, Surface.GLASS),
            paint(windows, GLASS, Surface.GLASS),
            paint(gap, TRIM),
            paint(box(0.03, 0.3, 0.04).moved(x - 0.02, 0.15, 0.5 * height), TRIM),
            *_plate(x - 0.02, 0.36 * height, -1),
        ]
    z = float(skin.top[-1]) - (0.06 if kind == "sedan" else 0.02)
    tall = 0.075 if kind == "sedan" else 0.13
    depth = 0.16 if kind == "sedan" else 0.2
    lamp = both_sides(ball(depth, 0.24 * w, tall, 10, 6, 0.6).turned("z", 0.3).moved(x + depth + 0.025, 0.755 * w, z))
    reverse = both_sides(ball(0.05, 0.09 * w, tall * 0.4, 8, 4, 0.7).moved(x + 0.04, 0.62 * w, z - 0.01))
    parts = [bumper, paint(lamp, red, Surface.GLASS, smooth=True), paint(reverse, rgb("#e8e4e0"), Surface.GLASS)]
    parts.append(paint(ball(0.02, 0.05, 0.05, 8, 4).moved(x - 0.015, 0, z + 0.04), rgb("#dcdfe2"), Surface.METAL))
    return parts + _plate(x - 0.028, z - 0.06 if kind == "sedan" else z - 0.12, -1)


def _side_details(body: Body, skin: _Skin, color: Color) -> list[Mesh]:
    length, width, height = body.size
    w = width / 2
    belt = height * body.belt
    is_van = body.rear_screen is None
    mirror_x = length * (0.5 - body.side_glass[0] - 0.012)
    tall = 0.15 if is_van else 0.08
    mirror = both_sides(ball(0.085, 0.115, tall, 8, 6, 0.7).moved(mirror_x, w + 0.07, belt + 0.06 + tall / 2))
    back = both_sides(box(0.01, 0.16, tall * 1.4).moved(mirror_x - 0.085, w + 0.075, belt + 0.06 + tall / 2))
    stalk = both_sides(box(0.05, 0.14, 0.035).moved(mirror_x, w - 0.02, belt + 0.03))
    parts = [
        paint(mirror, TRIM if is_van else color, Surface.PAINT, smooth=True, recolour=not is_van),
        paint(back, rgb("#5b6670"), Surface.GLASS),
        paint(stalk, TRIM),
    ]
    for p in body.seams[1 : 3 if not is_van else 2]:
        handle = box(0.19, 0.03, 0.03).moved(length * (0.5 - p) + 0.16, w - 0.008, belt - 0.1)
        parts.append(paint(both_sides(handle), shade(color, 0.55), Surface.PAINT))
    if body.rails:
        x0, x1 = (length * (0.5 - s) for s in (0.46, 0.84))
        rail = box(x0 - x1, 0.03, 0.03).moved((x0 + x1) / 2, 0.66 * w, height * 0.98)
        parts.append(paint(both_sides(rail), rgb("#aeb2b6"), Surface.METAL))
    return parts
