"""Deformations of one object in its own coordinates: u, v run from -1 to 1 over its window, v = 1 at its foot."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

KINDS = ("wider", "narrower", "taller", "flatter", "lean", "bulge")
_REACH = 1.5  # radius, in half sizes, within which a bulge acts
_PULL = 1.1  # of a bulge per unit of amount


def pulled(kind: str, amount: float, u: Array, v: Array, *, aspect: float) -> tuple[Array, Array]:
    """Return where each new point comes from. amount: relative size of the change; aspect: height over width."""
    if kind == "wider":
        return u / (1 + amount), v
    if kind == "narrower":
        return u * (1 + amount), v
    if kind == "taller":
        return u, 1 + (v - 1) / (1 + amount)
    if kind == "flatter":
        return u, 1 + (v - 1) * (1 + amount)
    if kind == "lean":
        return u - 0.5 * amount * (1 - v) * aspect, v
    shrink = _bulge(np.hypot(u, v), amount)
    return u * shrink, v * shrink


def pushed(kind: str, amount: float, u: Array, v: Array, *, aspect: float) -> tuple[Array, Array]:
    """Return where each old point goes: the inverse of `pulled`."""
    if kind == "wider":
        return u * (1 + amount), v
    if kind == "narrower":
        return u / (1 + amount), v
    if kind == "taller":
        return u, 1 + (v - 1) * (1 + amount)
    if kind == "flatter":
        return u, 1 + (v - 1) / (1 + amount)
    if kind == "lean":
        return u + 0.5 * amount * (1 - v) * aspect, v
    new = np.linspace(0, _REACH, 512)
    old = new * _bulge(new, amount)
    radius = np.hypot(u, v)
    grow = np.where(radius < _REACH, np.interp(radius, old, new) / np.maximum(radius, 1e-9), 1.0)
    return u * grow, v * grow


def bulge_amount(magnification: float) -> float:
    """Return the amount at which a bulge magnifies its middle so many times."""
    return (1 - 1 / magnification) / _PULL


def _bulge(radius: Array, amount: float) -> Array:
    """Return old radius over new radius; smooth, and 1 from `_REACH` outwards."""
    left = np.clip(1 - radius / _REACH, 0, 1)
    shrink: Array = 1 - min(0.85, _PULL * amount) * left * left
    return shrink
