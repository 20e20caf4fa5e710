"""Run a pipeline on a frame: the whole of it, or a masked part, of which everything else keeps its bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Image
from synth.diffusion.pipelines import Loaded, quiet
from synth.regions import Mask
from synth.texture.styles import resized
from synth.tiles import tiled

CONTEXT = 0.6  # of a masked part's longer side that is shown around it
OVERLAP = 0.25  # of a tile


@dataclass(frozen=True)
class Wish:
    """What is asked of a pipeline.

    strength:       share of the noise that is added and taken away again, 0 to 1
    guidance:       how closely the prompt is followed (classifier-free guidance, Ho and Salimans 2022)
    image_guidance: how closely an instruction keeps to the picture (Brooks et al., CVPR 2023)
    side_px:        shorter side of what the pipeline sees; 0 = the frame's own
    """

    prompt: str
    negative: str = ""
    strength: float = 0.5
    guidance: float = 7.5
    image_guidance: float = 1.5
    steps: int = 30
    seed: int = 0
    side_px: int = 512
    tile_px: int = 0


def edit_whole(image: Image, loaded: Loaded, wish: Wish, *, control: Image | None = None) -> Image:
    """Return the edited frame (H, W, 3); `control` (H, W, 3) uint8 steers a ControlNet."""
    height, width = image.shape[:2]
    rows, columns = _sides(height, width, wish.side_px, loaded.step_px)
    seen = resized(image, rows, columns)
    steer = None if control is None else resized(control, rows, columns)
    if wish.tile_px and max(rows, columns) > wish.tile_px and steer is None:
        side = max(loaded.step_px, wish.tile_px // loaded.step_px * loaded.step_px)

        def one(part: Image) -> NDArray[np.float32]:
            fitted = resized(part, *_sides(part.shape[0], part.shape[1], 0, loaded.step_px))
            return resized(_run(fitted, None, None, loaded, wish), *part.shape[:2]).astype(np.float32)

        made = tiled(seen, one, sides=(side, side), overlap=int(OVERLAP * side), step=loaded.step_px)
        return resized(np.clip(np.rint(made), 0, 255).astype(np.uint8), height, width)
    return resized(_run(seen, None, steer, loaded, wish), height, width)


def edit_masked(
    image: Image, mask: Mask, loaded: Loaded, wish: Wish, *, rim_px: int = 4, control: Image | None = None
) -> Image:
    """Return the frame with a part repainted; pixels further than `rim_px` from the mask keep their bytes.

    mask: (H, W) bool, what is repainted; raises InputError where it is empty or of another size
    """
    if mask.shape != image.shape[:2]:
        raise InputError(f"mask: expected the frame's size {image.shape[:2]}, got {mask.shape}")
    if not mask.any():
        raise InputError("mask: expected at least one pixel to repaint, got none")
    x1, y1, x2, y2 = window_around(mask)
    part = image[y1:y2, x1:x2]
    alpha = feathered(mask[y1:y2, x1:x2], rim_px)
    rows, columns = _sides(part.shape[0], part.shape[1], wish.side_px, loaded.step_px)
    steer = None if control is None else resized(control[y1:y2, x1:x2], rows, columns)
    hole = resized(np.where(alpha > 0, 255, 0).astype(np.uint8), rows, columns)
    made = resized(_run(resized(part, rows, columns), hole, steer, loaded, wish), *part.shape[:2])
    return pasted(image, made, alpha, (x1, y1))


def pasted(image: Image, made: Image, alpha: NDArray[np.float32], corner: tuple[int, int]) -> Image:
    """Return the frame with a patch (h, w, 3) laid over it; where alpha is 0 its bytes stay."""
    (x1, y1), (height, width) = corner, alpha.shape
    out = image.copy()
    place = out[y1 : y1 + height, x1 : x1 + width]
    weight = alpha[..., None]
    mixed = np.rint(weight * made + (1 - weight) * place)
    place[alpha > 0] = mixed.astype(np.uint8)[alpha > 0]
    return out


def window_around(mask: Mask) -> tuple[int, int, int, int]:
    """Return x1, y1, x2, y2 of what a pipeline is shown: the mask with context around it, square where there is room.

    >>> mask = np.zeros((100, 200), bool)
    >>> mask[40:60, 90:110] = True
    >>> window_around(mask)
    (78, 28, 122, 72)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    (height, width), side = mask.shape, max(len(range(rows[0], rows[-1] + 1)), len(range(columns[0], columns[-1] + 1)))
    reach = side / 2 + CONTEXT * side
    spans = []
    for first, last, length in ((columns[0], columns[-1], width), (rows[0], rows[-1], height)):
        centre = (int(first) + int(last) + 1) / 2
        low = min(max(0.0, centre - reach), max(0.0, length - 2 * reach))
        spans.append((int(np.floor(low)), min(length, int(np.ceil(low + 2 * reach)))))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def feathered(mask: Mask, rim_px: int) -> NDArray[np.float32]:
    """Return (H, W) in [0, 1]: 1 inside a mask, falling to 0 over a rim outside of it."""
    if rim_px <= 0:
        return mask.astype(np.float32)
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(np.clip(1 - away / (rim_px + 1), 0, 1), np.float32)


