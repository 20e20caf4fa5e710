"""Train the small diffusion model: patches of frames with holes, what stands in them, and in which condition.

Noise is added at random steps of the schedule and the network says which (Ho et al., NeurIPS 2020), or the velocity
(Salimans and Ho, ICLR 2022); the loss counts the hole. What is written is the moving average of the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scenes.errors import InputError
from scenes.sample import Image, Sample
from synth.diffusion.edit import window_around
from synth.diffusion.small import BACKGROUND, PATCH_PX, SmallModel, new_scheduler, new_unet, sample_patches, save_small
from synth.regions import Mask, object_region
from synth.texture.styles import resized

RATE = 1e-3
WARM_UP = 0.03  # of the steps
AVERAGE = 0.999
CLIP = 1.0
OBJECTS = 0.5  # share of the holes that hold an object
LEAST_SIDE_PX, LEAST_VISIBLE = 10, 0.6
HOLE_PX = (12, 90)  # sides of the holes in the background, pixels of the frame
SHOWN = 8


@dataclass(frozen=True, eq=False)
class Patch:
    """image (32, 32, 3) uint8, hole (32, 32) bool, and what is in it."""

    image: Image
    hole: Mask
    content: str
    condition: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Schedule, prediction and size of a training."""

    classes: tuple[str, ...]
    conditions: tuple[str, ...]
    channels: tuple[int, ...] = (48, 96, 144)
    schedule: str = "squaredcos_cap_v2"
    prediction: str = "v_prediction"
    batch: int = 64
    rate: float = RATE
    device: str = "cpu"
    bfloat16: bool = True


