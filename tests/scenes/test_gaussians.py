"""Gaussian scenes: the loss, motions, labels, edits, fits that resume, files; and what goes wrong is named."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.nn.functional import conv2d

import scenes.splats.fit as fitting
from cli import main
from scenes.camera import Camera, look
from scenes.capture import Capture, open_capture
from scenes.captures.axes import to_opengl
from scenes.datasets import open_dataset
from scenes.edits import Add, Move, Recolour, Remove, Reshape, Retexture, SetFog, SetGround, SetSky, Turn
from scenes.errors import InputError
from scenes.gaussians import FitSettings, GaussianScene, fit_scene, open_scene, to_image
from scenes.images import write_png
from scenes.sample import Annotations, Sample, Scene
from scenes.splats.checkpoint import Checkpoint
from scenes.splats.cloud import Cloud, base_colour, joined
from scenes.splats.editing import SplatObject, recoloured
from scenes.splats.initial import begin, focus, from_depth
from scenes.splats.labels import without_specks
from scenes.splats.lift import contributions, lifted
from scenes.splats.loss import photometric, photometric_twin, psnr
from scenes.splats.moving import moved, scaled
from scenes.splats.reference import rotation

WIDTH, HEIGHT = 64, 48


def camera(x: float = 0.0, y: float = 0.0, yaw: float = 0.0) -> Camera:
    K = np.array([[50.0, 0, WIDTH / 2], [0, 50.0, HEIGHT / 2], [0, 0, 1]])
    return Camera(K=K, width=WIDTH, height=HEIGHT, world_to_cam=look(position=(x, y, 1.5), yaw_rad=yaw))


def blob(
    place: tuple[float, float, float], color: tuple[float, float, float], n: int = 150, size: float = 0.5
) -> Cloud:
    """A ball of opaque Gaussians, one colour, with some view dependence."""
    g = torch.Generator().manual_seed(n)
    means = torch.nn.functional.normalize(torch.randn(n, 3, generator=g), dim=1) * size
    harmonics = 0.02 * torch.randn(n, 16, 3, generator=g)
    harmonics[:, 0] = base_colour(torch.tensor(color))
    return Cloud(
        means=means + torch.tensor(place),
        quats=torch.randn(n, 4, generator=g),
        scales=torch.log(torch.tensor([0.12, 0.08, 0.1]) * size / 0.5).repeat(n, 1),
        opacities=torch.full((n,), 3.0),
        harmonics=harmonics,
    )


def two_balls() -> GaussianScene:
    """A red ball (1) left and a blue one (2) right, before a grey wall."""
    wall = blob((14.0, 0, 1.5), (0.5, 0.5, 0.5), n=800, size=6.0)
    balls = [blob((6.0, 1.2, 1.5), (0.8, 0.1, 0.1)), blob((6.0, -1.2, 1.5), (0.1, 0.1, 0.8))]
    parts = [wall, *balls]
    labelled = [
        replace(part, instances=torch.full((len(part),), i, dtype=torch.int32),
                classes=torch.full((len(part),), min(i, 1), dtype=torch.int16))
        for i, part in enumerate(parts)
    ]  # fmt: skip
    boxes = {i: np.array([6, y, 1.5, 1.3, 1.3, 1.3, 1, 0, 0, 0], np.float32) for i, y in ((1, 1.2), (2, -1.2))}
    objects = {i: SplatObject(label=1, box_3d=box) for i, box in boxes.items()}
    return GaussianScene(cloud=joined(labelled), objects=objects, class_names=("wall", "ball"))


def torch_loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss of 3DGS with convolutions, written once more."""
    taps = torch.exp(-((torch.arange(11, dtype=x.dtype) - 5) ** 2) / (2 * 1.5**2))
    window = (taps / taps.sum())[:, None] @ (taps / taps.sum())[None]

    def mean(image: torch.Tensor) -> torch.Tensor:
        return conv2d(image.permute(2, 0, 1)[:, None], window[None, None], padding=5)

    mx, my = mean(x), mean(y)
    xx, yy, xy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    ssim = (2 * mx * my + 0.01**2) * (2 * xy + 0.03**2) / ((mx * mx + my * my + 0.01**2) * (xx + yy + 0.03**2))
    return 0.8 * (x - y).abs().mean() + 0.2 * (1 - ssim.mean())


