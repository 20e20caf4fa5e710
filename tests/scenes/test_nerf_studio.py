"""Output folders of ns-train: what nerfstudio itself writes and reads is the reference."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cli import main
from scenes.capture import open_capture
from scenes.captures.axes import to_opengl
from scenes.errors import InputError
from scenes.fitted import open_fitted
from scenes.images import write_png
from scenes.nerfs import model as models
from scenes.nerfs.studio import take_over

APPLIED = [[0, 1, 0, 0.5], [1, 0, 0, -2], [0, 0, -1, 3]]  # what ns-process-data did to the poses before


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what ns-train leaves: config.yml, dataparser_transforms.json and a checkpoint, by its own functions."""
    pytest.importorskip("nerfstudio")
    root = tmp_path_factory.mktemp("studio")
    data = root / "data"
    frames: list[dict[str, Any]] = []
    views = open_capture("town:3:10").at_most(24).views
    for view in views:
        name = f"images/{view.name.rpartition('/')[2]}.png"
        write_png(data / name, view.load().image)
        frames.append({"file_path": name, "transform_matrix": to_opengl(view.camera.world_to_cam).tolist()})
    camera = views[0].camera
    lens = {"fl_x": camera.K[0, 0], "fl_y": camera.K[1, 1], "cx": camera.K[0, 2], "cy": camera.K[1, 2]}
    known = {**lens, "w": camera.width, "h": camera.height, "applied_transform": APPLIED, "frames": frames}
    (data / "transforms.json").write_text(json.dumps(known))
    with models.quiet(), models._local_lpips():
        from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
        from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
        from nerfstudio.engine.trainer import TrainerConfig
        from nerfstudio.models.nerfacto import NerfactoModelConfig
        from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig

        fields = {**models.SMALL, "num_proposal_samples_per_ray": (48,), "use_appearance_embedding": True}
        parser = NerfstudioDataParserConfig(load_3D_points=False)
        config = TrainerConfig(
            method_name="nerfacto", experiment_name="town", timestamp="now", output_dir=root / "outputs", data=data,
            pipeline=VanillaPipelineConfig(
                datamanager=VanillaDataManagerConfig(dataparser=parser, data=data), model=NerfactoModelConfig(**fields)
            ),
        )  # fmt: skip
        config.save_config()
        parser.data = data
        outputs = parser.setup().get_dataparser_outputs("train")
        folder = config.get_base_dir()
        outputs.save_dataparser_transform(folder / "dataparser_transforms.json")
        torch.manual_seed(1)
        model = config.pipeline.model.setup(scene_box=outputs.scene_box, num_train_data=len(outputs.image_filenames))
    state = {f"_model.{k}": v for k, v in model.state_dict().items()}
    (folder / "nerfstudio_models").mkdir()
    torch.save({"step": 29, "pipeline": state, "optimizers": {}}, folder / "nerfstudio_models" / "step-000000029.ckpt")
    np.save(root / "poses.npy", outputs.cameras.camera_to_worlds.numpy())
    (root / "names.json").write_text(json.dumps([file.stem for file in outputs.image_filenames]))
    return folder


def test_config_yml_is_not_read_without_trust(trained: Path, tmp_path: Path) -> None:
    harmless = tmp_path / "run"
    harmless.mkdir()
    (harmless / "config.yml").write_text("!!python/object/apply:os.mkdir [" + str(tmp_path / "executed") + "]\n")
    with pytest.raises(InputError, match=r"executes the Python objects .* --trust"):
        take_over(harmless, tmp_path / "out", trust=False)
    assert not (tmp_path / "executed").exists()
    command = ["scene", "fit", str(trained), "--method", "nerf", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "--trust" in result.output
    result = CliRunner().invoke(main, ["scene", "view", str(trained), "--out", str(tmp_path / "a.html")])
    assert result.exit_code == 2
    assert "--method nerf --trust" in result.output


def test_a_trained_nerfacto_becomes_a_scene(trained: Path, tmp_path: Path) -> None:
    """Cameras stand in the model's space where nerfstudio's parser put them, and what is not its photos is held out."""
    scene = take_over(trained, tmp_path / "out", trust=True)
    root = trained.parents[3]
    names = json.loads((root / "names.json").read_text())
    assert {Path(name).name for name in scene.held_out} == {Path(n).name for n in scene.cameras} - set(names)
    for name, wanted in zip(names, np.load(root / "poses.npy"), strict=True):
        camera = scene.cameras[f"images/{name}"]
        ours = scene.frame.motion @ to_opengl(camera.world_to_cam)
        ours[:3, 3] *= scene.frame.scale
        assert np.allclose(ours[:3], wanted, atol=1e-5)
    again = open_fitted(tmp_path / "out")
    camera = scene.cameras[f"images/{names[0]}"]
    assert np.array_equal(again.render(camera).image, scene.render(camera).image)
    assert scene.about["settings"] == {"ns-train": "nerfacto", "steps": 30}


def test_folders_that_are_not_whole(trained: Path, tmp_path: Path) -> None:
    def broken(name: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(trained, folder)
        return folder

    no_checkpoint = broken("a")
    shutil.rmtree(no_checkpoint / "nerfstudio_models")
    with pytest.raises(InputError, match="expected a checkpoint nerfstudio_models"):
        take_over(no_checkpoint, tmp_path / "out", trust=True)
    torn = broken("b")
    file = torn / "nerfstudio_models" / "step-000000029.ckpt"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"step-000000029\.ckpt: cannot be read"):
        take_over(torn, tmp_path / "out", trust=True)
    no_transforms = broken("c")
    (no_transforms / "dataparser_transforms.json").unlink()
    with pytest.raises(InputError, match=r"dataparser_transforms\.json: cannot be read"):
        take_over(no_transforms, tmp_path / "out", trust=True)
    other = broken("d")
    (other / "config.yml").write_text("a: 1\n")
    with pytest.raises(InputError, match="expected the config of an nerfstudio trainer, got dict"):
        take_over(other, tmp_path / "out", trust=True)
    gone = broken("e")
    text = (gone / "config.yml").read_text().replace("- data\n", "- nowhere\n")
    (gone / "config.yml").write_text(text)
    with pytest.raises(InputError, match=r"its capture .*nowhere is not there"):
        take_over(gone, tmp_path / "out", trust=True)
    assert not (tmp_path / "out").exists()


def test_weights_of_tiny_cuda_nn_are_named(trained: Path) -> None:
    model = models.build(models.SMALL, 1)
    with pytest.raises(InputError, match="tiny-cuda-nn's: it opens on CUDA"):
        models.load_tensors(model, {"field.mlp_base.model.params": torch.zeros(3)}, owner="checkpoint")
