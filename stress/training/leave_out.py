"""Leave one family out: each in turn is kept out of the training, and the re-test of that family is what counts.

Each turn is a whole retraining with its own controls, in a folder of its own, so that whatever is finished is kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scenes.errors import InputError
from scenes.folders import write_json
from stress.feedback import read_feedback
from stress.training.retraining import Retrained, retrain
from stress.training.sets import family_of
from stress.training.verdict import ALPHA, NO_EVIDENCE, corrected

SCHEMA = "roadproof.leave_one_out/1"
EACH = "each"


def leave_one_out(model: Any, feedback: str | Path, out: str | Path, **options: Any) -> Retrained:
    """Retrain once without each family of a feedback set; options are those of `retrain`, without `held_out`.

    The rows of the summary are the left-out families, p-values corrected for their number (Holm).
    """
    made = read_feedback(feedback)
    families = sorted({family_of(row.shift) for row in made.weights if row.shift})
    if len(families) < 2:
        named = families[0] if families else "none"
        raise InputError(
            f"held-out: {EACH}: the feedback {made.path} has pictures of {len(families)} family ({named}); leaving one "
            "out needs two or more"
        )
    turns = {
        family: retrain(model, feedback, Path(out) / f"without-{family}", held_out=[family], **options)
        for family in families
    }
    rows, notes = [], []
    for family, turn in turns.items():
        found = next((row for row in turn.summary["families"] if row["family"] == family), None)
        if found is None:
            notes.append(f"{family}: the test has none of it, so nothing is known of leaving it out.")
            continue
        rows.append({**found, "folder": turn.path.name})
    p_values = corrected([row["p"] for row in rows])
    for row, p in zip(rows, p_values, strict=True):
        row["p_corrected"] = p
        if row["word"] != NO_EVIDENCE and (p is None or p >= ALPHA):
            row["word"], row["reason"] = NO_EVIDENCE, "chance explains the difference"
    first = next(iter(turns.values())).summary
    kept = ("metric", "metric_label", "model", "test", "controls", "seeds", "settings", "arms")
    summary = {"schema": SCHEMA, **{key: first[key] for key in kept}, "families": rows, "notes": notes}
    summary["command"] = options.get("command")
    write_json(Path(out) / "leave-one-out.json", summary)
    return Retrained(Path(out), summary, already_done=all(turn.already_done for turn in turns.values()))
