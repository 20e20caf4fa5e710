"""The compiled rasteriser against plain torch: its readable twin here, and the torch reference of PyPI's metal-gauss.

    python benchmarks/splats.py --threads 2 --metal-gauss /path/to/unpacked/wheel --json splats.json

Scenes are random but covered as fitted ones are (mean alpha 0.97 and more, about a hundred Gaussians a tile of 16 x 16
pixels). Sides take turns after a warm-up (compilation is not counted); figures are medians. CPU time stands beside wall
time, for their ratio tells how busy the machine was. What is slow in torch runs a small scene only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from scenes.rasterize import rasterization

SCENES = {"100k at 720p": (100_000, 1280, 720), "20k at 360p": (20_000, 640, 360)}
SLOW = {"1k at 90p": (1_000, 160, 90)}  # for torch, which keeps every intermediate
DEGREE = 3


def make(n: int, width: int, height: int) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Return Gaussians two to fifty metres away, about three pixels wide, a camera at the origin, and its K."""
    g = torch.Generator().manual_seed(0)
    focal = 0.8 * width
    z = 2 + 48 * torch.rand(n, generator=g) ** 2
    pixels = (torch.rand(n, 2, generator=g) * 1.1 - 0.05) * torch.tensor([width, height])
    rays = (pixels - torch.tensor([width, height]) / 2) / focal
    means = torch.cat([rays, torch.ones(n, 1)], dim=1) * z[:, None]
    size = 3.0 * z / focal
    scales = torch.exp(0.6 * torch.randn(n, 3, generator=g)) * size[:, None]
    opacities = 0.05 + 0.95 * torch.rand(n, generator=g)
    harmonics = 0.2 * torch.randn(n, (DEGREE + 1) ** 2, 3, generator=g)
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return [means, torch.randn(n, 4, generator=g), scales, opacities, harmonics], torch.eye(4), K


def runs(scene: Any, width: int, height: int, draw: Callable[..., torch.Tensor]) -> dict[str, Callable[[], Any]]:
    """Return what is timed: forward alone, and forward with backward."""
    tensors, view, K = scene
    leaves = [t.clone().requires_grad_() for t in tensors]
    weights = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(1))

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return draw(tensors, view, K, width, height)

    def both() -> list[torch.Tensor]:
        picture = draw(leaves, view, K, width, height)
        return list(torch.autograd.grad((picture * weights).sum(), leaves))

    return {"forward": forward, "forward and backward": both}


def ours(backend: Any) -> Callable[..., torch.Tensor]:
    def draw(tensors: list[torch.Tensor], view: torch.Tensor, K: torch.Tensor, width: int, height: int) -> torch.Tensor:
        return rasterization(*tensors, view[None], K[None], width, height, sh_degree=DEGREE, backend=backend)[0][0]

    return draw


def metal_gauss(folder: Path) -> Callable[..., torch.Tensor]:
    sys.path.append(str(folder))
    from metal_gauss.torch_ref import render

    def draw(tensors: list[torch.Tensor], view: torch.Tensor, K: torch.Tensor, width: int, height: int) -> torch.Tensor:
        picture: torch.Tensor = render(*tensors, K, view, width, height, sh_degree=DEGREE, tile=16)[0]
        return picture

    return draw


def timed(sides: dict[str, Callable[[], Any]], turns: int) -> dict[str, dict[str, float]]:
    """Return median and least wall and CPU time of each side, milliseconds, turn by turn after one warm-up."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for turn in range(turns + 1):
        for name, run in sides.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            spent = (1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu))
            if turn:
                found[name].append(spent)
    out = {}
    for name, pairs in found.items():
        wall_ms, cpu_ms = zip(*pairs, strict=True)
        out[name] = {
            "wall_ms": statistics.median(wall_ms), "wall_ms_least": min(wall_ms),
            "cpu_ms": statistics.median(cpu_ms), "cpu_ms_least": min(cpu_ms),
        }  # fmt: skip
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--metal-gauss", type=Path, help="Folder with the unpacked wheel of metal-gauss.")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found: dict[str, Any] = {"threads": options.threads}
    for name, size in SCENES.items():
        found[name] = timed(runs(make(*size), *size[1:], ours("numba")), options.turns)
        print(name, found[name], flush=True)
    others = {"numba": ours("numba"), "torch twin": ours("torch")}
    if options.metal_gauss:
        others["metal-gauss torch"] = metal_gauss(options.metal_gauss)
    for name, size in SLOW.items():
        scene = make(*size)
        pictures = {side: draw(*scene, *size[1:]) for side, draw in others.items()}
        sides = {
            f"{side}, {what}": run
            for side, draw in others.items()
            for what, run in runs(scene, *size[1:], draw).items()
        }
        found[name] = timed(sides, min(3, options.turns))
        found[f"largest difference, {name}"] = {
            side: float((picture - pictures["numba"]).abs().max()) for side, picture in pictures.items()
        }
    text = json.dumps(found, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
