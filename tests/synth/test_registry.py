"""The doors by which shifts come in, and what each says when it stays shut."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenes.errors import InputError
from synth import registry
from synth.contracts import check_shift_laws
from synth.registry import catalogue, create, expand, register, resolve, shift_classes
from synth.shift import FAMILIES, SeverityTable
from synth.weather.fog import Fog

pytestmark = pytest.mark.core

PLUGIN = '''
from __future__ import annotations
from dataclasses import dataclass, replace
from typing import ClassVar
import numpy as np
from synth.shift import SeverityTable


@dataclass(frozen=True)
class DimParams:
    gain: float


@dataclass(frozen=True)
class Dim:
    """Fewer photons."""

    name: ClassVar[str] = "NAME"
    family: ClassVar[str] = "sensor"
    needs: ClassVar[frozenset] = frozenset()
    changes: ClassVar[str] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable("gain", "1", (0.9, 0.8, 0.7, 0.5, 0.3), "made up")
    params_type: ClassVar[type] = DimParams

    floor: int = 0

    def draw(self, sample, severity, rng):
        return DimParams(gain=self.table.at(severity))

    def apply(self, sample, params):
        return replace(sample, image=np.maximum(sample.image * params.gain, self.floor).astype(np.uint8))


number = 7
'''


@pytest.fixture(autouse=True)
def own_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a test registers out of the others."""
    shift_classes()
    monkeypatch.setattr(registry, "_SHIFTS", dict(registry._SHIFTS))


def _plugin(folder: Path, name: str, stem: str) -> Path:
    path = folder / f"{stem}.py"
    path.write_text(PLUGIN.replace("NAME", name))
    return path


def test_a_file_is_a_door_and_the_laws_hold_for_what_comes_in(tmp_path: Path) -> None:
    path = _plugin(tmp_path, "sensor/file_dim", "dim_by_file")
    shift = create(f"{path}:Dim", {"floor": 3})
    assert shift.name == "sensor/file_dim"
    assert "sensor/file_dim" in shift_classes()
    assert resolve("file_dim") is type(shift)
    check_shift_laws(shift)


def test_a_module_is_a_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _plugin(tmp_path, "sensor/module_dim", "dim_by_module")
    monkeypatch.syspath_prepend(tmp_path)
    assert expand("dim_by_module:Dim") == ["sensor/module_dim"]
    assert create("sensor/module_dim").name == "sensor/module_dim"


def test_entry_points_are_a_door_and_a_broken_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = _plugin(tmp_path, "sensor/point_dim", "dim_by_point")
    cls = resolve(f"{path}:Dim")
    registry._SHIFTS.pop("sensor/point_dim")

    class Point:
        value = "somewhere:Dim"

        def __init__(self, found: Any) -> None:
            self.found = found

        def load(self) -> Any:
            if isinstance(self.found, Exception):
                raise self.found
            return self.found

    points = [Point(cls)]
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points if group == "roadproof.shifts" else [])
    registry._load_all.cache_clear()
    assert "sensor/point_dim" in shift_classes()
    points[0] = Point(ImportError("no such thing"))
    registry._load_all.cache_clear()
    with pytest.raises(InputError, match=r"somewhere:Dim.*no such thing"):
        shift_classes()
    monkeypatch.undo()
    registry._load_all.cache_clear()


def test_two_shifts_cannot_share_a_name(tmp_path: Path) -> None:
    path = _plugin(tmp_path, "weather/fog", "second_fog")
    path.write_text(path.read_text().replace('"sensor"', '"weather"'))
    with pytest.raises(InputError, match=r"second_fog\.py offers it, but synth\.weather\.fog already does"):
        resolve(f"{path}:Dim")
    assert resolve("fog") is Fog


