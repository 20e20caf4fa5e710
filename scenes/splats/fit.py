"""Fit Gaussians to posed photographs: 3DGS (Kerbl et al. 2023) with gsplat's own densification on our rasteriser.

Learning rates are those of gsplat's trainer, the schedule is shortened in proportion to the number of steps, and early
steps see pictures of half the size. A fit with the same settings gives the same result, resumed or not.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.capture import Capture, resized_camera
from scenes.errors import InputError
from scenes.random import Rng
from scenes.rasterize import Backend, rasterization
from scenes.sample import Sample
from scenes.splats.checkpoint import Checkpoint
from scenes.splats.cloud import Cloud
from scenes.splats.initial import Start, begin
from scenes.splats.loss import photometric, psnr

RATES = {"means": 1.6e-4, "scales": 5e-3, "quats": 1e-3, "opacities": 5e-2, "sh0": 2.5e-3, "shN": 2.5e-3 / 20}
MEANS_END = 0.01  # the rate of the means falls to this part of itself
BYTES_PER_GAUSSIAN = 59 * 4 * 4 + 600  # parameters, gradients, two moments; projected and sorted copies


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """What a fit does; part of its identity.

    max_gaussians: growth stops there. coarse: part of the steps at half size. pixels: longest side of the pictures
    depth_weight: of the relative error of expected depth, where a capture has depth
    """

    steps: int = 3000
    start: Start = "auto"
    start_count: int = 20_000
    max_gaussians: int = 60_000
    degree: int = 3
    pixels: int = 640
    coarse: float = 0.25
    depth_weight: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("steps", 1), ("start_count", 4), ("max_gaussians", 4), ("pixels", 8)):
            if getattr(self, name) < low:
                raise InputError(f"fit: {name}: expected {low} or more, got {getattr(self, name)}")
        if not 0 <= self.degree <= 3:
            raise InputError(f"fit: degree: expected 0 to 3, got {self.degree}")


@dataclass(frozen=True)
class Progress:
    """Where a fit stands: step of steps, loss and PSNR (dB) smoothed over training views, number of Gaussians."""

    step: int
    steps: int
    loss: float
    psnr: float
    gaussians: int


@dataclass(frozen=True, eq=False)
class Target:
    """A photo to fit to, in one size."""

    camera: Camera
    pixels: NDArray[np.float32]  # (H, W, 3) in [0, 1]
    depth: NDArray[np.float32] | None = None  # (H, W) metres; what is not finite is passed over

    @classmethod
    def of(cls, sample: Sample) -> Target:
        if sample.camera is None:
            raise InputError(f"fit: view {sample.sample_id} has no camera")
        return cls(sample.camera, sample.image.astype(np.float32) / 255, sample.depth)

    def halved(self) -> Target:
        """Return the target at half its size."""
        width, height = max(1, self.camera.width // 2), max(1, self.camera.height // 2)
        small = cv2.resize(self.pixels, (width, height), interpolation=cv2.INTER_AREA)
        depth = self.depth
        if depth is not None:
            depth = depth[1 : 2 * height : 2, 1 : 2 * width : 2] if min(depth.shape) > 1 else depth
        return Target(resized_camera(self.camera, width, height), small, depth)


def check_memory(settings: FitSettings, views: int, width: int, height: int) -> str:
    """Say how much memory a fit needs; raise where that much is not free."""
    import psutil

    count = max(settings.max_gaussians, settings.start_count)
    need = count * BYTES_PER_GAUSSIAN + views * width * height * 15 + width * height * 200
    free = psutil.virtual_memory().available
    if need > free:
        raise InputError(
            f"fit: it would need about {need / 2**30:.1f} GB for {count} Gaussians and {views} views of "
            f"{width}x{height}, {free / 2**30:.1f} GB are free; lower --max-gaussians or --pixels"
        )
    return f"up to {count} Gaussians, {views} views of {width}x{height}: about {need / 2**30:.2g} GB"


class Fit:
    """The running state of a fit: parameters, optimisers, densification, and how to save and take them up again."""

    def __init__(
        self, cloud: Cloud, settings: FitSettings, extent: float, backend: Backend = "auto", device: str = "cpu"
    ) -> None:
        from gsplat import DefaultStrategy

        self.settings, self.extent, self.backend, self.device = settings, extent, backend, device
        self.step = 0
        bands = {"sh0": cloud.harmonics[:, :1], "shN": cloud.harmonics[:, 1:]}
        values = {name: getattr(cloud, name) for name in ("means", "scales", "quats", "opacities")} | bands
        self.params = torch.nn.ParameterDict(
            {k: torch.nn.Parameter(v.to(device, copy=True)) for k, v in values.items()}
        )
        self.optimizers = {name: self._optimizer(name) for name in self.params}
        every = max(20, min(100, settings.steps // 30))
        self.strategy = DefaultStrategy(
            refine_start_iter=max(every, settings.steps // 20),
            refine_stop_iter=int(0.6 * settings.steps),
            refine_every=every,
            reset_every=10 * settings.steps,  # opacities are not reset: a short fit does not recover from it
        )
        self.strategy.check_sanity(self.params, self.optimizers)
        self.state = self.strategy.initialize_state(scene_scale=extent)

    def _optimizer(self, name: str) -> torch.optim.Optimizer:
        rate = RATES[name] * (self.extent if name == "means" else 1.0)
        return torch.optim.Adam([{"params": [self.params[name]], "lr": rate}], eps=1e-15, fused=True)

    def harmonics(self) -> torch.Tensor:
        return torch.cat([self.params["sh0"], self.params["shN"]], dim=1)

    def render(self, camera: Camera, degree: int) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Return the picture with expected depth (H, W, 4), alpha (H, W) and the rasteriser's `meta`."""
        p = self.params
        picture, alpha, meta = rasterization(
            p["means"], p["quats"], p["scales"].exp(), p["opacities"].sigmoid(), self.harmonics(),
            self._on(camera.world_to_cam), self._on(camera.K),
            camera.width, camera.height, sh_degree=degree, render_mode="RGB+ED", backend=self.backend,
        )  # fmt: skip
        return picture[0], alpha[0, ..., 0], meta

    def _on(self, matrix: NDArray[np.float64]) -> torch.Tensor:
        """Return a matrix (1, n, n) where the Gaussians are."""
        return torch.from_numpy(matrix).float()[None].to(self.device)

    def advance(self, target: Target) -> tuple[float, float]:
        """Take one step towards a photo; return loss and PSNR."""
        self.step += 1
        settings = self.settings
        degree = min(settings.degree, self.step * (settings.degree + 1) * 2 // settings.steps)
        decay = MEANS_END ** (self.step / settings.steps)
        self.optimizers["means"].param_groups[0]["lr"] = RATES["means"] * self.extent * decay
        flat, alpha, meta = self.render(target.camera, degree)
        picture = flat[..., :3]
        self.strategy.step_pre_backward(self.params, self.optimizers, self.state, self.step, meta)
        loss = photometric(picture, target.pixels)
        if target.depth is not None and settings.depth_weight > 0:
            loss = loss + settings.depth_weight * depth_error(flat[..., 3], alpha, target.depth)
        torch.autograd.backward(loss)
        for optimizer in self.optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self._densify(meta)
        return float(loss.detach()), psnr(picture.detach().cpu().numpy(), target.pixels)

    def _densify(self, meta: dict[str, Any]) -> None:
        """Let gsplat's strategy do its work, with its threshold raised where it would go beyond `max_gaussians`."""
        usual = self.strategy.grow_grad2d
        room = self.settings.max_gaussians - len(self.params["means"])
        if self.step % self.strategy.refine_every == 0 and self.state["grad2d"] is not None:
            steepness = self.state["grad2d"] / self.state["count"].clamp(min=1)
            if room <= 0:
                self.strategy.grow_grad2d = math.inf
            elif int((steepness > usual).sum()) > room:
                self.strategy.grow_grad2d = float(steepness.topk(room).values[-1])
        try:
            self.strategy.step_post_backward(self.params, self.optimizers, self.state, self.step, meta)
        finally:
            self.strategy.grow_grad2d = usual

    def cloud(self) -> Cloud:
        """Return the Gaussians as they are."""
        values = {name: self.params[name].detach().cpu().clone() for name in ("means", "scales", "quats", "opacities")}
        return Cloud(**values, harmonics=self.harmonics().detach().cpu().clone())

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all that a resumed fit needs, by name."""
        found = {f"params.{k}": v.detach() for k, v in self.params.items()}
        for name, optimizer in self.optimizers.items():
            for key, value in optimizer.state[self.params[name]].items():
                found[f"adam.{name}.{key}"] = value
        found |= {f"strategy.{k}": v for k, v in self.state.items() if isinstance(v, torch.Tensor)}
        found["random"] = torch.random.get_rng_state()
        return found

    def take_up(self, tensors: dict[str, torch.Tensor], step: int) -> None:
        """Go on from what `tensors` returned."""
        self.step = step
        for name in list(self.params):
            self.params[name] = torch.nn.Parameter(tensors[f"params.{name}"].to(self.device, copy=True))
            self.optimizers[name] = self._optimizer(name)
            prefix = f"adam.{name}."
            saved = {k[len(prefix) :]: v.to(self.device, copy=True) for k, v in tensors.items() if k.startswith(prefix)}
            self.optimizers[name].state[self.params[name]] = saved
        kept = {k: v for k, v in tensors.items() if k.startswith("strategy.")}
        self.state |= {k.removeprefix("strategy."): v.to(self.device, copy=True) for k, v in kept.items()}
        torch.random.set_rng_state(tensors["random"])


def depth_error(depth: torch.Tensor, alpha: torch.Tensor, truth: NDArray[np.float32]) -> torch.Tensor:
    """Return the mean relative error, each at most 1, of expected depth (H, W) over pixels that are solid and known."""
    wanted = torch.from_numpy(truth).to(depth.device)
    known = torch.isfinite(wanted) & (wanted > 0) & (alpha.detach() > 0.5)
    if not bool(known.any()):
        return depth.new_zeros(())
    return ((depth[known] - wanted[known]).abs() / wanted[known]).clamp(max=1.0).mean()


def identity(capture: Capture, settings: FitSettings) -> str:
    """Return a hash of what decides the result: settings, and names and cameras of the views."""
    views = [[v.name, v.camera.K.tolist(), v.camera.world_to_cam.tolist()] for v in capture.views]
    text = json.dumps([asdict(settings), views], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fit(
    capture: Capture,
    settings: FitSettings,
    *,
    checkpoint: Path | None = None,
    report: Callable[[Progress], None] | None = None,
    note: Callable[[str], None] | None = None,
    save_every: int = 500,
    backend: Backend = "auto",
    device: str = "cpu",
) -> Cloud:
    """Fit Gaussians to the training views of a capture; a checkpoint file of the same fit is taken up.

    On the device "cuda" gsplat rasterises; on "cpu" our kernels do. The cloud that comes back is on the CPU.
    """
    views, _ = capture.split()
    widest, highest = max(v.camera.width for v in views), max(v.camera.height for v in views)
    need = check_memory(settings, len(views), widest, highest)
    samples = [view.load() for view in views]
    targets = [Target.of(sample) for sample in samples]
    name = identity(capture, settings)
    saved = Checkpoint.read(checkpoint, name) if checkpoint is not None and checkpoint.is_file() else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        if saved is None:
            cloud, words = begin(
                capture, samples, start=settings.start, count=settings.start_count, degree=settings.degree,
                seed=settings.seed,
            )  # fmt: skip
            state = Fit(cloud, settings, capture.extent(), backend, device)
        else:
            words = f"going on from step {saved.step}"
            state = Fit(Cloud.of(_empty(settings.degree)), settings, capture.extent(), backend, device)
            state.take_up(saved.tensors, saved.step)
        if note is not None:
            note(f"{words}; {need}")
        try:
            _run(state, targets, checkpoint, name, report, save_every)
        except (MemoryError, RuntimeError) as error:
            if not (isinstance(error, MemoryError) or "memory" in str(error)):
                raise
            raise InputError(
                f"fit: out of memory at step {state.step} with {len(state.params['means'])} Gaussians ({need}); the "
                "checkpoint is intact, and the same command goes on from it once there is room; or fit anew with "
                "lower --max-gaussians or --pixels"
            ) from error
    return state.cloud()


def _empty(degree: int) -> dict[str, torch.Tensor]:
    shapes = {"means": (3,), "quats": (4,), "scales": (3,), "opacities": (), "harmonics": ((degree + 1) ** 2, 3)}
    return {name: torch.zeros((0, *shape)) for name, shape in shapes.items()}


def _run(
    state: Fit, targets: Sequence[Target], checkpoint: Path | None, name: str,
    report: Callable[[Progress], None] | None, save_every: int,
) -> None:  # fmt: skip
    settings = state.settings
    small = [target.halved() for target in targets]
    loss = quality = math.nan
    while state.step < settings.steps:
        epoch, at = divmod(state.step, len(targets))
        index = int(Rng(settings.seed, "splats", "epoch", epoch).permutation(len(targets))[at])
        chosen = small if state.step < settings.coarse * settings.steps else targets
        new_loss, new_quality = state.advance(chosen[index])
        if not math.isfinite(new_loss):
            raise InputError(f"fit: the loss is {new_loss} at step {state.step}; are the poses those of the photos?")
        if len(state.params["means"]) == 0:
            raise InputError(f"fit: no Gaussian is left at step {state.step}; are the poses those of the photos?")
        loss = new_loss if math.isnan(loss) else 0.95 * loss + 0.05 * new_loss
        quality = new_quality if math.isnan(quality) else 0.95 * quality + 0.05 * new_quality
        if report is not None:
            report(Progress(state.step, settings.steps, loss, quality, len(state.params["means"])))
        if checkpoint is not None and (state.step % save_every == 0 or state.step == settings.steps):
            Checkpoint(name, state.step, state.tensors()).write(checkpoint)
