"""Clusters of failures: planted looks found, the same object once, pictures that are really those of the run."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

import stress
from scenes.plugins import load_attribute
from stress.clusters import clusters_of, distinct, embedded, gathered, shared_by
from stress.crops import chosen, cropped, folded
from stress.mining import mine

FAKES = f"{__file__.rsplit('/', 1)[0]}/fakes.py"


def fake(name):
    return load_attribute(f"{FAKES}:{name}", what="test part")


def row(sample="a", shift="weather/fog", severity=1.0, instance=1, failure="missed", name="car", x=0.0):
    place = {"x1": x, "y1": 0.0, "x2": x + 20, "y2": 20.0}
    return {"sample_id": sample, "group": sample[0], "shift": shift, "severity": severity, "instance_id": instance,
            "failure": failure, "class_name": name, **place}  # fmt: skip


@pytest.mark.core
def test_an_object_under_severer_degrees_of_a_shift_is_one_failure():
    rows = [row(severity=5.0), row(severity=1.0), row(severity=3.0), row(shift="lighting/night"), row(instance=2)]
    kept = folded(rows)
    assert sorted((r["shift"], r["severity"], r["instance_id"]) for r in kept) == [
        ("lighting/night", 1.0, 1), ("weather/fog", 1.0, 1), ("weather/fog", 1.0, 2),
    ]  # fmt: skip
    finds = [row(instance=0, failure="invented", severity=s, x=x) for s, x in ((1.0, 30.0), (3.0, 33.0), (3.0, 300.0))]
    assert len(folded(finds)) == 2


def test_what_is_looked_at_is_capped_and_spread():
    rows = [row(sample=f"{g}{i}", shift=s) for g in "abcdefgh" for i in range(9) for s in ("x/one", "x/two", "x/three")]
    found = chosen(rows, seed=0, pictures=30)
    cells = [cell for cells in found.values() for cell in cells]
    assert len(cells) == 30
    assert {cells.count(cell) for cell in set(cells)} == {10}
    assert len({name[0] for name in found}) == 8
    assert len(found) <= 16


@pytest.mark.core
def test_a_crop_is_a_square_around_the_box_also_at_the_border():
    image = np.arange(40 * 60 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 60, 3)
    middle = cropped(image, (20, 10, 40, 30))
    assert middle.shape == (30, 30, 3)
    assert np.array_equal(middle, image[5:35, 15:45])
    corner = cropped(image, (-5, -5, 5, 5))
    assert corner.shape[0] == corner.shape[1] == 24
    assert np.array_equal(corner[-1, -1], image[11, 11])


def test_looks_that_were_planted_are_gathered():
    """Two dozen pictures each of three looks and as many of none: the three are told apart, twins are one."""
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(3, 64))
    planted = np.concatenate([look + 0.15 * rng.normal(size=(24, 64)) for look in looks])
    noise = 3.0 * rng.normal(size=(24, 64))
    vectors = np.concatenate([planted, noise]).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = gathered(unit)
    for part in range(3):
        own = labels[24 * part : 24 * (part + 1)]
        assert (own == np.bincount(own[own >= 0]).argmax()).mean() > 0.9
    assert len({labels[0], labels[24], labels[48]}) == 3
    assert distinct(np.concatenate([unit, unit]))[-1] < len(unit)


def test_what_most_share_names_a_cluster():
    rows = [{**row(), "size": "small", "position": p, "family": "weather"} for p in ("left", "right") * 5]
    assert shared_by(rows) == {"failure": "missed", "class_name": "car", "size": "small", "shift": "weather/fog"}


def test_pictures_of_a_run_are_made_again_and_gathered(tmp_path):
    """The crops are embedded by their colour: clusters are of one class each, their pictures stand in the run."""
    data, run = fake("Boxes")(40), tmp_path / "run"
    plan = {"shifts": "fog,motion_blur", "severities": [3, 5], "resamples": 40, "explain": "none"}
    stress.run(data, fake("Detector")(), plan, run, progress=False)
    mine(run, least=8)
    failures = pq.read_table(run / "failures.parquet")

    looks = np.random.default_rng(0).normal(size=(3, 64))

    def hue(images):
        colours = [image.mean(axis=(0, 1)).argmax() for image in images]
        noise = [np.random.default_rng(int(image.sum())).normal(size=64) for image in images]
        return looks[colours] + 0.2 * np.stack(noise)

    found = clusters_of(stress.read(run), failures, dataset=data, embed=hue, progress=False)
    assert found["n_looked_at"] > 30
    assert found["n_folded"] > 0
    assert found["clusters"]
    for cluster in found["clusters"]:
        assert cluster["n_objects"] >= 3
        for picture in cluster["pictures"]:
            assert cv2.imread(str(run / picture["path"])).shape[:2] == (112, 224)


def test_data_that_is_gone_is_said(tmp_path):
    run = tmp_path / "run"
    plan = {"shifts": "fog", "severities": [5], "resamples": 40, "explain": "none"}
    stress.run(fake("Boxes")(12), fake("Detector")(), plan, run, progress=False)
    found = mine(run, least=8, clusters=True)["clusters"]
    assert found["clusters"] == []
    assert "cannot be made again" in found["notes"][0]
    shutil.rmtree(run / "parts")
    assert mine(run, least=8)["clusters"] is None


def test_vectors_of_a_wrong_shape_are_told():
    images = [np.zeros((10, 10, 3), np.uint8)] * 3
    with pytest.raises(Exception, match=r"expected \(3, D\) vectors, got shape \(3, 2, 2\)"):
        embedded(images, lambda crops: np.zeros((len(crops), 2, 2)))
