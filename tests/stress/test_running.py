"""A whole run on a small data set: resume, executors, what is left out, errors."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import stress
from scenes.errors import InputError
from scenes.plugins import load_attribute
from stress.folder import RunFolder
from stress.plan import Cell
from stress.saved_predictions import read_predictions

FAKES = Path(__file__).with_name("fakes.py")
TABLES = ("rows", "objects", "samples", "cells")
PLAN = {
    "shifts": "fog,motion_blur",
    "severities": [1, 5],
    "resamples": 40,
    "explain": {"failures": 3, "method": "none"},
}


def fake(name):
    return load_attribute(f"{FAKES}:{name}", what="test part")


def go(out, *, model="Detector", plan=None, n=9, **options):
    options.setdefault("progress", False)
    data = options.pop("data") if "data" in options else fake("Boxes")(n)
    return stress.run(data, fake(model)() if isinstance(model, str) else model, plan or PLAN, out, **options)


def content(run):
    """Everything of a run that must not depend on how it came about."""
    summary = json.loads((run / "results.json").read_text())
    for key in ("created", "run"):
        del summary[key]
    for entry in summary["gallery"]:
        del entry["command"]  # names the folder
    tables = {name: (run / f"{name}.parquet").read_bytes() for name in TABLES}
    evidence = {p.name: p.read_bytes() for p in (run / "evidence").iterdir() if p.suffix != ".json"}
    parts = {p.name: pq.read_table(p).to_pylist() for p in (run / "parts").iterdir()}
    return summary, tables, evidence, parts


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    go(out)
    return out


@pytest.mark.core
@pytest.mark.parametrize(("model", "metric"), [("Detector", "map"), ("Segmenter", "miou"), ("Classifier", "accuracy")])
def test_each_task_gives_a_finished_run(tmp_path, model, metric):
    found = go(tmp_path / "run", model=model).results
    assert found.headline["metric"] == metric
    assert 0.8 < found.headline["clean"]["value"] <= 1.0
    assert found.headline["rpc"]["value"] < 1.0
    assert found.headline["clean"]["low"] is not None
    assert {f["family"] for f in found.summary["families"]} == {"weather", "sensor"}
    assert found.figure(metric, shift="weather/fog", severity=5)["delta"] <= 0
    assert found.summary["gallery"]
    for entry in found.summary["gallery"]:
        assert (found.path / entry["clean"]).is_file()
        assert (found.path / entry["shifted"]).is_file()
    losses = [entry["loss"] for entry in found.summary["gallery"]]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.core
def test_tables_hold_a_row_for_each_sample_and_cell(finished):
    found = stress.read(finished)
    samples = found.table("samples")
    assert samples.num_rows == 9 * 5
    params = [json.loads(text) for text in samples.column("params").to_pylist()]
    assert all(p == {} for p, s in zip(params, samples.column("shift").to_pylist(), strict=True) if s == "clean")
    assert all(p for p, s in zip(params, samples.column("shift").to_pylist(), strict=True) if s != "clean")
    clean = [r for r in found.objects.to_pylist() if r["shift"] == "clean" and r["verdict"]]
    assert len(clean) == found.summary["dataset"]["n_objects"]
    rows = [r for r in found.rows.to_pylist() if r["quantity"] == "found"]
    assert len(rows) == 9 * 5
    said = read_predictions(RunFolder(finished).predictions(Cell("clean", 0.0), 0))
    assert len(said) == 4
    assert all(p["boxes"].shape == (len(p["scores"]), 4) for p in said.values())


@pytest.mark.core
def test_a_run_resumed_from_any_rest_is_the_same_bytes(finished, tmp_path):
    """Half of the parts taken away, one damaged, a temporary file left: as a kill leaves it."""
    import shutil

    out = tmp_path / "again"
    shutil.copytree(finished, out)
    for name in (*(f"{t}.parquet" for t in TABLES), "results.json"):
        (out / name).unlink()
    for path in sorted((out / "parts").iterdir())[::2]:
        path.unlink()
    damaged = sorted((out / "parts").iterdir())[0]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 3] ^= 0xFF
    damaged.write_bytes(bytes(data))
    (out / "parts" / ".tmp-1-left").write_bytes(b"half")
    assert go(out).resumed
    assert content(out) == content(finished)
    assert not list(out.rglob(".tmp-*"))


@pytest.mark.core
def test_a_finished_run_is_not_done_again(finished):
    before = (finished / "results.json").stat().st_mtime_ns
    found = go(finished)
    assert found.resumed
    assert found.already_done
    assert (finished / "results.json").stat().st_mtime_ns == before


@pytest.mark.core
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plan": {**PLAN, "seed": 3}}, r"another run.*plan\.seed is 0 there, 3 here"),
        ({"n": 8}, r"another run.*n_samples is 9 there, 8 here"),
        ({"model": "Segmenter"}, r"another run.*model"),
    ],
)
def test_another_plan_data_set_or_model_in_the_folder_is_an_error(finished, changes, message):
    with pytest.raises(InputError, match=message):
        go(finished, **changes)


@pytest.mark.parametrize("part", ["model", "shift", "depth"])
def test_an_edited_file_is_another_run(tmp_path, part):
    own = {name: tmp_path / f"own_{name}.py" for name in ("model", "shift", "depth")}
    own["model"].write_text(f"import sys\nsys.path.append({str(FAKES.parent)!r})\nfrom fakes import Detector\n")
    own["shift"].write_text(f"import sys\nsys.path.append({str(FAKES.parent)!r})\nfrom fakes import FailsOnce\n")
    own["depth"].write_text("import numpy as np\ndef flat(image):\n    return np.full(image.shape[:2], 9.0)\n")
    plan = {**PLAN, "shifts": [f"{own['shift']}:FailsOnce", "fog"], "severities": [1]}
    arguments = (f"{FAKES}:boxes", f"{own['model']}:Detector", plan, tmp_path / "run")
    options = {"depth": f"{own['depth']}:flat", "workers": 1, "progress": False}
    assert not stress.run(*arguments, **options).already_done
    assert stress.run(*arguments, **options).already_done
    own[part].write_text(own[part].read_text() + "# edited\n")
    with pytest.raises(InputError, match=rf"another run: .*own_{part}\.py is"):
        stress.run(*arguments, **options)


def test_a_folder_with_other_files_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("\\end")
    with pytest.raises(InputError, match="other files"):
        go(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_worker_processes_give_the_same_bytes(tmp_path):
    arguments = (f"{FAKES}:boxes", f"{FAKES}:Detector", PLAN)
    stress.run(*arguments, tmp_path / "one", workers=1, progress=False)
    stress.run(*arguments, tmp_path / "two", workers=2, progress=False)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_killed_while_working_it_resumes_to_the_same(tmp_path):
    """SIGKILL in the middle, from outside; then the same call."""
    script = tmp_path / "script.py"
    plan = {**PLAN, "severities": [1, 2, 3, 4, 5]}
    named = f"{str(FAKES) + ':boxes'!r}, {str(FAKES) + ':Slow'!r}, {plan!r}, {str(tmp_path / 'killed')!r}"
    script.write_text(f"import stress\nstress.run({named}, workers=1, progress=False)\n")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(FAKES.parents[2]), os.environ.get("PYTHONPATH", "")]),
    }
    process = subprocess.Popen([sys.executable, str(script)], env=environment)
    parts = tmp_path / "killed" / "parts"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and (not parts.is_dir() or len(list(parts.glob("*.parquet"))) < 5):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(parts.glob("*.parquet")))
    assert 5 <= done < 33
    arguments = (f"{FAKES}:boxes", f"{FAKES}:Slow", plan)
    assert stress.run(*arguments, tmp_path / "killed", workers=1, progress=False).resumed
    stress.run(*arguments, tmp_path / "whole", workers=1, progress=False)
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_a_second_run_in_the_folder_leaves_the_first_alone(tmp_path):
    met = []

    def meanwhile(stage, done, total):
        if stage == "pictures" and done and not met:
            half = tmp_path / "run" / "parts" / ".tmp-1-half"
            half.write_bytes(b"half")
            with pytest.raises(InputError, match="another process is working") as caught:
                go(tmp_path / "run")
            met.append((caught, half.exists()))

    go(tmp_path / "run", progress=meanwhile)
    assert met[0][1]
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.slow
def test_ctrl_c_ends_worker_processes_and_the_run_resumes(tmp_path):
    def stop(stage, done, total):
        if stage == "pictures" and done:
            raise KeyboardInterrupt

    arguments = (f"{FAKES}:boxes", f"{FAKES}:Slow", PLAN, tmp_path / "run")
    with pytest.raises(stress.Interrupted):
        stress.run(*arguments, workers=2, progress=stop)
    assert not list((tmp_path / "run").rglob(".tmp-*"))
    assert not multiprocessing.active_children()
    assert stress.run(*arguments, workers=1, progress=False).resumed


def test_ctrl_c_says_how_to_resume_and_leaves_nothing_half_written(tmp_path):
    class Impatient:
        name, task = "impatient", "detection"
        class_names = ("car", "person", "sign")
        asked = 0

        def predict(self, images):
            Impatient.asked += 1
            if Impatient.asked == 4:
                raise KeyboardInterrupt
            return fake("Detector")().predict(images)

    with pytest.raises(stress.Interrupted, match=r"same command resumes.*run"):
        go(tmp_path / "run", model=Impatient())
    assert not list((tmp_path / "run").rglob(".tmp-*"))
    assert not (tmp_path / "run" / "results.json").exists()
    with pytest.raises(InputError, match="not finished"):
        stress.read(tmp_path / "run")
    assert go(tmp_path / "run", model=Impatient()).resumed


@pytest.mark.core
def test_an_unreadable_sample_is_named_and_left_out_of_every_cell(tmp_path):
    found = go(tmp_path / "run", data=fake("Boxes")(9, bad=(2,)))
    assert found.n_skipped == 1
    assert found.results.summary["skipped"] == [{"sample_id": "bad/0002", "reason": "bad/0002.png is truncated"}]
    assert "bad/0002" not in found.results.table("samples").column("sample_id").to_pylist()
    assert any("1 of 9 samples" in note for note in found.results.summary["notes"])


def test_strict_stops_at_the_first_unreadable_sample(tmp_path):
    with pytest.raises(InputError, match=r"bad/0002.*truncated.*strict"):
        go(tmp_path / "run", data=fake("Boxes")(9, bad=(2,)), strict=True)


@pytest.mark.core
def test_a_shift_that_the_data_cannot_have_is_left_out_with_a_note(tmp_path):
    plan = {**PLAN, "shifts": ["fog", f"{FAKES}:NeedsScene"]}
    summary = go(tmp_path / "run", plan=plan).results.summary
    assert [s["name"] for s in summary["shifts"]] == ["weather/fog"]
    assert any("pose/needs_scene is left out: it needs a scene" in note for note in summary["notes"])


@pytest.mark.parametrize(
    ("without", "n_shifts", "n_samples"), [((0,), 2, 8), (tuple(range(6)), 1, 9), (tuple(range(9)), 1, 9)]
)
def test_a_first_sample_without_masks_does_not_speak_for_the_others(tmp_path, without, n_shifts, n_samples):
    plan = {**PLAN, "shifts": ["fog", f"{FAKES}:NeedsMasks"], "severities": [1]}
    summary = go(tmp_path / "run", data=fake("Masked")(9, without=without), plan=plan).results.summary
    assert (len(summary["shifts"]), summary["dataset"]["n_samples"]) == (n_shifts, n_samples)


def test_a_shift_that_fails_on_many_samples_is_left_out_and_on_few_only_those(tmp_path):
    plan = {**PLAN, "shifts": ["fog", f"{FAKES}:FailsOften"]}
    summary = go(tmp_path / "often", plan=plan).results.summary
    assert [s["name"] for s in summary["shifts"]] == ["weather/fog"]
    assert summary["dataset"]["n_samples"] == 9
    plan = {**PLAN, "shifts": ["fog", f"{FAKES}:FailsOnce"]}
    summary = go(tmp_path / "once", plan=plan).results.summary
    assert len(summary["shifts"]) == 2
    assert summary["dataset"]["n_samples"] == 8
    assert "paint" in summary["skipped"][0]["reason"]


def test_a_mistake_in_the_code_of_a_shift_stops_the_run(tmp_path):
    with pytest.raises(InputError, match=r"sensor/mistaken@1 failed on sample 'ok/0004': ValueError: operands"):
        go(tmp_path / "run", plan={**PLAN, "shifts": [f"{FAKES}:Mistaken"]})


@pytest.mark.parametrize(("shifts", "times"), [("motion_blur", 0), ("motion_blur,fog", 1)])
def test_a_depth_source_is_loaded_where_it_is_needed_with_the_options_of_the_run(tmp_path, monkeypatch, shifts, times):
    import synth.depth

    asked, real = [], synth.depth.depth_source

    def noted(spec, device="cpu", *, allow_download=False):
        asked.append((spec, device, allow_download))
        return real("prior")

    monkeypatch.setattr(synth.depth, "depth_source", noted)
    monkeypatch.setattr("stress.job.depth_source", lambda *_, **__: None)
    monkeypatch.setattr("stress.worker.resolve", lambda device: f"the device of {device}")
    options = {"depth": "hf:some/depth", "device": "cpu", "model_options": {"allow_download": True}}
    go(tmp_path / "run", plan={**PLAN, "shifts": shifts, "severities": [1]}, **options)
    assert asked == [("hf:some/depth", "the device of cpu", True)] * times


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("Raising", r"fake detector.*raised RuntimeError.*'ok/0000'.*fakes.py:\d+ in predict\): out of paint"),
        ("Leaving", r"fake detector.*raised SystemExit.*'ok/0000'.*fakes.py:\d+ in predict\): nothing to see"),
        ("Nonsense", "boxes.*got"),
    ],
)
def test_a_model_that_raises_or_returns_nonsense_is_one_clear_error(tmp_path, model, message):
    with pytest.raises(InputError, match=message):
        go(tmp_path / "run", model=model)


def test_a_model_of_a_task_without_labels_is_an_error_and_leaves_no_folder(tmp_path):
    data = fake("Boxes")(4)
    data.tasks = ("classification",)
    with pytest.raises(InputError, match="does detection, but data set 'boxes' has labels for classification"):
        go(tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": "nope"}, "depth 'nope': no such source"),
        ({"plan": {**PLAN, "shifts": [f"{FAKES}:NeedsScene"]}}, "no shift of the plan.*needs a scene"),
        ({"model": "Raising"}, "out of paint"),
    ],
)
def test_an_early_error_leaves_no_folder(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        go(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_an_empty_data_set_is_an_error(tmp_path):
    with pytest.raises(InputError, match="empty"):
        go(tmp_path / "run", data=fake("Boxes")(0))


def test_no_readable_sample_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"no sample could be used.*bad/0000"):
        go(tmp_path / "run", data=fake("Boxes")(3, bad=(0, 1, 2)))


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    import stress.parts

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stress.parts.pq, "write_table", full)
    with pytest.raises(InputError, match=r"disk is full.*resume"):
        go(tmp_path / "run")
    assert not list((tmp_path / "run").rglob(".tmp-*"))
    monkeypatch.undo()
    assert go(tmp_path / "run").results.headline["mpc"]["value"] is not None


def test_intervals_resample_sequences_where_they_are_known(tmp_path):
    frames = go(tmp_path / "frames", n=20).results.summary
    drives = go(tmp_path / "drives", data=fake("Boxes")(20, frames_a_group=2)).results.summary
    few = go(tmp_path / "few", data=fake("Boxes")(20, frames_a_group=10)).results.summary
    assert (frames["headline"]["mpc"]["n"], drives["headline"]["mpc"]["n"]) == (20, 10)
    assert frames["headline"]["mpc"]["value"] == drives["headline"]["mpc"]["value"]
    assert few["headline"]["mpc"]["low"] is None
    assert any("Only 2 independent groups" in note for note in few["notes"])


def test_limit_counts_source_frames(tmp_path):
    summary = go(tmp_path / "run", n=12, plan={**PLAN, "limit": 5}).results.summary
    assert summary["dataset"]["n_samples"] == 5


def test_the_first_metric_of_the_plan_is_the_headline_and_an_unknown_one_an_error(tmp_path):
    summary = go(tmp_path / "run", plan={**PLAN, "metrics": ["ap50", "recall"]}).results.summary
    assert summary["headline"]["metric"] == "ap50"
    assert list(summary["metrics"]) == ["ap50", "recall"]
    with pytest.raises(InputError, match=r"'mapp' is none of detection.*'map'"):
        go(tmp_path / "other", plan={**PLAN, "metrics": "mapp"})


def test_a_run_can_be_the_reference_of_another(tmp_path, finished):
    summary = go(tmp_path / "run", plan={**PLAN, "reference": str(finished)}).results.summary
    assert summary["mce"]["figure"]["value"] == pytest.approx(1.0, abs=2e-6)  # results keep six digits


@pytest.mark.parametrize(
    ("changes", "model", "message"),
    [
        ({"severities": [1, 3]}, "Detector", r"no figure of weather/fog@3, sensor/motion_blur@3"),
        ({"metrics": ["ap50"]}, "Detector", r"headline metric is 'map', this run's is 'ap50'"),
        ({}, "Segmenter", r"model for detection, this one does segmentation"),
        ({"reference": "nowhere"}, "Detector", r"reference: run 'nowhere': no such folder; give 'alexnet'"),
    ],
)
def test_a_reference_that_does_not_fit_is_told_before_anything_is_made(tmp_path, finished, changes, model, message):
    with pytest.raises(InputError, match=message):
        go(tmp_path / "run", model=model, plan={**PLAN, "reference": str(finished), **changes})
    assert not (tmp_path / "run").exists()


def test_a_picture_of_the_gallery_is_made_again_bit_for_bit(tmp_path, finished):
    import cv2

    entry = stress.read(finished).summary["gallery"][0]
    path = stress.reproduce(finished, entry["id"], tmp_path / "again.png", dataset=fake("Boxes")(9))
    assert (cv2.imread(str(path)) == cv2.imread(str(finished / entry["shifted"]))).all()
    with pytest.raises(InputError, match="no failure 'f1'"):
        stress.reproduce(finished, "f1", dataset=fake("Boxes")(9))


def test_other_versions_and_strangers_are_not_read(tmp_path, finished):
    with pytest.raises(InputError, match="no such folder"):
        stress.read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no results\.json"):
        stress.read(tmp_path)
    summary = json.loads((finished / "results.json").read_text())
    (tmp_path / "results.json").write_text(json.dumps({**summary, "schema": "roadproof.results/9"}))
    with pytest.raises(InputError, match=r"roadproof\.results/9"):
        stress.read(tmp_path)


def test_figures_of_a_cell_equal_those_of_its_pictures_alone(finished):
    """The share of objects found, counted from the objects table, is the recall of the cell."""
    found = stress.read(finished)
    for cell in (("clean", 0), ("weather/fog", 5)):
        rows = [r for r in found.objects.to_pylist() if (r["shift"], r["severity"]) == cell and r["verdict"]]
        share = np.mean([r["outcome"] == "found" for r in rows])
        assert found.figure("recall", shift=cell[0], severity=cell[1])["value"] == pytest.approx(share, abs=1e-6)
