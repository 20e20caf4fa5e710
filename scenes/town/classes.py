"""The nineteen Cityscapes classes (Cordts et al. 2016) and which of them are objects."""

from __future__ import annotations

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

MAIN_CLASS: dict[str, str] = {  # kind -> class of Part.MAIN; Cityscapes counts a van as a car
    "hatchback": "car",
    "sedan": "car",
    "estate": "car",
    "suv": "car",
    "van": "car",
    "truck": "truck",
    "bus": "bus",
    "pedestrian": "person",
    "cyclist": "rider",
    "motorcyclist": "rider",
    "traffic_light": "traffic light",
    "tree_round": "vegetation",
    "tree_conifer": "vegetation",
    "bush": "vegetation",
    "lamp": "pole",
    "pole": "pole",
}
SECOND_OBJECT = {"cyclist": "bicycle", "motorcyclist": "motorcycle"}  # kind -> class of Part.SECOND, an own object
OBJECT_CLASSES = frozenset(
    ("person", "rider", "car", "truck", "bus", "motorcycle", "bicycle", "traffic light", "traffic sign")
)


def main_class(kind: str) -> int:
    """Return the class index of the main part of an actor kind, VOID where Cityscapes has no class for it."""
    name = "traffic sign" if kind.startswith("sign_") else MAIN_CLASS.get(kind)
    return VOID if name is None else INDEX[name]


def second_class(kind: str) -> int:
    """Return the class index of the second part: a rider's machine, the post of a sign or light, a tree's trunk."""
    if kind in SECOND_OBJECT:
        return INDEX[SECOND_OBJECT[kind]]
    if kind == "traffic_light" or kind.startswith("sign_"):
        return INDEX["pole"]
    return main_class(kind)
