"""What a person reads: figures, galleries and HTML from a finished run."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write"]


def write(run_dir: str | Path, *, single_file: bool = True) -> Path:
    """Write `report.html` and `summary.md` of a finished run into its folder; return the path of the page.

    single_file: pictures inside the page; else beside it in `report_assets/`
    """
    from reports import html, summary
    from reports.read import read

    run = read(run_dir)
    page = html.write(run, single_file=single_file)
    summary.write(run)
    return page
