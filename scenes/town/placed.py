"""An object of one frame: where it stands, how it was changed, and its triangles in the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scenes.town.cast import Actor
from scenes.town.classes import main_class, second_class
from scenes.town.materials import Pattern
from scenes.town.soup import Body, Float, Pyramid, Soup, Weld, concatenate, place, weld_all


@dataclass(frozen=True, eq=False)
class Placed:
    """An object of one frame: where it is, how it is scaled along its axes, and what was painted over."""

    id: int
    second: int
    kind: str
    body: Body
    pose: NDArray[np.float64]  # (4, 4) rigid, object to world
    state: str
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    color: Float | None = None  # (F, 3) instead of the mesh's
    patterns: dict[int, Pattern] = field(default_factory=dict)  # instance id -> pattern
    untouched: bool = True  # no edit moved, scaled or coloured it

    @property
    def to_world(self) -> NDArray[np.float64]:
        """(4, 4) object to world, scale included."""
        return self.pose @ np.diag([*self.scale, 1.0])

    @classmethod
    def of(cls, actor: Actor, time_s: float) -> Placed:
        return cls(actor.id, actor.second, actor.kind, actor.body, actor.motion.pose(time_s), actor.state)


def placed_soup(objects: Sequence[Placed], texture_start: int) -> tuple[Soup, Weld, list[Pyramid]]:
    """Return the triangles of objects in the world, their shared vertices, and their textures in order."""
    soups: list[Soup] = []
    textures: list[Pyramid] = []
    for thing in objects:
        soups.append(
            place(
                thing.body,
                thing.to_world,
                semantic=(main_class(thing.kind), second_class(thing.kind)),
                ids=(thing.id, thing.second),
                texture_start=texture_start + len(textures),
                color=thing.color,
            )
        )
        textures.extend(thing.body.pyramids)
    return concatenate(soups), weld_all([thing.body.weld for thing in objects]), textures
