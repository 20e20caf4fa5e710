"""Make the pictures of README and docs: `python docs/pictures.py` writes docs/images/."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from scenes.sample import Image, Sample
from scenes.town import TownDataset
from synth.pipeline import shifted
from synth.registry import create

FOLDER = Path(__file__).parent / "images"
SEED = 11
# One shift a family, strong enough to be seen at a third of the size.
SHOWN = (
    ("weather/fog", 4), ("weather/rain", 4), ("weather/snow_cover", 4), ("lighting/night", 4), ("lighting/low_sun", 4),
    ("sensor/motion_blur", 4), ("texture/object", 4), ("shape/warp", 5), ("pose/object_turn", 5),
    ("context/background", 5), ("occlusion/target", 4),
)  # fmt: skip


def main() -> None:
    """Write every picture."""
    FOLDER.mkdir(exist_ok=True)
    sample = next(iter(TownDataset(seed=SEED, n=1)))
    tiles = [_titled(sample.image, "clean")]
    tiles += [_titled(_variant(sample, name, severity), f"{name}, severity {severity}") for name, severity in SHOWN]
    rows = [np.concatenate(tiles[i : i + 3], axis=1) for i in range(0, len(tiles), 3)]
    _write(FOLDER / "shifts.jpg", np.concatenate(rows, axis=0))


def _variant(sample: Sample, name: str, severity: float) -> Image:
    return shifted(sample, create(name), severity, seed=SEED).sample.image


def _titled(image: Image, title: str) -> Image:
    tile = cv2.resize(image, (480, 270), interpolation=cv2.INTER_AREA)
    bar = np.full((30, 480, 3), 250, np.uint8)
    cv2.putText(bar, title, (8, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
    return np.concatenate([bar, tile], axis=0)


def _write(path: Path, image: Image) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
