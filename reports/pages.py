"""Small pages without a script: one template, one style sheet, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import html


def render(template: str, **context: Any) -> str:
    """Return a page; everything in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(html.TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(style=Markup(html.style_sheet()), **context)


def write(path: Path, text: str) -> Path:
    """Write a text file under a temporary name and rename it; return its path."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
