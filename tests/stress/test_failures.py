"""Failures: only what the shift caused, and a choice that shows variety."""

from __future__ import annotations

import pyarrow as pa
import pytest

from stress.failures import Failure, candidates, choose
from stress.metrics.scored import ObjectRow, Scored
from stress.parts import PartRow
from stress.plan import Cell

pytestmark = pytest.mark.core
FOG = Cell("weather/fog", 3.0)


def table(*objects):
    rows = [PartRow(index=0, sample_id="a", scored=Scored(quantities={}, payload={}, objects=objects)).plain()]
    return pa.Table.from_pylist(rows)


def seen(i, outcome, *, score=0.9, iou=0.9, box=(0.0, 0.0, 40.0, 40.0), **more):
    """One true object."""
    given = {"verdict": "kept", "visible_fraction": 1.0, "predicted_class": "car", **more}
    return ObjectRow(instance_id=i, class_name="car", box=box, outcome=outcome, score=score, iou=iou, **given)


def extra(outcome, *, score=0.8, box=(100.0, 0.0, 140.0, 40.0)):
    return ObjectRow(
        instance_id=0, class_name="car", box=box, outcome=outcome, predicted_class="car", score=score, iou=0.0
    )


def found(clean, shifted):
    return candidates("detection", FOG, table(*clean), table(*shifted), ["car"])


def test_what_was_missed_already_is_no_failure_of_the_shift():
    assert found([seen(1, "missed")], [seen(1, "missed")]) == []
    assert found([seen(1, "found")], [seen(1, "found")]) == []
    assert found([seen(1, "found")], [seen(1, "ignored", verdict="invalid", visible_fraction=0.0)]) == []


def test_each_kind_has_its_loss():
    (missed,) = found([seen(1, "found", score=0.9)], [seen(1, "missed", score=0.2)])
    assert (missed.failure, round(missed.loss, 6)) == ("missed", 0.7)
    (confused,) = found([seen(1, "found", score=0.9)], [seen(1, "confused", score=0.7, predicted_class="van")])
    assert (confused.predicted_class, round(confused.loss, 6)) == ("van", 0.8)
    (misplaced,) = found([seen(1, "found", score=0.8)], [seen(1, "misplaced", score=0.9, iou=0.25)])
    assert round(misplaced.loss, 6) == 0.6
    (invented,) = found([], [extra("invented", score=0.8)])
    assert (invented.failure, round(invented.loss, 6)) == ("invented", 0.8)


def test_a_find_that_the_clean_picture_has_too_is_not_new():
    assert found([extra("invented", score=0.8)], [extra("invented", score=0.8)]) == []
    (more,) = found([extra("invented", score=0.6)], [extra("invented", score=0.8)])
    assert round(more.loss, 6) == 0.2


def test_objects_in_plain_sight_come_before_small_and_hidden_ones():
    clean = [seen(1, "found"), seen(2, "found"), seen(3, "found")]
    shifted = [
        seen(1, "missed", score=0.0, visible_fraction=0.3),
        seen(2, "missed", score=0.0),
        seen(3, "missed", score=0.0, box=(0.0, 0.0, 6.0, 6.0)),
    ]
    assert found(clean, shifted)[0].instance_id == 2


def failure(cell, sample, kind="missed", interest=0.5):
    return Failure(cell, 0, sample, kind, "car", None, 1, None, 1.0, 0.0, None, interest, interest)


def test_the_choice_is_spread_over_shifts_and_samples_and_keeps_the_cap_of_a_cell():
    cells = [Cell("weather/fog", 5.0), Cell("lighting/night", 5.0), Cell("sensor/noise", 1.0)]
    many = [failure(cells[0], f"s{i}", interest=0.9 - 0.001 * i) for i in range(20)]
    rest = [failure(cells[1], "s0", interest=0.6), failure(cells[2], "s1", interest=0.5, kind="invented")]
    chosen = choose(many + rest, 4, per_cell=2)
    assert {f.cell for f in chosen} == set(cells)
    assert sum(f.cell == cells[0] for f in chosen) == 2
    assert [f.loss for f in chosen] == sorted((f.loss for f in chosen), reverse=True)
    assert choose(many + rest, 4, per_cell=2) == choose((many + rest)[::-1], 4, per_cell=2)


def test_a_region_is_ranked_by_the_pixels_that_are_newly_wrong_not_by_the_false_finds_of_its_class():
    def counts(*rows):
        flat = [pixels for row in rows for pixels in (*row, 0)]
        return pa.table({"sample_id": ["a"], "index": [0], "confusion": pa.array([flat], pa.list_(pa.int64()))})

    clean = counts((700, 0, 0), (0, 200, 0), (0, 0, 100))
    # road takes 150 pixels of wall; 1 pixel of sign goes; sign's IoU suffers most, from 90 false finds on road
    shifted = counts((610, 0, 90), (150, 50, 0), (0, 1, 99))
    ranked = candidates("segmentation", FOG, clean, shifted, ["road", "wall", "sign"])
    assert [(f.class_name, f.predicted_class) for f in ranked] == [("wall", "road"), ("road", "sign")]
    assert ranked[0].loss == pytest.approx(150 / 200)
    assert candidates("segmentation", FOG, shifted, shifted, ["road", "wall", "sign"]) == []
