"""What a GPU does: gsplat's kernels say what ours do, and a fit there gives a scene like one fitted here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scenes.gaussians import FitSettings, fit_scene
from scenes.rasterize import rasterization

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
WIDTH, HEIGHT = 70, 45


def leaves(device: str) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    means = torch.rand(200, 3, generator=g) * torch.tensor([5.0, 4.0, 5.0]) - torch.tensor([2.5, 2.0, -1.0])
    parts = [means, torch.randn(200, 4, generator=g), 0.05 + 0.1 * torch.rand(200, 3, generator=g),
             torch.rand(200, generator=g), 0.3 * torch.randn(200, 16, 3, generator=g)]  # fmt: skip
    return [part.to(device).requires_grad_() for part in parts]


def rendered(device: str) -> list[torch.Tensor]:
    """Picture with depth, alpha, and the gradients of their weighted sum, on the CPU."""
    scene, view = leaves(device), torch.eye(4, device=device)[None]
    K = torch.tensor([[60.0, 0, 33.0], [0, 55.0, 21.0], [0, 0, 1]], device=device)[None]
    picture, alpha, meta = rasterization(*scene, view, K, WIDTH, HEIGHT, sh_degree=3, render_mode="RGB+ED")
    g = torch.Generator().manual_seed(1)
    weights = torch.rand(picture.shape, generator=g).to(device)
    gradients: Any = torch.autograd.grad((picture * weights).sum() + alpha.sum(), [meta["means2d"], *scene])
    return [t.detach().cpu() for t in (picture, alpha, *gradients)]


def test_gsplat_and_our_kernels_agree_forwards_and_backwards() -> None:
    for theirs, ours in zip(rendered("cuda"), rendered("cpu"), strict=True):
        scale = float(ours.abs().max())
        far = (theirs.reshape(ours.shape) - ours).abs() > 2e-3 * max(scale, 1.0)
        assert far.float().mean() < 0.01  # the cut at alpha = 1/255 may fall to either side


def test_a_fit_on_the_gpu_gives_a_scene_that_the_cpu_renders(tmp_path: Path) -> None:
    settings = FitSettings(steps=300, pixels=160, start_count=8000, max_gaussians=15_000)
    scene = fit_scene("town:3:16", tmp_path, settings, device="cuda")
    assert scene.about["held_out_psnr_db"] > 22
    assert scene.cloud.means.device.type == "cpu"
    assert len(scene.render(next(iter(scene.cameras.values()))).annotations) > 3
