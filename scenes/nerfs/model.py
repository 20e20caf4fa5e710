"""nerfstudio's nerfacto from plain numbers: made by its own config object, at a CPU size or at full size.

The model of a scene is kept as a mapping of the config's fields, so that nothing is executed when it is read again.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch

from scenes.errors import InputError, did_you_mean

Size = Literal["auto", "small", "full"]
Plain = dict[str, Any]

INSTALL = "pip install 'roadproof[nerf]'"
ALEXNET = "alexnet-owt-7be5be79.pth"  # torchvision's name for the backbone that torchmetrics' LPIPS stands on
SMALL: Mapping[str, Any] = {  # for a CPU: a tenth of a second for a step of 1,024 rays
    "implementation": "torch",
    "num_levels": 8,
    "max_res": 512,
    "log2_hashmap_size": 15,
    "hidden_dim": 32,
    "hidden_dim_color": 32,
    "num_proposal_iterations": 1,
    "num_proposal_samples_per_ray": [48],
    "num_nerf_samples_per_ray": 24,
    "proposal_net_args_list": [
        {"hidden_dim": 16, "log2_hashmap_size": 14, "num_levels": 5, "max_res": 64, "use_linear": False}
    ],
    "proposal_weights_anneal_max_num_iters": 300,
    "use_appearance_embedding": False,
    "eval_num_rays_per_chunk": 4096,
}
FULL: Mapping[str, Any] = {  # what `ns-train nerfacto` takes
    "average_init_density": 0.01,
    "eval_num_rays_per_chunk": 1 << 15,
}
NOT_KEPT = ("lpips.", "psnr.", "ssim.", "camera_optimizer.", "device_indicator_param")  # of a model's tensors
THEIRS = (  # warnings of nerfstudio and of what it imports: (category, part of the message)
    (DeprecationWarning, r"websockets\.(connection|legacy)"),
    (FutureWarning, r"`torch\.(jit|cuda\.amp)"),
    (DeprecationWarning, r"`torch\.(jit|cuda\.amp)"),
    (UserWarning, "The parameter 'pretrained' is deprecated"),
    (UserWarning, "Arguments other than a weight enum"),
    (ResourceWarning, "unclosed file"),  # photos whose size its parser looks up
)


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back the warnings that nerfstudio itself and its imports are known to give, and no others."""
    with warnings.catch_warnings():
        for category, text in THEIRS:
            warnings.filterwarnings("ignore", category=category, message=f".*{text}")
        yield


def need_nerfstudio() -> None:
    """Raise, with what to do, where nerfstudio cannot be imported."""
    try:
        with quiet():
            import nerfstudio.models.nerfacto  # noqa: F401
    except ImportError as error:
        raise InputError(f"NeRF scenes need nerfstudio, which cannot be imported ({error}): {INSTALL}") from error


class NoLpips(torch.nn.Module):
    """What stands in a nerfacto for torchmetrics' LPIPS, whose constructor would download AlexNet."""

    def __init__(self, **_: Any) -> None:
        super().__init__()

    def forward(self, *_: torch.Tensor) -> torch.Tensor:
        raise InputError(f"LPIPS needs {ALEXNET} at {alexnet()}: put it there")


def alexnet() -> Path:
    """Return where torchvision keeps, and looks for, the weights of AlexNet."""
    return Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET


@contextmanager
def _local_lpips() -> Iterator[None]:
    """Let models be made without a download: with LPIPS where its backbone is at hand, else with `NoLpips`."""
    import torchmetrics.image.lpip as module

    usual = module.LearnedPerceptualImagePatchSimilarity
    if not alexnet().is_file():
        module.LearnedPerceptualImagePatchSimilarity = NoLpips
    try:
        yield
    finally:
        module.LearnedPerceptualImagePatchSimilarity = usual


def sized(size: Size, device: str) -> Plain:
    """Return the fields of a nerfacto that a size sets; auto is full on CUDA and small elsewhere."""
    if size not in ("auto", "small", "full"):
        raise InputError(f"nerf: size: expected auto, small or full, got {size!r}")
    on_gpu = device.startswith("cuda")
    if size == "small" or (size == "auto" and not on_gpu):
        return dict(SMALL)
    return {**FULL, "implementation": "tcnn" if on_gpu and has_tcnn() else "torch"}


def has_tcnn() -> bool:
    """Tell whether tiny-cuda-nn is there, which nerfacto is faster with on CUDA."""
    import importlib.util

    return importlib.util.find_spec("tinycudann") is not None


def build(fields: Mapping[str, Any], views: int, device: str = "cpu", *, fast: bool = True) -> Any:
    """Return the nerfacto of a config's fields for so many training views; poses are not optimised.

    fast: put the CPU kernels of scenes/nerfs/hashgrid.py behind its hash grids
    """
    need_nerfstudio()
    with quiet(), _local_lpips():
        from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
        from nerfstudio.data.scene_box import SceneBox
        from nerfstudio.models.nerfacto import NerfactoModelConfig

        known = {field.name for field in dataclasses.fields(NerfactoModelConfig)}
        for name in fields:
            if name not in known or name in ("_target", "camera_optimizer"):
                raise InputError(f"nerfacto: unknown field {name!r}{did_you_mean(name, known)}")
        values = {k: tuple(v) if k == "num_proposal_samples_per_ray" else v for k, v in fields.items()}
        config = NerfactoModelConfig(**values, camera_optimizer=CameraOptimizerConfig(mode="off"))
        box = SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]))
        try:
            model = config.setup(scene_box=box, num_train_data=views)
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            raise InputError(f"nerfacto: its fields do not fit together: {type(error).__name__} {error}") from error
    if fast and device == "cpu" and not fields.get("predict_normals"):
        from scenes.nerfs.hashgrid import accelerate

        accelerate(model)
    return model.to(device)


def fields_of(config: Any) -> Plain:
    """Return the fields of a nerfacto's config that are plain numbers, as JSON keeps them."""
    found = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name not in ("_target", "camera_optimizer", "prompt", "loss_coefficients", "collider_params"):
            found[field.name] = list(value) if isinstance(value, tuple) else value
    return found


def tensors_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return what a model renders with, by name, on the CPU."""
    state = model.state_dict()
    return {k: v.detach().cpu().clone() for k, v in state.items() if not k.startswith(NOT_KEPT)}


def load_tensors(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], *, owner: str) -> None:
    """Give a model its tensors; raise where they are not those of such a model."""
    wanted = {k: tuple(v.shape) for k, v in model.state_dict().items() if not k.startswith(NOT_KEPT)}
    got = {k: tuple(v.shape) for k, v in tensors.items() if not k.startswith(NOT_KEPT)}
    if any(re.search(r"tcnn|\.params$", name) for name in got) and not any("tcnn" in name for name in wanted):
        raise InputError(f"{owner}: its weights are tiny-cuda-nn's: it opens on CUDA with tinycudann installed alone")
    if wanted != got:
        wrong = sorted(k for k in wanted.keys() | got.keys() if wanted.get(k) != got.get(k))
        first = wrong[0]
        raise InputError(
            f"{owner}: its tensors are not those of its model: {first}: expected {wanted.get(first)}, "
            f"got {got.get(first)}; {len(wrong)} of {len(wanted)} differ"
        )
    model.load_state_dict({**model.state_dict(), **{k: tensors[k] for k in wanted}})
