"""What a synthesis makes: shifts and chains with severities and weights, and filters. A YAML file has these keys only.

variants: 2
shifts:
  - {name: fog, severity: 3, weight: 2}
  - {name: rain, severity: {min: 1, max: 3}}
  - {chain: [rain, {name: night, severity: [1, 2]}]}
  - {name: lighting/low_sun, classes: [car], conditions: {timeofday: daytime}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_serializer, model_validator

from scenes.errors import InputError, did_you_mean
from scenes.sample import Sample
from synth.chain import FAMILY as CHAIN
from synth.chain import AnyShift, Chain, Part
from synth.random import Rng
from synth.registry import create, expand, resolve
from synth.rerender import lacks_scene
from synth.shift import FAMILIES, Shift

Strength = Annotated[float, Field(ge=1, le=5)]
SPLITS = ("train", "val", "test")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(_Frozen):
    """Any severity from min to max, each as likely as the other."""

    min: Strength = 1.0
    max: Strength = 5.0


class _Strengths(_Frozen):
    """The `severity` of an entry: one number, a list to choose from, or {min, max}."""

    severity: Strength | tuple[Strength, ...] | Range | None = None

    @field_validator("severity", mode="before")
    @classmethod
    def _one_message(cls, value: Any) -> Any:
        listed = value if isinstance(value, list | tuple) else [value]
        if isinstance(value, Mapping):
            listed = [*value.values()] if set(value) <= {"min", "max"} else [None]
        numbers = [v for v in listed if isinstance(v, int | float) and not isinstance(v, bool) and 1 <= v <= 5]
        if value is not None and (not listed or len(numbers) < len(listed)):
            raise ValueError("expected a number from 1 to 5, a list of them to choose from, or {min, max}")
        if isinstance(value, Mapping) and value.get("min", 1) > value.get("max", 5):
            raise ValueError("expected min <= max")
        return value

    def drawn(self, rng: Rng) -> float:
        """Return a severity; one number is drawn whatever the kind, so that later draws do not depend on it."""
        share = rng.uniform()
        if isinstance(self.severity, float):
            return self.severity
        if isinstance(self.severity, tuple):
            return self.severity[int(share * len(self.severity))]
        span = self.severity or Range()
        return round(span.min + (span.max - span.min) * share, 3)


class PartEntry(_Strengths):
    """One part of a chain: a name, or a mapping of name, severity and the shift's own options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        return _flattened(value, ("name", "severity"))

    @model_serializer(mode="wrap")
    def _written(self, handler: Any) -> dict[str, Any]:
        return _written(handler(self))

    def part(self) -> Part:
        """Return the shift; what is drawn of its severity comes later."""
        return Part(_created(self.name, self.options, ("severity",)))