@pytest.mark.core
def test_loss_and_its_gradient_are_those_of_3dgs() -> None:
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(20, 31, 3, generator=g, dtype=torch.float64), torch.rand(20, 31, 3, generator=g).double()
    x.requires_grad_()
    ours, theirs = photometric(x, y.numpy()), torch_loss(x, y)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-9)
    assert float(photometric_twin(x, y).detach()) == pytest.approx(float(theirs.detach()), rel=1e-6)
    torch.testing.assert_close(torch.autograd.grad(ours, x)[0], torch.autograd.grad(theirs, x)[0], rtol=1e-6, atol=1e-9)


def test_psnr() -> None:
    assert psnr(np.zeros((4, 4, 3)), np.full((4, 4, 3), 0.1)) == pytest.approx(20.0)


@pytest.mark.core
def test_a_moved_world_seen_by_a_moved_camera_is_the_same_picture() -> None:
    scene, eye = two_balls(), camera(0.3, 0.2, 0.1)
    pose = np.linalg.inv(look(position=(3.0, -2.0, 1.0), yaw_rad=0.7, pitch_rad=0.4, roll_rad=-0.3))
    other = replace(scene, cloud=moved(scene.cloud, pose))
    behind = replace(eye, world_to_cam=eye.world_to_cam @ np.linalg.inv(pose))
    np.testing.assert_allclose(other.picture(behind), scene.picture(eye), atol=2e-3)
    flat = replace(other.cloud, harmonics=moved(scene.cloud.with_degree(0), pose).with_degree(3).harmonics)
    assert np.abs(replace(other, cloud=flat).picture(behind) - scene.picture(eye)).max() > 4e-3  # harmonics matter


def test_stretched_gaussians_have_the_stretched_covariance() -> None:
    part = blob((1.0, 2, 3), (0.5, 0.5, 0.5))
    frame = np.linalg.inv(look(position=(1.0, 2.0, 3.0), yaw_rad=0.5))
    done = scaled(part, frame, (2.0, 0.5, 1.5))

    def covariance(cloud: Cloud) -> torch.Tensor:
        half = rotation(cloud.quats.double()) * cloud.scales.double().exp()[:, None]
        return half @ half.transpose(1, 2)

    S = torch.from_numpy(frame[:3, :3] @ np.diag([2.0, 0.5, 1.5]) @ frame[:3, :3].T)
    torch.testing.assert_close(covariance(done), S @ covariance(part) @ S.T, rtol=1e-4, atol=1e-7)
    middle = torch.tensor([1.0, 2, 3]).double()
    torch.testing.assert_close(done.means.double() - middle, (part.means.double() - middle) @ S.T, rtol=1e-5, atol=1e-5)


def test_render_gives_true_labels() -> None:
    scene = two_balls()
    assert isinstance(scene, Scene)
    sample = scene.render(camera())
    truth = sample.annotations
    assert truth.instance_ids.tolist() == [1, 2]
    assert sample.depth is not None
    assert sample.instances is not None
    assert truth.masks is not None
    for row, x in enumerate((22, 42)):  # 6 m ahead, 1.2 m to either side
        box = truth.boxes[row]
        assert (box[0] + box[2]) / 2 == pytest.approx(x, abs=1)
        assert abs(float(np.median(sample.depth[truth.masks[row]])) - 5.6) < 0.25
        assert sample.image[24, x].argmax() == (0 if row == 0 else 2)
    assert truth.visibility is not None
    assert (truth.visibility > 0.9).all()  # of twelve pixels across, those at the rim are shared with the wall
    assert truth.segmentation is not None
    assert truth.segmentation[24, 22] == 1
    assert truth.segmentation[24, 32] == 0
    assert ((sample.instances > 0) == (truth.segmentation == 1)).all()


def test_specks_stretch_no_box() -> None:
    instances = np.zeros((20, 40), np.int32)
    instances[5:15, 2:12], instances[5:15, 13:17], instances[0, 39], instances[3, 3] = 1, 1, 1, 2
    done = without_specks(instances)
    assert done[0, 39] == 0  # one pixel far away
    assert (done[5:15, 13:17] == 1).all()  # a part behind a pole
    assert done[3, 3] == 2  # all there is of another