def _sides(height: int, width: int, side_px: int, step: int) -> tuple[int, int]:
    """Return rows and columns at which a picture is seen: whole steps, at least two."""
    scale = side_px / min(height, width) if side_px else 1.0
    return max(2, round(height * scale / step)) * step, max(2, round(width * scale / step)) * step


def _run(image: Image, hole: Image | None, control: Image | None, loaded: Loaded, wish: Wish) -> Image:
    import torch
    from PIL import Image as Pillow

    task = loaded.checkpoint.task
    generator = torch.Generator("cpu").manual_seed(wish.seed)
    asked: dict[str, Any] = {
        "prompt": wish.prompt,
        "negative_prompt": wish.negative or None,
        "image": Pillow.fromarray(image),
        "guidance_scale": wish.guidance,
        "num_inference_steps": _steps(wish, task),
        "generator": generator,
        "output_type": "np",
    }
    if task == "instruct":
        asked["image_guidance_scale"] = wish.image_guidance
    else:
        asked["strength"] = wish.strength
    if hole is not None:
        asked |= {"mask_image": Pillow.fromarray(hole), "height": image.shape[0], "width": image.shape[1]}
    if control is not None:
        asked["control_image"] = Pillow.fromarray(control)
    try:
        with quiet(), torch.inference_mode():
            made = np.asarray(loaded.pipeline(**asked).images[0], np.float32)
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _too_large(image, error) from error
    except RuntimeError as error:
        if "memory" in str(error).lower():
            raise _too_large(image, error) from error
        raise InputError(
            f"diffusion model {loaded.checkpoint.model!r}: {' '.join(str(error).split())[:300]}"
        ) from error
    except (TypeError, ValueError) as error:
        raise InputError(
            f"diffusion model {loaded.checkpoint.model!r}: {' '.join(str(error).split())[:300]}"
        ) from error
    if not np.isfinite(made).all():
        raise InputError(
            f"diffusion model {loaded.checkpoint.model!r}: its picture holds NaN; with dtype float16 that is an "
            "overflow: try bfloat16 or float32"
        )
    return resized(np.clip(np.rint(made * 255), 0, 255).astype(np.uint8), *image.shape[:2])


def _steps(wish: Wish, task: str) -> int:
    """Return the steps of the whole schedule, of which `strength` is run: enough for one at least."""
    return wish.steps if task == "instruct" else max(wish.steps, math.ceil(1 / max(wish.strength, 0.01)))


def _too_large(image: Image, error: Exception) -> InputError:
    return InputError(
        f"diffusion ran out of memory on a picture of {image.shape[1]}x{image.shape[0]}: lower side_px, give tile_px, "
        f"saver: slices or offload, or dtype float16 ({' '.join(str(error).split())[:120]})"
    )
