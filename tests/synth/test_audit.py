"""The label audit: geometry alone, one verdict for each object, and contrast that never touches the verdict."""

from __future__ import annotations

import inspect
import time
from dataclasses import replace

import numpy as np
import pytest

from scenes.sample import Annotations, Sample
from synth import audit as module
from synth.audit import apply_verdicts, audit, contrast
from synth.boxworld import box_sample
from synth.relabel import covered, note

pytestmark = pytest.mark.core


def _square(*, value: int = 200, around: int = 100, size: int = 40, **fields: object) -> Sample:
    """A square object of one grey in the middle of another."""
    image = np.full((100, 100, 3), around, np.uint8)
    image[30 : 30 + size, 30 : 30 + size] = value
    mask = np.zeros((1, 100, 100), np.bool_)
    mask[0, 30 : 30 + size, 30 : 30 + size] = True
    box = np.array([[30, 30, 30 + size, 30 + size]], np.float32)
    notes = Annotations(boxes=box, labels=np.array([0]), masks=mask)
    return replace(Sample(sample_id="square", image=image, annotations=notes), **fields)  # type: ignore[arg-type]


def test_nothing_changed_keeps_everything() -> None:
    sample = box_sample(160, 90)
    for verdict in audit(sample, sample):
        row = sample.annotations.instance_ids.tolist().index(verdict.instance_id)
        seen = sample.annotations.masks is not None and bool(sample.annotations.masks[row].any())
        assert verdict.kind == ("kept" if seen else "invalid")
        assert not verdict.hard_to_see


@pytest.mark.parametrize("hidden_rows", [4, 10, 20, 38])
@pytest.mark.parametrize("with_masks", [True, False])
@pytest.mark.parametrize("with_visibility", [True, False])
def test_the_visible_fraction_is_what_is_left(hidden_rows: int, with_masks: bool, with_visibility: bool) -> None:
    sample = _square()
    notes = sample.annotations
    if not with_masks:
        notes = replace(notes, masks=None)
        sample = replace(sample, instances=np.where(_square().annotations.masks[0], 1, 0))  # type: ignore[index]
    if with_visibility:
        notes = replace(notes, visibility=np.array([0.5], np.float32))
    sample = replace(sample, annotations=notes)
    cover = np.zeros((100, 100), np.bool_)
    cover[30 : 30 + hidden_rows] = True
    after = covered(sample, sample.image, cover)
    (verdict,) = audit(sample, after)
    assert verdict.kind == "occluded"
    assert verdict.visible_fraction == pytest.approx(1 - hidden_rows / 40, abs=1e-6)
    assert after.annotations.boxes[0].tolist() == [30, 30 + hidden_rows, 70, 70]


def test_hidden_left_and_destroyed_objects_are_invalid_and_ignored() -> None:
    sample = _square()
    gone = covered(sample, sample.image, np.ones((100, 100), np.bool_))
    notes = replace(sample.annotations, boxes=np.array([[120, 30, 160, 70]], np.float32), masks=None)
    outside = replace(sample, annotations=notes)
    destroyed = note(sample, "destroyed", {1: "burnt"})
    for after in (gone, outside, destroyed):
        verdicts = audit(sample, after)
        assert [v.kind for v in verdicts] == ["invalid"]
        assert verdicts[0].visible_fraction == 0
        assert verdicts[0].reason
        assert apply_verdicts(after, verdicts).annotations.ignore.tolist() == [True]
        assert after.annotations.ignore.tolist() == [False]  # the input is left as it was
    assert audit(sample, destroyed)[0].reason == "burnt"


def test_an_edit_is_a_modification_only_in_the_step_that_made_it() -> None:
    sample = _square()
    edited = note(sample, "edited", {1: "repainted"})
    assert audit(sample, edited)[0].kind == "modified"
    assert audit(edited, replace(edited, image=255 - edited.image))[0].kind == "kept"


def test_objects_that_moved_are_modified_unless_the_camera_did() -> None:
    sample = box_sample(160, 90)
    notes = sample.annotations
    moved = replace(notes, boxes=np.clip(notes.boxes + 5, 0, [160, 90, 160, 90]).astype(np.float32))
    after = replace(sample, annotations=moved)
    seen = [v for v in audit(sample, after) if v.kind != "invalid"]
    assert {v.kind for v in seen} == {"modified"}
    assert sample.camera is not None
    elsewhere = replace(sample.camera, K=sample.camera.K * [[1.01], [1.01], [1]])
    assert {v.kind for v in audit(sample, replace(after, camera=elsewhere)) if v.kind != "invalid"} == {"kept"}


