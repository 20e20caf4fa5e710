"""Fit nerfstudio's nerfacto (Tancik et al. 2023) to posed photographs, in this process, through its config objects.

Losses are nerfacto's own, and where a capture has depth the expected depth is drawn to it. Every step has a seed of its
own, so that a fit with the same settings gives the same result, resumed or not.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenes.capture import Capture
from scenes.errors import InputError
from scenes.nerfs.model import Size, build, load_tensors, quiet, sized, tensors_of
from scenes.nerfs.rays import Frame, one_thread
from scenes.random import Rng
from scenes.sample import Sample
from scenes.splats.checkpoint import Checkpoint

FAR = 20.0  # half sides of the cube around the cameras: what is beyond is sky
RATE, RATE_END, EPSILON = 1e-2, 1e-4, 1e-15  # of nerfstudio's nerfacto, whose schedule is cut to the steps of the fit
USUAL = {"small": (2000, 1024, 160), "full": (30_000, 4096, 1600)}  # steps, rays a step, longest side in pixels
BYTES = {"small": 1.4e9, "full": 6e9}  # of a process at work; measured for small, at 1,024 rays
BYTES_PER_RAY = {"small": 5e5, "full": 2e6}


@dataclass(frozen=True, kw_only=True)
class NerfSettings:
    """What a fit does; part of its identity. None: what is usual for the size.

    size:   small (a CPU's), full (nerfstudio's), or auto: full on CUDA, else small
    rays:   pixels that a step looks at. pixels: longest side of the pictures
    depth_weight: of the relative error of expected depth, where a capture has depth
    """

    steps: int | None = None
    size: Size = "auto"
    rays: int | None = None
    pixels: int | None = None
    depth_weight: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("steps", 1), ("rays", 16), ("pixels", 8)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"fit: {name}: expected {low} or more, got {value}")
        if not (math.isfinite(self.depth_weight) and self.depth_weight >= 0):
            raise InputError(f"fit: depth_weight: expected 0 or more, got {self.depth_weight}")
        sized(self.size, "cpu")

    def resolved(self, device: str) -> NerfSettings:
        """Return the settings with every None and auto decided for a device."""
        size: Size = self.size
        if size == "auto":
            size = "full" if device.startswith("cuda") else "small"
        steps, rays, pixels = USUAL[size]
        return replace(self, size=size, steps=self.steps or steps, rays=self.rays or rays, pixels=self.pixels or pixels)


@dataclass(frozen=True)
class NerfProgress:
    """Where a fit stands: step of steps, loss and PSNR (dB) smoothed over steps, rays a step."""

    step: int
    steps: int
    loss: float
    psnr: float
    rays: int


def check_memory(settings: NerfSettings, views: int, width: int, height: int) -> str:
    """Say how much memory a fit on a CPU needs; raise where that much is not free."""
    import psutil

    size, rays = settings.size, settings.rays or 0
    need = BYTES[size] + rays * BYTES_PER_RAY[size] + views * width * height * 7
    free = psutil.virtual_memory().available
    if need > free:
        raise InputError(
            f"fit: it would need about {need / 2**30:.1f} GB for a {size} NeRF, {rays} rays a step and {views} views "
            f"of {width}x{height}, {free / 2**30:.1f} GB are free; lower the rays or --pixels, or take --size small"
        )
    return f"{size} NeRF, {rays} rays a step, {views} views of {width}x{height}: about {need / 2**30:.2g} GB"


def identity(capture: Capture, settings: NerfSettings) -> str:
    """Return a hash of what decides the result: settings, and names and cameras of the views."""
    views = [[v.name, v.camera.K.tolist(), v.camera.world_to_cam.tolist()] for v in capture.views]
    text = json.dumps(["nerf", asdict(settings), views], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Pool:
    """All pixels of the training views, to draw rays from."""

    def __init__(self, samples: Sequence[Sample], frame: Frame) -> None:
        cameras = []
        for sample in samples:
            if sample.camera is None:
                raise InputError(f"fit: view {sample.sample_id} has no camera")
            cameras.append(sample.camera)
        self.cameras, self.frame = cameras, frame
        ends = np.cumsum([camera.width * camera.height for camera in cameras])
        self._ends, self._starts = ends, np.concatenate([[0], ends[:-1]])
        self._colors = np.concatenate([sample.image.reshape(-1, 3) for sample in samples])
        known = [s.depth if s.depth is not None else np.full(s.image.shape[:2], np.nan, np.float32) for s in samples]
        self._depth = np.concatenate([depth.ravel() for depth in known])
        self.has_depth = bool((np.isfinite(self._depth) & (self._depth > 0)).any())
        self._widths = np.array([camera.width for camera in cameras])
        self._inverse_K = np.array([np.linalg.inv(camera.K) for camera in cameras])
        turn = frame.motion[:3, :3]
        self._turns = np.array([turn @ camera.world_to_cam[:3, :3].T for camera in cameras])
        self._places = np.array([frame.scale * (turn @ c.position + frame.motion[:3, 3]) for c in cameras])

    def draw(self, rng: Rng, count: int, device: str) -> tuple[Any, torch.Tensor, torch.Tensor | None]:
        """Return a `RayBundle` of pixels drawn evenly, their colours (N, 3) and depths along the rays (N, 1)."""
        with quiet():
            from nerfstudio.cameras.rays import RayBundle

        at = (rng.uniforms(count) * self._ends[-1]).astype(np.int64)
        view = np.searchsorted(self._ends, at, side="right")
        row, column = np.divmod(at - self._starts[view], self._widths[view])
        pixels = np.stack([column + 0.5, row + 0.5, np.ones(count)], axis=1)
        local = np.einsum("nij,nj->ni", self._inverse_K[view], pixels)
        length = np.linalg.norm(local, axis=1, keepdims=True)
        directions = np.einsum("nij,nj->ni", self._turns[view], local / length)
        norm = torch.from_numpy(length).float()
        rays = RayBundle(
            origins=torch.from_numpy(self._places[view]).float(),
            directions=torch.from_numpy(directions).float(),
            pixel_area=torch.full_like(norm, 1e-6),
            camera_indices=torch.from_numpy(view)[:, None],
            metadata={"directions_norm": norm},
        ).to(device)
        colors = torch.from_numpy(self._colors[at]).to(device).float() / 255
        if not self.has_depth:
            return rays, colors, None
        depth = torch.from_numpy(self._depth[at].astype(np.float64)[:, None] * length * self.frame.scale)
        return rays, colors, depth.float().to(device)


def depth_error(expected: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return the mean relative error, each at most 1, of depths that are known; sky is whatever is beyond `FAR`."""
    known = truth > 0  # not NaN
    if not bool(known.any()):
        return expected.new_zeros(())
    found, wanted = expected[known], truth[known].clamp(max=FAR)
    short, off = (wanted - found).clamp(min=0), (wanted - found).abs()
    return (torch.where(wanted >= FAR, short, off) / wanted).clamp(max=1.0).mean()