def test_visibility_and_amodal_boxes_behind_another_object_and_at_the_edge() -> None:
    scene = two_balls()
    hidden = scene.render(camera(), [Move(1, x_m=2.0, y_m=-2.0)]).annotations
    assert hidden.visibility is not None
    assert hidden.boxes_amodal is not None
    assert 0.1 < hidden.visibility[0] < 0.8
    assert (hidden.boxes_amodal[0, 2] - hidden.boxes_amodal[0, 0]) > (hidden.boxes[0, 2] - hidden.boxes[0, 0])
    cut = scene.render(camera(), [Move(1, y_m=2.5)]).annotations
    assert cut.boxes_amodal is not None
    assert cut.visibility is not None
    assert cut.boxes_amodal[0, 0] < 0
    assert cut.visibility[0] < 0.9


def test_nothing_in_view_is_an_empty_frame() -> None:
    sample = two_balls().render(camera(yaw=math.pi))
    assert (sample.image == 0).all()
    assert len(sample.annotations) == 0
    assert sample.depth is not None
    assert np.isnan(sample.depth).all()


def test_votes_are_sums_of_weights() -> None:
    scene, eye = two_balls(), camera()
    masks = np.zeros((30, HEIGHT, WIDTH), bool)
    masks[0] = True
    masks[1, :, : WIDTH // 2] = True
    masks[29, :, WIDTH // 2 :] = True
    votes = contributions(scene.cloud, eye, masks)
    alpha = scene._rasterise(scene.cloud, eye)[1]
    assert float(votes[:, 0].sum()) == pytest.approx(float(alpha.sum()), rel=1e-4)
    torch.testing.assert_close(votes[:, 1] + votes[:, 29], votes[:, 0], rtol=1e-4, atol=1e-4)
    assert (votes[:, 2:29] == 0).all()


def test_labels_lifted_from_pictures_come_back() -> None:
    scene = two_balls()
    samples = [scene.render(camera(0, y, -0.1 * y)) for y in (-1.0, 0.0, 1.0)]
    boxes = {i: thing.box_3d for i, thing in scene.objects.items() if thing.box_3d is not None}
    bare = replace(scene.cloud, instances=None, classes=None)
    found = lifted(bare, samples, boxes, 2)
    assert found.instances is not None
    assert scene.cloud.instances is not None
    assert (found.instances == scene.cloud.instances)[800:].float().mean() > 0.98
    again = replace(scene, cloud=found).render(camera(0.5, 0.3))
    exact = scene.render(camera(0.5, 0.3))
    assert again.instances is not None
    assert (again.instances == exact.instances).mean() > 0.99


def test_objects_are_chosen_by_boxes_or_by_masks() -> None:
    scene, eye = two_balls(), camera()
    bare = replace(scene, cloud=replace(scene.cloud, instances=None), objects={})
    assert len(bare.render(eye).annotations) == 0
    exact = scene.render(eye)
    assert exact.instances is not None
    views = [scene.render(camera(0, y, -0.1 * y)) for y in (-1.0, 0.0, 1.0)]
    plain = {i: replace(thing, box_3d=None) for i, thing in scene.objects.items()}
    for chosen in (bare.with_objects(scene.objects), bare.with_objects(plain, samples=views)):
        sample = chosen.render(eye)
        assert sample.annotations.instance_ids.tolist() == [1, 2]
        assert (sample.instances == exact.instances).mean() > 0.98
        assert chosen.render(eye, [Remove(1)]).annotations.instance_ids.tolist() == [2]
    with pytest.raises(InputError, match=r"no box_3d of \[1, 2\]"):
        bare.with_objects(plain)


def test_remove_shows_what_is_behind() -> None:
    scene = two_balls()
    before, after = scene.render(camera()), scene.render(camera(), [Remove(1)])
    assert after.annotations.instance_ids.tolist() == [2]
    assert before.annotations.masks is not None
    left = before.annotations.masks[0]
    assert (after.image[left].max(axis=1) - after.image[left].min(axis=1)).mean() < 60  # grey, not red
    assert (after.image[~left] == before.image[~left]).mean() > 0.95
    assert len(scene.render(camera()).annotations) == 2  # the scene itself is as it was


def test_move_turn_and_reshape_carry_pixels_and_boxes() -> None:
    scene = two_balls()
    moved_box = scene.render(camera(), [Move(2, y_m=0.6)]).annotations
    assert moved_box.boxes_3d is not None
    np.testing.assert_allclose(moved_box.boxes_3d[1, :3], [6, -0.6, 1.5], atol=1e-6)
    assert moved_box.boxes[1, 0] == pytest.approx(scene.render(camera()).annotations.boxes[1, 0] - 5, abs=1)
    turned = scene.render(camera(), [Turn(1, yaw_rad=math.pi / 2)]).annotations
    assert turned.boxes_3d is not None
    np.testing.assert_allclose(turned.boxes_3d[0, 6:], [math.sqrt(0.5), 0, 0, math.sqrt(0.5)], atol=1e-6)
    np.testing.assert_allclose(turned.boxes_3d[0, :3], [6, 1.2, 1.5], atol=1e-5)
    tall = scene.render(camera(), [Reshape(1, height=1.5)]).annotations
    assert tall.boxes_3d is not None
    assert tall.boxes_3d[0, 5] == pytest.approx(1.95)
    assert tall.boxes_3d[0, 2] == pytest.approx(1.5 + 0.325)
    grown = tall.boxes[0, 3] - tall.boxes[0, 1]
    assert grown == pytest.approx(1.5 * (turned.boxes[0, 3] - turned.boxes[0, 1]), rel=0.2)


def test_recolour_keeps_shade_and_dark_parts() -> None:
    part = joined([blob((0, 0, 0), (0.5, 0.5, 0.5), n=50), blob((0, 0, 0), (0.05, 0.05, 0.05), n=10)])
    done = recoloured(part, (0.5, 0.01, 0.01))
    paint, tyre = done.harmonics[:50, 0].mean(0), done.harmonics[50:, 0]
    assert paint[0] > paint[1] + 1
    torch.testing.assert_close(tyre, part.harmonics[50:, 0])


def test_recolour_and_retexture_change_only_the_object() -> None:
    scene = two_balls()
    before = scene.render(camera())
    assert before.annotations.masks is not None
    for edit in (Recolour(1, 0.02, 0.6, 0.02), Retexture(1, "checker", 0.2), Retexture(1, "rust", 0.2, seed=3)):
        after = scene.render(camera(), [edit])
        changed = (after.image.astype(int) - before.image).__abs__().max(axis=2) > 20
        assert changed[before.annotations.masks[0]].mean() > 0.4
        assert changed[before.annotations.masks[1]].mean() == 0
        assert (after.instances == before.instances).all()


def test_add_copies_an_object_of_this_or_another_scene(tmp_path: Path) -> None:
    scene = two_balls()
    more = scene.render(camera(), [Add("copy:1", 8.0, 0.0)]).annotations
    assert more.instance_ids.tolist() == [1, 2, 3]
    assert more.boxes_3d is not None
    np.testing.assert_allclose(more.boxes_3d[2, :3], [8, 0, 1.5], atol=1e-5)
    scene.save(tmp_path / "other")
    bare = GaussianScene(cloud=scene.cloud.take(torch.arange(800)), class_names=scene.class_names)
    placed = bare.render(camera(), [Add(f"{tmp_path / 'other'}:2", 6.0, 0.5, yaw_rad=0.3)])
    assert placed.annotations.instance_ids.tolist() == [1]
    assert placed.image[24, 28].argmax() == 2


def test_objects_of_another_scene_have_its_classes_by_name(tmp_path: Path) -> None:
    scene = replace(two_balls(), class_names=("wall", "red", "blue"))
    words = {i: replace(thing, label=i, attributes={"actor": i}) for i, thing in scene.objects.items()}
    assert scene.cloud.instances is not None
    classes = scene.cloud.instances.clamp(min=0).to(torch.int16)
    scene = replace(scene, objects=words, cloud=replace(scene.cloud, classes=classes))
    others = {i: replace(thing, label=2 - i) for i, thing in words.items()}
    other = replace(scene, class_names=("blue", "green", "wall"), objects=others,
                    cloud=replace(scene.cloud, classes=2 - classes))  # fmt: skip
    other.save(tmp_path / "other")
    for number, label, kind in ((2, 2, 2), (1, 0, -1)):  # blue has its place there, green has none
        seen = scene.render(camera(), [Add(f"{tmp_path / 'other'}:{number}", 6.0, 0.5)])
        row = seen.annotations.instance_ids.tolist().index(3)
        assert (seen.annotations.labels[row], seen.annotations.ignore[row]) == (label, kind < 0)
        assert seen.annotations.segmentation is not None
        assert set(seen.annotations.segmentation[seen.instances == 3].tolist()) == {kind}
    seen = scene.render(camera(), [Add(str(tmp_path / "other" / "gaussians.ply"), 6.0, 0.5)])
    assert seen.annotations.ignore[seen.annotations.instance_ids.tolist().index(3)]


def test_an_object_put_in_is_one_of_its_own() -> None:
    scene = two_balls()
    scene = replace(scene, objects={i: replace(t, attributes={"actor": i}) for i, t in scene.objects.items()})
    again = scene.render(camera(), [Remove(2), Add("copy:1", 8.0, 2.0)])  # not the one that is gone
    assert again.annotations.instance_ids.tolist() == [1, 3]
    assert again.annotations.attributes[1]["actor"] == 3
    left = scene.render(camera(), [Add("copy:1", 8.0, 2.0), Remove(1)])
    assert left.annotations.instance_ids.tolist() == [2, 3]


def test_fog_takes_contrast_with_distance() -> None:
    scene = two_balls()
    clear, fog = (scene.render(camera(), edits).image.astype(float) for edits in ([], [SetFog(10.0, 0.6)]))
    assert abs(fog[24, 22] - clear[24, 22]).max() > 20
    assert np.ptp(fog[24, 22]) < 0.7 * np.ptp(clear[24, 22])


def test_less_light_is_less_light_everywhere() -> None:
    scene = two_balls()
    clear, dim = (scene.render(camera(), edits).image for edits in ([], [SetSky(0.0, brightness=0.25)]))
    linear = [((image / 255.0 + 0.055) / 1.055) ** 2.4 for image in (clear, dim)]
    bright = clear > 80
    np.testing.assert_allclose(linear[1][bright] / linear[0][bright], 0.25, atol=0.05)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Remove(9), r"Remove: no object 9 in this scene; it has \[1, 2\]"),
        (Reshape(1, height=0.0), "expected factors > 0"),
        (SetGround("wet"), "SetGround: fitted Gaussians have their ground baked in"),
        (Add("bus", 1.0, 2.0), "Add: bus: no such scene"),
        (Add("copy:7", 1.0, 2.0), "no object 7"),
        (SetFog(-1.0), "visibility_m > 0"),
        (SetFog(math.nan), "SetFog: expected a finite visibility_m, got nan"),
        (Turn(1, math.nan), "Turn: expected a finite yaw_rad, got nan"),
        (Reshape(1, height=math.inf), "Reshape: expected a finite height, got inf"),
        (Add("copy:1", math.nan, 0.0), "Add: expected a finite x_m, got nan"),
    ],
)
def test_edits_that_cannot_be_are_named(edit: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        two_balls().render(camera(), [edit])


def test_a_saved_scene_is_the_same(tmp_path: Path) -> None:
    scene = replace(two_balls(), cameras={"a": camera()}, held_out=("a",), about={"held_out_psnr_db": 30.0})
    scene.save(tmp_path)
    again = open_scene(tmp_path)
    first, second = scene.render(camera()), again.render(again.cameras["a"])
    assert (first.image == second.image).all()
    assert (first.annotations.boxes == second.annotations.boxes).all()
    assert again.held_out == ("a",)
    alone = open_scene(tmp_path / "gaussians.ply")
    assert sorted(alone.objects) == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"), [("{", "cannot be read"), ('{"format": "x", "version": 1}', "expected format")]
)
def test_broken_scenes_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "scene.json").write_text(text)
    with pytest.raises(InputError, match=message):
        open_scene(tmp_path)


