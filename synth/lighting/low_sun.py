"""Low sun ahead: disc, glare and flare, with everything else against the light.

Light scattered in lens and windscreen falls with the angle from the sun as in the eye: with its square, and near the
sun with its cube (Stiles-Holladay, CIE 146);
the sun stands where there is sky, and what is in front of its disc hides the disc but not the glare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Sample
from synth.atmosphere import depth_and_camera
from synth.ground import ground_frame
from synth.lighting.exposure import flat
from synth.lighting.rows import TO_LINEAR, encode_row
from synth.lighting.scatter import AGE_TERM, filled, mix_rows, spoke, veil_size
from synth.lighting.sky import sky_matte
from synth.radiometry import Linear
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

DISC_RAD = math.radians(0.6)  # the sun is 0.27 degrees in radius; over-exposure makes it look twice as wide
CORE_RAD = math.radians(2.0)  # the law of scatter flattens inside
TEN_DEGREES = math.radians(10.0)
STEEPER_RAD = math.radians(10.0 / (5.0 * AGE_TERM))  # where the cubic term of CIE 146 equals the square one
GHOSTS = (  # place on the line from the sun (0) through the centre (1), radius over the width, colour
    (0.55, 0.020, (0.9, 0.8, 0.4)),
    (1.25, 0.035, (0.4, 0.8, 0.5)),
    (1.60, 0.012, (0.9, 0.5, 0.3)),
    (1.95, 0.055, (0.35, 0.5, 0.9)),
)
_TRIES = 12


@dataclass(frozen=True)
class LowSunParams:
    """One drawn sun. Position in pixels (may be outside the picture), glare as share of white at 10 degrees from it."""

    sun_x: float
    sun_y: float
    glare: float
    seen: float
    star_rad: float
    blades: int
    ghosts: float


@register
@dataclass(frozen=True)
class LowSun:
    """Driving towards a low sun."""

    name: ClassVar[str] = "lighting/low_sun"
    family: ClassVar[Family] = "lighting"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "veiling light 10 degrees from the sun",
        "% of white",
        (3.0, 7.0, 15.0, 30.0, 55.0),
        "scatter over the angle after CIE 146 (Stiles-Holladay); clean optics to a dirty windscreen",
        "log",
    )
    params_type: ClassVar[type[LowSunParams]] = LowSunParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> LowSunParams:
        depth, camera = depth_and_camera(sample, self.name)
        tries = [(rng.uniform(0.08, 0.92), math.radians(rng.uniform(3.0, 12.0))) for _ in range(_TRIES)]
        star, blades, ghosts = rng.uniform(0.0, math.pi), rng.choice((6, 8, 14)), rng.uniform(0.3, 1.0)
        sun_x, sun_y, seen = _place(depth, camera, tries)
        return LowSunParams(
            sun_x=sun_x,
            sun_y=sun_y,
            glare=0.01 * self.table.at(severity),
            seen=seen,
            star_rad=star,
            blades=blades,
            ghosts=ghosts,
        )

    def apply(self, sample: Sample, params: LowSunParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        image = np.ascontiguousarray(sample.image)
        veil = filled(_scattered(params, depth, camera))
        out = np.empty_like(image)
        # The camera stops down, and sees the shadow sides of things.
        against = np.float32(1.0 / (1.0 + 1.2 * min(params.glare, 0.6) ** 0.5))
        sun = np.array([params.sun_x, params.sun_y, DISC_RAD * camera.K[0, 0]], np.float32)
        share = sky_matte(image, depth, camera, leaves=False)
        _combine(flat(image), share, veil, against, sun, flat(out))
        return replace(sample, image=out)


def _place(depth: Depth, camera: Camera, tries: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Return where the sun stands in pixels, and how much of it is seen: at the first place tried with sky around it.

    Where no place has sky, the sun is behind what is in front of it, and only its light that is bent around reaches us.
    """
    best = (0.0, 0.0, -1.0)
    for across, elevation in tries:
        x = across * camera.width
        y = _row_of(camera, x, elevation)
        seen = _sky_around(depth, x, y, reach=max(1.0, DISC_RAD * float(camera.K[0, 0])))
        if seen > best[2]:
            best = (x, y, seen)
        if seen > 0.7:
            break
    return best


def _row_of(camera: Camera, x: float, elevation_rad: float) -> float:
    """Return the row in which a column looks up by an elevation over the horizon."""
    up, _ = ground_frame(camera)
    ray_x = (x - camera.K[0, 2]) / camera.K[0, 0]
    # up . (ray_x, ray_y, 1) = tan(elevation) x horizontal length, taken as that of a level ray
    ray_y = (math.tan(elevation_rad) * math.hypot(1.0, ray_x) - up[0] * ray_x - up[2]) / up[1]
    return float(camera.K[1, 1] * ray_y + camera.K[1, 2])


