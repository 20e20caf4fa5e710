"""The generator of one variant of one sample: keyed by names, never by order, shard or worker count."""

from __future__ import annotations

from scenes.random import SCHEME, Rng

__all__ = ["SCHEME", "Rng", "rng_for"]


def rng_for(seed: int, *, shift: str, sample_id: str, variant: int = 0, position: int = 0) -> Rng:
    """Return the generator of one variant of one sample at one place in a chain.

    Severity is not part of the key: one draw, five strengths.

    >>> a = rng_for(7, shift="weather/fog", sample_id="left/12").uniform()
    >>> a == rng_for(7, shift="weather/fog", sample_id="left/12").uniform()
    True
    >>> a == rng_for(7, shift="weather/fog", sample_id="left/12", variant=1).uniform()
    False
    """
    return Rng(seed, shift, sample_id, variant, position)
