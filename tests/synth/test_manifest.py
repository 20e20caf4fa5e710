"""The manifest: a row for each picture that says how to make it again, and a replay that says how near it came."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synth
from scenes.datasets import write_dataset
from scenes.errors import InputError
from scenes.fingerprint import pixel_hash
from scenes.images import read_image, write_png
from synth.boxworld import box_sample
from synth.manifest import NAME, labels_hash, read_manifest, shift_of
from synth.replaying import compare

NAMES = tuple(f"class{i}" for i in range(8))
RECIPE = {
    "variants": 2,
    "seed": 4,
    "clean": True,
    "license": "CC BY 4.0",
    "shifts": ["fog", {"chain": [{"name": "rain", "wet_ground": False}, "night"]}, "occlusion/target"],
    "filters": "none",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthesised set of four frames; its source stands beside it."""
    folder = tmp_path_factory.mktemp("manifest")
    frames = [replace(box_sample(128, 72, seed=i), sample_id=f"a/{i}", scene=None, previous=None) for i in range(4)]
    write_dataset(frames, folder / "source", format="coco", class_names=NAMES)
    return synth.generate(folder / "source", RECIPE, folder / "out", workers=1).path


def test_every_row_says_where_from_what_and_with_what(made: Path) -> None:
    rows = read_manifest(made)
    assert len(rows) == 12
    for row in rows:
        assert pixel_hash(read_image(made / row["image"])) == row["sha256"]
        source = Path(row["source"]["dataset"]) / row["source"]["path"]
        assert pixel_hash(read_image(source)) == row["source"]["sha256"]
        assert row["seed"] == 4
        assert row["license"] == "CC BY 4.0"
        assert row["versions"]["numpy"] == np.__version__
        assert len(row["shifts"]) == {"clean": 0, "chain/rain+night": 2}.get(row["entry"], 1)
        for part in row["shifts"]:
            assert set(part) == {"name", "options", "severity", "params"}
            assert 1 <= part["severity"] <= 5
        if row["shifts"]:
            assert {v["kind"] for v in row["verdicts"]} <= {"kept", "modified", "occluded", "invalid"}
    chain = next(row for row in rows if len(row["shifts"]) == 2)
    assert chain["shifts"][0]["options"] == {"wet_ground": False}
    found = shift_of(chain)
    assert found is not None
    assert found[0].name.startswith("chain/rain=")


def test_a_replay_is_byte_for_byte_the_same(made: Path, tmp_path: Path) -> None:
    again = synth.remake(made / NAME, tmp_path / "again", workers=1)
    assert len(again.identical) == 12
    assert again.faithful
    for row in read_manifest(made):
        assert (again.path / row["image"]).read_bytes() == (made / row["image"]).read_bytes()
    assert (again.path / "instances.json").read_bytes() == (made / "instances.json").read_bytes()
    assert (again.path / NAME).read_bytes() == (made / NAME).read_bytes()


def test_a_source_that_moved_is_named_by_the_caller(made: Path, tmp_path: Path) -> None:
    source = tmp_path / "elsewhere"
    shutil.copytree(made.parent / "source", source)
    rows = [{**row, "source": {**row["source"], "dataset": str(tmp_path / "gone")}} for row in read_manifest(made)]
    file = tmp_path / "manifest.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match="--dataset"):
        synth.remake(file, tmp_path / "again", workers=1)
    again = synth.remake(file, tmp_path / "again", dataset=source, workers=1)
    assert again.faithful


