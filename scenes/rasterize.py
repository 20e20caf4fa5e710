"""3D Gaussians to pictures: one call for CUDA (gsplat) and for a plain CPU (compiled here), with gradients.

    colors, alphas, meta = rasterization(means, quats, scales, opacities, colors, viewmats, Ks, width, height)

mirrors a subset of gsplat's call of the same name: pinhole cameras, classic mode, per-Gaussian colours or spherical
harmonics up to degree 3. Gradients reach means, quats, scales, opacities, colours and backgrounds, not the cameras.
Letters: N Gaussians, C cameras, D channels, K coefficients.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from scenes.errors import InputError, did_you_mean

Backend = Literal["auto", "gsplat", "numba", "torch"]
RenderMode = Literal["RGB", "D", "ED", "RGB+D", "RGB+ED"]
BACKENDS = ("auto", "gsplat", "numba", "torch")
MODES = ("RGB", "D", "ED", "RGB+D", "RGB+ED")
NEAR = 0.01  # metres, gsplat's near plane


def rasterization(
    means: Tensor,  # (N, 3) metres, world
    quats: Tensor,  # (N, 4) w x y z, of any length
    scales: Tensor,  # (N, 3) standard deviations, metres
    opacities: Tensor,  # (N,) in [0, 1]
    colors: Tensor,  # (N, D) or (C, N, D); with sh_degree (N, K, 3) or (C, N, K, 3)
    viewmats: Tensor,  # (C, 4, 4) world to camera, x right, y down, z forward
    Ks: Tensor,  # (C, 3, 3) pixels, (0.5, 0.5) is the centre of the first pixel
    width: int,
    height: int,
    *,
    sh_degree: int | None = None,
    backgrounds: Tensor | None = None,  # (C, D)
    render_mode: RenderMode = "RGB",
    backend: Backend = "auto",
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Return pictures (C, H, W, D), alphas (C, H, W, 1) and `meta`.

    render_mode adds (or returns alone) accumulated depth "D" or expected depth "ED", metres, as the last channel.
    backend:     "auto" is gsplat for CUDA tensors and "numba" for others; "torch" is the slow, readable twin.
    meta:        means2d (C, N, 2) in the graph, so that its gradient can be retained; radii as gsplat has them, (C, N)
                 or from 1.5 on (C, N, 2); depths, conics, opacities, width, height, n_cameras, gaussian_ids; and, but
                 from gsplat, `best_ids` (C, H, W) int32: the Gaussian that contributes most to a pixel, -1 = none.
    """
    chosen = _backend(backend, means)
    _check(means, quats, scales, opacities, colors, viewmats, Ks, width, height, sh_degree, backgrounds, render_mode)
    if chosen == "gsplat":
        from gsplat import rasterization as on_cuda

        picture, alphas, meta = on_cuda(
            means, quats, scales, opacities, colors, viewmats, Ks, width, height, sh_degree=sh_degree,
            backgrounds=backgrounds, render_mode=render_mode, packed=False, near_plane=NEAR,
        )  # fmt: skip
        return picture, alphas, meta
    if viewmats.requires_grad or Ks.requires_grad:
        raise InputError(f"rasterization: backend {chosen!r} gives no gradient to viewmats and Ks; detach them")
    views, lenses = viewmats.detach(), Ks.detach()
    step = _compiled if chosen == "numba" else _twin
    return step(
        means, quats, scales, opacities, colors, views, lenses, width, height, sh_degree, backgrounds, render_mode
    )


def _backend(backend: str, means: Tensor) -> str:
    """Choose by the device of the tensors; nothing is probed."""
    if backend not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise InputError(f"rasterization: unknown backend {backend!r}{did_you_mean(backend, BACKENDS)}; known: {known}")
    if backend == "auto":
        return "gsplat" if means.is_cuda else "numba"
    if backend == "gsplat" and not means.is_cuda:
        raise InputError(
            f"rasterization: backend 'gsplat' wants CUDA tensors, got {means.device}; use 'numba' or 'auto'"
        )
    if backend == "numba" and means.device.type != "cpu":
        raise InputError(
            f"rasterization: backend 'numba' wants CPU tensors, got {means.device}; use 'gsplat' or 'auto'"
        )
    return backend


