"""Meshes of the town's actors and street furniture, drawn from a generator and deterministic in it.

`build("sedan", rng)` gives a `Mesh` in the object frame: x forward, y left, z up, metres, on the ground. Signs, traffic
lights, benches and shelters face +x. Kinds with two semantic parts have the second in `SECOND_CLASS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from scenes.random import Rng
from scenes.town.actors.buses import build_bus
from scenes.town.actors.cars import build_car
from scenes.town.actors.cycles import build_cyclist, build_motorcyclist
from scenes.town.actors.furniture import (
    build_barrier,
    build_bench,
    build_bin,
    build_bollard,
    build_bus_stop,
    build_cone,
    build_hydrant,
    build_lamp,
    build_pole,
    build_postbox,
)
from scenes.town.actors.people import build_pedestrian
from scenes.town.actors.plants import build_bush, build_tree_birch, build_tree_conifer, build_tree_round
from scenes.town.actors.signs import build_sign, build_traffic_light
from scenes.town.actors.trucks import build_truck
from scenes.town.mesh import Mesh

__all__ = ["CLASS", "KINDS", "SECOND_CLASS", "SIZE", "build"]

Builder = Callable[[Rng], Mesh]
Size = tuple[float, float, float]

# kind: builder, Cityscapes class (None: no class of its own), typical length, width, height in m
_TABLE: dict[str, tuple[Builder, str | None, Size]] = {
    "hatchback": (partial(build_car, "hatchback"), "car", (4.05, 1.76, 1.48)),
    "sedan": (partial(build_car, "sedan"), "car", (4.65, 1.82, 1.45)),
    "estate": (partial(build_car, "estate"), "car", (4.7, 1.83, 1.49)),
    "suv": (partial(build_car, "suv"), "car", (4.5, 1.87, 1.7)),
    "van": (partial(build_car, "van"), "car", (5.6, 2.02, 2.45)),
    "truck": (build_truck, "truck", (8.4, 2.5, 3.5)),
    "bus": (build_bus, "bus", (11.5, 2.52, 3.1)),
    "pedestrian": (build_pedestrian, "person", (0.6, 0.55, 1.7)),
    "cyclist": (build_cyclist, "rider", (1.78, 0.65, 1.8)),
    "motorcyclist": (build_motorcyclist, "rider", (2.1, 0.85, 1.65)),
    "traffic_light": (build_traffic_light, "traffic light", (0.6, 0.6, 3.8)),
    "sign_stop": (partial(build_sign, "sign_stop"), "traffic sign", (0.08, 0.78, 2.83)),
    "sign_yield": (partial(build_sign, "sign_yield"), "traffic sign", (0.08, 0.9, 2.77)),
    "sign_speed": (partial(build_sign, "sign_speed"), "traffic sign", (0.08, 0.72, 2.81)),
    "sign_crossing": (partial(build_sign, "sign_crossing"), "traffic sign", (0.08, 0.66, 2.78)),
    "sign_no_entry": (partial(build_sign, "sign_no_entry"), "traffic sign", (0.08, 0.72, 2.81)),
    "sign_direction": (partial(build_sign, "sign_direction"), "traffic sign", (0.08, 1.9, 2.9)),
    "tree_round": (build_tree_round, "vegetation", (4.5, 4.5, 7.2)),
    "tree_conifer": (build_tree_conifer, "vegetation", (3.6, 3.6, 8.2)),
    "tree_birch": (build_tree_birch, "vegetation", (3.0, 3.0, 8.0)),
    "bush": (build_bush, "vegetation", (1.5, 1.3, 0.9)),
    "lamp": (build_lamp, "pole", (2.2, 0.36, 7.2)),
    "pole": (build_pole, "pole", (0.3, 0.8, 6.2)),
    "bollard": (build_bollard, None, (0.2, 0.2, 0.92)),
    "bin": (build_bin, None, (0.55, 0.52, 1.0)),
    "bench": (build_bench, None, (0.66, 1.75, 0.91)),
    "hydrant": (build_hydrant, None, (0.34, 0.34, 0.78)),
    "cone": (build_cone, None, (0.4, 0.4, 0.7)),
    "barrier": (build_barrier, None, (0.6, 2.0, 1.1)),
    "postbox": (build_postbox, None, (0.45, 0.52, 1.45)),
    "bus_stop": (build_bus_stop, None, (1.65, 4.7, 2.9)),
}

KINDS: tuple[str, ...] = tuple(_TABLE)
CLASS: Mapping[str, str | None] = MappingProxyType({kind: row[1] for kind, row in _TABLE.items()})
SIZE: Mapping[str, Size] = MappingProxyType({kind: row[2] for kind, row in _TABLE.items()})
SECOND_CLASS: Mapping[str, str] = MappingProxyType(
    {"cyclist": "bicycle", "motorcyclist": "motorcycle"}
    | {kind: "pole" for kind, row in _TABLE.items() if row[1] in ("traffic sign", "traffic light")}
)


def build(kind: str, rng: Rng) -> Mesh:
    """Return an actor of a kind, its measures, colours and pose drawn from `rng`.

    >>> build("sedan", Rng(1)).bounds.round(1)[0, 2] == 0
    True
    """
    if kind not in _TABLE:
        raise ValueError(f"actor kind: expected one of {', '.join(KINDS)}; got {kind!r}")
    return _TABLE[kind][0](rng)