@dataclass(eq=False)
class Fit:
    """The running state of a fit: model, optimiser, and how to save and take them up again."""

    settings: NerfSettings
    frame: Frame
    views: int
    device: str = "cpu"
    step: int = 0
    fields: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            self.fields = sized(self.settings.size, self.device)
            self.model = build(self.fields, self.views, self.device)
        with quiet():
            from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation
            from nerfstudio.engine.optimizers import AdamOptimizerConfig

        self.model.train()
        groups = self.model.get_param_groups()
        self._params = {f"{group}.{i}": p for group, some in groups.items() for i, p in enumerate(some)}
        self._optimizer = AdamOptimizerConfig(lr=RATE, eps=EPSILON).setup(params=list(self._params.values()))
        nothing = TrainingCallbackAttributes(optimizers=None, grad_scaler=None, pipeline=None, trainer=None)
        self._callbacks = self.model.get_training_callbacks(nothing)
        self._before = TrainingCallbackLocation.BEFORE_TRAIN_ITERATION
        self._after = TrainingCallbackLocation.AFTER_TRAIN_ITERATION

    def advance(self, pool: Pool) -> tuple[float, float]:
        """Take one step; return loss and PSNR (dB)."""
        settings, steps = self.settings, self.settings.steps or 1
        for group in self._optimizer.param_groups:
            group["lr"] = RATE * (RATE_END / RATE) ** (self.step / steps)
        self._call(self._before)
        rng = Rng(settings.seed, "nerf", self.step)
        rays, colors, depth = pool.draw(rng, settings.rays or 1, self.device)
        torch.manual_seed(rng.seed())
        found = self.model(rays)
        batch = {"image": colors}
        metrics = self.model.get_metrics_dict(found, batch)
        loss = sum(self.model.get_loss_dict(found, batch, metrics).values())
        if depth is not None and settings.depth_weight > 0:
            loss = loss + settings.depth_weight * depth_error(found["expected_depth"], depth)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._optimizer.step()
        self._call(self._after)
        self.step += 1
        return float(loss.detach()), float(metrics["psnr"].detach())

    def _call(self, where: Any) -> None:
        for callback in self._callbacks:
            callback.run_callback_at_location(self.step, location=where)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all that a resumed fit needs, by name."""
        found = {f"model.{k}": v for k, v in tensors_of(self.model).items()}
        for name, parameter in self._params.items():
            for key, value in self._optimizer.state[parameter].items():
                found[f"adam.{name}.{key}"] = value.detach().cpu().clone()
        sampler = self.model.proposal_sampler
        found["sampler"] = torch.tensor([sampler._step, sampler._steps_since_update])
        return found

    def take_up(self, tensors: dict[str, torch.Tensor], step: int) -> None:
        """Go on from what `tensors` returned."""
        self.step = step
        prefix = "model."
        kept = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
        load_tensors(self.model, kept, owner="checkpoint")
        for name, parameter in self._params.items():
            start = f"adam.{name}."
            state = {k[len(start) :]: v for k, v in tensors.items() if k.startswith(start)}
            self._optimizer.state[parameter] = {
                k: v.clone() if k == "step" else v.to(self.device, copy=True) for k, v in state.items()
            }
        sampler = self.model.proposal_sampler
        sampler._step, sampler._steps_since_update = (int(v) for v in tensors["sampler"])


def fit(
    capture: Capture,
    settings: NerfSettings,
    *,
    checkpoint: Path | None = None,
    report: Callable[[NerfProgress], None] | None = None,
    note: Callable[[str], None] | None = None,
    save_every: int = 250,
    device: str = "cpu",
) -> Fit:
    """Fit a NeRF to the training views of a capture; a checkpoint file of the same fit is taken up."""
    settings = settings.resolved(device)
    views, _ = capture.split()
    samples = [view.load() for view in views]
    need = check_memory(settings, len(views), max(s.width for s in samples), max(s.height for s in samples))
    name = identity(capture, settings)
    saved = Checkpoint.read(checkpoint, name) if checkpoint is not None and checkpoint.is_file() else None
    frame = Frame.around([view.camera for view in capture.views])
    with _own_seeds(), one_thread(device):
        state = Fit(settings, frame, len(views), device)
        if saved is not None:
            state.take_up(saved.tensors, saved.step)
        if note is not None:
            note((f"going on from step {saved.step}; " if saved is not None else "") + need)
        _run(state, Pool(samples, frame), checkpoint, name, report, save_every)
    state.model.proposal_sampler.set_anneal(1.0)  # as it renders when it is opened again
    return state


@contextmanager
def _own_seeds() -> Iterator[None]:
    """Leave torch's random state as it was."""
    with torch.random.fork_rng(devices=[]):
        yield


def _run(
    state: Fit, pool: Pool, checkpoint: Path | None, name: str,
    report: Callable[[NerfProgress], None] | None, save_every: int,
) -> None:  # fmt: skip
    steps, rays = state.settings.steps or 1, state.settings.rays or 1
    loss = quality = math.nan
    while state.step < steps:
        new_loss, new_quality = state.advance(pool)
        if not math.isfinite(new_loss):
            raise InputError(f"fit: the loss is {new_loss} at step {state.step}; are the poses those of the photos?")
        loss = new_loss if math.isnan(loss) else 0.95 * loss + 0.05 * new_loss
        quality = new_quality if math.isnan(quality) else 0.95 * quality + 0.05 * new_quality
        if report is not None:
            report(NerfProgress(state.step, steps, loss, quality, rays))
        if checkpoint is not None and (state.step % save_every == 0 or state.step == steps):
            Checkpoint(name, state.step, state.tensors()).write(checkpoint)
