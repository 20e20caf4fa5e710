"""Training again: `fit` for models with a torch module, controls of equal budget, and the proof that it helped."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stress.training.fitting import Curve, Material, fit
    from stress.training.settings import Settings
    from stress.training.teaching import fit_on
    from stress.training.trained import install

_HOME = {
    "Curve": "stress.training.fitting",
    "Material": "stress.training.fitting",
    "Settings": "stress.training.settings",
    "fit": "stress.training.fitting",
    "fit_on": "stress.training.teaching",
    "install": "stress.training.trained",
}
__all__ = ["Curve", "Material", "Settings", "fit", "fit_on", "install"]


def __getattr__(name: str) -> Any:
    """Import a part when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'stress.training' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
