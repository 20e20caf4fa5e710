"""Laws of the zoo's networks, their targets and their frames; none needs trained weights."""

import numpy as np
import pytest
import torch

from scenes.errors import InputError
from stress import zoo
from stress.adapters import checked
from stress.zoo.evaluate import classifier_figures, detector_figures, segmenter_figures
from stress.zoo.frames import IGNORE, Frame, augmented
from stress.zoo.losses import Objects, assign, detection_loss, locations
from stress.zoo.models import MODELS, fused, select, shrink
from stress.zoo.networks import Classifier, Detector, Segmenter, decode
from stress.zoo.recipes import ClassifierRecipe, DetectorRecipe, SegmenterRecipe
from stress.zoo.train import learning_rate, train
from stress.zoo.weights import Weights, read_weights, write_weights

NAMES = ("road", "car", "person")
MOST_BYTES = 3_000_000


def frame(seed=0, n=3, size=(360, 640)):
    """Rectangles of one colour a class on grey, with their truth."""
    rng = np.random.default_rng(seed)
    image = np.full((*size, 3), 120, np.uint8)
    pixels = np.zeros(size, np.uint8)
    boxes, labels = [], []
    for k in range(n):
        width, height = (int(v) for v in rng.integers(24, 90, 2))
        x, y = int(rng.integers(0, size[1] - width)), int(rng.integers(0, size[0] - height))
        label = 1 + k % 2
        image[y : y + height, x : x + width] = ((200, 30, 30), (30, 30, 200))[label - 1]
        pixels[y : y + height, x : x + width] = label
        boxes.append([x, y, x + width, y + height])
        labels.append(label)
    return Frame(
        image=image, segmentation=pixels, boxes=np.array(boxes, np.float32), labels=np.array(labels),
        role=np.ones(n, np.int8), judged=np.ones(n, bool),
    )  # fmt: skip


@pytest.mark.core
@pytest.mark.parametrize(
    ("name", "network"), [("detector", Detector), ("segmenter", Segmenter), ("classifier", Classifier)]
)
def test_weights_are_small_and_come_back(tmp_path, name, network):
    torch.manual_seed(0)
    made = network(17 if name == "segmenter" else 8).eval()
    path = write_weights(
        Weights(name=name, classes=tuple(f"c{i}" for i in range(made.n_classes)), network=made), tmp_path
    )
    assert path.stat().st_size <= MOST_BYTES
    back = read_weights(path)
    assert back.classes[-1] == f"c{made.n_classes - 1}"
    for (key, one), two in zip(made.state_dict().items(), back.network.state_dict().values(), strict=True):
        torch.testing.assert_close(one.half().float() if one.is_floating_point() else one, two, msg=key)


@pytest.mark.core
def test_files_of_other_weights_are_named(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"a\.safetensors"):
        read_weights(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="did you mean 'detector'"):
        zoo.load("detecter")


def test_folding_batch_norm_changes_nothing():
    torch.manual_seed(0)
    network = Detector(3).train()
    with torch.no_grad():
        network(torch.rand(2, 3, 64, 96))  # moves the running means
        network.eval()
        batch = torch.rand(1, 3, 64, 96)
        for one, two in zip(network(batch), fused(network)(batch), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)


@pytest.mark.core
def test_decoding_puts_offsets_around_the_centre_of_a_cell():
    raw = torch.zeros(1, 6, 4)
    raw[0, 4] = torch.tensor([0.5, -0.25, np.log(2.0), np.log(3.0)])  # second row, second column of a 2x3 level
    box = decode(raw, 2, 3, 8)[0, 4]
    torch.testing.assert_close(box, torch.tensor([12.0 + 4 - 8, 12.0 - 2 - 12, 12.0 + 4 + 8, 12.0 - 2 + 12]))


@pytest.mark.core
def test_the_best_fitting_locations_of_the_right_place_are_taught():
    points, strides = locations(64, 64, torch.device("cpu"))
    truth = torch.tensor([[[8.0, 8.0, 40.0, 40.0], [44.0, 44.0, 60.0, 60.0], [0, 0, 0, 0]]])
    objects = Objects(boxes=truth, labels=torch.tensor([[0, 1, 0]]), role=torch.tensor([[1, 1, 0]]))
    half = strides[:, None] * 2
    boxes = torch.cat([points - half, points + half], 1)[None]
    target, owner, positive = assign(torch.zeros(1, len(points), 2), boxes, objects, points, strides)
    assert positive.any()
    for i in torch.nonzero(positive[0]).flatten():
        box = truth[0, owner[0, i]]
        assert (points[i] > box[:2]).all()
        assert (points[i] < box[2:]).all()
        assert target[0, i].argmax() == objects.labels[0, owner[0, i]]
    assert (target[0][~positive[0]] == 0).all()
    assert target.max() <= 1


