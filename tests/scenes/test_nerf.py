"""NeRF scenes: nerfstudio's own functions as references, laws of depth and resume, and what is refused."""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cli import main
from scenes.camera import Camera, look
from scenes.capture import open_capture
from scenes.captures.axes import to_opengl
from scenes.datasets import open_dataset
from scenes.edits import Remove
from scenes.errors import InputError
from scenes.fitted import open_fitted
from scenes.nerf import NerfScene, NerfSettings, fit_nerf, open_nerf
from scenes.nerfs import fit as fitting
from scenes.nerfs import model as models
from scenes.nerfs.rays import Frame, look_at
from synth.pipeline import shifted
from synth.registry import create

SMALL = NerfSettings(steps=40, rays=256, pixels=48, seed=3)


@pytest.fixture(scope="module")
def studio() -> None:
    """What needs nerfstudio itself: left out where it is not installed (the core environment)."""
    pytest.importorskip("nerfstudio")
    with models.quiet():
        import nerfstudio.models.nerfacto  # noqa: F401


@pytest.fixture(scope="module")
def scene(studio: None, tmp_path_factory: pytest.TempPathFactory) -> NerfScene:
    folder = tmp_path_factory.mktemp("nerf") / "scene"
    return fit_nerf("town:3:6", folder, SMALL)


def camera_of(scene: NerfScene) -> Camera:
    return scene.cameras["town/3/002"]


def test_without_nerfstudio_there_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "nerfstudio.models.nerfacto", None)
    with pytest.raises(InputError, match=r"pip install 'roadproof\[nerf\]'"):
        fit_nerf("town:3:6", tmp_path / "s", SMALL)
    assert not (tmp_path / "s").exists()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "scene.json").write_text(json.dumps({"format": "roadproof nerf"}))
    result = CliRunner().invoke(main, ["scene", "view", str(tmp_path / "old"), "--out", str(tmp_path / "a.html")])
    assert result.exit_code == 2
    assert "pip install 'roadproof[nerf]'" in result.output


@pytest.mark.parametrize(("levels", "size", "finest"), [(8, 14, 256), (1, 6, 16), (5, 10, 2048)])
def test_the_hash_grid_is_nerfstudios(studio: None, levels: int, size: int, finest: int) -> None:
    from nerfstudio.field_components.encodings import HashEncoding

    from scenes.nerfs.hashgrid import Encode

    torch.manual_seed(levels)
    grid = HashEncoding(
        num_levels=levels, max_res=finest, log2_hashmap_size=size, implementation="torch", hash_init_scale=1.0
    )
    points = torch.rand(3000, 3)
    points[:2], points[2] = torch.tensor([[0.0], [1.0]]), torch.tensor([0.5, 0.25, 1.0])
    above = torch.randn(3000, 2 * levels)
    theirs = grid.pytorch_fwd(points)
    theirs.backward(above)
    wanted = grid.hash_table.grad.clone()
    grid.hash_table.grad = None
    ours = Encode.apply(points, grid.hash_table, grid.scalings)
    ours.backward(above)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert torch.allclose(grid.hash_table.grad, wanted, atol=1e-3, rtol=1e-4)


def test_the_contraction_is_nerfstudios(studio: None) -> None:
    from nerfstudio.field_components.spatial_distortions import SceneContraction

    from scenes.nerfs.hashgrid import contracted

    places = torch.randn(2000, 3, generator=torch.Generator().manual_seed(1)) * 5
    assert torch.allclose(contracted(places), SceneContraction(order=float("inf"))(places), atol=1e-6)


def test_fast_kernels_render_what_nerfstudio_renders(scene: NerfScene) -> None:
    plain = models.build(scene.fields, scene.trained_on, fast=False)
    models.load_tensors(plain, models.tensors_of(scene.model), owner="test")
    theirs, ours = look_at(plain, scene.frame, camera_of(scene)), scene.look(camera_of(scene))
    assert np.abs(theirs.picture - ours.picture).max() < 1e-4
    assert np.median(np.abs(theirs.depth / ours.depth - 1)) < 1e-4