def test_new_objects_are_kept() -> None:
    sample = _square()
    notes = sample.annotations
    more = replace(
        notes,
        boxes=np.concatenate([notes.boxes, [[1, 1, 9, 9]]]),
        labels=np.array([0, 1]),
        instance_ids=np.array([1, 7]),
        ignore=np.zeros(2, np.bool_),
        masks=None,
        attributes=({}, {}),
    )
    assert [v.kind for v in audit(sample, replace(sample, annotations=more))] == ["kept", "kept"]


def test_contrast_is_weber_for_a_flat_object() -> None:
    """For one grey on another in linear light the root mean square departure is the Weber contrast."""
    from synth.radiometry import to_linear

    for value, around in ((200, 100), (60, 120), (255, 5)):
        levels = to_linear(np.array([value, around], np.uint8)[:, None].repeat(3, axis=1))[:, 0]
        wanted = abs(levels[0] - levels[1]) / (levels[1] + module.VEILING_GLARE)
        assert contrast(_square(value=value, around=around), 0) == pytest.approx(float(wanted), rel=0.06)


def test_fog_until_nothing_is_left_makes_hard_to_see_but_never_invalid() -> None:
    sample = _square()
    found = []
    for left in (1.0, 0.5, 0.2, 0.05, 0.01):
        grey = 150 + left * (sample.image.astype(np.float32) - 150)
        (verdict,) = audit(sample, replace(sample, image=grey.astype(np.uint8)))
        assert verdict.kind == "kept"
        assert verdict.visible_fraction == 1
        found.append(verdict.hard_to_see)
    assert found == sorted(found)
    assert not found[0]
    assert found[-1]


def test_what_was_never_visible_is_not_blamed_on_the_shift() -> None:
    sample = _square(value=101)
    after = replace(sample, image=sample.image + np.uint8(20))
    assert not audit(sample, after)[0].hard_to_see


def test_marking_objects_hard_to_see_ignores_none_of_them() -> None:
    sample = _square()
    after = replace(sample, image=np.full_like(sample.image, 120))
    verdicts = audit(sample, after)
    assert verdicts[0].hard_to_see
    assert apply_verdicts(after, verdicts) is after


def test_the_audit_cannot_see_predictions() -> None:
    assert list(inspect.signature(audit).parameters) == ["before", "after"]
    assert "Predictions" not in inspect.getsource(module)


def test_the_number_of_verdicts_must_match() -> None:
    with pytest.raises(ValueError, match="expected 1"):
        apply_verdicts(_square(), ())


def test_a_frame_takes_milliseconds() -> None:
    sample = box_sample(640, 360)
    after = replace(sample, image=255 - sample.image)
    audit(sample, after)
    start = time.process_time()
    for _ in range(5):
        audit(sample, after)
    assert (time.process_time() - start) / 5 < 0.03


def test_every_verdict_has_a_reason() -> None:
    from synth.pipeline import shifted
    from synth.registry import create

    sample = box_sample(160, 90, seed=2)
    for name in ("weather/fog", "occlusion/pole", "occlusion/vehicle", "pose/yaw", "context/misplaced", "shape/lens"):
        verdicts = shifted(sample, create(name), 4, seed=1).verdicts
        assert len(verdicts) >= len(sample.annotations)
        assert all(verdict.reason for verdict in verdicts), name


def test_what_hides_an_object_is_said_in_the_step_that_does() -> None:
    sample = _square()
    cover = np.zeros((100, 100), np.bool_)
    cover[30:50] = True
    hidden = note(covered(sample, sample.image, cover), "hidden_by", {1: "a pole stands before it"})
    assert audit(sample, hidden)[0].reason == "50% of what was visible is left: a pole stands before it"
    cover[50:60] = True
    more = covered(hidden, hidden.image, cover)
    (verdict,) = audit(hidden, more)
    assert verdict.visible_fraction == pytest.approx(0.5)
    assert "pole" not in verdict.reason


def test_objects_that_left_the_frame_are_told_from_hidden_ones() -> None:
    from synth.pose.camera import turned
    from synth.reproject import reproject

    sample = box_sample(320, 180, seed=1)
    sample = replace(sample, annotations=replace(sample.annotations, boxes_amodal=None), scene=None)
    assert sample.camera is not None
    found = {}
    for degrees in (70.0, -70.0):
        after = reproject(sample, turned(sample.camera, yaw_deg=degrees))
        found[degrees] = audit(sample, after)
    seen = set(sample.annotations.instance_ids[sample.annotations.boxes[:, 2] > 0].tolist())
    gone = [v for verdicts in found.values() for v in verdicts if v.kind == "invalid" and v.instance_id in seen]
    assert len(gone) == 2 * len(seen)
    assert {v.reason for v in gone} == {"it is out of the frame"}
    cover = np.ones((180, 320), np.bool_)
    hidden = audit(sample, covered(sample, sample.image, cover))
    assert {v.reason for v in hidden} == {"no pixel of it is visible"}
