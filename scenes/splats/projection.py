"""Gaussians onto the picture plane: the EWA approximation of Zwicker et al. (2002) as 3DGS (Kerbl et al. 2023) uses it.

Constants and culling are those of gsplat 1.4 (`fully_fused_projection`): the 2D covariance gets EPS2D added to its
diagonal, the radius is three standard deviations of the longer axis rounded up, and the Jacobian is taken at a point
that lies at most 0.15 picture widths outside the picture.
Letters: N Gaussians. Camera frame x right, y down, z forward; (0.5, 0.5) is the centre of the first pixel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from scenes.splats.threads import each, split

EPS2D = 0.3  # pixels squared, keeps every Gaussian about a pixel wide
Array = NDArray[Any]


@njit(cache=True, nogil=True, inline="always")
def _rotation(w: Any, x: Any, y: Any, z: Any) -> Any:
    """Return the rotation matrix of a unit quaternion, row by row."""
    return (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def project_kernel(
    first: int, last: int,
    means: Array,  # (N, 3) world, metres
    quats: Array,  # (N, 4) w x y z, of any length
    scales: Array,  # (N, 3) standard deviations, metres
    view: Array,  # (4, 4) world to camera
    lens: Array,  # (12,) see `lens_of`
    radii: Array,  # out (N,) int32 pixels, 0 = not in view
    means2d: Array,  # out (N, 2) pixels
    depths: Array,  # out (N,) metres along the optical axis
    conics: Array,  # out (N, 3) inverse of the 2D covariance: xx, xy, yy
) -> None:  # fmt: skip
    """Project Gaussians `first` to `last`; those out of view get radius 0 and zeros."""
    fx, fy, cx, cy, left, right, top, bottom = lens[0], lens[1], lens[2], lens[3], lens[4], lens[5], lens[6], lens[7]
    width, height, near, eps = lens[8], lens[9], lens[10], lens[11]
    for n in range(first, last):
        radii[n] = 0
        means2d[n, 0] = means2d[n, 1] = depths[n] = 0
        conics[n, 0] = conics[n, 1] = conics[n, 2] = 0
        mx, my, mz = means[n, 0], means[n, 1], means[n, 2]
        z = view[2, 0] * mx + view[2, 1] * my + view[2, 2] * mz + view[2, 3]
        if not (z > near and z < 1e10):
            continue
        x = view[0, 0] * mx + view[0, 1] * my + view[0, 2] * mz + view[0, 3]
        y = view[1, 0] * mx + view[1, 1] * my + view[1, 2] * mz + view[1, 3]
        iz = 1 / z
        tx, ty = min(max(x * iz, left), right), min(max(y * iz, top), bottom)
        jx, jy = fx * iz, fy * iz
        # T = J W (2, 3), in M = T R S the 2D covariance is M M^T
        a0 = jx * (view[0, 0] - tx * view[2, 0])
        a1 = jx * (view[0, 1] - tx * view[2, 1])
        a2 = jx * (view[0, 2] - tx * view[2, 2])
        b0 = jy * (view[1, 0] - ty * view[2, 0])
        b1 = jy * (view[1, 1] - ty * view[2, 1])
        b2 = jy * (view[1, 2] - ty * view[2, 2])
        qw, qx, qy, qz = quats[n, 0], quats[n, 1], quats[n, 2], quats[n, 3]
        norm = math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz)
        if not norm > 0:
            continue
        r00, r01, r02, r10, r11, r12, r20, r21, r22 = _rotation(qw / norm, qx / norm, qy / norm, qz / norm)
        s0, s1, s2 = scales[n, 0], scales[n, 1], scales[n, 2]
        u0, u1, u2 = (
            (a0 * r00 + a1 * r10 + a2 * r20) * s0,
            (a0 * r01 + a1 * r11 + a2 * r21) * s1,
            (a0 * r02 + a1 * r12 + a2 * r22) * s2,
        )
        v0, v1, v2 = (
            (b0 * r00 + b1 * r10 + b2 * r20) * s0,
            (b0 * r01 + b1 * r11 + b2 * r21) * s1,
            (b0 * r02 + b1 * r12 + b2 * r22) * s2,
        )
        cxx = u0 * u0 + u1 * u1 + u2 * u2 + eps
        cxy = u0 * v0 + u1 * v1 + u2 * v2
        cyy = v0 * v0 + v1 * v1 + v2 * v2 + eps
        det = cxx * cyy - cxy * cxy
        if not (det > 0 and det < math.inf):
            continue
        middle = (cxx + cyy) / 2
        radius = math.ceil(3 * math.sqrt(middle + math.sqrt(max(middle * middle - det, 0.01))))
        px, py = fx * x * iz + cx, fy * y * iz + cy
        if px + radius <= 0 or px - radius >= width or py + radius <= 0 or py - radius >= height:
            continue
        radii[n] = np.int32(min(radius, 1e9))
        means2d[n, 0], means2d[n, 1], depths[n] = px, py, z
        conics[n, 0], conics[n, 1], conics[n, 2] = cyy / det, -cxy / det, cxx / det


@njit(cache=True, nogil=True, error_model="numpy")
def project_back_kernel(
    first: int, last: int,
    means: Array, quats: Array, scales: Array, view: Array, lens: Array, radii: Array, conics: Array,
    g_means2d: Array, g_depths: Array, g_conics: Array,  # gradients of what `project_kernel` returned
    g_means: Array, g_quats: Array, g_scales: Array,  # out, added to
) -> None:  # fmt: skip
    """Carry gradients back through `project_kernel`."""
    fx, fy, left, right, top, bottom = lens[0], lens[1], lens[4], lens[5], lens[6], lens[7]
    for n in range(first, last):
        if radii[n] == 0:
            continue
        mx, my, mz = means[n, 0], means[n, 1], means[n, 2]
        x = view[0, 0] * mx + view[0, 1] * my + view[0, 2] * mz + view[0, 3]
        y = view[1, 0] * mx + view[1, 1] * my + view[1, 2] * mz + view[1, 3]
        iz = 1 / (view[2, 0] * mx + view[2, 1] * my + view[2, 2] * mz + view[2, 3])
        tx, ty = min(max(x * iz, left), right), min(max(y * iz, top), bottom)
        jx, jy = fx * iz, fy * iz
        a0 = jx * (view[0, 0] - tx * view[2, 0])
        a1 = jx * (view[0, 1] - tx * view[2, 1])
        a2 = jx * (view[0, 2] - tx * view[2, 2])
        b0 = jy * (view[1, 0] - ty * view[2, 0])
        b1 = jy * (view[1, 1] - ty * view[2, 1])
        b2 = jy * (view[1, 2] - ty * view[2, 2])
        qw, qx, qy, qz = quats[n, 0], quats[n, 1], quats[n, 2], quats[n, 3]
        inverse = 1 / math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz)
        qw, qx, qy, qz = qw * inverse, qx * inverse, qy * inverse, qz * inverse
        r00, r01, r02, r10, r11, r12, r20, r21, r22 = _rotation(qw, qx, qy, qz)
        s0, s1, s2 = scales[n, 0], scales[n, 1], scales[n, 2]
        # d(inverse) = -inverse d(cov) inverse, with the gradient of the off-diagonal shared by both halves
        ca, cb, cc = conics[n, 0], conics[n, 1], conics[n, 2]
        va, vb, vc = g_conics[n, 0], g_conics[n, 1] / 2, g_conics[n, 2]
        p, q = ca * va + cb * vb, ca * vb + cb * vc
        r, s = cb * va + cc * vb, cb * vb + cc * vc
        gxx, gxy, gyy = -(p * ca + q * cb), -(p * cb + q * cc), -(r * cb + s * cc)
        # the rows of T R before and after scaling
        e0, e1, e2 = a0 * r00 + a1 * r10 + a2 * r20, a0 * r01 + a1 * r11 + a2 * r21, a0 * r02 + a1 * r12 + a2 * r22
        f0, f1, f2 = b0 * r00 + b1 * r10 + b2 * r20, b0 * r01 + b1 * r11 + b2 * r21, b0 * r02 + b1 * r12 + b2 * r22
        u0, u1, u2, v0, v1, v2 = e0 * s0, e1 * s1, e2 * s2, f0 * s0, f1 * s1, f2 * s2
        gu0, gu1, gu2 = 2 * (gxx * u0 + gxy * v0), 2 * (gxx * u1 + gxy * v1), 2 * (gxx * u2 + gxy * v2)
        gv0, gv1, gv2 = 2 * (gxy * u0 + gyy * v0), 2 * (gxy * u1 + gyy * v1), 2 * (gxy * u2 + gyy * v2)
        g_scales[n, 0] += gu0 * e0 + gv0 * f0
        g_scales[n, 1] += gu1 * e1 + gv1 * f1
        g_scales[n, 2] += gu2 * e2 + gv2 * f2
        gu0, gu1, gu2, gv0, gv1, gv2 = gu0 * s0, gu1 * s1, gu2 * s2, gv0 * s0, gv1 * s1, gv2 * s2
        # to the rotation, and on to the quaternion
        d00, d01, d02 = a0 * gu0 + b0 * gv0, a0 * gu1 + b0 * gv1, a0 * gu2 + b0 * gv2
        d10, d11, d12 = a1 * gu0 + b1 * gv0, a1 * gu1 + b1 * gv1, a1 * gu2 + b1 * gv2
        d20, d21, d22 = a2 * gu0 + b2 * gv0, a2 * gu1 + b2 * gv1, a2 * gu2 + b2 * gv2
        hw = 2 * (qx * (d21 - d12) + qy * (d02 - d20) + qz * (d10 - d01))
        hx = 2 * (-2 * qx * (d11 + d22) + qy * (d01 + d10) + qz * (d02 + d20) + qw * (d21 - d12))
        hy = 2 * (qx * (d01 + d10) - 2 * qy * (d00 + d22) + qz * (d12 + d21) + qw * (d02 - d20))
        hz = 2 * (qx * (d02 + d20) + qy * (d12 + d21) - 2 * qz * (d00 + d11) + qw * (d10 - d01))
        along = hw * qw + hx * qx + hy * qy + hz * qz
        g_quats[n, 0] += (hw - along * qw) * inverse
        g_quats[n, 1] += (hx - along * qx) * inverse
        g_quats[n, 2] += (hy - along * qy) * inverse
        g_quats[n, 3] += (hz - along * qz) * inverse
        # to T = J W, and on to the mean in the camera
        ga0, gb0 = r00 * gu0 + r01 * gu1 + r02 * gu2, r00 * gv0 + r01 * gv1 + r02 * gv2
        ga1, gb1 = r10 * gu0 + r11 * gu1 + r12 * gu2, r10 * gv0 + r11 * gv1 + r12 * gv2
        ga2, gb2 = r20 * gu0 + r21 * gu1 + r22 * gu2, r20 * gv0 + r21 * gv1 + r22 * gv2
        g_jx = ga0 * (view[0, 0] - tx * view[2, 0]) + ga1 * (view[0, 1] - tx * view[2, 1])
        g_jx += ga2 * (view[0, 2] - tx * view[2, 2])
        g_jy = gb0 * (view[1, 0] - ty * view[2, 0]) + gb1 * (view[1, 1] - ty * view[2, 1])
        g_jy += gb2 * (view[1, 2] - ty * view[2, 2])
        g_tx = -jx * (ga0 * view[2, 0] + ga1 * view[2, 1] + ga2 * view[2, 2])
        g_ty = -jy * (gb0 * view[2, 0] + gb1 * view[2, 1] + gb2 * view[2, 2])
        gx, gy = g_means2d[n, 0] * jx, g_means2d[n, 1] * jy
        gz = g_depths[n] - (gx * x + gy * y + g_jx * jx + g_jy * jy) * iz
        if tx == x * iz:
            gx += g_tx * iz
            gz -= g_tx * x * iz * iz
        if ty == y * iz:
            gy += g_ty * iz
            gz -= g_ty * y * iz * iz
        g_means[n, 0] += view[0, 0] * gx + view[1, 0] * gy + view[2, 0] * gz
        g_means[n, 1] += view[0, 1] * gx + view[1, 1] * gy + view[2, 1] * gz
        g_means[n, 2] += view[0, 2] * gx + view[1, 2] * gy + view[2, 2] * gz


def lens_of(K: Array, width: int, height: int, *, near: float, dtype: Any) -> Array:
    """Return (12,) focal lengths, principal point, limits of x / z and y / z for the Jacobian, size, near plane, eps.

    The limits are those of gsplat: the field of view and 0.3 half-fields more on either side.
    """
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    more_x, more_y = 0.15 * width / fx, 0.15 * height / fy
    limits = (-cx / fx - more_x, (width - cx) / fx + more_x, -cy / fy - more_y, (height - cy) / fy + more_y)
    return np.array([fx, fy, cx, cy, *limits, width, height, near, EPS2D], dtype)


class Project(torch.autograd.Function):
    """(means, quats, scales) seen by C cameras -> radii (C, N), means2d (C, N, 2), depths (C, N), conics (C, N, 3)."""

    @staticmethod
    def forward(
        ctx: Any, means: torch.Tensor, quats: torch.Tensor, scales: torch.Tensor, views: Array, lenses: Array
    ) -> tuple[torch.Tensor, ...]:
        cameras, n = len(views), len(means)
        arrays = [t.detach().contiguous().numpy() for t in (means, quats, scales)]
        radii = torch.empty((cameras, n), dtype=torch.int32)
        means2d, conics = means.new_empty((cameras, n, 2)), means.new_empty((cameras, n, 3))
        depths = means.new_empty((cameras, n))
        for c in range(cameras):
            out = [t[c].numpy() for t in (radii, means2d, depths, conics)]
            each(project_kernel, split(n), *arrays, views[c], lenses[c], *out)
        ctx.save_for_backward(means, quats, scales, radii, conics)
        ctx.views, ctx.lenses = views, lenses
        ctx.mark_non_differentiable(radii)
        return radii, means2d, depths, conics

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        means, quats, scales, radii, conics = (t.detach().contiguous() for t in ctx.saved_tensors)
        out = [torch.zeros_like(t) for t in (means, quats, scales)]
        given = [g.contiguous() for g in grads[1:]]
        for c in range(len(radii)):
            inputs = [t.numpy() for t in (means, quats, scales)]
            seen = [radii[c].numpy(), conics[c].numpy(), *(g[c].numpy() for g in given)]
            gradients = [t.numpy() for t in out]
            each(project_back_kernel, split(len(means)), *inputs, ctx.views[c], ctx.lenses[c], *seen, *gradients)
        return (*out, None, None)
