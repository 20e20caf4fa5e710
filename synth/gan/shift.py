"""What every GAN shift shares: which checkpoint, how large a share of the translation, at what size.

A whole-frame edit: pixels change everywhere, labels stay, and what is not kept in place is for the audit of generated
content to find (`synth.trust`). Between the severities the picture is mixed with its translation.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from scenes.errors import InputError
from scenes.sample import Image, Sample
from synth.gan.checkpoint import SUFFIXES, digest, load_generator
from synth.gan.translate import translate
from synth.generated import kept
from synth.random import Rng
from synth.shift import Change, Need, SeverityTable

BUILT_IN = Path(__file__).parent / "weights"
TABLE = SeverityTable(
    "share of the translation",
    "%",
    (20, 40, 60, 80, 100),
    "full range of the mixture of picture and translation, in equal steps of display values",
)


@dataclass(frozen=True)
class TranslationParams:
    """share: of the translated picture; checkpoint: hash of the generator's file."""

    share: float
    checkpoint: str
    side_px: int
    tile_px: int


@dataclass(frozen=True)
class Translation:
    """Base of the GAN shifts; `built_in` names the weights that come along, "" where there are none.

    weights: a generator: state dict of CycleGAN, pix2pix or CUT (.pth, .safetensors), TorchScript or ONNX
    side_px: shorter side at which the generator sees the frame, 0 = as it is
    tile_px: side of the tiles of large frames, 0 = 768 pixels above a million pixels, else whole
    trust:   run a TorchScript program that reaches beyond tensors
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"model"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = TABLE
    params_type: ClassVar[type[TranslationParams]] = TranslationParams
    name: ClassVar[str] = ""
    built_in: ClassVar[str] = ""

    weights: str = ""
    side_px: int = 0
    tile_px: int = 0
    trust: bool = False

    def __post_init__(self) -> None:
        for option, value in (("side_px", self.side_px), ("tile_px", self.tile_px)):
            if value < 0 or (option == "tile_px" and 0 < value < 64):
                least = "0 or at least 64" if option == "tile_px" else "0 or more"
                raise ValueError(f"{option}: expected {least} pixels, got {value!r}")

    @classmethod
    def missing_model(cls) -> str | None:
        """Say what is lacking, None where the built-in weights are there."""
        try:
            cls().find()
        except InputError as error:
            return str(error)
        return None

    def find(self) -> Path:
        """Return the generator's file; raises where none was given and none comes along."""
        if self.weights:
            return Path(self.weights).expanduser()
        path = BUILT_IN / f"{self.built_in}.safetensors"
        if not self.built_in or not path.is_file():
            raise InputError(
                f"{self.name} needs a generator: give the option weights, a file of CycleGAN, pix2pix or CUT weights, "
                f"TorchScript or ONNX ({', '.join(SUFFIXES)}), or train one: roadproof train gan A B"
            )
        return path

    def draw(self, sample: Sample, severity: float, rng: Rng) -> TranslationParams:
        del sample, rng  # a generator has no dice
        path = self.find()
        load_generator(path, trust=self.trust)  # what is wrong with it is said before anything is made
        return TranslationParams(self.table.at(severity) / 100, digest(path), self.side_px, self.tile_px)

    def apply(self, sample: Sample, params: TranslationParams) -> Sample:
        path = self.find()
        generator = load_generator(path, trust=self.trust)
        if generator.digest != params.checkpoint:
            raise InputError(
                f"{self.name}: params were drawn with a checkpoint of hash {params.checkpoint}, got {generator.digest} "
                f"at {path}: give the one they were drawn with"
            )

        def made() -> Image:
            return translate(sample.image, generator, side_px=params.side_px, tile_px=params.tile_px)

        decided = {key: value for key, value in asdict(params).items() if key != "share"}
        whole = kept(sample.image, decided, params.checkpoint, made)
        return replace(sample, image=mixed(sample.image, whole, params.share))


def mixed(image: Image, other: Image, share: float) -> Image:
    """Return the mixture of two pictures in display values."""
    if share >= 1 or not image.size:
        return other
    mixture = cv2.addWeighted(np.ascontiguousarray(image), 1 - share, np.ascontiguousarray(other), share, 0.0)
    return np.asarray(mixture, np.uint8)
