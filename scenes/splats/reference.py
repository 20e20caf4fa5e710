"""The readable twin of the compiled splats: a few lines of torch for each step, slow, differentiated by autograd.

It states what the compiled code has to compute, and runs on any device and in any precision. The semantics are those
of gsplat 1.4, tile limits included: a Gaussian paints the tiles that the square of its radius touches, no others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scenes.splats.projection import EPS2D
from scenes.splats.tiles import TILE

ALPHA_MAX, ALPHA_MIN, LEFT_MIN = 0.999, 1.0 / 255.0, 1e-4


def project(
    means: Tensor,  # (N, 3) world
    quats: Tensor,  # (N, 4) w x y z
    scales: Tensor,  # (N, 3)
    view: Tensor,  # (4, 4) world to camera
    K: Tensor,  # (3, 3)
    width: int,
    height: int,
    *,
    near: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return radii (N,) int32, means2d (N, 2), depths (N,), conics (N, 3); zeros where out of view."""
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    x, y, z = (means @ view[:3, :3].T + view[:3, 3]).unbind(1)
    front = z > near
    z = torch.where(front, z, 1.0)
    more_x, more_y = 0.15 * width / fx, 0.15 * height / fy
    slope_x = (x / z).clamp(-cx / fx - more_x, (width - cx) / fx + more_x)
    slope_y = (y / z).clamp(-cy / fy - more_y, (height - cy) / fy + more_y)
    none = torch.zeros_like(z)
    J = torch.stack([fx / z, none, -fx * slope_x / z, none, fy / z, -fy * slope_y / z], dim=1).reshape(-1, 2, 3)
    M = J @ view[:3, :3] @ rotation(quats) * scales[:, None, :]
    cov = M @ M.transpose(1, 2) + EPS2D * torch.eye(2, dtype=means.dtype)
    det = cov[:, 0, 0] * cov[:, 1, 1] - cov[:, 0, 1] ** 2
    middle = (cov[:, 0, 0] + cov[:, 1, 1]) / 2
    radius = torch.ceil(3 * torch.sqrt(middle + torch.sqrt((middle**2 - det).clamp(min=0.01)))).detach()
    means2d = torch.stack([fx * x / z + cx, fy * y / z + cy], dim=1)
    inside = (means2d + radius[:, None] > 0) & (means2d - radius[:, None] < torch.tensor([width, height]))
    seen = front & (det > 0) & inside.all(1)
    conics = torch.stack([cov[:, 1, 1], -cov[:, 0, 1], cov[:, 0, 0]], dim=1) / det.clamp(min=1e-12)[:, None]
    radii = torch.where(seen, radius, 0).int()
    return radii, means2d * seen[:, None], z * seen, conics * seen[:, None]


def rotation(quats: Tensor) -> Tensor:
    """Return (N, 3, 3) of quaternions w x y z of any length."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=1).unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=1).reshape(-1, 3, 3)


def basis(directions: Tensor, degree: int) -> Tensor:
    """Return (N, (degree + 1)^2) spherical harmonics at unit directions (N, 3)."""
    x, y, z = directions.unbind(1)
    xx, yy, zz = x * x, y * y, z * z
    found = [torch.full_like(x, 0.28209479177387814)]
    if degree > 0:
        found += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if degree > 1:
        found += [1.0925484305920792 * x * y, -1.0925484305920792 * y * z, 0.31539156525252005 * (2 * zz - xx - yy)]
        found += [-1.0925484305920792 * x * z, 0.5462742152960396 * (xx - yy)]
    if degree > 2:
        found += [-0.5900435899266435 * y * (3 * xx - yy), 2.890611442640554 * x * y * z]
        found += [-0.4570457994644658 * y * (4 * zz - xx - yy), 0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy)]
        found += [-0.4570457994644658 * x * (4 * zz - xx - yy), 1.445305721320277 * z * (xx - yy)]
        found += [-0.5900435899266435 * x * (xx - 3 * yy)]
    return torch.stack(found, dim=1)


def colour(means: Tensor, coefficients: Tensor, eye: Tensor, degree: int) -> Tensor:
    """Return (N, 3) colours of spherical harmonics coefficients (N, K, 3) as seen from `eye` (3,)."""
    bases = basis(torch.nn.functional.normalize(means - eye, dim=1), degree)
    return ((bases[:, :, None] * coefficients[:, : bases.shape[1]]).sum(1) + 0.5).clamp(min=0)


def composite(
    means2d: Tensor,  # (N, 2)
    conics: Tensor,  # (N, 3)
    opacities: Tensor,  # (N,)
    features: Tensor,  # (N, D)
    background: Tensor,  # (D,)
    radii: Tensor,  # (N,)
    depths: Tensor,  # (N,)
    width: int,
    height: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return picture (H, W, D), alpha (H, W) and the strongest Gaussian (H, W), -1 where none; row by row of pixels."""
    seen = torch.nonzero(radii > 0)[:, 0]
    order = seen[torch.argsort(depths[seen], stable=True)]
    means2d, conics, opacities, features = means2d[order], conics[order], opacities[order], features[order]
    radius = radii[order][:, None]
    first = torch.floor((means2d.detach() - radius) / TILE) * TILE
    last = torch.ceil((means2d.detach() + radius) / TILE) * TILE
    rows = []
    for row in range(height):
        pixels = torch.stack([torch.arange(width) + 0.5, torch.full((width,), row + 0.5)], dim=1).to(means2d.dtype)
        d = pixels[:, None, :] - means2d  # (W, N, 2)
        sigma = 0.5 * (conics[:, 0] * d[..., 0] ** 2 + conics[:, 2] * d[..., 1] ** 2) + conics[:, 1] * d.prod(-1)
        alpha = (opacities * torch.exp(-sigma)).clamp(max=ALPHA_MAX)
        near = ((pixels[:, None, :] > first) & (pixels[:, None, :] < last)).all(-1)
        alpha = torch.where((sigma >= 0) & (alpha >= ALPHA_MIN) & near, alpha, 0.0)
        left = torch.cumprod(1 - alpha, dim=1)
        alpha = torch.where(left > LEFT_MIN, alpha, 0.0)
        left = torch.cumprod(1 - alpha, dim=1)
        before = torch.cat([torch.ones_like(left[:, :1]), left[:, :-1]], dim=1)
        weights = alpha * before
        end = left[:, -1:] if len(order) else torch.ones(width, 1, dtype=means2d.dtype)
        strongest = torch.full((width,), -1, dtype=torch.int64)
        if len(order):
            most, at = weights.max(dim=1)
            strongest = torch.where(most > 0, order[at], -1)
        rows.append((weights @ features + end * background, 1 - end[:, 0], strongest))
    picture, alpha, best = (torch.stack(part) for part in zip(*rows, strict=True))
    return picture, alpha, best.int()