class SmallLearner:
    """A `synth.training.Learner`; `draw` gives a frame and its condition."""

    def __init__(
        self,
        draw: Callable[[np.random.Generator], tuple[Sample, str]],
        names: Sequence[str],
        settings: Settings,
        *,
        seed: int,
    ) -> None:
        torch.manual_seed(seed)
        self.draw, self.names, self.settings = draw, tuple(names), settings
        scheduler = new_scheduler(settings.schedule, settings.prediction)
        unet = new_unet(len(settings.classes) * len(settings.conditions), settings.channels).to(settings.device)
        self.model = SmallModel(unet, scheduler, settings.classes, settings.conditions)
        self.average = SmallModel(copy.deepcopy(unet).eval(), scheduler, settings.classes, settings.conditions)
        self.optimiser = torch.optim.AdamW(unet.parameters(), lr=settings.rate, weight_decay=0.01)
        self.steps = 0
        self._shown = self._patches(np.random.default_rng([seed, 2**32]), SHOWN)

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw clean patches (B, 3, 32, 32), holes (B, 1, 32, 32) and labels (B,)."""
        return self._tensors(self._patches(rng, self.settings.batch))

    def step(self, batch: Any, done: float) -> Mapping[str, float]:
        clean, hole, labels = (part.to(self.settings.device) for part in batch)
        warm = min(1.0, done / WARM_UP + 0.01)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate * warm * 0.5 * (1 + float(np.cos(np.pi * done)))
        scheduler = self.model.scheduler
        noise = torch.randn_like(clean)
        times = torch.randint(scheduler.config.num_train_timesteps, (len(clean),), device=clean.device)
        noisy = scheduler.add_noise(clean, noise, times)
        wanted = clean if self.settings.prediction == "sample" else noise
        if self.settings.prediction == "v_prediction":
            wanted = scheduler.get_velocity(clean, noise, times)
        told = torch.cat([noisy, clean * (1 - hole), hole], dim=1)
        kind = torch.device(self.settings.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self.settings.bfloat16):
            said = self.model.unet(told, times, class_labels=labels).sample
        weight = 0.2 + 0.8 * hole
        loss = ((said.float() - wanted).square() * weight).sum() / (weight.sum() * 3)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.unet.parameters(), CLIP)
        self.optimiser.step()
        self._follow()
        self.steps += 1
        return {"loss": loss.item()}

    @torch.no_grad()
    def _follow(self) -> None:
        stay = min(AVERAGE, (1 + self.steps) / (10 + self.steps))
        for mean, now in zip(self.average.unet.parameters(), self.model.unet.parameters(), strict=True):
            mean.lerp_(now, 1 - stay)

    def state(self) -> dict[str, Any]:
        return {
            "unet": self.model.unet.state_dict(),
            "average": self.average.unet.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps,
            "random": torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.model.unet.load_state_dict(state["unet"])
        self.average.unet.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps = state["steps"]
        torch.set_rng_state(state["random"])

    def preview(self) -> Image:
        """Return the shown patches with their holes, filled, and as they were; a row each."""
        patches = np.stack([p.image for p in self._shown])
        holes = np.stack([p.hole for p in self._shown])
        labels = [self.model.label(p.content, p.condition) for p in self._shown]
        made = sample_patches(patches, holes, labels, self.average, seed=0, steps=20)
        cut = np.where(holes[..., None], np.uint8(128), patches)
        rows = [np.concatenate(part, axis=1) for part in (cut, made, patches)]
        return np.asarray(np.concatenate(rows, axis=0), np.uint8)

    def finish(self, folder: Path) -> list[Path]:
        save_small(self.average, folder / "model")
        return [folder / "model"]

    def _patches(self, rng: np.random.Generator, count: int) -> list[Patch]:
        found: list[Patch] = []
        while len(found) < count:
            sample, condition = self.draw(rng)
            found += patches_of(sample, condition, self.names, self.settings.classes, rng, most=8)
        return found[:count]

    def _tensors(self, patches: Sequence[Patch]) -> tuple[Tensor, Tensor, Tensor]:
        pixels = np.stack([p.image for p in patches]).astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
        holes = np.stack([p.hole for p in patches]).astype(np.float32)[:, None]
        labels = [self.model.label(p.content, p.condition) for p in patches]
        return torch.from_numpy(pixels), torch.from_numpy(holes), torch.tensor(labels)


def patches_of(
    sample: Sample, condition: str, names: Sequence[str], classes: Sequence[str], rng: np.random.Generator, *, most: int
) -> list[Patch]:
    """Draw patches of a frame: holes where objects are, and holes in the background.

    A hole is the box of an object with a margin, or a rectangle or ellipse where no object is.
    """
    notes = sample.annotations
    objects = [
        row
        for row in range(len(notes))
        if not notes.ignore[row]
        and (notes.boxes[row, 2:] - notes.boxes[row, :2]).min() >= LEAST_SIDE_PX
        and (notes.visibility is None or notes.visibility[row] >= LEAST_VISIBLE)
        and names[notes.labels[row]] in classes
    ]
    taken = np.zeros((sample.height, sample.width), np.bool_)
    for row in range(len(notes)):
        region = object_region(sample, row)
        if region is not None:
            taken[region.slices] |= region.mask
    found = []
    for _ in range(most):
        if objects and rng.random() < OBJECTS:
            row = objects[int(rng.integers(len(objects)))]
            mask, content = _box_hole(sample, row, rng), names[notes.labels[row]]
        else:
            free = _free_hole(taken, rng)
            if free is None:
                continue
            mask, content = free, BACKGROUND
        x1, y1, x2, y2 = window_around(mask)
        patch = resized(np.ascontiguousarray(sample.image[y1:y2, x1:x2]), PATCH_PX, PATCH_PX)
        hole = resized(np.where(mask[y1:y2, x1:x2], 255, 0).astype(np.uint8), PATCH_PX, PATCH_PX) > 0
        if rng.random() < 0.5:
            patch, hole = np.ascontiguousarray(patch[:, ::-1]), np.ascontiguousarray(hole[:, ::-1])
        found.append(Patch(patch, hole, content, condition))
    return found


def _box_hole(sample: Sample, row: int, rng: np.random.Generator) -> Mask:
    x1, y1, x2, y2 = sample.annotations.boxes[row]
    margin = rng.uniform(0.02, 0.15) * max(x2 - x1, y2 - y1)
    mask = np.zeros((sample.height, sample.width), np.bool_)
    mask[max(0, int(y1 - margin)) : int(y2 + margin) + 1, max(0, int(x1 - margin)) : int(x2 + margin) + 1] = True
    return mask


def _free_hole(taken: Mask, rng: np.random.Generator) -> Mask | None:
    """Return a hole where nothing stands, None where none was found in a few tries."""
    height, width = taken.shape
    for _ in range(8):
        rows, columns = (int(np.exp(rng.uniform(*np.log(HOLE_PX)))) for _ in range(2))
        rows, columns = min(rows, height - 1), min(columns, width - 1)
        y, x = int(rng.integers(height - rows)), int(rng.integers(width - columns))
        mask = np.zeros_like(taken)
        if rng.random() < 0.5:
            mask[y : y + rows, x : x + columns] = True
        else:
            ys, xs = np.ogrid[:rows, :columns]
            oval = ((ys + 0.5) / rows * 2 - 1) ** 2 + ((xs + 0.5) / columns * 2 - 1) ** 2 <= 1
            mask[y : y + rows, x : x + columns] = oval
        if mask.any() and (taken & mask).sum() <= 0.02 * mask.sum():
            return mask
    return None


def check_prediction(settings: Settings) -> None:
    """Raise for schedules and predictions that are none."""
    for what, value, known in (
        ("schedule", settings.schedule, ("linear", "scaled_linear", "squaredcos_cap_v2")),
        ("prediction", settings.prediction, ("epsilon", "v_prediction", "sample")),
    ):
        if value not in known:
            raise InputError(f"{what}: expected one of {', '.join(known)}, got {value!r}")
