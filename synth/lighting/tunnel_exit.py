"""The way out of a tunnel: the road beyond the portal over-exposed, everything before it dark, a veil from the portal.

The camera meters between the two: what lies beyond the portal and is seen through it keeps daylight, the rest has the
tunnel's lamps and what daylight comes in, which falls with the solid angle of the portal. Sky that the portal does not
show becomes the ceiling. Light of the portal scatters in the lens (`synth.lighting.scatter`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Image, Sample
from synth.atmosphere import depth_and_camera
from synth.lighting.casters import sun_axes
from synth.lighting.exposure import FULL_WELL_E, flat
from synth.lighting.rows import TO_LINEAR, encode_row, expose_row, folded, normal_row
from synth.lighting.scatter import Sources, filled, mix_rows, veil_of
from synth.lighting.sky import sky_matte
from synth.radiometry import to_linear
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

METERED_SHARE = 0.42  # of the contrast by which the camera opens up for the tunnel
VEIL_STEP = 8
CELLS = 14  # across the picture: the portal's light is gathered in as many
CONCRETE = 0.3  # albedo of the ceiling
LAMP_LEVEL = 2.0  # luminance of the ceiling's lamps over daylight white: 6,000 cd/m2


@dataclass(frozen=True)
class TunnelExitParams:
    """One drawn portal, in metres before and beside the camera, and the contrast of day and tunnel."""

    contrast_ev: float
    portal_m: float
    centre_m: float
    half_width_m: float
    height_m: float
    lamp_spacing_m: float
    read_noise_e: float
    seed: int


@register
@dataclass(frozen=True)
class TunnelExit:
    """Leaving a tunnel: local over-exposure at the portal, dark walls around it."""

    name: ClassVar[str] = "lighting/tunnel_exit"
    family: ClassVar[Family] = "lighting"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "contrast of daylight and tunnel",
        "EV",
        (2.0, 3.5, 5.0, 6.5, 8.0),
        "exit zones have a fifth of the luminance outside or less, interior zones 1 to 10 cd/m2 against 1,000 to "
        "6,000 outside (CIE 88:2004): 2 to 10 EV",
    )
    params_type: ClassVar[type[TunnelExitParams]] = TunnelExitParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> TunnelExitParams:
        depth, camera = depth_and_camera(sample, self.name)
        return TunnelExitParams(
            contrast_ev=self.table.at(severity),
            portal_m=min(rng.uniform(18.0, 45.0), 0.7 * _depth_ahead(depth, camera)),
            centre_m=rng.uniform(-2.0, 2.0),
            half_width_m=rng.uniform(5.0, 7.0),
            height_m=rng.uniform(5.2, 6.8),
            lamp_spacing_m=rng.uniform(6.0, 12.0),
            read_noise_e=rng.uniform(4.0, 12.0),
            seed=rng.seed(),
        )

    def apply(self, sample: Sample, params: TunnelExitParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        image = np.ascontiguousarray(sample.image)
        opened = METERED_SHARE * params.contrast_ev
        light = np.array(
            [2.0**opened, 2.0**-params.contrast_ev, 1.0 / FULL_WELL_E, (params.read_noise_e / FULL_WELL_E) ** 2],
            np.float32,
        )
        portal = np.array(
            [params.portal_m, params.centre_m, params.half_width_m, params.height_m, params.lamp_spacing_m], np.float32
        )
        veil = veil_of(
            portal_sources(image, depth, camera, portal, 2.0**opened),
            camera,
            step=VEIL_STEP,
            softest_px=camera.width / CELLS,
        )
        out = np.empty_like(image)
        _leave(
            flat(image), np.ascontiguousarray(depth), sky_matte(image, depth, camera), _rays(camera),
            sun_axes(camera, 0.0), portal, light, filled(veil), folded(params.seed), flat(out),
        )  # fmt: skip
        return replace(sample, image=out)


def _depth_ahead(depth: Depth, camera: Camera) -> float:
    """Return how far one sees straight ahead past vehicles, at most 1,000 m."""
    ahead = sun_axes(camera, 0.0)[1, :3].astype(np.float64)
    x = camera.K[0, 0] * ahead[0] / ahead[2] + camera.K[0, 2]
    y = camera.K[1, 1] * ahead[1] / ahead[2] + camera.K[1, 2]
    column, row = int(np.clip(x, 0, camera.width - 1)), int(np.clip(y, 0, camera.height - 1))
    reach = max(1, camera.width // 16)
    window = depth[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
    return min(float(np.quantile(window, 0.9, method="nearest")), 1000.0)


def _rays(camera: Camera, step: int = 1) -> NDArray[np.float32]:
    """Return (4,) ray slopes x = a j + b, y = c i + d of every step-th column and row."""
    a, c = 1.0 / camera.K[0, 0], 1.0 / camera.K[1, 1]
    b, d = (0.5 * step - camera.K[0, 2]) * a, (0.5 * step - camera.K[1, 2]) * c
    return np.array([a * step, b, c * step, d], np.float32)


def portal_sources(image: Image, depth: Depth, camera: Camera, portal: NDArray[np.float32], gain: float) -> Sources:
    """Return the light beyond the portal, gathered in cells of the picture: what each sends to the camera.

    Luminance is in units of what the picture shows as white, so that the veil is too.
    """
    step = max(1, min(VEIL_STEP, camera.width // 4, camera.height // 4))
    small, coarse = image[step // 2 :: step, step // 2 :: step], depth[step // 2 :: step, step // 2 :: step]
    through = np.empty(coarse.shape, np.float32)
    _through(np.ascontiguousarray(coarse), _rays(camera, step), sun_axes(camera, 0.0), portal, through)
    light = to_linear(np.ascontiguousarray(small)) * through[..., None]
    rows, columns = np.indices(through.shape)
    wide = max(1, through.shape[1] // CELLS)
    cell = (rows // wide) * (columns.max() // wide + 1) + columns // wide
    weight = np.bincount(cell.ravel(), through.ravel())
    used = weight > 0
    pixel_sr = gain * step * step / (float(camera.K[0, 0]) * float(camera.K[1, 1]))
    found = np.empty((int(used.sum()), 5), np.float32)
    for column, values in enumerate((columns + 0.5, rows + 0.5)):
        found[:, column] = step * np.bincount(cell.ravel(), (values * through).ravel())[used] / weight[used]
    for channel in range(3):
        found[:, 2 + channel] = pixel_sr * np.bincount(cell.ravel(), light[..., channel].ravel())[used]
    return found


@njit(cache=True, inline="always")
def _open(right, rise, ahead, camera_m, z, portal_m, centre, half, high, soft):  # type: ignore[no-untyped-def]  # numba infers
    """Return how much of a pixel shows daylight beyond the portal: depth z on a ray of slopes right, rise, ahead."""
    to_plane = portal_m / max(ahead, np.float32(1e-3))
    x = to_plane * right - centre
    arch = high * (np.float32(1.0) - np.float32(0.22) / (half * half) * x * x)
    room = min(half - abs(x), arch - camera_m - to_plane * rise)
    share = min(max(np.float32(0.5) + room / (soft * to_plane), np.float32(0.0)), np.float32(1.0))
    beyond = min(max(z / to_plane * np.float32(8.0) - np.float32(7.5), np.float32(0.0)), np.float32(1.0))
    return share * beyond


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _through(depth, rays, axes, portal, out):  # type: ignore[no-untyped-def]  # numba infers
    for i in range(depth.shape[0]):
        y = rays[2] * np.float32(i) + rays[3]
        for j in range(depth.shape[1]):
            x = rays[0] * np.float32(j) + rays[1]
            right = axes[0, 0] * x + axes[0, 1] * y + axes[0, 2]
            ahead = axes[1, 0] * x + axes[1, 1] * y + axes[1, 2]
            rise = axes[2, 0] * x + axes[2, 1] * y + axes[2, 2]
            z = min(depth[i, j], np.float32(1e6))
            soft = np.float32(2.0) * rays[0]
            out[i, j] = _open(right, rise, ahead, axes[2, 3], z, portal[0], portal[1], portal[2], portal[3], soft)


@njit(cache=True, nogil=True)
def _leave(image, depth, share, rays, axes, portal, light, veil, seed, out):  # type: ignore[no-untyped-def]  # numba infers
    """Fill out; image, out: flat rows (H, 3 W); veil: (h, w, 3)."""
    rows, wide = image.shape
    own, added, normal = np.empty(wide, np.float32), np.empty(wide, np.float32), np.empty(wide, np.float32)
    laid, kept, held = np.empty(wide, np.float32), np.empty((2, wide), np.float32), np.full(2, -1)
    for i in range(rows):
        _inside_row(i, depth[i], share[i], rays, axes, portal, light, own, added)
        mix_rows(veil, i, rows, laid, kept, held)
        _mix_row(image[i], own, added, laid)
        normal_row(seed, i * depth.shape[1], normal)
        expose_row(own, normal, light[2], light[3])
        encode_row(own, out[i])


@njit(cache=True, nogil=True, fastmath=True)
def _mix_row(codes, own, added, veil):  # type: ignore[no-untyped-def]  # numba infers
    """Turn factors into light, in place."""
    one = np.float32(1.0)
    for k in range(len(codes)):
        lit = TO_LINEAR[codes[k]] * own[k] + added[k]
        own[k] = lit + max(one - lit, np.float32(0.0)) * veil[k]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _inside_row(i, depth, share, rays, axes, portal, light, own, added):  # type: ignore[no-untyped-def]  # numba infers
    """Fill own, added (3 W,): by what the light of each pixel of row i is multiplied, and what the ceiling adds."""
    one, none, gain, dark = np.float32(1.0), np.float32(0.0), light[0], light[1]
    step, first, y = rays[0], rays[1], rays[2] * np.float32(i) + rays[3]
    right_x, ahead_x, rise_x, camera_m = axes[0, 0], axes[1, 0], axes[2, 0], axes[2, 3]
    right_y, ahead_y = axes[0, 1] * y + axes[0, 2], axes[1, 1] * y + axes[1, 2]
    rise_y = axes[2, 1] * y + axes[2, 2]
    portal_m, centre, half, high = portal[0], portal[1], portal[2], portal[3]
    per_spacing, lit_lamp = one / portal[4], np.float32(LAMP_LEVEL) * (dark + np.float32(0.1))
    size2 = half * high * np.float32(2.0 / np.pi)  # radius of a disc as large as the portal, squared
    concrete = np.float32(CONCRETE)
    for j in range(len(depth)):
        x = step * np.float32(j) + first
        right, ahead, rise = right_x * x + right_y, max(ahead_x * x + ahead_y, np.float32(1e-3)), rise_x * x + rise_y
        z = min(depth[j], np.float32(1e6))
        shut = one - _open(right, rise, ahead, camera_m, z, portal_m, centre, half, high, np.float32(2.0) * step)
        # What stands further out than wall and ceiling has the light that they would have there.
        to_wall = (half + (centre if right > 0 else -centre)) / max(abs(right), np.float32(1e-4))
        to_roof = (high - camera_m) / max(rise, np.float32(1e-4))
        back = max(portal_m - min(z, min(to_wall, to_roof)) * ahead, none)
        spill = np.float32(0.5) - np.float32(0.5) * back / np.sqrt(back * back + size2)
        inside = shut * (dark + np.float32(0.4) * spill * spill)
        # Sky becomes ceiling, with two rows of lamps.
        roof = np.float32(share[j]) * np.float32(1.0 / 255.0) * shut
        across = abs(abs(to_roof * right - centre) - np.float32(2.2))
        along = to_roof * ahead * per_spacing
        room = min(min(to_wall - to_roof, portal_m - to_roof * ahead), np.float32(0.16) - across)
        lit = min(room, np.float32(0.2) - (along - np.floor(along)))
        lamp = lit_lamp if lit > none else none
        factor = gain * (one - shut + inside * (one - roof))
        ceiling = gain * roof * (concrete * inside + lamp)
        own[3 * j], own[3 * j + 1], own[3 * j + 2] = factor, factor, factor
        added[3 * j], added[3 * j + 1], added[3 * j + 2] = ceiling, ceiling, ceiling
