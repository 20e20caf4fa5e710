"""Where the streets run: a main street with bends, and the side streets that cross it.

Street frame: s along the centre line, d to the left of it, metres. Traffic drives on the right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scenes.random import Rng

LANE_M = 3.4
PARKING_M = 2.2
KERB_HEIGHT_M = 0.13
CORNER_RADIUS_M = 4.0
MAIN_RANGE_M = (-90.0, 330.0)
SIDE_RANGE_M = (-130.0, 130.0)


@dataclass(frozen=True, eq=False)
class Path:
    """A centre line sampled every `step` metres: s (P,), xy (P, 2), heading (P,) radians."""

    s: NDArray[np.float64]
    xy: NDArray[np.float64]
    heading: NDArray[np.float64]

    def at(self, s: NDArray[np.float64] | float, d: NDArray[np.float64] | float = 0.0) -> NDArray[np.float64]:
        """Return world x y (..., 2) of street coordinates; beyond the ends the line goes on straight."""
        s = np.asarray(s, np.float64)
        inside = np.clip(s, self.s[0], self.s[-1])
        heading = self.heading_at(s)
        x = np.interp(inside, self.s, self.xy[:, 0]) + (s - inside) * np.cos(heading) - d * np.sin(heading)
        y = np.interp(inside, self.s, self.xy[:, 1]) + (s - inside) * np.sin(heading) + d * np.cos(heading)
        return np.stack([x, y], axis=-1)

    def heading_at(self, s: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the direction of the street, radians from world x to the left."""
        return np.interp(s, self.s, self.heading)


@dataclass(frozen=True)
class Crossing:
    """Where a side street crosses the main one."""

    s: float
    signals: bool
    zebra: bool


@dataclass(frozen=True, eq=False)
class Street:
    """One street and its cross-section."""

    path: Path
    lanes: int  # per direction
    parking: tuple[bool, bool]  # right, left
    pavement_m: float
    verge_m: float  # grass between kerb and pavement
    gaps: tuple[tuple[float, float], ...] = ()  # stretches of s taken by crossings
    reach: tuple[float, float] = (0.0, 0.0)

    @property
    def half_m(self) -> float:
        """Half of the width between the kerbs (the same on both sides)."""
        return self.lanes * LANE_M + (PARKING_M if any(self.parking) else 0.0)

    @property
    def outer_m(self) -> float:
        """From the centre line to the outer edge of the pavement."""
        return self.half_m + self.verge_m + self.pavement_m

    def free(self) -> list[tuple[float, float]]:
        """Return the stretches of s outside the crossings."""
        edges, start = [], self.reach[0]
        for low, high in self.gaps:
            if low > start:
                edges.append((start, low))
            start = max(start, high)
        if start < self.reach[1]:
            edges.append((start, self.reach[1]))
        return edges


@dataclass(frozen=True, eq=False)
class Plan:
    """The street plan: the main street, side streets, and where they cross."""

    main: Street
    sides: tuple[Street, ...]
    crossings: tuple[Crossing, ...]
    zebras: tuple[float, ...] = field(default=())  # s on the main street, away from crossings


def plan_streets(rng: Rng) -> Plan:
    """Draw a plan: a main street with bends, and one or two crossings in its straight parts."""
    first = rng.uniform(28.0, 80.0)
    spots = [first]
    if rng.uniform() < 0.6:
        spots.append(first + rng.uniform(90.0, 130.0))
    path = _bent_path(rng, spots)
    lanes = 2 if rng.uniform() < 0.3 else 1
    parking = (rng.uniform() < 0.6, rng.uniform() < 0.75)
    pavement = rng.uniform(2.8, 5.2)
    verge = rng.uniform(1.0, 1.8) if rng.uniform() < 0.35 else 0.0
    side_style = (1, (rng.uniform() < 0.6, rng.uniform() < 0.6), rng.uniform(2.3, 3.4))
    crossings = tuple(Crossing(s=s, signals=rng.uniform() < 0.75, zebra=rng.uniform() < 0.8) for s in spots)
    main = Street(path, lanes, parking, pavement, verge)
    sides = []
    gaps = []
    for crossing in crossings:
        heading = float(path.heading_at(crossing.s)) + math.pi / 2
        side = Street(_straight(path.at(crossing.s), heading, SIDE_RANGE_M), *side_style, 0.0)
        block = main.half_m + max(main.verge_m + main.pavement_m, CORNER_RADIUS_M)
        sides.append(_with(side, ((-block, block),), SIDE_RANGE_M))
        half = side.half_m + max(side.pavement_m, CORNER_RADIUS_M)
        gaps.append((crossing.s - half, crossing.s + half))
    zebras = _free_zebras(rng, spots)
    return Plan(_with(main, tuple(gaps), MAIN_RANGE_M), tuple(sides), crossings, zebras)


def _free_zebras(rng: Rng, spots: list[float]) -> tuple[float, ...]:
    places = [rng.uniform(16.0, 40.0), rng.uniform(60.0, 150.0)]
    return tuple(s for s in places if rng.uniform() < 0.75 and min(abs(s - c) for c in spots) > 24.0)


def _with(street: Street, gaps: tuple[tuple[float, float], ...], reach: tuple[float, float]) -> Street:
    return Street(street.path, street.lanes, street.parking, street.pavement_m, street.verge_m, gaps, reach)


def _straight(origin: NDArray[np.float64], heading: float, reach: tuple[float, float]) -> Path:
    s = np.array(reach)
    direction = np.array([math.cos(heading), math.sin(heading)])
    return Path(s=s, xy=origin + s[:, None] * direction, heading=np.full(2, heading))


def line_path(start: NDArray[np.float64], end: NDArray[np.float64]) -> Path:
    """Return the straight path from one point (2,) to another."""
    step = end - start
    length = float(np.hypot(*step))
    return _straight(start, math.atan2(step[1], step[0]), (0.0, length))


def _bent_path(rng: Rng, spots: list[float]) -> Path:
    """Draw curvature stretch by stretch, straight within 32 m of crossings, and integrate it."""
    step = 2.0
    s = np.arange(MAIN_RANGE_M[0], MAIN_RANGE_M[1] + step, step)
    curvature = np.zeros(len(s))
    start = MAIN_RANGE_M[0] if rng.uniform() < 0.5 else rng.uniform(5.0, 30.0)
    while start < MAIN_RANGE_M[1]:
        length = rng.uniform(40.0, 90.0)
        bend = 0.0 if rng.uniform() < 0.3 else rng.choice((-1.0, 1.0)) / rng.uniform(95.0, 260.0)
        curvature[(s >= start) & (s < start + length)] = bend
        start += length + rng.uniform(0.0, 30.0)
    for spot in spots:
        curvature[np.abs(s - spot) < 34.0] = 0.0
    curvature = np.convolve(np.pad(curvature, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    heading = np.concatenate([[0.0], np.cumsum(curvature[:-1] * step)])
    middle = heading + 0.5 * curvature * step
    xy = np.concatenate([[[0.0, 0.0]], np.cumsum(step * np.stack([np.cos(middle), np.sin(middle)], 1), axis=0)[:-1]])
    here = int(np.argmin(np.abs(s)))
    turn = -heading[here]
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return Path(s=s, xy=(xy - xy[here]) @ rotation.T, heading=heading + turn)
