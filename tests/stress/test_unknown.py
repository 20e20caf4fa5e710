"""Detectors on embeddings against pytorch-ood's, embeddings read while predicting, and both questions in a run."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_ood.detector import KNN, ODIN, EnergyBased, ReAct, ViM
from torch import nn

import stress
from scenes.errors import InputError
from scenes.plugins import load_attribute
from stress.adapters import load_model
from stress.adapters.checked import checked
from stress.adapters.torch_module import DenseModule, DetectionModule
from stress.detectors import fit_detectors
from stress.embedding import Recorder, last_linear, odin_scores
from stress.keeping import evenly

FAKES = Path(__file__).with_name("fakes.py")
PICTURES = [np.random.default_rng(i).integers(0, 255, (64, 64, 3)).astype(np.uint8) for i in range(6)]


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU())
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))


def small():
    return checked(
        DenseModule(Small(), task="classification", name="small", class_names=("car", "person", "sign"), device="cpu")
    )


def read(model, pictures=PICTURES):
    recorder = Recorder(model)
    with recorder.recording():
        model.predict(list(pictures))
    return recorder.vectors(pictures)


def test_a_classifiers_embedding_is_what_its_last_layer_gets():
    model = small()
    vectors = read(model)
    layer = last_linear(model)
    with torch.no_grad():
        logits = layer(torch.from_numpy(vectors)).numpy()
    np.testing.assert_allclose(logits, [p.logits for p in model.predict(PICTURES)], atol=1e-5)


@pytest.mark.parametrize("name", ["detector", "segmenter", "classifier"])
def test_the_zoo_is_read_while_it_predicts(name):
    model = load_model(f"zoo:{name}")
    vectors = read(model)
    np.testing.assert_allclose(vectors, model.embed(PICTURES), rtol=1e-4, atol=1e-5)


class Pyramid(nn.Module):
    """A detector of torchvision's conventions whose backbone gives several levels."""

    def __init__(self, calls=1):
        super().__init__()
        self.backbone, self.calls = _Levels(), calls

    def forward(self, images):
        for image in images:
            for _ in range(self.calls):
                self.backbone(image[None])
        empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long), "scores": torch.zeros(0)}
        return [empty for _ in images]


class _Levels(nn.Module):
    def forward(self, x):
        fine = nn.functional.avg_pool2d(x, 8)
        return OrderedDict(fine=fine, coarse=2 * nn.functional.avg_pool2d(fine, 2))


def detector(**options):
    return checked(DetectionModule(Pyramid(**options), name="pyramid", class_names=("car",), device="cpu"))


def test_the_last_level_of_a_backbone_is_averaged_over_the_frame():
    vectors = read(detector())
    np.testing.assert_allclose(vectors, [2 * p.mean((0, 1)) / 255 for p in PICTURES], rtol=1e-4)


def test_a_module_that_runs_more_than_once_a_picture_gives_no_embedding():
    assert read(detector(calls=2)) is None


def test_a_black_box_is_asked_only_if_it_embeds():
    box = checked(load_attribute(f"{FAKES}:Detector", what="test part")())
    assert not Recorder(box).able
    box.model.embed = lambda images: [[i.mean(), i.std()] for i in images]
    recorder = Recorder(box)
    assert recorder.vectors(PICTURES).shape == (6, 2)
    assert last_linear(box) is None


def test_odin_is_pytorch_oods():
    model = small()
    wanted = [float(ODIN(model.module, eps=0.0014).predict(model.tensors([p]))[0]) for p in PICTURES]
    np.testing.assert_allclose(odin_scores(model, PICTURES), wanted, atol=1e-6)
    assert all(p.requires_grad for p in model.module.parameters())
    assert odin_scores(load_attribute(f"{FAKES}:Classifier", what="test part")(), PICTURES) is None


def test_detectors_are_pytorch_oods_and_tell_what_is_far_from_near():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 3
    fit = (rng.normal(0, 1, (200, 8)) + 3 * np.eye(3, 8)[labels]).astype(np.float32)
    near = fit + rng.normal(0, 0.1, fit.shape).astype(np.float32)
    far = fit + np.float32(12) * np.eye(8, dtype=np.float32)[7]
    head = nn.Linear(8, 3)
    found = fit_detectors(fit, labels, head)
    assert set(found) == {"knn", "mahalanobis", "vim", "react"}
    z, y = torch.from_numpy(fit), torch.from_numpy(labels)
    knn = KNN(None, k=20).fit_features(z, y)
    vim = ViM(None, d=4, w=head.weight, b=head.bias).fit_features(z, y)
    react = ReAct(None, lambda x: x @ head.weight.T + head.bias, detector=EnergyBased.score).fit_feature_maps(z, y)
    x = torch.from_numpy(far)
    np.testing.assert_allclose(found["knn"](far), knn.predict_features(x).numpy(), rtol=1e-6)
    np.testing.assert_allclose(found["vim"](far), vim.predict_features(x).numpy(), rtol=1e-5)
    np.testing.assert_allclose(found["react"](far), react.predict_feature_maps(x).detach().numpy(), rtol=1e-5)
    for name in ("knn", "mahalanobis"):
        assert np.median(found[name](far)) > np.quantile(found[name](near), 0.95), name


def test_mahalanobis_holds_with_more_dimensions_than_frames_and_a_missing_class():
    rng = np.random.default_rng(1)
    fit = rng.normal(0, 1, (40, 300)).astype(np.float32)
    found = fit_detectors(fit, np.where(np.arange(40) < 20, 0, 5), None)
    assert set(found) == {"knn", "mahalanobis"}
    assert np.isfinite(found["mahalanobis"](fit)).all()
    same = np.ones((40, 5), np.float32)  # a model whose features have died
    assert np.isfinite(fit_detectors(same, np.zeros(40, int), None)["mahalanobis"](same)).all()


