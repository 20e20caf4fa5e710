"""Where a model runs: `auto`, `cpu`, `cuda` or `cuda:1`."""

from __future__ import annotations

import re

from scenes.errors import InputError


def resolve(device: str = "auto") -> str:
    """Return the torch device that a word means; `auto` takes CUDA where there is one.

    >>> resolve("cpu")
    'cpu'
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise InputError(f"device: expected auto, cpu, cuda or cuda:N, got {device!r}")
    if device == "cpu":
        return device
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if count else "cpu"
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        raise InputError(f"device {device!r}: this machine has {count} CUDA device(s); use --device cpu")
    return device
