"""The section of the page on safety: weighted misses, and the operational domain with what was not covered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports import palette, words
from reports.mining import load
from reports.read import Figure

SCHEMA = "roadproof.safety/1"
USERS = {"vulnerable": "People and two-wheelers", "vehicle": "Vehicles", "other": "Signs, lights and things"}


def view(path: Path) -> dict[str, Any] | None:
    """Return what the page shows of a run's `safety.json`; None where there is none of this version."""
    found = load(path / "safety.json", SCHEMA)
    return None if found is None else shown(found)


def shown(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values for the page."""
    conditions = list(dict.fromkeys(row["condition"] for row in found["domain"]))
    users = list(dict.fromkeys(row["road_user"] for row in found["domain"]))
    bands = list(found["bands"])
    cells = {(r["condition"], r["road_user"], r["distance"]): r for r in found["domain"]}
    misses: dict[str, list[Mapping[str, Any]]] = {}
    for row in found["misses"]:
        misses.setdefault(row["shift"], []).append(row)
    count = len([r for r in found["not_covered"] if r["n"] == 0]), len([r for r in found["not_covered"] if r["n"]])
    distances = bands != ["unknown distance"]
    return {
        "lead": lead(found),
        "weights": weights_words(found),
        "users": [(USERS.get(u, u), ", ".join(found["road_users"].get(u, []))) for u in users],
        "bands": bands,
        "rows": [
            {
                "name": "clean" if c == "clean" else words.full_name(c),
                "weighted": [_miss(row) for row in misses.get(c, [])],
                "cells": [_cell(cells.get((c, u, b)), u, b, c) for u in users for b in bands],
            }
            for c in conditions
        ],
        "uncovered": uncovered(*count, len(found["domain"]), distances=distances),
        "notes": found["notes"],
    }


def uncovered(none: int, few: int, total: int, *, distances: bool = True) -> str:
    """Return how much of the table stands on nothing.

    >>> uncovered(3, 2, 40)
    'Not covered: 3 of 40 cells have no object at all, 2 too few for a figure with an interval.'
    """
    if not total:
        return "Nothing is covered: the run has no object."
    unknown = "" if distances else " At which distances is not known."
    if not none and not few:
        what = "condition, road user and distance" if distances else "condition and road user"
        return f"All {total} cells of {what} are covered.{unknown}"
    said = f"Not covered: {none} of {total} cells have no object at all, {few} too few for a figure with an interval."
    return said + unknown


def lead(found: Mapping[str, Any]) -> str:
    """Return the reading in a sentence or two."""
    clean = next((r for r in found["misses"] if r["shift"] == "clean"), None)
    shifted = [r for r in found["misses"] if r["shift"] != "clean" and r["weighted"]["value"] is not None]
    if clean is None or clean["weighted"]["value"] is None:
        return "Too few objects to weigh misses."
    text = (
        f"Weighted by who is missed and how near, {words.percent(clean['weighted']['value'])} is missed on clean frames"
    )
    if not shifted:
        return f"{text}."
    mean = sum(r["weighted"]["value"] for r in shifted) / len(shifted)
    worst = max(shifted, key=lambda r: r["weighted"]["value"])
    at = f"{words.full_name(worst['shift'])}, severity {worst['severity']:g}"
    return (
        f"{text} and {words.percent(mean)} in the mean cell under shift; most in {at}: "
        f"{words.percent(worst['weighted']['value'])} {words.interval(Figure.of(worst['weighted']), as_percent=True)}"
    ).rstrip() + "."


def weights_words(found: Mapping[str, Any]) -> str:
    """Return what a miss weighs, in words."""
    w = found["weights"]
    return (
        f"A miss weighs {w['vulnerable']:g} for people and two-wheelers, {w['vehicle']:g} for vehicles and "
        f"{w['other']:g} for the rest (in the order of the severity classes of ISO 26262-3; the ratios are a "
        f"convention), in full up to the stopping distance of {found['stopping_m']:g} m ({w['speed_kmh']:g} km/h, "
        f"{w['reaction_s']:g} s, {w['braking_m_per_s2']:g} m/s²) and less in proportion beyond. "
        "roadproof safety --weights FILE takes others."
    )


def _miss(row: Mapping[str, Any]) -> dict[str, Any]:
    figure = Figure.of(row["weighted"])
    plain = Figure.of(row["missed"])
    return {
        "severity": f"{row['severity']:g}",
        "value": words.percent(figure.value, unit=False),
        "step": palette.step(None if figure.value is None else 1.0 - figure.value),
        "title": f"severity {row['severity']:g}: weighted misses {words.percent(figure.value)} "
        f"{words.interval(figure, as_percent=True)}; of all objects {words.percent(plain.value)} are missed",
    }


def _cell(row: Mapping[str, Any] | None, user: str, band: str, condition: str) -> dict[str, Any]:
    where = f"{USERS.get(user, user)}, {band}, {'clean' if condition == 'clean' else words.full_name(condition)}"
    if row is None or row["state"] == "none":
        return {"state": "none", "text": "none", "n": "", "step": None, "title": f"{where}: not covered, no object"}
    recall = Figure.of(row["recall"])
    counted = f"{words.counted(row['n'], 'object')} in {words.counted(row['n_groups'], 'group')}"
    if row["state"] == "few":
        return {
            "state": "few",
            "text": "few",
            "n": f"{row['n']:,}",
            "step": None,
            "title": f"{where}: {counted}, too few",
        }
    said = f"recall {words.percent(recall.value)} {words.interval(recall, as_percent=True)}"
    return {
        "state": "covered", "text": words.percent(recall.value, unit=False), "n": f"{row['n']:,}",
        "step": palette.step(recall.value), "title": f"{where}: {said}, {counted}",
    }  # fmt: skip


def markdown(found: Mapping[str, Any]) -> str:
    """Return the reading as Markdown: the sentence, misses by condition, and what was not covered."""
    lines = [f"# Safety: {found['run']}", "", lead(found), "", weights_words(found), ""]
    lines += ["| condition | severity | missed, weighted % | 95 % | missed % |", "|---|---|---|---|---|"]
    for row in found["misses"]:
        weighted, plain = Figure.of(row["weighted"]), Figure.of(row["missed"])
        lines.append(
            f"| {row['shift']} | {row['severity']:g} | {words.percent(weighted.value, unit=False)} | "
            f"{words.interval(weighted, as_percent=True) or '–'} | {words.percent(plain.value, unit=False)} |"
        )
    none = [r for r in found["not_covered"] if r["n"] == 0]
    few = [r for r in found["not_covered"] if r["n"]]
    distances = found["bands"] != ["unknown distance"]
    lines += ["", uncovered(len(none), len(few), len(found["domain"]), distances=distances)]
    seen = list(dict.fromkeys((r["road_user"], r["distance"]) for r in none))
    lines += [f"- no object: {USERS[user].lower()}, {distance}" for user, distance in seen[:20]]
    return "\n".join([*lines, *(["", *found["notes"]] if found["notes"] else [])]) + "\n"