def _check(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor, Ks: Tensor,
    width: int, height: int, sh_degree: int | None, backgrounds: Tensor | None, render_mode: str,
) -> None:  # fmt: skip
    """Raise for shapes that do not fit."""
    n, cameras = len(means), len(viewmats)
    wanted: list[tuple[str, Tensor, tuple[int, ...]]] = [
        ("means", means, (n, 3)), ("quats", quats, (n, 4)), ("scales", scales, (n, 3)), ("opacities", opacities, (n,)),
        ("viewmats", viewmats, (cameras, 4, 4)), ("Ks", Ks, (cameras, 3, 3)),
    ]  # fmt: skip
    for name, tensor, shape in wanted:
        if tuple(tensor.shape) != shape:
            raise InputError(f"rasterization: {name}: expected shape {shape}, got {tuple(tensor.shape)}")
    per_camera = 4 if sh_degree is not None else 3
    lead = (cameras, n) if colors.dim() == per_camera else (n,)
    if tuple(colors.shape[: len(lead)]) != lead or colors.dim() != len(lead) + per_camera - 2:
        kind = "(N, D) or (C, N, D)" if sh_degree is None else "(N, K, 3) or (C, N, K, 3)"
        raise InputError(f"rasterization: colors: expected {kind} with N {n}, C {cameras}, got {tuple(colors.shape)}")
    if sh_degree is not None:
        _check_harmonics(sh_degree, colors)
    channels = 3 if sh_degree is not None else colors.shape[-1]
    if backgrounds is not None and tuple(backgrounds.shape) != (cameras, channels):
        raise InputError(f"rasterization: backgrounds: expected {(cameras, channels)}, got {tuple(backgrounds.shape)}")
    if render_mode not in MODES:
        raise InputError(f"rasterization: unknown render_mode {render_mode!r}; known: {', '.join(MODES)}")
    if width < 1 or height < 1:
        raise InputError(f"rasterization: expected a picture of at least 1x1, got {width}x{height}")


def _check_harmonics(degree: int, colors: Tensor) -> None:
    from scenes.splats.harmonics import MAX_DEGREE

    if not 0 <= degree <= MAX_DEGREE:
        raise InputError(f"rasterization: sh_degree: expected 0 to {MAX_DEGREE}, got {degree}")
    if colors.shape[-1] != 3 or colors.shape[-2] < (degree + 1) ** 2:
        wanted = f"{(degree + 1) ** 2} or more coefficients of 3 channels"
        raise InputError(f"rasterization: colors: sh_degree {degree} wants {wanted}, got {tuple(colors.shape)}")


def _compiled(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor, Ks: Tensor,
    width: int, height: int, sh_degree: int | None, backgrounds: Tensor | None, render_mode: str,
) -> tuple[Tensor, Tensor, dict[str, Any]]:  # fmt: skip
    """The CPU backend: numba kernels behind three autograd functions."""
    from scenes.splats.composite import Composite
    from scenes.splats.harmonics import Colour
    from scenes.splats.projection import Project, lens_of
    from scenes.splats.tiles import lay_out

    views = viewmats.to(means.dtype).contiguous().numpy()
    lenses = [lens_of(K, width, height, near=NEAR, dtype=views.dtype) for K in Ks.double().numpy()]
    radii, means2d, depths, conics = Project.apply(means, quats, scales, views, lenses)
    if sh_degree is not None:
        eyes = torch.inverse(viewmats)[:, :3, 3].to(means.dtype).contiguous().numpy()
        if colors.dim() == 3:
            colors = Colour.apply(means, colors, radii, eyes, sh_degree)
        else:
            seen = [
                Colour.apply(means, colors[c], radii[c : c + 1], eyes[c : c + 1], sh_degree) for c in range(len(views))
            ]
            colors = torch.cat(seen)
    pictures, alphas, best = [], [], []
    for c in range(len(views)):
        features = _features(colors[c] if colors.dim() == 3 else colors, depths[c])
        background = _background(backgrounds, c, features)
        flat = [t.detach().contiguous().numpy() for t in (radii[c], means2d[c], depths[c], conics[c], opacities)]
        tiles = lay_out(flat[0], flat[1], flat[2], flat[3], flat[4], width=width, height=height)
        plain = background.detach().numpy()
        picture, alpha, ids = Composite.apply(means2d[c], conics[c], opacities, features, plain, tiles, width, height)
        if background.requires_grad:  # the kernels have added its value; this adds its gradient
            picture = picture + (1 - alpha)[..., None] * (background - background.detach())
        pictures.append(picture)
        alphas.append(alpha)
        best.append(ids)
    meta = _meta(radii, means2d, depths, conics, opacities, width, height, best)
    channels = colors.shape[-1]
    return *_finish(_stack(pictures), _stack(alphas)[..., None], channels, render_mode), meta


