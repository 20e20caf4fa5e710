"""Objects turned in their scene: exact, in order, and refused clearly where there is no scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scenes.edits import Remove, Turn
from scenes.errors import InputError
from synth.boxworld import box_sample
from synth.pipeline import params_as_mapping, replay, shifted
from synth.pose.camera import carried, leftward, turned
from synth.pose.object_turn import ObjectTurn
from synth.pose.yaw import Yaw
from synth.rerender import render_again

pytestmark = pytest.mark.core


def test_it_is_the_scene_with_the_object_turned() -> None:
    sample = box_sample(160, 90)
    result = shifted(sample, ObjectTurn(max_targets=1), 3, seed=1)
    (key,), (sign,) = result.params.targets, result.params.signs
    exact = sample.scene.render(sample.camera, [Turn(key, yaw_rad=sign * np.radians(45))])  # type: ignore[union-attr,arg-type]
    assert np.array_equal(result.sample.image, exact.image)
    kinds = {v.instance_id: v.kind for v in result.verdicts}
    assert kinds[key] in ("modified", "occluded")


def test_without_a_scene_it_says_so() -> None:
    sample = replace(box_sample(160, 90), scene=None)
    with pytest.raises(InputError, match="needs a scene"):
        shifted(sample, ObjectTurn(), 3, seed=1)


def test_an_object_that_is_gone_keeps_its_row() -> None:
    sample = box_sample(160, 90)
    after = render_again(sample, who="test", edits=[Remove(2)])
    assert after.annotations.instance_ids.tolist() == sample.annotations.instance_ids.tolist()
    assert after.annotations.boxes[1].tolist() == [0, 0, 0, 0]
    assert after.annotations.visibility[1] == 0  # type: ignore[index]


def test_auto_is_exact_where_there_is_a_scene() -> None:
    sample = box_sample(160, 90)
    assert shifted(sample, Yaw(), 2, seed=1).params.renderer == "exact"
    assert shifted(replace(sample, scene=None), Yaw(), 2, seed=1).params.renderer == "reprojection"


def test_turning_left_moves_the_picture_right_and_up_moves_it_down() -> None:
    camera = box_sample(160, 90).camera
    assert camera is not None
    ahead = camera.position + camera.world_to_cam[2, :3] * 10
    ((x, y),) = camera.project(ahead[None])[0]
    assert turned(camera, yaw_deg=5).project(ahead[None])[0][0, 0] > x + 5
    assert turned(camera, pitch_deg=5).project(ahead[None])[0][0, 1] > y + 5
    assert carried(camera, leftward(camera)).project(ahead[None])[0][0, 0] > x + 5
    right = ahead + np.array([0, -2.0, 0])
    assert turned(camera, roll_deg=5).project(right[None])[0][0, 1] < camera.project(right[None])[0][0, 1]


def test_the_renderer_is_said_of_the_exact_scene_too() -> None:
    sample = box_sample(160, 90)
    assert shifted(sample, Yaw(), 2, seed=1).completed["renderer"] == "the exact scene"
    assert (
        shifted(sample, Yaw(renderer="reprojection"), 2, seed=1).completed["renderer"] == "reprojection through depth"
    )
    assert "renderer" not in shifted(sample, Yaw(), 0, seed=1).completed


def test_turns_recorded_before_renderers_were_named_are_replayed() -> None:
    sample = box_sample(160, 90)
    done = shifted(sample, ObjectTurn(max_targets=1), 3, seed=1)
    old = {key: value for key, value in params_as_mapping(done.params).items() if key != "renderer"}
    assert np.array_equal(replay(sample, ObjectTurn(max_targets=1), old).sample.image, done.sample.image)
