"""The edits of scenes/edits.py, carried out on the Gaussians of a fitted scene.

Objects are chosen by instance id. `Add` takes `copy:ID` (an object of the scene), `SCENE:ID` (one of another scene's
folder or PLY file) or `FILE.ply` (all of it, its lowest point set on the ground at the given place).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
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
from scenes.errors import InputError
from scenes.splats.cloud import Cloud, base_colour, joined
from scenes.splats.harmonics import C0
from scenes.splats.moving import moved, scaled
from scenes.town.light import Weather

Matrix = NDArray[np.float64]
LUMINANCE = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709
PAINTED = 0.35  # of an object's median luminance: what is darker (tyres, glass) keeps its colour


@dataclass(frozen=True, eq=False)
class SplatObject:
    """What is known of an instance: class index, 3D box as `Annotations.boxes_3d` or None, whether it is ignored."""

    label: int = 0
    box_3d: NDArray[np.float32] | None = None
    ignore: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)


Loader = Callable[[str], tuple[Cloud, dict[int, SplatObject]]]


class Editor:
    """Gaussians and objects of a scene while edits are carried out on them, in their order."""

    def __init__(
        self, cloud: Cloud, objects: dict[int, SplatObject], load: Loader, *, light: Weather | None = None
    ) -> None:
        self.cloud, self.objects = cloud, dict(objects)
        self.captured_light = light  # None where unknown
        self.light: Weather | None = None  # after edits; None = as captured
        self.motions: dict[int, Matrix] = {}  # object -> motion (4, 4) from where the capture saw it
        self.foreign: set[int] = set()  # objects of other scenes, of which no view of this one tells
        self.fog: SetFog | None = None
        self.falling: SetRain | SetSnow | None = None
        self._load = load
        most = 0 if cloud.instances is None or not len(cloud) else int(cloud.instances.max())
        self._next = max([most, *self.objects]) + 1  # an id is never given twice

    def carry_out(self, edits: Sequence[Edit]) -> None:
        """Apply every edit; raise `InputError` for one that names what is not there or what Gaussians cannot do."""
        for edit in edits:
            check_numbers(edit)
            if isinstance(edit, SetFog):
                if edit.visibility_m <= 0:
                    raise InputError(f"SetFog: expected visibility_m > 0, got {edit.visibility_m}")
                self.fog = edit
            elif isinstance(edit, SetRain | SetSnow):
                self.falling = edit
            elif isinstance(edit, SetSun | SetSky):
                self._relight(edit)
            elif isinstance(edit, SetGround):
                raise InputError("SetGround: fitted Gaussians have their ground baked in; use the town")
            elif isinstance(edit, Add):
                self._add(edit)
            else:
                self._change(edit)

    def _relight(self, edit: SetSun | SetSky) -> None:
        """Change the light; the pictures follow, see scenes/splats/relight.py."""
        from scenes.splats.relight import EVEN

        light = self.light or self.captured_light or EVEN
        if isinstance(edit, SetSun):
            if edit.strength < 0:
                raise InputError(f"SetSun: expected strength >= 0, got {edit.strength}")
            self.light = replace(
                light, azimuth_rad=edit.azimuth_rad, elevation_rad=edit.elevation_rad, strength=edit.strength
            )
            return
        if not 0 <= edit.overcast <= 1:
            raise InputError(f"SetSky: expected overcast in [0, 1], got {edit.overcast}")
        if edit.brightness < 0:
            raise InputError(f"SetSky: expected brightness >= 0, got {edit.brightness}")
        self.light = replace(light, overcast=edit.overcast, brightness=edit.brightness)

    def frame(self, number: int) -> Matrix:
        """Return object to world (4, 4): of its 3D box, on the ground, else the middle of its Gaussians."""
        box = self.objects[number].box_3d
        pose = np.eye(4)
        if box is not None and np.isfinite(box).all():
            from scipy.spatial.transform import Rotation

            pose[:3, :3] = Rotation.from_quat(np.roll(box[6:10].astype(np.float64), -1)).as_matrix()
            pose[:3, 3] = box[:3].astype(np.float64) - pose[:3, 2] * 0.5 * float(box[5])
            return pose
        means = self.cloud.means[self._rows(number)].double().numpy()
        pose[:3, 3] = np.median(means, axis=0)
        pose[2, 3] = np.quantile(means[:, 2], 0.02)
        return pose

    def _rows(self, number: int) -> torch.Tensor:
        instances = self.cloud.instances
        if instances is None or number not in self.objects or not bool((instances == number).any()):
            known = sorted(self.objects)
            raise InputError(
                f"no object {number} in this scene; it has {known if known else 'none: lift labels first'}"
            )
        return instances == number

    def _change(self, edit: Turn | Move | Recolour | Retexture | Reshape | Remove) -> None:
        try:
            rows = self._rows(edit.instance_id)
        except InputError as error:
            raise InputError(f"{type(edit).__name__}: {error}") from None
        together = self._of_one_actor(edit.instance_id)
        if isinstance(edit, Remove):
            for number in together:
                self.cloud = self.cloud.take(~self._rows(number))
                del self.objects[number]
            return
        frame = self.frame(edit.instance_id)
        if isinstance(edit, Turn | Move):
            motion = _motion(edit, frame)
            for number in together:
                self.motions[number] = motion @ self.motions.get(number, np.eye(4))
                rows = self._rows(number)
                self.cloud = _put(self.cloud, rows, moved(self.cloud.take(rows), motion))
                self._carry_box(number, motion)
            return
        part = self.cloud.take(rows)
        if isinstance(edit, Reshape):
            part = self._reshaped(edit, part, frame)
        elif isinstance(edit, Recolour):
            part = recoloured(part, (edit.red, edit.green, edit.blue))
        else:
            from scenes.splats.patterns import retextured

            part = retextured(part, frame, edit)
        self.cloud = _put(self.cloud, rows, part)

    def _of_one_actor(self, number: int) -> list[int]:
        """Return the objects that go where this one goes: a rider and the machine share the attribute `actor`."""
        actor = self.objects[number].attributes.get("actor")
        instances = self.cloud.instances
        if actor is None or instances is None:
            return [number]
        mates = [i for i, thing in self.objects.items() if thing.attributes.get("actor") == actor and i != number]
        return [number, *(i for i in mates if bool((instances == i).any()))]

    def _carry_box(self, number: int, motion: Matrix) -> None:
        thing = self.objects[number]
        if thing.box_3d is not None:
            self.objects[number] = replace(thing, box_3d=moved_box(thing.box_3d, motion))

    def _reshaped(self, edit: Reshape, part: Cloud, frame: Matrix) -> Cloud:
        factors = (edit.length, edit.width, edit.height)
        if min(factors) <= 0:
            raise InputError(f"Reshape: expected factors > 0, got {factors}")
        thing = self.objects[edit.instance_id]
        if thing.box_3d is not None:
            box = thing.box_3d.copy()
            box[3:6] *= factors
            box[:3] += frame[:3, 2] * 0.5 * float(thing.box_3d[5]) * (edit.height - 1)  # it stays on the ground
            self.objects[edit.instance_id] = replace(thing, box_3d=box)
        return scaled(part, frame, factors)

    def _add(self, edit: Add) -> None:
        source, _, number = edit.kind.rpartition(":")
        if source == "copy":
            cloud, objects = self.cloud, self.objects
        elif source and number.isdecimal():
            cloud, objects = self._load(source)
        else:
            cloud, objects = self._load(edit.kind)
            cloud, number = replace(cloud, instances=torch.ones(len(cloud), dtype=torch.int32)), "1"
            objects = {1: SplatObject(ignore=True)}  # a class that nobody knows
        if not number.isdecimal():
            raise InputError(f"Add: expected copy:ID, SCENE:ID or FILE.ply, got {edit.kind!r}")
        other = Editor(cloud, objects, self._load)
        try:
            part, frame = cloud.take(other._rows(int(number))), other.frame(int(number))
        except InputError as error:
            raise InputError(f"Add: {edit.kind}: {error}") from None
        motion = _placing(edit, frame, self._ground(frame))
        new = self._next
        self._next += 1
        thing = objects[int(number)]
        box = None if thing.box_3d is None else moved_box(thing.box_3d, motion)
        words = {**thing.attributes, "actor": new} if "actor" in thing.attributes else thing.attributes
        self.objects[new] = replace(thing, box_3d=box, attributes=words)
        if source == "copy":
            self.motions[new] = motion @ self.motions.get(int(number), np.eye(4))
        else:
            self.foreign.add(new)
        part = replace(moved(part, motion), instances=torch.full((len(part),), new, dtype=torch.int32))
        self.cloud = joined([self.cloud, part])

    def _ground(self, frame: Matrix) -> float:
        """Return the height that the objects of this scene stand on, metres; the new one's where there are none."""
        feet = [self.frame(number)[2, 3] for number, thing in self.objects.items() if thing.box_3d is not None]
        return float(np.median(feet)) if feet else float(frame[2, 3])