def write_capture(folder: Path, n: int = 10) -> Capture:
    """Pictures of the two balls as a capture on disk."""
    scene = two_balls()
    frames = []
    for i in range(n):
        eye = camera(0.2 * i % 1.1, 0.25 * (i - n / 2), -0.03 * (i - n / 2))
        write_png(folder / "images" / f"{i:02d}.png", to_image(scene.picture(eye)))
        pose = to_opengl(eye.world_to_cam).tolist()
        frames.append({"file_path": f"images/{i:02d}.png", "transform_matrix": pose})
    known = {"fl_x": 50.0, "cx": WIDTH / 2, "cy": HEIGHT / 2, "w": WIDTH, "h": HEIGHT, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(known))
    return open_capture(folder)


SMALL = FitSettings(steps=120, start="random", start_count=800, max_gaussians=2000, degree=1, seed=3)


def test_a_fit_learns_views_that_it_never_saw(tmp_path: Path) -> None:
    capture = write_capture(tmp_path / "capture")
    counts: list[int] = []
    settings = replace(SMALL, steps=300)
    scene = fit_scene(capture, tmp_path / "scene", settings, report=lambda now: counts.append(now.gaussians))
    assert settings.start_count < max(counts) <= settings.max_gaussians
    assert scene.about["held_out_psnr_db"] > 24
    _, held_out = capture.split()
    assert sorted(scene.about["psnr_db"]) == [view.name for view in held_out]
    assert open_scene(tmp_path / "scene").about["held_out_psnr_db"] == scene.about["held_out_psnr_db"]


