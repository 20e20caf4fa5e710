"""The examples do what a user would copy them for: they answer in the right shape, learn, and can be stressed."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import stress
from stress.adapters import load_model
from stress.plan import Plan

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FILES = sorted(EXAMPLES.glob("*.py"))
OURS = {"scenes", "synth", "stress", "reports", "cli", "roadproof"}
ODD_SIZES = ((1, 1), (7, 33), (200, 90))  # rows, columns


def example(name: str) -> ModuleType:
    """Import an example as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plan(**keys: Any) -> Plan:
    return Plan.make({"severities": [3], "explain": {"failures": 0}, "resamples": 20, **keys})


def figure(run: Path, shift: str, metric: str) -> float:
    """Return the set-level figure over all classes and sizes."""
    rows = json.loads((run / "results.json").read_text(encoding="utf-8"))["figures"]
    wanted = {"shift": shift, "metric": metric, "class_name": None, "size": None}
    (value,) = (row["value"] for row in rows if wanted.items() <= row.items())
    return float(value)


@pytest.mark.core
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_imports_nothing_of_ours(path: Path) -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert not names & OURS


def test_every_example_is_in_the_readme() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert FILES
    assert [path.name for path in FILES if path.name not in text] == []


# --- the pedestrian detector


def test_hog_answers_for_pictures_of_any_size() -> None:
    model = load_model(f"{EXAMPLES / 'hog_pedestrians.py'}:HogPedestrians")  # its answers are checked
    images = [np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8) for size in ODD_SIZES]
    for answer, (height, width) in zip(model.predict(images), ODD_SIZES, strict=True):
        assert (answer.boxes >= 0).all()
        assert (answer.boxes <= [width, height, width, height]).all()


def test_hog_undoes_margin_and_enlargement() -> None:
    """A window around the whole picture, 64 x 128 pixels, holds a person of 32 x 96 in its middle."""
    hog = example("hog_pedestrians")
    people = hog._people(np.array([[0.0, 0.0, 64.0, 128.0], [10.0, 20.0, 128.0, 256.0]]))
    np.testing.assert_allclose(people, [[16, 16, 48, 112], [42, 52, 106, 244]])


# --- the segmenter


def write_stripes(root: Path, n: int, splits: tuple[str, ...] = ("train", "val")) -> Path:
    """Write a data set in the CamVid layout: bright sky above dark road, a red car, and a void corner."""
    for split in splits:
        rng = np.random.default_rng(len(split))
        (root / split).mkdir(parents=True)
        (root / f"{split}annot").mkdir()
        for i in range(n):
            mask = np.full((96, 128), 3, np.uint8)
            mask[: int(rng.integers(35, 55))] = 0
            x = int(rng.integers(0, 90))
            mask[60:80, x : x + 30] = 8
            colours = np.zeros((256, 3), np.uint8)
            colours[[0, 3, 8]] = (240, 220, 200), (70, 70, 70), (30, 30, 220)  # BGR
            picture = colours[mask].astype(np.int64) + rng.integers(-10, 11, (96, 128, 1))
            mask[:5, :5] = 11
            cv2.imwrite(str(root / split / f"{i:03}.png"), np.clip(picture, 0, 255).astype(np.uint8))
            cv2.imwrite(str(root / f"{split}annot" / f"{i:03}.png"), mask)
    return root


def test_segmenter_logits_have_the_size_of_the_picture() -> None:
    camvid = example("camvid_segmenter")
    net = camvid.UNet(11).eval()
    for height, width in ODD_SIZES:
        assert net(torch.zeros(2, 3, height, width)).shape == (2, 11, height, width)


def test_views_of_the_segmenter_keep_picture_and_mask_together() -> None:
    camvid = example("camvid_segmenter")
    mask = np.full((360, 480), 3, np.uint8)
    mask[100:200, 150:300] = 8
    picture = np.where(mask == 8, 200, 20).astype(np.uint8)[..., None].repeat(3, axis=2)
    rng = np.random.default_rng(0)
    for _ in range(20):
        seen, truth = camvid.view(picture, mask, rng)
        assert seen.shape[:2] == truth.shape == camvid.CROP
        assert ((seen[..., 0] > 90) == (truth == 8)).mean() > 0.98


def test_segmenter_learns_and_is_stressed_with_gradients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camvid = example("camvid_segmenter")
    data = write_stripes(tmp_path / "data", 4)
    monkeypatch.setattr(camvid, "CROP", (64, 96))
    pictures, masks = camvid.read_split(data, "train")
    assert set(np.unique(masks[0])) == {0, 3, 8, camvid.VOID}
    weights = tmp_path / "weights.safetensors"
    camvid.save_file(camvid.train(pictures, masks, seconds=60, steps=40).state_dict(), weights)
    model = camvid.CamvidSegmenter(weights)
    result = stress.run(str(data), model, plan(shifts="pixelation", explain={"failures": 1}), tmp_path / "run",
                        split="val", workers=1)  # fmt: skip
    assert figure(result.path, "clean", "pixel_accuracy") > 0.8
    gallery = json.loads((result.path / "results.json").read_text(encoding="utf-8"))["gallery"]
    assert [failure["explanation"]["method"] for failure in gallery] == ["hirescam"] * len(gallery)


def test_segmenter_says_where_it_looked_for_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMVID_WEIGHTS", str(tmp_path / "none.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: train the weights first"):
        example("camvid_segmenter").CamvidSegmenter()


# --- the classifier


