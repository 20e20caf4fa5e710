"""The comparison page: runs side by side, differences with intervals, and which of them are more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reports import pages, words

FIGURES = {"clean": "clean", "mpc": "mean over shifts (mPC)", "rpc": "share kept (rPC)"}
TABLES = (
    ("overall", "Overall"), ("families", "Families"), ("classes", "Classes"), ("shifts", "Shifts"), ("cells", "Cells"),
)  # fmt: skip


def write(folder: str | Path, summary: Mapping[str, Any]) -> Path:
    """Write `comparison.html` and `comparison.md` into a folder; return the path of the page."""
    folder = Path(folder)
    pages.write(folder / "comparison.md", markdown(summary))
    return pages.write(folder / "comparison.html", render(summary))


def render(summary: Mapping[str, Any]) -> str:
    """Return the page."""
    labels = [run["label"] for run in summary["runs"]]
    return pages.render(
        "comparison.html",
        title=f"{words.listed(labels)} compared",
        summary=summary,
        labels=labels,
        verdicts=verdicts(summary),
        ranking=[_ranked(entry, labels) for entry in summary["ranking"]],
        tables=[(name, [_row(row) for row in summary[key]]) for key, name in TABLES if summary[key]],
    )


def verdicts(summary: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each run but the first."""
    first = summary["runs"][0]["label"]
    overall = next(row for row in summary["overall"] if row["figure"] == "mpc")
    found = []
    for run, gap in zip(summary["runs"][1:], overall["differences"], strict=True):
        by = f"{_signed(gap['value'])}{_interval(gap)}"
        if gap["p"] is None:
            text = f"Whether {run['label']} and {first} differ cannot be told from so few groups; measured: {by}."
        elif gap["significant"]:
            way = "more" if gap["value"] > 0 else "less"
            text = f"{run['label']} keeps {way} than {first}: mean {summary['metric']} over the shifts {by}."
        else:
            text = f"{run['label']} and {first} do not differ by more than chance over the shifts: {by}."
        clear = [row["family"] for row in summary["families"] if row["differences"][_at(summary, run)]["significant"]]
        if clear:
            text += f" Clearly different in {words.listed(clear)}."
        found.append(text)
    return found


def _at(summary: Mapping[str, Any], run: Mapping[str, Any]) -> int:
    return next(i for i, other in enumerate(summary["runs"][1:]) if other is run)


def _ranked(entry: Mapping[str, Any], labels: Sequence[str]) -> dict[str, str]:
    low, high = entry["rank_low"], entry["rank_high"]
    return {
        "rank": str(entry["rank"]),
        "ranks": f"{low}" if low == high else f"{low} to {high}",
        "label": labels[entry["run"]],
        "mpc": f"{_number(entry['mpc']['value'])}{_interval(entry['mpc'])}",
        "best": words.percent(entry["best_share"]),
    }


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": _name(row),
        "values": [f"{_number(v['value'])}" for v in row["values"]],
        "differences": [
            {
                "text": f"{_signed(d['value'])}{_interval(d)}",
                "p": "–" if d["p_corrected"] is None else _p(d["p_corrected"]),
                "kind": "" if not d["significant"] else ("up" if d["value"] > 0 else "down"),
            }
            for d in row["differences"]
        ],
    }


def _name(row: Mapping[str, Any]) -> str:
    if "figure" in row:
        return FIGURES[row["figure"]]
    if "family" in row:
        return words.family_name(row["family"])
    if "class_name" in row:
        return str(row["class_name"])
    name = words.full_name(row["shift"])
    return f"{name}, severity {row['severity']:g}" if "severity" in row else name


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}".replace("-", "\u2212")


def _interval(figure: Mapping[str, Any]) -> str:
    if figure["low"] is None:
        return ""
    return f" [{figure['low']:.3f}, {figure['high']:.3f}]".replace("-", "\u2212")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _cell(text: str) -> str:
    """Return text that neither ends a cell of a Markdown table nor is taken for HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def markdown(summary: Mapping[str, Any]) -> str:
    """Return the comparison as Markdown: verdicts, ranking, overall, families and classes."""
    labels = [_cell(run["label"]) for run in summary["runs"]]
    lines = [
        f"# {words.listed(labels)} compared",
        "",
        *verdicts(summary),
        "",
        f"{summary['metric']} over {summary['n_samples']} samples ({summary['n_groups']} groups) and "
        f"{summary['n_cells']} cells that all runs have. Differences are to {labels[0]}, with 95 % intervals by paired "
        "bootstrap over groups; p after Holm.",
        *summary["notes"],
        "",
        "| rank | 95 % of resamples | run | mPC | best in |",
        "|---|---|---|---|---|",
    ]
    for entry in (_ranked(entry, labels) for entry in summary["ranking"]):
        lines.append(f"| {entry['rank']} | {entry['ranks']} | {entry['label']} | {entry['mpc']} | {entry['best']} |")
    for key, name in TABLES[:3]:
        if not summary[key]:
            continue
        others = [f"{label} − {labels[0]} | p" for label in labels[1:]]
        lines += [
            "",
            f"## {name}",
            "",
            f"| | {' | '.join([*labels, *others])} |",
            "|---" * (1 + len(labels) + 2 * len(others)) + "|",
        ]
        for row in (_row(row) for row in summary[key]):
            gaps = [
                f"{'**' if d['kind'] else ''}{d['text']}{'**' if d['kind'] else ''} | {d['p']}"
                for d in row["differences"]
            ]
            lines.append(f"| {' | '.join([_cell(row['name']), *row['values'], *gaps])} |")
    return "\n".join(lines) + "\n"
