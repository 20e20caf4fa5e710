"""Make pictures of a run again, from what the run folder says: sample, shift, options and drawn parameters."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from scenes.datasets import open_dataset
from scenes.errors import InputError, did_you_mean
from scenes.sample import Dataset, Sample
from stress.folder import RunFolder, read_json
from stress.pictures import write_picture
from stress.plan import Plan
from stress.results import read
from synth.chain import AnyShift
from synth.depth import DepthSource
from synth.pipeline import Shifted, replay


class Remaker:
    """Reads the samples of a finished run again and shifts them as the run did. dataset: where the run names none."""

    def __init__(self, run_dir: str | Path, dataset: Dataset | None = None) -> None:
        self.run_dir = run_dir
        self.identity = read_json(RunFolder(Path(run_dir)).plan)
        self._dataset = dataset

    @cached_property
    def dataset(self) -> Dataset:
        """The data set of the run; raises where it is not where it was."""
        if self._dataset is not None:
            return self._dataset
        named = self.identity["dataset"]["path"]
        if named is None:
            raise InputError(f"run {str(self.run_dir)!r} was given an opened data set: give it as dataset=...")
        return open_dataset(named, **self.identity["dataset"]["options"])

    @cached_property
    def shifts(self) -> Mapping[str, AnyShift]:
        return Plan.make(self.identity["plan"]).create_shifts()

    @cached_property
    def depth(self) -> DepthSource | None:
        if self.identity["depth"] is None:
            return None
        from synth.depth import depth_source

        return depth_source(self.identity["depth"])

    def shifted(self, sample: Sample, shift: str, params: Mapping[str, Any]) -> Shifted:
        """Return a sample under a shift of the run with drawn parameters."""
        made = self.shifts[shift]
        return replay(sample, made, params, depth=self.depth if "depth" in made.needs else None)


def reproduce(
    run_dir: str | Path, failure: str, out: str | Path | None = None, *, dataset: Dataset | None = None
) -> Path:
    """Write the shifted picture of one failure of a run as PNG and return its path.

    failure: its id in the gallery, e.g. "f001"; out: `FAILURE.png` where not given
    dataset: needed where the run was given an opened data set and not a path or name
    """
    results, again = read(run_dir), Remaker(run_dir, dataset)
    entries = {entry["id"]: entry for entry in results.summary["gallery"]}
    if failure not in entries:
        raise InputError(f"run {str(run_dir)!r}: no failure {failure!r}{did_you_mean(failure, entries)}")
    entry = entries[failure]
    made = again.shifted(again.dataset[entry["sample_id"]], entry["shift"], entry["params"])
    path = Path(out) if out is not None else Path(f"{failure}.png")
    write_picture(path, made.sample.image)
    return path
