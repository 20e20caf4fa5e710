"""P, mPC, rPC and mCE by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scenes.errors import InputError
from stress.metrics.robust import ALEXNET_ERROR, Grid, check_alexnet, corruption_error
from stress.plan import Cell

pytestmark = pytest.mark.core
FAMILIES = {"weather/fog": "weather", "weather/rain": "weather", "sensor/noise": "sensor"}


def grid(values, clean=0.8):
    draws = {Cell(shift, float(s)): np.array([v, v]) for (shift, s), v in values.items()}
    return Grid({Cell("clean", 0.0): np.array([clean, clean]), **draws}, FAMILIES)


def test_every_shift_counts_the_same_however_many_severities_it_has():
    found = grid({("weather/fog", 1): 0.6, ("weather/fog", 5): 0.2, ("sensor/noise", 3): 0.8})
    assert found.of_shift("weather/fog")[0] == pytest.approx(0.4)
    assert found.overall()[0] == pytest.approx(0.6)
    assert found.relative(found.overall())[0] == pytest.approx(0.75)


def test_a_family_is_the_mean_over_its_shifts():
    found = grid({("weather/fog", 1): 0.6, ("weather/fog", 5): 0.2, ("weather/rain", 5): 0.8, ("sensor/noise", 1): 0.1})
    assert found.of_family("weather")[0] == pytest.approx(0.6)


def test_breaks_at_the_first_severity_with_less_than_half():
    found = grid({("weather/fog", s): v for s, v in [(1, 0.7), (3, 0.4), (4, 0.39), (5, 0.5)]})
    assert found.breaks_at(["weather/fog"]) == 4.0
    assert grid({("weather/fog", 1): 0.7}).breaks_at(["weather/fog"]) is None
    assert grid({("weather/fog", 1): 0.0}, clean=0.0).breaks_at(["weather/fog"]) is None


def test_monotone_forgives_noise_and_nothing_more():
    assert grid({("weather/fog", 1): 0.5, ("weather/fog", 2): 0.505}).is_monotone("weather/fog")
    assert not grid({("weather/fog", 1): 0.5, ("weather/fog", 2): 0.6}).is_monotone("weather/fog")


def imagenet_grid(error):
    cells = {Cell(shift, float(s)): np.array([1.0 - error(shift)]) for shift in ALEXNET_ERROR for s in range(1, 6)}
    return Grid({Cell("clean", 0.0): np.array([0.7]), **cells}, dict.fromkeys(ALEXNET_ERROR, "imagenet_c"))


def test_alexnet_itself_has_an_mce_of_one_and_half_its_error_is_one_half():
    assert corruption_error(imagenet_grid(lambda shift: ALEXNET_ERROR[shift]))[0][0] == pytest.approx(1.0)
    assert corruption_error(imagenet_grid(lambda shift: ALEXNET_ERROR[shift] / 2))[0][0] == pytest.approx(0.5)
    assert len(ALEXNET_ERROR) == 15


def test_a_model_compared_with_itself_has_an_mce_of_one():
    found = grid({("weather/fog", 1): 0.6, ("weather/fog", 5): 0.2, ("sensor/noise", 3): 0.8})
    reference = {cell: 1.0 - draws[0] for cell, draws in found.draws.items()}
    total, by_shift = corruption_error(found, reference)
    assert total[0] == pytest.approx(1.0)
    assert set(by_shift) == {"weather/fog", "sensor/noise"}


def test_alexnet_constants_are_refused_for_any_other_grid():
    with pytest.raises(InputError, match="alexnet"):
        check_alexnet([Cell("clean", 0.0), Cell("imagenet_c/fog", 1.0)], "classification")
    whole = [Cell(shift, float(s)) for shift in ALEXNET_ERROR for s in range(1, 6)]
    check_alexnet(whole, "classification")
    with pytest.raises(InputError, match="alexnet"):
        check_alexnet(whole, "detection")


def test_a_reference_that_lacks_a_cell_is_an_error():
    with pytest.raises(InputError, match="no figure of weather/fog@3"):
        corruption_error(grid({("weather/fog", 1): 0.6, ("weather/fog", 3): 0.4}), {Cell("weather/fog", 1.0): 0.4})