def test_pictures_of_mixed_sizes_fit_together(tmp_path: Path) -> None:
    capture = write_capture(tmp_path / "capture", 6)
    mixed = replace(capture, views=[v.resized(33, 25) if i % 2 else v for i, v in enumerate(capture.views)])
    assert len(fitting.fit(mixed, replace(SMALL, steps=12))) > 100


def test_depth_error_passes_over_what_is_unknown() -> None:
    depth = torch.full((2, 3), 11.0, requires_grad=True)
    alpha = torch.tensor([[1.0, 1, 1], [1, 1, 0.2]])
    truth = np.array([[10, np.inf, np.nan], [10, 1, 3]], np.float32)
    error = fitting.depth_error(depth, alpha, truth)
    assert float(error.detach()) == pytest.approx((0.1 + 0.1 + 1.0) / 3)  # the worst counts as 1
    (slope,) = torch.autograd.grad(error, depth)
    assert (slope != 0).tolist() == [[True, False, False], [True, False, False]]


def test_depth_of_the_capture_is_learnt(tmp_path: Path) -> None:
    capture = write_capture(tmp_path / "capture", 6)
    scene = two_balls()

    class WithDepth:
        def __init__(self, view: Any) -> None:
            self.name, self.camera, self._view = view.name, view.camera, view

        def resized(self, width: int, height: int) -> Any:
            return WithDepth(self._view.resized(width, height))

        def load(self) -> Sample:
            return replace(self._view.load(), depth=scene.render(self.camera).depth)

    known = replace(capture, views=[WithDepth(view) for view in capture.views])
    errors = []
    for weight in (0.0, 0.3):
        cloud = fitting.fit(known, replace(SMALL, steps=150, depth_weight=weight))
        errors.append(depth_of(GaussianScene(cloud=cloud), known.split()[1]))
    assert errors[1] < errors[0]


