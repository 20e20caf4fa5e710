"""The look of another picture by a learned network: AdaIN style transfer (Huang & Belongie, ICCV 2017).

A VGG encoder's features take the mean and deviation of the style's, channel by channel, and a decoder makes a picture
of them. What is where stays, colours, textures and strokes are the style's: the whole frame changes its look, labels
stay. The weights are the user's own copy (see synth/texture/adain.py); without them the shift is no part of `all` or
of its family, and naming it says what to get.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from scenes.errors import InputError
from scenes.sample import Sample
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.texture.adain import find_weights, stylise
from synth.texture.styles import Style, draw_style, style_image

_NAME = "texture/adain_style"


@dataclass(frozen=True)
class AdainStyleParams:
    """alpha: share of the style's feature statistics; weights: hash of the files."""

    alpha: float
    side_px: int
    weights: str
    style: str
    style_digest: str
    seed: int


@register
@dataclass(frozen=True)
class AdainStyle:
    """The textures and colours of another picture, transferred by a learned network from local weights (AdaIN).

    weights: folder with vgg_normalised and decoder (.safetensors or .pth), or one safetensors file with both; empty =
             the folder hub/checkpoints/adain of torch's cache
    styles:  folder of style pictures, or one file; made procedurally where empty
    side_px: shorter side at which the networks see the frame, 0 = as it is; larger frames lose finer detail
    """

    name: ClassVar[str] = _NAME
    family: ClassVar[Family] = "texture"
    needs: ClassVar[frozenset[Need]] = frozenset({"model"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "share of the style's feature statistics",
        "%",
        (20, 40, 60, 80, 100),
        "full range of the content-style trade-off of Huang & Belongie (2017), in equal steps",
    )
    params_type: ClassVar[type[AdainStyleParams]] = AdainStyleParams

    weights: str = ""
    styles: str = ""
    side_px: int = 512

    def __post_init__(self) -> None:
        if self.side_px < 0:
            raise ValueError(f"side_px: expected 0 or more pixels, got {self.side_px!r}")

    @classmethod
    def missing_model(cls) -> str | None:
        """Say what is lacking at the usual place, None where nothing is."""
        try:
            find_weights("", who=_NAME)
        except InputError as error:
            return str(error)
        return None

    def draw(self, sample: Sample, severity: float, rng: Rng) -> AdainStyleParams:
        digest = find_weights(self.weights, who=_NAME).digest
        style = draw_style(self.styles, rng)
        alpha = self.table.at(severity) / 100
        return AdainStyleParams(alpha, self.side_px, digest, style.name, style.digest, style.seed)

    def apply(self, sample: Sample, params: AdainStyleParams) -> Sample:
        weights = find_weights(self.weights, who=_NAME)
        if weights.digest != params.weights:
            raise InputError(
                f"{_NAME}: params were drawn with weights of hash {params.weights}, got {weights.digest} at "
                f"{weights.decoder.parent}: give the weights they were drawn with"
            )
        if not sample.image.size:
            return sample
        height, width = sample.image.shape[:2]
        style = style_image(self.styles, Style(params.style, params.style_digest, params.seed), height, width)
        image = stylise(sample.image, style, weights, alpha=params.alpha, side_px=params.side_px)
        return replace(sample, image=image)
