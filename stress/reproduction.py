"""Make a picture of the gallery again, from what the run folder says: sample, shift, options and drawn parameters."""

from __future__ import annotations

from pathlib import Path

from scenes.datasets import open_dataset
from scenes.errors import InputError, did_you_mean
from scenes.sample import Dataset
from stress.folder import RunFolder, read_json
from stress.pictures import write_picture
from stress.plan import Plan
from stress.results import read
from synth.pipeline import replay


def reproduce(
    run_dir: str | Path, failure: str, out: str | Path | None = None, *, dataset: Dataset | None = None
) -> Path:
    """Write the shifted picture of one failure of a run as PNG and return its path.

    failure: its id in the gallery, e.g. "f001"; out: `FAILURE.png` where not given
    dataset: needed where the run was given an opened data set and not a path or name
    """
    results, identity = read(run_dir), read_json(RunFolder(Path(run_dir)).plan)
    entries = {entry["id"]: entry for entry in results.summary["gallery"]}
    if failure not in entries:
        raise InputError(f"run {str(run_dir)!r}: no failure {failure!r}{did_you_mean(failure, entries)}")
    entry = entries[failure]
    if dataset is None:
        named = identity["dataset"]["path"]
        if named is None:
            raise InputError(f"run {str(run_dir)!r} was given an opened data set: give it as dataset=...")
        dataset = open_dataset(named, **identity["dataset"]["options"])
    shift = Plan.make(identity["plan"]).create_shifts()[entry["shift"]]
    depth = None
    if identity["depth"] is not None and "depth" in shift.needs:
        from synth.depth import depth_source

        depth = depth_source(identity["depth"])
    again = replay(dataset[entry["sample_id"]], shift, entry["params"], depth=depth)
    path = Path(out) if out is not None else Path(f"{failure}.png")
    write_picture(path, again.sample.image)
    return path
