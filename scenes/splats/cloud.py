"""A cloud of Gaussians as 3DGS stores it, before activation: log scales, opacity logits, harmonics by band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from scenes.errors import InputError
from scenes.splats.harmonics import C0

BANDS = {1: 0, 4: 1, 9: 2, 16: 3}  # coefficients: degree


@dataclass(frozen=True, kw_only=True, eq=False)
class Cloud:
    """N Gaussians, float32.

    means:     (N, 3) world
    quats:     (N, 4) w x y z of Gaussian to world, of any length
    scales:    (N, 3) logarithms of standard deviations
    opacities: (N,) logits
    harmonics: (N, K, 3), K = (degree + 1)^2; the first is the base colour, see `base_colour`
    instances: (N,) int32, the object each belongs to, 0 = none
    classes:   (N,) int16, index into class names, -1 = unknown
    seen:      (N,) int16, how many training views show it, None = unknown
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    harmonics: Tensor
    instances: Tensor | None = None
    classes: Tensor | None = None
    seen: Tensor | None = None

    def __post_init__(self) -> None:
        n = len(self.means)
        wanted = {"means": (n, 3), "quats": (n, 4), "scales": (n, 3), "opacities": (n,)}
        wanted |= {name: (n,) for name in ("instances", "classes", "seen") if getattr(self, name) is not None}
        for name, shape in wanted.items():
            if tuple(getattr(self, name).shape) != shape:
                raise InputError(f"Gaussians: {name}: expected shape {shape}, got {tuple(getattr(self, name).shape)}")
        shape = tuple(self.harmonics.shape)
        if len(shape) != 3 or shape[0] != n or shape[2] != 3 or shape[1] not in BANDS:
            raise InputError(f"Gaussians: harmonics: expected ({n}, 1, 4, 9 or 16, 3), got {shape}")

    def __len__(self) -> int:
        return len(self.means)

    @property
    def degree(self) -> int:
        """The degree of the harmonics."""
        return BANDS[self.harmonics.shape[1]]

    def tensors(self) -> dict[str, Tensor]:
        """Return what is known, by name."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in known.items() if value is not None}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Cloud:
        """Take tensors by name, as `tensors` returns them."""
        return cls(**{name: tensors[name].detach() for name in (f.name for f in fields(cls)) if name in tensors})

    def instance_ids(self) -> list[int]:
        """Return the ids of the objects that own a Gaussian, sorted."""
        ids = set() if self.instances is None else set(self.instances.tolist())
        return sorted(ids - {0})

    def take(self, rows: Tensor) -> Cloud:
        """Return some of the Gaussians, by mask or index."""
        return replace(self, **{name: value[rows] for name, value in self.tensors().items()})

    def with_degree(self, degree: int) -> Cloud:
        """Return the same colours in harmonics of another degree; what a lower one cannot hold is lost."""
        wanted = (degree + 1) ** 2
        missing = self.harmonics.new_zeros((len(self), max(0, wanted - self.harmonics.shape[1]), 3))
        return replace(self, harmonics=torch.cat([self.harmonics[:, :wanted], missing], dim=1))

    def check_finite(self, owner: str) -> None:
        """Raise for NaN and infinity."""
        for name, value in self.tensors().items():
            bad = ~torch.isfinite(value.reshape(len(self), -1)).all(dim=1) if value.is_floating_point() else None
            if bad is not None and bool(bad.any()):
                raise InputError(f"{owner}: {name}: {int(bad.sum())} of {len(self)} Gaussians are not finite numbers")


def joined(clouds: Sequence[Cloud]) -> Cloud:
    """Return the Gaussians of several clouds, in the highest of their degrees; unknown instances are 0, classes -1.

    Where the views that show a cloud are unknown beside one of which they are known, it counts as seen.
    """
    degree = max(cloud.degree for cloud in clouds)
    known = any(cloud.seen is not None for cloud in clouds)
    whole = [_labelled(cloud.with_degree(degree), with_seen=known).tensors() for cloud in clouds]
    return Cloud.of({name: torch.cat([one[name] for one in whole]) for name in whole[0]})


def _labelled(cloud: Cloud, *, with_seen: bool) -> Cloud:
    n = len(cloud)
    if with_seen and cloud.seen is None:
        cloud = replace(cloud, seen=torch.full((n,), torch.iinfo(torch.int16).max, dtype=torch.int16))
    instances = torch.zeros(n, dtype=torch.int32) if cloud.instances is None else cloud.instances
    classes = torch.full((n,), -1, dtype=torch.int16) if cloud.classes is None else cloud.classes
    return replace(cloud, instances=instances, classes=classes)


def base_colour(colors: Tensor) -> Tensor:
    """Return the first coefficient (N, 3) of colours in [0, 1].

    >>> float(base_colour(torch.tensor([[0.5, 0.5, 0.5]]))[0, 0])
    0.0
    """
    return (colors - 0.5) / C0


def seeds(points: Tensor, colors: Tensor, *, degree: int, opacity: float = 0.1, widest: float | None = None) -> Cloud:
    """Return a round Gaussian on each point, as wide as the mean distance to its three neighbours (3DGS, section 5.1).

    points (N, 3) world, colors (N, 3) in [0, 1]; no standard deviation exceeds `widest`.
    """
    from scipy.spatial import cKDTree

    n = len(points)
    if n < 4:
        raise InputError(f"Gaussians: expected four points or more to begin with, got {n}")
    places = points.double().numpy()
    distances, _ = cKDTree(places).query(places, k=4)
    spacing = np.clip(np.sqrt((distances[:, 1:] ** 2).mean(axis=1)), 1e-7, widest)
    harmonics = torch.zeros((n, (degree + 1) ** 2, 3))
    harmonics[:, 0] = base_colour(colors)
    return Cloud(
        means=points.float().contiguous(),
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(n, 1),
        scales=torch.from_numpy(np.log(spacing)).float()[:, None].repeat(1, 3),
        opacities=torch.full((n,), float(np.log(opacity / (1 - opacity)))),
        harmonics=harmonics,
    )