def test_another_picture_in_the_place_of_the_source_is_refused(made: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(made.parent / "source", source)
    first = source / read_manifest(made)[0]["source"]["path"]
    write_png(first, np.invert(read_image(first)))
    with pytest.raises(InputError, match="not those that the manifest was made from"):
        synth.remake(made, tmp_path / "again", dataset=source, workers=1)
    assert not (tmp_path / "again").exists()


@pytest.mark.core
@pytest.mark.parametrize(("levels", "kind"), [(0, "identical"), (1, "within"), (3, "different")])
def test_how_near_a_replay_came_is_said(tmp_path: Path, levels: int, kind: str) -> None:
    image = np.full((8, 8, 3), 100, np.uint8)
    changed = image.copy()
    changed[2, 3, 1] += levels
    rows = []
    for name, picture in (("then", image), ("now", changed)):
        write_png(tmp_path / name / "a.png", picture)
        rows.append(_row(image="a.png", sha256=pixel_hash(picture)))
    found = compare(rows[:1], rows[1:], tmp_path / "then", tmp_path / "now")
    assert list(getattr(found, kind)) == ["a"]
    assert found.faithful == (levels < 2)
    (tmp_path / "then" / "a.png").unlink()
    blind = compare(rows[:1], rows[1:], tmp_path / "then", tmp_path / "now")
    assert blind.unknown == (() if levels == 0 else ("a",))


@pytest.mark.core
def test_labels_that_differ_are_said() -> None:
    found = compare([_row()], [_row(labels_sha256="other")], Path(), Path())
    assert found.labels == ("a",)
    assert not found.faithful


def _row(**changes: Any) -> dict[str, Any]:
    part = {"name": "weather/fog", "options": {}, "severity": 2, "params": {}}
    return {"sample_id": "a", "shifts": [part], "sha256": "x", "labels_sha256": "y", **changes}


@pytest.mark.core
def test_hashes_see_every_label() -> None:
    sample = box_sample(64, 36)
    notes = sample.annotations
    seen = {labels_hash(sample)}
    for changes in (
        {"boxes": notes.boxes + 1},
        {"labels": notes.labels + 1},
        {"ignore": ~notes.ignore},
        {"masks": None if notes.masks is None else ~notes.masks},
        {"attributes": tuple({"parked": True} for _ in notes.labels)},
    ):
        seen.add(labels_hash(replace(sample, annotations=replace(notes, **changes))))
    seen.add(labels_hash(replace(sample, camera=None)))
    assert len(seen) == 7


@pytest.mark.core
@pytest.mark.parametrize(
    ("text", "message"),
    [("", "a line for each picture"), ("{\n", "line 1 is no JSON"), ('{"a": 1}\n', "line 1 lacks"), ("[]\n", "lacks")],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "manifest.jsonl"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_manifest(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_manifest(tmp_path / "none.jsonl")


def test_transforms_of_other_libraries_replay(made: Path, tmp_path: Path) -> None:
    pytest.importorskip("albumentations")
    recipe = {"shifts": [{"chain": ["albumentations:HorizontalFlip", "fog"]}, "albumentations:RandomRain"]}
    first = synth.generate(made.parent / "source", {**recipe, "filters": "none"}, tmp_path / "first", workers=1)
    again = synth.remake(first.path, tmp_path / "again", workers=1)
    assert again.faithful
    assert len(again.identical) == first.n_made == 4


@pytest.mark.core
def test_depth_of_an_estimator_is_asked_for(tmp_path: Path) -> None:
    row = {"completed": {"depth": "my estimator"}, "source": {}, "seed": 0, "variant": 1, "format": "coco"}
    (tmp_path / NAME).write_text(json.dumps({**_row(), **row}) + "\n")
    with pytest.raises(InputError, match="my estimator: name it with --depth"):
        synth.remake(tmp_path, tmp_path / "again")


@pytest.mark.real
@pytest.mark.parametrize("name", ["coco_street", "kitti", "camvid", "traffic_signs"])
def test_real_photographs_replay(real_data: Path, tmp_path: Path, name: str) -> None:
    recipe = {"shifts": ["fog", {"chain": ["rain", "night"]}, "yaw"], "filters": "none"}
    first = synth.generate(real_data / name, recipe, tmp_path / "first", workers=1, limit=3)
    assert first.n_made == 3
    assert synth.remake(first.path, tmp_path / "again", workers=1).faithful
