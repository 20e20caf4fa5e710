"""Slices in words: "cars farther than 40 m in fog >= 3"."""

from __future__ import annotations

from collections.abc import Sequence

from stress.slices import Predicate

NOUNS = {"detection": "object", "classification": "picture", "segmentation": "region"}
METRICS = {"detection": "recall", "classification": "accuracy", "segmentation": "pixel recall"}
PLURALS = {"person": "people", "pedestrian": "pedestrians", "sky": "sky", "vegetation": "vegetation"}
UNCOUNTED = ("road", "sidewalk", "terrain", "pavement", "grass", "void", "unlabelled", "unlabeled")
NEEDED = ("context", "occlusion", "texture")  # families whose shifts are named by what they change: object, road
IN = ("weather", "lighting")
AT = {"lighting/night": "at night", "night": "at night"}
PLACES = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
VERDICTS = {"kept": "untouched", "modified": "changed", "occluded": "occluded", "invalid": "invalid"}


def words(predicates: Sequence[Predicate], *, noun: str = "object") -> str:
    """Return a slice in words; `noun` is what it is made of where no class says it.

    >>> words([Predicate("class", "is", "car"), Predicate("distance_m", "from", 40.0),
    ...        Predicate("shift", "is", "weather/fog"), Predicate("severity", "from", 3.0)])
    'cars farther than 40 m in fog >= 3'
    >>> words([Predicate("height_px", "below", 31.0), Predicate("family", "is", "weather")])
    'objects lower than 31 px under weather shifts'
    """
    known: dict[str, list[Predicate]] = {}
    for p in predicates:
        known.setdefault(p.attribute, []).append(p)
    what = plural(_value(known, "class") or noun)
    if (size := _value(known, "size")) is not None:
        what = f"{size} {what}"
    if (verdict := _value(known, "verdict")) is not None:
        what = f"{VERDICTS.get(verdict, verdict)} {what}"
    parts = [what, " and ".join(_ranges(known))]
    if (place := _value(known, "position")) is not None:
        parts.append(PLACES.get(place, place))
    parts.append(_condition(known))
    said = {"class", "size", "verdict", "distance_m", "height_px", "visible", "share", "position"}
    said |= {"shift", "family", "severity"}
    parts += [f"with {p.attribute} {SIGNS[p.kind]}{p.value}" for p in predicates if p.attribute not in said]
    return " ".join(part for part in parts if part)


SIGNS = {"is": "", "from": ">= ", "below": "< "}


def plural(name: str) -> str:
    """Return a class as one speaks of many of it.

    >>> plural("traffic light"), plural("bus"), plural("person"), plural("road"), plural("traffic signs")
    ('traffic lights', 'buses', 'people', 'road', 'traffic signs')
    """
    if name in PLURALS or name in UNCOUNTED:
        return PLURALS.get(name, name)
    if name.endswith(("ss", "us", "x", "ch", "sh")):
        return f"{name}es"
    if name.endswith("s"):
        return name  # many already
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def condition_words(shift: str) -> str:
    """Return a shift as a circumstance.

    >>> condition_words("weather/fog"), condition_words("lighting/night"), condition_words("texture/road")
    ('in fog', 'at night', 'under road texture')
    """
    if shift in AT:
        return AT[shift]
    family, _, name = shift.partition("/")
    name = name.replace("_", " ")
    if family in NEEDED:
        name = f"{name} {family}"
    if family == "imagenet_c":
        name = f"{name} (ImageNet-C)"
    return f"{'in' if family in IN else 'under'} {name}"


def _value(known: dict[str, list[Predicate]], attribute: str) -> str | None:
    return str(known[attribute][0].value) if attribute in known else None


def _bounds(known: dict[str, list[Predicate]], attribute: str) -> tuple[float | None, float | None]:
    """Return the least and the highest number that a slice takes."""
    found = known.get(attribute, [])
    low = next((float(p.value) for p in found if p.kind == "from"), None)
    high = next((float(p.value) for p in found if p.kind == "below"), None)
    return low, high


def _ranges(known: dict[str, list[Predicate]]) -> list[str]:
    parts = []
    for attribute, between, least, most, factor in (
        ("distance_m", "{}-{} m away", "farther than {} m", "nearer than {} m", 1),
        ("height_px", "{}-{} px high", "at least {} px high", "lower than {} px", 1),
        ("visible", "{}-{} % visible", "at least {} % visible", "less than {} % visible", 100),
        ("share", "over {}-{} % of the picture", "over {} % of the picture or more", "under {} % of the picture", 100),
    ):
        low, high = (None if v is None else f"{v * factor:g}" for v in _bounds(known, attribute))
        if low is not None and high is not None:
            parts.append(between.format(low, high))
        elif low is not None:
            parts.append(least.format(low))
        elif high is not None:
            parts.append(most.format(high))
    return parts


def _condition(known: dict[str, list[Predicate]]) -> str:
    low, high = _bounds(known, "severity")
    severity = " and ".join([*([] if low is None else [f">= {low:g}"]), *([] if high is None else [f"< {high:g}"])])
    if (shift := _value(known, "shift")) is not None:
        return f"{condition_words(shift)} {severity}".rstrip()
    if (family := _value(known, "family")) is not None:
        name = "ImageNet-C" if family == "imagenet_c" else family
        return f"under {name} shifts {severity}".rstrip()
    return f"at severity {severity}" if severity else ""
