"""The town as a data set: drives of a few frames each, made when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from scenes.errors import InputError, did_you_mean
from scenes.sample import Sample, Task
from scenes.town.classes import CLASS_NAMES
from scenes.town.town import Town

SPLITS = {"train": 0, "val": 1, "test": 2, "demo": 3}
DRIVES_PER_SPLIT = 1_000_000


class TownDataset:
    """`n` frames in drives of `frames_per_drive`; splits and seeds share no town.

    >>> data = TownDataset(seed=1, n=3, width=64, height=36, frames_per_drive=2)
    >>> data.sample_ids
    ('train/1/0000/00', 'train/1/0000/01', 'train/1/0001/00')
    >>> data["train/1/0001/00"].image.shape
    (36, 64, 3)
    """

    def __init__(
        self,
        seed: int = 0,
        n: int = 40,
        *,
        width: int = 640,
        height: int = 360,
        frames_per_drive: int = 4,
        split: str = "train",
        with_previous: bool = False,
    ) -> None:
        if split not in SPLITS:
            raise InputError(f"town: unknown split {split!r}{did_you_mean(split, SPLITS)}; known: {', '.join(SPLITS)}")
        for name, value in (("n", n), ("width", width), ("height", height), ("frames_per_drive", frames_per_drive)):
            if value < 1:
                raise InputError(f"town: expected {name} >= 1, got {value}")
        self.seed, self.split, self.with_previous = seed, split, with_previous
        self.width, self.height, self.frames_per_drive = width, height, frames_per_drive
        self._places = {self._sample_id(k): divmod(k, frames_per_drive) for k in range(n)}

    def _sample_id(self, index: int) -> str:
        drive, frame = divmod(index, self.frames_per_drive)
        return f"{self.split}/{self.seed}/{drive:04d}/{frame:02d}"

    @property
    def name(self) -> str:
        return "town"

    @property
    def class_names(self) -> tuple[str, ...]:
        return CLASS_NAMES

    @property
    def tasks(self) -> tuple[Task, ...]:
        return ("detection", "segmentation")

    @property
    def sample_ids(self) -> tuple[str, ...]:
        return tuple(self._places)

    @property
    def groups(self) -> Mapping[str, str]:
        """The drive of each frame."""
        return {sample_id: sample_id.rsplit("/", 1)[0] for sample_id in self._places}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Sample]:
        for sample_id in self._places:
            yield self[sample_id]

    def __getitem__(self, sample_id: str) -> Sample:
        if sample_id not in self._places:
            raise InputError(f"town: no sample {sample_id!r}{did_you_mean(sample_id, self._places)}")
        drive, frame = self._places[sample_id]
        previous = self.previous(sample_id) if self.with_previous else None
        return self._render(drive, frame, sample_id, previous)

    def previous(self, sample_id: str) -> Sample:
        """Return the frame before one in time, rendered anew (of a drive's first frame too)."""
        drive, frame = self._places[sample_id]
        return self._render(drive, frame - 1, f"{sample_id}-previous", None)

    def town(self, sample_id: str) -> Town:
        """Return the scene of a sample, at its moment."""
        drive, frame = self._places[sample_id]
        return Town(self._town_seed(drive)).at(frame)

    def _town_seed(self, drive: int) -> int:
        return (self.seed * len(SPLITS) + SPLITS[self.split]) * DRIVES_PER_SPLIT + drive

    def _render(self, drive: int, frame: int, sample_id: str, previous: Sample | None) -> Sample:
        town = Town(self._town_seed(drive)).at(frame)
        camera = town.camera(frame, self.width, self.height)
        return town.render(camera, sample_id=sample_id, previous=previous)
