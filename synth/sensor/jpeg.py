"""JPEG compression (ITU-T T.81) by libjpeg at a quality of its own scale, chroma at half the resolution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np

from scenes.errors import InputError
from scenes.sample import Image, Sample
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable


@dataclass(frozen=True)
class JpegParams:
    """quality: 1 to 100, the scale of the Independent JPEG Group's library."""

    quality: int


@register
@dataclass(frozen=True)
class Jpeg:
    """A camera that sends JPEG pictures over a link of too little bandwidth."""

    name: ClassVar[str] = "sensor/jpeg"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "JPEG quality",
        "",
        (25, 18, 13, 9, 5),
        "Hendrycks and Dietterich (2019) use 25 to 7 on pictures of 224 pixels; large ones need a step more",
        "log",
    )
    params_type: ClassVar[type[JpegParams]] = JpegParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> JpegParams:
        return JpegParams(quality=round(self.table.at(severity)))

    def apply(self, sample: Sample, params: JpegParams) -> Sample:
        return replace(sample, image=decoded(encoded(sample.image, params.quality)))


def encoded(image: Image, quality: int) -> bytes:
    """Return the JPEG file of a picture (H, W, 3) sRGB."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise InputError(f"jpeg: a picture of {image.shape[1]}x{image.shape[0]} cannot be written as JPEG")
    return data.tobytes()


def decoded(data: bytes) -> Image:
    """Return the picture (H, W, 3) sRGB of a JPEG file."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise InputError("jpeg: these bytes are not a JPEG file")
    image: Image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    return image
