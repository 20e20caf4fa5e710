"""Shifts that are carried out in a scene: the same names by the town and by splats, true labels, said in the params."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from scenes.camera import Camera, look
from scenes.errors import InputError
from scenes.gaussians import GaussianScene
from scenes.sample import Sample
from scenes.splats.cloud import Cloud, base_colour, joined
from scenes.splats.editing import SplatObject
from scenes.splats.lift import seen_by
from scenes.town import Town, TownDataset
from synth.boxworld import box_sample
from synth.contracts import ShiftContract, check_shift_laws, disagreement
from synth.pipeline import params_as_mapping, replay, shifted
from synth.random import Rng
from synth.registry import create
from synth.rerender import render_again

WIDTH, HEIGHT = 96, 64
SCENE: dict[str, Any] = {"renderer": "scene"}
IN_SCENE = [
    ("pose/object_move", {}), ("pose/object_turn", {}), ("context/removed", {}), ("context/inserted", {}),
    ("texture/object", SCENE), ("shape/object_stretch", SCENE),
]  # fmt: skip


def eye(x: float = 0.0, y: float = 0.0, yaw: float = 0.0) -> Camera:
    K = np.array([[70.0, 0, WIDTH / 2], [0, 70.0, HEIGHT / 2], [0, 0, 1]])
    pose = look(position=(x, y, 1.5), yaw_rad=yaw, pitch_rad=-0.1)
    return Camera(K=K, width=WIDTH, height=HEIGHT, world_to_cam=pose)


def part(low: tuple[float, float, float], high: tuple[float, float, float], step: float, number: int) -> Cloud:
    """A bar or sheet of Gaussians between two corners that belongs to an object, or to the ground."""
    axes = [np.arange(a, b + 1e-6, step) for a, b in zip(low, high, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    n = len(places)
    scales = torch.full((n, 3), float(np.log(0.6 * step)))
    scales[:, 2] = scales[:, 2] if number else float(np.log(0.01))  # the road is flat
    harmonics = torch.zeros(n, 1, 3)
    harmonics[:, 0] = base_colour(torch.tensor([(0.45, 0.45, 0.45), (0.8, 0.1, 0.1), (0.1, 0.2, 0.8)][number]))
    return Cloud(
        means=torch.from_numpy(places).float(),
        quats=torch.tensor([[1.0, 0, 0, 0]]).repeat(n, 1),
        scales=scales,
        opacities=torch.full((n,), 5.0),
        harmonics=harmonics,
        instances=torch.full((n,), number, dtype=torch.int32),
        classes=torch.full((n,), int(number > 0), dtype=torch.int16),
    )


def street() -> GaussianScene:
    """A level road with two boxes on it, seen by three cameras that look ahead."""
    sizes = {1: ((9.0, 1.0, 0.1), (11.0, 2.6, 1.4)), 2: ((13.0, -3.0, 0.1), (14.0, -1.6, 1.5))}
    cloud = joined([part((1, -12, 0), (40, 12, 0), 0.4, 0), *(part(*ends, 0.15, i) for i, ends in sizes.items())])
    objects = {}
    for number, ends in sizes.items():
        low, high = np.array(ends)
        low[2] = 0.0
        box = np.array([*(low + high) / 2, *(high - low), 1, 0, 0, 0], np.float32)
        objects[number] = SplatObject(label=1, box_3d=box)
    cameras = {f"a/{i}": eye(0.2 * i, 0.3 * i) for i in range(3)}
    cloud = replace(cloud, seen=seen_by(cloud, list(cameras.values())))
    return GaussianScene(cloud=cloud, name="street", objects=objects, class_names=("road", "car"), cameras=cameras)


@pytest.fixture(scope="module")
def splats() -> Sample:
    scene = street()
    return scene.render(scene.cameras["a/1"], sample_id="a/1")


@pytest.fixture(scope="module")
def town() -> Sample:
    world = Town(3)
    return world.render(world.camera(width=128, height=72))


@pytest.mark.core
@pytest.mark.parametrize(("name", "options"), IN_SCENE)
def test_the_same_shift_by_splats_and_by_the_town(
    name: str, options: dict[str, Any], splats: Sample, town: Sample
) -> None:
    for sample, renderer, said in ((splats, "splats", "Gaussian splats"), (town, "exact", "the exact scene")):
        shift = create(name, options)
        done = shifted(sample, shift, 4, seed=2)
        assert done.params.renderer == renderer
        assert done.completed["renderer"] == said
        assert not np.array_equal(done.sample.image, sample.image)
        assert disagreement(done.sample) == ""
        again = replay(sample, shift, params_as_mapping(done.params))
        assert np.array_equal(again.sample.image, done.sample.image)
        assert again.verdicts == done.verdicts


@pytest.mark.parametrize("name", ["texture/object", "shape/object_stretch"])
def test_laws_hold_in_scenes(name: str) -> None:
    check_shift_laws(create(name, SCENE))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), IN_SCENE)
def test_laws_hold_in_splats(name: str, options: dict[str, Any], splats: Sample) -> None:
    class Check(ShiftContract):
        shift_factory = staticmethod(lambda: create(name, options))

        def samples(self) -> list[Sample]:
            return [splats]

    for law in sorted(dir(Check)):
        if law.startswith("test_") and law not in (
            "test_hundreds_of_draws",
            "test_distance_does_not_fall_with_severity",
        ):
            getattr(Check(), law)()


def test_what_the_frame_cuts_off_is_counted_once(splats: Sample) -> None:
    assert splats.scene is not None
    assert splats.camera is not None
    aside = replace(splats.camera, world_to_cam=look(position=(0.2, 0.3, 1.5), yaw_rad=-0.41, pitch_rad=-0.1))
    seen = render_again(splats, who="test", camera=aside).annotations
    direct = splats.scene.render(aside).annotations
    row = direct.instance_ids.tolist().index(1)
    assert direct.boxes[row, 0] == 0  # half of it is out of the frame
    assert direct.visibility is not None
    assert seen.visibility is not None
    assert 0.2 < direct.visibility[row] < 0.8
    assert seen.visibility[0] == pytest.approx(direct.visibility[row])


def test_objects_moved_are_where_they_went(splats: Sample) -> None:
    before = splats.annotations.boxes_3d
    done = shifted(splats, create("pose/object_move"), 3, seed=4)
    after = done.sample.annotations.boxes_3d
    assert before is not None
    assert after is not None
    visible = done.sample.annotations.boxes[:2, 2] > 0
    np.testing.assert_allclose(np.linalg.norm(after[:2, :2] - before[:, :2], axis=1)[visible], 1.0, atol=1e-4)


def test_removed_objects_are_gone_and_one_is_left(splats: Sample) -> None:
    done = shifted(splats, create("context/removed"), 5, seed=1)
    (key,) = done.params.targets
    kinds = {v.instance_id: (v.kind, v.reason) for v in done.verdicts}
    assert kinds[key] == ("invalid", "removed from the scene")
    assert kinds[3 - key][0] == "kept"
    assert not (done.sample.instances == key).any()


def test_objects_put_in_stand_on_free_ground_in_view(splats: Sample) -> None:
    done = shifted(splats, create("context/inserted"), 4, seed=1)
    notes = done.sample.annotations
    assert len(notes) >= 4
    assert notes.boxes_3d is not None
    for row in range(2, len(notes)):
        assert notes.instance_ids[row] > 2
        assert notes.labels[row] == 1
        others = np.delete(notes.boxes_3d[:, :2], row, axis=0)
        assert np.linalg.norm(others - notes.boxes_3d[row, :2], axis=1).min() > 1.5
        assert notes.boxes_3d[row, 2] - 0.5 * notes.boxes_3d[row, 5] == pytest.approx(0, abs=1e-4)


def test_a_street_takes_as_many_more_as_asked_for() -> None:
    """Road and pavement are one ground, though a kerb parts them."""
    frame = next(iter(TownDataset(seed=11, n=1, width=640, height=360)))
    counts = [len(create("context/inserted").draw(frame, s, Rng(5)).donors) for s in (1, 2, 3, 5)]
    assert counts[:3] == [1, 2, 4]
    assert counts[3] > 6


def test_more_of_a_pattern_is_more_of_a_change(splats: Sample) -> None:
    shares = [shifted(splats, create("texture/object", SCENE), s, seed=1).sample.image for s in (1, 3, 5)]
    on = splats.instances == 1
    change = [np.abs(image.astype(int) - splats.image)[on].mean() for image in shares]
    assert change[0] < change[1] < change[2]
    assert (shares[2][splats.instances == 0] == splats.image[splats.instances == 0]).mean() > 0.9


def test_a_side_that_no_view_saw_is_unknown(splats: Sample) -> None:
    little, much = (shifted(splats, create("pose/object_turn"), s, seed=1) for s in (1, 5))
    assert {v.kind for v in little.verdicts} <= {"modified", "occluded"}
    assert {v.kind for v in much.verdicts} == {"invalid"}
    assert "no two training views" in much.verdicts[0].reason
    assert much.sample.meta["unseen"][much.sample.instances > 0].all()


def test_a_scene_is_asked_for_by_name() -> None:
    bare = replace(box_sample(64, 48), scene=None)
    for name in ("texture/object", "shape/object_stretch"):
        with pytest.raises(InputError, match="renderer 'scene' needs a scene"):
            shifted(bare, create(name, SCENE), 3, seed=1)
        with pytest.raises(InputError, match="expected picture or scene"):
            create(name, {"renderer": "splats"})
    with pytest.raises(InputError, match="in scenes, got 'brick'"):
        create("texture/object", {"renderer": "scene", "pattern": "brick"})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weather/rain", "weather/snow"])
def test_weather_in_the_world_is_the_same_in_all_frames(name: str, town: Sample) -> None:
    shift = create(name, {"places": "world", "seed": 7})

    class Check(ShiftContract):
        shift_factory = staticmethod(lambda: shift)
        draws: ClassVar[int] = 4
        monotone_draws: ClassVar[int] = 1

        def samples(self) -> list[Sample]:
            return [box_sample(33, 17)]

    for law in sorted(name for name in dir(Check) if name.startswith("test_")):
        getattr(Check(), law)()
    one = shifted(town, shift, 5, seed=1)
    other = shifted(replace(town, sample_id="another"), shift, 5, seed=1)
    assert one.params.seed == other.params.seed == 7
    later = shifted(replace(town, timestamp_s=3.0), shift, 5, seed=1)
    assert not np.array_equal(one.sample.image, later.sample.image)
    assert np.array_equal(one.sample.annotations.boxes, town.annotations.boxes)
    with pytest.raises(InputError, match="together with places 'world'"):
        create(name, {"seed": 7})
    with pytest.raises(InputError, match="expected camera or world"):
        create(name, {"places": "sky"})
