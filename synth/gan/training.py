"""Train a translation from one set of pictures to another: `roadproof train gan A B` in Python."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from scenes.errors import InputError
from scenes.progress import Report
from synth.gan.networks import Layout
from synth.gan.pictures import pictures_of
from synth.training import Trained, train

if TYPE_CHECKING:
    from synth.gan.learners import Settings

LAYOUTS = {
    "resnet_6blocks": Layout(kind="resnet", depth=6, width=64),
    "resnet_9blocks": Layout(kind="resnet", depth=9, width=64),
    "unet_128": Layout(kind="unet", depth=7, width=64),
    "unet_256": Layout(kind="unet", depth=8, width=64),
}


def train_gan(
    first: str | Path,
    second: str | Path,
    out: str | Path,
    *,
    paired: bool = False,
    method: str | None = None,
    network: str = "resnet_6blocks",
    width: int = 64,
    norm: str = "instance",
    blur: bool = False,
    steps: int = 20_000,
    side: int = 128,
    batch: int = 4,
    rate: float = 2e-4,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | Report | None = None,
) -> Trained:
    """Train a generator that turns pictures below `first` into such as those below `second`.

    paired:  the same names in both folders are the same frames (pix2pix); else CUT, or CycleGAN, which also learns back
    network: resnet_6blocks, resnet_9blocks, unet_128 or unet_256, of `width` channels in its first layer
    norm:    instance, batch (tiles of large frames agree) or none; blur: anti-aliased sampling, as CUT has it
    side:    of the square crops in pixels; batch: how many a step

    Raises InputError for folders without pictures, pairs that are none, settings that do not fit, losses that diverge.
    """
    from synth.gan.learners import LEARNERS

    method = method or ("pix2pix" if paired else "cut")
    settings = _settings(method, network, width, norm, blur=blur, side=side, batch=batch, rate=rate, device=device)
    if paired != (method == "pix2pix"):
        raise InputError(
            f"method {method!r}: expected {'pairs (--paired)' if not paired else 'cyclegan or cut without --paired'}"
        )
    pictures = pictures_of(first, second, paired=paired)
    learner = LEARNERS[method](pictures, settings, seed=seed)
    asked = {
        "kind": "gan",
        "data": [str(first), str(second)],
        "pictures": [len(pictures.first), len(pictures.second)],
        "paired": paired,
        "settings": asdict(settings),
    }
    return train(learner, Path(out), asked, steps=steps, seed=seed, progress=progress)


def _settings(
    method: str, network: str, width: int, norm: str, *, blur: bool, side: int, batch: int, rate: float, device: str
) -> Settings:
    from synth.gan.learners import METHODS, Settings

    for what, value, known in (
        ("method", method, METHODS),
        ("network", network, tuple(LAYOUTS)),
        ("norm", norm, ("instance", "batch", "none")),
    ):
        if value not in known:
            raise InputError(f"{what}: expected one of {', '.join(known)}, got {value!r}")
    usual = LAYOUTS[network]
    if method == "cut" and usual.kind != "resnet":
        raise InputError(
            f"method 'cut' contrasts the layers of a ResNet: expected resnet_6blocks or 9, got {network!r}"
        )
    layout = Layout(
        kind=usual.kind,
        depth=usual.depth,
        width=width,
        norm=norm,  # type: ignore[arg-type]  # checked above
        dropout=method == "pix2pix" and norm != "batch",
        blur_down=blur and usual.kind == "resnet",
        blur_up=blur and usual.kind == "resnet",
    )
    if side % layout.multiple or side < 32:
        raise InputError(f"side: expected a multiple of {layout.multiple} from 32 pixels on for {network}, got {side}")
    for what, count in (("width", width), ("batch", batch)):
        if count < 1:
            raise InputError(f"{what}: expected 1 or more, got {count}")
    critics = norm if norm != "none" else "instance"
    return Settings(
        method=method,
        layout=layout,
        side=side,
        batch=batch,
        rate=rate,
        critics=max(16, width),
        norm_of_critics=critics,  # type: ignore[arg-type]  # checked above
        device=device,
    )
