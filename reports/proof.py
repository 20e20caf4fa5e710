"""The proof page: before, controls, after; what was trained on and what was held out; what it cost on clean frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reports import pages, words
from reports.proof_figures import Series, lanes, training_curve

ARM_NAMES = {"feedback": "feedback", "clean": "control: clean", "standard": "control: standard augmentation"}
SHORT = {"feedback": "feedback", "clean": "clean control", "standard": "augmented control"}
OVERALL = {"trained": "families trained on", "held_out": "families held out", "clean": "clean frames"}
SMOOTH = 15  # steps that a drawn loss is the mean of


def write(folder: str | Path, summary: Mapping[str, Any]) -> Path:
    """Write `proof.html` and `proof.md` into a folder; return the path of the page."""
    folder = Path(folder)
    pages.write(folder / "proof.md", markdown(summary))
    return pages.write(folder / "proof.html", render(summary))


def render(summary: Mapping[str, Any]) -> str:
    """Return the page."""
    return pages.render(
        "proof.html",
        title=title(summary),
        summary=summary,
        sentences=sentences(summary),
        arms=list(summary["arms"]),
        names=ARM_NAMES,
        overall=[_row(r, summary) for r in (*summary["overall"], summary["clean"])],
        families=[_row(r, summary) for r in summary["families"]],
        shifts=[_row(r, summary) for r in summary["shifts"]],
        picture=lanes([_lane(r, summary) for r in (*summary["families"], summary["clean"])]),
        curves=_curves(summary),
        seeds=words.counted(len(summary["seeds"]), "training seed"),
        setting=_setting(summary),
        scope=f"{words.counted(summary['test']['n_samples'], 'frame')} in "
        f"{words.counted(summary['test']['n_groups'], 'group')}, {words.counted(summary['n_cells'], 'shifted cell')}",
        learned=_learned(summary),
    )


def title(summary: Mapping[str, Any]) -> str:
    """Return the answer in one line.

    >>> title({"overall": [{"what": "trained", "word": "helped"}, {"what": "held_out", "word": "no evidence"}]})
    'Families trained on: helped. Families held out: no evidence'
    """
    parts = [f"{OVERALL[row['what']]}: {row['word']}" for row in summary["overall"]]
    return ". ".join(part[0].upper() + part[1:] for part in parts)


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each overall row and one for the clean frames."""
    found = [_sentence(row, summary) for row in summary["overall"]]
    clean = summary["clean"]
    gain = clean["arms"]["feedback"]["gain"]
    change = f"{_number(clean['before']['value'])} before, {_number(clean['arms']['feedback']['value'])} after"
    verdict = _cost(gain)
    return [*found, f"On clean frames {change} ({_signed(gain)}): {verdict}."]


def _cost(gain: Mapping[str, Any]) -> str:
    """Say what the training did to the clean score."""
    if gain["low"] is None:
        return "too few groups to tell that from chance"
    if gain["low"] <= 0 <= gain["high"]:
        return "the interval includes no change"
    return "the clean score fell by more than chance" if gain["value"] < 0 else "the clean score rose"


