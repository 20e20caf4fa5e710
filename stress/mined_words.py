"""What was mined, in words: as Markdown, and slice by slice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

ENOUGH_GROUPS = 10  # for five in each half


def markdown(summary: Mapping[str, Any]) -> str:
    """Return what was mined as Markdown."""
    lines = [f"# Mined: {summary['run']}", "", *summary["notes"], *([""] if summary["notes"] else [])]
    for key, title in (("lost_under_shift", "Lost under shift"), ("missed_anyway", "Missed on clean frames too")):
        lines += [f"## {title}", ""]
        proven = [s for s in summary[key] if s["tested"]["significant"]]
        lines += [f"- {sentence(s, summary)}" for s in proven] or [nothing_proven(summary[key], summary["n_groups"])]
        if not proven and summary[key]:
            lines += ["", "Seen, but no more than that:", ""]
            lines += [f"- {sentence(s, summary)}" for s in summary[key][:3]]
        lines.append("")
    odd = [s for s in summary["sequences"] if s["significant"]]
    if odd:
        lines += ["## Sequences that lose more than the others", ""]
        lines += [f"- {s['group']}: {_fall(s, summary['metric'])}, {_p(s['p_corrected'])}" for s in odd]
        lines.append("")
    if summary.get("clusters"):
        lines += _cluster_lines(summary["clusters"])
    if summary["lost_under_shift"] or summary["missed_anyway"]:
        lines += ["Figures are over all groups, p from those only that a slice was not sought in.", ""]
    kinds: Counter[str] = Counter()
    for row in summary["failures"]:
        kinds[row["failure"]] += row["n"]
    listed = ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common()) or "none"
    lines += [f"Failures in all cells: {listed}; {summary['newly']:,} of them new under a shift (failures.parquet)."]
    return "\n".join(lines) + "\n"


def nothing_proven(slices: Collection[Mapping[str, Any]], n_groups: int) -> str:
    """Say why no slice is named."""
    if not slices and n_groups >= ENOUGH_GROUPS:
        return "No slice goes wrong more often than the rest."
    tested = any(s["tested"]["p"] is not None for s in slices)
    return "No slice stands out by more than chance." if tested else "Nothing could be tested: too few groups."


def sentence(found: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """Return a slice with its figures: 'cars in fog >= 3: recall 0.91 -> 0.22, 143 objects, corrected p < 0.001'."""
    noun = summary["noun"] if found["n_objects"] == 1 else f"{summary['noun']}s"
    tested = _p(found["tested"]["p_corrected"])
    return f"{found['slice']}: {_fall(found, summary['metric'])}, {found['n_objects']:,} {noun}, {tested}"


def _fall(found: Mapping[str, Any], metric: str) -> str:
    if found["recall_clean"] is None:
        return f"{metric}: too few"
    if found["recall_shifted"] is None:
        elsewhere = found["recall_elsewhere"]
        beside = "" if elsewhere is None else f" ({elsewhere:.2f} elsewhere)"
        return f"{metric} {found['recall_clean']:.2f}{beside}"
    return f"{metric} {found['recall_clean']:.2f} -> {found['recall_shifted']:.2f}"


def _p(value: float | None) -> str:
    if value is None:
        return "not tested"
    return "corrected p < 0.001" if value < 0.001 else f"corrected p = {value:.3f}"


def _cluster_lines(clusters: Mapping[str, Any]) -> list[str]:
    lines = ["## Failures that look alike", ""]
    lines += [f"- {c['name']}: {c['n']} failures of {c['n_objects']} objects" for c in clusters["clusters"]]
    return [*lines, *clusters["notes"], ""]