def depth_of(scene: GaussianScene, views: Any) -> float:
    """Median relative error of expected depth over views."""
    found = []
    for view in views:
        truth = view.load().depth
        depth = scene.render(view.camera).depth
        assert depth is not None
        both = np.isfinite(truth) & np.isfinite(depth)
        found.append(np.abs(depth[both] - truth[both]) / truth[both])
    return float(np.median(np.concatenate(found)))


def test_a_stopped_fit_goes_on_to_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = write_capture(tmp_path / "capture")
    whole = fitting.fit(capture, SMALL, checkpoint=tmp_path / "a.safetensors", save_every=50)

    def stop(now: fitting.Progress) -> None:
        if now.step == 77:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitting.fit(capture, SMALL, checkpoint=tmp_path / "b.safetensors", save_every=50, report=stop)
    steps: list[int] = []
    resumed = fitting.fit(
        capture, SMALL, checkpoint=tmp_path / "b.safetensors", save_every=50, report=lambda now: steps.append(now.step)
    )
    assert steps[0] == 51
    for name, value in whole.tensors().items():
        assert torch.equal(resumed.tensors()[name], value), name


def test_a_fit_leaves_global_randomness_alone(tmp_path: Path) -> None:
    capture = write_capture(tmp_path / "capture", 3)
    before = torch.random.get_rng_state()
    fitting.fit(capture, replace(SMALL, steps=3))
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    capture = write_capture(tmp_path / "capture", 3)
    fitting.fit(capture, replace(SMALL, steps=3), checkpoint=tmp_path / "c.safetensors")
    saved = (tmp_path / "c.safetensors").read_bytes()
    with pytest.raises(InputError, match="is of another fit"):
        fitting.fit(capture, replace(SMALL, steps=4), checkpoint=tmp_path / "c.safetensors")
    assert (tmp_path / "c.safetensors").read_bytes() == saved
    (tmp_path / "c.safetensors").write_bytes(saved[:100])
    with pytest.raises(InputError, match="cannot be read"):
        Checkpoint.read(tmp_path / "c.safetensors", "x")


