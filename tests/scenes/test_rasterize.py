"""The compiled rasteriser, its readable twin and gsplat's own reference functions say the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scenes.errors import InputError
from scenes.rasterize import rasterization

WIDTH, HEIGHT = 70, 45  # not multiples of a tile
NAMES = ("means", "quats", "scales", "opacities", "colors")


def make_scene(n: int = 200, *, dtype: torch.dtype = torch.float64, seed: int = 0, size: float = 0.1) -> list[Tensor]:
    """Gaussians before, beside and behind the cameras."""
    g = torch.Generator().manual_seed(seed)
    means = torch.rand(n, 3, generator=g, dtype=torch.float64) * torch.tensor([5.0, 4.0, 5.0])
    means -= torch.tensor([2.5, 2.0, 0.5])
    quats = torch.randn(n, 4, generator=g, dtype=torch.float64)
    scales = torch.exp(0.5 * torch.randn(n, 3, generator=g, dtype=torch.float64)) * size
    opacities = torch.rand(n, generator=g, dtype=torch.float64)
    harmonics = 0.3 * torch.randn(n, 16, 3, generator=g, dtype=torch.float64)
    return [t.to(dtype) for t in (means, quats, scales, opacities, harmonics)]


def cameras(n: int = 1) -> tuple[Tensor, Tensor]:
    views = torch.eye(4, dtype=torch.float64).repeat(n, 1, 1)
    for i in range(n):
        angle = 0.2 * i
        views[i, :3, :3] = torch.tensor(
            [[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]]
        )
        views[i, :3, 3] = torch.tensor([0.1 * i, -0.05 * i, 0.2])
    K = torch.tensor([[60.0, 0, 33.0], [0, 55.0, 21.0], [0, 0, 1]], dtype=torch.float64)
    return views, K.repeat(n, 1, 1)


def render(scene: list[Tensor], backend: Any, n_cameras: int = 1, **options: Any) -> Any:
    views, Ks = cameras(n_cameras)
    return rasterization(*scene, views, Ks, WIDTH, HEIGHT, backend=backend, **options)


def both(scene: list[Tensor], n_cameras: int = 1, **options: Any) -> list[list[Tensor]]:
    """Picture, alpha and the gradients of a random loss, of the compiled code and of the twin."""
    found = []
    for backend in ("numba", "torch"):
        leaves = [t.detach().clone().requires_grad_() for t in scene]
        picture, alpha, meta = render(leaves, backend, n_cameras, **options)
        g = torch.Generator().manual_seed(1)
        loss = (picture * torch.rand(picture.shape, generator=g, dtype=picture.dtype)).sum()
        loss = loss + (alpha * torch.rand(alpha.shape, generator=g, dtype=alpha.dtype)).sum()
        grads = torch.autograd.grad(loss, [meta["means2d"], *leaves], allow_unused=True)
        found.append([picture, alpha, meta["best_ids"], *(g for g in grads if g is not None)])
    return found


@pytest.mark.core
@pytest.mark.parametrize("mode", ["RGB", "D", "ED", "RGB+D", "RGB+ED"])
def test_compiled_equals_twin_in_double_precision(mode: str) -> None:
    compiled, twin = both(make_scene(), 2, sh_degree=3, render_mode=mode, backgrounds=torch.rand(2, 3).double())
    for ours, theirs in zip(compiled, twin, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_compiled_equals_twin_in_single_precision(degree: int) -> None:
    compiled, twin = both(make_scene(dtype=torch.float32, seed=degree), sh_degree=degree)
    for ours, theirs in zip(compiled, twin, strict=True):
        scale = float(theirs.detach().abs().max())
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-5 * max(scale, 1.0))


@pytest.mark.parametrize("channels", [1, 3, 5, 8])
def test_any_number_of_channels(channels: int) -> None:
    scene = make_scene(60)
    scene[4] = torch.rand(60, channels, dtype=torch.float64)
    compiled, twin = both(scene, render_mode="RGB+D")
    assert compiled[0].shape == (1, HEIGHT, WIDTH, channels + 1)
    for ours, theirs in zip(compiled, twin, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-5)


def test_colours_per_camera_and_gradient_of_backgrounds() -> None:
    scene = make_scene(40)
    scene[4] = torch.rand(2, 40, 3, dtype=torch.float64)
    grads = []
    for backend in ("numba", "torch"):
        background = torch.full((2, 3), 0.5, dtype=torch.float64, requires_grad=True)
        picture, _, _ = render(scene, backend, 2, backgrounds=background)
        grads.append(torch.autograd.grad(picture.square().sum(), background)[0])
    torch.testing.assert_close(*grads, rtol=1e-7, atol=1e-6)


def test_gradcheck_in_double_precision() -> None:
    scene = make_scene(12, size=0.25, seed=4)
    scene[0][:, 2] += 1.5
    scene[3] = 0.2 + 0.5 * scene[3]
    views, Ks = cameras(1)
    Ks[:, :2] *= 0.25

    def function(*leaves: Tensor) -> tuple[Tensor, Tensor]:
        picture, alpha, _ = rasterization(*leaves, views, Ks, 17, 11, sh_degree=3, render_mode="RGB+D", backend="numba")
        return picture, alpha

    leaves = [t.clone().requires_grad_() for t in scene]
    # the cut at alpha = 1/255 is a jump: a pixel within a step of it would show as 0.004 / eps
    assert torch.autograd.gradcheck(function, leaves, eps=1e-7, atol=2e-4, rtol=1e-3, nondet_tol=1e-9)


def test_projection_equals_gsplats_reference() -> None:
    from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci

    means, quats, scales, opacities, colors = make_scene(400, seed=2)
    views, Ks = cameras(3)
    covariances, _ = _quat_scale_to_covar_preci(quats, scales, True, False)
    radii, means2d, depths, conics, _ = _fully_fused_projection(means, covariances, views, Ks, WIDTH, HEIGHT)
    _, _, meta = render([means, quats, scales, opacities, colors], "numba", 3, sh_degree=1)
    ours = meta["radii"] if meta["radii"].dim() == 2 else meta["radii"][..., 0]
    theirs = radii if radii.dim() == 2 else radii.amax(-1) * (radii > 0).all(-1)
    assert ((ours > 0) == (theirs > 0)).all()
    seen = ours > 0
    assert 50 < int(seen.sum()) < seen.numel()
    if radii.dim() == 2:
        assert (ours == theirs).all()
    for name, wanted in (("means2d", means2d), ("depths", depths), ("conics", conics)):
        torch.testing.assert_close(meta[name][seen], wanted[seen], rtol=1e-6, atol=1e-6)


def test_gradients_of_projection_equal_gsplats_reference() -> None:
    from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci

    scene = make_scene(200, seed=3)
    views, Ks = cameras(2)
    weights = torch.rand(2, 200, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = []
    for own in (True, False):
        means, quats, scales = (t.clone().requires_grad_() for t in scene[:3])
        if own:
            _, _, meta = render([means, quats, scales, *scene[3:]], "numba", 2, sh_degree=0)
            parts = meta["means2d"], meta["depths"], meta["conics"]
            seen = meta["radii"] > 0
        else:
            covariances, _ = _quat_scale_to_covar_preci(quats, scales, True, False)
            parts = _fully_fused_projection(means, covariances, views, Ks, WIDTH, HEIGHT)[1:4]
        flat = torch.cat([parts[0], parts[1][..., None], parts[2]], dim=-1)
        found.append(torch.autograd.grad((flat * weights)[seen].sum(), [means, quats, scales]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_harmonics_equal_gsplats_reference(degree: int) -> None:
    from gsplat.cuda._torch_impl import _spherical_harmonics

    from scenes.splats.harmonics import Colour

    scene = make_scene(50)
    eye = torch.tensor([[0.3, -0.2, -4.0]], dtype=torch.float64)
    found = []
    for own in (True, False):
        means, coefficients = (t.clone().requires_grad_() for t in (scene[0], scene[4]))
        if own:
            colors = Colour.apply(means, coefficients, torch.ones(1, 50, dtype=torch.int32), eye.numpy(), degree)[0]
        else:
            colors = (_spherical_harmonics(degree, means - eye, coefficients) + 0.5).clamp(min=0)
        grads = torch.autograd.grad(colors.square().sum(), [means, coefficients], allow_unused=True)
        found.append([colors, *(torch.zeros_like(means) if g is None else g for g in grads)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.core
def test_pixels_by_hand() -> None:
    """Two Gaussians on the axis, after the rules of gsplat's CUDA kernel, in plain Python."""
    means = torch.tensor([[0.0, 0.0, 4.0], [0.0, 0.0, 2.0]])
    quats = torch.tensor([[1.0, 0, 0, 0]] * 2)
    scales, opacities = torch.full((2, 3), 0.1), torch.tensor([0.9, 0.6])
    colors = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    K = torch.tensor([[40.0, 0, 8.5], [0, 40.0, 8.5], [0, 0, 1]])
    picture, alpha, meta = rasterization(
        means, quats, scales, opacities, colors, torch.eye(4)[None], K[None], 17, 17, render_mode="RGB+ED"
    )
    for column in (8, 10, 13, 16):
        left, color, depth = 1.0, np.zeros(3), 0.0
        for i in (1, 0):  # nearest first
            variance = (40.0 * 0.1 / float(means[i, 2])) ** 2 + 0.3
            a = min(0.999, float(opacities[i]) * math.exp(-0.5 * (column - 8) ** 2 / variance))
            if a >= 1 / 255:
                color += left * a * colors[i].numpy()
                depth += left * a * float(means[i, 2])
                left *= 1 - a
        np.testing.assert_allclose(picture[0, 8, column, :3], color, atol=1e-5)
        np.testing.assert_allclose(alpha[0, 8, column, 0], 1 - left, atol=1e-5)
        if left < 1:
            np.testing.assert_allclose(picture[0, 8, column, 3], depth / (1 - left), atol=1e-4)
    assert meta["best_ids"][0, 8, 8] == 1  # 0.6 in front against 0.4 * 0.9 behind it


