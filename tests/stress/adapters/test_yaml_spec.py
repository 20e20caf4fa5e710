"""`model.yaml` says what is wrong with it."""

import pytest

from scenes.errors import InputError
from stress.adapters.yaml_spec import beside, read_spec

pytestmark = pytest.mark.core
GOOD = "task: detection\nclasses: [car, bus]\ndecoding: yolo\n"


def test_a_short_file_is_enough_and_classes_may_be_a_file(tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text(GOOD)
    assert read_spec(path).classes == ("car", "bus")
    (tmp_path / "names.txt").write_text("car\n\nbus\n")
    path.write_text(GOOD.replace("[car, bus]", "names.txt"))
    assert read_spec(path).classes == ("car", "bus")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "clases: [a]\n", "did you mean 'classes'"),
        (GOOD + "input: {sise: [1, 2]}\n", r"input\.sise.*did you mean 'size'"),
        (GOOD.replace("yolo", "logits"), "expected yolo, detr or ssd for detection"),
        (GOOD.replace("detection", "detect"), "task"),
        (GOOD.replace("[car, bus]", "[]"), "classes"),
        (GOOD.replace("[car, bus]", "nowhere.txt"), "cannot be read"),
        (GOOD + "input: {range: 2}\n", r"input\.range"),
        (GOOD + "input: {size: 640}\n", r"input\.size"),
        ("task: [\n", "cannot be read"),
        ("- a\n", "expected keys"),
        ("classes: [a]\n", "task: Field required"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    path = tmp_path / "model.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_spec(path)


def test_a_yaml_of_the_same_name_wins(tmp_path):
    weights = tmp_path / "a.onnx"
    assert beside(weights) is None
    (tmp_path / "model.yaml").write_text(GOOD)
    assert beside(weights) == tmp_path / "model.yaml"
    (tmp_path / "a.yaml").write_text(GOOD)
    assert beside(weights) == tmp_path / "a.yaml"