def _motion(edit: Turn | Move, frame: Matrix) -> Matrix:
    """Return the motion of the world (4, 4) that a turn about the object's own axes, or a move, is."""
    motion = np.eye(4)
    if isinstance(edit, Move):
        motion[:3, 3] = (edit.x_m, edit.y_m, edit.z_m)
        return motion
    turn = np.eye(4)
    turn[:3, :3] = turned(edit.yaw_rad, edit.pitch_rad, edit.roll_rad)
    return frame @ turn @ np.linalg.inv(frame)


def turned(yaw_rad: float, pitch_rad: float, roll_rad: float) -> Matrix:
    """Return (3, 3): yaw to the left, then pitch up, then roll onto the right side, each about the object's axes."""
    cy, sy, cp, sp = math.cos(yaw_rad), math.sin(yaw_rad), math.cos(pitch_rad), math.sin(pitch_rad)
    cr, sr = math.cos(roll_rad), math.sin(roll_rad)
    yaw = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
    pitch = np.array([[cp, 0.0, -sp], [0.0, 1.0, 0.0], [sp, 0.0, cp]])
    roll = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
    return yaw @ pitch @ roll


def _placing(edit: Add, frame: Matrix, ground: float) -> Matrix:
    """Return the motion (4, 4) that takes an object to the place, heading and ground of an `Add`."""
    target = np.eye(4)
    target[:3, :3] = turned(edit.yaw_rad, 0.0, 0.0)
    target[:3, 3] = (edit.x_m, edit.y_m, ground)
    return target @ np.linalg.inv(frame)