def test_rays_are_those_of_nerfstudios_cameras(studio: None) -> None:
    from nerfstudio.cameras.cameras import Cameras

    K = np.array([[40.0, 0, 13.2], [0, 44.0, 9.9], [0, 0, 1]])
    pose = look(position=(3, -2, 1.5), yaw_rad=0.7, pitch_rad=0.1, roll_rad=-0.2)
    camera = Camera(K=K, width=27, height=19, world_to_cam=pose)
    motion = np.linalg.inv(look(position=(1, 2, 3), yaw_rad=-1.0))
    frame = Frame(motion, 0.25)
    matrix = motion @ to_opengl(camera.world_to_cam)
    matrix[:3, 3] *= 0.25
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using a non-tuple sequence", UserWarning)  # within nerfstudio, by torch 2.9
        theirs = Cameras(
            torch.from_numpy(matrix[None, :3]).float(), fx=40.0, fy=44.0, cx=13.2, cy=9.9, width=27, height=19
        ).generate_rays(camera_indices=0, keep_shape=True)
    ours = frame.rays(camera)
    assert torch.allclose(ours.origins, theirs.origins, atol=1e-6)
    assert torch.allclose(ours.directions, theirs.directions, atol=1e-6)
    assert torch.allclose(ours.metadata["directions_norm"], theirs.metadata["directions_norm"], atol=1e-6)


def test_depth_is_along_the_optical_axis_in_units_of_the_world(studio: None) -> None:
    """A wall 5 m ahead: distance along a ray grows to the corners, depth does not."""
    camera = replace(Camera.assumed(24, 16), world_to_cam=look(position=(4, 5, 1.5), yaw_rad=1.0))

    class Wall(torch.nn.Module):
        device = torch.device("cpu")

        def get_outputs_for_camera_ray_bundle(self, rays: Any) -> dict[str, torch.Tensor]:
            distance = 5.0 * 0.125 * rays.metadata["directions_norm"]  # in the model's own units
            ones = torch.ones_like(distance)
            return {"rgb": ones.expand(-1, -1, 3), "expected_depth": distance, "accumulation": ones}

    found = look_at(Wall(), Frame(np.eye(4), 0.125), camera)
    assert found.depth == pytest.approx(5.0, abs=1e-4)


def test_pixels_of_the_pool_are_those_of_the_pictures(studio: None) -> None:
    """Rays, colours and depths that a step draws are what the views hold at those pixels."""
    from scenes.random import Rng

    views = open_capture("town:3:3").at_most(32).views
    samples = [views[0].load(), views[1].resized(20, 14).load()]
    frame = Frame.around([view.camera for view in views])
    rays, colors, depth = fitting.Pool(samples, frame).draw(Rng("test"), 400, "cpu")
    assert set(rays.camera_indices.squeeze(-1).tolist()) == {0, 1}
    for number, sample in enumerate(samples):
        assert sample.camera is not None
        assert sample.depth is not None
        whole = frame.rays(sample.camera)
        rows = torch.nonzero(rays.camera_indices.squeeze(-1) == number).squeeze(1)
        gap = (rays.directions[rows][:, None] - whole.directions.reshape(-1, 3)).abs().sum(-1)
        at = gap.argmin(dim=1)
        assert gap.min(dim=1).values.max() < 1e-5
        assert np.allclose(colors[rows] * 255, sample.image.reshape(-1, 3)[at], atol=1e-3)
        length = whole.metadata["directions_norm"].reshape(-1)[at]
        wanted = torch.from_numpy(sample.depth.ravel())[at] * length * frame.scale
        assert depth is not None
        assert torch.allclose(depth[rows, 0], wanted, rtol=1e-4)


def test_a_fit_learns_and_says_how_far_it_is(studio: None) -> None:
    steps: list[fitting.NerfProgress] = []
    capture = open_capture("town:3:4").at_most(32)
    fitting.fit(capture, replace(SMALL, steps=60, pixels=32), report=steps.append)
    assert [now.step for now in steps] == list(range(1, 61))
    assert steps[-1].psnr > steps[0].psnr + 0.5
    assert steps[-1].loss < 0.93 * steps[0].loss


