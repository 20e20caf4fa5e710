"""What one stress run does: shifts, severities, seed, metrics, explanations. A YAML file has these keys and no others.

shifts: [weather, lighting/night, {name: weather/fog, severities: [1, 2.5]}]
severities: [1, 3, 5]
seed: 0
limit: 100
metrics: [map, ap50]
explain: {failures: 12, method: auto}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_serializer, model_validator

from scenes.errors import InputError, did_you_mean
from stress.scale import Scale
from synth.chain import FAMILY as CHAIN
from synth.chain import AnyShift, create_chain
from synth.registry import create, expand
from synth.shift import FAMILIES

Severity = Annotated[float, Field(ge=1, le=5)]
Method = Literal["auto", "gradcam", "hirescam", "drise", "none"]
SCHEMA = "roadproof.plan/1"
CLEAN = "clean"


@dataclass(frozen=True, order=True)
class Cell:
    """One (shift, severity) of a plan; ("clean", 0) is the data set as it is."""

    shift: str
    severity: float

    @property
    def label(self) -> str:
        """The name of the cell in messages and files.

        >>> Cell("weather/fog", 3.0).label
        'weather/fog@3'
        """
        return self.shift if self.shift == CLEAN else f"{self.shift}@{self.severity:g}"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShiftEntry(_Frozen):
    """One line under `shifts`: a name, or a mapping of name, severities and the shift's own options.

    chain: several shifts in a row as one entry, `{chain: [rain, {name: night, severity: 2}], severities: [1, 3]}`; the
           severity of a cell is that of every part that fixes none of its own. `name: storm` calls it `chain/storm`
    """

    name: str
    severities: tuple[Severity, ...] | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    chain: tuple[Any, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """Take a bare name, and options written beside the name."""
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and value.get("chain") is not None:
            return _chain_entry(value)
        if isinstance(value, Mapping) and "options" not in value:
            own = {key: value[key] for key in ("name", "severities") if key in value}
            return {**own, "options": {str(k): v for k, v in value.items() if k not in own}}
        return value

    @model_serializer
    def _written(self) -> dict[str, Any]:
        severities = {} if self.severities is None else {"severities": list(self.severities)}
        if self.chain is not None:
            return {"chain": list(self.chain), "name": self.name, **severities}
        return {"name": self.name, **severities, **self.options}

    def create(self) -> AnyShift:
        """Return the shift, or the chain."""
        if self.chain is None:
            return create(self.name, self.options)
        return create_chain(self.chain, label=self.name.removeprefix(f"{CHAIN}/"))

    def parts(self) -> tuple[str, ...]:
        """Return the names of the shifts behind the entry, as they were written."""
        if self.chain is None:
            return (self.name,)
        return tuple(part if isinstance(part, str) else str(part["name"]) for part in self.chain)

    @field_validator("severities")
    @classmethod
    def _sorted(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        return None if value is None else tuple(sorted(set(value)))


def _chain_entry(value: Mapping[str, Any]) -> dict[str, Any]:
    """Name a chain, and give one whose parts all fix their severity a single cell."""
    known = ("chain", "name", "severities")
    for key in value:
        if key not in known:
            raise InputError(
                f"chain: no key {key!r}{did_you_mean(str(key), known)}; it takes {', '.join(known)}, and the "
                "options of a shift stand in its part"
            )
    parts = value["chain"] if isinstance(value["chain"], list | tuple) else [value["chain"]]
    label = value.get("name")
    chain = create_chain(parts, label=None if label is None else str(label).removeprefix(f"{CHAIN}/"))
    severities = value.get("severities")
    if chain.fixed is not None:
        if severities is not None and list(severities) != [chain.fixed]:
            raise InputError(f"{chain.name}: every part fixes its own severity: leave out severities")
        severities = [chain.fixed]
    return {"name": chain.name, "severities": severities, "chain": tuple(parts)}


class ExplainEntry(_Frozen):
    """Which failures are explained, and how; `explain: 12` and `explain: none` are short for it.

    failures: pictures in the gallery; per_cell: at most this many of one cell
    method:   auto takes HiResCAM where the model has gradients, D-RISE or RISE for a black box
    layer:    layer of the model to explain, by its dotted name; found by itself when not given
    budget:   masks of a black-box explanation
    """

    failures: Annotated[int, Field(ge=0)] = 16
    method: Method = "auto"
    layer: str | None = None
    per_cell: Annotated[int, Field(ge=1)] = 2
    budget: Annotated[int, Field(ge=1)] = 200

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if value is None or value is False or value == "none":
            return {"method": "none"}
        if isinstance(value, int) and not isinstance(value, bool):
            return {"failures": value}
        return {"method": value} if isinstance(value, str) else value


class DependabilityEntry(_Frozen):
    """What is kept and measured beside the score; `dependability: none` leaves all of it out.

    embeddings: pictures of a cell whose embedding is kept, evenly over the data set; 0 = none
    flow:       fit a normalizing flow to the clean embeddings too, which takes each worker some seconds
    odin:       pictures of a cell that ODIN is tried on, which costs about four passes of the model each; 0 = none;
                where not given 32, as far as that costs a twentieth of the predictions
    objects:    objects that are explained clean and in `cells` cells, whether they fail or not; 0 = none, as with
                `explain: 0` or for a black box
    """

    on: bool = True
    embeddings: Annotated[int, Field(ge=0)] = 1000
    flow: bool = False
    odin: Annotated[int, Field(ge=0)] | None = None
    objects: Annotated[int, Field(ge=0)] = 6
    cells: Annotated[int, Field(ge=1)] = 4

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if value is None or value == "none":
            return {"on": False}
        return {"on": value} if isinstance(value, bool) else value


class Plan(_Frozen):
    """What one stress run does.

    limit:          source frames, taken evenly over the data set; None = all
    metrics:        names, the first is the headline; empty = all of the task
    scale:          what a severity is: one of five physical values, or what it costs a reference model ("measured")
    calibration:    file of `roadproof shifts calibrate` behind the measured scale
    reference:      what mCE divides by: "alexnet" (published ImageNet-C constants) or the folder of another run
    batch_size:     source frames of one task and of one call of the model
    min_visibility: objects with less of them visible are set aside in the figure beside the headline
    resamples:      bootstrap resamples behind every interval
    predictions:    keep what the model said
    dependability:  calibration, detection of the unknown, explanations by cell; see `DependabilityEntry`
    """

    shifts: tuple[ShiftEntry, ...] = (ShiftEntry(name="all"),)
    severities: tuple[Severity, ...] = (1.0, 2.0, 3.0, 4.0, 5.0)
    seed: int = 0
    limit: Annotated[int, Field(ge=1)] | None = None
    metrics: tuple[str, ...] = ()
    explain: ExplainEntry = ExplainEntry()
    scale: Literal["physical", "measured"] = "physical"
    calibration: Scale | None = None
    reference: str | None = None
    batch_size: Annotated[int, Field(ge=1)] = 4
    min_visibility: Annotated[float, Field(ge=0, le=1)] = 0.3
    resamples: Annotated[int, Field(ge=20)] = 500
    predictions: bool = True
    dependability: DependabilityEntry = DependabilityEntry()

    @field_validator("shifts", "severities", "metrics", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Take one value for a list of one, and `fog,night` for a list of names."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return (value,) if isinstance(value, int | float | Mapping) else value

    @field_validator("calibration", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return Scale.read(value) if isinstance(value, str | Path) else value

    @model_validator(mode="after")
    def _scaled(self) -> Plan:
        if (self.scale == "measured") != (self.calibration is not None):
            raise InputError(
                "plan: scale: measured goes with calibration: FILE, which `roadproof shifts calibrate` writes; "
                f"got scale: {self.scale} {'with' if self.calibration else 'without'} one"
            )
        return self

    @field_validator("severities")
    @classmethod
    def _sorted(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value:
            raise ValueError("expected at least one severity from 1 to 5")
        return tuple(sorted(set(value)))

    @classmethod
    def make(cls, mapping: Mapping[str, Any]) -> Plan:
        """Return the plan of plain values; an unknown key is an error that names the nearest known one.

        >>> Plan.make({"shifts": "fog,night", "severities": [1, 3]}).severities
        (1.0, 3.0)
        """
        for key in mapping:
            if key not in cls.model_fields:
                known = list(cls.model_fields)
                raise InputError(f"plan: no key {key!r}{did_you_mean(str(key), known)}; it takes {', '.join(known)}")
        try:
            return cls.model_validate(dict(mapping))
        except ValidationError as error:
            raise InputError(f"plan: {_reason(error)}") from error

    @classmethod
    def from_yaml(cls, source: str | Path, **overrides: Any) -> Plan:
        """Read a plan from a file (`Path`) or a text; overrides other than None replace its keys."""
        where = f"plan {str(source)!r}" if isinstance(source, Path) else "plan"
        try:
            text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
            mapping = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{where}: cannot be read: {' '.join(str(error).split())}") from error
        if mapping is None:
            mapping = {}
        if not isinstance(mapping, dict):
            raise InputError(f"{where}: expected 'key: value' lines, got {type(mapping).__name__}")
        return cls.make({**mapping, **{key: value for key, value in overrides.items() if value is not None}})

    def plain(self) -> dict[str, Any]:
        """Return the plan as plain values; `Plan.make` takes them back."""
        return self.model_dump(mode="json")

    def entries(self) -> tuple[ShiftEntry, ...]:
        """Return one entry a shift, families and `all` written out; a shift named twice is an error."""
        found: dict[str, ShiftEntry] = {}
        listed: set[str] = set()  # by its own name, which wins over the family's
        for entry in self.shifts:
            broad = entry.name == "all" or entry.name in FAMILIES
            for name in expand(entry.name) if entry.chain is None else [entry.name]:
                if not broad and name in listed:
                    raise InputError(f"plan: shifts: {name!r} is listed twice; list it once with all its severities")
                if name not in listed:
                    found[name] = entry.model_copy(update={"name": name, "severities": self._severities(entry)})
                if not broad:
                    listed.add(name)
        if not found:
            raise InputError("plan: shifts: expected at least one shift, got none; `roadproof shifts` lists them")
        return tuple(found.values())

    def _severities(self, entry: ShiftEntry) -> tuple[float, ...]:
        return self.severities if entry.severities is None else entry.severities

    def create_shifts(self) -> dict[str, AnyShift]:
        """Return every shift and chain of the plan by name, with its options."""
        return {entry.name: entry.create() for entry in self.entries()}

    def cells(self) -> tuple[Cell, ...]:
        """Return the cells of the grid, clean first; without those that no physical severity stands for."""
        return (Cell(CLEAN, 0.0), *(cell for cell in self._grid() if self.physical(cell) is not None))

    def _grid(self) -> list[Cell]:
        return [Cell(entry.name, s) for entry in self.entries() for s in self._severities(entry)]

    def physical(self, cell: Cell) -> float | None:
        """Return the severity that a cell draws with, on the physical scale; None where it cannot be had."""
        if self.calibration is None or cell.shift == CLEAN:
            return cell.severity
        return self.calibration.at(cell.shift, cell.severity)

    def unreachable(self) -> list[Cell]:
        """Return the cells of the measured scale that the shift's physical range does not hold."""
        return [cell for cell in self._grid() if self.physical(cell) is None]


def _reason(error: ValidationError) -> str:
    """Say what the first errors of a validation are, in one line."""
    parts = []
    for item in error.errors()[:3]:
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "value_error" and not where:  # of the plan as a whole: said in full by our own check
            parts.append(item["msg"].removeprefix("Value error, ").removeprefix("plan: "))
            continue
        said = item["msg"].removeprefix("Value error, ")
        parts.append(f"{where}: {said}, got {item['input']!r:.60}")
    return "; ".join(parts)
