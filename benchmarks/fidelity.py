"""How far re-renders of a fitted scene are from the truth: splats or a NeRF, and reprojection, against the exact town.

    python benchmarks/fidelity.py --scene SCENE [--fit town:3:40] [--steps 1500] [--pixels 320] [--views 10]
                                  [--method splat|nerf] [--json FILE] [--markdown FILE]

SCENE is the folder of a scene; where it holds none, one is fitted first. What is measured and how: stress/fidelity.py,
which `roadproof scene check` calls as well. The figures are kept in SCENE/fidelity.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).resolve().parent.parent))

from scenes.gaussians import SCENE_FILE, FitSettings, fit_scene
from scenes.nerf import NerfSettings, fit_nerf
from scenes.progress import reporting
from stress.fidelity import check_scene, table


def main() -> None:
    parser = argparse.ArgumentParser(description="Re-renders of a fitted scene against the exact town.")
    parser.add_argument("--scene", type=Path, required=True, help="folder of the scene; fitted where it holds none")
    parser.add_argument("--fit", default="town:3:40", help="capture to fit")
    parser.add_argument("--method", choices=["splat", "nerf"], default="splat", help="what is fitted")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--pixels", type=int, default=320, help="longest side of the pictures")
    parser.add_argument("--views", type=int, default=10, help="views to move the camera from")
    parser.add_argument("--json", default="", help="write the figures here")
    parser.add_argument("--markdown", default="", help="write the table here")
    options = parser.parse_args()
    if not (options.scene / SCENE_FILE).is_file() and options.method == "nerf":
        fit_nerf(options.fit, options.scene, NerfSettings(steps=options.steps, pixels=options.pixels))
    elif not (options.scene / SCENE_FILE).is_file():
        fit_scene(options.fit, options.scene, FitSettings(steps=options.steps, pixels=options.pixels))
    with reporting(None) as report:
        known = check_scene(options.scene, views=options.views, report=report)
    if not known["rows"]:
        sys.exit(
            f"{options.scene}: expected a scene of the town, where the truth is known; this one is of another place"
        )
    text = table(known["rows"])
    print(f"held-out PSNR {known['psnr_db']:.1f} dB, SSIM {known['ssim']:.3f}\n{text}")
    if options.markdown:
        Path(options.markdown).write_text(text + "\n", encoding="utf-8")
    if options.json:
        Path(options.json).write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