def test_the_strongest_gaussian_is_a_whole_id() -> None:
    _, alpha, meta = render(make_scene(100), "numba", sh_degree=0)
    ids = meta["best_ids"]
    assert ids.dtype == torch.int32
    assert ((ids == -1) == (alpha[..., 0] == 0)).all()
    assert int(ids.max()) < 100


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_nothing_in_view_is_background(backend: str) -> None:
    scene = make_scene(5)
    scene[0][:, 2] = -3.0
    leaves = [t.clone().requires_grad_() for t in scene]
    picture, alpha, meta = render(leaves, backend, sh_degree=0, backgrounds=torch.full((1, 3), 0.25).double())
    assert (picture == 0.25).all()
    assert (alpha == 0).all()
    assert (meta["best_ids"] == -1).all()
    grads = torch.autograd.grad(picture.sum(), leaves, allow_unused=True)
    assert all(g is None or (g == 0).all() for g in grads)


def test_no_gaussians_at_all() -> None:
    scene = [t[:0] for t in make_scene(5)]
    picture, _, _ = render(scene, "numba", sh_degree=0)
    assert (picture == 0).all()


def test_result_does_not_depend_on_threads() -> None:
    scene = make_scene(5000, dtype=torch.float32, size=0.03)
    threads, found = torch.get_num_threads(), []
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            found.append(render(scene, "numba", sh_degree=2)[0])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_strategy_of_gsplat_densifies_on_our_meta(capsys: pytest.CaptureFixture[str]) -> None:
    from gsplat import DefaultStrategy

    scene = make_scene(100, dtype=torch.float32)
    values = dict(zip(("means", "quats", "scales", "opacities", "colors"), scene, strict=True))
    values["scales"], values["opacities"] = values["scales"].log(), torch.logit(values["opacities"].clamp(0.02, 0.98))
    params = torch.nn.ParameterDict({k: torch.nn.Parameter(v) for k, v in values.items()})
    optimizers = {k: torch.optim.Adam([v], lr=1e-3) for k, v in params.items()}
    strategy = DefaultStrategy(refine_start_iter=0, refine_every=2, grow_grad2d=1e-6)
    strategy.check_sanity(params, optimizers)
    state = strategy.initialize_state(scene_scale=1.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for step in range(1, 3):
            leaves = [params["means"], params["quats"], params["scales"].exp()]
            leaves += [params["opacities"].sigmoid(), params["colors"]]
            picture, _, meta = render(leaves, "auto", sh_degree=1)
            strategy.step_pre_backward(params, optimizers, state, step, meta)
            picture.square().mean().backward()
            for optimizer in optimizers.values():
                optimizer.step()
                optimizer.zero_grad()
            strategy.step_post_backward(params, optimizers, state, step, meta)
    assert len(params["means"]) > 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backend": "gsplat"}, "wants CUDA tensors"),
        ({"backend": "numbas"}, "did you mean 'numba'"),
        ({"render_mode": "depth"}, "unknown render_mode"),
        ({"sh_degree": 4}, "expected 0 to 3"),
        ({"backgrounds": torch.zeros(3)}, r"backgrounds: expected \(1, 3\)"),
    ],
)
def test_bad_calls_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        render(make_scene(3), change.pop("backend", "auto"), **{"sh_degree": 0, **change})


def test_wrong_shapes_are_named() -> None:
    scene = make_scene(3)
    scene[1] = scene[1][:, :3]
    with pytest.raises(InputError, match=r"quats: expected shape \(3, 4\), got \(3, 3\)"):
        render(scene, "auto", sh_degree=0)
