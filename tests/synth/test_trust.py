"""Trust: planted hallucinations, omissions and moves are found on the town, where the truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from scenes.edits import Add, Edit, Move, Remove, SetFog
from scenes.errors import InputError
from scenes.sample import Annotations, Image, Predictions, Sample
from scenes.town import TownDataset
from synth.boxworld import box_sample
from synth.trust import Teacher, Thresholds, depth_order, iou, judge, structure_kept

SURE = 0.9


def _knowing(*frames: Sample, names: Sequence[str], forgets: int = 0, only: Sequence[str] = ()) -> Teacher:
    """A teacher that finds exactly what is in the frames it was shown, by their pixels."""

    def find(images: list[Image]) -> list[Predictions]:
        return [_truth(next(f for f in frames if np.array_equal(f.image, image))) for image in images]

    def _truth(frame: Sample) -> Predictions:
        notes = frame.annotations
        kept = ~notes.ignore & (notes.boxes[:, 2:] > notes.boxes[:, :2]).all(axis=1)
        kept[:forgets] = False
        labels = [class_names.index(names[i]) if names[i] in class_names else 0 for i in notes.labels[kept]]
        return Predictions(
            boxes=notes.boxes[kept],
            labels=np.array(labels, np.int64),
            scores=np.full(int(kept.sum()), SURE, np.float32),
        )

    class_names = tuple(only) or tuple(names)
    return Teacher("knowing", class_names, find)


@pytest.fixture(scope="module")
def town() -> tuple[Sample, tuple[str, ...]]:
    data = TownDataset(3, 2, split="test", width=480, height=270)
    return data[data.sample_ids[0]], tuple(data.class_names)


def _edited(sample: Sample, *edits: Edit) -> tuple[Sample, Sample]:
    """Return the frame as it really is after edits, and the same picture under the labels from before."""
    assert sample.scene is not None
    assert sample.camera is not None
    true = sample.scene.render(sample.camera, edits)
    return true, replace(sample, image=true.image)


def _large(sample: Sample, names: Sequence[str], *classes: str) -> list[int]:
    notes = sample.annotations
    rows = [
        row for row in range(len(notes))
        if notes.boxes[row, 3] - notes.boxes[row, 1] >= 24 and not notes.ignore[row]
        and (notes.visibility is None or notes.visibility[row] >= 0.6)
        and (not classes or names[notes.labels[row]] in classes)
    ]  # fmt: skip
    return [int(notes.instance_ids[row]) for row in rows]


def test_an_unchanged_frame_is_kept(town: tuple[Sample, tuple[str, ...]]) -> None:
    sample, names = town
    trust = judge(sample, sample, [_knowing(sample, names=names)], names)
    assert trust.verdict == "keep"
    assert trust.scores["present"] == 1.0
    assert trust.scores["structure"] == pytest.approx(1.0)


def test_fog_that_leaves_things_where_they_are_is_kept(town: tuple[Sample, tuple[str, ...]]) -> None:
    sample, names = town
    true, made = _edited(sample, SetFog(150.0))
    trust = judge(sample, made, [_knowing(sample, true, names=names)], names)
    assert trust.verdict == "keep", trust.reasons


def test_omissions_are_found(town: tuple[Sample, tuple[str, ...]]) -> None:
    sample, names = town
    for gone in _large(sample, names)[:3]:
        true, made = _edited(sample, Remove(gone))
        trust = judge(sample, made, [_knowing(sample, true, names=names)], names)
        fates = {thing.instance_id: thing.fate for thing in trust.objects}
        assert trust.verdict == "drop"
        assert fates[gone] in ("missing", "confused", "moved")


def test_moved_objects_are_found(town: tuple[Sample, tuple[str, ...]]) -> None:
    sample, names = town
    (first, *_) = _large(sample, names, "car", "truck", "bus")
    true, made = _edited(sample, Move(first, x_m=3.0, y_m=3.0))
    trust = judge(sample, made, [_knowing(sample, true, names=names)], names)
    assert {thing.instance_id: thing.fate for thing in trust.objects}[first] in ("moved", "missing")
    assert trust.verdict == "drop"


def test_inventions_are_found(town: tuple[Sample, tuple[str, ...]]) -> None:
    sample, names = town
    assert sample.camera is not None
    eye = np.linalg.inv(sample.camera.world_to_cam)
    place = eye[:3, 3] + 12.0 * eye[:3, 2]
    true, made = _edited(sample, Add("person", float(place[0]), float(place[1])))
    trust = judge(sample, made, [_knowing(sample, true, names=names)], names)
    assert trust.verdict == "drop"
    assert any(new.class_name == "person" and new.reliable for new in trust.invented)


def test_what_no_teacher_saw_is_not_judged(town: tuple[Sample, tuple[str, ...]]) -> None:
    sample, names = town
    true, made = _edited(sample, Remove(int(sample.annotations.instance_ids[0])))
    trust = judge(sample, made, [_knowing(sample, true, names=names, forgets=100)], names)
    assert {thing.fate for thing in trust.objects} == {"unjudged"}
    assert trust.verdict == "keep"


def test_teachers_vote(town: tuple[Sample, tuple[str, ...]]) -> None:
    sample, names = town
    gone = _large(sample, names)[0]
    true, made = _edited(sample, Remove(gone))
    sees, blind = _knowing(sample, true, names=names), _knowing(sample, made, names=names)
    for teachers, verdict in (([sees, sees, blind], "drop"), ([sees, blind, blind], "keep"), ([blind], "keep")):
        assert judge(sample, made, teachers, names).verdict == verdict


def test_classes_that_a_teacher_does_not_know_are_not_judged(town: tuple[Sample, tuple[str, ...]]) -> None:
    sample, names = town
    teacher = _knowing(sample, names=names, only=["car"])
    trust = judge(sample, sample, [teacher], names)
    judged = {thing.instance_id for thing in trust.objects if thing.fate != "unjudged"}
    notes = sample.annotations
    cars = {int(i) for i, label in zip(notes.instance_ids, notes.labels, strict=True) if names[label] == "car"}
    assert judged <= cars
    with pytest.raises(InputError, match="knows none of the classes"):
        judge(sample, sample, [_knowing(sample, names=names, only=["boat"])], names)
    with pytest.raises(InputError, match="at least one teacher"):
        judge(sample, sample, [], names)


def test_pixels_outside_of_an_edit_and_small_things() -> None:
    sample = box_sample(96, 64)
    names = ("car", "person", "truck", "bus", "pole", "tree", "sign", "bicycle")
    nobody = Teacher("nobody", names, lambda images: [_finds(0) for _ in images])
    mask = np.zeros((64, 96), bool)
    mask[10:20, 10:20] = True
    image = sample.image.copy()
    image[mask] = 255 - image[mask]
    assert judge(sample, replace(sample, image=image), [nobody], names, edited=mask).verdict == "keep"
    image[40, 40] ^= 1
    trust = judge(sample, replace(sample, image=image), [nobody], names, edited=mask)
    assert trust.verdict == "drop"
    assert "1 pixels changed outside" in trust.reasons[0]
    small = Teacher("small", names, lambda images: [_finds(index) for index in range(len(images))])
    bare = replace(sample, annotations=Annotations())
    assert judge(bare, bare, [small], names).verdict == "flag"


def _finds(count: int) -> Predictions:
    boxes = np.array([[1, 1, 6, 9]], np.float32)[:count]
    return Predictions(boxes=boxes, labels=np.zeros(count, np.int64), scores=np.full(count, 0.8, np.float32))


def test_structure_is_blind_to_contrast_and_sees_other_pictures() -> None:
    rng = np.random.default_rng(0)
    blurred = [cv2.GaussianBlur(rng.integers(0, 256, (120, 160, 3), np.uint8), (0, 0), 3) for _ in range(2)]
    first, other = (cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX) for image in blurred)
    dark = (first // 4 + 20).astype(np.uint8)
    assert structure_kept(first, first) == pytest.approx(1.0)
    assert structure_kept(first, dark) > 0.9
    assert abs(structure_kept(first, other)) < 0.15
    assert structure_kept(np.zeros_like(first), other) == 1.0


def test_order_of_depths() -> None:
    near = np.tile(np.linspace(1, 50, 80, dtype=np.float32), (40, 1))
    assert depth_order(near, near**2) == pytest.approx(1.0)
    assert depth_order(near, near[:, ::-1].copy()) == pytest.approx(-1.0)
    assert depth_order(near, np.ones_like(near)) == 1.0


def test_overlap_is_that_of_two_boxes() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [0, 0, 0, 0]], np.float32)
    assert iou(boxes, np.array([0, 0, 2, 2], np.float32)).tolist() == pytest.approx([1.0, 1 / 7, 0.0, 0.0])


def test_the_verdict_is_plain_values(town: tuple[Sample, tuple[str, ...]]) -> None:
    import json

    sample, names = town
    plain = judge(sample, sample, [_knowing(sample, names=names)], names, limits=Thresholds(score=0.1)).as_plain()
    assert json.loads(json.dumps(plain)) == plain