def _sky_around(depth: Depth, x: float, y: float, *, reach: float) -> float:
    """Return the share of sky in a square around a pixel; outside the picture the nearest border counts."""
    height, width = depth.shape
    column, row = min(max(int(x), 0), width - 1), min(max(int(y), 0), height - 1)
    r = math.ceil(2 * reach)
    window = depth[max(row - r, 0) : row + r + 1, max(column - r, 0) : column + r + 1]
    return float(np.isinf(window).mean())


def _scattered(params: LowSunParams, depth: Depth, camera: Camera) -> Linear:
    """Return (h, w, 3) light that lens and windscreen spread from the sun: glow, star and ghosts; and the sheen."""
    width, height = veil_size(camera)
    scale = (camera.width / width, camera.height / height)
    coarse = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST).reshape(height, width)
    strength = params.glare * (0.35 + 0.65 * params.seen)
    glow = 1.3 * strength * TEN_DEGREES**2 / (1.0 + STEEPER_RAD / TEN_DEGREES)
    star = 0.5 * params.seen * strength * TEN_DEGREES**1.5
    ghost = 0.2 * params.ghosts * params.glare**0.7 * params.seen
    sheen = 0.4 * params.seen * params.glare**0.5
    turn = params.blades * params.star_rad
    focal = float(camera.K[0, 0])
    out = np.empty((height, width, 3), np.float32)
    _scatter(
        np.ascontiguousarray(coarse),
        np.array([params.sun_x, params.sun_y, 1.0 / focal, *scale], np.float32),
        np.array([glow, star, sheen, CORE_RAD**2, math.cos(turn), math.sin(turn)], np.float32),
        params.blades,
        _plane(camera, scale),
        _ghosts(params, camera, ghost),
        out,
    )
    return out


def _plane(camera: Camera, scale: tuple[float, float]) -> NDArray[np.float32]:
    """Return (4,) a, b, c, h: a ray of column j, row i climbs a j + b i + c per metre of depth, from height h."""
    up, height = ground_frame(camera)
    a, b = up[0] / camera.K[0, 0], up[1] / camera.K[1, 1]
    c = up[2] + a * (0.5 * scale[0] - camera.K[0, 2]) + b * (0.5 * scale[1] - camera.K[1, 2])
    return np.array([a * scale[0], b * scale[1], c, height], np.float32)


