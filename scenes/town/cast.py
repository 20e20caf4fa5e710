"""Who and what stands and moves in the streets: actors with instance ids, and furniture that has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.random import Rng
from scenes.town.classes import SECOND_OBJECT
from scenes.town.mesh import Mesh, Part
from scenes.town.soup import Body, thinned
from scenes.town.streets import KERB_HEIGHT_M, LANE_M, PARKING_M, Path, Plan, Street, line_path

MOVING_KINDS = (
    *("hatchback",) * 4, *("sedan",) * 4, *("estate",) * 2, *("suv",) * 4,
    *("van",) * 4, *("truck",) * 5, *("bus",) * 3,
)  # fmt: skip
PARKED_KINDS = (
    *("hatchback",) * 6, *("sedan",) * 5, *("estate",) * 4, *("suv",) * 5, *("van",) * 5, "truck",
)  # fmt: skip
LENGTH_M = {"truck": 8.5, "bus": 12.0, "van": 5.6, "cyclist": 1.9, "motorcyclist": 2.1}
ROADSIDE_SIGNS = (
    "sign_speed", "sign_speed", "sign_no_entry", "sign_crossing", "sign_yield", "sign_stop", "sign_direction",
)  # fmt: skip
STREET_TREES = ("tree_round", "tree_round", "tree_round", "tree_birch")
EGO_GAP_M = 12.0
TALLEST_LIGHT_M = 1.3
Builder = Callable[[str, Rng], Mesh]


@dataclass(frozen=True, eq=False)
class Motion:
    """Along a path at constant speed: at time t the place is (s + speed * t, d). Negative speed drives towards -s."""

    path: Path
    s: float
    d: float
    speed: float = 0.0  # m/s
    yaw_rad: float = 0.0  # of the object relative to the street
    z: float = 0.0

    def pose(self, time_s: float) -> NDArray[np.float64]:
        """Return object to world (4, 4)."""
        s = self.s + self.speed * time_s
        x, y = self.path.at(s, self.d)
        return pose(float(x), float(y), self.z, float(self.path.heading_at(s)) + self.yaw_rad)


def pose(x: float, y: float, z: float, yaw_rad: float) -> NDArray[np.float64]:
    """Return object to world (4, 4) of an upright object."""
    c, s = math.cos(yaw_rad), math.sin(yaw_rad)
    return np.array([[c, -s, 0.0, x], [s, c, 0.0, y], [0.0, 0.0, 1.0, z], [0.0, 0.0, 0.0, 1.0]])


@dataclass(frozen=True, eq=False)
class Actor:
    """An object with its own instance id, or two (rider and machine); second = 0 where there is one."""

    id: int
    second: int
    kind: str
    body: Body
    motion: Motion
    state: str  # driving | parked | walking | standing | crossing


class Cast:
    """Places actors and furniture of one drive."""

    def __init__(self, plan: Plan, rng: Rng, seed: int, build: Builder) -> None:
        self.plan, self.rng, self.seed, self._build = plan, rng, seed, build
        self.actors: list[Actor] = []
        self.furniture: list[tuple[Body, NDArray[np.float64], str]] = []
        self._next = 1
        self._oncoming = -6.0  # m/s, of the outer oncoming lane
        self._variants: dict[tuple[str, int, bool], Body] = {}
        self.ego_lane = 0 if plan.main.lanes == 1 or rng.uniform() < 0.5 else 1
        self.ego_d = -LANE_M * (self.ego_lane + 0.5)
        self.ego_speed = rng.uniform(3.0, 9.0)

    # -- helpers

    def _add(self, kind: str, motion: Motion, state: str) -> None:
        body = self._body(kind)
        second = self._next + 1 if kind in SECOND_OBJECT else 0
        self.actors.append(Actor(self._next, second, kind, body, motion, state))
        self._next += 2 if second else 1

    def _body(self, kind: str) -> Body:
        """Build an actor; of traffic lights those on a mast arm are passed over: two heads would share one label."""
        for attempt in range(50):
            body = Body.of(self._build(kind, Rng(self.seed, "actor", self._next, attempt)))
            low, high = body.extent[Part.MAIN]
            if kind != "traffic_light" or max(high - low) < TALLEST_LIGHT_M:
                return body
        raise RuntimeError(f"no plain {kind} in 50 attempts")

    def _furnish(
        self, kind: str, xy: NDArray[np.float64], yaw: float, z: float, *, scale: float = 1.0, plain: bool = False
    ) -> None:
        key = (kind, self.rng.integer(0, 4), plain)
        if key not in self._variants:
            mesh = self._build(kind, Rng(self.seed, "furniture", *key[:2]))
            self._variants[key] = Body.of(thinned(mesh) if plain else mesh)
        place = pose(float(xy[0]), float(xy[1]), z, yaw)
        place[:3, :3] *= scale
        self.furniture.append((self._variants[key], place, kind))

    # -- traffic

    def traffic(self) -> None:
        """Driving, parked and waiting vehicles on the main street and the side streets."""
        main = self.plan.main
        for lane in range(main.lanes):
            self._lane(lane, forward=True)
            self._lane(lane, forward=False)
        for street in (main, *self.plan.sides):
            for side, allowed in ((-1, street.parking[0]), (1, street.parking[1])):
                if allowed:
                    self._parked(street, side)
        for street in self.plan.sides:
            self._side_traffic(street)

    def _lane(self, lane: int, *, forward: bool) -> None:
        rng, main = self.rng, self.plan.main
        d = -LANE_M * (lane + 0.5) if forward else LANE_M * (lane + 0.5)
        mine = forward and lane == self.ego_lane
        speed = self.ego_speed if forward else -rng.uniform(5.0, 10.0)
        self._oncoming = speed if not forward else self._oncoming
        s = rng.uniform(EGO_GAP_M, 34.0) if mine else rng.uniform(6.0, 32.0)
        while s < 170.0:
            kind = rng.choice(MOVING_KINDS)
            if rng.uniform() < 0.16:
                kind = "cyclist"
            half = LENGTH_M.get(kind, 4.6) / 2
            s += half
            offset = math.copysign(0.9, d) if kind == "cyclist" else rng.uniform(-0.2, 0.2)
            turn = 0.0 if forward else math.pi
            self._add(kind, Motion(main.path, s, d + offset, speed, turn), "driving")
            s += half + rng.uniform(5.0, 30.0)

    def _parked(self, street: Street, side: int) -> None:
        rng = self.rng
        d = side * (street.lanes * LANE_M + PARKING_M / 2)
        forward = side < 0
        full = rng.uniform(0.45, 0.9)
        limit = (-6.0, 130.0) if len(street.path.s) > 2 else (-60.0, 60.0)
        for low, high in street.free():
            s = max(low, limit[0]) + 9.0
            while s < min(high, limit[1]) - 9.0:
                if rng.uniform() < full and not self._near_zebra(street, s, 6.5):
                    kind = rng.choice(PARKED_KINDS)
                    length = LENGTH_M.get(kind, 4.6)
                    s += max(0.0, (length - 5.2) / 2)
                    yaw = (0.0 if forward else math.pi) + rng.uniform(-0.03, 0.03)
                    self._add(kind, Motion(street.path, s, d + rng.uniform(-0.1, 0.1), 0.0, yaw), "parked")
                    s += max(0.0, (length - 5.2) / 2)
                s += 6.2

    def _near_zebra(self, street: Street, s: float, margin: float) -> bool:
        return street is self.plan.main and any(abs(s - z) < margin for z in self.plan.zebras)

    def _side_traffic(self, street: Street) -> None:
        """Vehicles that wait at the stop lines of a side street."""
        rng = self.rng
        block = street.gaps[0][1] + 2.4
        for sign in (-1, 1):
            s = block
            for _ in range(rng.integer(0, 3)):
                kind = rng.choice(MOVING_KINDS) if rng.uniform() < 0.85 else "cyclist"
                length = LENGTH_M.get(kind, 4.6)
                yaw = 0.0 if sign < 0 else math.pi
                place = Motion(street.path, sign * (s + length / 2), sign * LANE_M / 2, 0.0, yaw)
                self._add(kind, place, "waiting")
                s += length + rng.uniform(1.5, 4.0)

    # -- people

    def people(self) -> None:
        """Pedestrians on the pavements and crossings, cyclists at the kerb."""
        rng, main = self.rng, self.plan.main
        busy = rng.uniform(3.5, 9.0)
        for side in (-1, 1):
            s = rng.uniform(2.0, busy)
            while s < 110.0:
                if not any(abs(s - c.s) < 9.0 for c in self.plan.crossings):
                    self._group(main, side, s)
                s += rng.uniform(0.4, 1.7) * busy
        for street in self.plan.sides:
            for _ in range(rng.integer(1, 5)):
                side = rng.choice((-1, 1))
                self._group(street, side, rng.choice((-1, 1)) * rng.uniform(12.0, 40.0))
        for s in self._zebra_places():
            for _ in range(rng.integer(0, 4)):
                self._crossing(s + rng.uniform(-1.2, 1.2))
        for side in (-1, 1):
            if rng.uniform() < 0.35:
                continue
            d = side * (main.half_m - (PARKING_M if any(main.parking) else 0.0) - 0.7)
            speed = self.ego_speed if side < 0 else self._oncoming
            start = rng.uniform(8.0, 34.0)
            if not self._overlaps(start, d, 3.5):
                self._add("cyclist", Motion(main.path, start, d, speed, 0.0 if side < 0 else math.pi), "driving")

    def _overlaps(self, s: float, d: float, margin: float) -> bool:
        main = self.plan.main.path
        return any(
            a.motion.path is main
            and abs(a.motion.d - d) < 1.6
            and abs(a.motion.s - s) < margin + LENGTH_M.get(a.kind, 4.6) / 2
            for a in self.actors
        )

    def _zebra_places(self) -> Iterator[float]:
        yield from self.plan.zebras
        for crossing, side in zip(self.plan.crossings, self.plan.sides, strict=True):
            if crossing.zebra:
                yield crossing.s - (side.half_m + 2.6)
                yield crossing.s + (side.half_m + 2.6)

    def _group(self, street: Street, side: int, s: float) -> None:
        rng = self.rng
        size = 1 if rng.uniform() < 0.72 else 2
        inner = street.half_m + street.verge_m + 0.7
        d0 = rng.uniform(inner, max(inner + 0.1, street.outer_m - 0.6))
        standing = rng.uniform() < 0.2
        speed = 0.0 if standing else rng.choice((-1.0, 1.0)) * rng.uniform(0.9, 1.6)
        for k in range(size):
            yaw = rng.uniform(-math.pi, math.pi) if standing else (0.0 if speed > 0 else math.pi)
            d = side * min(d0 + 0.65 * k, street.outer_m - 0.35)
            place = Motion(street.path, s + 0.2 * k, d, speed, yaw, KERB_HEIGHT_M)
            self._add("pedestrian", place, "standing" if standing else "walking")

    def _crossing(self, s: float) -> None:
        """One person on a zebra crossing, unless a moving vehicle is due there."""
        rng, main = self.rng, self.plan.main
        for a in self.actors:
            if a.state == "driving" and a.motion.path is main.path:
                low, high = sorted((a.motion.s, a.motion.s + a.motion.speed * 8.0))
                if low - 7.0 < s < high + 7.0:
                    return
        ends = main.path.at(np.array([s, s]), np.array([-main.half_m, main.half_m]))
        path = line_path(ends[0], ends[1])
        speed = rng.choice((-1.0, 1.0)) * rng.uniform(0.7, 1.3)
        start = rng.uniform(0.5, 2 * main.half_m - 0.5)
        self._add("pedestrian", Motion(path, start, 0.0, speed, 0.0 if speed > 0 else math.pi), "crossing")

    # -- signs, lights, furniture

    def signs(self) -> None:
        """Traffic lights at signalled crossings, signs at the others, along the kerb and before zebras."""
        rng, main = self.rng, self.plan.main
        for crossing, side in zip(self.plan.crossings, self.plan.sides, strict=True):
            near = crossing.s - (side.half_m + 5.2)
            far = crossing.s + (side.half_m + 4.6)
            edge = main.half_m + 0.55
            if crossing.signals:
                for s, d in ((near, -edge), (near, edge), (far, -edge), (far, edge)):
                    if s == near or rng.uniform() < 0.8:
                        self._post("traffic_light", main, s, d, math.pi)
                for sign in (-1, 1):
                    block = side.gaps[0][1] + 0.8
                    yaw = math.pi if sign < 0 else 0.0
                    self._post("traffic_light", side, sign * block, sign * (side.half_m + 0.55), yaw)
            else:
                self._post(rng.choice(("sign_stop", "sign_yield")), main, near, -edge, math.pi)
                for sign in (-1, 1):
                    yaw = math.pi if sign < 0 else 0.0
                    kind = rng.choice(("sign_stop", "sign_yield"))
                    self._post(kind, side, sign * (side.gaps[0][1] + 0.8), sign * (side.half_m + 0.55), yaw)
            if rng.uniform() < 0.5:
                self._post("sign_no_entry", main, far + 1.5, edge, math.pi)
            if rng.uniform() < 0.5:
                self._post("sign_direction", main, far + 2.0, -edge - 0.3, math.pi)
        for s in self.plan.zebras:
            kind = rng.choice(("sign_crossing", "traffic_light"))
            self._post(kind, main, s - 2.2, -(main.half_m + 0.5), math.pi)
            self._post(kind, main, s - 2.2, main.half_m + 0.5, math.pi)
        s = rng.uniform(8.0, 15.0)
        while s < 130.0:
            if not any(abs(s - c.s) < 14.0 for c in self.plan.crossings):
                side_of = -1 if rng.uniform() < 0.65 else 1
                self._post(rng.choice(ROADSIDE_SIGNS), main, s, side_of * (main.half_m + 0.45), math.pi)
            s += rng.uniform(7.0, 22.0)

    def _post(self, kind: str, street: Street, s: float, d: float, yaw: float) -> None:
        turn = yaw + self.rng.uniform(-0.12, 0.12)
        self._add(kind, Motion(street.path, s, d, 0.0, turn, KERB_HEIGHT_M), "standing")

    def furnish(self) -> None:
        """Street lamps, street trees, bins, benches, hydrants."""
        rng, main = self.rng, self.plan.main
        trees = rng.uniform() < 0.7 and main.pavement_m + main.verge_m > 3.0
        kind = rng.choice(STREET_TREES)
        for side in (-1, 1):
            lamp_s = rng.uniform(-4.0, 10.0)
            for s in np.arange(lamp_s, 200.0, rng.uniform(24.0, 32.0)):
                if self._clear(float(s), 11.0):
                    d = side * (main.half_m + 0.6)
                    yaw = float(main.path.heading_at(s)) - side * math.pi / 2
                    self._furnish("lamp", main.path.at(s, d), yaw, KERB_HEIGHT_M)
            if trees:
                for s in np.arange(lamp_s + 6.0, 220.0, rng.uniform(9.0, 15.0)):
                    if self._clear(float(s), 17.0) and rng.uniform() < 0.85:
                        d = side * (main.half_m + max(0.9, main.verge_m / 2))
                        turn, scale = rng.uniform(0, 6.28), rng.uniform(0.7, 1.0)
                        self._furnish(kind, main.path.at(s, d), turn, KERB_HEIGHT_M, scale=scale, plain=s > 90.0)
            for s in np.arange(rng.uniform(3.0, 20.0), 120.0, rng.uniform(12.0, 30.0)):
                if self._clear(float(s), 10.0):
                    what = rng.choice(("bin", "bench", "hydrant", "bin", "postbox", "bollard", "cone", "bus_stop"))
                    back = {"bench": 0.35, "bus_stop": 0.9, "postbox": 0.35}.get(what)
                    d = side * (main.half_m + 0.45 if back is None else main.outer_m - back)
                    yaw = float(main.path.heading_at(s)) - side * math.pi / 2
                    self._furnish(what, main.path.at(s, d), yaw, KERB_HEIGHT_M)

    def _clear(self, s: float, margin: float) -> bool:
        return all(abs(s - c.s) > margin for c in self.plan.crossings) and not self._near_zebra(self.plan.main, s, 3.0)

    def tree(self, xy: NDArray[np.float64], kind: str, scale: float) -> None:
        """Plant a tree or bush away from the street; far ones are plain."""
        far = float(np.hypot(*(xy - self.plan.main.path.at(30.0)))) > 75.0
        self._furnish(kind, xy, self.rng.uniform(0, 6.28), KERB_HEIGHT_M - 0.03, scale=scale, plain=far)