def test_a_stopped_fit_goes_on_to_the_same_bytes(studio: None, tmp_path: Path) -> None:
    capture = open_capture("town:3:4").at_most(24)
    settings = replace(SMALL, steps=9, rays=64, pixels=24)
    whole = fitting.fit(capture, settings)

    def stop(now: fitting.NerfProgress) -> None:
        if now.step == 6:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fitting.fit(capture, settings, checkpoint=path, report=stop, save_every=3)
    notes: list[str] = []
    resumed = fitting.fit(capture, settings, checkpoint=path, save_every=3, note=notes.append)
    assert notes[0].startswith("going on from step 3")
    for name, value in whole.tensors().items():
        assert torch.equal(value, resumed.tensors()[name]), name
    with pytest.raises(InputError, match="of another fit"):
        fitting.fit(capture, replace(settings, seed=4), checkpoint=path)


def test_a_scene_survives_saving(scene: NerfScene, tmp_path: Path) -> None:
    scene.save(tmp_path)
    again = open_fitted(tmp_path)
    assert isinstance(again, NerfScene)
    one, two = scene.render(camera_of(scene)), again.render(camera_of(scene))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.depth, two.depth, equal_nan=True)  # type: ignore[arg-type]  # both have depth
    assert np.array_equal(one.meta["unseen"], two.meta["unseen"])
    assert again.held_out == scene.held_out == ("town/3/000",)
    assert again.about["held_out_psnr_db"] == pytest.approx(scene.about["held_out_psnr_db"])
    assert 0 < again.about["held_out_ssim"] < 1


def test_where_no_training_view_looked_is_marked(scene: NerfScene) -> None:
    camera = camera_of(scene)
    assert scene.render(camera).meta["unseen"].mean() < 0.95  # of a NeRF that has hardly begun to learn
    turn = np.diag([-1.0, 1.0, -1.0, 1.0])
    assert scene.render(replace(camera, world_to_cam=turn @ camera.world_to_cam)).meta["unseen"].all()


def test_edits_are_refused(scene: NerfScene) -> None:
    with pytest.raises(InputError, match="Remove: a NeRF has no objects that could be changed"):
        scene.render(camera_of(scene), [Remove(1)])


@pytest.mark.parametrize("name", ["lateral", "height", "yaw", "pitch"])
def test_pose_shifts_render_by_the_nerf_and_say_so(scene: NerfScene, tmp_path: Path, name: str) -> None:
    scene.save(tmp_path)
    data = open_dataset(f"rendered:{tmp_path}")
    assert data.tasks == ("detection",)
    sample = data["town/3/002"]
    made = shifted(sample, create(f"pose/{name}"), 3, seed=1)
    assert made.params.renderer == "nerf"
    assert made.completed["renderer"] == "a NeRF"
    assert made.sample.camera is not None
    assert np.array_equal(made.sample.image, scene.render(made.sample.camera).image)
    assert len(made.verdicts) == len(made.sample.annotations)


def test_a_scene_as_data_set_shows_photos_and_says_what_renders(scene: NerfScene, tmp_path: Path) -> None:
    scene.save(tmp_path)
    data: Any = open_dataset(f"scene:{tmp_path}")
    photo = open_capture("town:3:6").at_most(48).views[2].load()
    assert np.array_equal(data["town/3/002"].image, photo.image)
    assert "rendered from a NeRF fitted to town:3:6; its PSNR on held-out views is" in data.notes[0]
    with pytest.raises(InputError, match="not a NeRF"):
        shifted(data["town/3/002"], create("pose/object_turn"), 3, seed=1)


