"""imgaug 0.4: augmenters by class name, seeded each. Unmaintained: names that numpy dropped are lent to it alone."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from scenes.errors import InputError
from scenes.sample import Image
from synth.backends.follow import Coordinates
from synth.shift import Change, Family

# What imgaug 0.4 still asks of numpy: aliases dropped in 1.24, and the table dropped in 2.0.
_ALIASES: dict[str, Any] = {
    "bool": bool,
    "complex": complex,
    "float": float,
    "int": int,
    "object": object,
    "sctypes": {
        "int": [np.int8, np.int16, np.int32, np.int64],
        "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
        "float": [np.float16, np.float32, np.float64],
        "complex": [np.complex64, np.complex128],
        "others": [bool, object, bytes, str, np.void],
    },
}
_MODULES: dict[str, Family] = {
    "weather": "weather", "geometric": "pose", "flip": "pose", "size": "pose", "contrast": "lighting",
    "color": "lighting", "artistic": "texture", "segmentation": "texture", "pillike": "sensor",
}  # fmt: skip
_SHAPE = ("ElasticTransformation", "PiecewiseAffine", "Jigsaw")
_COVERS = ("Cutout", "CoarseDropout")  # what they cover shows as pixels that hang on nothing of the picture
_MOVES = ("geometric", "flip", "size", "meta", "pooling", "blend", "collections", "pillike")


class _NumpyForImgaug(ModuleType):
    """numpy with the names that imgaug's functions still use when they are called."""

    def __getattr__(self, name: str) -> Any:
        lent = _ALIASES.get(name)
        return getattr(np, name) if lent is None else lent


@contextmanager
def _lent_names() -> Iterator[None]:
    """Give numpy the dropped names while imgaug is imported, and take them back."""
    missing = [name for name in _ALIASES if name not in np.__dict__]
    try:
        for name in missing:
            setattr(np, name, _ALIASES[name])
        yield
    finally:
        for name in missing:
            delattr(np, name)


@cache
def _package() -> ModuleType:
    try:
        with _lent_names():
            package = importlib.import_module("imgaug.augmenters")
    except ImportError as error:
        raise InputError(f"imgaug cannot be imported ({error}): pip install 'roadproof[imgaug]'") from error
    lender = _NumpyForImgaug("numpy_for_imgaug")
    for name, module in list(sys.modules.items()):
        if name.startswith("imgaug") and getattr(module, "np", None) is np:
            module.np = lender  # type: ignore[attr-defined]  # their functions ask numpy for old names when called
    return package


@cache
def transform_names() -> tuple[str, ...]:
    """Return the augmenters that are made of plain options."""
    package = _package()
    base = package.Augmenter
    found = ((name, getattr(package, name)) for name in dir(package) if name[0].isupper())
    return tuple(name for name, cls in found if inspect.isclass(cls) and issubclass(cls, base) and cls is not base)


def option_names(transform: str) -> tuple[str, ...]:
    """Return the options of an augmenter; seed and name are given by the shift."""
    signature = inspect.signature(getattr(_package(), transform).__init__)
    given = ("self", "seed", "name", "random_state", "deterministic", "args", "kwargs")
    return tuple(name for name in signature.parameters if name not in given)


def _module(transform: str) -> str:
    name: str = getattr(_package(), transform).__module__.rpartition(".")[2]
    return name


def changes(transform: str) -> Change:
    """Return what an augmenter changes; those that may hold others are taken for movers, which costs time only."""
    if transform in _COVERS:
        return "content"
    return "geometry" if _module(transform) in _MOVES else "appearance"


def family(transform: str) -> Family:
    """Return the axis along which an augmenter changes the road."""
    if transform in _COVERS:
        return "occlusion"
    return "shape" if transform in _SHAPE else _MODULES.get(_module(transform), "sensor")


def build(transform: str, options: Mapping[str, Any], seed: int) -> Any:
    """Return the augmenter, seeded."""
    plain = {key: list(v) if isinstance(v, tuple) and len(v) != 2 else v for key, v in options.items()}
    return getattr(_package(), transform)(**plain, seed=seed % 2**31)


def run(
    transform: str, options: Mapping[str, Any], seed: int, image: Image, coordinates: Coordinates | None
) -> tuple[Any, Any]:
    """Return the changed picture and, where given, the coordinates moved along."""
    if coordinates is None:
        return build(transform, options, seed)(image=image), None
    if transform in _COVERS:
        return build(transform, options, seed)(image=image), _uncovered(transform, options, seed, coordinates)
    from imgaug.augmentables.segmaps import SegmentationMapsOnImage

    whole = SegmentationMapsOnImage(coordinates.astype(np.int32), shape=image.shape)
    made, moved = build(transform, options, seed)(image=image, segmentation_maps=whole)
    return made, moved.get_arr()


def _uncovered(transform: str, options: Mapping[str, Any], seed: int, coordinates: Coordinates) -> Coordinates:
    """Return the coordinates with zeros where the augmenter gives the same for a black and for a white picture."""
    shape = (*coordinates.shape[:2], 3)
    black, white = (build(transform, options, seed)(image=np.full(shape, v, np.uint8)) for v in (0, 255))
    left = coordinates.copy()
    left[(black == white).all(axis=-1)] = 0
    return left
