"""Load `module:attr` and `file.py:attr`, the doors for parts that are not ours.

The folder of a named file is appended to `sys.path`, never put first, so that a file called `synth.py` or `cli.py`
cannot take the place of a core package.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from scenes.errors import InputError, did_you_mean

CORE = ("scenes", "synth", "stress", "reports", "cli")
_FILE = re.compile(r"^(?P<file>.+\.py):(?P<attr>[A-Za-z_][\w.]*)$")
_MODULE = re.compile(r"^(?P<module>[A-Za-z_]\w*(?:\.\w+)*):(?P<attr>[A-Za-z_][\w.]*)$")


def looks_like_attribute(text: str) -> bool:
    """Tell whether a text has the form `module:attr` or `file.py:attr`.

    >>> looks_like_attribute("my_models.py:detector"), looks_like_attribute("weather/fog")
    (True, False)
    """
    return bool(_FILE.match(text) or _MODULE.match(text))


def load_attribute(text: str, *, what: str) -> Any:
    """Import the attribute that `module:attr` or `file.py:attr` names; `what` is the word for it in errors."""
    if match := _FILE.match(text):
        module = _load_file(Path(match["file"]), what=what)
    elif match := _MODULE.match(text):
        try:
            module = importlib.import_module(match["module"])
        except ImportError as error:
            raise InputError(f"{what} {text!r}: cannot import {match['module']!r}: {error}") from error
    else:
        raise InputError(f"{what} {text!r}: expected module:attr or file.py:attr")
    value: Any = module
    for part in match["attr"].split("."):
        if not hasattr(value, part):
            near = did_you_mean(part, [name for name in dir(value) if not name.startswith("_")])
            raise InputError(f"{what} {text!r}: {module.__name__} has no attribute {part!r}{near}")
        value = getattr(value, part)
    return value


def _load_file(path: Path, *, what: str) -> ModuleType:
    if not path.is_file():
        raise InputError(f"{what}: no file {str(path)!r}")
    path = path.resolve()
    if path.stem in CORE:
        core = importlib.util.find_spec(path.stem)
        there = core.origin if core else "roadproof"
        raise InputError(f"{what}: {path} has the name of roadproof's own {there}; rename the file")
    name = f"{path.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    if loaded is not None:
        name = f"roadproof_plugin_{path.stem}_{abs(hash(str(path))):x}"
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{what}: cannot read {path} as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"{what}: {path} failed while it was imported: {type(error).__name__}: {error}") from error
    return module
