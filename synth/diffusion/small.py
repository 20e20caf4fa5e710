"""A small diffusion model that fills holes of a frame, conditioned on what is to stand there and in which weather.

A `UNet2DModel` of diffusers on patches of 32 x 32 pixels: it sees the noisy patch, the patch with its hole, and the
hole (7 channels), and a class embedding for each pair of content and condition. A hole of any size is cut out with
context around it, scaled to the patch, filled by DDIM (Song et al., ICLR 2021), and laid back; what the patch has of
detail is what comes out. Known pixels are put back at every step, noised as far as the step is (Lugmayr et al., CVPR
2022, without its resampling).

A model is a folder: `small.json` (classes, conditions, prediction type), `unet/`, `scheduler/`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Image
from synth.diffusion.edit import feathered, pasted, window_around
from synth.regions import Mask
from synth.texture.styles import resized

SCHEMA = "roadproof.small-diffusion/1"
BACKGROUND = "background"
PATCH_PX = 32
CHANNELS = (48, 96, 144)
STEPS = 25
BUILT_IN = Path(__file__).parent / "weights"


@dataclass(frozen=True, eq=False)
class SmallModel:
    """A loaded model; classes begin with the background, conditions with the clear day."""

    unet: Any
    scheduler: Any
    classes: tuple[str, ...]
    conditions: tuple[str, ...]

    def label(self, content: str, condition: str) -> int:
        """Return the index of a pair; raises InputError for words the model was not taught."""
        for word, known, what in ((content, self.classes, "content"), (condition, self.conditions, "condition")):
            if word not in known:
                raise InputError(f"diffusion: {what}: expected one of {', '.join(known)}, got {word!r}")
        return self.classes.index(content) * len(self.conditions) + self.conditions.index(condition)


def new_unet(labels: int, channels: Sequence[int] = CHANNELS) -> Any:
    """Return an untrained network for so many pairs of content and condition."""
    from diffusers import UNet2DModel

    plain = len(channels) - 1
    return UNet2DModel(
        sample_size=PATCH_PX,
        in_channels=7,
        out_channels=3,
        block_out_channels=tuple(channels),
        layers_per_block=2,
        norm_num_groups=8,
        attention_head_dim=24,
        down_block_types=(*("DownBlock2D",) * plain, "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", *("UpBlock2D",) * plain),
        num_class_embeds=labels,
    )


def new_scheduler(schedule: str = "squaredcos_cap_v2", prediction: str = "v_prediction") -> Any:
    """Return a noise schedule: linear or squaredcos_cap_v2 (cosine), predicting epsilon, v_prediction or sample."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule=schedule, prediction_type=prediction, clip_sample=True, timestep_spacing="trailing"
    )


def load_small(folder: Path) -> SmallModel:
    """Load a model from its folder; raises InputError for what is missing or of another kind."""
    path = folder / "small.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"diffusion model {str(folder)!r}: expected the folder of a small model: {error}") from error
    if card.get("schema") != SCHEMA:
        raise InputError(f"{path}: expected schema {SCHEMA!r}, got {card.get('schema')!r}")
    stamps = tuple((p, p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file())
    return _loaded(folder, stamps)


@lru_cache(maxsize=2)
def _loaded(folder: Path, stamps: tuple[tuple[Path, int], ...]) -> SmallModel:
    import torch
    from diffusers import DDIMScheduler, UNet2DModel

    from synth.diffusion.pipelines import quiet

    del stamps
    card = json.loads((folder / "small.json").read_text(encoding="utf-8"))
    try:
        with quiet():
            unet = UNet2DModel.from_pretrained(folder / "unet", torch_dtype=torch.float32, local_files_only=True)
            scheduler = DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
    except Exception as error:  # diffusers and safetensors have no common base
        raise InputError(
            f"diffusion model {str(folder)!r} cannot be loaded: {' '.join(str(error).split())[:200]}"
        ) from error
    unet.eval().requires_grad_(False)
    return SmallModel(unet, scheduler, tuple(card["classes"]), tuple(card["conditions"]))


def save_small(model: SmallModel, folder: Path, *, half: bool = True) -> None:
    """Write a model in half precision."""
    import copy

    folder.mkdir(parents=True, exist_ok=True)
    (copy.deepcopy(model.unet).half() if half else model.unet).save_pretrained(folder / "unet")
    model.scheduler.save_pretrained(folder / "scheduler")
    card = {"schema": SCHEMA, "classes": list(model.classes), "conditions": list(model.conditions)}
    (folder / "small.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def fill(
    image: Image,
    mask: Mask,
    model: SmallModel,
    *,
    content: str = BACKGROUND,
    condition: str = "clear",
    seed: int = 0,
    steps: int = STEPS,
    rim_px: int = 2,
) -> Image:
    """Return the frame with a hole filled; pixels further than `rim_px` from the hole keep their bytes.

    mask: (H, W) bool; raises InputError where it is empty, of another size, or the words are unknown
    """
    if mask.shape != image.shape[:2]:
        raise InputError(f"mask: expected the frame's size {image.shape[:2]}, got {mask.shape}")
    if not mask.any():
        raise InputError("mask: expected at least one pixel to fill, got none")
    label = model.label(content, condition)
    x1, y1, x2, y2 = window_around(mask)
    part = image[y1:y2, x1:x2]
    alpha = feathered(mask[y1:y2, x1:x2], rim_px)
    hole = resized(np.where(alpha > 0, 255, 0).astype(np.uint8), PATCH_PX, PATCH_PX) > 0
    patch = resized(part, PATCH_PX, PATCH_PX)
    made = sample_patches(patch[None], hole[None], [label], model, seed=seed, steps=steps)[0]
    return pasted(image, resized(made, *part.shape[:2]), alpha, (x1, y1))


def sample_patches(
    patches: NDArray[np.uint8],
    holes: NDArray[np.bool_],
    labels: Sequence[int],
    model: SmallModel,
    *,
    seed: int,
    steps: int,
) -> NDArray[np.uint8]:
    """Return patches (B, 32, 32, 3) with their holes (B, 32, 32) filled."""
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)
    known = torch.from_numpy(patches.astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1)
    hole = torch.from_numpy(holes.astype(np.float32))[:, None]
    classes = torch.tensor(list(labels))
    scheduler = type(model.scheduler).from_config(model.scheduler.config)
    scheduler.set_timesteps(steps)
    x = torch.randn(known.shape, generator=generator)
    noise = x.clone()
    with torch.inference_mode():
        for step in scheduler.timesteps:
            there = scheduler.add_noise(known, noise, step.expand(len(known)))
            x = hole * x + (1 - hole) * there
            told = torch.cat([x, known * (1 - hole), hole], dim=1)
            said = model.unet(told, step, class_labels=classes).sample
            x = scheduler.step(said, step, x).prev_sample
    filled = hole * x + (1 - hole) * known
    pixels = filled.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    return np.asarray(pixels.permute(0, 2, 3, 1).contiguous().numpy(), np.uint8)
