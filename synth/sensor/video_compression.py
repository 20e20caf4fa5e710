"""Video compression as on a link of too little bandwidth: H.264 (x264) or H.265 (x265) at a constant rate factor.

A single frame is coded on its own (intra); with `Sample.previous` the frames before it are coded first and it refers to
them, as in a stream. One thread, so that the same input gives the same bytes. Colours go through 4:2:0, 8 bit. Pictures
are padded by their border to what the codecs take, and cut again: labels stay where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar, Literal

import numpy as np

from scenes.errors import InputError
from scenes.sample import Image, Sample
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

SMALLEST_PX = 64  # one coding tree unit of H.265
MOST_REFERENCES = 3
_ENCODERS = {"h264": "libx264", "h265": "libx265"}


@dataclass(frozen=True)
class VideoCompressionParams:
    """codec: h264 or h265; crf: constant rate factor, 0 to 51; references: frames before this one in the stream."""

    codec: str
    crf: float
    references: int


@register
@dataclass(frozen=True)
class VideoCompression:
    """Blocks, ringing and lost detail of a video stream.

    codec:    h264 or h265
    previous: whether frames before this one are used as references where the sample has them
    """

    name: ClassVar[str] = "sensor/video_compression"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "constant rate factor",
        "CRF",
        (32, 37, 42, 46, 51),
        "Yi et al. (2021), robustness of spatial-temporal models: H.264 at 23 to 51; below 30 a frame hardly changes",
    )
    params_type: ClassVar[type[VideoCompressionParams]] = VideoCompressionParams

    codec: Literal["h264", "h265"] = "h264"
    previous: bool = True

    def __post_init__(self) -> None:
        if self.codec not in _ENCODERS:
            raise ValueError(f"codec: expected h264 or h265, got {self.codec!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> VideoCompressionParams:
        references = len(frames_before(sample, MOST_REFERENCES)) if self.previous else 0
        return VideoCompressionParams(codec=self.codec, crf=self.table.at(severity), references=references)

    def apply(self, sample: Sample, params: VideoCompressionParams) -> Sample:
        before = frames_before(sample, params.references)
        if len(before) < params.references:
            raise InputError(
                f"{self.name}: its params refer to {params.references} frames before sample {sample.sample_id!r}, "
                f"which has {len(before)}"
            )
        coded, _ = through_codec([*before, sample.image], codec=params.codec, crf=params.crf)
        return replace(sample, image=coded)


def frames_before(sample: Sample, most: int) -> list[Image]:
    """Return the pictures of the same size before a sample, oldest first, at most so many."""
    found: list[Image] = []
    one = sample.previous
    while one is not None and len(found) < most and one.image.shape == sample.image.shape:
        found.insert(0, one.image)
        one = one.previous
    return found


def through_codec(frames: Sequence[Image], *, codec: str, crf: float) -> tuple[Image, int]:
    """Code frames (H, W, 3) in order; return the last one decoded, and the bytes it took."""
    import av
    from av.codec.context import CodecContext

    if codec not in _ENCODERS:
        raise InputError(f"video compression: codec: expected h264 or h265, got {codec!r}")
    height, width = frames[-1].shape[:2]
    padded = (max(SMALLEST_PX, width + width % 2), max(SMALLEST_PX, height + height % 2))
    encoder: Any = CodecContext.create(_ENCODERS[codec], "w")
    encoder.width, encoder.height = padded
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, 30), Fraction(30, 1)
    encoder.thread_count = 1
    encoder.options = _options(codec, crf)
    packets = []
    for number, image in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(_padded(image, padded), format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        packets.extend(encoder.encode(frame))
    packets.extend(encoder.encode(None))
    decoder: Any = CodecContext.create("h264" if codec == "h264" else "hevc", "r")
    decoder.thread_count = 1
    decoded = [frame for packet in packets for frame in decoder.decode(packet)] + list(decoder.decode(None))
    rgb = decoded[-1].to_ndarray(format="rgb24")
    return np.ascontiguousarray(rgb[:height, :width]), packets[-1].size


def _options(codec: str, crf: float) -> dict[str, str]:
    """Return what a live stream of a camera uses: no frames ahead, no B frames, one thread."""
    common = {"tune": "zerolatency", "crf": f"{crf:.2f}"}
    if codec == "h264":
        return {**common, "preset": "veryfast", "x264-params": "threads=1:lookahead-threads=1:sliced-threads=0"}
    return {**common, "preset": "ultrafast", "x265-params": "pools=none:frame-threads=1:wpp=0:log-level=none"}


def _padded(image: Image, size: tuple[int, int]) -> Image:
    """Return the picture continued by its border to (width, height)."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return np.ascontiguousarray(image)
    return np.pad(image, ((0, size[1] - height), (0, size[0] - width), (0, 0)), mode="edge")