@pytest.mark.core
def test_ignore_regions_teach_nothing():
    """What is predicted inside an ignore region does not change the loss; outside it does."""
    points, strides = locations(64, 64, torch.device("cpu"))
    half = strides[:, None]
    boxes = torch.cat([points - half, points + half], 1)[None]
    region = torch.tensor([[[0.0, 0.0, 32.0, 32.0]]])
    objects = Objects(boxes=region, labels=torch.tensor([[0]]), role=torch.tensor([[-1]]))
    inside = ((points > 0) & (points < 32)).all(1)
    quiet = torch.full((1, len(points), 2), -5.0)
    loud_inside, loud_outside = quiet.clone(), quiet.clone()
    loud_inside[0, inside] = 5.0
    loud_outside[0, ~inside] = 5.0
    base = detection_loss(quiet, boxes, objects, (64, 64))
    torch.testing.assert_close(detection_loss(loud_inside, boxes, objects, (64, 64)), base)
    assert detection_loss(loud_outside, boxes, objects, (64, 64)) > 10 * base


@pytest.mark.core
@pytest.mark.parametrize("seed", range(20))
def test_a_view_moves_boxes_with_pixels(seed):
    view = augmented(frame(seed), (256, 448), np.random.default_rng(seed))
    assert view.image.shape == (256, 448, 3)
    for box, label in zip(view.boxes, view.labels, strict=True):
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        if min(x2 - x1, y2 - y1) >= 6:
            inside = view.segmentation[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2]
            assert np.isin(inside, (1, 2)).all()
            assert (inside == label).any()
    painted = (view.segmentation == 1) | (view.segmentation == 2)
    for y, x in np.argwhere(painted)[::97]:
        near = (view.boxes[:, :2] <= [x + 1.5, y + 1.5]) & (view.boxes[:, 2:] >= [x - 0.5, y - 0.5])
        assert near.all(1).any()


@pytest.mark.core
def test_figures_of_a_perfect_and_of_a_blind_model():
    frames = [frame(seed, 4) for seed in range(3)]

    class Knows:
        name, class_names = "knows", NAMES[1:]

        def __init__(self, task, blind=False):
            self.task, self.blind = task, blind

        def predict(self, images):
            truth = next(f for f in frames if f.image is images[0])
            if self.task == "segmentation":
                return [{"segmentation": np.zeros_like(truth.segmentation, dtype=int) if self.blind else np.maximum(
                    truth.segmentation.astype(int) - 1, 0)}]  # fmt: skip
            n = 0 if self.blind else len(truth.boxes)
            return [{"boxes": truth.boxes[:n], "labels": truth.labels[:n] - 1, "scores": np.full(n, 0.9)}]

    assert detector_figures(checked(Knows("detection")), frames, NAMES)["ap50"] == 1
    assert detector_figures(checked(Knows("detection", blind=True)), frames, NAMES)["ap50"] == 0
    assert segmenter_figures(checked(Knows("segmentation")), frames, NAMES)["miou"] == 1
    assert segmenter_figures(checked(Knows("segmentation", blind=True)), frames, NAMES)["miou"] < 0.5


@pytest.mark.core
def test_objects_that_are_not_judged_change_nothing():
    one = frame(0, 4)
    hidden = Frame(**{**vars(one), "judged": np.array([True, True, False, False])})

    class Finds:
        name, task, class_names = "finds", "detection", NAMES[1:]

        def __init__(self, n):
            self.n = n

        def predict(self, images):
            return [{"boxes": one.boxes[: self.n], "labels": one.labels[: self.n] - 1, "scores": np.full(self.n, 0.9)}]

    for n in (2, 4):
        assert detector_figures(checked(Finds(n)), [hidden], NAMES)["ap50"] == 1


