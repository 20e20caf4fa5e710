"""The measured scale: isotonic fits against scikit-learn, equal losses, and the calibration of a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

import reports.calibration
import stress
from scenes.errors import InputError
from scenes.plugins import load_attribute
from stress.plan import Cell, Plan
from stress.scale import SCHEMA, Scale, rising, scale_of, severity_of

FAKES = Path(__file__).with_name("fakes.py")
LOSSES = {"weather/fog": [0.0, 0.1, 0.4, 0.6, 0.9], "sensor/motion_blur": [0.3, 0.4, 0.5, 0.6, 0.7]}
fives = st.lists(st.floats(-1, 1), min_size=5, max_size=5)


def fake(name):
    return load_attribute(f"{FAKES}:{name}", what="test part")


def scale(**options):
    return scale_of(LOSSES, model="m", dataset="d", metric="map", **options)


@given(fives)
def test_rising_is_isotonic_regression(values):
    np.testing.assert_allclose(rising(values), IsotonicRegression().fit_transform(range(5), values), atol=1e-6)


@given(fives, st.floats(0, 1))
def test_a_loss_is_met_where_the_inverse_says(values, share):
    loss = rising(values)
    target = loss[0] + share * (loss[-1] - loss[0])
    found = severity_of(loss, target)
    assert found is not None
    assert 1 <= found <= 5
    assert np.interp(found, range(1, 6), loss) == pytest.approx(target, abs=1e-9)


def test_what_is_out_of_reach_has_no_severity():
    assert severity_of(LOSSES["sensor/motion_blur"], 0.2) is None
    assert severity_of(LOSSES["sensor/motion_blur"], 0.8) is None


def test_a_measured_severity_costs_every_shift_the_same():
    found = scale(targets=(0.3, 0.35, 0.4, 0.5, 0.65))
    for severity in (1, 2, 3, 4, 5):
        costs = [np.interp(found.at(name, severity), range(1, 6), loss) for name, loss in LOSSES.items()]
        np.testing.assert_allclose(costs, found.targets[severity - 1], atol=1e-9)
    halfway = found.at("weather/fog", 2.5)
    assert halfway == pytest.approx((found.at("weather/fog", 2) + found.at("weather/fog", 3)) / 2)


def plan_file(folder: Path) -> Path:
    path = folder / "calibration.json"
    found = scale(targets=(0.1, 0.3, 0.4, 0.5, 0.8))
    path.write_text(json.dumps({"schema": SCHEMA, "scale": found.model_dump(mode="json")}))
    return path


def test_a_plan_draws_at_physical_severities_and_leaves_out_what_cannot_be_had(tmp_path):
    path = plan_file(tmp_path)
    plan = Plan.make({"shifts": "fog,motion_blur", "scale": "measured", "calibration": str(path)})
    fog = Cell("weather/fog", 3.0)
    assert plan.physical(fog) == pytest.approx(3.0)
    assert set(plan.unreachable()) == {Cell("sensor/motion_blur", 1.0), Cell("sensor/motion_blur", 5.0)}
    assert not set(plan.unreachable()) & set(plan.cells())
    again = Plan.make(plan.plain())  # what is kept in the run folder needs no file
    path.unlink()
    assert again.cells() == plan.cells()
    assert again.physical(fog) == plan.physical(fog)


def test_wrong_plans_and_files_are_told(tmp_path):
    path = plan_file(tmp_path)
    with pytest.raises(InputError, match="goes with calibration"):
        Plan.make({"scale": "measured"})
    with pytest.raises(InputError, match="goes with calibration"):
        Plan.make({"calibration": str(path)})
    with pytest.raises(InputError, match="not in the calibration"):
        Plan.make({"shifts": "night", "scale": "measured", "calibration": str(path)}).cells()
    path.write_text('{"schema": "other"}')
    with pytest.raises(InputError, match="schema"):
        Scale.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        Scale.read(tmp_path / "none.json")


def test_a_calibration_measures_resumes_and_is_used(tmp_path):
    chosen = {"shifts": "fog,motion_blur", "limit": 6, "pictures": 2, "progress": False}
    found = stress.calibrate(fake("Boxes")(6), fake("Detector")(), tmp_path / "cal", **chosen)
    assert [row["name"] for row in found.summary["shifts"]] == ["weather/fog", "sensor/motion_blur"]
    assert found.summary["n_pictures"] == 2
    assert "known to within" in found.summary["notes"][0]
    for row in found.summary["shifts"]:
        assert len(row["loss"]) == len(row["ms_ssim"]) == len(row["measured"]) == 5
        assert row["loss"][4] > row["loss"][0] - 1e-9
    stamp = (tmp_path / "cal" / "distances" / "weather.fog.json").stat().st_mtime_ns
    again = stress.calibrate(fake("Boxes")(6), fake("Detector")(), tmp_path / "cal", **chosen)
    assert again.summary == found.summary
    assert (tmp_path / "cal" / "distances" / "weather.fog.json").stat().st_mtime_ns == stamp
    page = reports.calibration.write(found.path, found.summary)
    text = page.read_text(encoding="utf-8")
    assert "http://" not in text.split("</style>")[1]
    assert (found.path / "calibration.md").read_text().count("| weather/fog |") == 1
    plan = {
        "shifts": "fog",
        "scale": "measured",
        "calibration": str(found.path / "calibration.json"),
        "explain": "none",
    }
    run = stress.run(fake("Boxes")(6), fake("Detector")(), plan, tmp_path / "run", progress=False).results
    assert any("measured" in note for note in run.summary["notes"])
    assert run.summary["plan"]["scale"] == "measured"


def test_few_frames_are_told(tmp_path):
    """Three frames have no intervals, and no eight pictures."""
    chosen = {"shifts": "fog", "limit": 6, "pictures": 8, "progress": False}
    found = stress.calibrate(fake("Boxes")(3), fake("Detector")(), tmp_path / "cal", **chosen)
    assert found.summary["n_pictures"] == 3
    assert "Too few frames for intervals" in found.summary["notes"][0]
