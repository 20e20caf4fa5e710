"""How true a fitted scene is, kept beside it: fidelity.json.

| key | what |
|---|---|
| scene | hash of what renders; a scene that was fitted anew has none until it is measured again |
| views | of each held-out view: PSNR (dB) and SSIM of the render against the photo |
| psnr_db, ssim | means over them |
| against | the exact scene that re-renders were held against, None where there is none or it was not done |
| rows | one for each shift, severity and renderer: pictures, labels and the model's score against the exact frames |
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.images import write_bytes

FILE = "fidelity.json"
RENDERS = ("gaussians.ply", "nerf.safetensors", "scene.json")  # what renders; others may put files of their own beside
FORMAT, VERSION = "roadproof fidelity", 1


def similarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[float, float]:
    """Return PSNR (dB) and SSIM of two pictures; the loss of a fit is 0.8 L1 + 0.2 (1 - SSIM)."""
    import torch

    from scenes.splats.loss import photometric, psnr

    a, b = one / 255.0, other / 255.0
    loss = float(photometric(torch.from_numpy(a), b))
    return psnr(a, b), 1 - (loss - 0.8 * float(np.abs(a - b).mean())) / 0.2


def scene_hash(folder: Path) -> str:
    """Return a hash of the files of a scene's folder that decide what it renders."""
    state = hashlib.sha256()
    for name in RENDERS:
        if (folder / name).is_file():
            state.update(name.encode() + (folder / name).read_bytes())
    return state.hexdigest()[:16]


def write_fidelity(folder: Path, known: Mapping[str, Any]) -> Path:
    """Write what was measured of the scene in a folder, whole or not at all."""
    whole = {"format": FORMAT, "version": VERSION, "scene": scene_hash(folder), **known}
    write_bytes(folder / FILE, (json.dumps(whole, indent=1, allow_nan=False) + "\n").encode())
    return folder / FILE


def read_fidelity(folder: Path) -> dict[str, Any] | None:
    """Return what was measured of the scene that is in the folder now; None where nothing was."""
    try:
        known = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(known, dict) or known.get("format") != FORMAT or known.get("version") != VERSION:
        return None
    return known if known.get("scene") == scene_hash(folder) else None


def means(views: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """Return the entries of held-out views: name -> (PSNR, SSIM)."""
    listed = [{"view": name, "psnr_db": round(p, 3), "ssim": round(s, 4)} for name, (p, s) in sorted(views.items())]
    if not listed:
        return {"views": [], "psnr_db": None, "ssim": None}
    psnr_db, ssim = (float(np.mean([pair[i] for pair in views.values()])) for i in (0, 1))
    return {"views": listed, "psnr_db": round(psnr_db, 3), "ssim": round(ssim, 4)}