def _ghosts(params: LowSunParams, camera: Camera, strength: float) -> NDArray[np.float32]:
    """Return (4, 6) x, y, radius in pixels and colour of reflections between lens surfaces.

    They are soft discs on the line from the sun through the centre of the picture.
    """
    rows = []
    for along, radius, colour in GHOSTS:
        x = params.sun_x + along * (0.5 * camera.width - params.sun_x)
        y = params.sun_y + along * (0.5 * camera.height - params.sun_y)
        rows.append((x, y, radius * camera.width, *(strength * c for c in colour)))
    return np.array(rows, np.float32)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _scatter(depth, sun, light, blades, plane, ghosts, out):  # type: ignore[no-untyped-def]  # numba infers
    """Fill out (h, w, 3). sun: x, y, 1 / focal, pixels per reduced pixel; light: glow, star, sheen, core^2, turn."""
    one, none = np.float32(1.0), np.float32(0.0)
    glow, star, sheen, core2, cosine, sine = light
    for i in range(depth.shape[0]):
        row = (np.float32(i) + np.float32(0.5)) * sun[4]
        y = (row - sun[1]) * sun[2]
        climb = plane[1] * np.float32(i) + plane[2]
        for j in range(depth.shape[1]):
            column = (np.float32(j) + np.float32(0.5)) * sun[3]
            x = (column - sun[0]) * sun[2]
            angle2 = x * x + y * y
            near = one / (angle2 + core2)
            level = glow * near * (one + np.float32(STEEPER_RAD) * np.sqrt(near))
            if angle2 < np.float32(0.2):
                ray = spoke(x, y, angle2, blades, cosine, sine)
                ray6 = ray * ray * ray * ray * ray * ray
                ray12 = ray6 * ray6
                fall = np.sqrt(near) * np.sqrt(np.sqrt(near)) * np.exp(angle2 * np.float32(-1.0 / 0.03))
                level += star * fall * ray12 * ray12 * ray6
            full = min(
                level, one
            )  # near the sun every channel is full; further off it shines through 5 to 10 air masses
            red, green = level, level * (np.float32(0.86) + np.float32(0.10) * full)
            blue = level * (np.float32(0.62) + np.float32(0.26) * full)
            rise = plane[0] * np.float32(j) + climb
            if rise < 0 and abs(x) < np.float32(0.3):
                z = min(depth[i, j], np.float32(1e6))
                off = abs(plane[3] + z * rise) / (np.float32(0.2) + np.float32(0.01) * z)
                ground = min(max(np.float32(2.0) - np.float32(2.0) * off, none), one)
                # Asphalt throws sunlight forward in a long lobe below the sun, most at grazing angles.
                lobe = np.exp(-x * x * np.float32(1.0 / 0.10**2) - rise * rise * np.float32(1.0 / 0.22**2))
                shine = sheen * ground * lobe
                red, green, blue = red + shine, green + np.float32(0.86) * shine, blue + np.float32(0.62) * shine
            out[i, j, 0], out[i, j, 1], out[i, j, 2] = red, green, blue
    _add_ghosts(ghosts, sun[3], sun[4], out)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _add_ghosts(ghosts, wide, high, out):  # type: ignore[no-untyped-def]  # numba infers
    """Add soft discs (N, 6) to out (h, w, 3), whose pixels are `wide` x `high` of the picture's."""
    one = np.float32(1.0)
    for n in range(len(ghosts)):
        for i in range(out.shape[0]):
            dy = (np.float32(i) + np.float32(0.5)) * high - ghosts[n, 1]
            if abs(dy) > np.float32(1.5) * ghosts[n, 2]:
                continue
            for j in range(out.shape[1]):
                dx = (np.float32(j) + np.float32(0.5)) * wide - ghosts[n, 0]
                away = np.sqrt(dx * dx + dy * dy) / ghosts[n, 2]
                if away < np.float32(1.5):
                    edge = one / (one + np.exp(np.float32(18.0) * (away - one)))
                    disc = edge * (np.float32(0.55) + np.float32(0.45) * min(away, one))
                    for c in range(3):
                        out[i, j, c] += disc * ghosts[n, 3 + c]


@njit(cache=True, nogil=True)
def _combine(image, share, veil, against, sun, out):  # type: ignore[no-untyped-def]  # numba infers
    """Lay a veil (share of what is left to white) over the dimmed picture, and the sun's disc where there is sky.

    image, out: flat rows (H, 3 W); veil: (h, w, 3)
    """
    dim, light = np.empty(image.shape[1], np.float32), np.empty(image.shape[1], np.float32)
    laid, kept = np.empty(image.shape[1], np.float32), np.empty((2, image.shape[1]), np.float32)
    held = np.full(2, -1)
    for i in range(share.shape[0]):
        mix_rows(veil, i, share.shape[0], laid, kept, held)
        _dim_row(share[i], against, dim)
        _veil_row(image[i], dim, laid, light)
        if abs(np.float32(i) + np.float32(0.5) - sun[1]) < sun[2] + np.float32(1.0):
            _add_disc(share[i], i, sun, light)
        encode_row(light, out[i])


@njit(cache=True, nogil=True, fastmath=True)
def _dim_row(share, against, dim):  # type: ignore[no-untyped-def]  # numba infers
    for j in range(len(share)):
        kept = against + np.float32(share[j]) * np.float32(1.0 / 255.0) * (np.float32(1.0) - against)
        dim[3 * j] = kept
        dim[3 * j + 1] = kept
        dim[3 * j + 2] = kept


@njit(cache=True, nogil=True, fastmath=True)
def _veil_row(codes, dim, veil, light):  # type: ignore[no-untyped-def]  # numba infers
    for k in range(len(codes)):
        day = TO_LINEAR[codes[k]] * dim[k]
        light[k] = day + (np.float32(1.0) - day) * veil[k]


@njit(cache=True, nogil=True)
def _add_disc(share, i, sun, light):  # type: ignore[no-untyped-def]  # numba infers
    dy = np.float32(i) + np.float32(0.5) - sun[1]
    for j in range(len(share)):
        dx = np.float32(j) + np.float32(0.5) - sun[0]
        rim = sun[2] + np.float32(0.5) - np.sqrt(dx * dx + dy * dy)
        for c in range(3):
            light[3 * j + c] += (
                np.float32(share[j]) * np.float32(1.0 / 255.0) * min(max(rim, np.float32(0.0)), np.float32(1.0))
            )
