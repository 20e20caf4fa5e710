"""The page: one offline HTML file, or one with a folder of pictures beside it.

The page asks nobody for anything: its content security policy forbids every request but to its own pictures, and
every script but the one it was written with.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import dependability, gallery, mining, palette, rerendering, safety, tables, views, words
from reports.read import Run

TEMPLATES = Path(__file__).parent / "templates"
ASSETS = "report_assets"


def write(run: Run, *, single_file: bool = True) -> Path:
    """Write `report.html` into the run folder and return its path; nothing half-written is left behind."""
    shown = gallery.build(run)
    target = run.path / "report.html"
    if single_file:
        urls = {key: _data_uri(asset) for key, asset in shown.assets.items()}
    else:
        _write_assets(run.path, shown.assets)
        urls = {key: f"{ASSETS}/{asset.file_name}" for key, asset in shown.assets.items()}
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(render(run, shown, urls), encoding="utf-8")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    if single_file:
        shutil.rmtree(run.path / ASSETS, ignore_errors=True)
    return target


def _data_uri(asset: gallery.Asset) -> str:
    return f"data:{asset.mime};base64,{base64.b64encode(asset.content).decode()}"


def _write_assets(run: Path, assets: dict[str, gallery.Asset]) -> None:
    """Write the pictures into a new folder, then put it in the place of the old one."""
    folder, temporary = run / ASSETS, run / f".{ASSETS}.{os.getpid()}.tmp"
    try:
        temporary.mkdir()
        for asset in assets.values():
            (temporary / asset.file_name).write_bytes(asset.content)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def render(run: Run, shown: gallery.Gallery, urls: dict[str, str]) -> str:
    """Return the page.

    urls: where the pictures of the gallery are found, by key
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=words.percent, number=words.number, pretty=words.shift_name, shift=words.shift_name
    )
    script = "\n".join(
        (TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.js", "gallery.js", "detail.js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html").render(
        **_context(run, shown), urls=urls, script=Markup(script), script_hash=digest, style=Markup(style_sheet())
    )


def style_sheet() -> str:
    """Return the style sheet, its colours filled in."""
    sheet = "\n".join(
        (TEMPLATES / name).read_text(encoding="utf-8")
        for name in ("report.css", "gallery.css", "mining.css", "dependability.css", "print.css")
    )
    steps = "\n".join(f".q{i}{{background:var(--q{i});color:var(--q{i}i)}}" for i in range(palette.STEPS))
    sheet = sheet.replace("/*LIGHT*/", palette.css_variables(palette.LIGHT))
    sheet = sheet.replace("/*DARK*/", palette.css_variables(palette.DARK))
    verdicts = "".join(f"--v-{kind}:{colour};" for kind, colour in palette.VERDICTS.items())
    return sheet.replace("/*VERDICTS*/", verdicts) + "\n" + steps


def _context(run: Run, shown: gallery.Gallery) -> dict[str, Any]:
    data = run.data
    metrics = run.metrics()
    classes, sizes = tables.breakdown(run, by="name"), tables.breakdown(run, by="size")
    context: dict[str, Any] = {
        "run": run, "data": data, "title": f"{data['model']['name']} on {data['dataset']['name']}",
        "verdict": words.verdict(run), "scope": words.scope(run), "weakest": words.weakest(run),
        "breaks": words.breaks(run), "caution": words.caution(run),
        "numbers": views.big_numbers(run), "valid_only": views.valid_only(run),
        "families": views.families(run), "facts": facts(run), "weak_family": _weak(run),
        "metric": run.metric, "metrics": [(m, run.label(m)) for m in metrics],
        "heat": {m: views.heat(run, m) for m in metrics}, "curves": {m: views.curves(run, m) for m in metrics},
        "classes": classes, "sizes": sizes,
        "unknown_classes": tables.without_figure(run, by="name", rows=classes),
        "unknown_sizes": tables.without_figure(run, by="size", rows=sizes),
        "pr": tables.pr_blocks(run), "confusion": tables.confusion_json(run), "worst_matrix": tables.worst_matrix(run),
        "shift_names": {name: words.full_name(name) for name in run.shift_names}, "task": data["model"]["task"],
        "items": shown.items, "missing_pictures": shown.missing, "left_out": shown.left_out,
        "audit": tables.audit(run), "shift_rows": tables.shift_rows(run), "flat": tables.flat,
        "rerendering": rerendering.section(run),
        "mining": mining.view(run.path), "safety": safety.view(run.path), "dependability": dependability.section(run),
        "steps": palette.STEPS, "cam": palette.filter_tables(), "inferno": palette.INFERNO,
    }  # fmt: skip
    optional = ("confusion", "pr", "audit", "rerendering", "mining", "safety", "dependability")
    there = {key: bool(context[key]) for key in optional}
    there.update(classes=bool(classes or sizes), grid=bool(run.shift_names), curves=bool(run.shift_names))
    context["sections"] = [(key, name) for key, name in views.SECTIONS if there.get(key, True)]
    return context


def _weak(run: Run) -> list[str]:
    """Return the weakest families that have something to show, for the strip of pictures at the top."""
    shown = {failure["family"] for failure in run.data["gallery"]}
    return [f["family"] for f in run.data["families"] if f["family"] in shown][:4]


def facts(run: Run) -> list[str]:
    """Return what was tested, in a line."""
    data = run.data["dataset"]
    parts = [str(run.data["model"]["task"]), str(data["name"]), words.counted(int(data.get("n_samples") or 0), "frame")]
    if data.get("n_objects") and run.data["model"]["task"] == "detection":
        parts.append(words.counted(int(data["n_objects"]), "object"))
    shifts = words.counted(len(run.shift_names), "shift")
    parts.append(f"{shifts} × {words.counted(len(run.severities), 'severity', 'severities')}")
    created = run.data.get("created")
    if created:
        try:
            parts.append(f"{datetime.fromisoformat(str(created)):%d %b %Y}".lstrip("0"))
        except ValueError:
            parts.append(str(created))
    return parts
