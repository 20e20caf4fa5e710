"""Random numbers whose stream is ours: raw Philox bits, turned into numbers here.

NumPy promises the bits of `Philox`, not the numbers its `Generator` makes of them; a replay must outlive NumPy
versions. A generator is keyed by whole names, so that no result depends on order, shard or worker count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

SCHEME = "roadproof/1"
T = TypeVar("T")


class Rng:
    """A stream of numbers keyed by names (Philox4x64-10 keyed by SHA-256 of them).

    >>> Rng("fog", 1).uniform() == Rng("fog", 1).uniform()
    True
    """

    def __init__(self, *key: str | int) -> None:
        digest = hashlib.sha256(json.dumps([SCHEME, *key], separators=(",", ":")).encode()).digest()
        self._bits = np.random.Philox(key=np.frombuffer(digest[:16], np.uint64))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def integer(self, low: int, high: int) -> int:
        """Return an integer in [low, high)."""
        if high <= low:
            raise ValueError(f"integer: expected low < high, got {low} and {high}")
        return low + int(self.uniform() * (high - low))

    def seed(self) -> int:
        """Return a seed to keep in params, for a noise field made in `apply` by `Rng(seed)`."""
        return int(self._bits.random_raw()) >> 11  # 53 bits: exact in JSON

    def choice(self, values: Sequence[T]) -> T:
        """Return one of the values."""
        return values[self.integer(0, len(values))]

    def normal(self, mean: float = 0.0, deviation: float = 1.0) -> float:
        """Return a normally distributed number."""
        return mean + deviation * float(self.normals(1)[0])

    def permutation(self, n: int) -> NDArray[np.int64]:
        """Return 0..n-1 in random order."""
        return np.argsort(self.uniforms(n), kind="stable")

    def uniforms(self, *shape: int) -> NDArray[np.float64]:
        """Return numbers in [0, 1) of a shape."""
        raw = self._bits.random_raw(int(np.prod(shape)))
        numbers: NDArray[np.float64] = (raw >> np.uint64(11)) * 2.0**-53
        return numbers.reshape(shape)

    def normals(self, *shape: int) -> NDArray[np.float64]:
        """Return standard normal numbers of a shape, by the inverse of the normal distribution function."""
        from scipy.special import ndtri

        raw = self._bits.random_raw(int(np.prod(shape)))
        numbers: NDArray[np.float64] = ndtri(((raw >> np.uint64(11)) + 0.5) * 2.0**-53)
        return numbers.reshape(shape)
