"""What every diffusion shift shares: which pipeline, how it is run, what is kept for replay."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import ClassVar

import numpy as np

from scenes.errors import InputError
from scenes.sample import Image, Sample
from synth.diffusion.control import CONTROLS, Control, control_of
from synth.diffusion.edit import Wish, edit_masked, edit_whole
from synth.diffusion.pipelines import DTYPES, SAVERS, Checkpoint, Loaded, Task, digest, load
from synth.diffusion.templates import NEGATIVE
from synth.generated import kept
from synth.random import Rng
from synth.regions import Mask
from synth.shift import Need, SeverityTable

STRENGTH = SeverityTable(
    "share of the noise added and removed again",
    "%",
    (20, 35, 50, 65, 80),
    "SDEdit (Meng et al., ICLR 2022): from 30 to 60 % a picture is both faithful and realistic",
)
KEEPS = (2.2, 1.2)  # image guidance of the weakest and the strongest instruction (Brooks et al., CVPR 2023: 1 to 2.5)


@dataclass(frozen=True)
class DiffusionParams:
    """prompts and seeds: one for each target; checkpoint: hash of the pipeline's files."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    targets: tuple[int, ...] = ()
    negative: str = NEGATIVE
    strength: float = 0.5
    visible_fraction: float = 1.0
    image_guidance: float = 1.5
    guidance: float = 7.5
    steps: int = 30
    side_px: int = 512
    tile_px: int = 0
    control: str = ""
    checkpoint: str = ""


@dataclass(frozen=True)
class Diffusion:
    """Base of the diffusion shifts. No pipeline comes along; without `model` a shift is no part of its family.

    model:      folder that save_pretrained wrote, or a name on the hub
    prompt:     your own words in the place of the templates; negative: what it must not become
    controlnet: folder or name of a ControlNet, steered by control: depth, segmentation or edges
    steps, guidance, scheduler: of the sampler; scheduler is a class of diffusers
    side_px:    shorter side of what the pipeline sees, 0 = the frame's own; tile_px: tiles of whole frames, 0 = none
    device, dtype, saver: where and how it runs (auto, cpu, cuda; float32, float16, bfloat16; slices, tiles, offload)
    trust:      read pickled weights; allow_download: fetch a name from the hub
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"model"})
    params_type: ClassVar[type[DiffusionParams]] = DiffusionParams
    name: ClassVar[str] = ""

    model: str = ""
    prompt: str = ""
    negative: str = NEGATIVE
    controlnet: str = ""
    control: Control = ""
    steps: int = 30
    guidance: float = 7.5
    scheduler: str = ""
    side_px: int = 512
    tile_px: int = 0
    device: str = "auto"
    dtype: str = "float32"
    saver: str = ""
    trust: bool = False
    allow_download: bool = field(default=False)

    def __post_init__(self) -> None:
        for what, value, known in (
            ("control", self.control, CONTROLS),
            ("dtype", self.dtype, DTYPES),
            ("saver", self.saver, SAVERS),
        ):
            if value not in known:
                raise ValueError(f"{what}: expected one of {', '.join(k or 'nothing' for k in known)}, got {value!r}")
        if bool(self.control) != bool(self.controlnet):
            raise ValueError("controlnet and control: expected both or neither")
        for what, number, least in (
            ("steps", self.steps, 1),
            ("side_px", self.side_px, 0),
            ("tile_px", self.tile_px, 0),
        ):
            if number < least:
                raise ValueError(f"{what}: expected {least} or more, got {number}")

    @classmethod
    def missing_model(cls) -> str | None:
        """Say what is lacking: these shifts need a pipeline of yours."""
        return f"{cls.name} needs the option model: a folder that save_pretrained of diffusers wrote, or a hub name"

    @property
    def task(self) -> Task:
        """What is asked of the pipeline."""
        return "inpaint"

    def pipeline(self) -> Checkpoint:
        """Return which pipeline this is; raises InputError where none was named."""
        if not self.model:
            raise InputError(f"{self.missing_model()}")
        return Checkpoint(
            model=self.model,
            task=self.task,
            controlnet=self.controlnet,
            scheduler=self.scheduler,
            dtype=self.dtype,
            device=_device(self.device),
            saver=self.saver,
            trust=self.trust,
            allow_download=self.allow_download,
        )

    def params(
        self,
        prompts: list[str],
        rng: Rng,
        *,
        targets: tuple[int, ...] = (),
        strength: float = 1.0,
        visible_fraction: float = 1.0,
    ) -> DiffusionParams:
        """Return params with a seed for each prompt; loads the pipeline, so that what is wrong is said first."""
        pipeline = self.pipeline()
        load(pipeline)
        share = float(np.clip((strength - 0.2) / 0.6, 0, 1))
        return DiffusionParams(
            prompts=tuple(prompts),
            seeds=tuple(rng.seed() for _ in prompts),
            targets=targets,
            negative=self.negative,
            strength=strength,
            visible_fraction=visible_fraction,
            image_guidance=KEEPS[0] + share * (KEEPS[1] - KEEPS[0]),
            guidance=self.guidance,
            steps=self.steps,
            side_px=self.side_px,
            tile_px=self.tile_px,
            control=self.control,
            checkpoint=digest(pipeline),
        )

    def loaded(self, params: DiffusionParams) -> Loaded:
        """Return the pipeline that params were drawn with; another one is an error."""
        loaded = load(self.pipeline())
        if loaded.digest != params.checkpoint:
            raise InputError(
                f"{self.name}: params were drawn with a pipeline of hash {params.checkpoint}, got {loaded.digest} "
                f"({self.model}): give the one they were drawn with"
            )
        return loaded

    def painted(
        self, sample: Sample, image: Image, params: DiffusionParams, place: int, *, mask: Mask | None, rim_px: int = 4
    ) -> Image:
        """Return a picture after the edit of one prompt, from the cache where it was made before."""
        loaded = self.loaded(params)
        wish = Wish(
            prompt=params.prompts[place],
            negative=params.negative,
            strength=params.strength,
            guidance=params.guidance,
            image_guidance=params.image_guidance,
            steps=params.steps,
            seed=params.seeds[place],
            side_px=params.side_px,
            tile_px=params.tile_px,
        )
        control = control_of(sample, params.control)  # type: ignore[arg-type]  # checked when the shift was made
        decided = {
            **asdict(wish),
            "task": self.task,
            "mask": None if mask is None else hashlib.sha256(np.packbits(mask).tobytes()).hexdigest(),
            "rim_px": rim_px,
            "control": None if control is None else hashlib.sha256(control.tobytes()).hexdigest(),
            "run": [self.scheduler, self.dtype],
        }

        def made() -> Image:
            if mask is None:
                return edit_whole(image, loaded, wish, control=control)
            return edit_masked(image, mask, loaded, wish, rim_px=rim_px, control=control)

        return kept(image, decided, params.checkpoint, made)


def _device(word: str) -> str:
    if word != "auto":
        return word
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