def moved_box(box: NDArray[np.float32], motion: Matrix) -> NDArray[np.float32]:
    """Return a 3D box (10,) after a rigid motion."""
    from scipy.spatial.transform import Rotation

    out = box.copy()
    out[:3] = motion[:3, :3] @ box[:3].astype(np.float64) + motion[:3, 3]
    turn = Rotation.from_matrix(motion[:3, :3]) * Rotation.from_quat(np.roll(box[6:10].astype(np.float64), -1))
    out[6:10] = np.roll(turn.as_quat(), 1)
    return out


def _put(cloud: Cloud, rows: torch.Tensor, part: Cloud) -> Cloud:
    """Return the cloud with some rows replaced."""
    changed = {}
    for name, value in cloud.tensors().items():
        value = value.clone()
        value[rows] = part.tensors()[name]
        changed[name] = value
    return replace(cloud, **changed)


def recoloured(part: Cloud, linear: tuple[float, float, float]) -> Cloud:
    """Return Gaussians in another colour (linear RGB); light and shade stay, and so do dark parts (tyres, glass)."""
    old = to_linear((part.harmonics[:, 0] * C0 + 0.5).clamp(0, 1).double())
    light = old @ torch.tensor(LUMINANCE, dtype=old.dtype)
    painted = light > PAINTED * light.median()
    usual = light[painted].median() if bool(painted.any()) else light.median().clamp(min=1e-3)
    new = to_srgb((torch.tensor(linear, dtype=old.dtype) * (light / usual)[:, None]).clamp(0, 1)).float()
    harmonics = part.harmonics.clone()
    grey = harmonics[:, 1:].mean(dim=2, keepdim=True).expand(-1, -1, 3)
    harmonics[:, 0] = torch.where(painted[:, None], base_colour(new), harmonics[:, 0])
    harmonics[:, 1:] = torch.where(painted[:, None, None], grey, harmonics[:, 1:])
    return replace(part, harmonics=harmonics)


def to_linear(srgb: torch.Tensor) -> torch.Tensor:
    """Undo the sRGB transfer curve (IEC 61966-2-1); values in [0, 1]."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: torch.Tensor) -> torch.Tensor:
    """Apply the sRGB transfer curve (IEC 61966-2-1); values in [0, 1]."""
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=1e-9) ** (1 / 2.4) - 0.055)