def _sentence(row: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    arm, better = row["arms"]["feedback"], row["better_control"]
    back = arm["won_back"]
    text = (
        f"{OVERALL[row['what']].capitalize()}: {row['word']}. mPC {_number(row['before']['value'])} before, "
        f"{_number(arm['value'])} after ({SHORT[better]} {_number(row['arms'][better]['value'])})"
    )
    if back["value"] is not None:
        text += (
            f"; {words.percent(back['value'])} of what the shifts cost is won back{_share(back)}"
            if back["value"] >= 0
            else f"; the loss under the shifts grew by {words.percent(-back['value'])}"
        )
    text += f". Against the {SHORT[better]} {_signed(row['against'][better])}"
    if row["p_corrected"] is not None:
        text += f", p {_p(row['p_corrected'])} against both controls"
    return f"{text}{'; ' + row['reason'] if row['reason'] else ''}."


def _share(back: Mapping[str, Any]) -> str:
    return "" if back["low"] is None else f" [{words.percent(back['low'])}, {words.percent(back['high'])}]"


def _row(row: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    arm, better = row["arms"]["feedback"], row["better_control"]
    back = arm["won_back"]["value"]
    return {
        "name": _name(row),
        "trained": _mark(row),
        "before": _number(row["before"]["value"]),
        "controls": [_number(row["arms"][name]["value"]) for name in summary["controls"]],
        "after": f"{_number(arm['value'])}{_interval(arm)}",
        "gain": _signed(arm["gain"]),
        "back": "–" if back is None or row.get("what") == "clean" else words.percent(back),
        "against": _signed(row["against"][better]),
        "p": "–" if row["p_corrected"] is None else _p(row["p_corrected"]).removeprefix("= "),
        "word": row["word"],
        "kind": {"helped": "up", "hurt": "down"}.get(row["word"], ""),
        "reason": row["reason"],
    }


def _name(row: Mapping[str, Any]) -> str:
    if "what" in row:
        return OVERALL[row["what"]]
    return words.family_name(row["family"]) if "family" in row else words.full_name(row["shift"])


def _mark(row: Mapping[str, Any]) -> str:
    if "what" in row:
        return ""
    if not row["trained"]:
        return "held out"
    if "pictures" not in row:
        return "trained on"
    return words.counted(row["pictures"], "picture") if row["pictures"] else "family trained on"


def _lane(row: Mapping[str, Any], summary: Mapping[str, Any]) -> Series:
    arm = row["arms"]["feedback"]
    return Series(
        label=_name(row),
        mark=_mark(row),
        before=row["before"]["value"],
        controls=tuple(row["arms"][name]["value"] for name in summary["controls"]),
        after=arm["value"],
        low=arm["low"],
        high=arm["high"],
        aim=None if row.get("what") == "clean" else summary["clean"]["before"]["value"],
    )


def _curves(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a drawing of loss and validation loss for each arm, all seeds in it, on one scale a row."""
    found = []
    for arm in summary["arms"]:
        curves = [c["curve"] for c in summary["curves"] if c["arm"] == arm and c["curve"] is not None]
        if curves:
            stopped = [c["stopped"] for c in curves if c["stopped"]]
            kept = [str(c["best"]) for c in curves if c["best"]]
            found.append(
                {
                    "name": ARM_NAMES[arm],
                    "svg": training_curve(
                        [(_steps(c), _smoothed(c["loss"]), c["checks"], c["validation"]) for c in curves],
                        label=f"loss of {ARM_NAMES[arm]}",
                    ),
                    "kept": f"kept: step {', '.join(kept)}" if kept else "kept: the last step",
                    "stopped": f"stopped early at step {', '.join(map(str, stopped))}" if stopped else "",
                }
            )
    return found


def _steps(curve: Mapping[str, Any]) -> list[int]:
    return list(curve.get("steps") or range(1, len(curve["loss"]) + 1))


def _smoothed(loss: Sequence[float]) -> list[float]:
    """Return the mean of the last few steps at each."""
    return [sum(loss[max(0, i - SMOOTH + 1) : i + 1]) / min(i + 1, SMOOTH) for i in range(len(loss))]


def _setting(summary: Mapping[str, Any]) -> str:
    steps = words.counted(summary["settings"]["steps"], "step")
    return f"{steps} for every arm, {words.counted(len(summary['seeds']), 'seed')}, the same frames in the same order"


def _learned(summary: Mapping[str, Any]) -> str:
    shifts = summary["feedback"]["shifts"]
    return ", ".join(f"{words.full_name(name)} {n}" for name, n in sorted(shifts.items(), key=lambda item: -item[1]))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(figure: Mapping[str, Any]) -> str:
    if figure["low"] is None:
        return ""
    return f" [{figure['low']:.3f}, {figure['high']:.3f}]".replace("-", "\u2212")


def _signed(figure: Mapping[str, Any]) -> str:
    value = figure["value"]
    return "–" if value is None else f"{value:+.3f}".replace("-", "\u2212") + _interval(figure)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def left_out(summary: Mapping[str, Any]) -> str:
    """Return the table of a leave-one-family-out retraining as Markdown."""
    controls = [SHORT[name] for name in summary["controls"]]
    head = ["family left out", "before", *controls, "feedback", "− before", "won back", "− better control", "p", ""]
    test = summary["test"]
    lines = [
        "# Each family left out of the training in turn",
        "",
        f"{summary['metric_label']} of {summary['model']['name']} on {test['dataset']}: {test['n_samples']} frames, "
        f"{words.counted(test['n_groups'], 'group')}. {_setting(summary).capitalize()}. p is of both controls, after "
        "Holm.",
        *summary["notes"],
        "",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
    ]
    for r in (_row(row, summary) for row in summary["families"]):
        word = f"**{r['word']}**" if r["kind"] else r["word"]
        figures = [r["before"], *r["controls"], r["after"], r["gain"], r["back"], r["against"]]
        lines.append(f"| {' | '.join([r['name'], *figures, r['p'], word])} |")
    return "\n".join(lines) + "\n"


def markdown(summary: Mapping[str, Any]) -> str:
    """Return the proof as Markdown: sentences, and the tables of overall rows, families and shifts."""
    controls = [SHORT[name] for name in summary["controls"]]
    head = ["", "", "before", *controls, "feedback", "− before", "won back", "− better control", "p", ""]
    test = summary["test"]
    lines = [
        f"# {title(summary)}",
        "",
        *sentences(summary),
        "",
        f"{summary['metric_label']} of {summary['model']['name']} on {test['dataset']}: {test['n_samples']} frames, "
        f"{words.counted(test['n_groups'], 'group')}, {words.counted(summary['n_cells'], 'shifted cell')}. "
        f"{_setting(summary).capitalize()}. 95 % intervals count "
        "seeds and groups; p is of both controls, after Holm.",
        *summary["notes"],
    ]
    for key, name in (("overall", "Overall"), ("families", "Families"), ("shifts", "Shifts")):
        rows = [*summary[key], *([summary["clean"]] if key == "overall" else [])]
        lines += ["", f"## {name}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for r in (_row(row, summary) for row in rows):
            word = f"**{r['word']}**" if r["kind"] else r["word"]
            figures = [r["before"], *r["controls"], r["after"], r["gain"], r["back"], r["against"]]
            cells = [r["name"], r["trained"], *figures, r["p"], word]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
