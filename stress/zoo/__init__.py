"""Small models that come with roadproof, trained on clean daytime frames of the town: `zoo:detector` and so on.

They are small enough to train in under an hour on two cores (`python -m stress.zoo.train`) and good enough to show what
a shift does to a model. See `weights/*.json` for what each knows and how well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenes.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from stress.zoo.models import ZooModel

NAMES = ("detector", "segmenter", "classifier")


def load(name: str, *, device: str = "cpu") -> ZooModel:
    """Return a model of the zoo on a device."""
    if name not in NAMES:
        raise InputError(f"zoo: expected one of {', '.join(NAMES)}, got {name!r}{did_you_mean(name, NAMES)}")
    from stress.zoo.models import MODELS
    from stress.zoo.weights import FOLDER, read_weights

    return MODELS[name](read_weights(FOLDER / f"{name}.safetensors"), device=device)


__all__ = ["NAMES", "load"]