class Entry(_Strengths):
    """One line under `shifts`: a shift, a family, or a chain of shifts.

    weight:     how often against the other entries
    classes:    only frames that show one of these classes
    conditions: only frames whose attributes say so, e.g. {weather: [clear, overcast]}
    """

    name: str | None = None
    chain: tuple[PartEntry, ...] | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0
    classes: tuple[str, ...] = ()
    conditions: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        return _flattened(value, ("name", "chain", "severity", "weight", "classes", "conditions"))

    @field_validator("classes", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return _as_tuple(value)

    @field_validator("conditions", mode="before")
    @classmethod
    def _conditions(cls, value: Any) -> Any:
        return _as_conditions(value)

    @field_validator("chain", mode="before")
    @classmethod
    def _parts(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | Mapping) else value

    @model_validator(mode="after")
    def _one_of_both(self) -> Entry:
        if self.name is None and not self.chain:
            raise ValueError(f"expected a name or a chain of at least one shift{_misread(self.options)}")
        if self.chain and self.options:
            raise ValueError(f"chain: no key {next(iter(self.options))!r}; the options of a shift stand in its part")
        return self

    @model_serializer(mode="wrap")
    def _written(self, handler: Any) -> dict[str, Any]:
        return _written(handler(self))

    @property
    def label(self) -> str:
        """The entry in a few words, for messages."""
        return self.name or "+".join(part.name for part in self.chain or ())

    def choices(self) -> Iterator[Choice]:
        """Yield the shift or chain of the entry; a family yields its members, which share the weight."""
        if self.chain:
            label = None if self.name is None else self.name.removeprefix(f"{CHAIN}/")
            yield Choice(self, self.weight, Chain(tuple(part.part() for part in self.chain), label))
            return
        name = self.name or ""
        names = expand(name) if name == "all" or name in FAMILIES else [name]
        for one in names:
            yield Choice(self, self.weight / len(names), _created(one, self.options, tuple(Entry.model_fields)))


@dataclass(frozen=True, eq=False)
class Choice:
    """One shift or chain that a variant may go through, and how often."""

    entry: Entry
    weight: float
    shift: AnyShift

    def drawn(self, rng: Rng) -> tuple[AnyShift, float]:
        """Return the shift and its severity; parts of a chain that name their own severity get it fixed."""
        severity = self.entry.drawn(rng)
        if not isinstance(self.shift, Chain):
            return self.shift, severity
        parts = []
        for entry, part in zip(self.entry.chain or (), self.shift.parts, strict=True):
            own = entry.drawn(rng)
            parts.append(Part(part.shift, severity if entry.severity is None else own))
        return Chain(tuple(parts), self.shift.label), severity

    @property
    def specs(self) -> dict[str, str]:
        """{full name: how it was asked for} of shifts that are found by file, module or backend."""
        parts = self.shift.parts if isinstance(self.shift, Chain) else (Part(self.shift),)
        asked = [p.name for p in self.entry.chain] if self.entry.chain else [self.entry.name or ""]
        return {p.shift.name: name for p, name in zip(parts, asked, strict=True) if ":" in name}

    def lacks(self, sample: Sample) -> str:
        """Say what keeps a frame from this shift, "" where nothing does."""
        needs = self.shift.needs
        if "scene" in needs and (lacking := lacks_scene(sample)):
            return lacking
        if "instances" in needs and sample.instances is None and sample.annotations.masks is None:
            return "needs object masks"
        return ""


class Filters(_Frozen):
    """Which pictures are left out of the new set; `filters: none` keeps all.

    near_duplicates: bits of 64 by which the perceptual hashes of two pictures that went through the same shifts must
                     differ at least by one more; None = off
    too_dark:        nothing in it is brighter than a grey level that an eye can tell from black
    blank:           no structure at all is left
    unchanged:       the shift changed no pixel
    nothing_left:    the frame had objects, and none of them is left or can be made out
    """

    near_duplicates: Annotated[int, Field(ge=0, le=64)] | None = 3
    too_dark: bool = True
    blank: bool = True
    unchanged: bool = True
    nothing_left: bool = True

    @model_validator(mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        if value is None or value is False or value == "none":
            return {"near_duplicates": None, **dict.fromkeys(("too_dark", "blank", "unchanged", "nothing_left"), False)}
        if isinstance(value, Mapping) and value.get("near_duplicates") in (False, "none"):
            return {**value, "near_duplicates": None}
        return value


class Recipe(_Frozen):
    """What a synthesis makes.

    variants:     pictures of each frame
    seed:         same seed, same pictures
    clean:        also put the frames themselves into the new set
    classes:      only frames that show one of these classes
    conditions:   only frames whose attributes say so
    splits:       shares of train, val and test (of their sum), by which whole sequences are dealt out anew; else the
                  data set's own
    image_format: png (lossless) or jpeg
    license:      licence of the source, where its labels do not say
    """

    shifts: tuple[Entry, ...]
    variants: Annotated[int, Field(ge=1)] = 1
    seed: int = 0
    clean: bool = False
    classes: tuple[str, ...] = ()
    conditions: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    filters: Filters = Filters()
    splits: dict[Literal["train", "val", "test"], Annotated[float, Field(ge=0)]] | None = None
    image_format: Literal["png", "jpeg"] = "png"
    license: str | None = None
    scale: Literal["physical"] = "physical"

    @field_validator("scale", mode="before")
    @classmethod
    def _physical(cls, value: Any) -> Any:
        if value != "physical":
            raise ValueError("expected physical; measured severities are for plans of `roadproof stress`")
        return value

    @field_validator("shifts", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Take one entry for a list of one, and `fog,night` for a list of names."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return (value,) if isinstance(value, Mapping) else value

    @field_validator("shifts")
    @classmethod
    def _some(cls, value: tuple[Entry, ...]) -> tuple[Entry, ...]:
        if not value:
            raise ValueError("expected at least one shift")
        return value

    @field_validator("classes", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return _as_tuple(value)

    @field_validator("conditions", mode="before")
    @classmethod
    def _conditions(cls, value: Any) -> Any:
        return _as_conditions(value)

    @field_validator("splits")
    @classmethod
    def _shares(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is not None and sum(value.values()) <= 0:
            raise ValueError("expected shares such as {train: 0.8, val: 0.2}")
        return value

    @classmethod
    def make(cls, mapping: Mapping[str, Any]) -> Recipe:
        """Return the recipe of plain values; unknown keys and options are errors that name the nearest known one.

        >>> Recipe.make({"shifts": "fog,night", "variants": 2}).variants
        2
        """
        _known(mapping, "recipe", cls.model_fields)
        if isinstance(mapping.get("filters"), Mapping):
            _known(mapping["filters"], "recipe: filters", Filters.model_fields)
        if mapping.get("shifts") is None:
            raise InputError("recipe: shifts: expected a list such as [{name: fog, severity: 3}], got none")
        try:
            recipe = cls.model_validate(dict(mapping))
        except ValidationError as error:
            raise InputError(f"recipe: {_reason(error)}") from error
        try:
            recipe.choices()  # wrong names and options are told before anything is made
        except InputError as error:
            raise InputError(f"recipe: {str(error).removeprefix('recipe: ')}") from error
        return recipe

    @classmethod
    def from_yaml(cls, source: str | Path, **overrides: Any) -> Recipe:
        """Read a recipe from a file (`Path`) or a text; overrides other than None replace its keys."""
        where = f"recipe {str(source)!r}" if isinstance(source, Path) else "recipe"
        try:
            text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
            mapping = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{where}: cannot be read: {' '.join(str(error).split())}") from error
        if not isinstance(mapping, dict):
            raise InputError(f"{where}: expected 'key: value' lines, got {type(mapping).__name__}")
        return cls.make({**mapping, **{key: value for key, value in overrides.items() if value is not None}})

    def plain(self) -> dict[str, Any]:
        """Return the recipe as plain values; `Recipe.make` takes them back."""
        return self.model_dump(mode="json")

    def choices(self) -> tuple[Choice, ...]:
        """Return every shift and chain of the recipe with its weight."""
        return tuple(choice for entry in self.shifts for choice in entry.choices())

    def names(self) -> tuple[str, ...]:
        """Return the names of all shifts as they are written in the recipe."""
        return tuple(name for e in self.shifts for name in ([p.name for p in e.chain] if e.chain else [e.name or ""]))


def choose(choices: Sequence[Choice], rng: Rng) -> Choice:
    """Return one of the choices, as often as its weight says."""
    at = rng.uniform() * sum(choice.weight for choice in choices)
    for choice in choices:
        at -= choice.weight
        if at < 0:
            return choice
    return choices[-1]


def matches(
    sample: Sample, class_names: Sequence[str], classes: Sequence[str], conditions: Mapping[str, Sequence[str]]
) -> bool:
    """Tell whether a frame shows one of the classes, and has the attributes."""
    return not mismatch(sample, class_names, classes, conditions)


def mismatch(
    sample: Sample, class_names: Sequence[str], classes: Sequence[str], conditions: Mapping[str, Sequence[str]]
) -> str:
    """Say what keeps a frame from what is meant for these classes and conditions, "" where nothing does."""
    if not _shows(sample, class_names, classes):
        return f"shows no {' or '.join(classes)}"
    for key, allowed in conditions.items():
        found = [str(value) for value in _attribute(sample, key)]
        if not found:
            return f"has no attribute {key!r}{did_you_mean(key, _attributes(sample))}"
        if not {value.lower() for value in found} & {value.lower() for value in allowed}:
            near = next((hint for value in allowed if (hint := did_you_mean(value, found))), "")
            return f"{key} is {' and '.join(found)}, not {' or '.join(allowed)}{near}"
    return ""


def check_classes(recipe: Recipe, class_names: Sequence[str], owner: str) -> None:
    """Raise where a recipe names a class that a data set does not have."""
    known = {name.lower() for name in class_names}
    for where, classes in (("", recipe.classes), *((f" of {e.label}", e.classes) for e in recipe.shifts)):
        for name in classes:
            if name.lower() not in known:
                has = (
                    f"it has {', '.join(class_names[:12])}{', ...' * (len(class_names) > 12)}"
                    if known
                    else "it has none"
                )
                near = did_you_mean(name, class_names) or did_you_mean(name.lower(), known)
                raise InputError(f"recipe: classes{where}: {owner} has no class {name!r}{near}; {has}")


def _shows(sample: Sample, class_names: Sequence[str], classes: Sequence[str]) -> bool:
    if not classes:
        return True
    wanted = {row for row, name in enumerate(class_names) if name.lower() in {c.lower() for c in classes}}
    notes = sample.annotations
    there = set(notes.labels[~notes.ignore].tolist())
    if notes.label is not None:
        there.add(notes.label)
    if notes.segmentation is not None and not len(notes):
        import numpy as np

        there |= set(np.unique(notes.segmentation).tolist())
    return bool(there & wanted)


def _attributes(sample: Sample) -> list[str]:
    """Return the names of what is known of a frame."""
    places = [sample.meta.get("attributes"), sample.meta.get("coco"), sample.meta]
    return [str(key) for place in places if isinstance(place, Mapping) for key in place]


def _attribute(sample: Sample, key: str) -> list[Any]:
    """Return what a frame's attributes (BDD100K, COCO images) or its other notes say of a key."""
    places = [sample.meta.get("attributes"), sample.meta.get("coco"), sample.meta]
    found = next((place[key] for place in places if isinstance(place, Mapping) and key in place), None)
    return list(found) if isinstance(found, list | tuple) else [] if found is None else [found]


def _flattened(value: Any, known: Sequence[str]) -> Any:
    """Take a bare name for a mapping, and what stands beside the known keys for the shift's own options."""
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, Mapping) or "options" in value:
        return value
    own = {key: value[key] for key in known if key in value}
    return {**own, "options": {str(key): v for key, v in value.items() if key not in own}}


def _written(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out of an entry what says nothing."""
    options = fields.pop("options", {})
    kept = {key: value for key, value in fields.items() if value is not None and value != {} and value not in ((), [])}
    return {**kept, **({"options": options} if options else {})}


def _created(name: str, options: Mapping[str, Any], keys: Sequence[str]) -> Shift[Any]:
    """Return a shift; a key that it does not take may be a misspelt key of the recipe."""
    try:
        return create(name, options)
    except InputError as error:
        near = [hint for key in options if (hint := did_you_mean(key, keys))]
        hint = near[0] if near and "did you mean" not in str(error) else ""
        raise InputError(f"recipe: {error}{hint}{_set_by_severity(name, options)}") from error


def _set_by_severity(name: str, options: Mapping[str, Any]) -> str:
    """Say that a key is what severity stands for, "" where none is."""
    with suppress(InputError):
        shift = resolve(name)
        table, taken = shift.table, {f.name for f in fields(shift)}
        words = table.quantity.lower().replace("_", " ").split()
        for key in options:
            if key not in taken and set(key.lower().split("_")) - {table.unit} <= set(words):
                values = ", ".join(f"{value:g}" for value in table.values)
                return f"; severity sets the {table.quantity}: 1 to 5 stand for {values} {table.unit}".rstrip()
    return ""


def _known(mapping: Mapping[str, Any], where: str, fields: Mapping[str, Any]) -> None:
    for key in mapping:
        if key not in fields:
            known = list(fields)
            raise InputError(f"{where}: no key {key!r}{did_you_mean(str(key), known)}; it takes {', '.join(known)}")


def _misread(options: Mapping[str, Any]) -> str:
    """Say how `{fog: 3}` is written.

    >>> _misread({"fog": 3}), _misread({"fog": 3, "rain": 2})
    (' (did you mean {name: fog, severity: 3}?)', '')
    """
    if len(options) != 1 or not isinstance(value := next(iter(options.values())), int | float | list | Mapping):
        return ""
    return f" (did you mean {{name: {next(iter(options))}, severity: {value}}}?)"


def _as_tuple(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _as_conditions(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {str(k): tuple(map(str, v)) if isinstance(v, list | tuple) else (str(v),) for k, v in value.items()}


def _reason(error: ValidationError) -> str:
    """Say what the first errors of a validation are, in one line."""
    parts = []
    for item in error.errors()[:2]:
        where = ".".join(str(part) for part in item["loc"] if isinstance(part, int) or part.islower())
        message = item["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        message = (
            "no such key" if item["type"] == "extra_forbidden" else message.replace("Field required", "is missing")
        )
        parts.append(f"{where}: {message}, got {item['input']!r:.60}")
    return "; ".join(parts)