def test_too_much_memory_is_told_beforehand(tmp_path: Path) -> None:
    capture = write_capture(tmp_path / "capture", 3)
    with pytest.raises(InputError, match=r"would need about .* GB for 1000000000 Gaussians"):
        fitting.fit(capture, replace(SMALL, max_gaussians=10**9))


def test_memory_is_asked_for_before_photos_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = write_capture(tmp_path / "capture", 3)
    for path in (tmp_path / "capture" / "images").iterdir():
        path.unlink()  # reading would fail
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 2**20}))
    with pytest.raises(InputError, match=r"would need about .* GB are free; lower --max-gaussians or --pixels"):
        fit_scene(capture, tmp_path / "scene", SMALL)
    assert not (tmp_path / "scene").exists()


def test_a_failed_fit_leaves_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = write_capture(tmp_path / "capture", 3)

    def out_of_memory(now: fitting.Progress) -> None:
        if now.step == 7:
            raise MemoryError

    settings, file = replace(SMALL, steps=9), tmp_path / "c.safetensors"
    with pytest.raises(InputError, match=r"out of memory at step 7 .* the checkpoint is intact"):
        fitting.fit(capture, settings, checkpoint=file, save_every=5, report=out_of_memory)
    steps: list[int] = []
    fitting.fit(capture, settings, checkpoint=file, save_every=5, report=lambda now: steps.append(now.step))
    assert steps == [6, 7, 8, 9]


def test_a_path_out_of_the_scene_is_refused(tmp_path: Path) -> None:
    replace(two_balls(), cameras={"a": camera()}).save(tmp_path / "scene")
    for command, out in (("render", "out"), ("view", "page.html")):
        line = ["scene", command, str(tmp_path / "scene"), "--trajectory", "straight", "--length", "1e6"]
        done = CliRunner().invoke(main, [*line, "--frames", "2", "--out", str(tmp_path / out)])
        assert done.exit_code == 2
        assert "2 of 2: nothing of the scene is in view" in done.stderr
        assert not (tmp_path / out).exists()


def test_starts(tmp_path: Path) -> None:
    capture = write_capture(tmp_path / "capture", 4)
    samples = [view.load() for view in capture.views]
    with pytest.raises(InputError, match="no view has depth"):
        from_depth(samples, 100, 0)
    with pytest.raises(InputError, match="has no points"):
        begin(capture, samples, start="points", count=100, degree=1, seed=0)
    known = replace(capture, points=two_balls().cloud.means.numpy())
    cloud, words = begin(known, samples, start="points", count=500, degree=1, seed=0)
    assert len(cloud) == 500
    assert "points" in words
    assert focus(samples) > 0.5


