"""What can go wrong with a road, and the labels that stay true: shifts, chains, and new data sets made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth.albumentations_shift import AlbumentationsShift
    from synth.recipe import Recipe
    from synth.replaying import Remade, remake
    from synth.synthesis import Generated, Interrupted, generate
    from synth.transforms import ShiftedDataset, Shifts, as_torchvision

__all__ = [
    "AlbumentationsShift",
    "Generated",
    "Interrupted",
    "Recipe",
    "Remade",
    "ShiftedDataset",
    "Shifts",
    "as_torchvision",
    "generate",
    "remake",
]

_HOMES = {
    "Recipe": "recipe",
    "Remade": "replaying",
    "remake": "replaying",
    "Generated": "synthesis",
    "Interrupted": "synthesis",
    "generate": "synthesis",
    "AlbumentationsShift": "albumentations_shift",
    "ShiftedDataset": "transforms",
    "Shifts": "transforms",
    "as_torchvision": "transforms",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and nothing before."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"synth.{_HOMES[name]}"), name)
