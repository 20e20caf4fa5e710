"""Match the classes of a model with those of a data set: by name, or by an explicit mapping that is checked.

Names match when they are equal after case, plural and separators are set aside: `traffic_light`, `Traffic lights` and
`traffic-light` are one class. Synonyms (`pedestrian` and `person`) are never guessed: they need a mapping file, YAML of

    person: pedestrian      # model class: data set class
    van: car                # several model classes may be one data set class
    toaster: null           # left out

Metrics run over the intersection, in the order of the data set's names; the rest is listed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from scenes.errors import InputError, did_you_mean

NOT_EVALUATED = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassMap:
    """Which model class and which data set class count as which evaluated class.

    names:        (E,) evaluated classes, spelled and ordered as in the data set
    from_model:   (C_model,) int64, model index -> evaluated index, -1 = not evaluated
    from_dataset: (C_dataset,) int64, data set index -> evaluated index, -1 = not evaluated
    model_only, dataset_only: names that have no partner
    """

    names: tuple[str, ...]
    from_model: NDArray[np.int64]
    from_dataset: NDArray[np.int64]
    model_only: tuple[str, ...]
    dataset_only: tuple[str, ...]

    @classmethod
    def between(
        cls,
        model_classes: Sequence[str],
        dataset_classes: Sequence[str],
        mapping: Mapping[str, str | None] | str | Path | None = None,
    ) -> ClassMap:
        """Match two class lists; `mapping` {model class: data set class} is a mapping or a YAML file of one.

        >>> found = ClassMap.between(["Cars", "sky"], ["road", "car"])
        >>> found.names, found.from_model.tolist(), found.dataset_only
        (('car',), [0, -1], ('road',))
        """
        explicit = read_mapping(mapping) if isinstance(mapping, str | Path) else dict(mapping or {})
        _check_mapping(explicit, model_classes, dataset_classes)
        _check_unique(dataset_classes)
        partners = [_partner(name, dataset_classes, explicit) for name in model_classes]
        found = set(partners) - {None}
        names = tuple(name for name in dataset_classes if name in found)
        if not names:
            raise InputError(
                "model and data set have no class in common: the model knows "
                f"{_listed(model_classes)}; the data set has {_listed(dataset_classes)}; "
                "give --class-map a file with lines 'model class: data set class'"
            )
        index = {name: i for i, name in enumerate(names)}
        return cls(
            names=names,
            from_model=np.array([index[p] if p is not None else NOT_EVALUATED for p in partners], np.int64),
            from_dataset=np.array([index.get(name, NOT_EVALUATED) for name in dataset_classes], np.int64),
            model_only=tuple(n for n, p in zip(model_classes, partners, strict=True) if p is None),
            dataset_only=tuple(name for name in dataset_classes if name not in found),
        )


def read_mapping(path: str | Path) -> dict[str, str | None]:
    """Read a YAML file of {model class: data set class or null}."""
    path = Path(path)
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"class mapping {str(path)!r} cannot be read: {_one_line(error)}") from error
    if not isinstance(read, dict):
        raise InputError(f"class mapping {str(path)!r}: expected 'model class: data set class' lines, got {read!r:.80}")
    mapping: dict[str, str | None] = {}
    for model_class, dataset_class in read.items():
        if not (dataset_class is None or isinstance(dataset_class, str | int)):
            raise InputError(
                f"class mapping {str(path)!r}: {model_class!r}: expected a name, got {dataset_class!r:.80}"
            )
        mapping[str(model_class)] = None if dataset_class is None else str(dataset_class)
    return mapping


def normalised(name: str) -> str:
    """Return a name without case, plural and separators.

    >>> normalised("Traffic_Lights"), normalised("buses"), normalised("bus"), normalised("glass")
    ('traffic light', 'bus', 'bus', 'glass')
    """
    words = re.split(r"[\s_\-./]+", name.strip().casefold())
    return " ".join(_singular(word) for word in words if word)


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes", "uses")):
        return word[:-2]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 2 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _partner(name: str, dataset_classes: Sequence[str], explicit: Mapping[str, str | None]) -> str | None:
    """Return the data set class of a model class; an exact name wins over one that only reads the same."""
    if name in explicit:
        return explicit[name]
    if name in dataset_classes:
        return name
    near = [other for other in dataset_classes if normalised(other) == normalised(name)]
    if len(near) > 1:
        raise InputError(f"model class {name!r} could be any of {_listed(near)}: say which in a mapping file")
    return near[0] if near else None


def _check_mapping(
    explicit: Mapping[str, str | None], model_classes: Sequence[str], dataset_classes: Sequence[str]
) -> None:
    for model_class, dataset_class in explicit.items():
        if model_class not in model_classes:
            near = did_you_mean(model_class, model_classes)
            raise InputError(
                f"class mapping: {model_class!r} is not a class of the model{near}; it knows {_listed(model_classes)}"
            )
        if dataset_class is not None and dataset_class not in dataset_classes:
            near = did_you_mean(dataset_class, dataset_classes)
            raise InputError(
                f"class mapping: {model_class!r}: {dataset_class!r} is not a class of the data set{near}; "
                f"it has {_listed(dataset_classes)}"
            )


def _check_unique(dataset_classes: Sequence[str]) -> None:
    repeated = sorted({name for name in dataset_classes if list(dataset_classes).count(name) > 1})
    if repeated:
        raise InputError(f"data set classes: expected unique names, got {_listed(repeated)} more than once")


def _listed(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