def test_depth_puts_pixels_back_where_they_were() -> None:
    eye = camera(1.0, 2.0, 0.3)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    depth = np.full((HEIGHT, WIDTH), 4.0, np.float32)
    depth[:10], depth[10:20] = np.inf, np.nan
    sample = Sample(sample_id="a", image=image, depth=depth, camera=eye, annotations=Annotations())
    points, _ = from_depth([sample], 3000, 0)
    pixels, z = eye.project(points.astype(np.float64))
    ground = z < 5
    np.testing.assert_allclose(z[ground], 4, atol=1e-4)
    assert (pixels[ground, 1] > 20).all()
    assert (pixels[~ground, 1] < 10).all()
    assert np.linalg.norm(points[~ground] - eye.position, axis=1).min() > 11.9


def test_command_fits_and_says_how_well(tmp_path: Path) -> None:
    write_capture(tmp_path / "capture", 6)
    command = ["scene", "fit", str(tmp_path / "capture"), "--method", "splat", "--out", str(tmp_path / "scene")]
    result = CliRunner().invoke(main, [*command, "--steps", "20", "--start", "random", "--max-gaussians", "500"])
    assert result.exit_code == 0, result.output
    last = result.stdout.splitlines()[-1]
    assert last.startswith("held-out PSNR: ")
    assert last.endswith(" dB")
    fitted = open_scene(tmp_path / "scene")
    assert fitted.about["held_out_psnr_db"] == pytest.approx(float(last.split()[2]), abs=0.05)
    assert fitted.about["capture"] == str((tmp_path / "capture").resolve())  # where `scene:DIR` finds the photos
    assert fitted.cloud.seen is not None
    assert int(fitted.cloud.seen.max()) == len(fitted.cameras) - len(fitted.held_out)
    bad = CliRunner().invoke(main, ["scene", "fit", str(tmp_path / "nothing"), "--out", str(tmp_path / "x")])
    assert bad.exit_code == 2
    assert "no such file or folder" in bad.stderr


def test_commands_render_and_export(tmp_path: Path) -> None:
    replace(two_balls(), cameras={"a": camera(), "b": camera(0.5)}).save(tmp_path / "scene")
    command = ["scene", "render", str(tmp_path / "scene"), "--out", str(tmp_path / "out"), "--frames", "2"]
    done = CliRunner().invoke(main, [*command, "--trajectory", "lane-change", "--length", "1", "--offset", "0.5"])
    assert done.exit_code == 0, done.output
    data = open_dataset(tmp_path / "out")
    assert data.class_names == ("wall", "ball")
    assert [len(data[sample_id].annotations) for sample_id in data.sample_ids] == [2, 2]
    for options in ([], ["--compressed"]):
        file = tmp_path / f"a{len(options)}.ply"
        done = CliRunner().invoke(main, ["scene", "export", str(tmp_path / "scene"), str(file), *options])
        assert done.exit_code == 0, done.output
        assert file.read_bytes().startswith(b"ply")


@pytest.mark.slow
@pytest.mark.real
def test_the_fox_is_learnt_from_points_triangulated_over_its_poses(tmp_path: Path, real_data: Path) -> None:
    settings = FitSettings(steps=400, pixels=240, max_gaussians=15_000, start_count=8_000, start="triangulate")
    scene = fit_scene(real_data / "fox", tmp_path, settings)
    assert scene.about["held_out_psnr_db"] > 22
    assert any("triangulate" in note for note in scene.about["notes"])


@pytest.mark.slow
def test_the_town_is_learnt_with_its_labels(tmp_path: Path) -> None:
    settings = FitSettings(steps=400, pixels=160, max_gaussians=20_000, start_count=12_000)
    scene = fit_scene("town:3:24", tmp_path, settings)
    assert scene.about["held_out_psnr_db"] > 24
    capture = open_capture("town:3:24").at_most(160)
    truth = capture.split()[1][1].load()
    assert truth.camera is not None
    sample = scene.render(truth.camera)
    assert truth.instances is not None
    assert sample.instances is not None
    assert (sample.instances == truth.instances).mean() > 0.95
    assert sample.annotations.segmentation is not None
    assert (sample.annotations.segmentation == truth.annotations.segmentation).mean() > 0.93
