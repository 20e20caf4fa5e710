"""Rigid motions and scalings of Gaussians, their view-dependent colour turned along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenes.splats.cloud import BANDS, Cloud
from scenes.splats.reference import basis, rotation

Matrix = NDArray[np.float64]


def moved(cloud: Cloud, pose: Matrix) -> Cloud:
    """Return the Gaussians after a rigid motion of the world, (4, 4)."""
    turn = torch.from_numpy(np.ascontiguousarray(pose[:3, :3]))
    means = cloud.means.double() @ turn.T + torch.from_numpy(pose[:3, 3].copy())
    if np.array_equal(pose[:3, :3], np.eye(3)):
        return replace(cloud, means=means.float())
    quats = _product(_quaternion(pose[:3, :3]), cloud.quats.double()).float()
    return replace(cloud, means=means.float(), quats=quats, harmonics=turned_harmonics(cloud.harmonics, turn))


def scaled(cloud: Cloud, frame: Matrix, factors: tuple[float, float, float]) -> Cloud:
    """Return the Gaussians stretched along the axes of a frame, (4, 4) frame to world, about its origin.

    A stretched Gaussian is a Gaussian again: its covariance S C S^T is taken apart into axes and deviations.
    """
    stretch = frame[:3, :3] @ np.diag(factors) @ frame[:3, :3].T
    S, origin = torch.from_numpy(stretch), torch.from_numpy(frame[:3, 3].copy())
    means = (cloud.means.double() - origin) @ S.T + origin
    half = S @ rotation(cloud.quats.double()) * cloud.scales.double().exp()[:, None, :]
    axes, deviations, _ = torch.linalg.svd(half)
    flip = torch.where(torch.linalg.det(axes) < 0, -1.0, 1.0)
    axes = torch.cat([axes[:, :, :2], axes[:, :, 2:] * flip[:, None, None]], dim=2)
    quats = torch.from_numpy(_quaternions(axes.numpy()))
    scales = deviations.clamp(min=1e-12).log()
    return replace(cloud, means=means.float(), quats=quats.float(), scales=scales.float())


def turned_harmonics(harmonics: Tensor, turn: Tensor) -> Tensor:
    """Return the coefficients (N, K, 3) of f(R^T d), for f the function they are of and R (3, 3) a rotation.

    Each band turns within itself: its matrix is found from its values in more directions than it has functions.
    """
    degree = BANDS[harmonics.shape[1]]
    if degree == 0:
        return harmonics
    i = torch.arange(64, dtype=torch.float64) + 0.5  # directions on a Fibonacci sphere
    z = 1 - 2 * i / 64
    angle = np.pi * (1 + 5**0.5) * i
    around = torch.sqrt(1 - z * z)
    directions = torch.stack([around * torch.cos(angle), around * torch.sin(angle), z], dim=1)
    here, there = basis(directions, degree), basis(directions @ turn, degree)
    out = harmonics.double().clone()
    for band in range(1, degree + 1):
        rows = slice(band * band, (band + 1) ** 2)
        matrix = torch.linalg.lstsq(here[:, rows], there[:, rows]).solution
        out[:, rows] = matrix @ out[:, rows]
    return out.to(harmonics.dtype)


def _quaternion(turn: Matrix) -> Tensor:
    """Return w x y z of a rotation (3, 3)."""
    return torch.from_numpy(_quaternions(turn[None])[0])


def _quaternions(turns: Matrix) -> Matrix:
    """Return (N, 4) w x y z of rotations (N, 3, 3)."""
    from scipy.spatial.transform import Rotation

    if not len(turns):
        return np.zeros((0, 4))
    found: Matrix = np.roll(Rotation.from_matrix(turns).as_quat(), 1, axis=1)
    return found


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Return the quaternion product of one a (4,) with many b (N, 4)."""
    w, x, y, z = a.tolist()
    rows = [[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]]
    return b @ torch.tensor(rows, dtype=b.dtype).T