def test_registering_the_same_class_again_is_no_matter() -> None:
    assert register(Fog) is Fog


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("table: ClassVar[SeverityTable] = SeverityTable", "other: ClassVar[SeverityTable] = SeverityTable"),
            "missing",
        ),
        (('family: ClassVar[str] = "sensor"', 'family: ClassVar[str] = "wether"'), "family: expected one of"),
        (('"sensor/broken"', '"broken"'), "expected 'sensor/NAME'"),
        (("@dataclass(frozen=True)\nclass Dim:", "class Dim:"), "dataclass"),
        (
            ('SeverityTable("gain", "1", (0.9, 0.8, 0.7, 0.5, 0.3), "made up")', "(1, 2, 3, 4, 5)"),
            "expected a SeverityTable",
        ),
    ],
)
def test_what_does_not_follow_the_protocol_is_told_how(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    path = _plugin(tmp_path, "sensor/broken", f"broken_{abs(hash(words)) % 10**6}")
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(InputError, match=re.escape(words)):
        resolve(f"{path}:Dim")


def test_what_is_no_class_is_no_shift(tmp_path: Path) -> None:
    path = _plugin(tmp_path, "sensor/number", "number_plugin")
    with pytest.raises(InputError, match="expected a class, got int"):
        resolve(f"{path}:number")


@pytest.mark.parametrize(
    ("typed", "meant"), [("weather/fgo", "weather/fog"), ("rian", "rain"), ("motion_blurr", "motion_blur")]
)
def test_an_unknown_name_gets_the_nearest_known_one(typed: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"did you mean '{meant}'"):
        resolve(typed)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("fog", {"layer_m": "thick"}, "layer_m: expected a number or nothing, got 'thick'"),
        ("fog", {"layer_m": float("nan")}, "expected a number or nothing, got nan"),
        ("fog", {"layer_m": -20}, "layer_m: expected 0.1 to 100000 m, got -20"),
        ("rain", {"wet_ground": "no"}, "wet_ground: expected true or false, got 'no'"),
        ("rain", {"exposure_ms": 0}, "exposure_ms: expected 0.001 to 1000 ms, got 0"),
        ("dust", {"ochre": 3}, "ochre: expected 0 to 1, got 3"),
        ("object_bulge", {"min_side_px": 2.5}, "min_side_px: expected a whole number, got 2.5"),
        ("fourier_style", {"styles": 4}, "styles: expected a text, got 4"),
    ],
)
def test_an_option_of_the_wrong_kind_is_refused_before_a_run(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=re.escape(told)):
        create(name, options)


def test_options_of_the_right_kind_are_taken() -> None:
    create("fog", {"layer_m": 20})
    create("fog", {"layer_m": None})
    create("fog", {"layer_m": np.float32(20)})
    create("fourier_style", {"styles": Path()})


def test_an_unknown_option_gets_the_nearest_known_one() -> None:
    with pytest.raises(InputError, match="did you mean 'exposure_ms'"):
        create("rain", {"exposure": 5})
    with pytest.raises(InputError, match="it takes none"):
        create("pixelation", {"size": 3})


def test_a_bare_name_never_means_a_published_corruption() -> None:
    assert resolve("fog").name == "weather/fog"
    assert resolve("noise").name == "sensor/noise"


def test_families_and_all_expand() -> None:
    assert set(expand("weather")) >= {"weather/fog", "weather/rain", "weather/snow"}
    assert all(not name.startswith("imagenet_c/") for name in expand("all"))
    assert expand("fog") == ["weather/fog"]
    families = [name.split("/")[0] for name in shift_classes()]
    assert families == sorted(families, key=FAMILIES.index)


def test_the_catalogue_says_everything_in_plain_values() -> None:
    rows = catalogue()
    assert json.loads(json.dumps(rows)) == rows
    assert [row["name"] for row in rows] == list(shift_classes())
    for row in rows:
        assert row["source"], row["name"]
        assert row["quantity"], row["name"]
        assert row["description"], row["name"]
        assert len(row["values"]) == 5
    rain = next(row for row in rows if row["name"] == "weather/rain")
    assert {"name": "wet_ground", "default": True} in rain["options"]
    assert rain["needs"] == ["camera", "depth"]


@pytest.mark.parametrize("interpolate", ["linear", "reciprocal", "log"])
def test_tables_meet_their_values_and_rise_between_them(interpolate: Any) -> None:
    table = SeverityTable("x", "m", (1.0, 2.0, 5.0, 9.0, 30.0), "made up", interpolate)
    assert [table.at(s) for s in (1, 2, 3, 4, 5)] == [1.0, 2.0, 5.0, 9.0, 30.0]
    between = [table.at(1 + 0.25 * i) for i in range(17)]
    assert between == sorted(between)
    for wrong in (0.5, 5.5, -1):
        with pytest.raises(InputError, match="severity"):
            table.at(wrong)
