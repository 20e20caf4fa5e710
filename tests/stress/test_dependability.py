"""Calibration and detection of the unknown in whole runs: blocks, laws of the halves, resume, gate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import stress
from scenes.errors import InputError
from scenes.plugins import load_attribute
from stress.dependability import FEWEST_TO_SPLIT, Halves
from stress.explained_results import explained_block
from stress.gate import Budget, gate
from stress.plan import Plan
from stress.statistics import group_weights

FAKES = Path(__file__).with_name("fakes.py")
PLAN = {"shifts": "fog,motion_blur", "severities": [1, 5], "resamples": 40, "explain": "none"}


def fake(name):
    return load_attribute(f"{FAKES}:{name}", what="test part")


class Soft:
    """A segmenter that gives logits: colours, far too sure, as every eighth column is wrong."""

    name, task, class_names = "soft segmenter", "segmentation", ["car", "person", "sign"]

    def predict(self, images):
        found = [40 * fake("hues")(image).transpose(2, 0, 1) for image in images]
        for planes in found:
            planes[:, :, ::8] = planes[[1, 2, 0], :, ::8]
        return [{"logits": planes} for planes in found]


def go(out, model="Detector", *, n=30, plan=None, **options):
    thing = fake(model)() if isinstance(model, str) else model
    return stress.run(fake("Boxes")(n), thing, {**PLAN, **(plan or {})}, out, progress=False, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return go(tmp_path_factory.mktemp("runs") / "whole")


@pytest.mark.core
def test_a_detector_has_calibration_lrp_and_scores(finished):
    block = finished.results.summary["calibration"]
    assert set(block["metrics"]) == {
        "d_ece", "adaptive_d_ece", "brier", "nll", "lrp", "olrp", "lrp_location", "lrp_invented", "lrp_missed",
    }  # fmt: skip
    rows = {(f["shift"], f["severity"], f["metric"]): f for f in block["figures"] if f["temperature"] is None}
    assert rows["weather/fog", 5, "olrp"]["value"] > rows["clean", 0, "olrp"]["value"]
    assert rows["clean", 0, "olrp"]["n"] == 30
    found = rows["weather/fog", 1, "olrp"]
    assert found["low"] < found["value"] < found["high"]
    recall = finished.results.figure("recall")["value"]
    assert rows["clean", 0, "lrp_missed"]["value"] == pytest.approx(1 - recall, abs=0.05)  # mean over classes, and not
    bins = next(b for b in block["reliability"] if b["shift"] == "clean" and b["temperature"] is None)
    assert sum(bins["count"]) > 30
    assert {len(bins[key]) for key in ("count", "confidence", "right", "low", "high")} == {15}


def test_scores_of_boxes_answer_both_questions(finished):
    block = finished.results.summary["ood"]
    assert {"top_score", "mean_score", "sum_score", "box_score"} == set(block["scores"])  # a black box embeds nothing
    assert any("embedding" in note for note in block["notes"])
    rows = {(f["score"], f["question"], f["shift"], f["severity"]): f for f in block["figures"]}
    assert rows["top_score", "shift", "weather/fog", 5]["auroc"]["value"] > 0.9
    assert rows["top_score", "shift", "weather/fog", 5]["positives"] == 15  # of the half that nothing is fitted on
    overall = {(r["score"], r["question"], r["metric"]): r for r in block["overall"]}
    each = [
        rows["top_score", "shift", s, k]["auroc"]["value"]
        for s in ("weather/fog", "sensor/motion_blur")
        for k in (1, 5)
    ]
    assert overall["top_score", "shift", "auroc"]["value"] == pytest.approx(np.mean(each), abs=1e-5)


def test_a_segmenter_that_is_too_sure_is_cooled(tmp_path):
    found = go(tmp_path / "run", Soft(), n=24).results.summary
    block = found["calibration"]
    assert block["temperature"] > 1
    assert (block["n_fitted"], block["n_judged"]) == (12, 12)
    rows = {(r["metric"], r["temperature"]): r["clean"]["value"] for r in block["overall"]}
    assert rows["nll", "after"] < rows["nll", "before"]
    assert {"msp", "energy", "max_logit"} == set(found["ood"]["scores"])
    assert {f["unit"] for f in found["ood"]["figures"]} == {"frames", "pixels"}


def test_a_label_map_alone_has_no_calibration(tmp_path):
    found = go(tmp_path / "run", "Segmenter", n=6).results.summary
    assert found["calibration"] is None
    assert found["ood"] is None
    assert any("without probabilities" in note for note in found["notes"])


def test_few_groups_fit_nothing_and_say_so(tmp_path):
    found = go(tmp_path / "run", "Classifier", n=FEWEST_TO_SPLIT - 1).results.summary
    assert found["calibration"]["temperature"] is None
    assert not any(f["temperature"] for f in found["calibration"]["figures"])
    assert all(f["value"] is None for f in found["calibration"]["figures"] if f["metric"] == "ece")  # 9 answers
    assert found["ood"]["n_fitted"] == 0
    assert any("groups" in note for note in found["ood"]["notes"])


def test_nothing_is_kept_where_the_plan_leaves_it_out(tmp_path):
    found = go(tmp_path / "run", n=4, plan={"dependability": "none"})
    assert "calibration" not in found.results.summary
    part = next((found.path / "parts").iterdir())
    import pyarrow.parquet as pq

    assert not {"find_scores", "embedding"} & set(pq.read_schema(part).names)


@pytest.mark.parametrize("model", ["Detector", "Classifier"])
def test_a_resumed_run_has_the_same_blocks(tmp_path, model):
    whole = go(tmp_path / "whole", model, n=22).results.summary
    go(tmp_path / "again", model, n=22)
    for victim in ("results.json", "parts/clean-00001.parquet", "parts/weather-fog@5-00003.parquet"):
        (tmp_path / "again" / victim).unlink()
    again = go(tmp_path / "again", model, n=22)
    assert again.resumed
    for key in ("calibration", "ood"):
        assert json.dumps(again.results.summary[key]) == json.dumps(whole[key])


def test_the_halves_are_disjoint_and_belong_to_the_seed():
    one, other = Halves.of(41, 0), Halves.of(41, 1)
    assert one.fit.sum() == 20
    assert one.n_test == 21
    assert (one.fit == Halves.of(41, 0).fit).all()
    assert (one.fit != other.fit).any()
    weights = group_weights(41, 3, seed=0)
    held = one.test(weights)
    assert not held[:, one.fit].any()
    assert (held[:, ~one.fit] == weights[:, ~one.fit]).all()


def test_wrong_keys_of_the_plan_are_told():
    with pytest.raises(InputError, match="dependability"):
        Plan.make({"dependability": {"odin": -1}})
    assert Plan.make({"dependability": False}).dependability.on is False


BUDGET = """
calibration: {olrp: 0.99, d_ece: 0.0001, clean: {nll: 9}, families: {weather: {brier: 0}}}
ood: {top_score: {shift_auroc: 0.5, shift_fpr95: 1}, families: {weather: {top_score: {shift_auroc: 0.6}}}}
"""


def test_a_budget_limits_calibration_and_the_unknown(finished, tmp_path):
    (tmp_path / "budget.yaml").write_text(BUDGET)
    verdict = gate(finished.path, tmp_path / "budget.yaml")
    outcome = {check.name: check.outcome for check in verdict.checks}
    assert outcome == {
        "olrp shifted": "kept",
        "d_ece shifted": "broken",
        "nll clean": "kept",
        "weather brier": "broken",
        "top_score shift auroc": "kept",
        "top_score shift fpr95": "kept",
        "weather top_score shift auroc": "kept",
    }
    assert "wanted at most 0.0001" in next(c.sentence for c in verdict.broken)
    assert "≤ 0.99" in verdict.markdown()
    strict = gate(finished.path, Budget(certain=True, calibration={"olrp": 0.99}))
    assert strict.checks[0].low > strict.checks[0].value  # the bad end of an error is the upper one


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"calibration": {"dece": 0.1}}, "did you mean 'd_ece'"),
        ({"calibration": {"families": {"wether": {"d_ece": 0.1}}}}, "did you mean 'weather'"),
        ({"ood": {"top": {"shift_auroc": 0.5}}}, "has no 'top'"),
        ({"ood": {"top_score": {"auroc": 0.5}}}, "did you mean 'shift_auroc'"),
    ],
)
def test_a_limit_on_what_is_not_there_is_told(finished, budget, said):
    with pytest.raises(InputError, match=said):
        gate(finished.path, Budget.model_validate(budget))


def test_a_run_without_figures_is_told(tmp_path):
    run = go(tmp_path / "run", n=4, plan={"dependability": False})
    with pytest.raises(InputError, match="dependability: none"):
        gate(run.path, Budget(calibration={"d_ece": 0.1}))


class Net:
    """A segmenter with gradients: one convolution that sees colours, behind a map that can be explained."""

    def __new__(cls):
        import torch
        from torch import nn

        from stress.adapters.torch_module import DenseModule

        see = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            see.weight.copy_(2 * torch.eye(3)[:, :, None, None] - 0.66)
            see.bias.zero_()
        network = nn.Sequential(see, nn.ReLU(), nn.Conv2d(3, 3, 1, bias=False))
        with torch.no_grad():
            network[2].weight.copy_(8 * torch.eye(3)[:, :, None, None])
        names = ("car", "person", "sign")
        return DenseModule(network, task="segmentation", name="net", class_names=names, device="cpu")


def explained(out, **options):
    plan = {"explain": 1, "dependability": {"objects": 5, "cells": 3}, **options}
    return go(out, Net(), n=12, plan=plan)


def test_explanations_of_a_few_objects_in_a_few_cells(tmp_path):
    found = explained(tmp_path / "run").results.summary["explanations"]
    assert found["method"] == "hirescam"
    assert len(found["cells"]) == 3
    assert {(o["shift"], o["severity"]) for o in found["objects"] if o["shift"] == "clean"} == {("clean", 0)}
    assert len({o["sample_id"] for o in found["objects"]}) == 5  # one a group as far as they reach
    assert {c["shift"] for c in found["cells"]} == {"weather/fog", "sensor/motion_blur"}  # families in turn
    worst = found["cells"][0]
    assert worst["n"] == 5
    assert worst["deletion"]["value"] is not None
    assert found["cells"][2]["deletion"]["value"] is None  # only in the clean and two shifted cells
    clean = [o for o in found["objects"] if o["shift"] == "clean"]
    assert np.mean([o["energy"] for o in clean]) > 0.5  # it looks where the colour is
    assert np.mean([o["insertion"] - o["deletion"] for o in clean]) > 0
    again = explained(tmp_path / "again").results.summary["explanations"]
    assert json.dumps(again) == json.dumps(found)


def test_nothing_is_explained_where_it_is_not_wanted_or_cannot_be(tmp_path):
    assert explained(tmp_path / "a", explain=0).results.summary["explanations"] is None
    assert explained(tmp_path / "b", explain={"failures": 1, "method": "drise"}).results.summary["explanations"] is None
    found = go(tmp_path / "c", n=6, plan={"explain": 1}).results.summary["explanations"]
    assert found["cells"] == []
    assert "no gradients" in found["notes"][0]


def test_reasons_stand_in_one_order_whichever_worker_is_done_first():
    one, other = [{"reason": "b"}, {"reason": "a"}], [{"reason": "a"}, {"reason": "b"}]
    assert explained_block(one, None, [], 10, 0) == explained_block(other, None, [], 10, 0)


def test_explanations_show_the_model_no_more_pictures_at_once_than_the_run(tmp_path):
    net, most = Net(), []
    predict = net.predict

    def counted(images):
        most.append(len(images))
        return predict(images)

    net.predict = counted
    plan = {"explain": 1, "dependability": {"objects": 1, "cells": 1}, "batch_size": 2}
    assert go(tmp_path / "run", net, n=12, plan=plan).results.summary["explanations"]["objects"]
    assert max(most) == 2


def test_a_mean_says_over_how_many_cells_it_is(finished, tmp_path):
    rows = finished.results.summary["calibration"]["overall"]
    assert {(r["cells"], r["of_cells"]) for r in rows if r["metric"] == "olrp"} == {(4, 4)}
    assert all(r["cells"] <= r["of_cells"] for r in rows)


class Sometimes:
    """A segmenter that gives label maps alone of clean pictures, and logits of shifted ones."""

    name, task, class_names = "sometimes", "segmentation", ["car", "person", "sign"]
    asked = 0

    def predict(self, images):
        found = [40 * fake("hues")(image).transpose(2, 0, 1) for image in images]
        self.asked += len(images)
        clean = self.asked <= 12
        return [{"segmentation": planes.argmax(axis=0)} if clean else {"logits": planes} for planes in found]


def test_what_clean_frames_do_not_have_is_no_figure_of_the_others(tmp_path):
    block = go(tmp_path / "run", Sometimes(), n=12, plan={"batch_size": 12}).results.summary["calibration"]
    row = next(r for r in block["overall"] if r["metric"] == "ece")
    assert row["clean"]["value"] is None
    assert row["difference"]["value"] is None
    assert row["shifted"]["value"] is not None
