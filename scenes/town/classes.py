"""The nineteen Cityscapes classes (Cordts et al. 2016) and which of them are objects."""

from __future__ import annotations

from scenes.town.actors import CLASS, SECOND_CLASS

CLASS_NAMES: tuple[str, ...] = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
INDEX = {name: index for index, name in enumerate(CLASS_NAMES)}
VOID = 255  # segmentation says nothing: benches, bins, hydrants
OBJECT_CLASSES = frozenset(
    ("person", "rider", "car", "truck", "bus", "motorcycle", "bicycle", "traffic light", "traffic sign")
)
# kind -> class of Part.SECOND where that is an object of its own
SECOND_OBJECT = {kind: name for kind, name in SECOND_CLASS.items() if name in OBJECT_CLASSES}


def main_class(kind: str) -> int:
    """Return the class index of the main part of an actor kind, VOID where Cityscapes has no class for it."""
    name = CLASS[kind]
    return VOID if name is None else INDEX[name]


def second_class(kind: str) -> int:
    """Return the class index of the second part: a rider's machine, the post of a sign or light."""
    return INDEX[SECOND_CLASS[kind]] if kind in SECOND_CLASS else main_class(kind)
