"""Which split a frame of the new set belongs to: whole sequences are dealt out, so that none stands on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from scenes.datasets.base import SPLIT_NAMES
from synth.random import Rng


def dealt(
    sample_ids: Sequence[str], groups: Mapping[str, str], shares: Mapping[str, float], *, seed: int
) -> dict[str, str]:
    """Return the split of each frame; frames of one group, and with them all their variants, share one.

    Groups are taken in an order that hangs on their names and the seed alone, each by the split that is furthest below
    its share of the frames.

    >>> dealt(["a", "b", "c", "d"], {"a": "x", "b": "x"}, {"train": 0.5, "val": 0.5}, seed=0)["b"] in ("train", "val")
    True
    """
    size = Counter(groups.get(sample_id, sample_id) for sample_id in sample_ids)
    order = sorted(size, key=lambda group: (Rng(seed, "split", group).uniform(), group))
    total = sum(shares.values())
    missing = {name: len(sample_ids) * share / total for name, share in shares.items() if share > 0}
    place: dict[str, str] = {}
    for group in order:
        place[group] = max(missing, key=lambda name: missing[name])
        missing[place[group]] -= size[group]
    return {sample_id: place[groups.get(sample_id, sample_id)] for sample_id in sample_ids}


def split_of(name: str) -> str:
    """Return the split that a sample id starts with, "" where it starts with none.

    >>> split_of("train/left/1"), split_of("left/1"), split_of("train")
    ('train', '', '')
    """
    first, _, rest = name.partition("/")
    return first if rest and first in SPLIT_NAMES else ""
