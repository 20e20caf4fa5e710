"""People: a skeleton posed by hips, hands and feet, dressed in limbs, lofts and ellipsoids.

Proportions after Drillis and Contini (1966), as shares of stature: hip 0.53, shoulder 0.82, chin 0.87, thigh and
shank 0.245 each, upper arm 0.186, forearm 0.146.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scenes.random import Rng
from scenes.town.actors.shapes import Color, Floats, Solid, ball, box, circle, limb, loft, paint, pick, rgb, shade, vec
from scenes.town.mesh import Mesh, Surface, join

SKINS = (("#f1c9a9", 28), ("#e3b08c", 24), ("#c98f66", 18), ("#9a6844", 14), ("#6d4630", 10), ("#4a2f22", 6))
HAIRS = (("#17120f", 30), ("#3a2618", 28), ("#6b4a2b", 18), ("#b08d57", 10), ("#8b3f1d", 4), ("#a9a6a2", 10))
TOPS = (
    ("#b3202a", 10), ("#1f4b8f", 10), ("#1c1d20", 12), ("#e6e4df", 10), ("#4f5a4a", 7), ("#d9a21b", 7), ("#2b7a5b", 6),
    ("#7c2f63", 5), ("#6fa3c7", 7), ("#8a8d92", 8), ("#d9672b", 5), ("#d88ba3", 5), ("#5b4634", 6),
)  # fmt: skip
TROUSERS = (
    ("#1f2a44", 26), ("#3b4d6e", 18), ("#18181a", 24), ("#4a4b4f", 10),
    ("#8c7a5c", 10), ("#5a4a3a", 7), ("#9a9c9e", 5),
)  # fmt: skip
SHOES = (("#141414", 40), ("#e9e7e3", 22), ("#4b3220", 20), ("#7c2222", 8), ("#2c3e66", 10))


@dataclass(frozen=True)
class Look:
    """What one person looks like. Lengths are shares of stature."""

    stature: float  # m
    skin: Color
    hair: Color
    top: Color
    legs: Color
    shoes: Color
    bulk: float  # 1 is medium
    woman: bool
    long_hair: bool
    garment: str  # trousers, shorts, skirt or coat
    sleeves: bool
    headgear: str  # "", cap, hat, hood
    child: bool
    shirt: Color | None = None  # seen where a jacket is open


def draw_look(rng: Rng, *, child_share: float = 0.15) -> Look:
    """Draw a person."""
    child, woman = rng.uniform() < child_share, rng.uniform() < 0.5
    stature = rng.uniform(1.12, 1.45) if child else rng.normal(1.66 if woman else 1.78, 0.06)
    garments = ("trousers", "trousers", "trousers", "shorts", "coat")
    if woman:
        garments = ("trousers", "trousers", "skirt", "skirt", "coat")
    top = pick(rng, TOPS)
    return Look(
        stature=float(np.clip(stature, 1.05, 1.98)),
        skin=pick(rng, SKINS),
        hair=pick(rng, HAIRS),
        top=top,
        legs=pick(rng, TROUSERS),
        shoes=pick(rng, SHOES),
        bulk=rng.uniform(0.88, 1.18),
        woman=woman,
        long_hair=woman and rng.uniform() < 0.65,
        garment=rng.choice(garments),
        sleeves=rng.uniform() < 0.65,
        headgear=rng.choice(("", "", "", "", "", "cap", "hat", "hood")),
        child=child,
        shirt=pick(rng, TOPS) if rng.uniform() < 0.4 else None,
    )


def build_pedestrian(rng: Rng) -> Mesh:
    """Return a person standing or in a stride."""
    look = draw_look(rng)
    h = look.stature
    phase = rng.uniform(-1, 1) if rng.uniform() < 0.8 else rng.uniform(-0.12, 0.12)
    stride = 0.42 * phase
    parts = _legs_walking(look, stride)
    hip = 0.53 * h - 0.012 * abs(phase) * h
    lean = 0.02 * h * abs(phase)
    parts += torso(look, (0.0, 0.0, hip), (lean, 0.0, 0.815 * h))
    shoulder_y = _shoulder(look)
    for side in (1, -1):
        swing = -side * stride * 1.1
        shoulder = np.array([lean, side * 0.86 * shoulder_y, 0.782 * h])
        out = side * (0.03 + 0.03 * look.bulk) * h
        elbow = shoulder + np.array([np.sin(swing) * 0.17 * h, out * 0.55, -0.175 * h])
        hand = elbow + np.array([np.sin(swing + 0.35) * 0.15 * h, 0.1 * out, -0.145 * h])
        parts += arm(look, shoulder, elbow, hand)
        if side == 1:
            left_hand = hand
    parts += head(look, (lean * 1.3, 0.0, 0.815 * h))
    return join(parts + _bags(look, rng, left_hand, lean))


def _shoulder(look: Look) -> float:
    return (0.098 if look.woman else 0.112) * look.stature * (0.65 + 0.35 * look.bulk)


def _legs_walking(look: Look, stride: float) -> list[Mesh]:
    h = look.stature
    hip_z = 0.53 * h - 0.03 * abs(stride) * h
    parts = []
    for side in (1, -1):
        angle = side * stride
        hip = np.array([0.0, side * 0.05 * h, hip_z])
        lift = max(0.0, -angle) * 0.08 * h
        ankle = np.array([np.sin(angle) * 0.48 * h, side * 0.048 * h, 0.045 * h + lift])
        parts += leg(look, hip, ankle, -0.5 * min(angle, 0.0))
    if look.garment in ("skirt", "coat"):
        low = 0.3 * h if look.garment == "skirt" else 0.29 * h
        spread = abs(np.sin(stride)) * 0.3 * h
        parts.append(_skirt(look, hip_z, low, spread))
    return parts


def joint(a: Floats, b: Floats, first: float, second: float, bend: Floats) -> Floats:
    """Return where knee or elbow lies between a and b, bent towards a direction (two-bone inverse kinematics)."""
    line = b - a
    reach = float(np.linalg.norm(line))
    reach_in = min(reach, (first + second) * 0.9995)
    along = (first**2 - second**2 + reach_in**2) / (2 * reach_in)
    height = np.sqrt(max(first**2 - along**2, 0.0))
    unit = line / reach
    across = bend - unit * (bend @ unit)
    across /= np.linalg.norm(across)
    elbow: Floats = a + unit * along * (reach / reach_in) + across * height
    return elbow


def leg(look: Look, hip: Floats, ankle: Floats, toe_drop: float) -> list[Mesh]:
    """Return a dressed leg from hip to ankle, and its shoe."""
    h, b = look.stature, look.bulk
    knee = joint(hip, ankle, 0.245 * h, 0.245 * h, np.array([1.0, 0.0, 0.0]))
    bare = look.garment in ("shorts", "skirt")
    thigh, calf, thin = 0.05 * h * b, 0.036 * h * (0.6 + 0.4 * b), (0.022 if bare else 0.031) * h
    knee_r = 0.039 * h * (0.5 + 0.5 * b)
    upper = limb([hip, 0.5 * hip + 0.5 * knee, knee], [thigh * 1.08, thigh, knee_r], 9)
    lower = limb([knee, 0.7 * knee + 0.3 * ankle, ankle], [knee_r, calf, thin], 9)
    skin_color = look.skin if look.garment == "shorts" or look.woman else look.legs
    parts = [
        paint(upper, look.legs, smooth=True, recolour=True),
        paint(lower, skin_color if bare else look.legs, smooth=True, recolour=not bare),
    ]
    shoe = ball(0.068 * h, 0.03 * h, 0.024 * h, 9, 6, 0.8).moved(x=0.03 * h, z=-0.021 * h)
    foot = shoe.turned("y", toe_drop).moved(*ankle)
    low = float(foot.vertices[:, 2].min())
    parts.append(paint(foot.moved(z=max(0.0, -low)), look.shoes, smooth=True))
    return parts


def _skirt(look: Look, hip_z: float, low: float, spread: float) -> Mesh:
    h, b = look.stature, look.bulk
    c = circle(14)
    levels = [
        (hip_z + 0.07 * h, 0.078, 0.098),
        (hip_z, 0.095, 0.118),
        (0.5 * (hip_z + low), 0.11, 0.126),
        (low, 0.115, 0.13),
    ]
    rings = np.empty((4, 14, 3))
    for k, (z, x, y) in enumerate(levels):
        grow = spread * max(0.0, (hip_z - z) / (hip_z - low))
        rings[k, :, 0], rings[k, :, 1], rings[k, :, 2] = c[:, 0] * (x * h * b + grow), c[:, 1] * y * h * b, z
    color = look.legs if look.garment == "skirt" else look.top
    return paint(loft(rings[::-1], rings[-1].mean(0), rings[0].mean(0)), color, smooth=True, recolour=True)


def torso(look: Look, hip: tuple[float, float, float], neck: tuple[float, float, float]) -> list[Mesh]:
    """Return the trunk from the hips to the base of the neck."""
    h, b = look.stature, look.bulk
    lower, upper = np.array(hip), np.array(neck)
    wide = _shoulder(look) + 0.012 * h
    hips = (0.098 if look.woman else 0.09) * h * b
    waist = (0.078 if look.woman else 0.088) * h * b
    table = [  # share of the way up, half depth, half width
        (-0.2, 0.055 * h * b, hips * 0.8), (-0.06, 0.07 * h * b, hips), (0.1, 0.07 * h * b, hips * 0.98),
        (0.38, 0.062 * h * b, waist), (0.66, 0.072 * h * b, wide * 0.92), (0.85, 0.066 * h * b, wide),
        (0.94, 0.057 * h * b, wide * 0.93), (1.0, 0.045 * h, wide * 0.58), (1.06, 0.03 * h, 0.034 * h),
    ]  # fmt: skip
    axis = upper - lower
    up = axis / np.linalg.norm(axis)
    forward = np.cross([0.0, 1.0, 0.0], up)
    forward /= np.linalg.norm(forward)
    c = circle(14)
    rings = np.array(
        [lower + axis * t + c[:, :1] * d * forward + c[:, 1:] * w * np.array([0, 1, 0]) for t, d, w in table]
    )
    solid = loft(rings, rings[0].mean(axis=0), rings[-1].mean(axis=0))
    m = paint(solid, look.top, smooth=True, recolour=True)
    if look.garment in ("trousers", "shorts", "skirt"):
        m.color[: 2 * 14 * 2] = look.legs
        m.color[-28:-14] = look.legs
    if look.shirt is not None and look.sleeves:
        front = np.concatenate([2 * 14 * k + np.array([0, 1, 26, 27]) for k in range(2, 7)])
        m.color[front], m.recolour[front] = look.shirt, False
    if not look.sleeves:
        m.color[2 * 14 * 7 : 2 * 14 * 8] = look.skin
    return [m]


def arm(look: Look, shoulder: Floats, elbow: Floats, hand: Floats) -> list[Mesh]:
    """Return a dressed arm and its hand."""
    h, b = look.stature, look.bulk
    r = 0.031 * h * (0.5 + 0.5 * b)
    upper = limb([shoulder, 0.5 * (shoulder + elbow), elbow], [r * 1.08, r, r * 0.85], 8)
    fore = limb([elbow, 0.6 * elbow + 0.4 * hand, hand], [r * 0.85, r * 0.8, r * 0.55], 8)
    direction = (hand - elbow) / np.linalg.norm(hand - elbow)
    palm = limb([hand + direction * 0.012 * h, hand + direction * 0.05 * h], [0.017 * h, 0.019 * h], 6)
    fore_color = look.top if look.sleeves else look.skin
    return [
        paint(upper, look.top, smooth=True, recolour=True),
        paint(fore, fore_color, smooth=True, recolour=look.sleeves),
        paint(palm, look.skin, smooth=True),
    ]


def head(
    look: Look, neck: tuple[float, float, float], *, helmet: Color | None = None, full: bool = False
) -> list[Mesh]:
    """Return neck, head, face, hair and headgear on the base of a neck; `full`: a motorcycle helmet with visor."""
    h = look.stature
    size = 0.0655 * h * (1.22 if look.child else 1.0)
    x, y, z = neck
    top = z + 0.034 * h + size * 1.22
    parts = [paint(limb([(x, y, z), (x + 0.008, y, top - size)], [0.032 * h, 0.03 * h], 8), look.skin, smooth=True)]

    def placed(solid: Solid, dx: float, dz: float) -> Solid:
        return solid.moved(x + 0.012 * h + dx * size, y, top + dz * size)

    if full and helmet is not None:
        shell = placed(ball(size * 1.35, size * 1.22, size * 1.42, 12, 8), -0.05, -0.02)
        visor = placed(ball(size * 1.05, size * 1.1, size * 0.5, 10, 6, 0.8), 0.38, 0.12)
        return [
            *parts,
            paint(shell, helmet, Surface.PAINT, smooth=True, recolour=True),
            paint(visor, rgb("#101418"), Surface.GLASS, smooth=True),
        ]
    parts.append(paint(placed(ball(size * 0.98, size * 0.8, size * 1.22, 12, 8), 0, 0), look.skin, smooth=True))
    nose = placed(ball(size * 0.2, size * 0.13, size * 0.22, 6, 4), 0.98, -0.1)
    parts.append(paint(nose, shade(look.skin, 0.92), smooth=True))
    for side in (1, -1):
        eye = ball(size * 0.08, size * 0.15, size * 0.085, 6, 4).moved(y=side * 0.33 * size)
        parts.append(paint(placed(eye, 0.87, 0.12), rgb("#1a1512")))
        ear = ball(size * 0.16, size * 0.1, size * 0.25, 6, 4).moved(y=side * 0.8 * size)
        parts.append(paint(placed(ear, -0.05, -0.05), look.skin, smooth=True))
    mouth = placed(ball(size * 0.07, size * 0.25, size * 0.05, 6, 4), 0.82, -0.52)
    parts.append(paint(mouth, shade(look.skin, 0.5)))
    parts.append(paint(placed(ball(size * 1.03, size * 0.9, size * 0.98, 12, 7), -0.13, 0.4), look.hair, smooth=True))
    nape = placed(ball(size * 0.72, size * 0.84, size * 0.85, 10, 6), -0.32, 0.0)
    parts.append(paint(nape, look.hair, smooth=True))
    if look.long_hair:
        parts.append(
            paint(placed(ball(size * 0.55, size * 0.88, size * 1.5, 10, 6), -0.55, -0.55), look.hair, smooth=True)
        )
    return parts + _headgear(look, placed, size, helmet)


def _headgear(look: Look, put: Callable[[Solid, float, float], Solid], size: float, helmet: Color | None) -> list[Mesh]:
    color = shade(look.top, 0.7)
    if helmet is not None:
        shell = put(ball(size * 1.32, size * 1.0, size * 0.85, 12, 7), -0.1, 0.62)
        return [paint(shell, helmet, Surface.PAINT, smooth=True, recolour=True)]
    if look.headgear == "cap":
        crown = put(ball(size * 1.05, size * 0.93, size * 0.8, 10, 6), -0.1, 0.55)
        brim = put(ball(size * 0.6, size * 0.65, size * 0.1, 10, 4), 1.05, 0.55)
        return [paint(crown, color, smooth=True), paint(brim, color, smooth=True)]
    if look.headgear == "hat":
        crown = put(ball(size * 1.1, size * 0.97, size * 0.95, 10, 6), -0.08, 0.68)
        band = put(ball(size * 1.14, size * 1.0, size * 0.28, 10, 4, 0.6), -0.08, 0.52)
        return [paint(crown, color, smooth=True), paint(band, shade(color, 0.7), smooth=True)]
    if look.headgear == "hood":
        return [paint(put(ball(size * 1.12, size * 1.05, size * 1.35, 10, 7), -0.3, 0.02), look.top, smooth=True)]
    return []


def _bags(look: Look, rng: Rng, hand: Floats, lean: float) -> list[Mesh]:
    h = look.stature
    kind = rng.choice(("", "", "backpack", "backpack", "handbag", "shopping"))
    color = pick(rng, TOPS)
    if kind == "backpack":
        pack = ball(0.06 * h, 0.085 * h, 0.12 * h, 10, 7, 0.6).moved(lean - 0.115 * h, 0, 0.7 * h)
        pocket = ball(0.03 * h, 0.06 * h, 0.05 * h, 8, 5, 0.6).moved(lean - 0.17 * h, 0, 0.65 * h)
        return [paint(pack, color, smooth=True), paint(pocket, shade(color, 0.75), smooth=True)]
    if kind == "handbag":
        bag = ball(0.085 * h, 0.028 * h, 0.065 * h, 10, 6, 0.6).moved(hand[0], hand[1] + 0.01, hand[2] - 0.13 * h)
        strap = limb(
            [hand + vec(0.03, 0, -0.08 * h), hand + vec(0, 0, -0.03 * h), hand + vec(-0.03, 0, -0.08 * h)],
            [0.006] * 3,
            4,
        )
        return [paint(bag, color, smooth=True), paint(strap, shade(color, 0.6))]
    if kind == "shopping":
        bag = box(0.16 * h, 0.06 * h, 0.18 * h).moved(hand[0], hand[1] + 0.01, hand[2] - 0.16 * h)
        return [paint(bag, color)]
    return []
