"""The exact edits of scenes/edits.py, carried out on the objects and the light of one frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scenes.edits import (
    Add,
    Edit,
    Move,
    Recolour,
    Remove,
    Reshape,
    Retexture,
    SetFog,
    SetGround,
    SetRain,
    SetSky,
    SetSnow,
    SetSun,
    Turn,
    check_numbers,
)
from scenes.errors import InputError, did_you_mean
from scenes.random import Rng
from scenes.town.cast import Builder, pose
from scenes.town.classes import SECOND_OBJECT
from scenes.town.light import Weather
from scenes.town.materials import Pattern
from scenes.town.mesh import Part
from scenes.town.placed import Placed
from scenes.town.soup import Body

ALIASES: dict[str, tuple[str, ...]] = {  # a word that stands for several kinds; the seed of `Add` chooses
    "car": ("hatchback", "sedan", "estate", "suv"),
    "person": ("pedestrian",),
    "tree": ("tree_round", "tree_conifer"),
    "bicycle": ("cyclist",),
    "motorcycle": ("motorcyclist",),
    "sign": ("sign_stop", "sign_yield", "sign_speed", "sign_crossing", "sign_no_entry"),
    "traffic light": ("traffic_light",),
    "traffic sign": ("sign_stop", "sign_yield", "sign_speed", "sign_crossing", "sign_no_entry"),
}
PATTERNS = ("stripes", "checker", "camouflage", "rust", "noise")
GROUNDS = ("dry", "wet", "snow", "gravel", "brick", "cracked")


class Editor:
    """Objects and light of one frame while edits are carried out on them, in their order."""

    def __init__(
        self,
        objects: Sequence[Placed],
        weather: Weather,
        *,
        build: Builder,
        kinds: Sequence[str],
        height_at: Callable[[float, float], float],  # of the ground, metres
    ) -> None:
        self.objects = {o.id: o for o in objects}
        self.weather = weather
        self.falling: SetRain | SetSnow | None = None
        self._owner = {i: o.id for o in objects for i in (o.id, o.second) if i}
        self._next = max(self._owner, default=0) + 1
        self._build, self._kinds, self._height_at = build, tuple(kinds), height_at

    def carry_out(self, edits: Sequence[Edit]) -> None:
        """Apply every edit; raise `InputError` for one that names what is not there."""
        for edit in edits:
            check_numbers(edit)
            if isinstance(edit, (SetSun, SetSky, SetFog, SetGround)):
                self.weather = _weather(self.weather, edit)
            elif isinstance(edit, (SetRain, SetSnow)):
                self.falling = edit
            elif isinstance(edit, Add):
                self._add(edit)
            else:
                self._change(edit)

    def _change(self, edit: Turn | Move | Recolour | Retexture | Reshape | Remove) -> None:
        owner = self._owner.get(edit.instance_id)
        if owner is None or owner not in self.objects:
            known = sorted(i for i, o in self._owner.items() if o in self.objects)
            raise InputError(f"{type(edit).__name__}: no object {edit.instance_id} in this scene; it has {known}")
        thing = self.objects[owner]
        if isinstance(edit, Remove):
            del self.objects[owner]
            return
        self.objects[owner] = _changed(thing, edit)

    def _add(self, edit: Add) -> None:
        if edit.kind.startswith("copy:"):
            self._copy(edit)
            return
        choices = ALIASES.get(edit.kind, (edit.kind,))
        if not set(choices) <= set(self._kinds):
            known = sorted({*ALIASES, *self._kinds})
            raise InputError(f"Add: unknown kind {edit.kind!r}{did_you_mean(edit.kind, known)}; known: {known}")
        rng = Rng(edit.seed, "add", edit.kind)
        kind = rng.choice(choices)
        body = Body.of(self._build(kind, rng))
        number = self._next
        place = pose(edit.x_m, edit.y_m, self._height_at(edit.x_m, edit.y_m), edit.yaw_rad)
        second = number + 1 if kind in SECOND_OBJECT else 0
        self._next += 2 if second else 1
        self.objects[number] = Placed(number, second, kind, body, place, "added")
        self._owner.update({i: number for i in (number, second) if i})

    def _copy(self, edit: Add) -> None:
        """Put another of an object of the town beside it."""
        source = edit.kind.removeprefix("copy:")
        owner = self._owner.get(int(source)) if source.isdecimal() else None
        if owner is None or owner not in self.objects:
            known = sorted(i for i, o in self._owner.items() if o in self.objects)
            raise InputError(f"Add: {edit.kind}: no such object in this scene; it has {known}")
        thing, number = self.objects[owner], self._next
        second = number + 1 if thing.second else 0
        self._next += 2 if second else 1
        new = {thing.id: number, thing.second: second}
        place = pose(edit.x_m, edit.y_m, self._height_at(edit.x_m, edit.y_m), edit.yaw_rad)
        self.objects[number] = replace(
            thing, id=number, second=second, pose=place, state="added", untouched=False,
            patterns={new[i]: pattern for i, pattern in thing.patterns.items()},
        )  # fmt: skip
        self._owner.update({i: number for i in (number, second) if i})


def _changed(thing: Placed, edit: Turn | Move | Recolour | Retexture | Reshape) -> Placed:
    if isinstance(edit, Turn):
        turn = np.eye(4)
        turn[:3, :3] = rotation(edit.yaw_rad, edit.pitch_rad, edit.roll_rad)
        return replace(thing, untouched=False, pose=thing.pose @ turn)
    if isinstance(edit, Move):
        moved = thing.pose.copy()
        moved[:3, 3] += (edit.x_m, edit.y_m, edit.z_m)
        return replace(thing, untouched=False, pose=moved)
    if isinstance(edit, Reshape):
        factors = (edit.length, edit.width, edit.height)
        if min(factors) <= 0:
            raise InputError(f"Reshape: expected factors > 0, got {factors}")
        length, width, height = (a * b for a, b in zip(thing.scale, factors, strict=True))
        return replace(thing, untouched=False, scale=(length, width, height))
    if isinstance(edit, Recolour):
        return _recoloured(thing, edit)
    if edit.pattern not in PATTERNS:
        raise InputError(f"Retexture: unknown pattern {edit.pattern!r}{did_you_mean(edit.pattern, PATTERNS)}")
    if edit.scale_m <= 0:
        raise InputError(f"Retexture: expected scale_m > 0, got {edit.scale_m}")
    if not 0 <= edit.share <= 1:
        raise InputError(f"Retexture: expected share in [0, 1], got {edit.share}")
    pattern = Pattern(edit.pattern, edit.scale_m, edit.seed, edit.share)
    return replace(thing, patterns={**thing.patterns, edit.instance_id: pattern})


def _recoloured(thing: Placed, edit: Recolour) -> Placed:
    mesh = thing.body.mesh
    part = Part.SECOND if edit.instance_id == thing.second else Part.MAIN
    chosen = mesh.recolour & (mesh.part == part)
    if not chosen.any():
        raise InputError(f"Recolour: object {edit.instance_id} ({thing.kind}) has no parts that take a colour")
    color = (mesh.color if thing.color is None else thing.color).copy()
    color[chosen] = (edit.red, edit.green, edit.blue)
    return replace(thing, untouched=False, color=color)


def rotation(yaw_rad: float, pitch_rad: float, roll_rad: float) -> NDArray[np.float64]:
    """Return (3, 3): yaw to the left, then pitch up, then roll onto the right side, each about the object's axes."""
    cy, sy, cp, sp = math.cos(yaw_rad), math.sin(yaw_rad), math.cos(pitch_rad), math.sin(pitch_rad)
    cr, sr = math.cos(roll_rad), math.sin(roll_rad)
    yaw = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
    pitch = np.array([[cp, 0.0, -sp], [0.0, 1.0, 0.0], [sp, 0.0, cp]])
    roll = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
    return yaw @ pitch @ roll


def _weather(weather: Weather, edit: SetSun | SetSky | SetFog | SetGround) -> Weather:
    if isinstance(edit, SetSun):
        if edit.strength < 0:
            raise InputError(f"SetSun: expected strength >= 0, got {edit.strength}")
        return replace(weather, azimuth_rad=edit.azimuth_rad, elevation_rad=edit.elevation_rad, strength=edit.strength)
    if isinstance(edit, SetSky):
        if not 0.0 <= edit.overcast <= 1.0:
            raise InputError(f"SetSky: expected overcast in [0, 1], got {edit.overcast}")
        if edit.brightness < 0:
            raise InputError(f"SetSky: expected brightness >= 0, got {edit.brightness}")
        return replace(weather, overcast=edit.overcast, brightness=edit.brightness)
    if isinstance(edit, SetFog):
        if edit.visibility_m <= 0:
            raise InputError(f"SetFog: expected visibility_m > 0, got {edit.visibility_m}")
        return replace(weather, fog_visibility_m=edit.visibility_m, fog_airlight=edit.airlight)
    if edit.kind not in GROUNDS:
        raise InputError(f"SetGround: unknown kind {edit.kind!r}{did_you_mean(edit.kind, GROUNDS)}")
    return replace(weather, ground=edit.kind)