def test_a_flow_finds_what_is_far_and_is_the_same_every_time():
    rng = np.random.default_rng(2)
    fit = rng.normal(0, 1, (120, 6)).astype(np.float32)
    labels = np.zeros(120, int)
    score = fit_detectors(fit, labels, None, flow=True)["flow"]
    assert np.median(score(fit + 4)) > np.quantile(score(rng.normal(0, 1, (120, 6)).astype(np.float32)), 0.9)
    np.testing.assert_array_equal(score(fit), fit_detectors(fit, labels, None, flow=True)["flow"](fit))
    assert "flow" not in fit_detectors(fit[:50], labels[:50], None, flow=True)


def test_pictures_are_chosen_evenly_and_all_where_there_are_few():
    chosen = [i for i in range(1000) if evenly(i, 50, 1000)]
    assert len(chosen) == 50
    assert set(np.diff(chosen)) == {20}
    assert all(evenly(i, 50, 30) for i in range(30))
    assert not any(evenly(i, 0, 30) for i in range(30))


def test_both_questions_are_answered_in_a_run(tmp_path):
    boxes = load_attribute(f"{FAKES}:Boxes", what="test part")(60)
    plan = {"shifts": "fog", "severities": [5], "resamples": 30, "explain": "none", "dependability": {"odin": 60}}
    found = stress.run(boxes, small(), plan, tmp_path / "run", progress=False).results.summary["ood"]
    assert (found["n_fitted"], found["n_judged"]) == (30, 30)
    rows = {(f["score"], f["question"], f["shift"]): f for f in found["figures"]}
    assert {"msp", "energy", "max_logit", "odin", "knn", "mahalanobis", "vim", "react"} == set(found["scores"])
    knn = rows["knn", "shift", "weather/fog"]
    assert (knn["positives"], knn["negatives"]) == (30, 30)
    assert knn["auroc"]["value"] > 0.7  # even a net without training sees that everything is grey
    assert knn["auroc"]["n"] == 30
    assert not any(key[1] == "shift" and key[2] == "clean" for key in rows)
    failure = rows["msp", "failure", "clean"]
    assert failure["positives"] + failure["negatives"] == 30


def test_vim_measures_in_units_of_what_frames_leave_out_and_not_of_rounding():
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    head = nn.Linear(512, 10)
    near = np.abs(rng.normal(size=(40, 512))).astype(np.float32)  # fewer frames than principal directions of the paper
    others = np.abs(rng.normal(size=(40, 512))).astype(np.float32)
    vim = fit_detectors(near, rng.integers(0, 10, 40), head)["vim"]
    assert np.abs(vim(others)).max() < 100 * np.abs(vim(near)).max()


def test_mahalanobis_holds_where_every_class_has_one_frame():
    rng = np.random.default_rng(0)
    near = rng.normal(size=(80, 12)).astype(np.float32)
    of_one = fit_detectors(near, np.zeros(80, int), None)["mahalanobis"]
    of_each = fit_detectors(near, np.arange(80), None)["mahalanobis"]
    np.testing.assert_allclose(of_each(near + 5), of_one(near + 5), rtol=1e-6)


class Odd(nn.Module):
    """A classifier that calls its last layer by keyword, on which hooks of the input see nothing."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(input=x.mean((2, 3)))


def test_what_cannot_be_read_disturbs_no_prediction_and_a_model_that_embeds_is_asked_instead():
    model = checked(
        DenseModule(Odd(), task="classification", name="odd", class_names=("car", "person", "sign"), device="cpu")
    )
    assert read(model) is None
    model.model.embed = lambda images: np.array([[i.mean()] for i in images])
    assert read(model).shape == (6, 1)


class Fickle:
    """A detector of nothing whose embedding is of two widths, and which breaks at will."""

    name, task, class_names = "fickle", "detection", ("car", "person", "sign")
    error = None

    def predict(self, images):
        return [{"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int), "scores": np.zeros(0)} for _ in images]

    def embed(self, images):
        if self.error is not None:
            raise self.error
        return np.stack([np.full(4 + int(image.mean()) % 2, image.mean()) for image in images])


def test_embeddings_of_another_width_are_none_and_an_embed_that_fails_is_told(tmp_path):
    data = load_attribute(f"{FAKES}:Boxes", what="test part")(60)
    plan = {"shifts": ["night"], "severities": [1, 5], "resamples": 20, "batch_size": 1, "explain": 0}
    found = stress.run(data, Fickle(), plan, tmp_path / "run", progress=False).results.summary
    assert found["ood"] is not None
    broken = Fickle()
    broken.error = KeyError("no such layer")
    with pytest.raises(InputError, match="embeddings: 0"):
        stress.run(data, broken, plan, tmp_path / "broken", progress=False)
    broken.embed = lambda images: [1.0 for _ in images]
    with pytest.raises(InputError, match=r"expected shape \(1, D\).*got \(1,\)"):
        stress.run(data, broken, plan, tmp_path / "flat", progress=False)
    broken.embed = lambda images: np.zeros((len(images), 100_000))
    with pytest.raises(InputError, match="D up to 16,384"):
        stress.run(data, broken, plan, tmp_path / "wide", progress=False)
    plan["dependability"] = {"embeddings": 0}
    assert stress.run(data, broken, plan, tmp_path / "without", progress=False).path.exists()
