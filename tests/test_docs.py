"""Every Python example in the documentation runs, and every command it names exists."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import click
import pytest

import cli
from scenes.plugins import load_attribute
from synth import registry
from synth.registry import shift_classes

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"\broadproof ([a-z]+)\b((?: +(?:--?[\w-]+|[^\s`#&|]+))*)")


def pages_with_code() -> list[Path]:
    return [page for page in PAGES if FENCE.search(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", pages_with_code(), ids=lambda p: p.name)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shift_classes()
    monkeypatch.setattr(registry, "_SHIFTS", dict(registry._SHIFTS))  # what an example registers stays in it
    module = types.ModuleType(f"page_{page.stem}")  # dataclasses look their module up
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in FENCE.findall(page.read_text(encoding="utf-8")):
        exec(compile(block, str(page), "exec"), module.__dict__)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_named_commands_and_options_exist(page: Path) -> None:
    """Read the code spans and fences: a command that a page shows has to parse."""
    text = page.read_text(encoding="utf-8")
    code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^```(?:bash|sh|console)?\n(.*?)^```", text, re.M | re.S)
    for name, rest in (m.groups() for block in code for m in COMMAND.finditer(block)):
        command: click.Command | None = cli.main.commands.get(name)
        assert command is not None, f"{page.name} names `roadproof {name}`, which is no command"
        first = rest.split()[:1]
        if isinstance(command, click.Group) and first and first[0] in command.commands:
            command = command.commands[first[0]]
        known = {option for p in command.params if isinstance(p, click.Option) for option in p.opts + p.secondary_opts}
        unknown = set(re.findall(r"--[\w-]+", rest)) - known - {"--help"}
        assert not unknown, f"{page.name}: `roadproof {name}` has no {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_the_catalogue_page_is_that_of_the_code() -> None:
    catalogue = load_attribute(f"{ROOT / 'docs' / 'catalogue.py'}:page", what="page")
    text = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    pictured = {name for name in shift_classes() if f"images/catalogue/{name.replace('/', '.')}.jpg" in text}
    assert catalogue(pictured) == text, "`python docs/catalogue.py` makes it again"
