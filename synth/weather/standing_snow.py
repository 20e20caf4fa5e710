"""Snow on what stands on the ground: where its surface looks up, on its upper edges, and between leaves."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numba import njit

from scenes.camera import Camera
from scenes.sample import Depth, Image
from synth.atmosphere import ray_geometry
from synth.weather.surfaces import BARE, LEAVES, Codes, Map, ground_share

HIDES_CM = 0.7  # snow so deep hides 1 - 1/e of what is beneath
CAP_PX = 32  # the thickest cap that is looked for


def hidden_share(depth_cm: float) -> float:
    """Return how much of the ground snow of a depth hides, 0 to 1."""
    return 1.0 - math.exp(-depth_cm / HIDES_CM)


def upward_cover(
    image: Image, depth: Depth, camera: Camera, kinds: Codes, ground: Codes, *, depth_cm: float, capped: bool = True
) -> Map:
    """Return (H, W) how much snow hides of what stands on the ground, 0 to 1: surfaces that look up, and upper edges.

    Leaves and twigs are sprinkled where they are brighter than around them: they look up there. capped: upper edges
    of the depth map are those of things.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).reshape(depth.shape)
    around = cv2.blur(grey, (max(3, camera.width // 200) | 1,) * 2).reshape(depth.shape)
    cover = np.empty(depth.shape, np.float32)
    lies = np.float32(hidden_share(depth_cm))
    cap = np.float32(0.01 * depth_cm * camera.K[1, 1] if capped else 0.0)
    _upward(np.ascontiguousarray(depth), ray_geometry(camera), kinds, ground, grey, around, lies, cap, cover)
    return cover


@njit(cache=True, nogil=True, error_model="numpy")
def _upward(depth, geometry, kinds, ground, grey, around, lies, cap, cover):  # type: ignore[no-untyped-def]  # numba infers
    a, b, c, d, up_x, up_y, up_z, height = geometry
    rows, columns = depth.shape
    zero, one = np.float32(0.0), np.float32(1.0)
    for i in range(rows):
        y = c * np.float32(i) + d
        for j in range(columns):
            z, kind = depth[i, j], kinds[i, j]
            cover[i, j] = zero
            if kind == BARE or ground[i, j] == 255 or not z < np.float32(1e4):
                continue
            x = a * np.float32(j) + b
            flat = ground_share(z, up_x * x + up_y * y + up_z, height)  # what lies on the plane but is no ground
            found = lies * _looks_up(depth, i, j, x, y, a, c, up_x, up_y, up_z)
            thick = min(cap / max(z, one), np.float32(CAP_PX))
            above = i - max(int(thick + np.float32(0.5)), 1)
            if cap > zero and above >= 0 and depth[above, j] > np.float32(1.08) * z + np.float32(0.4):
                found = max(found, min(thick, one))
            if kind == LEAVES:
                brighter = (np.float32(grey[i, j]) - np.float32(around[i, j])) / np.float32(30.0) + np.float32(0.3)
                found = max(np.float32(0.5) * found, np.float32(0.6) * lies * min(max(brighter, zero), one))
            cover[i, j] = (one - flat) * found


@njit(cache=True, inline="always")
def _looks_up(depth, i, j, x, y, a, c, up_x, up_y, up_z):  # type: ignore[no-untyped-def]  # numba infers
    """Return 1 where the surface of a pixel lies flat, 0 where it is steeper than 60 degrees, by the nearer neighbours.

    The point of a pixel is z (x, y, 1); its tangents are dz (x, y, 1) + z (a, 0, 0) and dz (x, y, 1) + z (0, c, 0).
    """
    z = depth[i, j]
    over, under = depth[max(i - 1, 0), j], depth[min(i + 1, depth.shape[0] - 1), j]
    before, behind = depth[i, max(j - 1, 0)], depth[i, min(j + 1, depth.shape[1] - 1)]
    down = under - z if abs(under - z) < abs(z - over) else z - over
    right = behind - z if abs(behind - z) < abs(z - before) else z - before
    if not (abs(down) < np.float32(1e4) and abs(right) < np.float32(1e4)):
        return np.float32(0.0)  # a twig with sky on both sides
    # normal = tangent down x tangent right, towards the camera and up
    n_x, n_y, n_z = right * c, down * a, -(z * a * c + right * c * x + down * a * y)
    length = np.sqrt(n_x * n_x + n_y * n_y + n_z * n_z)
    upward = (n_x * up_x + n_y * up_y + n_z * up_z) / max(length, np.float32(1e-12))
    return min(max((upward - np.float32(0.5)) * np.float32(3.3), np.float32(0.0)), np.float32(1.0))
