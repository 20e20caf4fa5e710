"""Fitted scenes as data sets: photos where the capture is, labels of the scene, shifts seen anew; what is unknown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cli import main
from scenes.camera import Camera, look
from scenes.capture import open_capture
from scenes.datasets import open_dataset
from scenes.edits import Add, Remove
from scenes.errors import InputError
from scenes.fingerprint import named_files
from scenes.gaussians import GaussianScene, open_scene
from scenes.sample import Scene
from scenes.splats.cloud import Cloud, base_colour, joined
from scenes.splats.editing import SplatObject
from scenes.splats.lift import seen_by
from synth.pipeline import params_as_mapping, replay, shifted
from synth.registry import create
from synth.rerender import render_again, unknown_objects

WIDTH, HEIGHT = 64, 48
PLACES = {"a/0": (0.0, 0.0), "a/1": (0.5, 0.3), "a/2": (1.0, -0.3)}


def camera(x: float = 0.0, y: float = 0.0, yaw: float = 0.0) -> Camera:
    K = np.array([[50.0, 0, WIDTH / 2], [0, 50.0, HEIGHT / 2], [0, 0, 1]])
    return Camera(K=K, width=WIDTH, height=HEIGHT, world_to_cam=look(position=(x, y, 1.5), yaw_rad=yaw))


def ball(place: tuple[float, float, float], color: tuple[float, float, float], number: int, size: float = 0.5) -> Cloud:
    """A ball of opaque Gaussians that belong to object `number`."""
    n = 150 if number else 900
    g = torch.Generator().manual_seed(n)
    harmonics = torch.zeros(n, 4, 3)
    harmonics[:, 0] = base_colour(torch.tensor(color))
    return Cloud(
        means=size * torch.nn.functional.normalize(torch.randn(n, 3, generator=g), dim=1) + torch.tensor(place),
        quats=torch.randn(n, 4, generator=g),
        scales=torch.full((n, 3), float(np.log(0.25 * size))),
        opacities=torch.full((n,), 4.0),
        harmonics=harmonics,
        instances=torch.full((n,), number, dtype=torch.int32),
        classes=torch.full((n,), int(number > 0), dtype=torch.int16),
    )


def two_balls() -> GaussianScene:
    """A red ball (1) left and a blue one (2) right before a wall, seen from three places that look ahead."""
    parts = [ball((16.0, 0, 1.5), (0.5, 0.5, 0.5), 0, 8.0), ball((6.0, 1.2, 1.5), (0.8, 0.1, 0.1), 1),
             ball((6.0, -1.2, 1.5), (0.1, 0.1, 0.8), 2)]  # fmt: skip
    boxes = {i: np.array([6, y, 1.5, 1.3, 1.3, 1.3, 1, 0, 0, 0], np.float32) for i, y in ((1, 1.2), (2, -1.2))}
    cameras = {name: camera(*place) for name, place in PLACES.items()}
    cloud = joined(parts)
    return GaussianScene(
        cloud=replace(cloud, seen=seen_by(cloud, list(cameras.values()))),
        name="balls",
        objects={i: SplatObject(label=1, box_3d=box) for i, box in boxes.items()},
        class_names=("wall", "ball"),
        cameras=cameras,
        about={"held_out_psnr_db": 30.0},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "balls"
    two_balls().save(path)
    return path


@pytest.mark.core
def test_every_view_is_a_labelled_sample_with_its_scene(folder: Path) -> None:
    data = open_dataset(f"scene:{folder}")
    assert data.sample_ids == ("a/0", "a/1", "a/2")
    assert data.class_names == ("wall", "ball")
    assert data.tasks == ("detection", "segmentation")
    assert len(set(data.groups.values())) == 1  # all views show one place: they are not independent
    for sample in data:
        assert isinstance(sample.scene, Scene)
        assert sample.camera is not None
        assert sample.depth is not None
        assert sample.instances is not None
        assert sample.annotations.instance_ids.tolist() == [1, 2]
        assert sample.annotations.labels.tolist() == [1, 1]
    with pytest.raises(InputError, match="no sample 'a/9'"):
        data["a/9"]


def test_the_count_of_views_is_kept_in_the_file(folder: Path) -> None:
    seen = open_scene(folder).cloud.seen
    expected = two_balls().cloud.seen
    assert seen is not None
    assert expected is not None
    assert torch.equal(seen, expected)
    assert int(seen.max()) == 3
    assert int(seen.min()) == 0


@pytest.mark.core
def test_a_moved_camera_is_rendered_by_splats_and_says_so(folder: Path) -> None:
    sample = open_dataset(f"scene:{folder}")["a/0"]
    for name in ("lateral", "height", "yaw", "pitch", "roll", "object_turn"):
        done = shifted(sample, create(f"pose/{name}"), 3, seed=1)
        assert done.params.renderer == "splats"
        assert done.completed["renderer"] == "Gaussian splats"
        assert not np.array_equal(done.sample.image, sample.image)
        again = replay(sample, create(f"pose/{name}"), params_as_mapping(done.params))
        assert np.array_equal(again.sample.image, done.sample.image)
    done = shifted(sample, create("pose/lateral", {"renderer": "reprojection"}), 3, seed=1)
    assert done.params.renderer == "reprojection"
    assert done.completed["renderer"] == "reprojection through depth"


def test_objects_removed_and_put_in(folder: Path) -> None:
    sample = open_dataset(f"scene:{folder}")["a/0"]
    without = render_again(sample, who="test", edits=[Remove(1)])
    assert without.annotations.boxes[0].tolist() == [0, 0, 0, 0]
    assert without.annotations.boxes[1].tolist() == sample.annotations.boxes[1].tolist()
    more = render_again(sample, who="test", edits=[Add("copy:2", x_m=7.0, y_m=0.0)])
    assert more.annotations.instance_ids.tolist() == [1, 2, 3]
    assert np.count_nonzero(more.instances == 3) > 20


def test_what_no_two_views_saw_is_marked_and_its_objects_are_invalid(folder: Path) -> None:
    scene = open_scene(folder)
    known = scene.render(scene.cameras["a/0"])
    assert known.meta["unseen"].mean() < 0.05
    away = scene.render(camera(yaw=np.pi))  # nothing is there
    assert away.meta["unseen"].all()

    seen = scene.cloud.seen
    assert seen is not None
    assert scene.cloud.instances is not None
    once = torch.where(scene.cloud.instances == 1, 1, seen).to(torch.int16)  # the red ball was in one view only
    doubtful = replace(scene, cloud=replace(scene.cloud, seen=once))
    assert doubtful.render(scene.cameras["a/0"]).meta["unseen"][known.instances == 1].mean() > 0.9
    sample = replace(known, scene=doubtful)
    done = shifted(sample, create("pose/yaw"), 1, seed=1)
    kinds = {v.instance_id: (v.kind, v.reason) for v in done.verdicts}
    assert kinds[1][0] == "invalid"
    assert "no two training views" in kinds[1][1]
    assert kinds[2][0] != "invalid"


def test_an_object_lost_where_nothing_is_known_is_invalid_but_a_removed_one_is_gone(folder: Path) -> None:
    sample = open_dataset(f"scene:{folder}")["a/0"]
    view = sample.camera
    assert view is not None
    lost = render_again(sample, who="test", edits=[Remove(1)])
    everywhere = np.ones((HEIGHT, WIDTH), np.bool_)
    assert set(unknown_objects(lost, view, everywhere)) == {1, 2}
    assert set(unknown_objects(lost, view, everywhere, touched={1})) == {2}
    assert unknown_objects(lost, view, ~everywhere) == {}


def test_photos_are_shown_where_they_are_and_else_renders(tmp_path: Path) -> None:
    path = tmp_path / "town"
    views = {view.name: view.resized(64, 36) for view in open_capture("town:3:4").views}
    cameras = {name: view.camera for name, view in views.items()}
    scene = replace(two_balls(), cameras=cameras, about={"capture": "town:3:4"})
    scene.save(path)
    photos, renders = open_dataset(f"scene:{path}"), open_dataset(f"rendered:{path}")
    name = photos.sample_ids[1]
    assert np.array_equal(photos[name].image, views[name].load().image)
    assert photos[name].meta["renderer"] == "photo"
    assert np.array_equal(renders[name].image, scene.render(scene.cameras[name]).image)
    assert np.array_equal(photos[name].annotations.boxes, renders[name].annotations.boxes)
    known = json.loads((path / "scene.json").read_text())
    known["about"]["capture"] = str(tmp_path / "gone")
    (path / "scene.json").write_text(json.dumps(known))
    gone = open_dataset(f"scene:{path}")
    assert np.array_equal(gone[name].image, renders[name].image)
    assert "not there any more" in " ".join(gone.notes)  # type: ignore[attr-defined]


def test_wrong_names_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder with scene"):
        open_dataset(f"scene:{tmp_path}")
    with pytest.raises(InputError, match="takes no split"):
        open_dataset(f"scene:{folder}", split="val")
    replace(two_balls(), cameras={}).save(tmp_path / "bare")
    with pytest.raises(InputError, match="knows no cameras"):
        open_dataset(f"scene:{tmp_path / 'bare'}")


def test_another_fit_is_another_data_set(folder: Path, tmp_path: Path) -> None:
    before = named_files(f"scene:{folder}")
    assert set(before) == {"scene.json", "gaussians.ply"}
    scene = two_balls()
    replace(scene, cloud=replace(scene.cloud, opacities=scene.cloud.opacities - 1)).save(tmp_path / "other")
    after = named_files(f"scene:{tmp_path / 'other'}")
    assert after["gaussians.ply"] != before["gaussians.ply"]


def test_a_data_set_is_made_of_a_scene(folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("shifts:\n  - name: pose/yaw\n    severity: 2\n")
    arguments = ["synth", f"scene:{folder}", "--recipe", str(recipe), "--out", str(tmp_path / "set"), "--workers", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "set" / "manifest.jsonl").read_text().splitlines()]
    made = [row for row in rows if row.get("shifts")]
    assert {row["completed"]["renderer"] for row in made} == {"Gaussian splats"}
    assert len(open_dataset(tmp_path / "set")) >= 3