def test_lpips_is_never_downloaded(studio: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torchmetrics.image.lpip as module

    usual = module.LearnedPerceptualImagePatchSimilarity
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    model = models.build(models.SMALL, 1)
    assert isinstance(model.lpips, models.NoLpips)
    assert module.LearnedPerceptualImagePatchSimilarity is usual
    with pytest.raises(InputError, match=models.ALEXNET):
        model.lpips()
    models.alexnet().parent.mkdir()
    models.alexnet().touch()
    with models._local_lpips():
        assert module.LearnedPerceptualImagePatchSimilarity is usual


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"steps": 0}, "steps: expected 1"), ({"rays": 3}, "rays: expected 16"), ({"pixels": 2}, "pixels: expected 8"),
     ({"depth_weight": -1.0}, "depth_weight"), ({"size": "large"}, "expected auto, small or full")],
)  # fmt: skip
def test_settings_that_make_no_sense(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        NerfSettings(**settings)


def test_sizes_follow_the_device() -> None:
    assert NerfSettings().resolved("cpu").size == "small"
    full = NerfSettings().resolved("cuda:0")
    assert (full.size, full.steps, full.rays) == ("full", 30_000, 4096)
    assert NerfSettings(steps=7).resolved("cuda").steps == 7


def test_too_little_memory_is_said_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**30))
    with pytest.raises(InputError, match=r"it would need about 1\.\d GB for a small NeRF.* 1\.0 GB are free"):
        fitting.check_memory(SMALL.resolved("cpu"), 6, 48, 27)


def test_a_capture_of_a_single_view(studio: None, tmp_path: Path) -> None:
    capture = open_capture("town:3:2")
    with pytest.raises(InputError, match="expected two views or more, got 1"):
        fit_nerf(replace(capture, views=capture.views[:1]), tmp_path / "s", SMALL)
    assert not (tmp_path / "s").exists()


def test_broken_scenes(scene: NerfScene, tmp_path: Path) -> None:
    scene.save(tmp_path)
    known = json.loads((tmp_path / "scene.json").read_text())
    weights = (tmp_path / "nerf.safetensors").read_bytes()
    (tmp_path / "nerf.safetensors").write_bytes(weights[:1000])
    with pytest.raises(InputError, match=r"nerf\.safetensors: cannot be read"):
        open_nerf(tmp_path)
    (tmp_path / "nerf.safetensors").write_bytes(weights)
    for key, value, words in (
        ("model", {**known["model"], "hidden_dim": 8}, "tensors are not those of its model"),
        ("model", {**known["model"], "levels": 8}, "unknown field 'levels'"),
        ("model", {**known["model"], "implementation": "tcnn"}, "CUDA alone"),
        ("version", 2, "version 1"),
        ("motion", None, "expected 4x4"),
    ):
        (tmp_path / "scene.json").write_text(json.dumps({**known, key: value}))
        with pytest.raises(InputError, match=words):
            open_nerf(tmp_path, device="cpu")


def test_the_command_fits_views_and_refuses_to_export(studio: None, tmp_path: Path) -> None:
    out = str(tmp_path / "scene")
    command = ["scene", "fit", "town:3:3", "--method", "nerf", "--out", out, "--steps", "4", "--pixels", "24"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    last = result.output.strip().splitlines()[-1]
    assert last.startswith("held-out PSNR: ")
    assert last.endswith(" dB")
    page = tmp_path / "a.html"
    result = CliRunner().invoke(main, ["scene", "view", out, "--out", str(page), "--frames", "2"])
    assert result.exit_code == 0, result.output
    assert page.is_file()
    drive = tmp_path / "drive"
    result = CliRunner().invoke(
        main, ["scene", "render", out, "--trajectory", "lane-change", "--out", str(drive), "--frames", "3"]
    )
    assert result.exit_code == 0, result.output
    assert len(open_dataset(drive)) == 3
    assert (drive / "video.mp4").stat().st_size > 0
    result = CliRunner().invoke(main, ["scene", "export", out, str(tmp_path / "a.ply")])
    assert result.exit_code == 2
    assert "it is a NeRF" in result.output


@pytest.mark.slow
def test_the_town_at_96_pixels_reaches_19_db(studio: None) -> None:
    """The aim of the CPU size, in a seventh of its usual steps."""
    from scenes.splats.loss import psnr

    capture = open_capture("town:3:24").at_most(96)
    state = fitting.fit(capture, NerfSettings(steps=300, pixels=96))
    found = []
    for sample in (view.load() for view in capture.split()[1]):
        assert sample.camera is not None
        found.append(psnr(look_at(state.model, state.frame, sample.camera).picture, sample.image / 255.0))
    assert np.mean(found) > 19.0