def write_signs(root: Path, tracks: int = 12, frames: int = 3) -> Path:
    """Write an image folder of two classes, a bright disc on red and a bright bar on blue, `frames` of each track."""
    rng = np.random.default_rng(0)
    for name, colour in (("disc", (40, 40, 200)), ("bar", (200, 60, 40))):
        (root / name).mkdir(parents=True)
        for track in range(tracks):
            for frame in range(frames):
                side = int(rng.integers(24, 60))
                picture = np.full((side, side, 3), colour, np.uint8)
                if name == "disc":
                    cv2.circle(picture, (side // 2, side // 2), side // 4, (240, 240, 240), -1)
                else:
                    cv2.line(picture, (side // 5, side // 2), (4 * side // 5, side // 2), (240, 240, 240), side // 8)
                cv2.imwrite(str(root / name / f"{track:05}_{frame:05}.png"), picture)
    return root


def tracks_of(folder: Path) -> set[str]:
    return {f"{path.parent.name}/{path.stem[:5]}" for path in folder.rglob("*.png")}


def test_split_keeps_tracks_together_and_loses_nothing(tmp_path: Path) -> None:
    signs = example("sign_classifier")
    data = write_signs(tmp_path / "data", tracks=40)
    n_train, n_val = signs.split(data, tmp_path / "split", held_out=0.3)
    train, val = tracks_of(tmp_path / "split" / "train"), tracks_of(tmp_path / "split" / "val")
    assert not train & val
    assert train | val == tracks_of(data)
    assert n_train + n_val == 2 * 40 * 3
    assert 0.15 < len(val) / len(train | val) < 0.45


def test_split_does_not_move_a_track_when_others_leave(tmp_path: Path) -> None:
    signs = example("sign_classifier")
    data = write_signs(tmp_path / "data", tracks=20)
    signs.split(data, tmp_path / "all", held_out=0.5)
    for path in data.rglob("0000[0-4]_*.png"):
        path.unlink()
    signs.split(data, tmp_path / "fewer", held_out=0.5)
    assert tracks_of(tmp_path / "fewer" / "val") < tracks_of(tmp_path / "all" / "val")
    assert tracks_of(tmp_path / "fewer" / "train") < tracks_of(tmp_path / "all" / "train")


def test_split_leaves_an_existing_folder_alone(tmp_path: Path) -> None:
    data = write_signs(tmp_path / "data", tracks=2)
    (tmp_path / "split").mkdir()
    with pytest.raises(SystemExit, match="is there already"):
        example("sign_classifier").split(data, tmp_path / "split", held_out=0.3)
    assert list((tmp_path / "split").iterdir()) == []


def test_classifier_learns_and_is_stressed_on_what_was_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signs = example("sign_classifier")
    split = tmp_path / "split"
    signs.split(write_signs(tmp_path / "data"), split, held_out=0.3)
    pictures, labels, names = signs.read_classes(split / "train")
    assert names == ("bar", "disc")
    weights = tmp_path / "weights.safetensors"
    signs.save(signs.train(pictures, labels, len(names), seconds=60, steps=25), names, weights)
    monkeypatch.setenv("SIGN_WEIGHTS", str(weights))
    result = stress.run(str(split), f"{EXAMPLES / 'sign_classifier.py'}:SignClassifier", plan(shifts="pixelation"),
                        tmp_path / "run", split="val", workers=1)  # fmt: skip
    assert figure(result.path, "clean", "accuracy") > 0.9
    dataset = json.loads((result.path / "results.json").read_text(encoding="utf-8"))["dataset"]
    assert dataset["n_groups"] == len(tracks_of(split / "val"))


# --- on real photographs


@pytest.mark.real
@pytest.mark.slow
def test_hog_finds_real_people(real_data: Path, tmp_path: Path) -> None:
    result = stress.run(str(real_data / "coco_street"), f"{EXAMPLES / 'hog_pedestrians.py'}:HogPedestrians",
                        plan(shifts="pixelation", severities=[5]), tmp_path / "run", workers=1)  # fmt: skip
    clean, pixelated = (figure(result.path, shift, "ap50") for shift in ("clean", "sensor/pixelation"))
    assert 0.05 < clean < 0.5  # most people there are smaller than what it was made for
    assert pixelated < 0.5 * clean  # blocks of 12 pixels leave no outlines; fog would, and contrast is normalised


@pytest.mark.real
@pytest.mark.slow
def test_segmenter_learns_real_streets(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camvid = example("camvid_segmenter")
    monkeypatch.setattr(camvid, "CROP", (160, 224))
    weights = tmp_path / "weights.safetensors"
    net = camvid.train(*camvid.read_split(real_data / "camvid", "train"), seconds=600, steps=40)
    camvid.save_file(net.state_dict(), weights)
    night_only = plan(shifts="night", severities=[5], limit=4)
    result = stress.run(str(real_data / "camvid"), camvid.CamvidSegmenter(weights), night_only, tmp_path / "run",
                        split="val", workers=1)  # fmt: skip
    clean, night = (figure(result.path, shift, "pixel_accuracy") for shift in ("clean", "lighting/night"))
    assert clean > 0.4
    assert night < clean


@pytest.mark.real
@pytest.mark.slow
def test_classifier_learns_real_signs(real_data: Path, tmp_path: Path) -> None:
    signs = example("sign_classifier")
    split, weights = tmp_path / "split", tmp_path / "weights.safetensors"
    signs.split(real_data / "traffic_signs", split, held_out=0.3)
    pictures, labels, names = signs.read_classes(split / "train")
    signs.save(signs.train(pictures, labels, len(names), seconds=600, steps=150), names, weights)
    result = stress.run(str(split), signs.SignClassifier(weights), plan(shifts="pixelation", severities=[5]),
                        tmp_path / "run", split="val", workers=1)  # fmt: skip
    clean, pixelated = (figure(result.path, shift, "accuracy") for shift in ("clean", "sensor/pixelation"))
    assert clean > 0.5  # ten classes: chance is 0.1
    assert pixelated < clean
