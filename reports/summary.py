"""The verdict and the tables as Markdown, for pull requests, logs and terminals."""

from __future__ import annotations

import os
import re
from pathlib import Path

from reports import dependability, rerendering, words
from reports.read import Figure, Run

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def write(run: Run) -> Path:
    """Write `summary.md` into the run folder and return its path."""
    target = run.path / "summary.md"
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(render(run), encoding="utf-8")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def escape(text: object) -> str:
    """Return text in which nothing is Markdown or HTML.

    >>> escape("<b>a_b|c\\nd")
    '\\\\<b\\\\>a\\\\_b\\\\|c d'
    """
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right; cells are escaped.

    >>> print(table(["a", "b"], [["x|y", "1"]]))
    | a | b |
    |:--|--:|
    | x\\|y | 1 |
    """
    rule = [":--", *["--:"] * (len(head) - 1)]
    lines = [f"| {' | '.join(escape(cell) for cell in head)} |", f"|{'|'.join(rule)}|"]
    return "\n".join(lines + [f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows])


def render(run: Run) -> str:
    """Return the summary."""
    data = run.data
    parts = [
        f"# {escape(words.verdict(run))}",
        " ".join(escape(s) for s in (words.scope(run), words.caution(run), words.weakest(run), words.breaks(run)) if s),
        table(["figure", "value", "95 % interval"], _headline(run)),
    ]
    if data["headline"].get("valid_only"):
        rpc = Figure.of(data["headline"]["valid_only"]["rpc"])
        kept = f"{words.percent(rpc.value)} {words.interval(rpc, as_percent=True)}".strip()
        parts.append(f"With hard-to-see and heavily occluded objects set aside: {escape(kept)} kept.")
    if dependability.lead(run):
        parts.append(escape(dependability.lead(run)))
    if data["families"]:
        parts += [
            "## Families, weakest first",
            table(["family", "kept", "95 %", run.label(), "breaks at"], _families(run)),
        ]
    if run.shift_names:
        parts += [f"## {escape(run.label())} by severity", _grid(run)]
    parts += _ending(run)
    return "\n\n".join(parts) + "\n"


def _headline(run: Run) -> list[list[str]]:
    head, label = run.data["headline"], run.label()
    clean, mpc, rpc = (Figure.of(head[key]) for key in ("clean", "mpc", "rpc"))
    mce = words.mce(run)
    return [
        [f"clean {label}", words.number(clean.value), words.interval(clean, 3)],
        [f"{label} under shift (mPC)", words.number(mpc.value), words.interval(mpc, 3)],
        ["kept (rPC)", words.number(rpc.value), words.interval(rpc, 3)],
        *([[words.mce_name(run), words.number(mce.value), words.interval(mce, 3)]] if mce.value is not None else []),
    ]


def _families(run: Run) -> list[list[str]]:
    rows = []
    for family in run.data["families"]:
        rpc = Figure.of(family["rpc"])
        first = words.first_break(run, family["family"])
        breaks = words.place(run, first["shift"], first["breaks_at"]) if first else "–"
        rows.append([
            words.family_name(family["family"]), words.percent(rpc.value), words.interval(rpc, as_percent=True),
            words.number(Figure.of(family["mpc"]).value), breaks,
        ])  # fmt: skip
    return rows


def _grid(run: Run) -> str:
    rows = []
    for ranked in run.data["per_shift"]:
        name = ranked["shift"]
        cells = []
        for severity in run.severities:
            physical = run.physical(name, severity, quantity=False)
            value = words.number(run.score(name, severity).value)
            cells.append(f"{value} ({physical})" if physical else value)
        rows.append([name, *cells, words.percent(Figure.of(ranked["rpc"]).value)])
    return table(["shift", *(f"severity {s:g}" for s in run.severities), "kept"], rows)


def _ending(run: Run) -> list[str]:
    data = run.data
    dataset, skipped = data["dataset"], data.get("skipped") or []
    facts = [
        escape(f"data: {dataset['name']}, {words.counted(int(dataset.get('n_samples') or 0), 'frame')}"),
        f"failures in the gallery of `report.html`: {len(data['gallery'])}",
    ]
    if skipped:
        first = f"{skipped[0]['sample_id']}: {skipped[0]['reason']}"
        facts.append(escape(f"skipped samples: {len(skipped)} (first: {first})"))
    facts += [escape(said) for said in (rerendering.sentence(run),) if said]
    facts += [escape(note) for note in data.get("notes") or []]
    lines = [f"- {fact}" for fact in facts]
    command = str(data["run"].get("command") or "").replace("\n", " ")
    return ["## Notes", "\n".join(lines), f"    {command}"] if command else ["## Notes", "\n".join(lines)]
