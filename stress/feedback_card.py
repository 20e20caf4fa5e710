"""README.md of a feedback set: what it is, why, from which run, of which licences, what keeps it from the test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stress.results import Results
from synth.filters import REASONS


def card(summary: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], results: Results) -> str:
    """Return the card as Markdown; rows are those of the manifest."""
    parts = [_what(summary), _why(summary, results), _how(summary, rows), _guard(summary), _use(summary)]
    return "\n\n".join(parts) + "\n"


def _what(s: Mapping[str, Any]) -> str:
    held = ", ".join(s["families_held_out"]) or "none"
    lines = [
        "# Feedback set",
        "",
        f"{s['n_images']} pictures for training {s['task']}, {s['n_clean']} of them clean frames, aimed at what a "
        "stress run lost. Made by roadproof.",
        "",
        "| | |",
        "|---|---|",
        f"| run | `{s['run']}` |",
        f"| model | {s['model']} |",
        f"| frames of | {s['dataset']['source']}{_split(s)} |",
        f"| format | {s['dataset']['format']} |",
        f"| classes | {', '.join(s['class_names'])} |",
        f"| clean frames | {s['n_clean']} of {s['n_images']}, {s['clean_share']:.0%} of the sampling weight |",
        f"| families used | {', '.join(s['families_used']) or 'none'} |",
        f"| families held out | {held} |",
        f"| seed | {s['seed']} |",
        f"| licences of the source | {'; '.join(f'{name} ({n})' for name, n in s['licences'].items())} |",
        f"| command | `{s['command']}` |",
    ]
    return "\n".join(lines)


def _split(s: Mapping[str, Any]) -> str:
    return f", split {s['dataset']['split']}" if s["dataset"]["split"] else ""


def _why(s: Mapping[str, Any], results: Results) -> str:
    tested = any(one["significant"] for one in s["slices"])
    head = results.headline
    figure = f"{head['metric']} {_number(head['clean']['value'])} clean, {_number(head['mpc']['value'])} under shift"
    intro = f"The run: {figure}, {results.summary['dataset']['n_samples']} frames. "
    intro += (
        "The slices below lost more than the rest (tested on half of the groups, corrected)."
        if tested
        else "No slice was confirmed by a test; these lost most."
        if s["task"] != "segmentation"
        else "No slice was confirmed by a test; these classes lost most IoU."
    )
    lines = ["## Why", "", intro, "", "| slice | figure | clean | under shift | n | corrected p | pictures |"]
    lines.append("|---|---|---|---|---|---|---|")
    for one in s["slices"]:
        p = (
            "–"
            if one["p_corrected"] is None
            else "< 0.001"
            if one["p_corrected"] < 0.001
            else f"{one['p_corrected']:.3f}"
        )
        figures = f"{_number(one['clean'])} | {_number(one['shifted'])} | {one['n']}"
        lines.append(f"| {one['slice']} | {one['metric']} | {figures} | {p} | {one['n_images']} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _how(s: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["## What is in it", "", "| shift | pictures | severities |", "|---|---|---|"]
    for name, n in s["shifts"].items():
        severities = sorted(row["severity"] for row in rows if row["entry"] == name and row["variant"])
        lines.append(f"| {name} | {n} | {severities[0]:g} to {severities[-1]:g} |")
    verdicts = ", ".join(f"{n} {kind}" for kind, n in s["verdicts"].items()) or "none"
    left = "; ".join(f"{n}: {REASONS[reason]}" for reason, n in s["left_out"].items()) or "nothing"
    coverage = s["coverage"]
    lines += [
        "",
        f"Objects of shifted pictures by the audit: {verdicts}. Invalid ones are ignore regions or left out.",
        "",
        f"Left out of the candidates: {left}.",
        "",
        f"Frames: {coverage['frames']:g} stand for {coverage['pool']:g}; the worst of these is "
        f"{coverage['radius']:.2f} from the nearest chosen one (embedding distance, at most 2); chosen blindly "
        f"{coverage['random']:.2f}.",
        *[f"\n{note}" for note in s["notes"]],
    ]
    return "\n".join(lines)


def _guard(s: Mapping[str, Any]) -> str:
    sizes = Counter({"here": len(s["groups"]), "tested": len(s["tested_groups"])})
    return "\n".join(
        [
            "## Kept apart from the test",
            "",
            f"The {sizes['here']} groups (sequences, else frames) in this set and the {sizes['tested']} that the run "
            "was tested on have none in common; both lists stand in `feedback.json`. Figures on the run's frames stay "
            "honest after training on this set, as long as no other training data contains them.",
        ]
    )


def _use(s: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            "## Using it",
            "",
            f"The pictures and labels are {s['dataset']['format']}. `weights.csv` has a sampling weight for each "
            "picture (mean 1): draw pictures with these chances and every shift comes as often as what was lost there. "
            "`manifest.jsonl` says how each picture was made, and `roadproof synth --replay` makes them again.",
        ]
    )
