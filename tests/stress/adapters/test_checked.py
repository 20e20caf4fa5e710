"""Whatever a model returns comes out as Predictions or as an error that names model, image, field, wanted and got."""

import numpy as np
import pytest
import torch

from scenes.errors import InputError
from scenes.sample import Predictions
from stress.adapter import ModelAdapter
from stress.adapters import checked

pytestmark = pytest.mark.core
IMAGE = np.zeros((4, 6, 3), np.uint8)
BOX = [[0, 0, 2, 2]]


class Model:
    name = "mine"
    class_names = ("car", "bus")

    def __init__(self, task, answer):
        self.task, self.answer = task, answer

    def predict(self, images):
        if isinstance(self.answer, Exception):
            raise self.answer
        return [self.answer for _ in images]


def test_any_class_with_four_members_is_an_adapter():
    model = checked(Model("detection", {"boxes": BOX, "labels": [1], "scores": [0.5]}))
    assert isinstance(model, ModelAdapter)
    assert checked(model) is model
    answers = model.predict([IMAGE, IMAGE])
    assert len(answers) == 2
    assert isinstance(answers[0], Predictions)


def test_lists_and_tensors_become_the_same_arrays():
    lists = {"boxes": BOX, "labels": [1], "scores": [0.5]}
    tensors = {
        "boxes": torch.tensor(BOX, dtype=torch.bfloat16),
        "labels": torch.tensor([1], dtype=torch.int32),
        "scores": torch.tensor([0.5], requires_grad=True),
    }
    one, two = (checked(Model("detection", answer)).predict([IMAGE])[0] for answer in (lists, tensors))
    for field in ("boxes", "labels", "scores"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
        assert getattr(one, field).dtype == getattr(two, field).dtype


def test_no_object_is_an_answer():
    found = checked(Model("detection", {"boxes": [], "labels": [], "scores": []})).predict([IMAGE])[0]
    assert found.boxes.shape == (0, 4)


def test_the_hundred_best_objects_are_kept_best_first():
    scores = np.random.default_rng(0).permutation(150) / 150
    answer = {"boxes": np.tile(BOX, (150, 1)), "labels": np.zeros(150, int), "scores": scores}
    found = checked(Model("detection", answer)).predict([IMAGE])[0]
    np.testing.assert_allclose(found.scores, np.sort(scores)[::-1][:100], rtol=1e-6)


def test_logits_alone_give_probabilities_and_labels():
    logits = np.array([1.0, 3.0])
    found = checked(Model("classification", {"logits": logits})).predict([IMAGE])[0]
    np.testing.assert_allclose(found.probabilities, torch.tensor(logits).softmax(0).numpy(), rtol=1e-6)
    dense = np.random.default_rng(0).normal(size=(2, 4, 6))
    found = checked(Model("segmentation", {"logits": dense})).predict([IMAGE])[0]
    np.testing.assert_array_equal(found.segmentation, dense.argmax(0))


WRONG = [
    ("detection", {"boxes": BOX, "labels": [1]}, "no scores"),
    (
        "detection",
        {"boxes": [[0, 0, 1]], "labels": [1], "scores": [0.1]},
        r"boxes: expected shape \(N, 4\), got \(1, 3\)",
    ),
    ("detection", {"boxes": BOX, "labels": [2], "scores": [0.1]}, "labels: expected class indices 0 to 1, got 2"),
    ("detection", {"boxes": BOX, "labels": [0.5], "scores": [0.1]}, "labels: expected whole numbers"),
    ("detection", {"boxes": BOX, "labels": [0, 1], "scores": [0.1]}, r"labels: expected shape \(1,\), got \(2,\)"),
    ("detection", {"boxes": BOX, "labels": [0], "scores": [1.5]}, r"scores: expected values in \[0, 1\]"),
    ("detection", {"boxes": BOX, "labels": [0], "scores": [np.nan]}, "scores: expected finite"),
    ("detection", {"boxes": [[3, 0, 1, 2]], "labels": [0], "scores": [0.1]}, "x1 <= x2"),
    ("detection", {"bboxes": BOX, "labels": [0], "scores": [0.1]}, "did you mean 'boxes'"),
    ("detection", {"boxes": BOX, "labels": ["car"], "scores": [0.1]}, "labels: expected numbers"),
    ("detection", {"boxes": [[0, 0], [1]], "labels": [0], "scores": [0.1]}, "ragged"),
    (
        "detection",
        {"boxes": BOX, "labels": [0], "scores": [0.1], "masks": np.zeros((1, 2, 2))},
        "masks: expected shape",
    ),
    ("detection", [1, 2], "answer: expected Predictions or a dictionary"),
    ("segmentation", {"segmentation": np.zeros((6, 4), int)}, r"shape \(4, 6\), got \(6, 4\)"),
    ("segmentation", {"segmentation": np.full((4, 6), 7)}, "class indices 0 to 1, got 7"),
    ("segmentation", {"logits": np.zeros((3, 4, 6))}, r"logits: expected shape \(2, 4, 6\)"),
    ("segmentation", {}, "expected segmentation, logits or probabilities"),
    ("classification", {"logits": np.zeros(3)}, r"logits: expected shape \(2,\), got \(3,\)"),
    ("classification", {"probabilities": [0.9, 0.9]}, "sum of 1"),
    ("classification", {"labels": [1]}, "logits or probabilities, got only labels"),
]


@pytest.mark.parametrize(("task", "answer", "message"), WRONG)
def test_nonsense_is_named(task, answer, message):
    with pytest.raises(InputError, match=message) as caught:
        checked(Model(task, answer)).predict([IMAGE])
    assert "model 'mine'" in str(caught.value)
    assert "image 0" in str(caught.value)


def test_the_sample_is_named_where_it_is_known():
    with pytest.raises(InputError, match="sample 'town/7'"):
        checked(Model("classification", {})).predict([IMAGE], sample_ids=["town/7"])


def test_a_model_that_raises_is_one_clear_line():
    with pytest.raises(
        InputError, match=r"'mine' raised KeyError in predict of 1 image \(adapters/test_checked\.py:\d+ in predict\)"
    ) as caught:
        checked(Model("detection", KeyError("weights\nmissing"))).predict([IMAGE])
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("answers", [{"boxes": BOX}, None, [1, 2, 3]])
def test_one_answer_an_image(answers):
    model = Model("detection", None)
    model.predict = lambda images: answers
    with pytest.raises(InputError, match="predict: expected"):
        checked(model).predict([IMAGE])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "detektion"}, "did you mean 'detection'"),
        ({"name": ""}, "name: expected"),
        ({"class_names": "car"}, "class_names: expected"),
        ({"class_names": []}, "class_names: expected"),
        ({"class_names": [1]}, "class_names: expected names"),
        ({"predict": None}, "method predict"),
    ],
)
def test_members_are_checked(change, message):
    model = Model("detection", None)
    for member, value in change.items():
        setattr(model, member, value)
    with pytest.raises(InputError, match=message):
        checked(model)


def test_a_class_instead_of_an_instance_and_a_missing_member_are_named():
    with pytest.raises(InputError, match="call it first"):
        checked(Model)
    with pytest.raises(InputError, match="no 'name'"):
        checked(object())


def test_optional_members_shine_through():
    model = Model("detection", None)
    model.explain_layers = lambda: ["a"]
    assert checked(model).explain_layers() == ["a"]
    assert not hasattr(checked(model), "embed")
