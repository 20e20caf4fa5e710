"""Prompts by family: what a driving frame is turned into, and what it must not become. Users give their own instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NEGATIVE = "cartoon, painting, drawing, text, watermark, blurry, low quality, deformed"


@dataclass(frozen=True)
class Template:
    """prompt: of what the picture shows, for inpainting and image-to-image; instruction: of what is to change."""

    prompt: str
    instruction: str


_SCENE = "photo from a car's dashboard camera of a street"
WEATHER: Mapping[str, Template] = {
    "rain": Template(f"{_SCENE} in heavy rain, wet road with reflections, overcast", "make it rain heavily"),
    "snow": Template(f"{_SCENE} in winter, snow on the road and the roofs, snowfall", "make it snow, cover the road"),
    "fog": Template(f"{_SCENE} in dense fog, low visibility", "add dense fog"),
    "storm": Template(f"{_SCENE} under dark storm clouds, strong rain", "make it a thunderstorm"),
    "dust": Template(f"{_SCENE} in a dust storm, brown haze", "add a dust storm"),
}
LIGHTING: Mapping[str, Template] = {
    "night": Template(f"{_SCENE} at night, street lamps, headlights", "make it night"),
    "dusk": Template(f"{_SCENE} at dusk, dim blue light, lights switched on", "make it dusk"),
    "dawn": Template(f"{_SCENE} at dawn, low warm light", "make it early morning"),
    "low sun": Template(f"{_SCENE}, low sun straight ahead, glare, long shadows", "let the low sun glare ahead"),
}
PLACES: Mapping[str, Template] = {
    "autumn": Template(f"{_SCENE} in autumn, fallen leaves, bare trees", "make it autumn"),
    "winter": Template(f"{_SCENE} in winter, bare trees, snow", "make it winter"),
    "desert": Template(f"{_SCENE} in a desert town, sand, pale buildings", "move it to a desert town"),
    "jungle": Template(f"{_SCENE} in the tropics, dense green plants", "move it to the tropics"),
    "downtown": Template(f"{_SCENE} between skyscrapers in a large city", "move it to a city of skyscrapers"),
    "village": Template(f"{_SCENE} in an old village, stone houses", "move it to an old village"),
}
PAINTS = ("zebra stripes", "graffiti", "rust", "camouflage", "bright floral patterns", "chrome", "wood", "advertising")
OCCLUDERS = (
    "delivery van", "tree trunk", "billboard", "bus shelter", "parked truck", "group of pedestrians", "hedge",
    "stack of crates",
)  # fmt: skip


def texture_prompt(class_name: str, paint: str) -> str:
    """Return the prompt of an object in another coat.

    >>> texture_prompt("car", "rust")
    'photo of a car covered with rust, on a street'
    """
    return f"photo of a {class_name} covered with {paint}, on a street"


def object_prompt(class_name: str) -> str:
    """Return the prompt of another object of a class."""
    return f"photo of a {class_name} on a street, whole, sharp"


def occluder_prompt(thing: str) -> str:
    """Return the prompt of something that stands in front."""
    return f"photo of a {thing} in the foreground of a street, opaque, sharp"
