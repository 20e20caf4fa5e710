"""What feedback wins back: the loop on the town and on CamVid, with controls of equal budget and three seeds.

    python benchmarks/loop.py town --out DIR [--steps 300] [--images 240] [--frames 100]
    CAMVID_WEIGHTS=camvid.safetensors python benchmarks/loop.py camvid --data CAMVID --out DIR

town:   the detector of the zoo on unseen drives of the town, one frame of each drive; sensor and context are held out
camvid: examples/camvid_segmenter.py on the val split; sensor is held out. Whatever sequence is tested is not trained on

Prints the tables of the proof as Markdown; DIR holds the run, the feedback set and the retraining. The same command
goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

import reports.proof  # noqa: E402  # found through the path above
import stress  # noqa: E402
from stress.feedback import make_feedback  # noqa: E402

SEED = 2026  # of the town: not among those that the zoo was trained on
TOWN = ("fog", "rain", "night", "low_sun", "motion_blur", "pixelation", "context/misplaced")
CAMVID = ("fog", "rain", "night", "low_sun", "motion_blur", "pixelation")
HELD_OUT = {"town": ("sensor", "context"), "camvid": ("sensor",)}


def run(given: argparse.Namespace) -> Path:
    """Stress the model before; return the run folder."""
    out, common = given.out / "run", {"workers": given.workers, "progress": True}
    plan: dict[str, Any] = {"severities": given.severities, "explain": "none", "dependability": "none"}
    if given.data_set == "town":
        plan.update(shifts=TOWN, limit=given.frames)
        stress.run(f"town:{SEED}:{4 * given.frames}", "zoo:detector", plan, out, split="demo", **common)
    else:
        plan.update(shifts=CAMVID, limit=given.frames)
        model = f"{ROOT / 'examples' / 'camvid_segmenter.py'}:CamvidSegmenter"
        stress.run(str(given.data), model, plan, out, split="val", **common)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_set", choices=["town", "camvid"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder of CamVid: train/ trainannot/ val/ valannot/")
    parser.add_argument("--frames", type=int, default=100, help="frames that are tested")
    parser.add_argument("--images", type=int, default=240, help="pictures of the feedback set")
    parser.add_argument("--choose", type=int, help="frames to choose from; as many as pictures")
    parser.add_argument("--severities", type=float, nargs="+", default=[3.0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int)
    given = parser.parse_args()
    if given.data_set == "camvid" and given.data is None:
        parser.error("camvid needs --data")
    before = run(given)
    feedback = make_feedback(
        before, given.out / "feedback", images=given.images, frames=given.choose,
        hold_out=HELD_OUT[given.data_set], workers=given.workers, progress=True,
    )  # fmt: skip
    made = stress.retrain(
        None, feedback.path, given.out / "retrained", seeds=given.seeds, workers=given.workers, progress=True,
        settings={"steps": given.steps, "rate": given.rate},
    )  # fmt: skip
    reports.proof.write(made.path, made.summary)
    print(reports.proof.markdown(made.summary))


if __name__ == "__main__":
    main()
