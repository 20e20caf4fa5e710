"""albumentations 2.0.8 (MIT): transforms by class name, one generator seeded for each picture."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

from scenes.errors import InputError
from scenes.sample import Image
from synth.backends.follow import Coordinates
from synth.shift import Change, Family

_WEATHER = ("RandomFog", "RandomRain", "RandomSnow", "Spatter")
_LIGHTING = (
    "RandomSunFlare", "RandomShadow", "PlasmaShadow", "RandomBrightnessContrast", "RandomGamma", "RandomToneCurve",
    "Illumination", "PlasmaBrightnessContrast", "ColorJitter", "CLAHE", "Equalize", "AutoContrast", "PlanckianJitter",
)  # fmt: skip
_TEXTURE = ("FDA", "HistogramMatching", "PixelDistributionAdaptation", "Superpixels", "HEStain")
_SHAPE = (
    "ElasticTransform", "GridDistortion", "OpticalDistortion", "ThinPlateSpline", "PiecewiseAffine",
    "GridElasticDeform", "RandomGridShuffle", "Morphological",
)  # fmt: skip
_OCCLUSION = (
    "CoarseDropout", "ConstrainedCoarseDropout", "GridDropout", "Erasing", "XYMasking", "MaskDropout", "PixelDropout",
    "TimeMasking", "FrequencyMasking", "OverlayElements",
)  # fmt: skip
_BY_LABELS = (  # what they do hangs on boxes or masks, of which only the picture and its coordinates are given
    "AtLeastOneBBoxRandomCrop", "BBoxSafeRandomCrop", "RandomSizedBBoxSafeCrop", "RandomCropNearBBox",
    "CropNonEmptyMaskIfExists", "MaskDropout", "ConstrainedCoarseDropout",
)  # fmt: skip


@cache
def _package() -> ModuleType:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for newer versions otherwise
    try:
        import albumentations
    except ImportError as error:
        raise InputError(f"albumentations cannot be imported ({error}): pip install albumentations==2.0.8") from error
    package: ModuleType = albumentations
    return package


@cache
def transform_names() -> tuple[str, ...]:
    """Return the transforms for single pictures."""
    package = _package()
    bases = (package.BasicTransform, package.DualTransform, package.ImageOnlyTransform, package.Transform3D)
    found = (name for name in dir(package) if inspect.isclass(getattr(package, name)))
    classes = ((name, getattr(package, name)) for name in found)
    return tuple(
        name
        for name, cls in classes
        if issubclass(cls, package.BasicTransform) and cls not in bases and not issubclass(cls, package.Transform3D)
    )


def option_names(transform: str) -> tuple[str, ...]:
    """Return the options of a transform; it is always carried out, so `p` is none of them."""
    signature = inspect.signature(getattr(_package(), transform).__init__)
    return tuple(name for name in signature.parameters if name not in ("self", "p"))


def changes(transform: str) -> Change:
    """Return what a transform changes: dual transforms move what they are given."""
    package = _package()
    if not issubclass(getattr(package, transform), package.DualTransform):
        return "appearance"
    return "content" if transform in _OCCLUSION else "geometry"


def family(transform: str) -> Family:
    """Return the axis along which a transform changes the road."""
    families: tuple[tuple[Family, tuple[str, ...]], ...] = (
        ("weather", _WEATHER), ("lighting", _LIGHTING), ("texture", _TEXTURE), ("shape", _SHAPE),
        ("occlusion", _OCCLUSION),
    )  # fmt: skip
    for name, members in families:
        if transform in members:
            return name
    return "pose" if changes(transform) == "geometry" else "sensor"


def build(transform: str, options: Mapping[str, Any], seed: int) -> Any:
    """Return the transform in a pipeline of one, seeded."""
    package = _package()
    options = dict(options)
    if transform in _BY_LABELS:
        raise InputError(f"albumentations.{transform} chooses by labels: it is not offered as a shift")
    if transform in _OCCLUSION and "fill_mask" in option_names(transform):
        options.setdefault("fill_mask", 0)  # else labels would not be told of what was covered
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to use another of its transforms
        made = getattr(package, transform)(**options, p=1.0)
        return package.Compose([made], seed=seed)


def run(
    transform: str, options: Mapping[str, Any], seed: int, image: Image, coordinates: Coordinates | None
) -> tuple[Any, Any]:
    """Return the changed picture and, where given, the coordinates moved along."""
    pipeline = build(transform, options, seed)
    if coordinates is None:
        return pipeline(image=image)["image"], None
    done = pipeline(image=image, mask=coordinates)
    return done["image"], done["mask"]