def _twin(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor, Ks: Tensor,
    width: int, height: int, sh_degree: int | None, backgrounds: Tensor | None, render_mode: str,
) -> tuple[Tensor, Tensor, dict[str, Any]]:  # fmt: skip
    """The same in plain torch."""
    from scenes.splats import reference

    projected = [
        reference.project(means, quats, scales, view, K, width, height, near=NEAR)
        for view, K in zip(viewmats.to(means.dtype), Ks.to(means.dtype), strict=True)
    ]
    radii, means2d, depths, conics = (torch.stack(part) for part in zip(*projected, strict=True))
    eyes = torch.inverse(viewmats)[:, :3, 3].to(means.dtype)
    pictures, alphas, best = [], [], []
    for c in range(len(viewmats)):
        own = colors[c] if colors.dim() == (3 if sh_degree is None else 4) else colors
        shown = own if sh_degree is None else reference.colour(means, own, eyes[c], sh_degree)
        features = _features(shown, depths[c])
        background = _background(backgrounds, c, features)
        arrays = (means2d[c], conics[c], opacities, features, background, radii[c], depths[c])
        picture, alpha, ids = reference.composite(*arrays, width, height)
        pictures.append(picture)
        alphas.append(alpha)
        best.append(ids)
    meta = _meta(radii, means2d, depths, conics, opacities, width, height, best)
    channels = 3 if sh_degree is not None else colors.shape[-1]
    return *_finish(torch.stack(pictures), torch.stack(alphas)[..., None], channels, render_mode), meta


def _stack(parts: list[Tensor]) -> Tensor:
    """Stack pictures; one alone is not copied."""
    return parts[0][None] if len(parts) == 1 else torch.stack(parts)


def _features(colors: Tensor, depths: Tensor) -> Tensor:
    """Return (N, D + 1 and zeros up to a multiple of four): colours, then depth."""
    channels = colors.shape[-1] + 1
    padding = [colors.new_zeros((len(colors), -channels % 4))] if channels % 4 else []
    return torch.cat([colors, depths[:, None], *padding], dim=1)


def _background(backgrounds: Tensor | None, camera: int, features: Tensor) -> Tensor:
    """Return (D,) what stands behind each channel; depth has nothing behind it."""
    if backgrounds is None:
        return features.new_zeros(features.shape[1])
    own = backgrounds[camera].to(features.dtype)
    return torch.cat([own, own.new_zeros(features.shape[1] - len(own))])


def _finish(pictures: Tensor, alphas: Tensor, channels: int, mode: str) -> tuple[Tensor, Tensor]:
    """Choose the channels that `mode` names; pictures (C, H, W, D + 1 and more) hold colours, then depth."""
    if mode == "RGB":
        return pictures[..., :channels], alphas
    depth = pictures[..., channels : channels + 1]
    if mode.endswith("ED"):
        depth = depth / alphas.clamp(min=1e-10)
    return (torch.cat([pictures[..., :channels], depth], dim=-1) if "+" in mode else depth), alphas


def _meta(
    radii: Tensor, means2d: Tensor, depths: Tensor, conics: Tensor, opacities: Tensor, width: int, height: int,
    best: list[Tensor],
) -> dict[str, Any]:  # fmt: skip
    return {
        "means2d": means2d,
        "radii": radii[..., None].expand(-1, -1, 2) if _two_radii() else radii,
        "depths": depths,
        "conics": conics,
        "opacities": opacities.expand(len(radii), -1),
        "width": width,
        "height": height,
        "n_cameras": len(radii),
        "gaussian_ids": None,
        "best_ids": _stack(best),
    }


@cache
def _two_radii() -> bool:
    """Tell whether the installed gsplat has a radius an axis (from 1.5 on)."""
    from importlib.metadata import version

    from packaging.version import Version

    return Version(version("gsplat")) >= Version("1.5")
