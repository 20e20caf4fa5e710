"""Trainings: what is learned, what is kept, resume, and trainings that go wrong."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenes.errors import InputError
from stress import zoo
from stress.adapters.checked import checked
from stress.adapters.torchvision import adapt
from stress.training.fitting import Material, fit
from stress.training.learners import learner_of
from stress.training.pictures import Frames, recoloured, varied, view, view_size
from stress.training.settings import Settings, kept, learning_rate
from stress.training.trained import install, load, save

spec = importlib.util.spec_from_file_location("material", Path(__file__).with_name("material.py"))
material = importlib.util.module_from_spec(spec)
spec.loader.exec_module(material)


def taught(model, data, *, validation=(), colours=0.0, weights=None, ids=None):
    ids = ids or [name for name in data.sample_ids if name not in validation]
    frames = Frames(data, model.class_names)
    return Material(frames, ids, weights or [1.0] * len(ids), list(validation), colours=colours, name="test")


def tiny(kind="TinySegmenter"):
    return checked(getattr(material, kind)())


def state(model):
    return {k: v.clone() for k, v in model.module.state_dict().items()}


def test_a_segmenter_learns_and_its_best_weights_are_kept():
    model, data = tiny(), material.boxes(10)
    curve = fit(model, taught(model, data, validation=data.sample_ids[:3]), Settings(steps=60, rate=0.02), seed=0)
    assert len(curve.loss) == 60
    assert curve.checks == [0, 6, 12, 18, 24, 30, 36, 42, 48, 54, 60]
    assert np.mean(curve.loss[-5:]) < 0.5 * np.mean(curve.loss[:5])
    assert curve.best == curve.checks[1:][int(np.argmin(curve.validation[1:]))]
    sample = data[data.sample_ids[0]]
    said = model.predict([sample.image])[0].segmentation
    assert (said == sample.annotations.segmentation).mean() > 0.9
    assert not model.module.training


def test_one_seed_one_result_and_another_seed_another():
    found = []
    for seed in (0, 0, 1):
        model, data = tiny(), material.boxes(6)
        torch.rand(3)  # what the program around has drawn does not matter
        fit(model, taught(model, data, colours=0.5), Settings(steps=6), seed=seed)
        found.append(state(model))
    assert all(torch.equal(found[0][k], found[1][k]) for k in found[0])
    assert any(not torch.equal(found[0][k], found[2][k]) for k in found[0])


def test_a_training_leaves_the_random_state_of_the_program_alone():
    model, data = tiny(), material.boxes(3)
    torch.manual_seed(5)
    wanted = torch.rand(2)
    torch.manual_seed(5)
    fit(model, taught(model, data), Settings(steps=1), seed=0)
    assert torch.equal(torch.rand(2), wanted)


class Stopped(Exception):
    pass


@pytest.mark.core
def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path):
    data, settings = material.boxes(8), Settings(steps=30, rate=0.01, checks=3)
    whole = tiny()
    wanted = fit(whole, taught(whole, data, validation=data.sample_ids[:2]), settings, seed=3)

    def stop(step, steps):
        if step == 27:
            raise Stopped

    checkpoint = tmp_path / "checkpoint.pt"
    half = tiny()
    with pytest.raises(Stopped):
        fit(
            half,
            taught(half, data, validation=data.sample_ids[:2]),
            settings,
            seed=3,
            checkpoint=checkpoint,
            report=stop,
        )
    again = tiny()
    steps = []
    curve = fit(
        again, taught(again, data, validation=data.sample_ids[:2]), settings, seed=3, checkpoint=checkpoint,
        report=lambda step, _: steps.append(step),
    )  # fmt: skip
    assert steps[0] == 26  # of 25 that were saved
    assert curve.plain() == wanted.plain()
    assert all(torch.equal(a, b) for a, b in zip(state(again).values(), state(whole).values(), strict=True))


def test_a_loss_that_is_no_number_is_an_error(tmp_path):
    model, data = tiny("Diverging"), material.boxes(4)
    with pytest.raises(InputError, match=r"'test' with seed 4 diverged at step 1: its loss is no number.*lower --rate"):
        fit(model, taught(model, data), Settings(steps=5), seed=4, checkpoint=tmp_path / "c.pt")
    assert not (tmp_path / "c.pt").exists()


def test_a_loss_that_grows_without_bound_is_an_error():
    model, data = tiny(), material.boxes(4)
    with pytest.raises(InputError, match="diverged at step"):
        fit(model, taught(model, data), Settings(steps=400, rate=1e4), seed=0)


def test_patience_stops_what_gets_no_better():
    model, data = tiny(), material.boxes(6)
    settings = Settings(steps=200, rate=0.5, checks=40, patience=3)
    curve = fit(model, taught(model, data, validation=data.sample_ids[:2]), settings, seed=0)
    assert curve.stopped is not None
    assert curve.stopped < 200
    assert len(curve.loss) == curve.stopped


def test_a_set_of_one_picture_is_enough_to_run_and_one_without_labels_is_an_error():
    model = tiny()
    curve = fit(model, taught(model, material.Frames([material.frame()])), Settings(steps=2), seed=0)
    assert curve.validation == []
    blank = material.frame()
    blank = replace(blank, annotations=replace(blank.annotations, segmentation=None))
    with pytest.raises(InputError, match="none of the frames of test has a segmentation of a class"):
        fit(model, taught(model, material.Frames([blank])), Settings(steps=2), seed=0)


def test_weights_say_how_often_a_picture_is_seen():
    model, data = tiny(), material.boxes(4)
    known = taught(model, data, weights=[0.0, 1.0, 0.0, 3.0])
    seen = []
    frames = known.frames
    counted = replace(known, frames=lambda name: (seen.append(name), frames(name))[1])
    fit(model, counted, Settings(steps=50), seed=0)
    assert set(seen) == {data.sample_ids[1], data.sample_ids[3]}
    assert 0.65 < seen.count(data.sample_ids[3]) / len(seen) < 0.85


@pytest.mark.parametrize("name", ["detector", "segmenter", "classifier"])
def test_the_zoo_is_trained_and_predicts_with_its_new_weights(name):
    model = checked(zoo.load(name))
    names = ("car", "person", "traffic sign", "road")
    data = material.Frames([material.frame(str(i), size=(64, 64)) for i in range(3)], names)
    picture = data["0"].image
    before = model.predict([picture])[0]
    curve = fit(model, taught(model, data, colours=1.0), Settings(steps=2, batch=2, rate=0.01), seed=0)
    after = model.predict([picture])[0]
    assert np.isfinite(curve.loss).all()
    field = {"detector": "scores", "segmenter": "logits", "classifier": "logits"}[name]
    one, two = getattr(before, field), getattr(after, field)
    assert one.shape != two.shape or not np.allclose(one, two)


def test_adapters_have_fit():
    model, data = (
        torchvision_model("segmentation"),
        material.Frames([material.frame(str(i)) for i in range(8)], material.NAMES),
    )
    curve = model.fit(data, steps=2, batch=2, seed=1)
    assert len(curve.loss) == 2
    assert len(curve.validation) == 3
    assert callable(zoo.load("detector").fit)


def torchvision_model(kind):
    from torchvision import models

    names = ("car", "person", "sign")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "detection":
            module = models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4)
        elif kind == "segmentation":
            module = models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)
        else:
            module = models.shufflenet_v2_x0_5(weights=None, num_classes=3)
    return checked(adapt(module, name=f"torchvision {kind}", class_names=names, device="cpu"))


@pytest.mark.parametrize("kind", ["detection", "segmentation", "classification"])
def test_torchvision_models_are_trained(kind):
    model = torchvision_model(kind)
    data = material.Frames([material.frame(str(i)) for i in range(3)], material.NAMES)
    before = state(model)
    curve = fit(model, taught(model, data, validation=["2"]), Settings(steps=2, batch=2), seed=0)
    assert len(curve.loss) == 2
    assert np.isfinite([*curve.loss, *curve.validation]).all()
    changed = [k for k, v in state(model).items() if not torch.equal(v, before[k])]
    assert changed
    assert not any("running" in k for k in changed)  # batches of two say little of the statistics of batch norm


def test_what_cannot_be_trained_is_told_how_it_could_be():
    with pytest.raises(InputError, match=r"'a table' cannot be trained here: it has no torch `module`; give --trainer"):
        learner_of(tiny("Untrainable"))


def test_trained_weights_are_saved_and_taken_as_a_model(tmp_path):
    model, data = tiny(), material.boxes(4)
    fit(model, taught(model, data), Settings(steps=3), seed=0)
    base = {"spec": f"{Path(material.__file__)}:TinySegmenter", "options": {}}
    save(tmp_path, model, base=base, about={"name": "better"})
    again = load(str(tmp_path), device="cpu")
    assert again.name == "better"
    picture = data[data.sample_ids[0]].image
    assert np.allclose(again.predict([picture])[0].logits, model.predict([picture])[0].logits)
    assert np.allclose(install(material.TinySegmenter(), tmp_path / "weights.safetensors").predict([picture])[0].logits,
                       model.predict([picture])[0].logits)  # fmt: skip


def test_weights_with_nan_and_folders_without_a_card_are_refused(tmp_path):
    model = tiny()
    with torch.no_grad():
        model.module[0].weight[0] = float("nan")
    (tmp_path / "x").mkdir()
    save(tmp_path / "x", model, base={"spec": None, "options": {}}, about={})
    with pytest.raises(InputError, match=r"NaN or infinity .*the training diverged"):
        install(material.TinySegmenter(), tmp_path / "x" / "weights.safetensors")
    with pytest.raises(InputError, match=r"no trained\.json there"):
        load(str(tmp_path), device="cpu")


def test_the_rate_warms_up_and_falls_and_the_average_follows():
    rates = [learning_rate(i, 100, 1.0) for i in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert kept(5, 10) <= 0.5
    assert kept(10_000, 100_000) <= 0.998


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"steps": 0}, "steps: expected at least 1"), ({"rate": -1.0}, "rate: expected"), ({"rate": float("nan")}, "rate"),
     ({"batch": 0}, "batch"), ({"patience": 0}, "patience")],
)  # fmt: skip
def test_settings_are_checked(wrong, told):
    with pytest.raises(InputError, match=told):
        Settings(**wrong)


def test_views_keep_boxes_on_their_objects():
    data = material.Frames([material.frame()])
    frame, _ = Frames(data, material.PIXELS)("a")
    for seed in range(40):
        seen = view(frame, (32, 32), np.random.default_rng(seed), colours=False)
        assert seen.image.shape == (32, 32, 3)
        for box in seen.boxes:
            x1, y1, x2, y2 = (int(v) for v in (*np.ceil(box[:2]), *np.floor(box[2:])))
            inside = seen.image[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].reshape(-1, 3)
            assert not len(inside) or (inside[:, 0] > 200).all()


def test_standard_augmentation_and_sizes():
    image = np.full((20, 30, 3), 120, np.uint8)
    assert np.array_equal(recoloured(image, np.random.default_rng(1)), recoloured(image, np.random.default_rng(1)))
    assert varied(image, (64, 48), np.random.default_rng(0), colours=True).shape == (64, 48, 3)
    assert view_size(np.zeros((1, 1, 3), np.uint8)) == (32, 32)
    assert view_size(np.zeros((2160, 3840, 3), np.uint8)) == (512, 512)