def test_a_picture_of_any_size_is_answered_in_its_own_pixels():
    torch.manual_seed(0)
    for name, network in (("detector", Detector(2)), ("segmenter", Segmenter(2))):
        model = checked(MODELS[name](Weights(name=name, classes=("a", "b"), network=network)))
        for size in ((1, 1), (33, 70), (200, 1500)):
            found = model.predict([np.zeros((*size, 3), np.uint8)])[0]
            if name == "segmenter":
                assert found.segmentation.shape == size
            else:
                assert found.boxes[:, 2].max(initial=0) <= size[1]
                assert found.boxes[:, 3].max(initial=0) <= size[0]
            x1, y1, x2, y2 = model.window(*size)
            factor = shrink(*size)
            batch = model.tensors([np.zeros((*size, 3), np.uint8)])
            assert x2 * batch.shape[3] == pytest.approx(max(1, round(size[1] * factor)))
            assert y2 * batch.shape[2] == pytest.approx(max(1, round(size[0] * factor)))
            assert (x1, y1) == (0, 0)


def test_what_it_says_before_nms_holds_what_it_says_after():
    torch.manual_seed(0)
    model = MODELS["detector"](Weights(name="detector", classes=("a", "b"), network=Detector(2)))
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    logits, boxes = model.dense(model.tensors([image]))
    wanted = select(
        logits[0].detach().sigmoid(), boxes[0].detach().clamp(min=0).minimum(torch.tensor([128.0, 96.0] * 2))
    )
    found = model.predict([image])[0]
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-3)
    assert logits.requires_grad
    assert dict(model.module.named_modules()).keys() >= set(model.explain_layers())


def test_boxes_before_nms_are_in_pixels_of_the_picture_however_large():
    torch.manual_seed(0)
    model = MODELS["detector"](Weights(name="detector", classes=("a", "b"), network=Detector(2)))
    _, boxes = model.dense(model.tensors([np.zeros((640, 2560, 3), np.uint8)]))
    middle = (boxes[0, :, 0] + boxes[0, :, 2]) / 2
    assert middle.max() > 2400


@pytest.mark.core
def test_the_rate_rises_once_and_falls_to_nothing():
    rates = [learning_rate(done) for done in np.linspace(0, 1, 50)]
    top = int(np.argmax(rates))
    assert 0 < top < 10
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)
    assert rates[-1] < 1e-5


def recipes():
    frames = [frame(seed, 6) for seed in range(4)]
    crops = np.stack([np.full((64, 64, 3), value, np.uint8) for value in (20, 40, 200, 220)])
    yield DetectorRecipe(frames.__getitem__, 4, class_names=NAMES, classes=("car", "person"))
    yield SegmenterRecipe(frames.__getitem__, 4, class_names=NAMES, classes=("road", "car"))
    yield ClassifierRecipe(crops, np.array([0, 0, 1, 1]), ("dark", "light"))


def test_batches_follow_from_their_seed():
    for recipe in recipes():
        one, same, other = (recipe.batch(np.random.default_rng([0, step])) for step in (1, 1, 2))
        assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
        assert not torch.equal(one[0], other[0])
    segmenter = list(recipes())[1]
    pixels = segmenter.batch(np.random.default_rng(0))[1]
    assert set(pixels.unique().tolist()) <= {0, 1, IGNORE}  # a class that is not taught is ignored


def test_training_goes_on_where_it_stopped_and_learns(tmp_path):
    recipe = list(recipes())[2]
    said: list[str] = []
    options = {"seed": 0, "start": None, "say": said.append}
    train(recipe, tmp_path, seconds=1.0, **options)
    before = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["progress"]
    network = train(recipe, tmp_path, seconds=6.0, **options)
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["progress"]
    assert any("goes on at step" in line for line in said)
    assert after["step"] > before["step"] > 0
    batch = recipe.batch(np.random.default_rng(5))
    torch.manual_seed(0)
    fresh = recipe.network()
    with torch.no_grad():  # in training mode: six seconds do not settle the running means
        assert recipe.loss(network.train(), batch) < 0.6 * recipe.loss(fresh.train(), batch)


def test_top1_counts_crops():
    crops, labels = [np.full((64, 64, 3), v, np.uint8) for v in (0, 0, 255, 255)], np.array([0, 0, 1, 0])

    class Knows:
        name, task, class_names = "knows", "classification", ("dark", "light")

        def predict(self, images):
            return [{"logits": [0.0, float(image.mean()) - 128]} for image in images]

    figures = classifier_figures(checked(Knows()), crops, labels)
    assert figures["top1"] == 0.75
    assert figures["top1_per_class"] == {"dark": 0.6667, "light": 1.0}
